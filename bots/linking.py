"""Several messengers of one person: the code that links one more, whose code it is, the order, unlinking.

The same for clients and for staff. The half-filled form belongs to the person, so it goes on in the
chat where the code was used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from bots.turns import ChatTurn
from forms.messages import Button, Inbound, InboundKind, Press, Reply, loosely
from forms.texts import Clock, Day, Text, _, lines, sentence
from storage import client_chats, linking
from storage.invitations import (
    ALPHABET,
    CODE_LENGTH,
    InvitationRefused,
    as_issued,
    attempts_left,
    failed,
    owner_of_code,
    redeem,
    succeeded,
)
from storage.letters import Posting, post
from storage.linking import Entry, LinkedChat, Owner
from storage.work import ChatView

LINK_SCOPE = "link"
SHOW = Press(LINK_SCOPE, "show")

WORDS = (
    "Другой мессенджер", "Сменить мессенджер", "Куда писать", "Мои мессенджеры", "/link",
    "Another messenger", "Where to write",
)  # fmt: skip
"""What may be typed to see the messengers, besides the button."""
_ASKED = frozenset(loosely(word) for word in WORDS)
_CODE = re.compile(r"[0-9A-Za-z]{4,32}")


@dataclass(frozen=True, slots=True)
class Entered:
    """What came of a code. `is_over`: nothing more is to be said to this message.

    `refused` says why the chat is what it was; `hello` greets somebody who has come from another chat.
    """

    refused: Text | None = None
    hello: Text | None = None
    is_over: bool = False


def is_asked(text: str) -> bool:
    """Whether these words ask for the messengers."""
    return loosely(text) in _ASKED


# --- coming in by a code -------------------------------------------------------------------------


def code_of(inbound: Inbound) -> str | None:
    """The code that came along, as it was given out.

    Links bring other things too, such as the name of an advertisement: those are no codes.
    """
    code = as_issued(inbound.start_code or "")
    return code if len(code) in _LENGTHS and set(code) <= _LETTERS else None


_LENGTHS = (linking.CODE_LENGTH, CODE_LENGTH)
_LETTERS = frozenset(ALPHABET)


def come(turn: ChatTurn) -> Entered:
    """Redeem the code that came with this message, if one did.

    A code that opens nothing must not swallow the words beside which it came.
    """
    code = code_of(turn.inbound)
    if code is None:
        return Entered()
    is_beside_words = turn.inbound.kind is not InboundKind.STARTED
    entered = enter(turn, code, counts=not is_beside_words)
    return Entered() if is_beside_words and entered.refused is not None else entered


def enter(turn: ChatTurn, code: str, *, agreed: bool = False, counts: bool = True) -> Entered:
    """Redeem a one-time code: the chat is that person's from now on.

    Where somebody would read what is not theirs, both chats are asked first: this one (`agreed` when it
    has said yes), then the one in which the code was made. `counts` is whether a wrong code is a guess.
    """
    brake = f"code:{turn.chat.channel}:{turn.chat.chat_key}"
    if not turn.inbound.trusted:
        return Entered(_NOT_VOUCHED_FOR)
    if not attempts_left(turn.session, brake, turn.now):
        return Entered(_("Слишком много неверных кодов. Попробуйте позже или попросите новый код."))
    try:
        person_id = owner_of_code(turn.session, code, "chat", turn.now)
        owner = linking.owner_of(turn.session, turn.house, turn.chat, person_id)
        if owner.entry in _REFUSALS:
            return Entered(_REFUSALS[owner.entry])
        if owner.entry is Entry.ASK and _asks(turn, owner, code, agreed=agreed):
            return Entered(is_over=True)
        redeem(turn.session, code, "chat", turn.now)
    except InvitationRefused as refused:
        if counts:
            failed(turn.session, brake, turn.now)
        return Entered(refused.text)
    succeeded(turn.session, brake)
    if owner.entry is Entry.ASK:
        _tell_the_other_chat(turn, owner)
    return _linked(turn, owner, keep_draft_of=turn.chat.person_id)


_NOT_VOUCHED_FOR = _(
    "Мы не можем проверить, что это пишете вы, поэтому код здесь не действует. Откройте его в мессенджере."
)
_REFUSALS = {
    Entry.STAFF_MAIL: _(
        "По почте сотрудники не входят: отправителя письма можно подделать. Откройте код в мессенджере."
    ),
    Entry.STAFF_CHAT: _(
        "Это рабочий чат сотрудника, а код для клиента. Откройте его в том мессенджере, где пишет клиент."
    ),
    Entry.CLIENT_CHAT: _(
        "В этом чате ваши заявки как клиента, поэтому рабочим он не станет. "
        "Возьмите для работы другой мессенджер или другой аккаунт."
    ),
}


def _linked(turn: ChatTurn, owner: Owner, *, keep_draft_of: int | None) -> Entered:
    chat, session = turn.chat, turn.session
    present = chat.person_id
    if owner.entry is Entry.ADOPT:
        linking.adopt(session, chat, owner.person_id, turn.now)
        return Entered(hello=_("Компания записана за вами."))
    is_draft_lost = False
    if owner.shares_past and present is not None:
        is_draft_lost = linking.merge(
            session, present, owner.person_id, chat.channel, turn.now,
            keep_draft_of=keep_draft_of or owner.person_id,
        )  # fmt: skip
        for other in turn.work.chats.values():
            if other.person_id == present:
                other.person_id = owner.person_id
    client_chats.link(session, turn.house, chat, owner.person_id, turn.now)
    if present == owner.person_id:
        return Entered(hello=_("Этот чат уже ваш."))
    for other in turn.work.chats.values():
        if other.person_id == owner.person_id and owner.shares_past:
            other.draft, other.draft_created_at = chat.draft, chat.draft_created_at
    if not owner.further:
        return Entered()
    linking.mark_new(session, chat.chat_id, turn.now)
    linking.take_last_place(session, owner.person_id, chat.chat_id)
    here = _("Теперь пишем вам и сюда.")
    hello = _("{name}, это вы. {here}", name=owner.name, here=here) if owner.name else here
    lost = _("Недописанных заявок было две, по одной в каждом чате: оставили эту.") if is_draft_lost else None
    return Entered(hello=lines(hello, lost))


# --- both chats say yes --------------------------------------------------------------------------


def _asks(turn: ChatTurn, owner: Owner, code: str, *, agreed: bool) -> bool:
    """Ask what is still to be asked; False when both chats have agreed, or only this one can be asked.

    The firm vouches for its own invitations, so those ask in this chat alone; and staff, to whom they were
    handed, are not asked at all.
    """
    if owner.is_staff and len(code) != linking.CODE_LENGTH:
        return False
    if not agreed:
        turn.say(_whether_it_is_you(owner, code))
        return True
    other = _latest_other(turn, owner.person_id)
    if len(code) != linking.CODE_LENGTH or other is None:
        return False
    linking.wants_to_join(turn.session, turn.chat.chat_id, code, turn.now)
    here, there = turn.house.channel_title(turn.chat.channel), turn.house.channel_title(other.channel)
    which = f"{code}.{turn.chat.chat_id}"
    rows = (
        (
            Button(_("Да, это я"), str(Press(LINK_SCOPE, _ADMIT, which))),
            Button(_("Нет"), str(Press(LINK_SCOPE, _DENY, which))),
        ),
    )
    text = _(
        "К вам хотят подключить ещё один чат ({messenger}): там будут видны ваши заявки. Это вы?",
        messenger=here,
    )
    posting = Posting(
        f"join:{turn.inbound.channel}:{turn.inbound.event_key}", Reply(text, rows), chat_id=other.chat_id,
        urgent=True, keeps_screen=True,
    )  # fmt: skip
    post(turn.session, turn.house, turn.now, (posting,))
    turn.say_text(
        _(
            "Осталось подтвердить в прежнем чате ({messenger}): нажмите там «Да, это я», и продолжим здесь.",
            messenger=there,
        )
    )
    return True


_ADMIT, _DENY = "admit", "deny"


def _whether_it_is_you(owner: Owner, code: str) -> Reply:
    who = _("Этот код создан в другом чате ({name}).", name=_initials(owner.name)) if owner.name else None
    text = lines(
        who or _("Этот код создан в другом чате."),
        _(
            "Если это вы, заявки и чаты станут общими. Если код не ваш, не принимайте его: "
            "ваши заявки увидит другой человек. Это вы?"
        ),
    )
    rows = (
        (
            Button(_("Да, это я"), str(Press(LINK_SCOPE, "join", code)), ("да", "yes")),
            Button(_("Нет"), str(Press(LINK_SCOPE, "stay")), ("no",)),
        ),
    )
    return Reply(text, rows, prompt=True)


def _initials(name: str) -> str:
    """Enough for the person to know themselves, and nothing for anybody else."""
    return " ".join(f"{word[0].upper()}." for word in name.split())


@dataclass(frozen=True, slots=True)
class Crossed:
    """The chat that a press has led to, and what came of its code."""

    turn: ChatTurn
    entered: Entered


def crossed(turn: ChatTurn, press: Press) -> Crossed | None:
    """What «Да, это я» has led to, in the new chat or in the earlier one; None for any other press."""
    code = joins(press)
    if code is not None:
        return Crossed(turn, enter(turn, code, agreed=True))
    if press.target in (_ADMIT, _DENY):
        return _decided(turn, press)
    return None


def _decided(turn: ChatTurn, press: Press) -> Crossed:
    """The earlier chat has answered whether the new one is its person's."""
    over = Crossed(turn, Entered(is_over=True))
    try:
        view, owner = _joining(turn, press)
    except InvitationRefused:
        turn.say_text(_("Этот вопрос уже не действует. Возьмите новый код: «Другой мессенджер»."))
        return over
    linking.stops_joining(turn.session, view.chat_id)
    if press.target == _DENY:
        turn.say_text(_("Хорошо, чат не подключили."))
        replace(turn, chat=view).say_text(_("В прежнем чате ответили «Нет», поэтому этот чат не подключили."))
        return over
    turn.say(_continued(turn, view))
    there = replace(turn, chat=view)
    return Crossed(there, _linked(there, owner, keep_draft_of=owner.person_id))


