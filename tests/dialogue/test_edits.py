"""Edited and deleted messages: an answer is put right, a sent request changes behind nobody's back."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forms.deadline import from_text
from forms.messages import FileRole, InboundKind, IncomingFile
from router.model import Role
from storage import casework
from storage.models import AnswerVersion, History, Letter, Message, Proposal
from tests.client import Talker, Town
from tests.dialogue.paths import ASKED, new_request, staff_does, submits, walk_to
from tests.dialogue.samples import PDF, PDF_2

PACE = timedelta(seconds=20)
TASK = "ООО Свет, 12 345 ₽ по счёту 15"


@pytest.fixture
def anna(town):
    """The accountant who gets the requests."""
    return Talker(town, "staff-Анна Петрова", "Анна Петрова")


def answers(town: Town, number: int = 1) -> dict[str, str]:
    return town.request(number).answers


def texts(town: Town) -> list[str]:
    """What the client's messages say, versions and all."""
    return [message.text for message in town.rows(Message) if message.direction == "in"]


# --- before consent ----------------------------------------------------------------------------


async def test_before_consent_an_edit_is_neither_kept_nor_answered(town):
    stranger = town.newcomer("999", "Пётр")
    await stranger.says("оплатите счёт ООО Свет")
    assert await stranger.edits("оплатите счёт ООО Тень") == []
    assert "Тень" not in town.everything_stored()


async def test_what_was_written_before_consent_may_be_edited_into_the_answer(town):
    stranger = town.newcomer("999", "Пётр")
    await stranger.says("7707083894")
    await stranger.says("Согласен")
    await stranger.edits("7707083893", was="7707083894")
    stranger.sees("Что нужно сделать?")


# --- a form that is being filled ---------------------------------------------------------------


async def test_an_edited_answer_is_put_right_and_the_present_question_stays(town, maria):
    await walk_to("files", maria)
    await maria.edits("до четверга", was="до пятницы")
    maria.sees("Поправили: Срок: четверг, 26 ноября", ASKED["files"])
    await maria.says("Готово")
    maria.sees("Проверьте заявку:", "26 ноября")


async def test_a_bad_edit_leaves_the_answer_and_says_why(town, maria):
    await walk_to("files", maria)
    await maria.edits("до когда-нибудь", was="до пятницы")
    maria.sees("Оставили прежний ответ: пятница, 27 ноября", ASKED["files"])
    await maria.edits("до четверга", was="до пятницы")
    maria.sees("Поправили: Срок: четверг, 26 ноября")


async def test_the_edited_summary_cannot_be_sent_unseen(town, maria):
    await walk_to("summary", maria)
    old = maria.press_of("Отправить")
    await maria.edits("ООО Свет, 12 346 ₽", was=TASK)
    maria.sees("Поправили: Что сделать: ООО Свет, 12 346 ₽", "Проверьте заявку:")
    await maria.presses_id(old)
    maria.sees("Эта кнопка от прошлого вопроса.")
    assert town.requests() == []


async def test_one_message_of_a_burst_is_put_right_in_its_place(town, maria):
    await walk_to("task", maria)
    await maria.burst("счёт 15", "от ООО Свет", "12 345 ₽")
    await maria.edits("от ООО Тень", was="от ООО Свет")
    maria.sees("Поправили: Что сделать: счёт 15\nот ООО Тень\n12 345 ₽", ASKED["deadline"])


async def test_a_mistyped_inn_is_put_right_where_it_was_written(town, maria):
    await maria.says("7707083894")
    maria.sees("ИНН")
    await maria.edits("7707083893")
    maria.sees("ООО «Ромашка»", ASKED["kind"])
    await maria.edits("7707083894")
    maria.sees("Оставили прежний ответ: 7707083893", ASKED["kind"])


