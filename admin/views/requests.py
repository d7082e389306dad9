"""The list of requests, and the page of one."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from flask import Response as FlaskResponse
from flask import abort, redirect, request, send_file, url_for
from flask_babel import lazy_gettext as _l
from sqlmodel import Session
from werkzeug.wrappers import Response

from admin import asked, exporting
from admin.auth import act, me
from admin.doors import doors
from admin.proposals import UNFINISHED, proposed_to
from admin.request_sheet import HEADINGS, as_row
from admin.rights import MOVES, Area, Deed, deeds
from admin.shown import answer
from admin.views.base import PanelView, expose, tell, warn
from admin.views.start import UNDELIVERED_DAYS, late_before, own_of
from forms.answers import AnswerError
from forms.deadline import parse_deadline
from forms.kinds import BY_CODE
from forms.messages import OutgoingFile
from forms.request_form import FORM
from forms.texts import Text, _
from router.board import Step
from router.desk import DeskError, StageInterval, StaleVersion, stage_seconds
from router.model import Stage, Status
from storage import canned, casework, correspondence, listing, moves, openings, reading, scanning
from storage.canned import ReplyFacts
from storage.casework.opening import open_checked
from storage.files import NoSuchFile, StorageFull
from storage.moves import Movable
from storage.reading import FileCard, RequestCard, RequestFilter
from storage.sheets import Row

MAX_PICKED = 100
MAX_WORDS = 4_000
MAX_FILES = 10

_SORTS = ("number", "deadline", "submitted", "status", "unanswered")
_LISTS = ("unanswered", "working")
_NOT_NARROWING = ("sort", "order", "list", "after", "before", "last")
_STATUSES = tuple(status.value for status in Status if status is not Status.DRAFT)


class RequestsView(PanelView):
    """`/panel/requests/`."""

    area = Area.REQUESTS

    def __init__(self) -> None:
        super().__init__(name=_l("Заявки"), endpoint="requests")

    @expose("/")
    def index(self) -> str | Response:
        """The list; with `format` as a file."""
        sort, ascending = _order()
        if kind := exporting.asked_for():
            return exporting.export(
                kind, "requests", HEADINGS, lambda session: _rows(session, sort, ascending)
            )
        with doors().database.read() as session:
            found = reading.find_requests(session, _wanted(), sort, not ascending, asked.place())
            people, channels = reading.colleagues(session), reading.used_channels(session)
        return self.page(
            "requests.html",
            found=found,
            now=doors().now(),
            sort=sort,
            ascending=ascending,
            people=people,
            channels=channels,
            kinds=tuple(BY_CODE),
            statuses=_STATUSES,
            narrowed=any(value for name, value in request.args.items() if name not in _NOT_NARROWING),
            wanted_list=asked.one_of("list", _LISTS),
            can_reassign=Deed.REASSIGN in deeds(me().role),
            sees_all=own_of() is None,
        )

    @expose("/reassign", methods=("POST",))
    def reassign_many(self) -> Response:
        """Give several requests to one person; each is told about on its own when it is refused."""
        self.require_change()
        if Deed.REASSIGN not in deeds(me().role):
            abort(403)
        to = _chosen(request.form.get("to", ""))
        comment = asked.clean(request.form.get("comment", ""), MAX_WORDS)
        picked = [_picked(value) for value in request.form.getlist("pick")[:MAX_PICKED]]
        if to is None:
            warn(_("Выберите, кому передать."))
        elif not any(picked):
            warn(_("Отметьте хотя бы одну заявку."))
        else:
            _reassign_all([pick for pick in picked if pick], to.staff_id, comment)
        return redirect(_list_again())

    @expose("/<int:number>/")
    def one(self, number: int) -> str:
        """The page of a request."""
        return self._show(number)

    @expose("/<int:number>/<deed>", methods=("POST",))
    def do(self, number: int, deed: str) -> Response | tuple[str, int]:
        """One of the forms of that page."""
        self.require_change()
        with doors().database.read() as session:
            if reading.request_version(session, number, own_of()) is None:
                abort(404)
            found = moves.movable(session, doors().house, me().who, number, doors().now())
        if found is None or deed not in deeds(me().role, is_nobodys=found.assignee_id is None):
            abort(404)
        if deed == Deed.ANSWER and "insert" in request.form:
            return self._show(number, insert=asked.as_number(request.form.get("canned", ""))), 200
        try:
            done = _do(Deed(deed), number)
        except DeskError as refused:
            status = 409 if isinstance(refused, StaleVersion) else 422
            return self._show(number, _Refusal(deed, refused.text, isinstance(refused, StaleVersion))), status
        doors().wake()
        tell(done)
        return redirect(url_for("requests.one", number=number))

    @expose("/<int:number>/files/<int:file_id>")
    def download(self, number: int, file_id: int) -> Response:
        """A file of that request; the history keeps who opened it.

        With `view=1` a picture or a PDF is shown in the browser; anything else is an attachment.
        """
        with doors().database.read() as session:
            found = reading.read_file(session, number, file_id, own_of())
            closed = scanning.withheld(session, [found.sha256]) if found else {}
        if found is None:
            abort(404)
        if closed:
            why = doors().house.say(scanning.WHY_WITHHELD[closed[found.sha256]])
            return Response(why, status=409, mimetype="text/plain")
        try:
            path = doors().files.path(found.sha256)
        except NoSuchFile:
            abort(404)
        if request.method == "GET":
            with doors().database.begin() as session:
                openings.note_opening(session, act(), number, found)
        return _sent_file(path, found, inline=asked.flag("view"))

    @expose("/<int:number>/all")
    def whole(self, number: int) -> str:
        """Everything that was ever said to and by the client, for those who see every request."""
        if own_of() is not None:
            abort(404)
        before = correspondence.Place.parse(request.args.get("before", ""))
        with doors().database.read() as session:
            known = reading.request_version(session, number)
            found = correspondence.whole_correspondence(session, number, before) if known else None
        if found is None:
            abort(404)
        return self.page("correspondence.html", number=number, found=found, viewable=is_viewable)

    def _show(self, number: int, refusal: _Refusal | None = None, insert: int | None = None) -> str:
        with doors().database.read() as session:
            card = reading.read_request(session, number, own_of())
            if card is None:
                abort(404)
            people = reading.colleagues(session, only_active=True)
            moved = moves.movable(session, doors().house, me().who, number, doors().now())
            proposals = proposed_to(session, doors().house, card, doors().now())
            seen = asked.as_number(request.form.get("seen", "")) or 0
            news = reading.history_of(session, f"request:{number}", seen) if refusal and refusal.stale else ()
            looked = openings.who_looked(session, number)
            kept = canned.replies_for(session, me().member.staff_id, card.row.kind)
        replies = _filled(kept, card)
        now = doors().now()
        return self.page(
            "request.html",
            card=card,
            now=now,
            people=people,
            deeds=_possible(card, moved, proposed=bool(proposals)),
            proposals=proposals,
            refusal=refusal,
            typed=request.form if refusal else {},
            news=news,
            looked=looked,
            canned=replies,
            inserted=_with_canned(replies, insert),
            files={file.file_id: file for file in card.files},
            viewable=is_viewable,
            fields=_fields_of(card),
            sees_all=own_of() is None,
            spent_by_stage=_spent(card),
            seen=card.history[0].history_id if card.history else 0,
        )


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Which form was refused and why; `stale` when the request has changed since it was opened."""

    deed: str
    text: Text
    stale: bool


