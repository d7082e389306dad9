"""The figures of random histories, beside the same figures by their definition: a request after another."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random

import pytest
from sqlalchemy import insert
from sqlmodel import select

from router.model import Stage, Status
from storage import outages, times
from storage.models import Clarification, Client, Outage, Request, Staff, StageInterval
from storage.outages import SERVICE
from storage.times import OWN_STAGES, By, Conduct, HeatCell, Measure, Norms, TimesFilter, figure
from tests.storage.firm import MOSCOW, Firm

NEW_YEAR = datetime(2027, 1, 1, tzinfo=UTC)
NOW = NEW_YEAR + timedelta(days=40)
PERIOD = TimesFilter(NEW_YEAR - timedelta(days=25), NEW_YEAR + timedelta(days=25))
REQUESTS = 60

NARROWED = {
    "everything": {},
    "a kind": {"kind": "pay"},
    "a client": {"client_id": 1},
    "a messenger": {"channel": "vk"},
    "a person": {"staff_id": 2},
    "a department": {"department": "legal"},
    "a person of another department": {"staff_id": 1, "department": "legal"},
    "a weekday": {"weekday": 2},
    "an hour": {"hour": 11, "staff_id": 1},
}


def filled(database, random: Random) -> Firm:
    """Requests around a New Year, with stretches in any order, some of them taken back in time."""
    firm = Firm.open(database)
    staff = [*firm.staff.values(), None]

    def later(at, most):
        """A moment with a fraction; at times the same one, or none."""
        if random.random() < 0.15:
            return random.choice((at, None))
        return at + timedelta(seconds=random.uniform(0, most))

    stretches, questions = [], []
    with database.begin() as session:
        session.get(Staff, firm.staff["boris"]).department = "legal"
        for _each in range(REQUESTS):
            sent = NEW_YEAR + timedelta(days=random.uniform(-30, 30))
            number = session.execute(
                insert(Request.__table__).values(
                    status=random.choice((Status.ACCEPTED, Status.CLOSED)).value,
                    kind=random.choice(("pay", "report")),
                    company="ООО", inn="7707083893", task="Счёт", deadline=sent + timedelta(days=2),
                    answers={}, client_id=random.choice((1, 2)), person_id=firm.people["maria"],
                    chat_id=firm.chats["maria"], channel=random.choice(("vk", "max")),
                    assignee_id=random.choice(staff), created_at=sent, submitted_at=sent,
                    first_response_at=later(sent, 90_000), first_responder_id=random.choice(staff),
                    done_at=later(sent, 900_000), done_by=random.choice(staff), result="",
                    search="", version=1,
                )
            ).inserted_primary_key[0]  # fmt: skip
            at = sent
            for _stretch in range(random.randint(0, 7)):
                stage, end = random.choice(list(Stage)).value, later(at, 300_000)
                stretches.append((number, stage, random.choice(staff), at, end))
                at = end or at
            if random.random() < 0.4:
                questions.append((number, sent, later(sent, 50_000)))
        for number, stage, staff_id, begun, ended in random.sample(stretches, len(stretches)):
            session.add(
                StageInterval(
                    request_id=number, stage=stage, staff_id=staff_id, started_at=begun, ended_at=ended
                )
            )
            session.flush()
        for number, asked, answered in questions:
            session.add(
                Clarification(
                    request_id=number, field=random.choice(("task", "inn")), asked_by=1, asked_at=asked,
                    answered_at=answered,
                )
            )  # fmt: skip
        for each in range(9):
            begun = (NEW_YEAR + timedelta(days=random.uniform(-30, 30))).replace(microsecond=0)
            ended = begun + timedelta(seconds=random.randint(200, 500_000)) if each else None
            scope = random.choice((SERVICE, "vk", "max"))
            session.add(Outage(scope=scope, cause="stalled", started_at=begun, ended_at=ended))
    return firm


class Plainly:
    """Every figure as it is defined, from whole rows."""

    def __init__(self, firm: Firm, wanted: TimesFilter) -> None:
        self.calendar, self.wanted = firm.house.calendar, wanted
        with firm.database.read() as session:
            self.department = dict(session.execute(select(Staff.id, Staff.department)).all())
            requests = session.execute(select(Request)).scalars()
            self.requests = {row.id: row for row in requests if self._is_wanted(row)}
            found = session.execute(select(StageInterval).order_by(StageInterval.id)).scalars()
            self.stretches = [row for row in found if row.request_id in self.requests]
        self.spent = [each for each in self._spent() if self.counts(each[2])]

    def counts(self, staff_id):
        wanted = self.wanted
        of_department = not wanted.department or self.department.get(staff_id) == wanted.department
        return of_department and wanted.staff_id in (None, staff_id)

    def _is_wanted(self, row):
        wanted, local = self.wanted, row.submitted_at.astimezone(MOSCOW)
        return (
            wanted.since <= row.submitted_at < wanted.until
            and wanted.kind in ("", row.kind)
            and wanted.channel in ("", row.channel)
            and wanted.client_id in (None, row.client_id)
            and wanted.weekday in (None, local.weekday())
            and wanted.hour in (None, local.hour)
        )

    def _spent(self):
        """(measure, request, whose, working seconds)."""
        own = {measure.value for measure in OWN_STAGES}
        working, taken = self.calendar.working_seconds, {}
        for row in self.stretches:
            request = self.requests[row.request_id]
            if row.stage not in ("queue", "processing"):
                taken.setdefault(request.id, row)
            if row.ended_at is None:
                continue
            seconds = working(row.started_at, row.ended_at)
            yield Measure(row.stage), request, row.staff_id, seconds
            if row.stage in own and request.done_at is not None:
                yield Measure.WHOLE, request, row.staff_id, seconds
        for request in self.requests.values():
            sent, responder = request.submitted_at, request.first_responder_id
            if request.first_response_at is not None:
                yield Measure.FIRST_RESPONSE, request, responder, working(sent, request.first_response_at)
            if request.id in taken:
                first = taken[request.id]
                yield Measure.ACCEPTANCE, request, first.staff_id, working(sent, first.started_at)
            if request.done_at is not None:
                yield Measure.RESOLUTION, request, request.done_by, working(sent, request.done_at)

    def figures(self, key):
        """By key and measure; what has no key is left out."""
        totals = defaultdict(lambda: defaultdict(lambda: defaultdict(int)))
        for measure, request, staff_id, seconds in self.spent:
            group = key(request, staff_id)
            if group is not None:
                totals[group][measure][request.id] += seconds
        return {
            group: {measure: figure(list(each.values())) for measure, each in measures.items()}
            for group, measures in totals.items()
        }


KEYS = {
    By.STAFF: lambda _plain, _request, staff_id: None if staff_id is None else str(staff_id),
    By.DEPARTMENT: lambda plain, _request, staff_id: plain.department.get(staff_id),
    By.KIND: lambda _plain, request, _staff_id: request.kind,
    By.CLIENT: lambda _plain, request, _staff_id: str(request.client_id),
    By.CHANNEL: lambda _plain, request, _staff_id: request.channel,
}


def monday(request):
    local = request.submitted_at.astimezone(MOSCOW)
    return local.date() - timedelta(days=local.weekday())


def cell(request):
    local = request.submitted_at.astimezone(MOSCOW)
    return local.weekday(), local.hour


@pytest.mark.parametrize("seed", range(2))
def test_every_figure_is_what_its_definition_says(database, seed):
    firm = filled(database, Random(seed))
    calendar = firm.house.calendar
    with database.read() as session:
        clients = dict(session.execute(select(Client.id, Client.name)).all())
        for name, narrower in NARROWED.items():
            wanted = replace(PERIOD, **narrower)
            plain = Plainly(firm, wanted)
            theirs = [row for row in plain.requests.values() if plain.counts(row.assignee_id)]
            for by, key in KEYS.items():
                found = times.response_times(session, wanted, calendar, by)
                expected = plain.figures(partial(key, plain))
                assert {group.code: dict(group.figures) for group in found.groups} == expected, (name, by)
                names = {clients[int(code)] if by is By.CLIENT else "" for code in expected}
                assert {group.name for group in found.groups} == names
            assert found.sent == len(theirs)
            assert found.overall == plain.figures(lambda *_each: 0).get(0, {}), name
            weeks = plain.figures(lambda request, _staff_id: monday(request))
            assert {week.monday: week.figures for week in found.weeks if week.figures} == weeks
            assert sum(week.sent for week in found.weeks) == len(theirs)
            heat = plain.figures(lambda request, _staff_id: cell(request))
            assert found.heat == {
                at: HeatCell(
                    sum(cell(row) == at for row in theirs), heat.get(at, {}).get(Measure.FIRST_RESPONSE)
                )
                for at in {
                    *(cell(row) for row in theirs),
                    *(at for at, measures in heat.items() if Measure.FIRST_RESPONSE in measures),
                }
            }
            clarified = times.clarified(session, wanted, calendar)
            assert clarified.requests == len(theirs)
            assert {event.number for event in clarified.events} <= {row.id for row in theirs}
            reports = times.people_report(session, wanted, calendar, Norms(), NOW)
            given = defaultdict(int)
            for row in plain.stretches:
                given[row.staff_id] += row.stage == "processing" and plain.counts(row.staff_id)
            for report in reports:
                assert report.figures[Conduct.GIVEN] == given[report.staff_id]


@pytest.mark.parametrize("seed", range(2))
def test_the_times_without_us_are_what_their_definition_says(database, seed):
    firm = filled(database, Random(seed))
    calendar = firm.house.calendar
    with database.read() as session:
        for narrower in NARROWED.values():
            wanted = replace(PERIOD, **narrower)
            plain = Plainly(firm, wanted)
            scopes = (SERVICE, wanted.channel) if wanted.channel else ()
            spans = outages.during(session, scopes, wanted.since, wanted.until)
            found = times.without_us(session, wanted, calendar, NOW)
            requests = plain.requests.values()
            assert [missed.requests for missed in found.missed] == [
                sum(
                    span.scope in (SERVICE, row.channel)
                    and row.submitted_at < span.until(NOW)
                    and span.started_at < (row.first_response_at or NOW)
                    for row in requests
                )
                for span in spans
            ]
            assert found.first_response == figure(
                [
                    seconds
                    - outages.working_seconds(
                        [span for span in spans if span.scope in (SERVICE, request.channel)],
                        calendar,
                        request.submitted_at,
                        request.first_response_at,
                    )
                    for measure, request, _staff_id, seconds in plain.spent
                    if measure is Measure.FIRST_RESPONSE
                ]
            )