async def test_another_inn_asks_for_the_name_of_another_company(town, maria):
    await walk_to("task", maria)
    await maria.edits("500100732259", was="7707083893")
    maria.sees("Поправили: Компания и ИНН: 500100732259", "Как называется компания или ИП?")
    await maria.says("ИП Иванов")
    maria.sees(ASKED["task"])


async def test_another_kind_asks_what_it_needs(town, maria):
    await walk_to("deadline", maria)
    await maria.edits("Выписать накладную", was="Оплатить счёт")
    maria.sees("Поправили: Вид работ: Выписать накладную", "Пришлите товары")
    await maria.says("Бумага А4; 10; 350")
    maria.sees(ASKED["deadline"])


async def test_an_old_answer_does_not_undo_a_newer_one(town, maria):
    await walk_to("files", maria)
    await maria.presses("Назад")
    await maria.says("через неделю")
    await maria.edits("завтра", was="до пятницы")
    maria.sees("Исправление увидели.", "2 декабря")


async def test_an_edit_never_presses_a_button(town, maria):
    await walk_to("summary", maria)
    await maria.edits("Отправить")
    await maria.edits("Отмена")
    maria.sees("Проверьте заявку:")
    assert town.requests() == []


@pytest.mark.parametrize("words", ["ООО Свет, 12 345 ₽ по счёту 15", "  ООО Свет, 12 345 ₽ по счёту 15 "])
async def test_the_preview_of_a_link_is_no_edit(town, maria, words):
    await walk_to("deadline", maria)
    assert await maria.edits(words, was=TASK) == []
    assert len(texts(town)) == 3


async def test_words_that_mean_the_same_are_kept_without_an_answer(town, maria):
    await walk_to("files", maria)
    assert await maria.edits("До пятницы!", was="до пятницы") == []
    assert texts(town)[-1] == "До пятницы!"


async def test_an_edited_caption_is_the_task(town, maria):
    await walk_to("task", maria)
    await maria.sends_files({"счёт.pdf": PDF}, caption="оплатите половину")
    await edits_caption(maria, "оплатите всё", {"счёт.pdf": PDF})
    maria.sees("Поправили: Что сделать: оплатите всё", ASKED["deadline"])


async def edits_caption(client: Talker, caption: str, files: dict[str, bytes]) -> list[str]:
    """Edit the last message with files: with its caption they all come again."""
    inbound = client.edited(
        caption,
        files=tuple(IncomingFile(f"ref:{name}", name, len(data)) for name, data in files.items()),
    )
    return await client._do(inbound, files={f"ref:{name}": data for name, data in files.items()})


async def test_a_caption_in_place_of_a_bare_invoice(town, maria):
    await walk_to("task", maria)
    await maria.sends_files({"счёт.pdf": PDF})
    await edits_caption(maria, "оплатите половину", {"счёт.pdf": PDF})
    maria.sees("Поправили: Что сделать: оплатите половину", ASKED["deadline"])


async def test_another_file_in_place_of_the_first_is_added(town, maria):
    await walk_to("task", maria)
    await maria.sends_files({"счёт.pdf": PDF}, caption="оплатите половину")
    await edits_caption(maria, "оплатите половину", {"счёт новый.pdf": PDF_2})
    maria.sees("Приложили: счёт новый.pdf", ASKED["deadline"])


async def test_an_edit_in_the_same_breath_as_the_message(town, maria):
    await walk_to("deadline", maria)
    first = maria.inbound(InboundKind.TEXT, text="до пятницы")
    maria.said.append(first)
    await maria._do(first, maria.edited("до четверга"))
    maria.sees("Поправили: Срок: четверг, 26 ноября", ASKED["files"])


async def test_a_restart_between_the_message_and_its_edit(town, maria):
    await walk_to("files", maria)
    await town.restart()
    await maria.edits("до четверга", was="до пятницы")
    maria.sees("Поправили: Срок: четверг, 26 ноября")


