"""One message of one chat while it is being answered: what `client_chat` and `staff_chat` work with."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlmodel import Session

from forms.fields import FormContext, Said
from forms.messages import FileRole, Inbound, InboundKind, OutgoingFile, Press, Reply, loosely
from forms.pressing import is_pressing
from forms.texts import Text
from storage.house import House, Who
from storage.letters import Posting, post, shown_buttons
from storage.work import ChatView, Work


@dataclass(slots=True)
class ChatTurn:
    """A message, its chat, and the way to answer. Lives inside one transaction."""

    work: Work
    house: House
    chat: ChatView
    inbound: Inbound
    said: Said
    _said_count: int = 0

    @property
    def session(self) -> Session:
        """The transaction's session, for the use cases."""
        return self.work.session

    @property
    def now(self) -> datetime:
        """The moment of this batch."""
        return self.work.now

    @property
    def who(self) -> Who:
        """The writer as the use cases want them."""
        staff = self.chat.staff
        return Who(
            through=self.chat.channel,
            person_id=self.chat.person_id,
            staff_id=staff.staff_id if staff else None,
            role=staff.role if staff else None,
            name=self.chat.person_name,
        )

    @property
    def context(self) -> FormContext:
        """What the form may know in this chat."""
        return FormContext(
            self.now, self.house.calendar, self.house.firm_name, self.house.firm_phone,
            self.chat.companies, self.work.directory,
            asks_at_once=self.chat.channel == self.house.email_channel, kinds=self.house.kinds,
        )  # fmt: skip

    def say(self, reply: Reply, *, focus: str | None = None, request_id: int | None = None) -> None:
        """Answer in this chat. `focus` says what the next free words belong to."""
        self._said_count += 1
        key = f"turn:{self.inbound.channel}:{self.inbound.event_key}:{self._said_count}"
        posting = Posting(
            key=key, reply=reply, chat_id=self.chat.chat_id, person_id=self.chat.person_id,
            request_id=request_id, urgent=True, focus=focus,
        )  # fmt: skip
        post(self.session, self.house, self.now, (posting,))
        if reply.rows or reply.prompt:
            self.chat.screen = shown_buttons(reply, self.house.say)
        if focus is not None:
            self.chat.focus = focus

    def say_text(self, text: Text, *, focus: str | None = None) -> None:
        """Answer with a sentence and leave the buttons in sight as they are."""
        self.say(Reply(text), focus=focus)

    def kept_files(self) -> tuple[OutgoingFile, ...]:
        """The files of this message that were accepted."""
        return tuple(
            OutgoingFile(file.sha256, file.name, file.media_type, file.size_bytes)
            for file in self.said.files
            if file.refusal is None
        )

    def refusals(self) -> tuple[Text, ...]:
        """Why the other files of this message were not taken."""
        return tuple(file.refusal for file in self.said.files if file.refusal is not None)


FORM_FOCUS = "form"
"""The next free words belong to the form."""
PICKING = "pick:"
"""They wait, with those before them, until the client says to which request they belong."""

LONGEST_TYPED_LABEL = 100


def press_of(inbound: Inbound, chat: ChatView) -> Press | None:
    """What was pressed: a button, or its number, label or synonym typed out.

    Numbers are those of the latest message; labels may be of earlier ones that are still in sight.
    """
    if inbound.button is not None:
        return Press.parse(inbound.button)
    if inbound.files or inbound.kind is not InboundKind.TEXT:
        return None
    return typed_press(inbound, chat.screen)


def without_logos(inbound: Inbound, chat: ChatView) -> Inbound:
    """The message without the pictures among its words, where these only press, number or command.

    Every letter of a firm may show its logo; whoever sends a photo writes what it is.
    """
    if all(file.role is not FileRole.IN_TEXT for file in inbound.files):
        return inbound
    if not (is_pressing(inbound.text) or typed_press(inbound, chat.screen)):
        return inbound
    files = tuple(file for file in inbound.files if file.role is not FileRole.IN_TEXT)
    return replace(inbound, files=files, kind=inbound.kind if files else InboundKind.TEXT)


def typed_press(inbound: Inbound, screen: Sequence[Sequence[str]]) -> Press | None:
    """The button of these that the words name, by its number, label or synonym."""
    typed = loosely(inbound.text) if len(inbound.text) <= LONGEST_TYPED_LABEL else ""
    if not typed:
        return None
    for label, press, *synonyms in screen:
        if typed in {loosely(word) for word in (label, *synonyms)}:
            return Press.parse(press)
    number = inbound.text.strip().rstrip(".)")
    latest = list(itertools.takewhile(lambda button: button[1], screen))
    if re.fullmatch(r"[0-9]{1,2}", number) and 0 < int(number) <= len(latest):
        return Press.parse(latest[int(number) - 1][1])
    return None