# --- The list ------------------------------------------------------------------------------------------


def _wanted() -> RequestFilter:
    zone, now = doors().house.calendar.zone, doors().now()
    return RequestFilter(
        statuses=_wanted_statuses(),
        assignee_id=asked.number("assignee"),
        kind=asked.one_of("kind", BY_CODE),
        channel=asked.text("channel"),
        client_id=asked.number("client"),
        since=asked.start_of(asked.day("since"), zone),
        until=asked.end_of(asked.day("until"), zone),
        overdue_at=now if asked.flag("overdue") else None,
        late_before=late_before(now) if asked.flag("late") else None,
        undelivered_since=now - timedelta(days=UNDELIVERED_DAYS) if asked.flag("undelivered") else None,
        search=asked.text("q"),
        own_of=own_of(),
        unanswered=asked.one_of("list", _LISTS) == "unanswered",
    )


def _rows(session: Session, sort: str, ascending: bool) -> Iterator[Row]:
    for row, task in listing.every_request(session, _wanted(), sort, not ascending):
        yield as_row(row, task)


def _wanted_statuses() -> tuple[str, ...]:
    if asked.one_of("list", _LISTS) == "working":
        return (Status.ACCEPTED.value,)
    return tuple(status for status in request.args.getlist("status") if status in _STATUSES)


