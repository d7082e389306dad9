"""What our samples say of people and firms, and the secrets they use: none of it may stand in a log.

Every test is watched (`tests/conftest.py`): what it logs through structlog or the standard library, what
it prints, and what the services that it starts as processes write. Add what your own samples call people
to `PERSONAL`; a marker has to be so peculiar that no honest log line holds it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.channels.harness import HOOK_SECRET
from tests.channels.mail import PASSWORD as MAIL_PASSWORD
from tests.emulators import max as max_
from tests.emulators import telegram, viber, vk, whatsapp

PERSONAL = (
    # Names.
    "Ольга", "Смирнов", "Мария", "Елена Дирова", "Олег Замов", "Анна Петрова", "Борис Лядов", "Юристова",
    "Контролёрова", "Админов", "Ветров Пётр", "Кузнецова",
    # Companies and their numbers.
    "Ромашка", "Василёк", "ООО «Север»", "7707083893", "500100732259", "7736050003", "7707083894",
    # Telephones, however they are written.
    "9161234567", "916 123-45-67", "9161112233", "916 111-22-33", "900 111-22-33", "911 111-11-11",
    # Addresses.
    "olga@client", "maria@example", "romashka@example", "client@romashka", "@balans.example", "anna@example",
    # What they want done.
    "Оплатить счёт №", "Свету 12 345 рублей", "Прошлая задача №", "Добрый день", "до пятницы",
)  # fmt: skip

SECRETS = (
    HOOK_SECRET, MAIL_PASSWORD, telegram.DEFAULT_TOKEN, telegram.DEFAULT_TOKEN.partition(":")[2],
    vk.DEFAULT_TOKEN, viber.DEFAULT_TOKEN, max_.DEFAULT_TOKEN, whatsapp.AUTH_TOKEN,
    "0123456789abcdef0123456789abcdef", "webchat-secret-key-of-the-tests", "the-key-that-signs-message-ids",
    "синий чайник", "три слова подряд", "четыре слова не подобрать", "443 token-of-the-fuzzing",
)  # fmt: skip

MARKERS = PERSONAL + SECRETS

_LOG_FILES = ("log", "log.txt", "*.log")


def leaks(text: str) -> list[str]:
    """The markers that stand in a log."""
    return [marker for marker in MARKERS if marker in text]


class LogFiles:
    """What the services that tests start write beside their databases, each line looked at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read_bytes: dict[Path, int] = {}

    def fresh(self) -> Iterator[tuple[Path, str]]:
        """What was written since the last time."""
        for pattern in _LOG_FILES:
            for file in self._folder.rglob(pattern):
                if not file.is_file():
                    continue
                start = self._read_bytes.get(file, 0)
                with file.open("rb") as log:
                    log.seek(start)
                    content = log.read()
                self._read_bytes[file] = start + len(content)
                if content:
                    yield file, content.decode("utf-8", "replace")
