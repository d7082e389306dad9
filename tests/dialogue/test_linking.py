"""One person in several messengers: the draft goes along, the order is theirs, nobody is mixed up."""

import re
from dataclasses import dataclass, replace

import pytest

from forms.messages import InboundKind, Press
from router.model import Role
from storage import invitations
from storage.house import WayIn
from storage.models import CallTask, Chat, ClientPerson, Draft, History, Letter, Person
from tests.client import Talker

WAYS = (
    WayIn("Веб-чат", "https://firm.example/chat?code={code}"),
    WayIn("Telegram", "https://t.me/firm_bot?start={code}"),
    WayIn("ВКонтакте"),
)
TITLES = {"webchat": "Веб-чат", "telegram": "Telegram", "vk": "ВКонтакте"}


@dataclass(slots=True)
class In(Talker):
    """Somebody in a messenger of their choice."""

    channel: str = "webchat"

    def inbound(self, kind, **parts):
        self.town.channel = self.channel
        return Talker.inbound(self, kind, **parts)

    async def takes(self, inbound):
        return await self._do(inbound)

    def everything(self):
        self.town.channel = self.channel
        return Talker.everything(self)


@pytest.fixture
def town(town):
    town.house = replace(
        town.house, channel_titles=TITLES, ways_in=lambda: WAYS, ways_in_for_staff=lambda: WAYS
    )
    return town


@pytest.fixture
async def maria(town):
    talker = In(town, "100", "Мария")
    await talker.says_all("/start", "Согласен")
    return talker


def telegram(town, key="tg", name="Мария К."):
    return In(town, key, name, channel="telegram")


def code_in(talker):
    """The code as the latest message shows it."""
    return re.search(r"start=(\w+)|/start (\w+)|code=(\w+)", talker.latest[-1].text).group(1)


async def moves(maria, elsewhere):
    """Take the code from one chat into another; both say that it is them."""
    await maria.says("/link")
    await elsewhere.starts(code_in(maria))
    await elsewhere.presses("Да, это я")
    maria.hears()
    await maria.presses("Да, это я")
    elsewhere.hears()
    return elsewhere


# --- the draft goes along ------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["/link", "Другой мессенджер", "куда писать"])
async def test_the_code_comes_with_the_links_of_the_other_messengers(town, maria, words):
    await maria.says(words)
    maria.sees("Telegram: https://t.me/firm_bot?start=", "ВКонтакте: напишите нам там «/start ", "10 минут")
    maria.sees_not("Веб-чат")
    assert re.fullmatch(r"[2-9A-HJKMNP-TV-Z]{8}", code_in(maria))


async def test_help_has_the_button(maria):
    await maria.says("/help")
    await maria.presses("Другой мессенджер")
    maria.sees("https://t.me/firm_bot?start=")


async def test_a_half_filled_form_goes_on_in_the_other_messenger(town, maria):
    await maria.says("7707083893")
    maria.sees("Что нужно сделать?")
    there = await moves(maria, telegram(town))
    there.sees("Мария, это вы. Теперь пишем вам и сюда.", "Что нужно сделать?")
    maria.sees(
        "Вы продолжили в другом мессенджере (Telegram); сюда тоже можно писать.",
        buttons=["Отвязать: Telegram"],
    )
    await there.says("Оплатить счёт")
    there.sees("Кому и сколько заплатить?")
    assert maria.hears() == []


async def test_the_first_chat_goes_on_where_the_second_one_stopped(town, maria):
    await maria.says("7707083893")
    kind = maria.press_of("Оплатить счёт")
    there = await moves(maria, telegram(town))
    await there.says("Оплатить счёт")
    await maria.says("ООО Свет, 5000 рублей, за электричество")
    maria.sees_last("К какому сроку?")
    await maria.presses_id(kind)
    maria.sees("К какому сроку?"), "an old button answers nothing twice"
    await there.says("завтра")
    there.sees("Приложите файлы")


async def test_a_code_works_once_and_for_ten_minutes(town, maria):
    await maria.says("/link")
    code = code_in(maria)
    there = telegram(town)
    await there.starts(code)
    await there.presses("Да, это я")
    await maria.presses("Да, это я")
    thief = telegram(town, "thief", "Пётр")
    await thief.starts(code)
    thief.sees("Код не подошёл")
    await maria.says("/link")
    await maria.presses("Подключить ещё мессенджер")
    late = code_in(maria)
    town.pass_time(minutes=11)
    await thief.starts(late)
    thief.sees("Код не подошёл")


