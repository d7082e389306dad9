"""What the monitor makes of messengers that answer, and of those that break while they are asked."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.monitor import Monitor
from bots.base import Health

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


class Messenger:
    """As much of a channel as the monitor looks at."""

    def __init__(self, answer: Health | Exception) -> None:
        self._answer = answer

    async def health(self) -> Health:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


@pytest.mark.parametrize("error", [KeyError("token"), OSError("secret"), TypeError("x")], ids=repr)
async def test_a_messenger_that_breaks_does_not_hide_the_others(error):
    channels = {"viber": Messenger(error), "vk": Messenger(Health(reachable=True, detail="Бухгалтерия"))}
    monitor = Monitor(None, channels, None, lambda: NOW)
    for _look in range(3):
        await monitor.look()
    shown = {each.name: (each.reachable, each.detail) for each in monitor.messengers()}
    assert shown == {"viber": (False, type(error).__name__), "vk": (True, "Бухгалтерия")}
    assert [each.channel for each in monitor.unreachable()] == ["viber"]
