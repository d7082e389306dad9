"""Transcripts of the staff chat: the real engine and storage, every message a whole transaction."""

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import col, select

from bots.staff_chat import search_of
from bots.staff_pending import StaffPending, Step, pending_from_json
from forms.messages import FileRole, InboundKind, OutgoingFile
from router.model import Role, Status
from storage import casework, history
from storage.models import Attachment, Chat, Client, Message, Request, Shift, Staff
from storage.staff_reading import Wanted
from tests.client import Town

PDF = b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360f8cfc000000301010018dd8db00000000049454e44ae426082"
)


@pytest.fixture
async def town(tmp_path):
    town = Town.open(tmp_path)
    yield town
    await town.database.close()


async def asks(client, task="ООО Свет, 12 345 рублей", deadline="до пятницы"):
    """A whole form; returns the number of the request."""
    if not client.town.requests():
        await client.says("7707083893 ООО «Ромашка»")
    else:
        await client.says("/new")
    for said in ("Оплатить счёт", task, deadline, "Готово", "Отправить"):
        await client.says(said)
    return client.town.requests()[-1].id


class Scene:
    """A client, two accountants, a director, and request № 1 with Anna. Everybody has read their letters."""

    def __init__(self, town, client, anna, boris, boss):
        self.town, self.client, self.anna, self.boris, self.boss = town, client, anna, boris, boss
        self.everybody = (client, anna, boris, boss)

    def read_all(self):
        for person in self.everybody:
            person.hears()

    def status(self, number=1):
        return Status(self.town.request(number).status)


@pytest.fixture
async def scene(town):
    client = await town.client()
    anna = await town.staff("Анна Петрова")
    boris = await town.staff("Борис Сидоров")
    boss = await town.staff("Дина Котова", Role.DIRECTOR)
    scene = Scene(town, client, anna, boris, boss)
    assert await asks(client) == 1
    scene.read_all()
    assert "Принять" in anna.last.labels
    return scene


async def escalated(scene):
    """Anna let it lie: Boris has it."""
    scene.town.pass_time(minutes=20)
    await scene.town.database.transact(
        lambda session: casework.escalate(session, scene.town.house, 1, scene.town.now())
    )
    await scene.town.deliver()


# --- accepting ---------------------------------------------------------------------------------


async def test_accept_shows_the_card_and_tells_the_client(scene):
    (card,) = await scene.anna.presses("Принять")
    assert card.startswith("Вы приняли заявку.\nЗаявка № 1")
    assert "Принять" not in scene.anna.last.labels
    assert scene.client.hears() == ["Заявка № 1 в работе. Ведёт Анна Петрова."]
    assert scene.status() is Status.ACCEPTED


async def test_a_typed_label_accepts_as_well(scene):
    await scene.anna.says("принять")
    assert scene.status() is Status.ACCEPTED


async def test_accepting_twice_is_said_kindly_and_tells_the_client_once(scene):
    press = scene.anna.press_of("Принять")
    await scene.anna.presses_id(press)
    (card,) = await scene.anna.presses_id(press)
    assert card.startswith("Эта заявка уже у вас.")
    assert len(scene.client.hears()) == 1


async def test_the_second_learns_who_took_it(scene):
    press = scene.anna.press_of("Принять")
    await escalated(scene)
    await scene.boris.presses("Принять")
    scene.read_all()
    refusal, card = await scene.anna.presses_id(press)
    assert refusal == "Эту заявку уже ведёт Борис Сидоров. Взято: 11:20."
    assert "Ведёт: Борис Сидоров" in card
    assert scene.anna.last.labels == ("История",)


async def test_a_stranger_to_the_request_learns_nothing(scene):
    for action in ("accept", "card", "history", "answer", "done", "note"):
        heard = await scene.boris.presses_id(f"req:1:{action}:1")
        assert heard[0].startswith("Такой заявки нет.")
        assert "Ромашка" not in "".join(heard)
    assert scene.status() is Status.ASSIGNED


# --- refusing ----------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["Болею", "завтра суд"], ids=["a tap", "own words"])
async def test_a_refusal_goes_to_the_next_one(scene, reason):
    await scene.anna.presses("Отказаться")
    assert scene.anna.last.labels == ("Занят", "Не мой участок", "Болею", "Отмена")
    heard = await scene.anna.says(reason)
    assert heard == ["Вы отказались от заявки № 1. Теперь её ведёт Борис Сидоров."]
    assert "Принять" in scene.boris.last.labels
    assert scene.client.hears() == ["Заявкой № 1 займётся Борис Сидоров."]
    await scene.boris.presses("История")
    assert f"отказ, Анна Петрова: {reason}" in scene.boris.last.text