async def test_a_cancelled_form_is_not_put_right(town, maria):
    await walk_to("files", maria)
    await maria.says("Отмена")
    await maria.edits("до четверга", was="до пятницы")
    maria.sees("Исправление сохранили.")


# --- a request that was sent -------------------------------------------------------------------


async def test_an_edit_of_a_sent_request_is_a_proposal(town, maria, anna):
    await submits(maria)
    before = town.request(1)
    anna.hears()
    await maria.edits("до четверга", was="до пятницы")
    maria.sees(
        "Заявка № 1 уже у бухгалтера. Предложили изменить «Срок»: было пятница, 27 ноября",
        "стало четверг, 26 ноября",
    )
    assert town.request(1).model_dump() == before.model_dump()
    anna.hears()
    anna.sees(
        "ООО «Ромашка» предлагает изменить «Срок»: было пятница, 27 ноября",
        "стало четверг, 26 ноября",
        buttons=["Принять", "Оставить прежнее"],
    )


async def test_an_accepted_change_is_the_next_version_and_both_read_the_difference(town, maria, anna):
    await submits(maria)
    await maria.edits("до четверга", was="до пятницы")
    anna.hears()
    await anna.presses("Принять")
    anna.sees("Заявка № 1: изменение приняли.", "стало четверг, 26 ноября", "Клиенту написали.")
    maria.hears()
    maria.sees("Заявка № 1: изменение приняли.", "«Срок»: было пятница", "стало четверг, 26 ноября")
    versions = [row for row in town.rows(AnswerVersion) if row.field == "deadline"]
    assert [from_text(row.value).at.day for row in versions] == [27, 26]
    assert [row.version for row in versions] == [1, 2]
    assert town.request(1).deadline == from_text(versions[1].value).at
    assert [row.action for row in town.rows(History)][-2:] == ["change_proposed", "change_agreed"]


async def test_a_refused_change_changes_nothing_and_the_client_is_told(town, maria, anna):
    await submits(maria)
    before = answers(town)
    await maria.edits("до четверга", was="до пятницы")
    anna.hears()
    await anna.presses("Оставить прежнее")
    anna.sees("Заявка № 1: оставили прежнее. Срок — пятница, 27 ноября")
    maria.hears()
    maria.sees("Заявка № 1: оставили прежнее. Срок — пятница, 27 ноября")
    assert answers(town) == before


async def test_the_choice_can_be_typed(town, maria, anna):
    await submits(maria)
    await maria.edits("до четверга", was="до пятницы")
    anna.hears()
    await anna.says("Оставить прежнее")
    anna.sees("оставили прежнее")


async def test_a_decision_is_made_once(town, maria, anna):
    olga = await town.staff("Ольга Директор", Role.DIRECTOR)
    await submits(maria)
    await maria.edits("до четверга", was="до пятницы")
    agree, keep = anna.press_of("Принять"), anna.press_of("Оставить прежнее")
    anna.hears()
    await anna.presses_id(agree)
    anna.hears()
    await anna.presses_id(agree)
    anna.sees("Это изменение уже принято: Анна Петрова.")
    await olga.presses_id(keep)
    olga.sees("Это изменение уже принято: Анна Петрова.")
    assert from_text(answers(town)["deadline"]).at.day == 26


async def test_somebody_elses_request_is_not_decided_upon(town, maria, anna):
    await submits(maria)
    boris = await town.staff("Борис Второй")
    await maria.edits("до четверга", was="до пятницы")
    await boris.presses_id(anna.press_of("Принять"))
    boris.sees("Эту заявку ведёт Анна Петрова.")
    assert from_text(answers(town)["deadline"]).at.day == 27


@pytest.mark.parametrize("press", ["prop:99:agree:0", "prop:x:agree:0", "prop:1:delete:0"])
async def test_a_forged_button_decides_nothing(town, maria, anna, press):
    await submits(maria)
    await maria.edits("до четверга", was="до пятницы")
    anna.hears()
    await anna.presses_id(press)
    assert len(anna.latest) == 1
    assert [proposal.decided_at for proposal in town.rows(Proposal)] == [None]