def _joining(turn: ChatTurn, press: Press) -> tuple[ChatView, Owner]:
    """The chat that waits for this answer, and the person; uses the code up. Raises InvitationRefused."""
    code, _dot, number = press.value.partition(".")
    view = linking.joining(turn.session, int(number), code) if _CHAT_ID.fullmatch(number) else None
    if view is None:
        raise InvitationRefused
    view = turn.work.chats.get((view.channel, view.chat_key), view)
    person_id = owner_of_code(turn.session, code, "chat", turn.now)
    owner = linking.owner_of(turn.session, turn.house, view, person_id)
    if person_id != turn.chat.person_id or owner.entry is not Entry.ASK:
        raise InvitationRefused
    redeem(turn.session, code, "chat", turn.now)
    return view, owner


_CHAT_ID = re.compile(r"[0-9]{1,9}")


def _continued(turn: ChatTurn, new: ChatView) -> Reply:
    """That somebody goes on elsewhere; whoever did not expect it can take it back here."""
    there = turn.house.channel_title(new.channel)
    drop = Button(
        _("Отвязать: {messenger}", messenger=there), str(Press(LINK_SCOPE, "drop", str(new.chat_id)))
    )
    text = sentence(
        _("Вы продолжили в другом мессенджере ({messenger}); сюда тоже можно писать.", messenger=there),
        _("Если это не вы, отвяжите."),
    )
    return Reply(text, ((drop,),))


