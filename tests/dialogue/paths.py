"""The way to each question, walked as a client walks it."""

from router.model import Role
from storage.house import Who
from storage.models import Person, Staff
from tests.client import Talker, Town

WALK = (
    ("inn", "7707083893"),
    ("kind", "Оплатить счёт"),
    ("task", "ООО Свет, 12 345 ₽ по счёту 15"),
    ("deadline", "до пятницы"),
    ("files", "Готово"),
    ("summary", "Отправить"),
)
QUESTIONS = [name for name, _answer in WALK]
ASKED = {
    "inn": "Пришлите ИНН",
    "kind": "Что нужно сделать?",
    "task": "Кому и сколько заплатить?",
    "deadline": "К какому сроку?",
    "files": "Приложите файлы",
    "summary": "Проверьте заявку",
}


async def walk_to(question: str, client: Talker) -> None:
    """Answer everything before this question; the client has agreed and stands at the first one."""
    for name, answer in WALK:
        if name == question:
            return
        await client.says(answer)


async def submits(client: Talker, **answers: str) -> int:
    """Send a whole request; returns its number."""
    for name, answer in WALK:
        await client.says(answers.get(name, answer))
    return client.town.requests()[-1].id


async def new_request(client: Talker, **answers: str) -> int:
    """Another one by somebody whose company is known."""
    await client.says("/new")
    for name, answer in WALK[1:]:
        await client.says(answers.get(name, answer))
    return client.town.requests()[-1].id


def who(town: Town, name: str = "Анна Петрова") -> Who:
    """A member of staff as the use cases want them."""
    person = next(person for person in town.rows(Person) if person.name == name)
    staff = next(staff for staff in town.rows(Staff) if staff.person_id == person.id)
    return Who("webchat", person.id, staff.id, Role(staff.role), name)


async def staff_does(town: Town, act, *args, **parts) -> None:
    """A use case by Anna; its letters are delivered."""
    await town.database.transact(
        lambda session: act(session, town.house, who(town), *args, now=town.clock, **parts)
    )
    await town.deliver()
