"""Everything goes wrong at once while thousands of clients fill the form; then an independent count.

The longer form of tests/e2e/test_chaos.py. Goals: lost 0, doubled 0, out of order 0, nobody left without
an answer. What was measured stands in docs/reliability.md.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from pathlib import Path

from tests.e2e import chaos

SHOWN = 20


def report(outcome: chaos.Outcome, took_seconds: float, seed: int) -> int:
    verdict, weather = outcome.verdict, outcome.weather
    by_messenger = ", ".join(f"{name} {count}" for name, count in outcome.dialogues_by_messenger.items())
    print(f"seed                      {seed}, {took_seconds:.0f} s")
    print(f"dialogues                 {verdict.dialogues} ({by_messenger})")
    print(f"finished                  {verdict.finished}")
    print(f"messages acknowledged     {verdict.acknowledged}")
    print(f"kills                     {len(weather.kills)}")
    print(f"faults                    {weather.faults}, of them:")
    for what, count in sorted(weather.counts.items()):
        if what != "kill":
            print(f"  {what:24}{count}")
    print(f"writes and fsyncs failed  {outcome.suffered}")
    print(f"seen twice                {verdict.seen_twice} (an answer was lost or a kill came between)")
    print(f"lost                      {len(verdict.lost)} (goal 0)")
    print(f"doubled                   {len(verdict.doubled)} (goal 0)")
    print(f"out of order              {len(verdict.disordered)} (goal 0)")
    print(f"otherwise wrong           {len(verdict.wrong)} (goal 0)")
    for problem in (*verdict.lost, *verdict.doubled, *verdict.disordered, *verdict.wrong)[:SHOWN]:
        print(f"  {problem}")
    return 0 if verdict.is_clean else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300, help="how long things go wrong")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--at-once", type=int, default=120, help="clients who talk at any time")
    parser.add_argument("--log", type=Path, help="where the service's log goes")
    options = parser.parse_args()
    began_at = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        outcome = asyncio.run(chaos.run(Path(folder), options.seconds, options.seed, options.at_once))
    if options.log:
        options.log.write_text(outcome.log, encoding="utf-8")
    return report(outcome, time.monotonic() - began_at, options.seed)


if __name__ == "__main__":
    raise SystemExit(main())
