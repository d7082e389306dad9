"""Several photos at once, from a messenger that sends each as a message of its own and names no album."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import cast

import pytest
from sqlmodel import select

from bots.base import Channel
from bots.fetching import Fetcher
from bots.intake import Arrival, Fetched
from forms.fields import files_from_text
from forms.messages import Inbound, InboundKind, IncomingFile
from storage.models import Draft, Message
from tests.client import Talker, Town
from tests.dialogue.paths import new_request, submits, walk_to
from tests.dialogue.samples import PDF, PHOTO

NAMES = tuple(f"{number}.pdf" for number in range(1, 6))


@dataclass
class Phone:
    """A client who sends parts one by one; what is answered is read when all is over."""

    town: Town
    owner: Talker
    contents: dict[str, bytes] = field(default_factory=dict)
    begun_at: datetime | None = None
    waiting: set[int] = field(default_factory=set)

    def part(self, name: str, *, after_seconds: float = 0.0, caption: str = "") -> Inbound:
        """One file by the messenger's own time; every name has its own content."""
        content = self.contents.setdefault(f"ref:{name}", PDF + name.encode())
        self.begun_at = self.begun_at or self.town.clock
        return replace(
            self.owner.inbound(
                InboundKind.FILE, text=caption, files=(IncomingFile(f"ref:{name}", name, len(content)),)
            ),
            sent_at=self.begun_at + timedelta(seconds=after_seconds),
        )

    def words(self, text: str, *, after_seconds: float = 0.0) -> Inbound:
        begun_at = self.begun_at or self.town.clock
        at = begun_at + timedelta(seconds=after_seconds)
        return replace(self.owner.inbound(InboundKind.TEXT, text=text), sent_at=at)

    async def sends(self, *inbounds: Inbound) -> None:
        """Each arrives and is fetched alone, before the next one is there."""
        for inbound in inbounds:
            await self.arrives(inbound)
            await self.fetched()

    async def arrives(self, *inbounds: Inbound) -> None:
        applied = await self.town.intake.apply([Arrival(inbound) for inbound in inbounds])
        self.town._settle(applied.letters)
        self.waiting = applied.chats_to_fetch

    async def fetched(self) -> None:
        for chat_id in self.waiting:
            await self.town.fetch(chat_id, self.contents)

    async def reads(self) -> None:
        await self.town.deliver()
        self.owner.hears()


@pytest.fixture
def phone(town, maria):
    return Phone(town, maria)


def attached(town: Town) -> list[str]:
    """The names of the files of the only request."""
    (request,) = town.requests()
    return [file.name for file in files_from_text(request.answers["files"])]


@pytest.mark.parametrize("one_by_one", [True, False], ids=["one by one", "together"])
async def test_five_photos_in_two_seconds_are_answered_once(town, maria, phone, one_by_one):
    await walk_to("task", maria)
    parts = [phone.part(name, after_seconds=number * 0.5) for number, name in enumerate(NAMES)]
    if one_by_one:
        await phone.sends(*parts)
    else:
        await phone.arrives(*parts)
        await phone.fetched()
    await phone.reads()
    maria.sees("К какому сроку?")
    await maria.says_all("завтра", "Готово", "Отправить")
    assert attached(town) == list(NAMES)


async def test_photos_that_come_while_others_are_fetched(town, maria, phone):
    await walk_to("task", maria)
    await phone.arrives(phone.part("1.pdf"))
    await phone.arrives(phone.part("2.pdf", after_seconds=1))
    await phone.fetched()
    await phone.arrives(phone.part("3.pdf", after_seconds=2))
    await phone.fetched()
    await phone.reads()
    maria.sees("К какому сроку?")


async def test_the_parts_have_one_name_even_after_a_restart(town, maria, phone):
    await walk_to("task", maria)
    await phone.sends(phone.part("1.pdf"))
    await town.restart()
    await phone.sends(phone.part("2.pdf", after_seconds=2), phone.part("3.pdf", after_seconds=4))
    await phone.reads()
    maria.sees("К какому сроку?")
    album = draft_of(town)["_album"]
    assert album == f"near:{town.rows(Message)[-3].event_key}"