async def test_a_second_edit_takes_the_place_of_the_first(town, maria, anna):
    await submits(maria)
    await maria.edits("до четверга", was="до пятницы")
    old = anna.press_of("Принять")
    await maria.edits("через неделю", was="до пятницы")
    maria.sees("было пятница, 27 ноября", "2 декабря")
    anna.hears()
    await anna.presses_id(old)
    anna.sees("Это изменение больше не действует: клиент исправил сообщение ещё раз.")
    anna.hears()
    await anna.presses("Принять")
    assert from_text(answers(town)["deadline"]).at.day == 2
    assert [proposal.agreed for proposal in town.rows(Proposal)] == [None, True]


async def test_an_edit_back_withdraws_the_proposal(town, maria, anna):
    await submits(maria)
    await maria.edits("до четверга", was="до пятницы")
    anna.hears()
    await maria.edits("до пятницы", was="до пятницы")
    maria.sees("В заявке № 1 всё остаётся как было: Срок — пятница, 27 ноября")
    anna.hears()
    anna.sees("изменение «Срок» по заявке № 1 больше не нужно")
    anna.hears()
    await anna.presses("Принять")
    anna.sees("Это изменение больше не действует")
    assert from_text(answers(town)["deadline"]).at.day == 27


async def test_an_edit_after_an_accepted_one_proposes_again(town, maria, anna):
    await submits(maria)
    await maria.edits("до четверга", was="до пятницы")
    anna.hears()
    await anna.presses("Принять")
    maria.hears()
    await maria.edits("через неделю", was="до пятницы")
    maria.sees("было четверг, 26 ноября", "2 декабря")


async def test_an_unreadable_edit_is_told_and_proposes_nothing(town, maria, anna):
    await submits(maria)
    anna.hears()
    await maria.edits("когда-нибудь", was="до пятницы")
    maria.sees("Заявка № 1 не изменилась.")
    anna.hears()
    assert anna.latest == []
    assert town.rows(Proposal) == []


async def test_a_day_that_has_passed_is_not_agreed_to(town, maria, anna):
    await submits(maria)
    await maria.edits("до четверга", was="до пятницы")
    town.pass_time(days=2)
    anna.hears()
    await anna.presses("Принять")
    anna.sees("Принять это уже нельзя")
    anna.hears()
    await anna.presses("Оставить прежнее")
    assert from_text(answers(town)["deadline"]).at.day == 27


async def test_another_company_and_task(town, maria, anna):
    await submits(maria)
    await maria.edits("ООО Свет, 99 ₽", was=TASK)
    maria.sees("«Что сделать»: было ООО Свет, 12 345 ₽ по счёту 15, стало ООО Свет, 99 ₽")
    await maria.edits("500100732259 ИП Иванов", was="7707083893")
    maria.sees("было ООО «Ромашка», ИНН 7707083893, стало ИП Иванов, ИНН 500100732259")
    for proposal in town.rows(Proposal):
        anna.hears()
        await anna.presses_id(f"prop:{proposal.id}:agree:0")
    request = town.request(1)
    assert (request.company, request.inn, request.task) == ("ИП Иванов", "500100732259", "ООО Свет, 99 ₽")
    assert [row.value for row in town.rows(AnswerVersion) if row.field == "inn"] == [
        "7707083893",
        "500100732259",
    ]


async def test_while_nobody_has_it_a_proposal_goes_where_a_call_would(tmp_path):
    town = Town.open(tmp_path)
    town.pace_seconds = 20
    olga = await town.staff("Ольга Директор", Role.DIRECTOR)
    maria = await town.client()
    for words in ("7707083893 Ромашка", "Оплатить счёт", TASK, "до пятницы", "Готово", "Отправить"):
        await maria.says(words)
    olga.hears()
    await maria.edits("до четверга", was="до пятницы")
    maria.sees("Заявка № 1 уже отправлена. Предложили изменить «Срок»")
    olga.hears()
    olga.sees("предлагает изменить «Срок»")
    await olga.presses("Принять")
    olga.sees("изменение приняли")
    await town.database.close()