async def test_nobody_else_takes_it_and_the_director_hears(scene):
    await scene.boris.says("Закончить день")
    scene.read_all()
    await scene.anna.presses("Отказаться")
    (heard,) = await scene.anna.presses("Занят")
    assert "никто не взял" in heard
    assert any("Неразобранном" in text for text in scene.boss.hears())


async def test_cancelling_a_refusal_leaves_the_request(scene):
    await scene.anna.presses("Отказаться")
    (menu,) = await scene.anna.says("отмена")
    assert menu.startswith("Отменили, никому ничего не ушло.")
    assert scene.status() is Status.ASSIGNED
    assert scene.town.request(1).assignee_id == 1


# --- asking the client -------------------------------------------------------------------------


async def test_a_field_is_asked_again_with_words(scene):
    await scene.anna.presses("Уточнить")
    assert scene.anna.last.labels == ("Компания и ИНН", "Вид работ", "Что сделать", "Срок", "Файлы", "Отмена")
    await scene.anna.presses("Срок")
    assert await scene.anna.says("Банк просит раньше") == ["Спросили клиента, № 1. Ответ придёт сюда."]
    asked = scene.client.hears()[-1]
    assert "Анна Петрова уточняет по заявке № 1: Срок." in asked
    assert "Банк просит раньше" in asked
    assert scene.status() is Status.WAITING_CLIENT
    await scene.client.says("завтра")
    assert any("клиент уточнил" in text for text in scene.anna.hears())


async def test_a_field_is_asked_again_without_words(scene):
    await scene.anna.presses("Уточнить")
    await scene.anna.says("файлы")
    await scene.anna.presses("Без пояснений")
    assert "Файлы" in scene.client.hears()[-1]
    assert scene.status() is Status.WAITING_CLIENT


async def test_files_of_a_question_reach_the_client_too(scene):
    await scene.anna.presses("Уточнить")
    await scene.anna.presses("Что сделать")
    await scene.anna.sends_files({"образец.pdf": PDF}, caption="Вот так нужно")
    heard = scene.client.everything()
    assert any(item.files == ("образец.pdf",) for item in heard)
    assert "Вот так нужно" in heard[-1].text


async def test_words_instead_of_a_field_are_sent_nowhere(scene):
    await scene.anna.presses("Уточнить")
    (again,) = await scene.anna.says("какой срок?")
    assert again.startswith("Выберите поле кнопкой.")
    assert scene.client.hears() == []


async def test_a_forged_field_is_refused(scene):
    heard = await scene.anna.presses_id("req:1:field-salary:1")
    assert heard[0] == "В этой заявке такого поля нет. Выберите другое."


# --- answering ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    ["Счёт оплатим к 15:00", "Выполнено", "2", "спасибо", "мои заявки", "новая", "№ 1", "7707083893", "да"],
)
async def test_whatever_is_typed_as_an_answer_goes_to_the_client_whole(scene, words):
    await scene.anna.presses("Ответить")
    assert await scene.anna.says(words) == ["Отправили клиенту, № 1."]
    assert scene.client.hears() == [f"Анна Петрова, по заявке № 1:\n{words}"]


async def test_the_number_of_the_only_button_is_read_the_harmless_way(scene):
    await scene.anna.presses("Ответить")
    assert (await scene.anna.says("1"))[0].startswith("Отменили, никому ничего не ушло.")
    assert scene.client.hears() == []


async def test_a_new_assignment_in_sight_does_not_swallow_an_answer(scene):
    await scene.anna.presses("Ответить")
    await scene.boris.says("Пауза")
    assert await asks(scene.client, "ООО Тень, 500 рублей") == 2
    assert "Принять" in scene.anna.last.labels
    scene.client.hears()
    await scene.anna.says("Принять")
    assert scene.client.hears() == ["Анна Петрова, по заявке № 1:\nПринять"]
    assert scene.status(2) is Status.ASSIGNED


async def test_an_album_is_one_confirmation(scene):
    await scene.anna.presses("Ответить")
    heard = await scene.anna.sends_files({"а.pdf": PDF, "б.png": PNG}, caption="Смотрите", album="g1")
    assert heard == ["Отправили клиенту, № 1."]
    scene.client.hears()
    assert await scene.anna.sends_files({"в.png": PNG + b"\0"}, album="g1") == ["Отправили клиенту, № 1."]
    files = [name for item in scene.client.everything() for name in item.files]
    assert files == ["а.pdf", "б.png", "в.png"]
    # The album is over: other words are not sent.
    (whom,) = await scene.anna.says("и ещё одно")
    assert whom.startswith("Кому это?")


async def test_a_refused_file_is_not_half_sent(scene):
    await scene.anna.presses("Ответить")
    (told,) = await scene.anna.sends_files({"вирус.exe": b"MZ" + b"\0" * 200}, caption="Вот счёт")
    assert "Ничего не отправили. Пришлите ещё раз." in told
    assert scene.client.hears() == []
    await scene.anna.says("Файл пришлю позже")
    assert scene.client.hears() == ["Анна Петрова, по заявке № 1:\nФайл пришлю позже"]


