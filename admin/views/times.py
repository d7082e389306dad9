"""Response times beside the norms, the people's working time; behind each figure the list that makes it.

A page and its export are made of the same tables.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from urllib.parse import urlencode

from flask import abort, redirect, request, url_for
from flask_babel import lazy_gettext as _l
from markupsafe import Markup
from sqlmodel import Session
from werkzeug.wrappers import Response

from admin import asked, charts, conflicts, exporting, setting_conflicts, times_tables
from admin.auth import act
from admin.doors import doors
from admin.rights import Area
from admin.shown import label, minutes, say
from admin.tables import Table, as_csv, as_xlsx
from admin.times_tables import BREAKDOWN, LISTS, WEEKDAYS, Names
from admin.views.base import PanelView, expose, tell
from admin.words import DEPARTMENTS, MEASURES
from forms.kinds import BY_CODE
from forms.texts import Text, _
from storage import reading, times
from storage.times import BEFORE, OWN_STAGES, By, Conduct, Measure, Norms, TimesFilter

DEFAULT_DAYS = 30
LONGEST_DAYS = 366
SHOWN_EVENTS = 1_000
_MAX_FIELD = 40

_HEATS = ("sent", "response")


class TimesView(PanelView):
    """`/panel/times/`."""

    area = Area.TIMES

    def __init__(self) -> None:
        super().__init__(name=_l("Время ответа"), endpoint="times")

    @expose("/")
    def index(self) -> str | Response:
        """All figures of a period."""
        question = _Question.asked()
        by = By(asked.one_of("by", By) or By.STAFF)
        trend = Measure(asked.one_of("trend", BREAKDOWN) or Measure.WHOLE)
        by_response = asked.one_of("heat", _HEATS) == "response"
        calendar = doors().house.calendar
        with doors().database.read() as session:
            norms = times.read_norms(session)
            found = times.response_times(session, question.filter, calendar, by)
            clarified = times.clarified(session, question.filter, calendar)
            absent = times.without_us(session, question.filter, calendar, doors().now())
            offered = _Offered(
                times.clients_of(session, question.filter.since, question.filter.until),
                reading.used_channels(session),
                tuple((person.staff_id, person.name) for person in reading.colleagues(session)),
            )
            names = Names(times.staff_names(session), calendar.zone)
        tables = {
            "overall": times_tables.overall(found, norms, question.behind),
            "groups": times_tables.groups(found, by, norms, names, question.behind),
            "weeks": times_tables.weeks(found, trend, norms, question.behind),
            "heat": times_tables.heat(found, by_response, question.behind),
            "clarified": times_tables.clarifications(clarified, question.behind),
            "absent": times_tables.without_us(absent, names),
        }
        if export := exporting.asked_for():
            return _exported(export, "times", [question.chosen(names), *tables.values()])
        return self.page(
            "times.html",
            tables=tables,
            charts=_index_charts(found, trend, norms, by_response=by_response),
            question=question,
            chosen=question.chosen(names),
            presets=_presets(),
            offered=offered,
            by=by,
            trend=trend,
            heat="response" if by_response else "sent",
            bys=times_tables.BY_WORDS,
            trends=BREAKDOWN,
            kinds=tuple(BY_CODE),
            departments=tuple(DEPARTMENTS),
            sent=found.sent,
            has_figures=bool(found.sent or found.overall),
            absent=absent,
        )

    @expose("/people")
    def people(self) -> str | Response:
        """Hours, client interaction and discipline of everybody."""
        question = _Question.asked(only_people=True)
        calendar = doors().house.calendar
        with doors().database.read() as session:
            norms = times.read_norms(session)
            reports = times.people_report(session, question.filter, calendar, norms, doors().now())
            names = Names(times.staff_names(session), calendar.zone)
        reports = tuple(sorted(reports, key=lambda report: names.of(report.staff_id)))
        table = times_tables.people(reports, names, norms, question.behind)
        if export := exporting.asked_for():
            return _exported(export, "people", [question.chosen(names), table])
        return self.page(
            "times_people.html",
            table=table,
            chart=_talk_chart(reports, names, norms),
            question=question,
            chosen=question.chosen(names),
            presets=_presets(),
            norms=norms,
            people=[(staff_id, name) for staff_id, name in names.staff.items()],
            departments=tuple(DEPARTMENTS),
        )

    @expose("/list")
    def behind(self) -> str | Response:
        """The list behind a figure; the figure is computed from it again."""
        what = asked.one_of("measure", LISTS)
        if not what:
            abort(404)
        question = _Question.asked(only_people=what in set(Conduct))
        calendar = doors().house.calendar
        with doors().database.read() as session:
            norms = times.read_norms(session)
            names = Names(times.staff_names(session), calendar.zone)
            found = _listed(session, question, what, norms)
        link = lambda number: url_for("requests.one", number=number)  # noqa: E731 - given on as a value
        if export := exporting.asked_for():
            table = times_tables.listed(what, found, names, link)
            return _exported(export, "times-list", [question.chosen(names), table])
        is_measure = what in set(Measure)
        is_time = what in times.IN_SECONDS
        return self.page(
            "times_list.html",
            table=times_tables.listed(what, found[:SHOWN_EVENTS], names, link),
            cut=len(found) > SHOWN_EVENTS,
            what=what,
            figure=times.figure_of(found) if is_measure else None,
            total_seconds=sum(event.seconds for event in found) if is_time else None,
            count=len({event.number for event in found}) if what == "clarified" else len(found),
            norm=norms.target(Measure(what)) if is_measure else None,
            question=question,
            chosen=question.chosen(names),
        )

    @expose("/norms", methods=("GET", "POST"))
    def norms(self) -> str | Response | tuple[str, int]:
        """The norms, which the director may settle anew."""
        if request.method == "GET":
            with doors().database.read() as session:
                return self._norms_page(times.read_norms(session))
        self.require_change()
        with doors().database.read() as session:
            theirs = conflicts.as_sent(_norms_form(times.read_norms(session)))
        wanted = _norms_sent(conflicts.picked(theirs))
        try:
            with doors().database.begin() as session:
                doing = act()
                times.save_norms(session, doing.who, wanted, doing.now)
        except times.WrongNorms as refused:
            return self._norms_page(wanted, refused.text), 422
        except times.NormsChanged as refused:
            return self._both_norms(wanted, refused.text)
        tell(_("Нормы сохранены."))
        return redirect(url_for("times.norms"))

    def _both_norms(self, wanted: Norms, refusal: Text) -> Response | tuple[str, int]:
        """Somebody else has settled the norms meanwhile: both versions, to choose field by field."""
        with doors().database.read() as session:
            theirs = times.read_norms(session)
            # Every version has one line of the history.
            news = reading.history_of(session, "setting:norms")[: max(theirs.version - wanted.version, 0)]
        was = conflicts.as_sent(_norms_form(theirs))
        for line in news:
            was |= conflicts.as_sent(_norms_told(json.loads(line.before) if line.before else {}))
        fields = conflicts.disputed(
            was,
            conflicts.as_sent(_norms_form(theirs)),
            conflicts.as_sent(_norms_form(wanted)),
            _NORM_TITLES,
        )
        here, name = url_for("times.norms"), say(_("Нормы времени"))
        return setting_conflicts.answer(self, name, here, refusal, news, theirs.version, fields)

    def _norms_page(self, norms: Norms, refusal: Text | None = None) -> str:
        return self.page(
            "times_norms.html",
            norms=norms,
            stages=OWN_STAGES,
            before=BEFORE,
            whole=Measure.WHOLE,
            refusal=refusal,
        )


# --- What is asked for ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Question:
    """The period and the filters of a page, as values and as the words of its address."""

    filter: TimesFilter
    first: date
    last: date
    field: str = ""

    @classmethod
    def asked(cls, *, only_people: bool = False) -> _Question:
        """What the address asks for: the last 30 days unless it says so; never longer than a year."""
        zone = doors().house.calendar.zone
        last = asked.day("until") or _today()
        first = asked.day("since") or last - timedelta(days=DEFAULT_DAYS - 1)
        first = max(min(first, last), last - timedelta(days=LONGEST_DAYS - 1))
        since, until = asked.start_of(first, zone), asked.end_of(last, zone)
        assert since is not None and until is not None  # noqa: PT018 - both days are known here
        staff_id, department = asked.number("assignee"), asked.one_of("department", DEPARTMENTS)
        found = TimesFilter(since, until, staff_id=staff_id, department=department)
        if only_people:
            return cls(found, first, last)
        found = replace(
            found,
            kind=asked.one_of("kind", BY_CODE),
            client_id=asked.number("client"),
            channel=asked.text("channel")[:_MAX_FIELD],
            weekday=_below("weekday", 7),
            hour=_below("hour", 24),
        )
        return cls(found, first, last, asked.text("field")[:_MAX_FIELD])

    def named(self) -> dict[str, object]:
        """The questions of the address; what is not asked is None."""
        found = self.filter
        return {
            "since": self.first,
            "until": self.last,
            "assignee": found.staff_id,
            "department": found.department or None,
            "kind": found.kind or None,
            "client": found.client_id,
            "channel": found.channel or None,
            "weekday": found.weekday,
            "hour": found.hour,
            "field": self.field or None,
        }

    def behind(
        self, measure: str, *, since: date | None = None, until: date | None = None, **narrower: object
    ) -> str:
        """The address of the list behind a figure of this page; a week is cut where the period ends."""
        days = {"since": max(self.first, since or self.first), "until": min(self.last, until or self.last)}
        return _address("times.behind", {"measure": measure, **self.named(), **days, **narrower})

    def page(self, endpoint: str) -> str:
        """Another page of this section over the same period and people."""
        kept = ("since", "until", "assignee", "department")
        return _address(endpoint, {name: value for name, value in self.named().items() if name in kept})

    def index(self) -> str:
        """The page of the figures with the same filters, but for the hour."""
        left_out = ("weekday", "hour", "field")
        named = {name: value for name, value in self.named().items() if name not in left_out}
        return _address("times.index", named)

    def chosen(self, names: Names) -> Table:
        """The same in words."""
        found = self.filter
        zone = doors().house.calendar.zone.key
        rows: list[tuple[Text, str]] = [
            (_("Период с"), times_tables.day_shown(self.first)),
            (_("по"), times_tables.day_shown(self.last)),
            (_("Часовой пояс"), zone),
        ]
        if found.staff_id is not None:
            rows.append((_("Исполнитель"), names.of(found.staff_id)))
        for value, title, table in (
            (found.department, _("Отдел"), "department"),
            (found.kind, _("Вид работ"), "kind"),
            (found.channel, _("Мессенджер"), "channel"),
            (self.field, _("Поле"), "field"),
        ):
            if value:
                rows.append((title, label(value, table)))
        if found.client_id is not None:
            rows.append((_("Клиент"), f"№ {found.client_id}"))
        if found.weekday is not None:
            rows.append((_("День недели"), say(WEEKDAYS[found.weekday])))
        if found.hour is not None:
            rows.append((_("Час подачи"), f"{found.hour:02d}:00–{found.hour:02d}:59"))
        return times_tables.chosen(rows)


@dataclass(frozen=True, slots=True)
class _Offered:
    """What there is to choose from."""

    clients: Mapping[int, str]
    channels: tuple[str, ...]
    people: tuple[tuple[int, str], ...]


def _below(name: str, limit: int) -> int | None:
    found = asked.number(name)
    return found if found is not None and found < limit else None


def _address(endpoint: str, named: Mapping[str, object]) -> str:
    # Built by hand: `url_for` gives a meaning of its own to names like `_scheme`.
    kept = {name: str(value) for name, value in named.items() if value is not None}
    return f"{url_for(endpoint)}?{urlencode(kept)}"


def _today() -> date:
    return doors().now().astimezone(doors().house.calendar.zone).date()


def _presets() -> tuple[tuple[str, date, date], ...]:
    """Periods that are a press away, (name, first day, last day)."""
    today = _today()
    monday = today - timedelta(days=today.weekday())
    quarter = today.replace(month=(today.month - 1) // 3 * 3 + 1, day=1)
    return (
        (say(_("эта неделя")), monday, today),
        (say(_("прошлая неделя")), monday - timedelta(days=7), monday - timedelta(days=1)),
        (say(_("этот месяц")), today.replace(day=1), today),
        (say(_("этот квартал")), quarter, today),
        (say(_("последние 30 дней")), today - timedelta(days=DEFAULT_DAYS - 1), today),
    )


def _listed(session: Session, question: _Question, what: str, norms: Norms) -> tuple[times.Event, ...]:
    calendar, wanted = doors().house.calendar, question.filter
    if what in set(Measure):
        return times.events(session, wanted, calendar, Measure(what))
    if what in set(Conduct):
        return times.conduct_events(session, wanted, calendar, norms, doors().now(), Conduct(what))
    if what == "clarified":
        found = times.clarified(session, wanted, calendar).events
        return tuple(event for event in found if question.field in ("", event.detail))
    return times.sent(session, wanted, calendar)


_NORM_TITLES: Mapping[str, Text] = {
    f"{stage.value}-{end}": title
    for stage in OWN_STAGES
    for end, title in (
        ("from", _("{stage}: от, мин", stage=MEASURES[stage])),
        ("to", _("{stage}: до, мин", stage=MEASURES[stage])),
    )
}


def _norms_form(norms: Norms) -> dict[str, str]:
    """The norms as their form sends them."""
    stages = {stage.value: getattr(norms, stage.value) for stage in OWN_STAGES}
    told = {name: f"{low}–{high}" for name, (low, high) in stages.items()}
    plain = ("interaction_percent", "message_minutes", "call_minutes")
    return _norms_told({**told, **{name: getattr(norms, name) for name in plain}})


def _norms_told(kept: Mapping[str, object]) -> dict[str, str]:
    """The same of what the history keeps: «2–5» is two fields of the form."""
    found: dict[str, str] = {}
    for name, value in kept.items():
        low, dash, high = str(value).partition("–")
        found |= {f"{name}-from": low, f"{name}-to": high} if dash else {name: low}
    return found


def _norms_sent(form: Mapping[str, str]) -> Norms:
    """The norms as the form says; what is no number becomes one that no norm can be."""

    def number(name: str) -> int:
        found = asked.as_number(form.get(name, ""))
        return -1 if found is None else found

    stages = {
        stage.value: (number(f"{stage.value}-from"), number(f"{stage.value}-to")) for stage in OWN_STAGES
    }
    return Norms(
        **stages,
        interaction_percent=number("interaction_percent"),
        message_minutes=number("message_minutes"),
        call_minutes=number("call_minutes"),
        version=asked.as_number(request.form.get("version", "")) or 0,
    )


# --- Pictures and files --------------------------------------------------------------------------------


def _index_charts(
    found: times.Times, trend: Measure, norms: Norms, *, by_response: bool
) -> dict[str, Markup | None]:
    if not (found.sent or found.overall):
        return {"bars": None, "line": None, "heat": None}
    return {
        "bars": _norms_chart(found, norms),
        "line": _trend_chart(found, trend, norms),
        "heat": _heat_chart(found, by_response=by_response),
    }


def _norms_chart(found: times.Times, norms: Norms) -> Markup:
    values, told = [], []
    for measure in (*OWN_STAGES, Measure.WHOLE):
        figure, target, before = found.overall.get(measure), norms.target(measure), BEFORE[measure]
        name, middle = label(measure, "measure"), figure.median_minutes if figure else None
        shown = "—" if middle is None else minutes(middle)
        late = times_tables.is_late(figure, measure, norms)
        values.append(charts.Bar(name, middle, shown, target, before, late))
        told.append(f"{name}: {shown}")
    return charts.bars(
        "norms",
        say(_("Медиана этапов рядом с нормой и прежним временем, рабочие минуты")),
        "; ".join(told),
        values,
    )


def _trend_chart(found: times.Times, trend: Measure, norms: Norms) -> Markup:
    points, told = [], []
    for week in found.weeks:
        figure = week.figures.get(trend)
        name = f"{week.monday:%d.%m}"
        points.append(
            charts.Point(
                name, figure.median_minutes if figure else None, figure.p90_minutes if figure else None
            )
        )
        told.append(f"{name}: {minutes(figure.median_minutes) if figure else '—'}")
    title = _("{measure} по неделям, рабочие минуты", measure=label(trend, "measure"))
    return charts.line("trend", say(title), "; ".join(told), points, norms.target(trend))


def _heat_chart(found: times.Times, *, by_response: bool) -> Markup:
    hours = times_tables.heat_hours(found)
    values: dict[tuple[int, int], tuple[float, str]] = {}
    for (weekday, hour), cell in found.heat.items():
        place = weekday, hour - hours.start
        if not by_response:
            if cell.sent:
                values[place] = cell.sent, str(cell.sent)
        elif cell.first_response is not None:
            middle = cell.first_response.median_minutes
            values[place] = middle, minutes(middle)
    title = (
        _("Медиана первого ответа по дню и часу подачи, рабочие минуты")
        if by_response
        else _("Число заявок по дню и часу подачи")
    )
    rows = [say(name) for name in WEEKDAYS]
    most = max(values.items(), key=lambda item: item[1][0], default=None)
    told = ""
    if most is not None:
        (weekday, hour), (_value, shown) = most
        told = say(
            _(
                "Больше всего: {day}, {hour} ч — {value}.",
                day=rows[weekday],
                hour=hour + hours.start,
                value=shown,
            )
        )
    return charts.heat_map("heat", say(title), told, rows, [f"{hour:02d}" for hour in hours], values)


def _talk_chart(reports: Iterable[times.PersonReport], names: Names, norms: Norms) -> Markup | None:
    values = []
    for report in reports:
        share = report.talk_share
        if share is not None:
            percent = share * 100
            late = percent > norms.interaction_percent
            norm = (0.0, float(norms.interaction_percent))
            values.append(charts.Bar(names.of(report.staff_id), percent, f"{percent:.0f} %", norm, late=late))
    if not values:
        return None
    told = "; ".join(f"{bar.label}: {bar.shown}" for bar in values)
    return charts.bars("talk", say(_("Доля общения с клиентами в отработанном времени, %")), told, values)


def _exported(kind: str, what: str, tables: list[Table]) -> Response:
    """Answer with the report; the first table says what was chosen, the others are its rows."""
    content = as_csv(tables) if kind == "csv" else as_xlsx(tables)
    return exporting.given_out(kind, what, content, sum(len(table.rows) for table in tables[1:]))