async def test_a_proposal_does_not_disturb_the_next_form(town, maria, anna):
    await submits(maria)
    await maria.says_all("/new", "Сдать отчёт")
    await maria.edits("до четверга", was="до пятницы")
    maria.sees("Заявка № 1 уже у бухгалтера.")
    await maria.says("НДС за третий квартал")
    maria.sees(ASKED["deadline"])


async def test_a_decision_does_not_lose_what_anna_is_writing(town, maria, anna):
    await submits(maria)
    anna.hears()
    await anna.says("/start")
    await maria.edits("до четверга", was="до пятницы")
    agree = anna.press_of("Принять")
    anna.hears()
    await anna.presses_id("req:1:done:1")
    anna.hears()
    await anna.says("Оплатили")
    anna.hears()
    await anna.presses_id(agree)
    assert any("изменение приняли" in heard.text for heard in anna.latest)
    anna.sees_last("Оплатили")


@pytest.mark.parametrize("end", ["done", "cancel"])
async def test_an_undecided_proposal_ends_with_its_request(town, maria, anna, end):
    await submits(maria)
    await maria.edits("до четверга", was="до пятницы")
    agree = anna.press_of("Принять")
    if end == "done":
        await staff_does(town, casework.accept, 1)
        await staff_does(town, casework.done, 1, "Готово", ())
    else:
        await maria.presses_id("req:1:withdraw:1")
        await maria.presses("Да, отозвать") if "Да, отозвать" in maria.last.labels else None
    before = answers(town)
    anna.hears()
    await anna.presses_id(agree)
    assert answers(town) == before


# --- other messages ----------------------------------------------------------------------------


async def test_an_edited_addition_keeps_both_texts_and_reaches_the_accountant(town, maria, anna):
    await submits(maria)
    await maria.says("оплатите с расчётного счёта")
    before = town.request(1)
    anna.hears()
    await maria.edits("оплатите с валютного счёта")
    maria.sees("Исправление передали, заявка № 1.")
    anna.hears()
    anna.sees("Было: оплатите с расчётного счёта", "Стало: оплатите с валютного счёта", "заявке № 1")
    assert town.request(1).model_dump() == before.model_dump()
    kept = town.rows(Message)[-2:]
    assert [row.text for row in kept] == ["оплатите с расчётного счёта", "оплатите с валютного счёта"]
    assert kept[0].message_key == kept[1].message_key
    assert {row.request_id for row in kept} == {1}


async def test_an_edited_answer_to_a_clarification_reaches_the_accountant(town, maria, anna):
    await submits(maria)
    await staff_does(town, casework.accept, 1)
    await staff_does(town, casework.clarify, 1, "deadline", "К какому дню?")
    await maria.says("через неделю")
    before = answers(town)
    anna.hears()
    await maria.edits("через две недели")
    maria.sees("Исправление передали, заявка № 1.")
    anna.hears()
    anna.sees("Было: через неделю", "Стало: через две недели")
    assert answers(town) == before


async def test_after_a_clarification_the_first_answer_is_words_only(town, maria, anna):
    await submits(maria)
    await staff_does(town, casework.accept, 1)
    await staff_does(town, casework.clarify, 1, "deadline", "К какому дню?")
    await maria.says("через неделю")
    await maria.edits("до четверга", was="до пятницы")
    maria.sees("Исправление передали, заявка № 1.")
    assert town.rows(Proposal) == []


