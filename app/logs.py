"""Logs: structlog and the standard library's logging in one stream, with secrets masked.

Masking works on the finished event, so that what a library writes and what an exception says go
through it as well.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable, Mapping
from typing import TextIO

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

MASK = "***"

_NAMES = (
    r"authorization|x-viber-auth-token|x-viber-content-signature|x-telegram-bot-api-secret-token|cookie|"
    r"[\w-]*token|[\w-]*secret(?:[_-]?key)?|[\w-]*api[_-]?key|[\w-]*password|passwd|account_sid|signature|code_hash"
)
_SECRET_NAME = re.compile(rf"(?:{_NAMES}|code)", re.IGNORECASE)

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # https://api.telegram.org/bot<token>/sendMessage, and the token alone.
    (re.compile(r"bot\d{5,}(?::|%3A)[A-Za-z0-9_-]+", re.IGNORECASE), f"bot{MASK}"),
    (re.compile(r"\b\d{6,}:[A-Za-z0-9_-]{20,}"), MASK),
    (re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]+", re.IGNORECASE), rf"\1 {MASK}"),
    # name=value, "name": "value", Name: value
    (
        re.compile(
            rf"(\b(?:{_NAMES})\b[\"']?\s*[:=]\s*[\"']?)(?!(?:Bearer|Basic)\s)[^\s\"'&,;)}}\]]+",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"([?&]code=)[^\s\"'&]+", re.IGNORECASE), rf"\1{MASK}"),
    # scheme://user:password@host
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/@\"']+@", re.IGNORECASE), rf"\1{MASK}@"),
    # Phones as people write them, then INNs, accounts and cards.
    (
        re.compile(r"(?<!\d)(?:\+\s?\d|[78])[\s(.-]{0,2}\d{3}[\s).-]{0,2}\d{3}[\s.-]?\d{2}[\s.-]?\d{2}(?!\d)"),
        MASK,
    ),
    (re.compile(r"\d{10,}"), MASK),
)  # fmt: skip

_LONGEST_OPEN_NUMBER = 10**9


def redact(text: str) -> str:
    """Mask tokens, keys, passwords, phones and runs of ten and more digits in a text."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


class Redaction:
    """A structlog processor that masks every value of an event; `secrets` are masked wherever they stand."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # The longest first: one secret may be the beginning of another.
        self._secrets = sorted({secret for secret in secrets if secret}, key=len, reverse=True)

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """Mask an event in place of its original."""
        return {
            key: value if key in ("timestamp", "level") else self._named(key, value)
            for key, value in event.items()
        }

    def _named(self, name: str, value: object) -> object:
        if _SECRET_NAME.fullmatch(name) and value:
            return MASK
        return self._value(value)

    def _value(self, value: object) -> object:
        match value:
            case str():
                return self._text(value)
            case bool() | None | float():
                return value
            case int():
                return MASK if abs(value) >= _LONGEST_OPEN_NUMBER else value
            case Mapping():
                return {str(key): self._named(str(key), inner) for key, inner in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self._value(inner) for inner in value]
            case _:
                return self._text(str(value))

    def _text(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return redact(text)


def configure(
    *, as_json: bool, level: str = "INFO", secrets: Iterable[str] = (), stream: TextIO | None = None
) -> None:
    """Send all logs to `stream` (stderr by default), one event a line.

    Called once, by the command that starts the service. Give it `Settings.secrets()`.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        structlog.processors.UnicodeDecoder(),
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, Redaction(secrets), renderer],
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(capture=True)
    # These tell every step, request and statement: too much, and full of addresses with tokens.
    for chatty in (
        "alembic",
        "uvicorn.error",
        "uvicorn.access",
        "httpx",
        "httpcore",
        "urllib3",
        "apscheduler",
        "twilio.http_client",
        "viberbot",
    ):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
