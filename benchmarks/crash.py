"""Kill the service again and again while clients fill the form, then count: lost, doubled, out of order.

The longer form of tests/e2e/test_crash.py. Goals: nothing lost, nothing doubled, every dialogue finished.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from pathlib import Path

from tests.e2e.service import STEPS, Dialogue, Service, audit
from tests.emulators.telegram import TelegramEmulator


async def crash(kills: int, dialogues_between: int, seed: int) -> int:
    dice = random.Random(seed)
    dialogues: list[Dialogue] = []
    began_at = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        async with TelegramEmulator() as telegram, Service(Path(folder), telegram) as service:
            async with asyncio.TaskGroup() as clients:
                for _ in range(kills):
                    for _ in range(dialogues_between):
                        number = len(dialogues)
                        dialogues.append(Dialogue(number, telegram, random.Random(f"{seed}:{number}")))
                        clients.create_task(dialogues[-1].run())
                    await asyncio.sleep(dice.uniform(0.05, 1.5))
                    await service.kill()
                    await service.start()
            async with asyncio.timeout(30):
                unfinished = "select 1 from letter where state in ('todo', 'doing')"
                while service.rows(unfinished) or telegram.pending:
                    await asyncio.sleep(0.05)
            found = audit(service, dialogues)
    print(f"kills                     {kills}, seed {seed}, {time.monotonic() - began_at:.0f} s")
    print(f"dialogues finished        {found.dialogues} of {kills * dialogues_between}")
    print(
        f"updates acknowledged      {found.acknowledged} of {len(dialogues) * len(STEPS)}, plus repeated ones"
    )
    print(f"requests stored           {found.requests} (goal {found.dialogues}, each complete)")
    print(f"letters sent twice        {found.letters_twice} (only around a kill, with the same text)")
    print(f"problems                  {len(found.problems)} (goal 0)")
    for problem in found.problems[:20]:
        print(f"  {problem}")
    return 1 if found.problems else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--dialogues", type=int, default=30, help="begun between two kills")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    return asyncio.run(crash(options.kills, options.dialogues, options.seed))


if __name__ == "__main__":
    raise SystemExit(main())