async def test_a_look_at_the_past_does_not_lose_the_question(scene):
    await scene.anna.presses("Ответить")
    history, question = await scene.anna.presses("История")
    assert history.startswith("История заявки № 1")
    assert question.startswith("Заявка № 1, ООО «Ромашка». Напишите ответ")
    _board, question = await scene.anna.says("/mine")
    assert "Напишите ответ" in question
    await scene.anna.says("Сделаем")
    assert scene.client.hears()[-1].endswith("Сделаем")


async def test_an_answer_to_a_request_that_was_taken_away_is_not_sent(scene):
    await scene.anna.presses("Ответить")
    await scene.boss.says("№ 1")
    await scene.boss.presses("Передать")
    await scene.boss.says("Сидоров")
    await scene.boss.presses("Без пояснений")
    scene.read_all()
    refusal, card = await scene.anna.says("Всё сделаю")
    assert refusal.startswith("Эту заявку ведёт Борис Сидоров.")
    assert refusal.endswith("Ничего не отправили.")
    assert "Ведёт: Борис Сидоров" in card
    assert scene.client.hears() == []


async def test_the_director_answers_any_request(scene):
    await scene.boss.says("№ 1")
    await scene.boss.presses("Ответить")
    await scene.boss.says("Лично проверю")
    assert scene.client.hears() == ["Дина Котова, по заявке № 1:\nЛично проверю"]
    assert scene.status() is Status.ASSIGNED


# --- notes -------------------------------------------------------------------------------------


async def test_a_note_stays_inside(scene):
    await scene.anna.presses("Заметка")
    heard = await scene.anna.says("Клиент просил не звонить")
    assert heard == ["Записали заметку, № 1. Клиент её не видит."]
    assert scene.client.hears() == []
    await scene.anna.presses("История")
    assert "Заметка, Анна Петрова: Клиент просил не звонить" in scene.anna.last.text
    with scene.town.database.read() as session:
        notes = session.exec(select(Message).where(Message.direction == "note")).all()
    assert [note.text for note in notes] == ["Клиент просил не звонить"]


async def test_what_staff_write_is_kept_but_not_twice_in_the_request(scene):
    await scene.anna.presses("Ответить")
    await scene.anna.says("Добрый день")
    with scene.town.database.read() as session:
        kept = session.exec(select(Message).where(Message.text == "Добрый день")).one()
    assert kept.request_id is None


# --- handing over ------------------------------------------------------------------------------


async def test_whoever_gets_a_refused_request_reads_why(scene):
    await scene.anna.presses("Отказаться")
    await scene.anna.says("Это кадры, не моё")
    assert scene.boris.last.text.startswith("Анна Петрова не берёт: Это кадры, не моё\nЗаявка № 1")
    await scene.boris.presses("Отказаться")
    await scene.boris.says("Тоже не моё")
    assert "никто не подходит.\nБорис Сидоров не берёт: Тоже не моё" in scene.boss.last.text


async def test_who_did_not_accept_in_time_is_told_where_the_request_is(scene):
    scene.read_all()
    await escalated(scene)
    assert scene.anna.hears() == ["Заявка № 1 ушла к другому сотруднику: её не приняли вовремя."]
    await escalated(scene)
    assert scene.boris.hears()[-1] == "Заявка № 1 в «Неразобранном»: её не приняли вовремя."


async def test_passing_on_asks_whom_and_why(scene):
    await scene.anna.presses("Передать")
    assert scene.anna.last.labels == ("Борис Сидоров, 0 из 10", "Отмена")
    (why,) = await scene.anna.presses("Борис Сидоров, 0 из 10")
    assert why.startswith("Передаём заявку № 1: Борис Сидоров.")
    assert scene.anna.last.labels == ("Отмена",)
    assert await scene.anna.says("его участок") == ["Передали, № 1: Борис Сидоров."]
    assert "Принять" in scene.boris.last.labels
    assert scene.boris.last.text.startswith("Анна Петрова передаёт: его участок\nЗаявка № 1")
    assert scene.client.hears() == ["Заявку № 1 теперь ведёт Борис Сидоров."]
    refusal, _card = await scene.anna.presses("Выполнено")
    assert refusal.startswith("Эту заявку ведёт Борис Сидоров.")


async def test_those_at_work_stand_first_and_the_absent_are_marked(scene):
    vera = await scene.town.staff("Вера Орлова", on_shift=False)
    assert vera.last.buttons
    await scene.anna.presses("Передать")
    assert scene.anna.last.labels == ("Борис Сидоров, 0 из 10", "Вера Орлова, 0 из 10, не на смене", "Отмена")


