"""The reports as tables: what the times figures, the people's figures and the lists behind them say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from admin import shown
from admin.doors import doors
from admin.shown import label, minutes, say, spent
from admin.tables import Cell, Column, Table
from forms.texts import Text, _
from storage.outages import SERVICE, Cause
from storage.times import (
    BEFORE,
    IN_SECONDS,
    Absence,
    By,
    Clarified,
    Conduct,
    Event,
    Figure,
    Measure,
    Norms,
    PersonReport,
    Times,
)

Link = Callable[..., str]
"""The address of the list behind a figure: of a measure, narrowed by what is named."""

BREAKDOWN = (
    Measure.FIRST_RESPONSE, Measure.ACCEPTANCE, Measure.PROCESSING, Measure.CLARIFICATION,
    Measure.EXECUTION, Measure.WHOLE, Measure.RESOLUTION,
)  # fmt: skip
WEEKDAYS = (_("пн"), _("вт"), _("ср"), _("чт"), _("пт"), _("сб"), _("вс"))
USUAL_HOURS = range(9, 18)

CONDUCT_WORDS: Mapping[Conduct, Text] = {
    Conduct.HOURS: _("Отработано"),
    Conduct.TALK: _("Общение с клиентами"),
    Conduct.GIVEN: _("Назначено"),
    Conduct.IN_TIME: _("Приняты в норму"),
    Conduct.TAKEN_LATE: _("Приняты позже"),
    Conduct.DECLINED: _("Отказы"),
    Conduct.ESCALATED: _("Не приняты вовремя"),
    Conduct.DONE: _("Выполнены"),
    Conduct.LATE: _("После срока"),
    Conduct.ABSENT: _("Отсутствие"),
}

BY_WORDS: Mapping[By, Text] = {
    By.STAFF: _("По исполнителям"),
    By.DEPARTMENT: _("По отделам"),
    By.KIND: _("По видам работ"),
    By.CLIENT: _("По клиентам"),
    By.CHANNEL: _("По мессенджерам"),
}

_TALK_WORDS: Mapping[str, Text] = {
    "message": _("сообщение"),
    "call": _("звонок по списку"),
    "recorded": _("записано со слов"),
}


@dataclass(frozen=True, slots=True)
class Names:
    """Who is who on the pages."""

    staff: Mapping[int, str]
    zone: ZoneInfo

    def of(self, staff_id: int | None) -> str:
        """The name of a member of staff, or a dash."""
        return "—" if staff_id is None else self.staff.get(staff_id, f"№ {staff_id}")

    def moment(self, at: datetime | None) -> Cell:
        """A moment: short on the page, with its zone in exports."""
        if at is None:
            return Cell(None, "—")
        return Cell(at.astimezone(self.zone).isoformat(timespec="seconds"), shown.when(at))


def number_of(value: float) -> float:
    """A number of minutes exactly as the page shows it."""
    text = minutes(value).replace(",", ".")
    return float(text) if "." in text else int(text)


def _parts() -> tuple[str, ...]:
    return say(_("медиана, мин")), say(_("p90, мин")), say(_("заявок"))


def _figure_cells(figure: Figure | None, href: str, late: bool = False) -> tuple[Cell, Cell, Cell]:
    if figure is None:
        return Cell(None, "—"), Cell(None, "—"), Cell(0)
    middle, ninth = figure.median_minutes, figure.p90_minutes
    return (
        Cell(number_of(middle), minutes(middle), href=href, late=late),
        Cell(number_of(ninth), minutes(ninth), href=href),
        Cell(figure.count, href=href),
    )


def _figure_cell(figure: Figure | None, href: str, late: bool = False) -> Cell:
    if figure is None:
        return Cell(None, "—", more=(None, 0))
    middle, ninth = figure.median_minutes, figure.p90_minutes
    small = f"{minutes(ninth)} · {figure.count}"
    more = (number_of(ninth), figure.count)
    return Cell(number_of(middle), minutes(middle), small, href, late, more)


def is_late(figure: Figure | None, measure: Measure, norms: Norms) -> bool:
    """Whether the median is over the norm."""
    norm = norms.target(measure)
    return norm is not None and figure is not None and figure.median_minutes > norm[1]


def _range(found: tuple[int, int] | None) -> Cell:
    return Cell(f"{found[0]}–{found[1]}" if found else None, "" if found else "—")


_CAUSES: Mapping[Cause, Text] = {
    Cause.STOPPED: _("программу выключали"),
    Cause.CRASHED: _("программа упала"),
    Cause.STALLED: _("программа не отвечала"),
    Cause.UNREACHABLE: _("мессенджер не отвечал"),
}


def without_us(found: Absence, names: Names) -> Table:
    """The outages of the period, which the figures count as waiting like any other."""
    rows = [
        (
            Cell(
                say(_("вся программа")) if each.span.scope == SERVICE else label(each.span.scope, "channel")
            ),
            Cell(say(_CAUSES[each.span.cause])),
            names.moment(each.span.started_at),
            names.moment(each.span.ended_at),
            Cell(number_of(each.seconds / 60), minutes(each.seconds / 60)),
            Cell(each.requests),
        )
        for each in found.missed
    ]
    titles = (_("Рабочих минут"), _("Ждали ответа, заявок"))
    return Table(
        say(_("Были без связи")),
        (
            *(Column(say(title)) for title in (_("Что"), _("Отчего"), _("С"), _("До"))),
            *(Column(say(title), numeric=True) for title in titles),
        ),
        tuple(rows),
    )


def overall(found: Times, norms: Norms, behind: Link) -> Table:
    """Every measure beside its norm and what it took before."""
    rows = []
    for measure in Measure:
        figure = found.overall.get(measure)
        name = Cell(label(measure, "measure"), small=shown.explained(measure))
        late = is_late(figure, measure, norms)
        norm, before = _range(norms.target(measure)), _range(BEFORE.get(measure))
        rows.append((name, *_figure_cells(figure, behind(measure), late), norm, before))
    titles = (_("Медиана, мин"), _("p90, мин"), _("Заявок"), _("Норма"), _("Было раньше"))
    return Table(
        say(_("Показатели")),
        (Column(say(_("Этап"))), *(Column(say(title), numeric=True) for title in titles)),
        tuple(rows),
        strong=frozenset({tuple(Measure).index(Measure.WHOLE)}),
    )


def groups(found: Times, by: By, norms: Norms, names: Names, behind: Link) -> Table:
    """The measures of each person, department, kind, client or messenger."""
    parts = _parts()
    rows = []
    for group in found.groups:
        narrower = {_ASKED[by]: group.code}
        cells = (
            _figure_cell(
                group.figures.get(measure),
                behind(measure, **narrower),
                is_late(group.figures.get(measure), measure, norms),
            )
            for measure in BREAKDOWN
        )
        rows.append((Cell(_group_name(by, group.code, group.name, names)), *cells))
    columns = (Column(label(measure, "measure"), numeric=True, parts=parts) for measure in BREAKDOWN)
    return Table(say(BY_WORDS[by]), (Column(say(_GROUPED[by])), *columns), tuple(rows))


_GROUPED: Mapping[By, Text] = {
    By.STAFF: _("Исполнитель"),
    By.DEPARTMENT: _("Отдел"),
    By.KIND: _("Вид работ"),
    By.CLIENT: _("Клиент"),
    By.CHANNEL: _("Мессенджер"),
}
_ASKED = {
    By.STAFF: "assignee",
    By.DEPARTMENT: "department",
    By.KIND: "kind",
    By.CLIENT: "client",
    By.CHANNEL: "channel",
}


def _group_name(by: By, code: str, name: str, names: Names) -> str:
    match by:
        case By.STAFF:
            return names.of(int(code))
        case By.CLIENT:
            return name
        case By.DEPARTMENT:
            return label(code, "department")
        case By.KIND:
            return label(code, "kind")
        case By.CHANNEL:
            return label(code, "channel")


def weeks(found: Times, measure: Measure, norms: Norms, behind: Link) -> Table:
    """A measure week by week."""
    rows = []
    for week in found.weeks:
        sunday = week.monday + timedelta(days=6)
        days = {"since": week.monday, "until": sunday}
        figure = week.figures.get(measure)
        rows.append(
            (
                Cell(
                    f"{week.monday.isoformat()}/{sunday.isoformat()}", f"{week.monday:%d.%m}–{sunday:%d.%m}"
                ),
                Cell(week.sent, href=behind("sent", **days) if week.sent else ""),
                *_figure_cells(figure, behind(measure, **days), is_late(figure, measure, norms)),
            )
        )
    titles = (_("Подано"), _("Медиана, мин"), _("p90, мин"), _("Заявок"))
    return Table(
        say(_("По неделям: {measure}", measure=label(measure, "measure"))),
        (Column(say(_("Неделя"))), *(Column(say(title), numeric=True) for title in titles)),
        tuple(rows),
    )


def heat_hours(found: Times) -> range:
    """The usual hours, and those outside of them in which anything came."""
    hours = [hour for _weekday, hour in found.heat]
    return range(min([USUAL_HOURS.start, *hours]), max([USUAL_HOURS.stop - 1, *hours]) + 1)


def heat(found: Times, by_response: bool, behind: Link) -> Table:
    """Weekday by hour of sending: how many came, or the median of the first response."""
    hours = heat_hours(found)
    rows = []
    for weekday, name in enumerate(WEEKDAYS):
        cells = []
        for hour in hours:
            cell, place = found.heat.get((weekday, hour)), {"weekday": weekday, "hour": hour}
            if cell is None or (cell.first_response is None if by_response else not cell.sent):
                cells.append(Cell(None, "·"))
            elif by_response and cell.first_response is not None:
                middle = cell.first_response.median_minutes
                href = behind(Measure.FIRST_RESPONSE, **place)
                cells.append(Cell(number_of(middle), minutes(middle), href=href))
            else:
                cells.append(Cell(cell.sent, href=behind("sent", **place)))
        rows.append((Cell(say(name)), *cells))
    title = _("Первый ответ по часам недели, медиана, мин") if by_response else _("Заявки по часам недели")
    columns = (Column(f"{hour:02d}", numeric=True) for hour in hours)
    return Table(say(title), (Column(say(_("День"))), *columns), tuple(rows))


def percent(part: float, whole: float) -> float | None:
    """A share in percent, to one decimal; None of nothing."""
    return round(part * 100 / whole, 1) if whole else None


def _percent_cell(part: float, whole: float, late: bool = False) -> Cell:
    found = percent(part, whole)
    return Cell(None, "—") if found is None else Cell(found, f"{_decimal(found)} %", late=late)


def _decimal(value: float) -> str:
    return f"{value:g}".replace(".", ",") if doors().language == "ru" else f"{value:g}"


def clarifications(found: Clarified, behind: Link) -> Table:
    """How many requests could not do without a question, and which field it was about."""
    asked = found.asked_about()
    rows = [
        (
            Cell(say(_("Любое поле"))),
            Cell(asked, href=behind("clarified") if asked else ""),
            _percent_cell(asked, found.requests),
        )
    ]
    rows += [
        (
            Cell(label(field, "field")),
            Cell(count, href=behind("clarified", field=field)),
            _percent_cell(count, found.requests),
        )
        for field, count in found.fields.items()
    ]
    titles = (_("Заявок с вопросом"), _("Доля"))
    return Table(
        say(_("Что уточняли у клиентов")),
        (Column(say(_("Поле"))), *(Column(say(title), numeric=True) for title in titles)),
        tuple(rows),
        strong=frozenset({0}),
    )


def people(reports: Iterable[PersonReport], names: Names, norms: Norms, behind: Link) -> Table:
    """Hours, client interaction and discipline of each."""
    rows = []
    for report in reports:
        share = report.talk_share
        late = share is not None and share * 100 > norms.interaction_percent
        cells = []
        for what in Conduct:
            cells.append(_conduct_cell(report, what, behind))
            if what is Conduct.TALK:
                cells.append(_percent_cell(report.figures[what], report.figures[Conduct.HOURS], late))
        rows.append((Cell(names.of(report.staff_id)), *cells))
    columns = [Column(say(_("Сотрудник")))]
    for what in Conduct:
        title = say(CONDUCT_WORDS[what])
        exported = (say(_("мин")),) if what in IN_SECONDS else ()
        columns.append(Column(title, numeric=True, parts=exported))
        if what is Conduct.TALK:
            columns.append(Column(say(_("Доля общения, %")), numeric=True))
    return Table(say(_("Сотрудники")), tuple(columns), tuple(rows))


def _conduct_cell(report: PersonReport, what: Conduct, behind: Link) -> Cell:
    found = report.figures[what]
    href = behind(what, assignee=report.staff_id) if found else ""
    if what in IN_SECONDS:
        return Cell(round(found / 60, 2), spent(found) if found else "—", href=href)
    bad = what in (Conduct.TAKEN_LATE, Conduct.ESCALATED, Conduct.LATE) and found > 0
    return Cell(found, href=href, late=bad)


def listed(what: str, found: Iterable[Event], names: Names, href_of: Callable[[int], str]) -> Table:
    """The events behind a figure, one by one."""
    events = tuple(found)
    columns: list[tuple[Column, Callable[[Event], Cell]]] = []
    if any(event.sent or event.what == Conduct.TALK for event in events):
        columns += [
            (Column("№"), lambda event: _number_cell(event, href_of)),
            (Column(say(_("Клиент"))), lambda event: Cell(event.sent.company if event.sent else "—")),
            (
                Column(say(_("Вид работ"))),
                lambda event: Cell(label(event.sent.kind, "kind") if event.sent else "—"),
            ),
        ]
    columns.append((Column(say(_("Сотрудник"))), lambda event: Cell(names.of(event.staff_id))))
    detail = _DETAILS.get(what)
    if detail is not None:
        columns.append((Column(say(detail[0])), lambda event: Cell(detail[1](event.detail))))
    columns += [
        (Column(say(_("С"))), lambda event: names.moment(event.started_at)),
        (Column(say(_("По"))), lambda event: names.moment(event.ended_at)),
    ]
    if what not in _WITHOUT_TIME:
        columns.append((Column(say(_time_title(what)), numeric=True), _time_cell))
        columns.append((Column(say(_("секунд")), numeric=True), lambda event: Cell(event.seconds)))
    rows = tuple(tuple(made(event) for _column, made in columns) for event in events)
    return Table(list_title(what), tuple(column for column, _made in columns), rows)


_WITHOUT_TIME = frozenset({"sent", Conduct.DECLINED, Conduct.ESCALATED, Conduct.DONE})


def _time_title(what: str) -> Text:
    return _("Минут") if what in (Conduct.HOURS, Conduct.TALK) else _("Рабочих минут")


def _time_cell(event: Event) -> Cell:
    return Cell(number_of(event.seconds / 60), minutes(event.seconds / 60))


def _number_cell(event: Event, href_of: Callable[[int], str]) -> Cell:
    number = event.number
    if number is None:
        # A message about a request of before the period tells only the number.
        told = event.detail.partition(":")[2]
        number = int(told) if told.isdigit() else None
    return Cell(None, "—") if number is None else Cell(number, f"№ {number}", href=href_of(number))


_DETAILS: Mapping[str, tuple[Text, Callable[[str], str]]] = {
    Measure.WHOLE: (_("Этап"), lambda code: label(code, "measure")),
    "clarified": (_("Поле"), lambda code: label(code, "field")),
    Conduct.TALK: (_("Что"), lambda code: say(_TALK_WORDS[code.partition(":")[0]])),
    Conduct.DECLINED: (_("Причина"), lambda words: words or "—"),
    Conduct.ABSENT: (_("Причина"), lambda words: words or "—"),
}


def list_title(what: str) -> str:
    """What a list is a list of."""
    if what in set(Measure):
        return label(what, "measure")
    if what in set(Conduct):
        return say(CONDUCT_WORDS[Conduct(what)])
    return say(_OTHER_LISTS[what])


_OTHER_LISTS: Mapping[str, Text] = {
    "sent": _("Поданные заявки"),
    "clarified": _("Вопросы клиентам"),
}
LISTS = (*Measure, *Conduct, *_OTHER_LISTS)


def chosen(rows: Iterable[tuple[Text, str]]) -> Table:
    """What was asked for, as the first table of an export."""
    return Table(
        say(_("Отбор")),
        (Column(say(_("Что"))), Column(say(_("Выбрано")))),
        tuple((Cell(say(name)), Cell(value)) for name, value in rows),
    )


def day_shown(day: date) -> str:
    """A day as people write it."""
    return f"{day:%d.%m.%Y}"
