"""What a director reads at the beginning and at the end of the day, and what they ask others to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from types import MappingProxyType

from forms.fields import FormContext
from forms.messages import Button, Press, Reply
from forms.texts import Clock, Day, Text, _, lines, listed
from notifications.compose import REQUEST_SCOPE, RequestFacts, staff_rows, time_left
from router.model import Status

DIRECTOR_SCOPE = "dir"
BOARD = Press(DIRECTOR_SCOPE, "board")
BUTTONS_IN_ROW = 4

COLUMN_TITLES: Mapping[Status, Text] = MappingProxyType(
    {
        Status.NEW: _("Не назначены"),
        Status.ASSIGNED: _("Назначены, не приняты"),
        Status.ACCEPTED: _("В работе"),
        Status.WAITING_CLIENT: _("Ждут клиента"),
        Status.DONE: _("Готовы, ждут слова клиента"),
    }
)


class Occasion(StrEnum):
    """When a summary is sent."""

    MORNING = "morning"
    EVENING = "evening"


@dataclass(frozen=True, slots=True)
class Urgent:
    """A request whose deadline is near. `assignee` is empty while nobody has it."""

    number: int
    version: int
    company: str
    kind: Text
    deadline: datetime
    assignee: str


@dataclass(frozen=True, slots=True)
class DayFigures:
    """How things stand: open requests by column, what is owed, what the day brought."""

    by_column: Mapping[Status, int]
    unanswered: int
    overdue: int
    submitted: int
    finished: int
    urgent: tuple[Urgent, ...]


def morning(figures: DayFigures, day: date, context: FormContext) -> Reply:
    """At the opening: what there is to do today."""
    head = _("Доброе утро. {day}.", day=Day(day, capital=True))
    return _summary(head, figures, _("Самые срочные:"), context)


def evening(figures: DayFigures, day: date, context: FormContext) -> Reply:
    """At the closing: what the day brought and what is left."""
    head = lines(
        _("Итог дня. {day}.", day=Day(day, capital=True)),
        _(
            "Заявок за день: подано {submitted}, выполнено {finished}.",
            submitted=figures.submitted,
            finished=figures.finished,
        ),
    )
    return _summary(head, figures, _("Ближайшие сроки:"), context)


def _summary(head: Text, figures: DayFigures, nearest: Text, context: FormContext) -> Reply:
    text = lines(
        head,
        *column_lines(figures.by_column),
        owed_line(figures.unanswered, figures.overdue),
        nearest if figures.urgent else None,
        *(_urgent_line(urgent, context) for urgent in figures.urgent),
    )
    board = (Button(_("Доска"), str(BOARD), ("/board",)),)
    return Reply(text, (*card_rows([(each.number, each.version) for each in figures.urgent]), board))


def column_lines(by_column: Mapping[Status, int]) -> tuple[Text, ...]:
    """A line per column that is not empty; one sentence when all are."""
    shown = tuple(
        _("{title}: {count}", title=title, count=by_column[column])
        for column, title in COLUMN_TITLES.items()
        if by_column.get(column)
    )
    return shown or (_("Открытых заявок нет."),)


def owed_line(unanswered: int, overdue: int) -> Text | None:
    """What cannot wait, if there is anything."""
    owed = (
        _("без ответа {count}", count=unanswered) if unanswered else None,
        _("просрочено {count}", count=overdue) if overdue else None,
    )
    return _("Из всех: {what}.", what=listed(*owed)) if any(owed) else None


def card_rows(requests: Sequence[tuple[int, int]]) -> tuple[tuple[Button, ...], ...]:
    """A button for each request, given by number and version, that opens its card."""
    buttons = [
        Button(_("№ {number}", number=number), str(Press(REQUEST_SCOPE, str(number), "card", version)))
        for number, version in requests
    ]
    return tuple(tuple(buttons[at : at + BUTTONS_IN_ROW]) for at in range(0, len(buttons), BUTTONS_IN_ROW))


def _urgent_line(urgent: Urgent, context: FormContext) -> Text:
    head = _("№ {number} {company} — {kind}", number=urgent.number, company=urgent.company, kind=urgent.kind)
    late = _("просрочена") if urgent.deadline < context.now else None
    return listed(head, _until(urgent.deadline, context), late, urgent.assignee or _("ни у кого"))


def _until(at: datetime, context: FormContext) -> Text:
    local, today = at.astimezone(context.calendar.zone), context.now.astimezone(context.calendar.zone).date()
    if local.date() == today:
        return _("сегодня до {clock}", clock=Clock(local))
    return _("до {date}, {clock}", date=f"{local:%d.%m}", clock=Clock(local))


# --- a reminder --------------------------------------------------------------------------------


def reminder(facts: RequestFacts, director: str, context: FormContext) -> Reply:
    """To the one who has the request: it is waited for. Answered with the buttons of its card."""
    head = _(
        "{name} напоминает: заявка № {number}, {client}.",
        name=director or _("Директор"),
        number=facts.number,
        client=facts.client,
    )
    return Reply(lines(head, time_left(facts, context)), staff_rows(facts))