async def test_without_a_link_the_code_is_typed(town, maria):
    await maria.says("/link")
    there = In(town, "vk", "Мария", channel="vk")
    await there.says(f"/start {code_in(maria).lower()}")
    there.sees("Этот код создан в другом чате (М.).")


async def test_where_there_is_no_other_messenger_it_says_so(town, maria):
    town.house = replace(town.house, ways_in=lambda: WAYS[:1])
    await maria.says("/link")
    maria.sees("Пока мы отвечаем только здесь.")


# --- the order, and unlinking --------------------------------------------------------------------


async def test_the_person_says_where_to_write_first(town, maria):
    there = await moves(maria, telegram(town))
    await there.says_all("/status", "/link")
    there.sees(
        "1. Telegram, этот чат", "2. Веб-чат, вы писали",
        buttons=["Отвязать: Telegram", "Сначала: Веб-чат", "Отвязать: Веб-чат", "Подключить ещё мессенджер"],
    )  # fmt: skip
    await there.presses("Сначала: Веб-чат")
    there.sees("Запомнили: сначала Веб-чат.", "1. Веб-чат", "2. Telegram, этот чат")
    ranks = {chat.channel: chat.rank for chat in town.rows(Chat) if chat.chat_key in ("100", "tg")}
    assert ranks == {"webchat": 0, "telegram": 1}


async def test_a_chat_is_unlinked_and_written_to_no_more(town, maria):
    there = await moves(maria, telegram(town))
    await maria.presses("Отвязать: Telegram")
    maria.sees("Отвязали: Telegram.", "1. Веб-чат, этот чат")
    await there.says("Вы тут?")
    there.sees("Здравствуйте!", buttons=["Согласен", "Не согласен"])
    assert [row.action for row in town.rows(History)].count("chat_unlinked") == 1


async def test_this_very_chat_may_be_unlinked(town, maria):
    there = await moves(maria, telegram(town))
    await there.says("/link")
    await there.presses("Отвязать: Telegram")
    there.sees("Отвязали: сюда больше не пишем.")
    await there.says("Оплатить счёт")
    there.sees("Здравствуйте!")


async def test_the_only_chat_stays(town, maria):
    there = await moves(maria, telegram(town))
    await there.says("/link")
    await there.presses("Отвязать: Веб-чат")
    there.sees("Этот чат подключили недавно", "2. Веб-чат")
    town.pass_time(hours=24)
    await there.presses("Отвязать: Веб-чат")
    there.sees("1. Telegram, этот чат", buttons=["Подключить ещё мессенджер"])
    await there.presses("Отвязать: Веб-чат")
    there.sees("Этот чат уже отвязан.")


async def test_a_request_follows_its_client_out_of_an_unlinked_chat(town, maria):
    number = await submits(maria)
    there = await moves(maria, telegram(town))
    town.pass_time(hours=24)
    await there.says("/link")
    await there.presses("Отвязать: Веб-чат")
    anna = In(town, "staff-Анна Петрова", "Анна Петрова")
    there.hears()
    await anna.presses_id(f"req:{number}:accept:0")
    there.hears()
    there.sees(f"Заявка № {number} в работе")


async def submits(talker, inn="7707083893"):
    await talker.says_all(inn, "Оплатить счёт", "ООО Свет, 5000 рублей", "завтра", "Готово", "Отправить")
    requests = talker.town.requests()
    assert requests, [heard.text for heard in talker.everything()]
    return requests[-1].id


# --- whose code it is ----------------------------------------------------------------------------


async def test_an_invited_client_who_has_written_before_stays_one_person(town, maria):
    town.known_client("500100732259", "ИП Ветров")
    people = len(town.rows(Person))
    await maria.starts(town.invite_client("500100732259"))
    maria.sees("Компания записана за вами.")
    person = next(chat.person_id for chat in town.rows(Chat) if chat.chat_key == "100")
    assert len(town.rows(Person)) == people + 1, "the invited one stays, empty"
    assert [row.person_id for row in _companies(town)] == [person]
    await maria.says("/new")
    maria.sees("ИП Ветров")


def _companies(town):
    with town.database.read() as session:
        from sqlmodel import select

        return list(session.exec(select(ClientPerson)))