@pytest.mark.parametrize(
    ("named", "answer"),
    [
        ("орлова", "Передаём заявку № 1: Вера Орлова."),
        ("Пушкин", "Такого коллеги в списке нет."),
        ("ов", "Таких несколько, выберите кнопкой."),
    ],
)
async def test_a_colleague_may_be_named(scene, named, answer):
    await scene.town.staff("Вера Орлова")
    await scene.anna.presses("Передать")
    (heard,) = await scene.anna.says(named)
    assert heard.startswith(answer)


async def test_the_director_gives_it_back_to_the_queue(scene):
    await scene.boss.says("№ 1")
    await scene.boss.presses("Передать")
    assert scene.boss.last.labels == ("Борис Сидоров, 0 из 10", "В «Неразобранное»", "Отмена")
    await scene.boss.presses("В «Неразобранное»")
    heard = await scene.boss.presses("Без пояснений")
    assert "Заявка № 1 снова в «Неразобранном»." in heard
    assert scene.status() is Status.NEW
    assert any("возвращена" in text for text in scene.anna.hears())


async def test_an_accountant_cannot_forge_the_queue_as_a_colleague(scene):
    await scene.anna.presses("Передать")
    revision = scene.anna.press_of("Отмена").rsplit(":", 1)[1]
    (heard,) = await scene.anna.presses_id(f"staff:to:0:{revision}")
    assert heard.startswith("Этому сотруднику передать нельзя.")
    assert scene.status() is Status.ASSIGNED


async def test_the_director_does_not_overwrite_what_changed_meanwhile(scene):
    await scene.boss.says("№ 1")
    await scene.boss.presses("Передать")
    await scene.boss.presses("Борис Сидоров, 0 из 10")
    await scene.anna.presses("Принять")
    refusal, card = await scene.boss.presses("Без пояснений")
    assert refusal.startswith("Заявка изменилась, пока вы смотрели: Анна Петрова, 11:00.")
    assert "Ведёт: Анна Петрова" in card
    assert scene.town.request(1).assignee_id == 1


# --- done --------------------------------------------------------------------------------------


async def test_a_result_is_shown_before_it_is_sent(scene):
    await scene.anna.presses("Выполнено")
    (preview,) = await scene.anna.says("Оплатили")
    assert preview.startswith("Отправить клиенту результат по заявке № 1, ООО «Ромашка»?\nОплатили")
    assert scene.anna.last.labels == ("Отправить", "Отмена")
    (preview,) = await scene.anna.sends_files({"платёжка.pdf": PDF})
    assert "Файлы: платёжка.pdf" in preview
    assert scene.client.hears() == []
    assert await scene.anna.says("Готово") == ["Заявка № 1 выполнена, результат ушёл клиенту."]
    assert scene.client.hears()[-1].startswith("Заявка № 1 выполнена.\nОплатили")
    assert scene.client.last.files == ("платёжка.pdf",)
    assert scene.status() is Status.DONE
    with scene.town.database.read() as session:
        assert [file.purpose for file in session.exec(select(Attachment)).all()] == ["result"]


async def test_done_without_words(scene):
    await scene.anna.presses("Выполнено")
    await scene.anna.presses("Без пояснений")
    assert scene.status() is Status.DONE


async def test_sending_twice_is_done_once(scene):
    await scene.anna.presses("Выполнено")
    await scene.anna.says("Оплатили")
    press = scene.anna.press_of("Отправить")
    await scene.anna.presses_id(press)
    (menu,) = await scene.anna.presses_id(press)
    assert menu.startswith("Эта кнопка уже не действует.")
    assert sum("выполнена" in text for text in scene.client.hears()) == 1


async def test_a_result_is_held_back_when_the_client_has_written(scene):
    await scene.anna.presses("Выполнено")
    await scene.anna.says("Оплатили")
    await scene.client.says("не платите, счёт неверный!")
    scene.read_all()
    stale, card, preview = await scene.anna.presses("Отправить")
    assert stale.startswith("Заявка изменилась, пока вы смотрели: Мария, 11:00.")
    assert card.startswith("Заявка № 1")
    assert "Оплатили" in preview
    assert scene.client.hears() == []
    await scene.anna.presses("Отправить")
    assert scene.status() is Status.DONE


async def test_a_dropped_result_is_said_to_be_dropped(scene):
    await scene.anna.presses("Выполнено")
    await scene.anna.says("Оплатили")
    (asked,) = await scene.anna.presses("Заметка")
    assert asked.startswith("Написанное раньше никому не ушло.")


# --- «Кому это?» -------------------------------------------------------------------------------