def _tell_the_other_chat(turn: ChatTurn, owner: Owner) -> None:
    """One line where they wrote until now."""
    latest = _latest_other(turn, owner.person_id)
    if latest is None:
        return
    posting = Posting(
        f"linked:{turn.inbound.channel}:{turn.inbound.event_key}", _continued(turn, turn.chat),
        chat_id=latest.chat_id, urgent=True, keeps_screen=True,
    )  # fmt: skip
    post(turn.session, turn.house, turn.now, (posting,))


def _latest_other(turn: ChatTurn, person_id: int) -> LinkedChat | None:
    """The chat in which this person wrote last and can be written to, besides this one."""
    running = turn.house.switched_on
    others = [
        chat
        for chat in linking.chats_of(turn.session, person_id)
        if chat.chat_id != turn.chat.chat_id and not chat.blocked and (not running or chat.channel in running)
    ]
    return max(
        others,
        key=lambda chat: (chat.last_inbound_at is not None, chat.last_inbound_at or turn.now),
        default=None,
    )


# --- the messengers of whoever writes ------------------------------------------------------------


def button(label: Text) -> Button:
    """The button that shows the messengers."""
    return Button(label, str(SHOW), WORDS)


def joins(press: Press) -> str | None:
    """The code to which «Да, это я» belongs."""
    return press.value if press.target == "join" and _CODE.fullmatch(press.value) else None


def is_join(press: Press) -> bool:
    """Whether this is «Да, это я» in a new chat, where nobody need have agreed to anything yet."""
    return press.scope == LINK_SCOPE and joins(press) is not None


def answer(turn: ChatTurn, press: Press) -> Reply:
    """What the buttons about messengers lead to; the chat that is unlinked may be this one."""
    chats = linking.chats_of(turn.session, turn.chat.person_id)
    is_alone = len(chats) == 1 and turn.chat.staff is None
    if press.target == "code" or (press.target == "show" and is_alone):
        return _ways(turn)
    change = _CHANGES.get(press.target)
    if change is None:
        note = _("Хорошо, ничего не меняем.") if press.target == "stay" else None
        return _list(turn, chats, note)
    meant = next((chat for chat in chats if str(chat.chat_id) == press.value), None)
    return change(turn, meant) if meant is not None else _list(turn, chats, _("Этот чат уже отвязан."))