async def test_a_chat_with_requests_of_its_own_is_asked_before_they_are_shared(town, maria):
    number = await submits(maria)
    olga = telegram(town, "olga", "Ольга")
    await olga.says_all("/start", "Согласен", "/link")
    code = re.search(r"code=(\w+)", olga.latest[-1].text).group(1)
    await maria.starts(code)
    maria.sees("Этот код создан в другом чате (О.).", "ваши заявки увидит", buttons=["Да, это я", "Нет"])
    await olga.says("/status")
    olga.sees_not(f"№ {number}")
    await maria.presses("Да, это я")
    maria.sees("Осталось подтвердить в прежнем чате (Telegram)")
    olga.hears()
    await olga.presses("Да, это я")
    maria.hears()
    maria.sees("Ольга, это вы.")
    await olga.says("/status")
    olga.sees_last(f"Заявка № {number}")
    await maria.says("/status")
    maria.sees(f"Заявка № {number}")
    assert [row.action for row in town.rows(History)].count("people_merged") == 1


async def test_whoever_says_no_keeps_everything_apart(town, maria):
    await submits(maria)
    olga = telegram(town, "olga", "Ольга")
    await olga.says_all("/start", "Согласен", "/link")
    await maria.starts(re.search(r"code=(\w+)", olga.latest[-1].text).group(1))
    await maria.says("нет")
    maria.sees("Хорошо, ничего не меняем.")
    people = {chat.person_id for chat in town.rows(Chat) if chat.chat_key in ("100", "olga")}
    assert len(people) == 2


async def test_ones_own_code_in_the_same_chat_changes_nothing(town, maria):
    await maria.says("/link")
    await maria.starts(code_in(maria))
    maria.sees("Этот чат уже ваш.")


async def test_a_clients_code_does_not_take_a_working_chat_away(town, maria):
    await maria.says("/link")
    code = code_in(maria)
    anna = In(town, "staff-Анна Петрова", "Анна Петрова")
    await anna.starts(code)
    assert "Это рабочий чат сотрудника" in anna.last.text
    there = telegram(town)
    await there.starts(code)
    there.sees("Это вы?"), "the code was not used up"


async def test_a_chat_with_a_clients_requests_does_not_become_a_working_one(town, maria):
    await submits(maria)
    with town.database.begin() as session:
        invited = invitations.invite_staff(session, Role.ACCOUNTANT, "Борис", "boris@example.org", town.clock)
    await maria.starts(invited.chat_code)
    maria.sees("В этом чате ваши заявки как клиента")
    await maria.says("/status")
    maria.sees("Заявка № 1")


# --- both chats say yes --------------------------------------------------------------------------


async def test_a_strangers_click_shows_neither_to_the_other(town, maria):
    await maria.says("7707083893")
    await maria.says("/link")
    stranger = telegram(town, "stranger", "Пётр")
    await stranger.starts(code_in(maria))
    stranger.sees("другом чате (М.)", "увидит другой человек", buttons=["Да, это я", "Нет"])
    stranger.sees_not("Мария", "Ромашка", "7707083893")
    assert maria.hears() == []
    await stranger.presses("Да, это я")
    stranger.sees("Осталось подтвердить в прежнем чате (Веб-чат)")
    maria.hears()
    maria.sees("хотят подключить ещё один чат (Telegram)", buttons=["Да, это я", "Нет"])
    await stranger.says("Вы тут?")
    stranger.sees("Здравствуйте!", buttons=["Согласен", "Не согласен"])
    await maria.presses("Нет")
    maria.sees("Хорошо, чат не подключили.")
    stranger.hears()
    stranger.sees("ответили «Нет»")
    await maria.presses("Да, это я")
    maria.sees("уже не действует")
    assert [chat.person_id for chat in town.rows(Chat) if chat.chat_key == "stranger"] == [None]


async def test_a_forged_yes_links_nobodys_chat(town, maria):
    victim = telegram(town, "victim", "Ольга")
    await victim.says_all("/start", "Согласен")
    await maria.says("/link")
    chat = next(chat for chat in town.rows(Chat) if chat.chat_key == "victim")
    await maria.presses_id(str(Press("link", "admit", f"{code_in(maria)}.{chat.id}")))
    maria.sees("уже не действует")
    assert chat in town.rows(Chat)


async def test_whoever_waits_too_long_takes_a_new_code(town, maria):
    await maria.says("/link")
    there = telegram(town)
    await there.starts(code_in(maria))
    await there.presses("Да, это я")
    town.pass_time(minutes=11)
    await maria.presses("Да, это я")
    maria.sees_last("уже не действует")