def _order() -> tuple[str, bool]:
    """What to sort by, and whether the smallest comes first: whoever waits longest, if they are listed."""
    usual = "unanswered" if asked.one_of("list", _LISTS) == "unanswered" else "number"
    ascending = asked.one_of("order", ("asc", "desc")) or ("asc" if usual == "unanswered" else "desc")
    return asked.one_of("sort", _SORTS) or usual, ascending == "asc"


def _picked(value: str) -> tuple[int, int] | None:
    """A ticked box: the number and the version of the request that was seen."""
    number, _colon, version = value.partition(":")
    read = asked.as_number(number), asked.as_number(version)
    return None if read[0] is None or read[1] is None else (read[0], read[1])


def _reassign_all(picked: list[tuple[int, int]], to_staff_id: int | None, comment: str) -> None:
    given = 0
    for number, version in picked:
        try:
            with doors().database.begin() as session:
                doing = act()
                casework.reassign(
                    session, doors().house, doing.who, number, to_staff_id, comment, doing.now, version
                )
        except DeskError as refused:
            warn(_("Заявка № {number} не передана. {reason}", number=number, reason=refused.text))
        else:
            given += 1
    if given:
        doors().wake()
        tell(_("Передано заявок: {count}.", count=given))


def _list_again() -> str:
    """The same list with the same questions."""
    asked_before = request.form.get("back", "")
    base = url_for("requests.index")
    return f"{base}?{asked_before}" if asked_before and asked_before.isprintable() else base


# --- Kept answers --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Canned:
    """A kept answer with the facts of this request in their places."""

    reply_id: int
    title: str
    text: str


def _filled(replies: Sequence[canned.Reply], card: RequestCard) -> tuple[_Canned, ...]:
    deadline = answer(card.answers.get("deadline", ""), "deadline")
    known = ReplyFacts(
        card.person, str(card.row.number), deadline, card.row.assignee or me().member.name,
        doors().house.firm_name,
    )  # fmt: skip
    return tuple(
        _Canned(each.reply_id, each.fields.title, canned.fill(each.fields.text, known)) for each in replies
    )


def _with_canned(replies: tuple[_Canned, ...], wanted: int | None) -> str:
    """What is typed, with the chosen answer below it; empty when no answer was to be put in."""
    if "insert" not in request.form:
        return ""
    chosen = [each.text for each in replies if each.reply_id == wanted]
    return "\n".join(part for part in (_words("text"), *chosen) if part)


# --- Files ---------------------------------------------------------------------------------------------

VIEWABLE = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif", "application/pdf"})
"""What a browser may show: told by content when the file came, and nothing that can hold a script."""
_MAX_SHOWN_BYTES = 20 * 1024 * 1024
_NO_RIGHTS = "default-src 'none'; sandbox"
"""A file of a client runs nothing, loads nothing and belongs to no origin."""


