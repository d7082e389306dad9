"""Which requests are in danger of missing their deadline, and why: pure, in working time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from forms.texts import Text, _
from router.worktime import WorkCalendar

UNKNOWN_WORK_SECONDS = 2 * 3600
"""How much is kept free for a kind of work that nobody has finished here yet."""

_MINUTE = 60
_HOUR = 60 * _MINUTE


@dataclass(frozen=True, slots=True)
class Risk:
    """Less working time is left than the work takes. `usual_seconds` is None when nobody knows yet."""

    left_seconds: int
    usual_seconds: int | None
    reason: Text


def risk_of(
    deadline: datetime, now: datetime, calendar: WorkCalendar, usual_seconds: int | None
) -> Risk | None:
    """Whether the result is likely to be late; None when there is time, or when it is late already.

    `usual_seconds` is the median execution of this kind of work in working seconds.
    """
    if deadline < now:
        return None
    left = calendar.working_seconds(now, deadline)
    needed = UNKNOWN_WORK_SECONDS if usual_seconds is None else usual_seconds
    if left >= needed:
        return None
    if usual_seconds is None:
        reason = _(
            "Осталось рабочего времени: {left}. Сколько занимают такие заявки, пока неизвестно; "
            "меньше двух рабочих часов — уже опасно.",
            left=_stretch(left),
        )
    else:
        reason = _(
            "Осталось рабочего времени: {left}. Исполнение такой заявки обычно занимает {usual}.",
            left=_stretch(left),
            usual=_stretch(usual_seconds),
        )
    return Risk(left, usual_seconds, reason)


def _stretch(seconds: int) -> Text:
    if seconds < _HOUR:
        return _("{count} мин", count=seconds // _MINUTE)
    hours, rest = divmod(seconds, _HOUR)
    return _("{hours} ч {minutes} мин", hours=hours, minutes=f"{rest // _MINUTE:02d}")