def _ways(turn: ChatTurn) -> Reply:
    """A fresh code with the links by which other messengers take it."""
    assert turn.chat.person_id is not None
    own = turn.house.channel_title(turn.chat.channel)
    all_ways = turn.house.ways_in_for_staff() if turn.chat.staff is not None else turn.house.ways_in()
    ways = [way for way in all_ways if way.title != own]
    if not ways:
        return Reply(_("Пока мы отвечаем только здесь."))
    code = linking.new_code(turn.session, turn.chat.person_id, turn.now)
    shown = [way.with_code(code) for way in ways]
    by_hand = [way.title for way in shown if not way.link]
    text = lines(
        _("Откройте другой мессенджер по ссылке, продолжим там с этого же места.")
        if len(by_hand) < len(shown)
        else None,
        *(_("{messenger}: {link}", messenger=way.title, link=way.link) for way in shown if way.link),
        _("{messengers}: напишите нам там «/start {code}».", messengers=", ".join(by_hand), code=code)
        if by_hand
        else None,
        _("Код действует 10 минут, один раз. Никому его не передавайте."),
    )
    return Reply(text)


def _list(turn: ChatTurn, chats: tuple[LinkedChat, ...], note: Text | None = None) -> Reply:
    """The chats in the order in which they are written to."""
    shown = [
        _("{place}. {chat}", place=place, chat=_described(turn, chat))
        for place, chat in enumerate(chats, start=1)
    ]
    text = lines(note, _("Пишем вам сначала в первый; если не дойдёт, в следующий:"), *shown)
    rows: list[tuple[Button, ...]] = []
    for place, chat in enumerate(chats):
        title = _title(turn, chat)
        first = _press(_("Сначала: {messenger}", messenger=title), "first", chat)
        drop = _press(_("Отвязать: {messenger}", messenger=title), "drop", chat)
        rows.append(((first,) if place else ()) + ((drop,) if len(chats) > 1 else ()))
    more = (Button(_("Подключить ещё мессенджер"), str(Press(LINK_SCOPE, "code"))),)
    return Reply(text, (*(row for row in rows if row), more))


def _press(label: Text, target: str, chat: LinkedChat) -> Button:
    return Button(label, str(Press(LINK_SCOPE, target, str(chat.chat_id))))


def _title(turn: ChatTurn, chat: LinkedChat) -> str:
    title = turn.house.channel_title(chat.channel)
    return f"{title} {chat.address}" if chat.channel == turn.house.email_channel else title


def _described(turn: ChatTurn, chat: LinkedChat) -> Text:
    title = _title(turn, chat)
    if chat.chat_id == turn.chat.chat_id:
        return _("{messenger}, этот чат", messenger=title)
    if chat.blocked:
        return _("{messenger}, вы его закрыли", messenger=title)
    if chat.last_inbound_at is None:
        return _("{messenger}", messenger=title)
    local = chat.last_inbound_at.astimezone(turn.house.calendar.zone)
    return _(
        "{messenger}, вы писали {day}, {clock}", messenger=title, day=Day(local.date()), clock=Clock(local)
    )


def _first(turn: ChatTurn, chat: LinkedChat) -> Reply:
    assert turn.chat.person_id is not None
    linking.put_first(turn.session, turn.chat.person_id, chat.chat_id)
    chats = linking.chats_of(turn.session, turn.chat.person_id)
    return _list(turn, chats, _("Запомнили: сначала {messenger}.", messenger=_title(turn, chat)))


def _drop(turn: ChatTurn, chat: LinkedChat) -> Reply:
    person_id, through = turn.chat.person_id, turn.chat.channel
    assert person_id is not None
    if chat.chat_id != turn.chat.chat_id and linking.is_new(turn.session, turn.chat.chat_id, turn.now):
        chats = linking.chats_of(turn.session, person_id)
        note = _("Этот чат подключили недавно: другие чаты из него можно отвязать через сутки.")
        return _list(turn, chats, note)
    if not linking.unlink(turn.session, turn.house, chat, person_id, through, turn.now):
        return Reply(_("Это единственный ваш чат. Сначала подключите другой мессенджер."))
    for view in turn.work.chats.values():
        if view.chat_id == chat.chat_id:
            view.person_id, view.staff, view.draft = None, None, None
            view.person_name = view.consent_version = view.focus = ""
            view.companies = ()
    if turn.chat.person_id is None:
        return Reply(_("Отвязали: сюда больше не пишем. Вернуться можно по коду из другого вашего чата."))
    chats = linking.chats_of(turn.session, turn.chat.person_id)
    return _list(turn, chats, _("Отвязали: {messenger}.", messenger=_title(turn, chat)))


_CHANGES = {"first": _first, "drop": _drop}
