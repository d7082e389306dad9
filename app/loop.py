"""Running a coroutine in the quickest event loop there is."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


def run_in_loop(work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Run to the end; uvloop where it exists (not on Windows)."""
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if sys.platform != "win32":
        factory = importlib.import_module("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work())
