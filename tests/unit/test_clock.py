"""The service's clock: it follows the machine's, and never goes back with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.clock import STRETCHED, SteadyClock

NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@dataclass
class Machine:
    """A machine whose clock is set at will."""

    wall: datetime = NOON
    elapsed_seconds: float = 0.0

    def passes(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.elapsed_seconds += seconds

    def steady(self) -> SteadyClock:
        return SteadyClock(lambda: self.wall, lambda: self.elapsed_seconds)


def test_it_tells_the_time_of_the_machine():
    machine = Machine()
    clock = machine.steady()
    assert clock() == NOON
    machine.passes(5)
    assert clock() == NOON + timedelta(seconds=5)
    machine.wall += HOUR
    assert clock() == NOON + timedelta(seconds=5) + HOUR


def test_after_an_hour_back_it_goes_on_slowly_until_the_machine_catches_up():
    machine = Machine()
    clock = machine.steady()
    assert clock() == NOON
    machine.wall -= HOUR
    machine.passes(60)
    assert clock() == NOON + timedelta(seconds=30)
    assert clock.ahead_seconds() == pytest.approx(3600 - 30)
    for _ in range(200):
        machine.passes(60)
        clock()
    assert clock() == machine.wall
    assert clock.ahead_seconds() == 0


def test_a_clock_that_was_far_ahead_is_believed_when_it_is_put_right():
    machine = Machine(NOON + timedelta(days=365))
    clock = machine.steady()
    clock()
    machine.wall = NOON
    assert clock() == NOON


def test_it_begins_no_earlier_than_what_was_written_before_the_start():
    machine = Machine()
    clock = machine.steady()
    clock.not_before(NOON + HOUR)
    assert clock() == NOON + HOUR
    clock.not_before(NOON)
    assert clock() == NOON + HOUR


@given(st.lists(st.tuples(st.floats(0, 600), st.floats(-3600, 3600)), max_size=30))
def test_it_never_goes_back(turns: list[tuple[float, float]]):
    machine = Machine()
    clock = machine.steady()
    before = clock()
    for passed, moved in turns:
        machine.passes(passed)
        machine.wall += timedelta(seconds=moved)
        after = clock()
        # Only a machine that is more than a day behind is believed.
        assert after >= before or before - machine.wall > STRETCHED
        before = after