def is_viewable(file: FileCard) -> bool:
    """Whether the browser may show this file itself."""
    return file.media_type in VIEWABLE and file.size_bytes <= _MAX_SHOWN_BYTES


def _sent_file(path: Path, file: FileCard, *, inline: bool) -> FlaskResponse:
    inline = inline and is_viewable(file)
    sent = send_file(path, mimetype=file.media_type, as_attachment=not inline, download_name=file.name)
    if inline:
        sent.headers["Content-Security-Policy"] = _NO_RIGHTS
    return sent


# --- One request ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _To:
    """Whom to give a request: a member of staff, or (None) whoever the router finds."""

    staff_id: int | None


def _chosen(value: str) -> _To | None:
    if value == "nobody":
        return _To(None)
    staff_id = asked.as_number(value)
    if staff_id is None:
        return None
    with doors().database.read() as session:
        known = {person.staff_id for person in reading.colleagues(session, only_active=True)}
    return _To(staff_id) if staff_id in known else None


class _NotFilled(DeskError):  # noqa: N818 - the name says what happened
    """A form came without what it is for."""


def _do(deed: Deed, number: int) -> Text:
    doing = {
        Deed.ACCEPT: _accept,
        Deed.DECLINE: _decline,
        Deed.ANSWER: _answer,
        Deed.CLARIFY: _clarify,
        Deed.NOTE: _note,
        Deed.OUTSIDE: _outside,
        Deed.RESUME: _resume,
        Deed.DONE: _done,
        Deed.REOPEN: _reopen,
        Deed.HAND_ON: _hand_on,
        Deed.REASSIGN: _reassign,
        Deed.CANCEL: _cancel,
        Deed.CONFIRM: _confirm,
        Deed.AGREE: _agree,
        Deed.KEEP: _keep,
        Deed.DEADLINE: _deadline,
        Deed.CLOSE: _close,
    }
    prepared, told = doing[deed](number, asked.as_number(request.form.get("version", "")) or 0)
    with doors().database.begin() as session:
        prepared(session)
    return told


_Prepared = tuple[Callable[[Session], Any], Text]
"""What to do inside the transaction (files are read before it, so that nobody waits), and what to say."""


def _accept(number: int, version: int) -> _Prepared:
    return (
        lambda session: casework.accept(session, doors().house, me().who, number, doors().now(), version),
        _("Заявка у вас в работе. Клиенту написали."),
    )


def _decline(number: int, version: int) -> _Prepared:
    reason = _words("reason")
    if not reason:
        raise _NotFilled(_("Напишите в двух словах, почему отказываетесь."))
    return (
        lambda session: casework.decline(
            session, doors().house, me().who, number, reason, doors().now(), version
        ),
        _("Вы отказались. Программа ищет другого исполнителя."),
    )


def _reopen(number: int, version: int) -> _Prepared:
    reason = _words("reason")

    def reopen(session: Session) -> None:
        house, who, now = doors().house, me().who, doors().now()
        open_checked(session, house, who, number, now, version)
        casework.reopen(session, house, who, number, reason, now)

    return reopen, _("Заявка снова в работе.")


def _answer(number: int, version: int) -> _Prepared:
    words, files = _words("text"), uploaded()
    if not words and not files:
        raise _NotFilled(_("Напишите ответ или приложите файл."))
    return (
        lambda session: casework.answer(
            session, doors().house, me().who, number, words, files, doors().now(), version
        ),
        _("Ответ уйдёт клиенту в его мессенджер."),
    )


def _clarify(number: int, version: int) -> _Prepared:
    field, question = request.form.get("field", ""), _words("question")
    with doors().database.read() as session:
        card = reading.read_request(session, number, own_of())
    if card is None or field not in _fields_of(card):
        raise _NotFilled(_("Выберите, что клиенту уточнить."))
    return (
        lambda session: casework.clarify(
            session, doors().house, me().who, number, field, question, doors().now(), version
        ),
        _("Спросили клиента. Ответ придёт сюда и исполнителю."),
    )


