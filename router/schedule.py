"""The working hours of one person by weekday, where they differ from the firm's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, time
from zoneinfo import ZoneInfo

Hours = tuple[tuple[time, time] | None, ...]
"""From Monday to Sunday, None for a day off. An empty one says: as the firm."""

DAYS = 7


def from_json(kept: Mapping[str, Sequence[str] | None]) -> Hours:
    """Read what `to_json` made; a day that is missing or cannot be read is a day off."""
    return tuple(_span(kept.get(str(day))) for day in range(DAYS)) if kept else ()


def to_json(hours: Hours) -> dict[str, list[str] | None]:
    """The hours as JSON can hold them."""
    return {
        str(day): [f"{span[0]:%H:%M}", f"{span[1]:%H:%M}"] if span else None for day, span in enumerate(hours)
    }


def covers(hours: Hours, at: datetime, zone: ZoneInfo) -> bool:
    """Whether the person works at this moment (aware) by these hours; with none of their own, always."""
    if not hours:
        return True
    local = at.astimezone(zone)
    span = hours[local.weekday()]
    return span is not None and span[0] <= local.time() < span[1]


def _span(kept: Sequence[str] | None) -> tuple[time, time] | None:
    try:
        first, last = kept or ()
        found = time.fromisoformat(first), time.fromisoformat(last)
    except (TypeError, ValueError):
        return None
    return found if found[0] < found[1] else None
