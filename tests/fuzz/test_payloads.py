"""Whatever a messenger posts is read, ignored or turned away; it never breaks us, and is never slow."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from bots import max as max_
from bots import telegram, viber, vk, whatsapp
from bots.base import Cursor, Doors, Lent
from bots.intake import Arrival
from bots.max import MaxChannel
from bots.telegram import TelegramChannel
from bots.viber import ViberChannel
from bots.vk import VkChannel
from bots.whatsapp import WhatsAppChannel
from bots.wire import decoded
from forms.messages import Inbound, InboundKind
from tests.channels.harness import HOOK_SECRET, Shelf
from tests.channels.webchat import MemoryLog, render
from tests.client import WEDNESDAY, Town
from tests.emulators.whatsapp import ACCOUNT_SID, AUTH_TOKEN, TwilioEmulator
from tests.fuzz import payloads
from tests.fuzz.hostile import (
    HOSTILE,
    ODD_TEXTS,
    Answered,
    App,
    asked,
    assert_storable,
    damaged,
    fuzzed,
    mutated,
    promptly,
    written,
)

Json = Any

NOW = datetime(2026, 11, 25, 8, 0, tzinfo=UTC)
PUBLIC_URL = "https://priem.example.ru"
VIBER_TOKEN = "445da6az1s345z78-token-of-the-fuzzing"
TELEGRAM_TOKEN = "7000000001:AAtoken-of-the-fuzzing"


@dataclass(frozen=True, slots=True)
class Messenger:
    """How a post of one messenger is read, and how it is proven to be the messenger's."""

    name: str
    samples: Sequence[Json]
    parse: Callable[[Json, datetime], Inbound | None]
    path: str
    headers: Callable[[bytes], dict[str, str]]


MESSENGERS = {
    each.name: each
    for each in (
        Messenger(
            "telegram",
            payloads.TELEGRAM,
            telegram.parse,
            telegram.HOOK_PATH,
            lambda _body: {telegram.SECRET_HEADER: HOOK_SECRET},
        ),
        Messenger(
            "max", payloads.MAX, max_.parse, max_.HOOK_PATH, lambda _body: {max_.SECRET_HEADER: HOOK_SECRET}
        ),
        Messenger("vk", payloads.VK, vk.parse, vk.HOOK_PATH, lambda _body: {}),
        Messenger(
            "viber",
            payloads.VIBER,
            viber.parse,
            viber.HOOK_PATH,
            lambda body: {viber.SIGNATURE_HEADER: hmac.new(VIBER_TOKEN.encode(), body, "sha256").hexdigest()},
        ),
    )
}
pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
BY_NAME = pytest.mark.parametrize("messenger", MESSENGERS.values(), ids=MESSENGERS.keys())


class Doorway:
    """The webhooks of all messengers under one roof, and what came through them."""

    def __init__(self, folder: Path) -> None:
        self._taken: list[Inbound] = []
        shelf = Shelf(folder)
        lent = Lent(
            files=shelf, log=MemoryLog(), file_link=lambda _file: PUBLIC_URL, render=render,
            uploads=folder / "uploads", secret_key="a secret key of the tests", firm="Баланс Актив",
            public_url=PUBLIC_URL,
        )  # fmt: skip
        doors = Doors(self._accept, now=lambda: NOW, cursor=None, public_url=PUBLIC_URL)
        self.channels = (
            TelegramChannel(
                telegram.Settings(token=TELEGRAM_TOKEN, mode="webhook", secret=HOOK_SECRET), shelf
            ),
            MaxChannel(max_.Settings(token="token-of-max", secret=HOOK_SECRET), lent),
            VkChannel(
                vk.Settings(
                    token="vk1.a.token-of-the-fuzzing", group_id=payloads.VK_GROUP, mode="callback",
                    secret=payloads.VK_SECRET, confirmation="c0nf1rm",
                ),
                shelf,
            ),
            ViberChannel(viber.Settings(token=VIBER_TOKEN), lent),
            WhatsAppChannel(
                whatsapp.Settings(
                    account_sid=ACCOUNT_SID, auth_token=AUTH_TOKEN, sender="whatsapp:+14155238886"
                ),
                lambda _file: PUBLIC_URL,
            ),
        )  # fmt: skip
        self.routes: list[BaseRoute] = [route for channel in self.channels for route in channel.routes(doors)]
        self.app: App = Starlette(routes=self.routes)

    async def _accept(self, inbounds: Sequence[Inbound], _cursor: Cursor | None) -> None:
        self._taken += inbounds

    def all_taken(self) -> list[Inbound]:
        """What was taken since the last time."""
        taken, self._taken = self._taken, []
        return taken

    async def post(self, path: str, body: bytes, headers: dict[str, str]) -> Answered:
        lines = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        return await asked(self.app, "POST", path.encode(), headers=lines, body=body)


@BY_NAME
def test_samples_are_understood(messenger: Messenger):
    """Else fuzzing would knock at a door that is shut anyway."""
    read = [messenger.parse(json.loads(json.dumps(sample)), NOW) for sample in messenger.samples]
    kinds = [inbound.kind for inbound in read if inbound is not None]
    assert kinds.count(InboundKind.IGNORED) <= 2, kinds
    assert len(set(kinds)) >= 6


