"""How fast a chat may write, and what becomes of what it writes faster.

A stranger's messages beyond that are dropped: nothing of theirs is kept before consent anyway. Whoever has
agreed is never dropped: beyond what anybody can type, the words are kept and only the answer is missing.
Staff may write as they like. Either is told so once a minute.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto

from bots.throttle import Throttle
from forms.messages import Inbound, InboundKind, Reply
from forms.texts import _
from storage.house import House
from storage.letters import Posting, post
from storage.work import ChatView, Work


class Pace(Enum):
    """How a chat writes."""

    EASY = auto()
    FAST = auto()
    """Faster than a stranger has reason to."""
    FLOOD = auto()
    """Faster than anybody types, albums and all."""


_COUNTED = frozenset(
    {
        InboundKind.TEXT, InboundKind.BUTTON, InboundKind.FILE, InboundKind.CONTACT, InboundKind.OTHER,
        InboundKind.STARTED, InboundKind.EDITED, InboundKind.DELETED,
    }
)  # fmt: skip


@dataclass(slots=True)
class ChatPace:
    """The pace of every chat. What a messenger tells about our own letters is not counted."""

    strangers: Throttle = field(default_factory=lambda: Throttle(per_minute=30, burst=30))
    everybody: Throttle = field(default_factory=lambda: Throttle(per_minute=120, burst=240))

    def of(self, inbound: Inbound, now: datetime) -> Pace:
        """Count one message and say how its chat writes."""
        if not _is_counted(inbound):
            return Pace.EASY
        key = _key(inbound)
        is_fast = not self.strangers.take(key, now)
        if not self.everybody.take(key, now):
            return Pace.FLOOD
        return Pace.FAST if is_fast else Pace.EASY

    def tells(self, inbound: Inbound, pace: Pace, now: datetime) -> bool:
        """Whether this chat is to be told so: once a minute."""
        if pace is Pace.EASY:
            return False
        return self._brake(pace).tells(_key(inbound), now)

    def not_kept(self, inbound: Inbound, pace: Pace, now: datetime, *, tells: bool) -> None:
        """Take back the count of a message that could not be stored, and that the chat is told.

        Its messenger repeats it, perhaps many times a second: that is not the person writing fast.
        """
        if not _is_counted(inbound):
            return
        if pace is Pace.EASY:
            self.strangers.give_back(_key(inbound), now)
        if pace is not Pace.FLOOD:
            self.everybody.give_back(_key(inbound), now)
        if tells:
            self._brake(pace).told_nothing(_key(inbound), now)

    def _brake(self, pace: Pace) -> Throttle:
        return self.everybody if pace is Pace.FLOOD else self.strangers


def _is_counted(inbound: Inbound) -> bool:
    return inbound.kind in _COUNTED and bool(inbound.chat_key)


def _key(inbound: Inbound) -> str:
    return f"{inbound.channel}:{inbound.chat_key}"


def hold_off(work: Work, house: House, chat: ChatView, inbound: Inbound, pace: Pace, *, tells: bool) -> bool:
    """Whether this message is answered no further, because its chat writes too fast; says so if `tells`."""
    has_agreed = chat.consent_version == house.consent_version
    if chat.staff is not None or pace is Pace.EASY or (has_agreed and pace is Pace.FAST):
        return False
    if has_agreed and inbound.text:
        work.log(chat, inbound, inbound.text, [], None)
    if tells:
        sentence = _TOO_FAST_KEPT if has_agreed else _TOO_FAST
        key = f"pace:{inbound.channel}:{inbound.event_key}"
        post(
            work.session, house, work.now, (Posting(key, Reply(sentence), chat_id=chat.chat_id, urgent=True),)
        )
    return True


_TOO_FAST = _("Слишком много сообщений подряд. Подождите минуту и напишите снова.")
_TOO_FAST_KEPT = _(
    "Слишком много сообщений подряд, мы не успеваем отвечать. Слова мы сохранили. "
    "Подождите минуту и продолжите, а файлы пришлите ещё раз."
)