def _fields_of(card: RequestCard) -> tuple[str, ...]:
    """The questions of the form that this client was asked, and can be asked again."""
    return tuple(field.name for field in FORM if field.part_of is None and field.asked_if(card.answers))


def _note(number: int, _version: int) -> _Prepared:
    # A note adds to whatever has happened meanwhile: it is never stale.
    words, files = _words("text"), uploaded()
    if not words:
        raise _NotFilled(_("Напишите заметку."))
    return (
        lambda session: casework.note(session, doors().house, me().who, number, words, files, doors().now()),
        _("Заметка сохранена. Клиент её не видит."),
    )


def _outside(number: int, version: int) -> _Prepared:
    whom = _words("whom")
    return (
        lambda session: casework.wait_outside(
            session, doors().house, me().who, number, whom, doors().now(), version
        ),
        _("Отметили: ждём третьих лиц. Это время не считается временем исполнителя."),
    )


def _resume(number: int, version: int) -> _Prepared:
    return (
        lambda session: casework.resume(session, doors().house, me().who, number, doors().now(), version),
        _("Заявка снова в работе."),
    )


def _done(number: int, version: int) -> _Prepared:
    words, files = _words("text"), uploaded()
    if not words and not files:
        raise _NotFilled(_("Напишите клиенту, что сделано, или приложите файл."))
    return (
        lambda session: casework.done(
            session, doors().house, me().who, number, words, files, doors().now(), version
        ),
        _("Выполнено. Результат уйдёт клиенту."),
    )


def _hand_on(number: int, version: int) -> _Prepared:
    to, comment = _chosen(request.form.get("to", "")), _words("comment")
    if to is None or to.staff_id is None:
        raise _NotFilled(_("Выберите, кому передать."))
    if not comment:
        raise _NotFilled(_("Напишите коллеге в двух словах, почему передаёте."))
    staff_id = to.staff_id
    return (
        lambda session: casework.pass_on(
            session, doors().house, me().who, number, staff_id, comment, doors().now(), version
        ),
        _("Передано. Коллега и клиент узнают об этом."),
    )


def _reassign(number: int, version: int) -> _Prepared:
    to, comment = _chosen(request.form.get("to", "")), _words("comment")
    if to is None:
        raise _NotFilled(_("Выберите, кому передать."))
    return (
        lambda session: casework.reassign(
            session, doors().house, me().who, number, to.staff_id, comment, doors().now(), version
        ),
        _("Передано. Исполнитель и клиент узнают об этом."),
    )


def _cancel(number: int, version: int) -> _Prepared:
    reason = _words("reason")
    if not reason:
        raise _NotFilled(_("Напишите причину: её прочитает клиент."))
    return (
        lambda session: casework.cancel(
            session, doors().house, me().who, number, reason, doors().now(), version
        ),
        _("Заявка отменена. Клиенту написали причину."),
    )


def _deadline(number: int, version: int) -> _Prepared:
    reason, house, now = _words("reason"), doors().house, doors().now()
    if not reason:
        raise _NotFilled(_("Напишите причину: её прочитает клиент."))
    try:
        deadline = parse_deadline(_words("deadline"), now, house.calendar)
    except AnswerError as error:
        raise _NotFilled(error.text) from error
    return (
        lambda session: casework.move_deadline(
            session, house, me().who, number, deadline, reason, now, version
        ),
        _("Срок перенесён. Клиенту написали новый срок и причину."),
    )


def _close(number: int, version: int) -> _Prepared:
    return (
        lambda session: casework.close(session, doors().house, me().who, number, doors().now(), version),
        _("Заявка закрыта. Клиенту написали."),
    )


def _confirm(number: int, _version: int) -> _Prepared:
    return (
        lambda session: casework.confirm(session, doors().house, me().who, number, doors().now()),
        _("Отмечено: клиент подтвердил запись по телефону."),
    )


def _agree(number: int, _version: int) -> _Prepared:
    return _decided(number, agreed=True), _("Изменение в заявке. Клиенту написали.")