async def test_an_edit_of_a_finished_request_is_kept(town, maria, anna):
    await submits(maria)
    await maria.presses_id("req:1:withdraw:1")
    if "Да, отозвать" in maria.last.labels:
        await maria.presses("Да, отозвать")
    anna.hears()
    await maria.edits("до четверга", was="до пятницы")
    maria.sees("Исправление сохранили, но заявка № 1 уже отменена.")
    anna.hears()
    assert anna.latest == []
    assert texts(town)[-1] == "до четверга"


async def test_a_new_file_in_an_addition_is_added(town, maria, anna):
    await submits(maria)
    await maria.sends_files({"акт.pdf": PDF}, caption="вот акт")
    anna.hears()
    await edits_caption(maria, "вот другой акт", {"акт 2.pdf": PDF_2})
    maria.sees("Исправление передали, заявка № 1.")
    anna.hears()
    anna.sees("Было: вот акт", "Стало: вот другой акт", files=["акт 2.pdf"])


async def test_an_edit_goes_to_the_request_of_its_message(town, maria, anna):
    first = await submits(maria)
    second = await new_request(maria)
    await maria.edits("до четверга", was="до пятницы")
    maria.sees(f"Заявка № {second}")
    await maria.edits("ООО Свет, 1 ₽", was="7707083893")
    maria.sees(f"Заявка № {first} не изменилась.")


async def test_an_unknown_message_is_words_for_the_open_request(town, maria, anna):
    await submits(maria)
    inbound = replace(maria.edited("и счёт 16 тоже"), message_key="before-us")
    await maria.repeats(inbound)
    maria.sees("Добавили к заявке № 1")


async def test_a_late_edit_of_an_unknown_message_answers_nothing(town, maria):
    await walk_to("task", maria)
    inbound = replace(maria.edited("ООО Тень, 500 ₽"), message_key="before-us")
    town.pass_time(hours=1)
    await maria.repeats(inbound)
    maria.sees("Исправление увидели.", ASKED["task"])


async def test_an_edit_while_it_is_asked_which_request_goes_where_the_client_points(town, maria, anna):
    first = await submits(maria)
    await new_request(maria)
    await maria.says("оплатите с расчётного счёта")
    maria.sees("К какой заявке это относится?")
    assert await maria.edits("оплатите с валютного счёта") == []
    await maria.presses(f"№ {first}: Оплатить счёт")
    maria.sees(f"Добавили к заявке № {first}")
    assert {row.request_id for row in town.rows(Message)[-3:-1]} == {first}


# --- deletions ---------------------------------------------------------------------------------


async def test_a_deleted_answer_stays_in_the_form(town, maria):
    await walk_to("files", maria)
    assert await maria.deletes("до пятницы") == []
    await maria.says("Готово")
    maria.sees("27 ноября")


async def test_a_deleted_message_stays_for_staff_with_its_time(town, maria, anna):
    await submits(maria)
    await maria.says("оплатите с расчётного счёта")
    anna.hears()
    await maria.deletes()
    assert maria.latest == []
    anna.hears()
    assert anna.latest == []
    row = town.rows(Message)[-1]
    assert (row.text, row.deleted_at) == (
        "оплатите с расчётного счёта",
        town.clock - PACE,
    )
    assert town.rows(History)[-1].action == "message_deleted"


async def test_a_deletion_counts_once_and_keeps_its_first_time(town, maria):
    await submits(maria)
    await maria.deletes("до пятницы")
    first = town.clock - PACE
    await maria.deletes("до пятницы")
    deleted = [row for row in town.rows(Message) if row.deleted_at]
    assert [(row.text, row.deleted_at) for row in deleted] == [("до пятницы", first)]


async def test_a_deletion_of_an_edited_message_takes_back_every_version(town, maria):
    await submits(maria)
    await maria.says("первое")
    await maria.edits("второе")
    await maria.deletes("первое")
    assert [row.text for row in town.rows(Message) if row.deleted_at] == ["первое", "второе"]


