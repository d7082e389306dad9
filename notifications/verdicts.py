"""What follows from a messenger's answer: the one place that interprets outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import assert_never

from notifications.outbox import (
    Blocked,
    Letter,
    LetterState,
    Outcome,
    Rejected,
    Retry,
    Sent,
    Settlement,
    TokenRevoked,
    Unknown,
    WindowClosed,
)

BACK_OFF_SECONDS = (1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 900.0)
"""The silence after the first, second … failed attempt; the last one is repeated."""

REVOKED_SILENCE_SECONDS = 60.0

LONGEST_UNNAMED_CHANNEL_SILENCE_SECONDS = 30.0
"""When the messenger names no time: one letter's long back-off is its own, the others try sooner."""

_JITTER_SHARE = 0.25
_SHORTEST_SILENCE_SECONDS = 0.1
_LONGEST_SILENCE_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Policy:
    """When delivery gives up.

    The defaults are about a day for a messenger that is down, and over an hour for a letter that may
    already have arrived: every further attempt may double it.
    """

    max_attempts: int = 100
    max_doubtful_attempts: int = 12


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from an outcome. Silences are in seconds from now."""

    settlements: tuple[Settlement, ...]
    chat_goes_on: bool = False
    """Whether the letters behind this one stay in our hands."""
    silence_chat_seconds: float = 0.0
    silence_channel_seconds: float = 0.0
    channel_revoked: bool = False


def judge(
    outcome: Outcome, letters: Sequence[Letter], policy: Policy, at: datetime, spread: float
) -> Verdict:
    """Decide what becomes of the first of these letters, and of those of its chat behind it.

    `spread` in [0, 1) makes back-offs uneven, so that letters that failed together come back apart.
    """
    letter = letters[0]
    match outcome:
        case Sent(message_key):
            return Verdict(
                (_final(letter, LetterState.SENT, at, message_key=message_key),), chat_goes_on=True
            )
        case Rejected(reason) | WindowClosed(reason):
            return Verdict((_final(letter, LetterState.FAILED, at, reason=reason),), chat_goes_on=True)
        case Blocked(reason):
            return Verdict(
                tuple(
                    _final(each, LetterState.FAILED, at, reason=reason, chat_blocked=True) for each in letters
                )
            )
        case TokenRevoked(reason):
            return Verdict(
                (
                    give_back(
                        letters, at, REVOKED_SILENCE_SECONDS, reason=reason or "Мессенджер нас не узнаёт"
                    ),
                ),
                silence_channel_seconds=REVOKED_SILENCE_SECONDS,
                channel_revoked=True,
            )
        case Retry():
            silence = _silence(outcome.after_seconds, letter.attempts, spread)
            verdict = _try_again(
                letters, at, silence, outcome.reason, policy.max_attempts, whole_channel=outcome.whole_channel
            )
            return verdict if outcome.after_seconds is not None else _channel_soon_again(verdict)
        case Unknown(reason):
            silence = _silence(None, letter.attempts, spread)
            return _try_again(letters, at, silence, reason, policy.max_doubtful_attempts)
        case _:
            assert_never(outcome)


def _try_again(
    letters: Sequence[Letter],
    at: datetime,
    silence_seconds: float,
    reason: str,
    max_attempts: int,
    *,
    whole_channel: bool = False,
) -> Verdict:
    letter = letters[0]
    attempts = letter.attempts + 1
    silence_chat_seconds = 0.0 if whole_channel else silence_seconds
    silence_channel_seconds = silence_seconds if whole_channel else 0.0
    if attempts >= max_attempts:
        told = f"Не доставлено, попыток: {attempts}. {reason}".rstrip(". ")
        return Verdict(
            (_final(letter, LetterState.FAILED, at, reason=told),),
            chat_goes_on=True,
            silence_chat_seconds=silence_chat_seconds,
            silence_channel_seconds=silence_channel_seconds,
        )
    return Verdict(
        (give_back(letters, at, silence_seconds, attempted=True, reason=reason),),
        silence_chat_seconds=silence_chat_seconds,
        silence_channel_seconds=silence_channel_seconds,
    )


def _channel_soon_again(verdict: Verdict) -> Verdict:
    silence_seconds = min(verdict.silence_channel_seconds, LONGEST_UNNAMED_CHANNEL_SILENCE_SECONDS)
    return replace(verdict, silence_channel_seconds=silence_seconds)


def _silence(after_seconds: float | None, attempts: int, spread: float) -> float:
    if after_seconds is not None:
        return min(max(after_seconds, _SHORTEST_SILENCE_SECONDS), _LONGEST_SILENCE_SECONDS)
    return BACK_OFF_SECONDS[min(attempts, len(BACK_OFF_SECONDS) - 1)] * (1 + _JITTER_SHARE * spread)


def _final(
    letter: Letter,
    state: LetterState,
    at: datetime,
    *,
    message_key: str = "",
    reason: str = "",
    chat_blocked: bool = False,
) -> Settlement:
    return Settlement(
        letter.letter_id,
        letter.chat_id,
        state,
        at,
        message_key=message_key,
        reason=reason,
        chat_blocked=chat_blocked,
        attempts=letter.attempts + 1,
    )


def give_back(
    letters: Sequence[Letter],
    at: datetime,
    silence_seconds: float = 0.0,
    *,
    attempted: bool = False,
    reason: str = "",
) -> Settlement:
    """Give letters of one chat back to the store, the first of them for `silence_seconds`."""
    letter = letters[0]
    return Settlement(
        letter.letter_id,
        letter.chat_id,
        LetterState.TODO,
        at,
        reason=reason,
        not_before=at + timedelta(seconds=silence_seconds) if silence_seconds else None,
        releases=tuple(each.letter_id for each in islice(letters, 1, None)),
        attempts=letter.attempts + attempted,
    )