async def test_where_the_earlier_chat_is_closed_the_new_one_is_asked_alone(town, maria):
    await maria.says("/link")
    code = code_in(maria)
    _close(town, "100")
    there = telegram(town)
    await there.starts(code)
    await there.presses("Да, это я")
    there.sees("Мария, это вы.")


async def test_of_two_half_filled_forms_the_one_of_the_chat_that_writes_stays(town, maria):
    await maria.says("7707083893")
    olga = telegram(town, "olga", "Ольга")
    await olga.says_all("/start", "Согласен", "500100732259", "/link")
    code = re.search(r"code=(\w+)", olga.latest[-1].text).group(1)
    _close(town, "olga")
    await maria.starts(code)
    await maria.presses("Да, это я")
    maria.sees("Недописанных заявок было две", "7707083893")
    with town.database.read() as session:
        from sqlmodel import select

        (draft,) = session.exec(select(Draft)).all()
    assert "7707083893" in str(draft.progress)


# --- what is no code, and who may use none -------------------------------------------------------

WRONG_CODES = ["spring_sale", "ABC", "ИТОГИ", "AAAAAAAA", "A" * 20]


@pytest.mark.parametrize("code", WRONG_CODES)
async def test_what_a_link_brings_beside_words_does_not_swallow_them(town, maria, code):
    for _time in range(7):
        await maria.takes(maria.inbound(InboundKind.TEXT, text="7707083893", start_code=code))
    maria.sees_not("Код не подошёл", "Слишком много")
    assert "throttle: ('code:" not in town.everything_stored()
    assert any("Что нужно сделать?" in heard.text for heard in maria.everything())


@pytest.mark.parametrize("code", WRONG_CODES)
async def test_nor_those_of_staff(town, maria, code):
    anna = In(town, "staff-Анна Петрова", "Анна Петрова")
    anna.hears()
    await anna.takes(anna.inbound(InboundKind.TEXT, text="Куда писать", start_code=code))
    anna.sees("1. Веб-чат, этот чат")


async def test_the_name_of_an_advertisement_is_an_ordinary_start(town):
    stranger = telegram(town)
    await stranger.starts("spring_sale")
    stranger.sees("Здравствуйте!")
    stranger.sees_not("Код")


async def test_a_code_typed_in_cyrillic_twins_works_after_the_question_too(town, maria):
    await submits(maria)
    olga = telegram(town, "olga", "Ольга")
    await olga.says_all("/start", "Согласен", "/link")
    code = re.search(r"code=(\w+)", olga.latest[-1].text).group(1)
    twins = code.translate(str.maketrans("ABEKMHPCTYX", "АВЕКМНРСТУХ"))
    await maria.starts("—".join(twins).lower())
    await maria.presses("Да, это я")
    maria.sees("Осталось подтвердить")


async def invited_staff(town):
    with town.database.begin() as session:
        return invitations.invite_staff(session, Role.DIRECTOR, "Борис", "boris@example.org", town.clock)


@pytest.mark.parametrize("key", ["boss@example.org", "unverified:boss@example.org"])
async def test_staff_do_not_come_in_by_e_mail(town, key):
    town.house = replace(town.house, email_channel="mail")
    letter = In(town, key, "Борис", channel="mail")
    await letter.starts((await invited_staff(town)).chat_code)
    assert [chat.person_id for chat in town.rows(Chat) if chat.channel == "mail"] == [None]
    assert "По почте сотрудники не входят" in letter_words(town)


async def test_whoever_is_not_vouched_for_can_use_no_code(town, maria):
    await maria.says("/link")
    forger = telegram(town, "unverified:maria@example.org")
    code = code_in(maria)
    started = forger.inbound(InboundKind.STARTED, start_code=code, trusted=False)
    await forger.takes(started)
    forger.sees("Мы не можем проверить, что это пишете вы")
    await forger.takes(
        replace(forger.inbound(InboundKind.BUTTON, button=str(Press("link", "join", code))), trusted=False)
    )
    assert [chat.person_id for chat in town.rows(Chat) if chat.chat_key.startswith("unverified")] == [None]


def letter_words(town):
    return "\n".join(row.text for row in town.rows(Letter))


# --- staff ---------------------------------------------------------------------------------------