def draft_of(town: Town) -> dict[str, str]:
    with town.database.read() as session:
        return next(
            draft.progress["answers"]
            for draft in session.exec(select(Draft)).all()
            if "answers" in draft.progress
        )


async def test_parts_may_overtake_one_another(town, maria, phone):
    await walk_to("task", maria)
    await phone.arrives(
        phone.part("3.pdf", after_seconds=2), phone.part("1.pdf"), phone.part("2.pdf", after_seconds=1)
    )
    await phone.fetched()
    await phone.reads()
    maria.sees("К какому сроку?")
    await maria.says_all("завтра", "Готово", "Отправить")
    assert attached(town) == ["1.pdf", "2.pdf", "3.pdf"]


@pytest.mark.parametrize("captioned", [0, 1, 2], ids=["first", "second", "last"])
@pytest.mark.parametrize("one_by_one", [True, False], ids=["one by one", "together"])
async def test_a_caption_on_any_part_is_the_task(town, maria, phone, captioned, one_by_one):
    await walk_to("task", maria)
    captions = ["", "", ""]
    captions[captioned] = "оплатите завтра половину"
    parts = [
        phone.part(f"{number}.pdf", after_seconds=number, caption=caption)
        for number, caption in enumerate(captions)
    ]
    await phone.sends(*parts) if one_by_one else await phone.arrives(*parts)
    await phone.fetched()
    await phone.reads()
    maria.sees("К какому сроку?")
    await maria.says_all("пятница", "Готово")
    maria.sees("оплатите завтра половину", "Срок: пятница", "0.pdf", "1.pdf", "2.pdf")


@pytest.mark.parametrize("one_by_one", [True, False], ids=["one by one", "together"])
async def test_the_same_caption_on_every_part_counts_once(town, maria, phone, one_by_one):
    await walk_to("task", maria)
    parts = [phone.part(name, caption="за ноябрь") for name in NAMES]
    await phone.sends(*parts) if one_by_one else await phone.arrives(*parts)
    await phone.fetched()
    await phone.reads()
    maria.sees("К какому сроку?")
    await maria.says_all("завтра", "Готово")
    assert maria.last.text.count("за ноябрь") == 1


async def test_a_repeated_part_is_no_new_one(town, maria, phone):
    await walk_to("task", maria)
    first, second = phone.part("1.pdf"), phone.part("2.pdf", after_seconds=1)
    await phone.sends(first, second, first, second)
    await phone.arrives(second, first)
    await phone.fetched()
    await phone.reads()
    maria.sees("К какому сроку?")
    await maria.says_all("завтра", "Готово", "Отправить")
    assert attached(town) == ["1.pdf", "2.pdf"]


async def test_the_same_picture_twice_in_an_album_is_kept_once(town, maria, phone):
    number = await submits(maria)
    phone.contents |= {"ref:а.png": PHOTO, "ref:б.png": PHOTO}
    await phone.arrives(phone.part("а.png"), phone.part("б.png"))
    await phone.fetched()
    await phone.reads()
    maria.sees(f"Добавили к заявке № {number}")
    assert [file["name"] for file in town.rows(Message)[-1].files] == ["а.png"]


async def test_words_between_two_photos_end_the_album(town, maria, phone):
    await walk_to("task", maria)
    await phone.arrives(
        phone.part("1.pdf"),
        phone.words("ООО Свет, 500 ₽", after_seconds=1),
        phone.part("2.pdf", after_seconds=2),
    )
    await phone.fetched()
    await phone.reads()
    maria.sees("К какому сроку?")
    await maria.says_all("завтра", "Готово")
    maria.sees("ООО Свет, 500 ₽", "1.pdf", "2.pdf")
    kinds = [message.kind for message in town.rows(Message)[-5:]]
    assert kinds[:3] == ["file", "text", "file"]