async def test_words_without_an_address_wait_for_one(scene):
    (whom,) = await scene.anna.says("Пришлите акт")
    assert whom.startswith("Кому это?")
    (whom,) = await scene.anna.says("и доверенность")
    assert "Пришлите акт и доверенность" in whom
    assert scene.client.hears() == []
    assert await scene.anna.presses("№ 1, ООО «Ромашка»") == ["Отправили клиенту, № 1."]
    assert scene.client.hears() == ["Анна Петрова, по заявке № 1:\nПришлите акт\nи доверенность"]
    (menu,) = await scene.anna.presses("№ 1, ООО «Ромашка»")
    assert menu.startswith("Эта кнопка уже не действует.")


async def test_the_request_may_be_named_by_its_number(scene):
    await scene.anna.says("Пришлите акт")
    assert await scene.anna.says("№ 1") == ["Отправили клиенту, № 1."]


async def test_a_wrong_number_keeps_the_words(scene):
    await scene.anna.says("Пришлите акт")
    (again,) = await scene.anna.says("№ 99")
    assert again.startswith("Такой заявки нет.")
    assert "Пришлите акт" in again
    await scene.anna.says("№ 1")
    assert len(scene.client.hears()) == 1


async def test_a_digit_that_could_mean_two_requests_sends_nothing(scene):
    await scene.boris.says("Пауза")
    await asks(scene.client, "ООО Тень, 500 рублей", deadline="завтра")
    scene.read_all()
    await scene.anna.says("Всё идёт по плану")
    assert scene.anna.last.labels == ("№ 2, ООО «Ромашка»", "№ 1, ООО «Ромашка»", "Отмена")
    (again,) = await scene.anna.says("2")
    assert again.startswith("Напишите номер заявки со знаком №, например: № 2.")
    assert scene.client.hears() == []
    assert await scene.anna.says("№ 2") == ["Отправили клиенту, № 2."]


async def test_the_card_answers_whom_too_after_one_more_look(scene):
    await scene.anna.says("Пришлите акт")
    await scene.anna.presses_id("req:1:card:1")
    (asked,) = await scene.anna.presses("Ответить")
    assert asked.startswith("Отправить клиенту, заявка № 1, ООО «Ромашка»?\nПришлите акт")
    assert scene.client.hears() == []
    await scene.anna.presses("Отправить")
    assert scene.client.hears() == ["Анна Петрова, по заявке № 1:\nПришлите акт"]


async def test_files_without_an_address_wait_as_well(scene):
    (whom,) = await scene.anna.sends_files({"акт.pdf": PDF, "фото.png": PNG}, album="g2")
    assert "Файлы: акт.pdf, фото.png" in whom
    await scene.anna.presses("№ 1, ООО «Ромашка»")
    assert scene.client.last.files == ("акт.pdf", "фото.png")


async def test_nobody_to_send_to(scene):
    (menu,) = await scene.boris.says("Пришлите акт")
    assert menu.startswith("Открытых заявок у вас нет, поэтому никому не отправили.")


async def test_a_burst_gets_one_question(scene):
    heard = await scene.anna.burst("Здравствуйте, Мария", "пришлите акт", "и счёт")
    assert len(heard) == 1
    assert "Здравствуйте, Мария пришлите акт и счёт" in heard[0]


# --- lists and search --------------------------------------------------------------------------


async def test_requests_stand_under_what_they_wait_for(scene):
    await scene.boris.says("Пауза")
    await scene.anna.presses("Принять")
    await asks(scene.client, "ООО Тень, 500 рублей")
    scene.read_all()
    (board,) = await scene.anna.says("Мои заявки")
    assert board.splitlines() == [
        "Неотвеченные: 1",
        "№ 2 ООО «Ромашка» — Оплатить счёт, до пт 27.11, 18:00",
        "В работе: 1",
        "№ 1 ООО «Ромашка» — Оплатить счёт, до пт 27.11, 18:00",
    ]
    assert scene.anna.last.labels == ("№ 2", "№ 1")
    (card,) = await scene.anna.says("1")
    assert card.startswith("Заявка № 1")


async def test_what_the_client_wrote_makes_it_unanswered_until_answered(scene):
    await scene.anna.presses("Принять")
    await scene.client.says("ну что там с оплатой?")
    assert "Неотвеченные: 1" in (await scene.anna.says("/mine"))[-1]
    await scene.anna.presses("Ответить")
    await scene.anna.says("Оплатим сегодня")
    assert "В работе: 1" in (await scene.anna.says("/status"))[0]


async def test_the_director_sees_whose_they_are(scene):
    (board,) = await scene.boss.says("/mine")
    assert "№ 1 ООО «Ромашка» — Оплатить счёт, до пт 27.11, 18:00, Анна Петрова" in board


async def test_a_late_request_is_called_late(scene):
    scene.town.pass_time(days=3)
    assert "просрочена" in (await scene.anna.says("/mine"))[0]