async def test_a_deletion_of_what_still_waits_for_its_file(town, maria):
    await submits(maria)
    file = maria.inbound(
        InboundKind.FILE, files=(IncomingFile("ref:a.pdf", "a.pdf", 5, role=FileRole.DOCUMENT),)
    )
    maria.said.append(file)
    gone = replace(maria.inbound(InboundKind.DELETED), message_key=file.message_key)
    await maria._do(file, gone, files={"ref:a.pdf": PDF})
    assert [row.deleted_at is not None for row in town.rows(Message)][-1]


@pytest.mark.parametrize("key", [None, "", "never seen"])
async def test_a_deletion_of_nothing_we_know(town, maria, key):
    await submits(maria)
    await maria.repeats(replace(maria.inbound(InboundKind.DELETED), message_key=key))
    assert maria.latest == []
    assert not any(row.deleted_at for row in town.rows(Message))


async def test_nobody_deletes_somebody_elses_message(town, maria):
    await submits(maria)
    other = await town.client("200", "Пётр")
    gone = replace(other.inbound(InboundKind.DELETED), message_key=maria.message("до пятницы").message_key)
    await other.repeats(gone)
    assert not any(row.deleted_at for row in town.rows(Message))


# --- staff -------------------------------------------------------------------------------------


async def test_an_edited_answer_stays_as_the_client_has_it(town, maria, anna):
    await submits(maria)
    anna.hears()
    await anna.presses_id("req:1:answer:1")
    anna.hears()
    await anna.says("Оплатим сегодня")
    maria.hears()
    await anna.edits("Оплатим завтра")
    anna.sees("У клиента остался прежний текст")
    assert maria.hears() == []
    assert not any("Оплатим завтра" in letter.text for letter in town.rows(Letter))


async def test_words_that_have_not_gone_yet_are_put_right(town, maria, anna):
    await submits(maria)
    anna.hears()
    await anna.presses_id("req:1:done:1")
    anna.hears()
    await anna.says("Оплатили счёт 15")
    await anna.edits("Оплатили счёт 16")
    anna.sees("Поправили, клиенту ещё ничего не ушло.", "Оплатили счёт 16")


async def test_an_edit_of_staff_words_we_never_had_is_ignored(town, anna):
    anna.hears()
    await anna.says("/start")
    assert await anna.repeats(replace(anna.inbound(InboundKind.EDITED, text="что-то"))) == []


async def test_an_edited_search_is_told(town, maria, anna):
    await submits(maria)
    anna.hears()
    await anna.says("найти Свет")
    await anna.edits("найти Тень")
    anna.sees("Исправление ничего не изменило.")


# --- nothing changes by itself -----------------------------------------------------------------

WORDS = st.sampled_from(
    ["до четверга", "через неделю", "до пятницы", "7707083893", "500100732259 ИП Иванов", "оплатите 1 ₽",
     "Сдать отчёт", "Отправить", "Отмена", "спасибо", "", "до когда-нибудь", "человека позовите", "/new"]
)  # fmt: skip
ANSWERED = st.sampled_from(["7707083893", "Оплатить счёт", TASK, "до пятницы", "Готово", "Отправить"])


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(ANSWERED, WORDS, st.booleans()), min_size=1, max_size=6))
async def test_no_edits_change_a_sent_request_without_a_decision(tmp_path_factory, steps):
    town = Town.open(tmp_path_factory.mktemp("edits"))
    town.pace_seconds = 20
    town.known_client("7707083893", "ООО «Ромашка»")
    await town.staff("Анна Петрова")
    maria = await town.client()
    await submits(maria)
    before, versions = town.request(1).model_dump(), len(town.rows(AnswerVersion))
    for was, now_reads, deletes in steps:
        await (maria.deletes(was) if deletes else maria.edits(now_reads, was=was))
        assert len(maria.latest) <= 1
    assert town.request(1).model_dump() == before
    assert len(town.rows(AnswerVersion)) == versions
    assert len(town.requests()) == 1
    await town.database.close()