@BY_NAME
def test_no_post_breaks_the_reader(messenger: Messenger):
    @given(mutated(messenger.samples))
    @fuzzed(80)
    def reads(post: Json) -> None:
        value = decoded(written(post))
        if not isinstance(value, dict) or (
            messenger.name == "telegram" and type(value.get("update_id")) is not int
        ):
            return  # turned away before it is read
        with promptly():
            inbound = messenger.parse(value, NOW)
        if inbound is not None:
            assert_storable(inbound)

    reads()


@BY_NAME
def test_no_post_breaks_the_route(messenger: Messenger, tmp_path: Path):
    bodies = [json.dumps(sample, ensure_ascii=False).encode() for sample in messenger.samples]
    posts = mutated(messenger.samples).map(written) | damaged(bodies) | st.binary(max_size=200)

    door = Doorway(tmp_path)

    @given(posts)
    @fuzzed(60)
    def goes_in(body: bytes) -> None:
        answered = asyncio.run(door.post(messenger.path, body, messenger.headers(body)))
        assert answered.status in (200, 400, 403, 413)
        answered.assert_tells_nothing()
        for inbound in door.all_taken():
            assert_storable(inbound)

    goes_in()


SHORT = st.text(max_size=20)
WRITABLE = st.sampled_from([text.encode("utf-8", "replace").decode() for text in ODD_TEXTS])
NAMES = st.sampled_from(["From", "Body", "NumMedia", "MediaUrl0", "Latitude", "To", "ErrorCode", "x"])
FORMS = st.tuples(NAMES, WRITABLE | SHORT) | st.tuples(SHORT, SHORT)


@pytest.mark.parametrize("statuses", [False, True], ids=["messages", "statuses"])
def test_no_post_of_twilio_breaks_the_route(statuses: bool, tmp_path: Path):
    samples = payloads.WHATSAPP_STATUSES if statuses else payloads.WHATSAPP
    path = whatsapp.STATUS_PATH if statuses else whatsapp.HOOK_PATH
    twilio = TwilioEmulator({})

    door = Doorway(tmp_path)
    names = st.sampled_from(sorted(samples[0]))

    @given(st.sampled_from(samples), st.lists(FORMS, max_size=4), st.lists(names, max_size=1))
    @fuzzed(60)
    def goes_in(sample: dict[str, str], put_in: list[tuple[str, str]], dropped: list[str]) -> None:
        form = [pair for pair in (sample | dict(put_in)).items() if pair[0] not in dropped]
        try:
            body = urlencode(form).encode()
        except UnicodeEncodeError:
            return
        headers = {whatsapp.SIGNATURE_HEADER: twilio.signature(PUBLIC_URL + path, form)}

        answered = asyncio.run(door.post(path, body, headers))
        assert answered.status in (200, 400, 403, 413)
        answered.assert_tells_nothing()
        for inbound in door.all_taken():
            assert_storable(inbound)

    goes_in()


def test_whatever_was_read_is_answered_by_the_house(tmp_path: Path):
    """The dialogue itself takes what comes out of the readers; a message it fails on would raise here."""

    @given(st.lists(st.sampled_from(sorted(MESSENGERS)).flatmap(_read), min_size=5, max_size=30))
    @fuzzed(6)
    def takes(inbounds: list[Inbound]) -> None:
        async def run() -> None:
            town = Town.open(tmp_path)
            try:
                await town.intake.apply([])
                for number, inbound in enumerate(inbounds):
                    town.pass_time(seconds=10)
                    await town.intake.apply([_fresh(inbound, number, str(id(inbounds)))])
            finally:
                await town.database.close()

        asyncio.run(run())

    takes()


def _fresh(inbound: Inbound, number: int, run: str) -> Arrival:
    return Arrival(replace(inbound, event_key=hashlib.sha256(f"{run}{number}".encode()).hexdigest()))


def _read(name: str) -> st.SearchStrategy[Inbound]:
    messenger = MESSENGERS[name]

    def parsed(post: Json) -> Inbound | None:
        value = decoded(written(post))
        if not isinstance(value, dict) or (name == "telegram" and type(value.get("update_id")) is not int):
            return None
        return messenger.parse(value, WEDNESDAY)

    return mutated(messenger.samples).map(parsed).filter(lambda found: found is not None)


@BY_NAME
@pytest.mark.parametrize("depth", [250, 310, 1000, 1015, 3000])
def test_depth_is_no_trouble(messenger: Messenger, depth: int, tmp_path: Path):
    """orjson reads what Python itself, at the bottom of a request, cannot write."""
    deep = b"[" * depth + b"]" * depth
    whole = {"update_id": 5, "type": "message_new", "event": "message", "update_type": "message_created"}
    vk_head = {"group_id": payloads.VK_GROUP, "secret": payloads.VK_SECRET}
    body = json.dumps(whole | vk_head).encode()[:-1]
    body += b', "message": ' + deep + b', "object": ' + deep + b', "message_token": ' + deep + b"}"
    answered = asyncio.run(Doorway(tmp_path).post(messenger.path, body, messenger.headers(body)))
    assert answered.status == (200 if depth < 300 else 400)


@given(HOSTILE)
@fuzzed(100)
def test_any_json_is_decoded_or_none(value: Json):
    with promptly():
        decoded(written(value))


@given(st.binary(max_size=300) | damaged([b'{"a": [1, 2.5, "\\ud83d\\ude00", null, true], "b": {"c": "x"}}']))
@fuzzed(80)
def test_any_bytes_are_decoded_or_none(body: bytes):
    with promptly():
        decoded(body)