@pytest.mark.parametrize(
    "asked", ["№1", "№ 1", "7707083893", "/find свет", "найти ромашка свет", "поиск: СВЕТ", "/find 1"]
)
async def test_a_request_is_found(scene, asked):
    heard = await scene.boss.says(asked)
    assert heard[0].startswith("Заявка № 1, ООО «Ромашка»")


@pytest.mark.parametrize("asked", ["№ 1", "7707083893", "/find ромашка", "/find 100%"])
async def test_an_accountant_finds_only_their_own(scene, asked):
    (heard,) = await scene.boris.says(asked)
    assert heard.startswith("Среди ваших такой заявки нет.")


async def test_several_found_are_a_list(scene):
    await scene.boris.says("Пауза")
    await asks(scene.client, "ООО Тень, 500 рублей")
    scene.read_all()
    (heard,) = await scene.anna.says("найти ромашка")
    assert heard.startswith("Нашли заявок: 2")
    assert scene.anna.last.labels == ("№ 2", "№ 1")


async def test_the_card_brings_its_files(scene):
    await scene.client.says("/new")
    for said in ("Оплатить счёт", "по счёту", "завтра"):
        await scene.client.says(said)
    await scene.client.sends_files({"счёт.pdf": PDF})
    await scene.client.says("Готово")
    await scene.client.says("Отправить")
    await scene.boss.says("№ 2")
    assert scene.boss.last.files == ("счёт.pdf",)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("17", Wanted(number=17)),
        ("№17", Wanted(number=17)),
        ("№ 17", Wanted(number=17)),
        ("7707083893", Wanted(inn="7707083893")),
        ("ИНН 500100732259", Wanted(inn="500100732259")),
        ("12345678901", None),
        ("/find аренда за май", Wanted(words="аренда за май")),
        ("Найти № 5", Wanted(number=5)),
        ("найти", None),
        ("Пришлите счёт № 17", None),
        ("17 тысяч", None),
    ],
)
def test_what_counts_as_a_search(text, wanted):
    assert search_of(text) == wanted


# --- the working day ---------------------------------------------------------------------------


async def test_a_day_from_start_to_end(scene):
    town, boss = scene.town, scene.boss
    assert "Начать день" in boss.last.labels
    (menu,) = await boss.presses("Начать день")
    assert menu.startswith("Вы на смене с 11:00.")
    town.pass_time(hours=2)
    (menu,) = await boss.presses("Пауза")
    assert "У вас пауза с 13:00." in menu
    assert (await boss.says("Пауза"))[0].startswith("Пауза уже идёт.")
    town.pass_time(hours=1)
    (menu,) = await boss.presses("Продолжить")
    assert menu.startswith("Вы на смене с 11:00.")
    assert (await boss.says("начать день"))[0].startswith("День уже начат.")
    town.pass_time(hours=3, minutes=5)
    (menu,) = await boss.presses("Закончить день")
    assert menu.startswith("День закончен. Отработано: 5 ч 5 мин.\nВы не на смене.")
    assert (await boss.says("Закончить день"))[0].startswith("День уже закончен.")
    with town.database.read() as session:
        stretches = session.exec(select(Shift).where(Shift.staff_id == 3).order_by(col(Shift.id))).all()
    assert [stretch.kind for stretch in stretches] == ["work", "pause", "work"]
    assert all(stretch.ended_at is not None for stretch in stretches)


async def test_a_pause_needs_a_day(scene):
    assert (await scene.boss.says("Пауза"))[0].startswith("Сначала начните день.")


async def test_who_begins_the_day_gets_what_has_waited(town):
    client = await town.client()
    anna = await town.staff("Анна Петрова", on_shift=False)
    await asks(client)
    assert town.request(1).status == "new"
    anna.hears()
    heard = await anna.presses("Начать день")
    assert any(text.startswith("Заявка № 1") for text in heard)
    assert "Неотвеченных 1" in heard[-1]
    assert any("займётся Анна Петрова" in text for text in client.hears())


async def test_the_end_of_the_day_names_what_was_not_accepted(scene):
    (menu,) = await scene.anna.says("Закончить день")
    assert "Не приняты: 1 (№ 1)." in menu


# --- a client who called a person --------------------------------------------------------------


async def test_a_call_is_answered_into_the_clients_chat(scene):
    await scene.client.says("Позвать человека")
    assert "просит позвать человека" in scene.anna.hears()[-1]
    scene.client.hears()
    press = next(press for label, press in scene.anna.last.buttons if label == "Ответить")
    assert press.startswith("chat:")
    await scene.anna.presses_id(press)
    assert await scene.anna.says("Слушаю вас") == ["Отправили: Мария."]
    assert scene.client.hears() == ["Анна Петрова, «Баланс Актив»:\nСлушаю вас"]


