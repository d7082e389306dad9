"""The board: a column a state, a lane a person; a card is moved by mouse, finger or key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flask import Response, abort, jsonify, redirect, request, url_for
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response as AnyResponse

from admin import asked, live
from admin.auth import me
from admin.doors import doors
from admin.rights import Area
from admin.shown import say
from admin.views.base import PanelView, expose, tell, warn
from admin.views.start import own_of
from forms.texts import Text, _
from router.board import NoSuchMove, Step, Target, words_wanted
from router.desk import DeskError, Event, StaleVersion
from router.model import Status
from storage import board, moves, reading
from storage.board import Column, LastChange
from storage.moves import DEFAULT_FIELD, Movable
from storage.reading import RequestRow

MAX_WORDS = 4_000

HEADINGS: Mapping[Status, Text] = {
    Status.NEW: _("Новые"),
    Status.ASSIGNED: _("Назначены"),
    Status.ACCEPTED: _("В работе"),
    Status.WAITING_CLIENT: _("Ждут клиента"),
    Status.DONE: _("Готово"),
}

_TO_COLUMN: Mapping[Step, Text] = {
    Step.TAKE_BACK: _("в «Новые»: вернуть в «Неразобранное»"),
    Step.DECLINE: _("в «Новые»: отказаться"),
    Step.ACCEPT: _("в «В работе»: принять"),
    Step.REOPEN: _("в «В работе»: вернуть в работу"),
    Step.ASK: _("в «Ждут клиента»: уточнить у клиента"),
    Step.FINISH: _("в «Готово»: выполнено"),
}

_DONE: Mapping[Step, Text] = {
    Step.GIVE: _("Передано. Исполнитель и клиент узнают об этом."),
    Step.HAND_ON: _("Передано коллеге. Клиент узнает об этом."),
    Step.TAKE_BACK: _("Заявка снова в «Новых»."),
    Step.DECLINE: _("Вы отказались. Программа ищет другого исполнителя."),
    Step.ACCEPT: _("Заявка у вас в работе. Клиенту написали."),
    Step.ASK: _("Вопрос уйдёт клиенту."),
    Step.FINISH: _("Выполнено. Результат уйдёт клиенту."),
    Step.REOPEN: _("Заявка снова в работе."),
}


@dataclass(frozen=True, slots=True)
class Lane:
    """A person's part of the board; `staff_id` 0 is nobody's."""

    staff_id: int
    name: str
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Where a card can be moved to; `words` is what to call its words, empty when it takes none."""

    value: str
    title: str
    words: str
    asks: bool


class BoardView(PanelView):
    """`/panel/board/`."""

    area = Area.REQUESTS

    def __init__(self) -> None:
        super().__init__(name=_l("Доска"), endpoint="board")

    @expose("/")
    def index(self) -> str:
        """The board whole."""
        shown = self._cards()
        return self.page(
            "board.html",
            cards=shown,
            tag=live.tag_of(shown),
            at=live.clock(),
            by_lanes=_by_lanes(),
            sees_all=own_of() is None,
            directs=me().role.directs,
        )

    @expose("/cards")
    def cards(self) -> Response:
        """The cards alone, for the board that is open already."""
        return live.fragment(self._cards())

    @expose("/<int:number>/move", methods=("GET", "POST"))
    def move(self, number: int) -> AnyResponse | str | tuple[str | Response, int]:
        """The form «Перенести»; a POST moves, however the card was taken."""
        self.require_change()
        with doors().database.read() as session:
            if reading.request_version(session, number, own_of()) is None:
                abort(404)
        if request.method == "GET":
            return self._part(number) if asked.flag("part") else self._form(number)
        version = asked.as_number(request.form.get("version", "")) or 0
        try:
            done = self._move(number, version)
        except DeskError as refused:
            return self._refused(number, refused)
        doors().wake()
        if _by_script():
            return jsonify(text=say(_DONE[done]))
        tell(_DONE[done])
        return redirect(url_for("board.index"))

    def _move(self, number: int, version: int) -> Step:
        target = _target(request.form.get("target", ""))
        words = asked.clean(request.form.get("words", "").replace("\r\n", "\n"), MAX_WORDS)
        field = asked.clean(request.form.get("field", ""))
        with doors().database.begin() as session:
            return moves.move(
                session, doors().house, me().who, number, target, words, field, doors().now(), version
            )

    def _refused(self, number: int, refused: DeskError) -> AnyResponse | tuple[str | Response, int]:
        stale = isinstance(refused, StaleVersion)
        text, status = (_meanwhile(number), 409) if stale else (refused.text, 422)
        if _by_script():
            return jsonify(text=say(text)), status
        if stale:
            warn(text)
            return redirect(url_for("board.index"))
        return self._form(number, text), status

    def _part(self, number: int) -> str | tuple[Response, int]:
        """The form for the board that is open; a card that was moved meanwhile is told about first."""
        with doors().database.read() as session:
            version = reading.request_version(session, number, own_of())
        if version != asked.number("version"):
            return jsonify(text=say(_meanwhile(number))), 409
        return self._form(number)

    def _form(self, number: int, refusal: Text | None = None) -> str:
        with doors().database.read() as session:
            found = moves.movable(session, doors().house, me().who, number, doors().now())
        if found is None:
            abort(404)
        return self.page(
            "board_form.html" if asked.flag("part") else "board_move.html",
            found=found,
            choices=_choices(found),
            people=tuple((f"to:{person.staff_id}", person.name) for person in found.people),
            words_for_people=_said(words_wanted(Step.GIVE if me().role.directs else Step.HAND_ON)),
            chosen=request.values.get("target", ""),
            words=request.form.get("words", ""),
            field=request.form.get("field", "") or DEFAULT_FIELD,
            refusal=refusal,
        )

    def _cards(self) -> str:
        by_lanes = _by_lanes()
        with doors().database.read() as session:
            found = board.columns(session, own_of())
            duty = board.on_duty(session, doors().now()) if by_lanes else ()
            risky = board.at_risk(session, doors().now(), doors().house.calendar, own_of())
            people = reading.colleagues(session, only_active=True) if by_lanes else ()
        names = {person.staff_id: person.name for person in people}
        return self.page(
            "board_cards.html",
            lanes=_lanes(found, names) if by_lanes else (Lane(-1, "", found),),
            by_lanes=by_lanes,
            total={column.status: len(column.cards) + column.more for column in found},
            unseen=tuple(column for column in found if column.more),
            loads={one.staff_id: one for one in duty},
            risky={one.row.number for one in risky},
            now=doors().now(),
            headings=HEADINGS,
        )


