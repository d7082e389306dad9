"""The job that makes the list of the day: once, in the folder and by e-mail, on a working morning."""

from __future__ import annotations

from dataclasses import replace
from datetime import time
from types import SimpleNamespace

import pytest

from app.timers import jobs
from storage.duty_list import Plan
from storage.models import Letter
from tests.client import Town
from tests.dialogue.paths import submits


def bench(town: Town, plan: Plan | None, woken: list[bool]) -> SimpleNamespace:
    """What this one job works with."""
    return SimpleNamespace(
        database=town.database, house=lambda: town.house, store=town.store, now=town.now, duty_list=plan,
        wake_delivery=lambda: woken.append(True), monitor=SimpleNamespace(look=None),
    )  # fmt: skip


async def ticks(town: Town, plan: Plan | None) -> int:
    woken: list[bool] = []
    made = jobs(bench(town, plan, woken))  # type: ignore[arg-type]
    await next(job for job in made if job.name == "list of the day").run()
    return len(woken)


async def test_it_is_there_in_the_morning_and_made_once(town, maria, tmp_path):
    number = await submits(maria)
    town.house = replace(town.house, email_channel="mail")
    plan = Plan(time(12), tmp_path / "duty", ("boss@example.ru",))
    assert await ticks(town, plan) == 0, "it is not noon yet"
    assert not plan.folder.exists()
    town.pass_time(hours=1)
    assert await ticks(town, plan) == 1
    page, book = sorted(file.name for file in plan.folder.iterdir())
    assert (page, book) == ("priem-2026-11-25.html", "priem-2026-11-25.xlsx")
    assert f"<td>{number}</td>" in (plan.folder / page).read_text(encoding="utf-8")
    (letter,) = [row for row in town.rows(Letter) if row.key.startswith("duty:")]
    assert [file["name"] for file in letter.files] == [page, book]
    assert await ticks(town, plan) == 0
    town.pass_time(days=3)  # Saturday
    assert await ticks(town, plan) == 0
    assert len(list(plan.folder.iterdir())) == 2


async def test_a_folder_that_is_not_there_does_not_keep_the_letter_back(town, tmp_path):
    town.house = replace(town.house, email_channel="mail")
    plan = Plan(time(9), tmp_path / "no" / "such" / "disk", ("boss@example.ru",))
    town.pass_time(minutes=1)
    with pytest.raises(OSError, match="disk"):  # the operator reads of it in the log
        await ticks(town, plan)
    assert [row for row in town.rows(Letter) if row.key.startswith("duty:")]


async def test_without_a_place_nothing_is_made(town):
    assert await ticks(town, None) == 0