async def test_two_albums_ten_seconds_apart_are_two(town, maria, phone):
    await walk_to("task", maria)
    await phone.arrives(phone.part("1.pdf"), phone.part("2.pdf", after_seconds=1))
    await phone.fetched()
    await phone.reads()
    maria.sees("К какому сроку?")
    await phone.arrives(
        phone.part("3.pdf", after_seconds=11, caption="до пятницы"), phone.part("4.pdf", after_seconds=12)
    )
    await phone.fetched()
    await phone.reads()
    maria.sees("Приложили: 3.pdf", "4.pdf", "Срок: пятница, 27 ноября")


async def test_two_albums_fetched_together_are_two_answers_to_two_questions(town, maria, phone):
    await walk_to("task", maria)
    await phone.arrives(
        phone.part("1.pdf"),
        phone.part("2.pdf", after_seconds=1),
        phone.part("3.pdf", after_seconds=11, caption="до пятницы"),
    )
    await phone.fetched()
    await phone.reads()
    maria.sees("Срок: пятница, 27 ноября")


async def test_an_album_at_the_question_for_the_kind_answers_it_alone(town, maria, phone):
    await walk_to("kind", maria)
    await phone.sends(phone.part("1.pdf", caption="Оплатить счёт"), phone.part("2.pdf"), phone.part("3.pdf"))
    await phone.reads()
    maria.sees("Кому и сколько заплатить?")


async def test_all_parts_go_to_the_request_that_the_first_was_meant_for(town, maria, phone):
    first = await submits(maria)
    await new_request(maria)
    await maria.says("/mine")
    await maria.presses_id(f"req:{first}:add:1")
    await phone.sends(*(phone.part(name, after_seconds=number) for number, name in enumerate(NAMES)))
    await phone.reads()
    maria.sees(f"Добавили к заявке № {first}")
    assert {message.request_id for message in town.rows(Message)[-5:]} == {first}


async def test_photos_before_consent_are_answered_once(town):
    stranger = town.newcomer("999", "Пётр")
    phone = Phone(town, stranger)
    await stranger.says("/start")
    for name in NAMES:
        await phone.arrives(phone.part(name))
    await phone.reads()
    stranger.sees("До согласия мы ничего не сохраняем")


@dataclass
class SlowMessenger:
    """While it gives the first file, the second one arrives."""

    phone: Phone
    meanwhile: list[Inbound]

    async def open_file(self, file: IncomingFile) -> AsyncIterator[bytes]:
        while self.meanwhile:
            await self.phone.arrives(self.meanwhile.pop(0))
        yield self.phone.contents[file.reference]


@pytest.mark.parametrize(
    ("gap_seconds", "together"), [(2, [2]), (10, [1, 1])], ids=["the same album", "another one"]
)
async def test_what_arrives_while_a_part_is_fetched_is_waited_for(town, phone, gap_seconds, together):
    first, second = phone.part("1.pdf"), phone.part("2.pdf", after_seconds=gap_seconds)
    delivered: list[int] = []
    both = asyncio.Event()

    async def deliver(fetched: Sequence[Fetched]) -> None:
        delivered.append(len(fetched[0].messages))
        await town.intake.apply(fetched)
        if sum(delivered) == 2:
            both.set()

    channels = cast("dict[str, Channel]", {"webchat": SlowMessenger(phone, [second])})
    fetcher = Fetcher(town.database, channels, town.store, deliver)
    await phone.arrives(first)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(fetcher.run())
        await both.wait()
        running.cancel()
    assert delivered == together


async def test_the_edit_of_a_part_is_no_part(town, maria, phone):
    await walk_to("task", maria)
    first = replace(phone.part("1.pdf", caption="оплатите половину"), group_id="album")
    second = replace(phone.part("2.pdf", after_seconds=1), group_id="album")
    edited = replace(
        first, kind=InboundKind.EDITED, event_key="edit", text="оплатите всё", message_key=first.message_key
    )
    await phone.arrives(first, second, edited)
    await phone.fetched()
    await phone.reads()
    maria.sees("Поправили: Что сделать: оплатите всё", "К какому сроку?")
    await maria.says_all("завтра", "Готово")
    assert "половину" not in maria.last.text