async def test_staff_link_a_second_messenger_and_go_on_with_what_they_were_writing(town, maria):
    number = await submits(maria)
    anna = In(town, "staff-Анна Петрова", "Анна Петрова")
    await anna.presses_id(f"req:{number}:accept:0")
    await anna.says("Куда писать")
    anna.sees("1. Веб-чат, этот чат", buttons=["Подключить ещё мессенджер"])
    await anna.presses("Подключить ещё мессенджер")
    code = code_in(anna)
    await anna.presses_id(f"req:{number}:answer:0")
    there = telegram(town, "anna-tg", "Анна")
    await there.starts(code)
    there.sees("создан в другом чате (А. П.).")
    await there.presses("Да, это я")
    await anna.presses("Да, это я")
    there.hears()
    there.sees("Анна Петрова, это вы. Теперь пишем вам и сюда.", "Напишите ответ")
    maria.hears()
    await there.says("Счёт оплатили.")
    maria.hears()
    maria.sees("Счёт оплатили.")


async def test_the_help_of_staff_has_the_button(town):
    anna = In(town, "staff-Анна Петрова", "Анна Петрова")
    await anna.says("/help")
    await anna.presses("Куда писать")
    anna.sees("Пишем вам сначала в первый")


# --- what did not arrive -------------------------------------------------------------------------


async def test_late_news_of_a_closed_chat_do_not_close_a_live_one(town, maria):
    closed_at = town.clock
    town.pass_time(minutes=1)
    await maria.says("7707083893")
    late = maria.inbound(InboundKind.BLOCKED)
    await maria.takes(replace(late, sent_at=closed_at))
    assert [chat.blocked_at for chat in town.rows(Chat) if chat.chat_key == "100"] == [None]
    await maria.takes(maria.inbound(InboundKind.BLOCKED))
    assert [chat.blocked_at for chat in town.rows(Chat) if chat.chat_key == "100"] == [town.clock]


async def test_a_client_is_found_in_the_other_messenger(town, maria):
    number = await submits(maria)
    there = await moves(maria, telegram(town))
    _close(town, "100")
    anna = In(town, "staff-Анна Петрова", "Анна Петрова")
    there.hears()
    await anna.presses_id(f"req:{number}:accept:0")
    there.hears()
    there.sees(f"Не дошло (Веб-чат), пишем сюда.\nЗаявка № {number} в работе")


async def test_whoever_closed_the_only_chat_hears_it_when_they_write(town, maria):
    number = await submits(maria)
    _close(town, "100")
    anna = In(town, "staff-Анна Петрова", "Анна Петрова")
    await anna.presses_id(f"req:{number}:accept:0")
    assert [call.done_at for call in town.rows(CallTask)] == [None]
    assert "Позвоните: Мария" in anna.last.text
    await maria.says("/status")
    assert "Это сообщение раньше до вас не дошло:" in maria.latest[-1].text
    assert f"Заявка № {number} в работе" in maria.latest[-1].text
    (call,) = town.rows(CallTask)
    assert (call.outcome, call.done_by) == ("написал сам", None)


def _close(town, key):
    with town.database.begin() as session:
        chat = next(chat for chat in town.rows(Chat) if chat.chat_key == key)
        session.get_one(Chat, chat.id).blocked_at = town.clock


async def test_staff_telephone_from_a_list(town, maria):
    number = await submits(maria)
    anna = In(town, "staff-Анна Петрова", "Анна Петрова")
    await anna.presses_id(f"req:{number}:accept:0")
    _close(town, "100")
    await anna.presses_id(f"req:{number}:answer:0")
    await anna.says("Нужна доверенность.")
    await anna.presses_id(f"req:{number}:answer:0")
    await anna.says("И выписка.")
    letters = [row for row in town.rows(Letter) if row.key.startswith("call:")]
    assert len(letters) == 1, "one letter, however much does not arrive"
    await anna.says("/menu")
    assert anna.last.labels[-1] == "Позвонить: 1"
    await anna.presses("Позвонить: 1")
    anna.sees(
        "Позвоните: Мария, ООО «Ромашка».", "Телефона у нас нет.", f"Заявка № {number}",
        "Нужна доверенность.", "И выписка.", buttons=["Дозвонился", "Не отвечает"],
    )  # fmt: skip
    await anna.presses("Не отвечает")
    anna.sees("Записали: не отвечает.")
    await anna.says("Позвонить")
    anna.sees("Анна Петрова: не отвечает")
    await anna.presses("Дозвонился")
    anna.sees("Записали: дозвонились, Мария.", "Звонить больше некому.")
    assert {call.done_by for call in town.rows(CallTask)} == {1}
    await maria.says("/status")
    maria.sees_not("раньше до вас не дошло")