async def test_who_was_not_called_cannot_write_into_a_chat(scene):
    await scene.client.says("Позвать человека")
    press = next(press for label, press in scene.anna.last.buttons if label == "Ответить")
    assert (await scene.boris.presses_id(press))[0].startswith("В этот чат ответить нельзя.")
    await scene.boss.presses_id(press)
    assert scene.boss.last.text.startswith("Напишите ответ")


@pytest.mark.parametrize("chat", ["staff", "none"])
async def test_only_clients_chats_are_written_into(scene, chat):
    number = 2 if chat == "staff" else 999
    assert (await scene.boss.presses_id(f"chat:{number}:answer:0"))[0].startswith(
        "В этот чат ответить нельзя."
    )


async def test_a_closed_chat_is_said_to_be_closed(scene):
    with scene.town.database.begin() as session:
        chat = session.exec(select(Chat).where(Chat.chat_key == scene.client.key)).one()
        number = chat.id
    await scene.boss.presses_id(f"chat:{number}:answer:0")
    with scene.town.database.begin() as session:
        session.get_one(Chat, number).blocked_at = scene.town.clock
    (told,) = await scene.boss.says("Перезвоню")
    assert told.startswith("Клиент закрыл этот чат, сообщение не ушло.")


# --- never silence -----------------------------------------------------------------------------


@pytest.mark.parametrize("waiting", [False, True], ids=["idle", "a question waits"])
@pytest.mark.parametrize(
    ("kind", "parts", "told"),
    [
        (InboundKind.OTHER, {"text": "стикер"}, "Это (стикер) передать не получится."),
        (InboundKind.TEXT, {"text": "/nonsense"}, "Такой команды нет."),
        (InboundKind.TEXT, {"text": "/new"}, "Заявки создают клиенты"),
        (InboundKind.TEXT, {"text": "/human"}, "Здесь отвечает программа."),
        (InboundKind.TEXT, {"text": "/help"}, "Новая заявка приходит сюда карточкой"),
        (InboundKind.BUTTON, {"button": "form:kind:pay:3"}, "Эта кнопка уже не действует."),
        (InboundKind.BUTTON, {"button": "rubbish"}, "Эта кнопка уже не действует."),
        (InboundKind.BUTTON, {"button": "nav:cancel::12345"}, "Эта кнопка уже не действует."),
        (InboundKind.BUTTON, {"button": "req:99999999999999999999:card:1"}, "Эта кнопка уже не действует."),
        (InboundKind.BUTTON, {"button": "req:999999999:done:1"}, "Такой заявки нет."),
        (InboundKind.BUTTON, {"button": "req:1:explode:1"}, "Эта кнопка уже не действует."),
        (InboundKind.BUTTON, {"button": "staff:day:forever:0"}, "Эта кнопка уже не действует."),
        (InboundKind.BUTTON, {"button": "staff:send::0"}, "Эта кнопка уже не действует."),
    ],
)  # fmt: skip
async def test_everything_gets_an_answer_and_nothing_gets_out(scene, kind, parts, told, waiting):
    if waiting:
        await scene.anna.presses("Ответить")
    heard = await scene.anna._do(scene.anna.inbound(kind, **parts))
    assert heard
    assert told in heard[0]
    assert scene.client.hears() == []
    assert scene.status() is Status.ASSIGNED


async def test_a_deleted_message_needs_no_answer(scene):
    assert await scene.anna._do(scene.anna.inbound(InboundKind.DELETED)) == []


async def test_a_voice_message_is_a_file(scene):
    ogg = b"OggS\0\2" + b"\0" * 22 + b"\1\x1e\1vorbis" + b"\0" * 64
    await scene.anna.presses("Ответить")
    await scene.anna.sends_files({"голос.ogg": ogg}, role=FileRole.VOICE)
    assert scene.client.last.files == ("голос.ogg",)


async def test_small_talk_leads_to_the_menu(scene):
    (menu,) = await scene.anna.says("спасибо")
    assert menu.startswith("Чтобы написать клиенту, откройте заявку и нажмите «Ответить».")


async def test_start_leaves_whatever_was_begun(scene):
    await scene.anna.presses("Ответить")
    (menu,) = await scene.anna.says("/start")
    assert menu.startswith("Отменили, никому ничего не ушло.")
    (whom,) = await scene.anna.says("Оплатили")
    assert whom.startswith("Кому это?")


