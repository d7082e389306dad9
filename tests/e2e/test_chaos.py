"""A short storm over three messengers; the long one is benchmarks/chaos.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import chaos

STORM_SECONDS = 12
AT_ONCE = 25
SEED = 20261122


@pytest.mark.timeout(800)
async def test_in_a_storm_nothing_is_lost_doubled_or_out_of_order(tmp_path: Path) -> None:
    outcome = await chaos.run(tmp_path, STORM_SECONDS, SEED, AT_ONCE)

    verdict = outcome.verdict
    assert verdict.lost == []
    assert verdict.doubled == []
    assert verdict.disordered == []
    assert verdict.wrong == []
    assert verdict.finished == verdict.dialogues >= AT_ONCE
    assert outcome.weather.kills
    # How many fit into the seconds depends on the machine.
    assert outcome.weather.faults > 10
