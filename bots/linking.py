"""Several messengers of one person: the code that links one more, whose code it is, the order, unlinking.

The same for clients and for staff. The half-filled form belongs to the person, so it goes on in the
chat where the code was used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bots.turns import ChatTurn
from forms.messages import Button, Press, Reply, loosely
from forms.texts import Clock, Day, Text, _, lines, sentence
from storage import client_chats, linking
from storage.invitations import InvitationRefused, attempts_left, failed, owner_of_code, redeem, succeeded
from storage.letters import Posting, post
from storage.linking import Entry, LinkedChat, Owner

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


def enter(turn: ChatTurn, code: str, *, agreed: bool = False) -> Entered:
    """Redeem a one-time code: the chat is that person's from now on.

    A chat with a past of its own is asked first: whoever has given the code would read it.
    """
    brake = f"code:{turn.chat.channel}:{turn.chat.chat_key}"
    if not attempts_left(turn.session, brake, turn.now):
        return Entered(_("Слишком много неверных кодов. Попробуйте позже или попросите новый код."))
    try:
        owner = linking.owner_of(turn.session, turn.chat, owner_of_code(turn.session, code, "chat", turn.now))
        match owner.entry:
            case Entry.STAFF_CHAT:
                return Entered(_STAFF_CHAT)
            case Entry.CLIENT_CHAT:
                return Entered(_CLIENT_CHAT)
            case Entry.ASK if not agreed:
                turn.say(_whether_it_is_you(owner, code))
                return Entered(is_over=True)
        redeem(turn.session, code, "chat", turn.now)
    except InvitationRefused as refused:
        failed(turn.session, brake, turn.now)
        return Entered(refused.text)
    succeeded(turn.session, brake)
    return _linked(turn, owner)


_STAFF_CHAT = _(
    "Это рабочий чат сотрудника, а код для клиента. Откройте его в том мессенджере, где пишет клиент."
)
_CLIENT_CHAT = _(
    "В этом чате ваши заявки как клиента, поэтому рабочим он не станет. "
    "Возьмите для работы другой мессенджер или другой аккаунт."
)


def _linked(turn: ChatTurn, owner: Owner) -> Entered:
    chat, session = turn.chat, turn.session
    present = chat.person_id
    if owner.entry is Entry.ADOPT:
        linking.adopt(session, chat, owner.person_id, turn.now)
        return Entered(hello=_("Компания записана за вами."))
    if owner.entry is Entry.ASK and present is not None:
        linking.merge(session, present, owner.person_id, chat.channel, turn.now)
        for other in turn.work.chats.values():
            if other.person_id == present:
                other.person_id = owner.person_id
    client_chats.link(session, turn.house, chat, owner.person_id, turn.now)
    if present == owner.person_id:
        return Entered(hello=_("Этот чат уже ваш."))
    if not owner.further:
        return Entered()
    linking.take_last_place(session, owner.person_id, chat.chat_id)
    _tell_the_other_chat(turn, owner)
    here = _("Теперь пишем вам и сюда.")
    return Entered(hello=_("{name}, это вы. {here}", name=owner.name, here=here) if owner.name else here)


def _whether_it_is_you(owner: Owner, code: str) -> Reply:
    who = _("Этот код создан в другом чате: {name}.", name=owner.name) if owner.name else None
    text = lines(
        who or _("Этот код создан в другом чате."),
        _(
            "Если это вы, заявки и чаты станут общими. Если код не ваш, не принимайте его: "
            "ваши заявки увидит другой человек. Это вы?"
        ),
    )
    typed = re.sub(r"\W", "", code)
    rows = (
        (
            Button(_("Да, это я"), str(Press(LINK_SCOPE, "join", typed)), ("да", "yes")),
            Button(_("Нет"), str(Press(LINK_SCOPE, "stay")), ("no",)),
        ),
    )
    return Reply(text, rows, prompt=True)


def _tell_the_other_chat(turn: ChatTurn, owner: Owner) -> None:
    """One line where they wrote until now; whoever did not expect it can take it back there."""
    chats = linking.chats_of(turn.session, owner.person_id)
    others = [chat for chat in chats if chat.chat_id != turn.chat.chat_id and not chat.blocked]
    if not others:
        return
    here = turn.house.channel_title(turn.chat.channel)
    drop = Button(
        _("Отвязать: {messenger}", messenger=here), str(Press(LINK_SCOPE, "drop", str(turn.chat.chat_id)))
    )
    text = sentence(
        _("Вы продолжили в {messenger}; сюда тоже можно писать.", messenger=here),
        _("Если это не вы, отвяжите."),
    )
    latest = max(
        others, key=lambda chat: (chat.last_inbound_at is not None, chat.last_inbound_at or turn.now)
    )
    posting = Posting(
        f"linked:{turn.inbound.channel}:{turn.inbound.event_key}", Reply(text, ((drop,),)),
        chat_id=latest.chat_id, urgent=True, keeps_screen=True,
    )  # fmt: skip
    post(turn.session, turn.house, turn.now, (posting,))


# --- the messengers of whoever writes ------------------------------------------------------------


def button(label: Text) -> Button:
    """The button that shows the messengers."""
    return Button(label, str(SHOW), WORDS)


def joins(press: Press) -> str | None:
    """The code to which «Да, это я» belongs."""
    return press.value if press.target == "join" and _CODE.fullmatch(press.value) else None


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
    all_ways = turn.house.ways_in_for_staff() if turn.chat.staff is not None else ()
    ways = [way for way in all_ways or turn.house.ways_in() if way.title != own]
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