async def test_the_administrator_sees_no_request(scene):
    """As in the panel, whose requests are closed to them too; even one they had in another role."""
    zoya = await scene.town.staff("Зоя Прежняя", Role.ACCOUNTANT)
    with scene.town.database.begin() as session:
        row = session.exec(select(Staff).order_by(Staff.id.desc())).first()
        session.get_one(Request, 1).assignee_id, row.role = row.id, Role.ADMIN.value
    (menu,) = await zoya.says("Меню")
    assert menu == "Администратор не видит заявок клиентов: его разделы — в панели."
    assert zoya.last.labels == ("Помощь",)
    for text in ("Все заявки", "/mine", "№ 1", "/find ромашка", "7707083893", "/help", "Привет клиенту"):
        (told,) = await zoya.says(text)
        assert "Ромашка" not in told
        assert "№ 1 " not in told
    for action in ("card", "history", "accept", "answer", "note", "done", "field-deadline"):
        (told,) = await zoya.presses_id(f"req:1:{action}:1")
        assert "Ромашка" not in told
    assert scene.status() is Status.ASSIGNED


async def test_a_reader_only_reads(scene):
    reader = await scene.town.staff("Зоя Читатель", Role.CONTROLLER)
    assert reader.last.labels == ("Все заявки", "Помощь", "Записать звонок")
    assert "№ 1" in (await reader.presses("Все заявки"))[0]
    await reader.presses("№ 1")
    assert reader.last.labels == ("История",)
    for action in ("accept", "decline", "clarify", "answer", "note", "pass", "done", "field-deadline"):
        (told,) = await reader.presses_id(f"req:1:{action}:1")
        assert told.startswith("Ваша роль позволяет смотреть заявки.")
    assert (await reader.says("Начать день"))[0].startswith("Рабочий день отмечают")
    assert (await reader.says("Привет клиенту"))[0].startswith("Писать клиентам могут")
    assert scene.client.hears() == []
    assert scene.status() is Status.ASSIGNED


async def test_a_controller_of_other_clients_learns_nothing_of_this_one(scene):
    reader = await scene.town.staff("Зоя Читатель", Role.CONTROLLER)
    with scene.town.database.begin() as session:
        row = session.exec(select(Staff).order_by(Staff.id.desc())).first()
        named, (theirs,) = row.id, session.exec(select(Client)).all()
        theirs.controller_id = 1
    for text in ("Все заявки", "№ 1", "/find ромашка", "7707083893", "/board"):
        assert "Ромашка" not in " ".join(await reader.says(text))
    for action in ("card", "history"):
        assert "Ромашка" not in " ".join(await reader.presses_id(f"req:1:{action}:1"))
    with scene.town.database.begin() as session:
        session.get_one(Client, theirs.id).controller_id = named
    assert "Ромашка" in " ".join(await reader.says("№ 1"))


# --- random lives ------------------------------------------------------------------------------

_SAID = (
    "Всё оплатили",
    "1",
    "3",
    "№ 1",
    "/mine",
    "Отмена",
    "готово",
    "Болею",
    "найти ромашка",
    "спасибо",
    "/start",
    "😀",
)


@pytest.mark.parametrize("seed", range(6))
async def test_any_sequence_gets_answers(scene, seed):
    chance = random.Random(seed)
    people = (scene.anna, scene.boris, scene.boss)
    for _step in range(25):
        person = chance.choice(people)
        buttons = [press for heard in person.everything()[-4:] for _label, press in heard.buttons]
        scene.town.pass_time(seconds=chance.randint(0, 90))
        person.hears()
        if buttons and chance.random() < 0.6:
            heard = await person.presses_id(chance.choice(buttons))
        elif chance.random() < 0.1:
            heard = await person.sends_files({"акт.pdf": PDF})
        else:
            heard = await person.says(chance.choice(_SAID))
        assert heard, "silence"
    with scene.town.database.read() as session:
        assert history.verify(session).ok


_files = st.builds(
    OutgoingFile, st.text("abc", max_size=5), st.text(max_size=8), st.just("text/plain"), st.integers(0, 9)
)
_pendings = st.builds(
    StaffPending, st.sampled_from(Step), target=st.integers(0, 99), revision=st.integers(0, 999_999_999),
    version=st.integers(0, 9), field=st.text(max_size=5), to_staff_id=st.integers(0, 9),
    to_name=st.text(max_size=9),
    text=st.text(max_size=20), files=st.lists(_files, max_size=3).map(tuple),
    sent_group=st.text(max_size=5),
)  # fmt: skip


@given(_pendings)
def test_a_step_survives_the_draft(pending):
    assert pending_from_json(json.loads(json.dumps(pending.to_json()))) == pending


@given(_pendings, st.text(max_size=5), _files)
def test_more_loses_nothing(pending, text, file):
    more = pending.with_more(text, (file,))
    assert pending.text in more.text
    assert text in more.text
    assert {kept.sha256 for kept in more.files} == {kept.sha256 for kept in (*pending.files, file)}
    assert replace(more, text=pending.text, files=pending.files) == pending


@pytest.mark.parametrize(
    "draft", [None, {}, {"answers": {}, "asking": "inn"}, {"staff": {"step": "unheard of"}}, {"staff": 5}]
)
def test_another_draft_is_no_step(draft):
    assert pending_from_json(draft) is None
