"""What may be told of an exception in a log: its kind and place, never its text, which may quote people."""

from __future__ import annotations

from traceback import walk_tb


def place_of(error: BaseException) -> str:
    """Say where an exception was raised."""
    frames = list(walk_tb(error.__traceback__))
    if not frames:
        return "unknown"
    frame, line = frames[-1]
    return f"{frame.f_code.co_filename}:{line}"