def _by_lanes() -> bool:
    return asked.flag("lanes") and own_of() is None


def _by_script() -> bool:
    return request.accept_mimetypes.best == "application/json"


def _lanes(columns: tuple[Column, ...], names: Mapping[int, str]) -> tuple[Lane, ...]:
    """Nobody's first, then everybody who takes requests, then whoever else holds one."""
    known = {0: say(_("Ни у кого")), **names}
    for column in columns:
        for card in column.cards:
            known.setdefault(card.assignee_id or 0, card.assignee)
    return tuple(
        Lane(
            staff_id,
            name,
            tuple(Column(column.status, _of(column.cards, staff_id), 0) for column in columns),
        )
        for staff_id, name in known.items()
    )


def _of(cards: tuple[RequestRow, ...], staff_id: int) -> tuple[RequestRow, ...]:
    return tuple(card for card in cards if (card.assignee_id or 0) == staff_id)


def _target(value: str) -> Target:
    """`column:done` or `to:5`; what makes no sense is refused as no move at all."""
    kind, _colon, what = value.partition(":")
    if kind == "to" and (staff_id := asked.as_number(what)) is not None:
        return Target(to_id=staff_id)
    if kind == "column" and what in set(HEADINGS):
        return Target(Status(what))
    raise NoSuchMove(_("Выберите, куда перенести."))


def _choices(found: Movable) -> tuple[Choice, ...]:
    return tuple(
        Choice(
            f"column:{column.value}", say(_TO_COLUMN[step]), _said(words_wanted(step)), asks=step is Step.ASK
        )
        for column, step in found.columns
    )


def _said(text: Text | None) -> str:
    return say(text) if text else ""


# --- «Пока вы переносили» ------------------------------------------------------------------------------

_MEANWHILE: Mapping[str, Text] = {
    Event.ACCEPTED: _("принял(а) заявку в работу"),
    Event.DECLINED: _("отказался (отказалась) от заявки"),
    Event.UNASSIGNED: _("вернул(а) заявку в «Новые»"),
    Event.CLARIFICATION_ASKED: _("спросил(а) клиента"),
    Event.CLARIFICATION_ANSWERED: _("ответил(а) на вопрос"),
    Event.ANSWERED: _("написал(а) клиенту"),
    Event.CLIENT_WROTE: _("написал(а) по заявке"),
    Event.NOTED: _("оставил(а) заметку"),
    Event.DONE: _("выполнил(а) заявку"),
    Event.REOPENED: _("вернул(а) заявку в работу"),
    Event.CLOSED: _("закрыл(а) заявку"),
    Event.CANCELLED: _("отменил(а) заявку"),
}
_HANDED = frozenset({Event.REASSIGNED, Event.PASSED, Event.ASSIGNED, Event.ESCALATED})


def _meanwhile(number: int) -> Text:
    with doors().database.read() as session:
        last = board.last_change(session, number)
    return _("{what} Доска уже показывает это: посмотрите и повторите.", what=_happened(number, last))


def _happened(number: int, last: LastChange) -> Text:
    name = last.actor or _("программа")
    if last.action in _HANDED and last.assignee:
        return _(
            "Пока вы переносили, {name} передал(а) заявку № {number}. Исполнитель: {holder}.",
            name=name,
            number=number,
            holder=last.assignee,
        )
    what = _MEANWHILE.get(last.action, _("изменил(а) заявку"))
    return _("Пока вы переносили, {name} {what} (№ {number}).", name=name, number=number, what=what)
