"""The board of requests: which step it is to move a card, and which moves are possible. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from forms.texts import Text, _
from router import desk
from router.desk import Actor, Change, DeskError, Request
from router.model import Status

COLUMNS = (Status.NEW, Status.ASSIGNED, Status.ACCEPTED, Status.WAITING_CLIENT, Status.DONE)


class Step(StrEnum):
    """What moving a card means."""

    GIVE = "give"
    HAND_ON = "hand_on"
    TAKE_BACK = "take_back"
    DECLINE = "decline"
    ACCEPT = "accept"
    ASK = "ask"
    FINISH = "finish"
    REOPEN = "reopen"


NEEDS_WORDS = frozenset({Step.HAND_ON, Step.DECLINE, Step.ASK, Step.FINISH})
"""Steps that the other side must be able to understand."""

TAKES_WORDS = NEEDS_WORDS | {Step.GIVE, Step.TAKE_BACK, Step.REOPEN}


@dataclass(frozen=True, slots=True)
class Target:
    """Where a card is moved: to a person (`to_id`), or to another column of the same person."""

    column: Status = Status.ASSIGNED
    to_id: int | None = None


class NoSuchMove(DeskError):  # noqa: N818 - the name says what happened
    """Nothing that can be done with this request would bring it there."""


def step_to(request: Request, actor: Actor, target: Target) -> Step:
    """Which step brings a card there. Whether it is allowed is the desk's to say.

    Raises:
        NoSuchMove: there is no such step; the text says what can be done instead.
    """
    if target.to_id is not None:
        return Step.GIVE if actor.directs else Step.HAND_ON
    if target.column is request.status:
        raise NoSuchMove(_("Заявка и так здесь."))
    match target.column:
        case Status.NEW:
            return Step.TAKE_BACK if actor.directs else Step.DECLINE
        case Status.ASSIGNED:
            raise NoSuchMove(_("Назначают кому-то: выберите, кому передать."))
        case Status.ACCEPTED if request.status is Status.WAITING_CLIENT:
            raise NoSuchMove(_("Клиент ещё не ответил. Когда ответит, заявка сама вернётся в работу."))
        case Status.ACCEPTED:
            return Step.REOPEN if request.status is Status.DONE else Step.ACCEPT
        case Status.WAITING_CLIENT:
            return Step.ASK
        case Status.DONE:
            return Step.FINISH
    raise NoSuchMove(_("Такого столбца на доске нет."))


def attempt(  # noqa: PLR0911 - one line a step
    step: Step, request: Request, actor: Actor, now: datetime, to_id: int | None = None, holder: str = ""
) -> Change:
    """What the desk says to a step, whatever its words will be. Raises DeskError."""
    words = "—"
    match step:
        case Step.GIVE:
            # Whom: anybody else will do to know whether it may be given at all.
            return desk.reassign(request, actor, now, -1 if to_id is None else to_id)
        case Step.HAND_ON:
            return desk.pass_on(request, actor, now, -1 if to_id is None else to_id, words, holder=holder)
        case Step.TAKE_BACK:
            return desk.unassign(request, actor, now)
        case Step.DECLINE:
            return desk.decline(request, actor, now, words, holder=holder)
        case Step.ACCEPT:
            return desk.accept(request, actor, now, holder=holder)
        case Step.ASK:
            return desk.ask_clarification(request, actor, now, None, holder=holder)
        case Step.FINISH:
            return desk.done(request, actor, now, holder=holder)
        case Step.REOPEN:
            return desk.reopen(request, actor, now)
        case _:
            assert_never(step)


def possible(
    request: Request, actor: Actor, now: datetime, holder: str = ""
) -> tuple[tuple[Status, Step], ...]:
    """The columns to which this actor may move the card, and how."""
    found = []
    for column in COLUMNS:
        try:
            step = step_to(request, actor, Target(column))
            attempt(step, request, actor, now, holder=holder)
        except DeskError:
            continue
        found.append((column, step))
    return tuple(found)


def may_give(request: Request, actor: Actor, now: datetime, holder: str = "") -> bool:
    """Whether this actor may hand the card to somebody else."""
    try:
        attempt(Step.GIVE if actor.directs else Step.HAND_ON, request, actor, now, holder=holder)
    except DeskError:
        return False
    return True


_WORDS: dict[Step, tuple[Text, Text]] = {
    Step.GIVE: (_("Комментарий исполнителю"), _("Комментарий исполнителю")),
    Step.HAND_ON: (_("Почему передаёте"), _("Напишите в двух словах, почему передаёте.")),
    Step.TAKE_BACK: (_("Комментарий"), _("Комментарий")),
    Step.DECLINE: (_("Почему отказываетесь"), _("Напишите в двух словах, почему отказываетесь.")),
    Step.ASK: (_("Вопрос клиенту"), _("Напишите, о чём спросить клиента.")),
    Step.FINISH: (_("Что сделано, для клиента"), _("Напишите клиенту, что сделано.")),
    Step.REOPEN: (_("Что не так"), _("Что не так")),
}


def words_wanted(step: Step) -> Text | None:
    """What to call the words of a step; None when it takes none."""
    return _WORDS[step][0] if step in TAKES_WORDS else None


class WordsMissing(DeskError):  # noqa: N818
    """A step that others must understand came without words."""

    def __init__(self, step: Step) -> None:
        super().__init__(_WORDS[step][1])


def require_words(step: Step, words: str) -> None:
    """Refuse a step that came without the words it needs. Raises WordsMissing."""
    if step in NEEDS_WORDS and not words.strip():
        raise WordsMissing(step)
