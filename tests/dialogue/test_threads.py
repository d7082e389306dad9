"""Messages written under a letter about a request, or that name one: letters by e-mail have both."""

from dataclasses import replace

import pytest

from bots.intake import inbound_from_json, inbound_to_json
from forms.messages import InboundKind, IncomingFile
from storage import casework
from storage.models import Letter, Message
from tests.client import Talker
from tests.dialogue.paths import new_request, staff_does, submits
from tests.dialogue.samples import PDF


@pytest.fixture
def anna(town):
    return Talker(town, "staff-Анна Петрова", "Анна Петрова")


@pytest.fixture
async def two(maria):
    """Maria has two open requests."""
    await submits(maria)
    await new_request(maria)
    return maria


async def under(talker, letter, text, *, about=None, files=()):
    """Answer the newest letter with these words in it; without a letter only the number is named."""
    town = talker.town
    rows = [row for row in town.rows(Letter) if letter and letter in row.text and row.state == "sent"]
    keys = tuple(row.message_key for row in rows[-1:])
    kind = InboundKind.FILE if files else InboundKind.TEXT
    parts = {"files": tuple(IncomingFile(f"ref:{name}", name) for name in files)}
    said = replace(talker.inbound(kind, text=text, **parts), about=about, answers_to=("unknown", *keys))
    town.pass_time(seconds=town.pace_seconds)
    await town.take(said, files=dict.fromkeys((f"ref:{name}" for name in files), PDF))
    return talker.hears()


@pytest.mark.parametrize(
    ("letter", "about"),
    [("Заявка № 1 принята.", None), ("Заявка № 1 принята.", 2), (None, 1)],
    ids=["thread", "thread against subject", "subject or address"],
)
async def test_words_go_to_the_request_in_whose_thread_they_stand(town, two, anna, letter, about):
    anna.hears()
    await under(two, letter, "Акт подписали вчера, учтите", about=about)
    two.sees("Добавили к заявке № 1")
    anna.hears()
    anna.sees("пишет по заявке № 1:", "Акт подписали вчера, учтите")
    assert town.rows(Message)[-1].request_id == 1


async def test_the_thread_of_one_request_answers_no_question_about_another(town, two):
    deadline = town.request(2).deadline
    await staff_does(town, casework.clarify, 2, "deadline", "")
    two.hears()
    await under(two, "Заявка № 1 принята.", "Завтра пришлю акт сверки за февраль")
    two.sees("Добавили к заявке № 1")
    await under(two, "Заявка № 1 принята.", "Завтра")
    two.sees("Добавили к заявке № 1")
    assert (town.request(2).deadline, town.request(2).status) == (deadline, "waiting_client")
    await under(two, "уточняет по заявке № 2", "в понедельник")
    two.sees("Записали в заявку № 2.", "понедельник, 30 ноября")


@pytest.mark.parametrize("answer", ["3", "До пятницы", "в пятницу"])
async def test_an_older_question_is_answered_in_its_own_thread(town, two, answer):
    await staff_does(town, casework.clarify, 1, "deadline", "")
    await staff_does(town, casework.clarify, 2, "kind", "")
    two.hears()
    await under(two, "уточняет по заявке № 1", answer)
    two.sees("Записали в заявку № 1.", "Срок: пятница, 27 ноября")
    assert (town.request(1).status, town.request(2).status) == ("accepted", "waiting_client")


async def test_a_form_under_way_takes_no_words_of_a_requests_thread(town, two):
    await two.says_all("/new", "Консультация")
    await under(two, None, "Акт подписали вчера", about=1)
    two.sees("Добавили к заявке № 1", "Вернёмся к новой заявке.", "О чём ваш вопрос?")
    await under(two, "О чём ваш вопрос?", "Можно ли платить наличными?", about=1)
    two.sees("К какому сроку?")
    await under(two, "К какому сроку?", "завтра", about=1)
    two.sees("Приложите файлы")


async def test_a_mark_counts_for_the_request_in_whose_thread_it_stands(town, two):
    await staff_does(town, casework.done, 1, "Первое готово", ())
    await staff_does(town, casework.done, 2, "Второе готово", ())
    two.hears()
    await under(two, "Заявка № 1 выполнена.", "4")
    assert (town.request(1).rating, town.request(2).rating) == (4, None)
    await under(two, "Заявка № 1 выполнена.", "Не решено: сумма не та")
    assert (town.request(1).status, town.request(2).status) == ("accepted", "done")


@pytest.mark.parametrize("word", ["/status", "Мои заявки", "/new", "Позвать человека"])
async def test_commands_are_commands_in_a_thread_too(town, two, word):
    await under(two, "Заявка № 1 принята.", word)
    two.sees_not("Добавили")
    assert town.rows(Message)[-1].request_id is None


async def test_files_in_a_thread_stay_with_its_request(town, two, anna):
    anna.hears()
    await under(two, "Заявка № 1 принята.", "", files=["акт.pdf"])
    two.sees("Добавили к заявке № 1")
    anna.hears()
    anna.sees("пишет по заявке № 1:", files=["акт.pdf"])


@pytest.mark.parametrize("letter", [None, "Заявка № 1 принята."])
async def test_nobody_writes_into_anothers_request_by_its_number(town, two, anna, letter):
    boris = await town.client(key="boris", name="Борис")
    anna.hears()
    await under(boris, letter, "Отмените эту заявку, она лишняя", about=1)
    boris.sees_not("Добавили")
    assert anna.hears() == []
    assert town.rows(Message)[-1].request_id is None


def test_a_process_of_the_older_version_can_read_what_waits(maria):
    said = replace(maria.inbound(InboundKind.TEXT, text="Вот"), about=1, answers_to=("a", "b"))
    stored = inbound_to_json(said)
    assert inbound_from_json(stored) == said
    assert not {"about", "answers_to"} & stored.keys()
    plain = replace(said, about=None, answers_to=(), acknowledge="42 7 x")
    assert inbound_from_json(inbound_to_json(plain)) == plain
