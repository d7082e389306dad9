"""Who did what: the history, newest first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from time import monotonic

from flask import abort, redirect, request, url_for
from flask_babel import lazy_gettext as _l
from sqlmodel import Session
from werkzeug.wrappers import Response

from admin import asked, exporting
from admin.auth import act, me
from admin.doors import doors
from admin.rights import Area, may_archive, may_order_archive, sees_contents
from admin.shown import about, facts, label
from admin.views.base import PanelView, expose, tell
from admin.words import ACTIONS, SUBJECTS
from forms.texts import Text, _
from storage import archive, history, history_watch, listing, reading, roster
from storage.history import HistoryPart
from storage.reading import HistoryFilter
from storage.sheets import Row

ROWS_IN_PART = 5_000
CHECK_SECONDS = 3.0
MAX_REASON = 300


class HistoryView(PanelView):
    """`/panel/history/`. No line here can be changed or deleted, by anybody."""

    area = Area.HISTORY

    def __init__(self) -> None:
        super().__init__(name=_l("История"), endpoint="history")

    @expose("/")
    def index(self) -> str | Response:
        """The list, leafed through by the number of the last line seen; with `format` as a file."""
        wanted = _wanted()
        if kind := exporting.asked_for():
            return exporting.export(kind, "history", _HEADINGS, lambda session: _rows(session, wanted))
        with doors().database.read() as session:
            found = reading.find_history(session, wanted)
            people = roster.list_staff(session, doors().now())
            walked = history_watch.last_walk(session)
        return self.page(
            "history.html",
            found=found,
            walked=walked,
            people=people,
            actions=tuple(ACTIONS),
            subjects=tuple(SUBJECTS),
            sees_contents=sees_contents(me().role),
        )

    @expose("/check")
    def check(self) -> str:
        """Walk the chain of hashes, as far as a few seconds last; the page says how far."""
        part = _checked(asked.number("after") or 0)
        return self.page("history_check.html", part=part, rows=(asked.number("rows") or 0) + part.rows)

    @expose("/archive")
    def archives(self) -> str:
        """The orders to archive, and what was made of them."""
        return self._archives()

    @expose("/order", methods=("POST",))
    def order(self) -> Response | tuple[str, int]:
        """A director orders the history up to a day to be archived."""
        if not may_order_archive(me().role):
            abort(403)
        until = asked.as_day(request.form.get("until", ""))
        reason = asked.clean(request.form.get("reason", ""), MAX_REASON)
        today = doors().now().astimezone(doors().house.calendar.zone).date()
        if until is None or until >= today:
            return self._archives(_("Укажите день, который уже прошёл.")), 422
        if not reason:
            return self._archives(_("Напишите основание: номер приказа или причину.")), 422
        with doors().database.begin() as session:
            archive.order(session, act(), until, reason)
        tell(_("Приказ записан. Архив заберёт администратор."))
        return redirect(url_for("history.archives"))

    @expose("/archive/<int:order_id>", methods=("POST",))
    def archive(self, order_id: int) -> Response:
        """The administrator takes the archive that was ordered; the history remembers it."""
        if not may_archive(me().role):
            abort(403)
        zone = doors().house.calendar.zone
        with exporting.new_file() as out:
            with doors().database.read() as session:
                ordered = archive.read_order(session, order_id)
                if ordered is None:
                    abort(404)
                written = archive.write(session, ordered, zone, out.file)
            with doors().database.begin() as session:
                archive.note_made(session, act(), ordered, written)
            return out.sent("application/zip", f"priem-history-{ordered.until:%Y-%m-%d}.zip")

    def _archives(self, refusal: Text | None = None) -> str:
        with doors().database.read() as session:
            orders = archive.orders(session)
        return self.page(
            "history_archive.html",
            orders=orders,
            refusal=refusal,
            typed=request.form if refusal else {},
            may_order=may_order_archive(me().role),
            may_archive=may_archive(me().role),
        )


def _checked(after: int) -> HistoryPart:
    """Walk the chain for a few seconds at most: a page is waited for, and others want the thread."""
    until = monotonic() + CHECK_SECONDS
    part = HistoryPart(0, after, finished=False)
    rows = 0
    while not part.finished and part.broken_at is None and monotonic() < until:
        with doors().database.read() as session:
            part = history.verify_part(session, part.last_id, ROWS_IN_PART)
            if part.finished and part.broken_at is None:
                part = replace(part, broken_at=history_watch.unlike_seal(session, doors().secret_key))
        rows += part.rows
    return replace(part, rows=rows)


def _wanted() -> HistoryFilter:
    zone = doors().house.calendar.zone
    return HistoryFilter(
        subject=_subject(),
        action=asked.one_of("action", ACTIONS),
        actor_id=asked.number("actor"),
        since=asked.start_of(asked.day("since"), zone),
        until=asked.end_of(asked.day("until"), zone),
        before_id=asked.number("before"),
        reached_nobody=request.args.get("told") == "0",
    )


_HEADINGS = (
    _("№"), _("Когда"), _("Кто"), _("Через что"), _("Что"), _("О чём"), _("Было"), _("Стало"),
)  # fmt: skip


def _rows(session: Session, wanted: HistoryFilter) -> Iterator[Row]:
    reads = sees_contents(me().role)
    for line in listing.every_line(session, wanted):
        shown = reads or not line.subject.startswith(_CONTENTS)
        yield [
            line.history_id, exporting.moment(line.at), line.actor, label(line.through, "channel"),
            label(line.action, "action"), about(line.subject), _told(line.before) if shown else "",
            _told(line.after) if shown else "",
        ]  # fmt: skip


_CONTENTS = ("request:", "call:")
"""What these lines hold is the clients', and the administrator does not read it."""


def _told(kept: str) -> str:
    return "; ".join(f"{name}: {value}" for name, value in facts(kept))


def _subject() -> str:
    """`request`, or `request:17` when a number is given too."""
    subject, number = asked.one_of("subject", SUBJECTS), asked.number("number")
    return f"{subject}:{number}" if subject and number is not None else subject
