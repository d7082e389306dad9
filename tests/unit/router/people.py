"""The firm that the router's tests take place in."""

from dataclasses import replace
from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from forms.kinds import FINANCE, KINDS
from router.model import Candidate, Role, Work
from router.rules import RuleContext
from router.worktime import WorkCalendar

MOSCOW = ZoneInfo("Europe/Moscow")
CALENDAR = WorkCalendar(MOSCOW, time(9), time(18), (time(13), time(14)))
NOW = datetime(2026, 11, 25, 8, tzinfo=UTC)
"""A Wednesday, 11:00 in Moscow."""

CONTEXT = RuleContext(NOW, CALENDAR)

ANNA = Candidate(1, "Анна Петрова", Role.ACCOUNTANT, FINANCE, frozenset({"payments"}))
BORIS = replace(ANNA, staff_id=2, name="Борис Сидоров")
VERA = replace(ANNA, staff_id=3, name="Вера Орлова")

PAYMENT = Work(118, "pay", submitted_at=NOW, deadline=datetime(2026, 11, 27, 15, tzinfo=UTC))

_DAYS = st.datetimes(
    datetime.fromisoformat("2026-11-20"), datetime.fromisoformat("2026-11-30"), timezones=st.just(UTC)
)
_STAFF_IDS = st.integers(1, 12)

candidates = st.builds(
    Candidate,
    staff_id=_STAFF_IDS,
    name=st.sampled_from(["Анна", "Борис", "Вера"]),
    role=st.sampled_from([Role.ACCOUNTANT, Role.ACCOUNTANT, Role.LAWYER, Role.CONTROLLER, Role.DIRECTOR]),
    department=st.sampled_from(["finance", "finance", "legal", ""]),
    skills=st.frozensets(st.sampled_from(["payments", "documents", "reports", "advice"])),
    capacity=st.integers(0, 200),
    open_requests=st.integers(0, 150),
    on_shift=st.sampled_from([True, True, True, False]),
    absent_until=st.none() | _DAYS,
    active=st.sampled_from([True, True, True, False]),
)
teams = st.lists(candidates, max_size=8, unique_by=lambda person: person.staff_id)
works = st.builds(
    Work,
    request_id=st.integers(1, 1000),
    kind=st.sampled_from([*(kind.code for kind in KINDS), "unheard of"]),
    submitted_at=_DAYS,
    deadline=_DAYS,
    responsible_id=st.none() | _STAFF_IDS,
    excluded_ids=st.frozensets(_STAFF_IDS, max_size=3),
    recorded_by_id=st.none() | _STAFF_IDS,
)
