"""Who did what: the history, newest first."""

from __future__ import annotations

from collections.abc import Iterator

from flask import request
from flask_babel import lazy_gettext as _l
from sqlmodel import Session
from werkzeug.wrappers import Response

from admin import asked, exporting
from admin.auth import me
from admin.doors import doors
from admin.rights import Area, sees_contents
from admin.shown import facts, label
from admin.views.base import PanelView, expose
from admin.words import ACTIONS, SUBJECTS
from forms.texts import _
from storage import listing, reading, roster
from storage.reading import HistoryFilter
from storage.sheets import Row


class HistoryView(PanelView):
    """`/panel/history/`. Nothing here can be changed."""

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
        return self.page(
            "history.html",
            found=found,
            people=people,
            actions=tuple(ACTIONS),
            subjects=tuple(SUBJECTS),
            sees_contents=sees_contents(me().role),
        )


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
            label(line.action, "action"), line.subject, _told(line.before) if shown else "",
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