def _keep(number: int, _version: int) -> _Prepared:
    return _decided(number, agreed=False), _("Оставлено прежнее. Клиенту написали.")


def _decided(number: int, *, agreed: bool) -> Callable[[Session], Any]:
    proposal = asked.as_number(request.form.get("proposal", "")) or 0

    def decide(session: Session) -> None:
        if casework.request_of_proposal(session, proposal) != number:
            raise casework.NoSuchProposal
        casework.decide(session, doors().house, me().who, proposal, doors().now(), agreed=agreed)

    return decide


def _words(name: str) -> str:
    return asked.clean(request.form.get(name, "").replace("\r\n", "\n"), MAX_WORDS)


def uploaded() -> tuple[OutgoingFile, ...]:
    """Keep what was attached. Raises DeskError, naming the file that is refused."""
    sent = [file for file in request.files.getlist("files") if file.filename]
    if len(sent) > MAX_FILES:
        raise _NotFilled(_("Приложите не больше {count} файлов за раз.", count=MAX_FILES))
    kept: list[OutgoingFile] = []
    for file in sent:
        try:
            found = doors().files.keep_sync(io.BytesIO(file.stream.read()), file.filename or "")
        except StorageFull as error:
            raise _NotFilled(error.text) from error
        if (gate := doors().gate) is not None:
            found = gate(found)
        if found.verdict.reason is not None:
            raise _NotFilled(_("Файл «{name}» не приложен. {why}", name=found.name, why=found.verdict.reason))
        kept.append(OutgoingFile(found.sha256, found.name, found.verdict.media_type, found.size_bytes))
    return tuple(kept)


_OPEN = (Status.NEW, Status.ASSIGNED, Status.ACCEPTED, Status.WAITING_CLIENT, Status.DONE)
_POSSIBLE: dict[Deed, tuple[Status, ...]] = {
    Deed.ANSWER: (*_OPEN, Status.CLOSED),
    Deed.CLARIFY: (Status.WAITING_CLIENT,),
    Deed.NOTE: tuple(Status),
    Deed.OUTSIDE: (Status.ACCEPTED, Status.WAITING_CLIENT),
    Deed.RESUME: (Status.ACCEPTED,),
    Deed.REOPEN: (Status.CLOSED,),
    Deed.CANCEL: _OPEN,
    Deed.CONFIRM: _OPEN,
    Deed.AGREE: UNFINISHED,
    Deed.KEEP: UNFINISHED,
    Deed.DEADLINE: UNFINISHED,
    Deed.CLOSE: (Status.DONE,),
}
"""Which forms the page offers besides those that move the card on the board. Whether a step is allowed
is the desk's to say, not this table's."""


def _possible(card: RequestCard, moved: Movable | None, *, proposed: bool) -> frozenset[Deed]:
    # One of the two, by whose minutes run now.
    senseless = Deed.OUTSIDE if card.row.stage is Stage.THIRD_PARTY else Deed.RESUME
    steps = {step for _column, step in moved.columns} if moved else set()
    if moved and moved.people:
        steps |= {Step.GIVE, Step.HAND_ON}
    allowed = deeds(me().role, is_nobodys=card.row.assignee_id is None)
    possible = {deed for deed in allowed if card.row.status in _POSSIBLE.get(deed, ())}
    possible |= {MOVES[step] for step in steps} & allowed
    if not card.row.unconfirmed:
        possible.discard(Deed.CONFIRM)
    if not proposed:
        possible -= {Deed.AGREE, Deed.KEEP}
    return frozenset(possible - {senseless})


def _spent(card: RequestCard) -> tuple[tuple[str, int], ...]:
    intervals = [StageInterval(found.stage, found.started_at, found.ended_at) for found in card.intervals]
    seconds = stage_seconds(intervals, doors().house.calendar, doors().now())
    return tuple((stage.value, count) for stage, count in seconds.items() if count)
