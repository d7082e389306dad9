"""What a stranger may send instead of what is expected, and how it is put to the house.

`FUZZ_TIMES=200 pytest -n0 --timeout=0 tests/fuzz` tries two hundred times as many examples as the suite.
"""

from __future__ import annotations

import copy
import gc
import itertools
import json
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from forms.messages import Inbound

Json = Any
App = Callable[..., Awaitable[None]]

PROMPT_SECONDS = 0.2
"""How much of the processor one hostile input may cost."""

ODD_TEXTS = (
    "",
    " ",
    "\x00",
    "a\x00b",
    "\ud800",
    "\udfff\ud800",
    "\r\nSet-Cookie: a=b",
    "\u202e\u200b\ufeff",
    "١٢٣٤٥٦٧٨٩٠",
    "²",
    "१",
    "İıſ",
    "{name} {0} %s %(x)s",
    "'; drop table client; --",
    "<script>alert(1)</script>",
    "../../../../etc/passwd",
    "=cmd|' /C calc'!A0",
    "е\u0301" * 300,
    "👨‍👩‍👧‍👦" * 50,
    "9" * 5000,
    "-1",
    "1e400",
    "nan",
    "Infinity",
    "0x10",
    "1_000",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59+14:00",
    "x" * 70_000,
    " " * 20_000 + "x",
)
ODD_NUMBERS = (0, -1, 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**30, 10**4000)
ODD_FLOATS = (0.5, -0.0, 1e308, -1e308, 5e-324, float("nan"), float("inf"), float("-inf"))

DEEP = "@deep@"
"""Stands for a list in a list in a list… which Python itself could not write."""


def _nested(depth: int) -> Json:
    value: Json = "x"
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


HOSTILE: st.SearchStrategy[Json] = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(ODD_NUMBERS),
    st.sampled_from(ODD_FLOATS),
    st.sampled_from(ODD_TEXTS),
    st.text(max_size=30),
    st.text(st.characters(), max_size=10),
    st.sampled_from([[], {}, [[]], [{}], {"": {}}, [None], {"id": None}, {"type": []}]),
    st.sampled_from([50, 400, 900]).map(_nested),
    st.just(DEEP),
)


def written(value: Json) -> bytes:
    """JSON as only somebody who means harm writes it."""
    text = json.dumps(value)
    return text.encode().replace(b'"' + DEEP.encode() + b'"', b"[" * 3000 + b"]" * 3000)


def _places(value: Json, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        if len(path) < 8:
            yield from _places(each, (*path, key))


def _at(value: Json, path: Sequence[Any]) -> Json:
    for key in path:
        value = value[key]
    return value


@st.composite
def mutated(draw: st.DrawFn, samples: Sequence[Json]) -> Json:
    """One of the samples with one to four things wrong in it."""
    value = copy.deepcopy(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(1, 4))):
        places = list(_places(value))
        if not places:
            break
        *parents, last = draw(st.sampled_from(places))
        holder = _at(value, parents)
        match draw(st.sampled_from(["replace", "replace", "replace", "drop", "wrap", "swap", "add"])):
            case "replace":
                holder[last] = copy.deepcopy(draw(HOSTILE))
            case "drop":
                del holder[last]
            case "wrap":
                holder[last] = draw(
                    st.sampled_from([[holder[last]], {"x": holder[last]}, [holder[last]] * 40])
                )
            case "swap":
                holder[last] = copy.deepcopy(_at(value, draw(st.sampled_from(places))))
            case _ if isinstance(holder, dict):
                holder[draw(st.text(max_size=8))] = copy.deepcopy(draw(HOSTILE))
            case _:
                holder.append(copy.deepcopy(draw(HOSTILE)))
    return value


@st.composite
def damaged(draw: st.DrawFn, contents: Sequence[bytes]) -> bytes:
    """One of the contents with bytes lost, changed, repeated or put in."""
    content = bytearray(draw(st.sampled_from(contents)))
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(content)))
        length = draw(st.integers(1, 64))
        match draw(st.sampled_from(["lose", "change", "repeat", "put in", "cut"])):
            case "lose":
                del content[start : start + length]
            case "change":
                content[start : start + length] = draw(st.binary(min_size=1, max_size=length))
            case "repeat":
                content[start:start] = content[start : start + length] * draw(st.integers(1, 20))
            case "put in":
                content[start:start] = draw(st.binary(max_size=40))
            case _:
                del content[start:]
    return bytes(content)


def fuzzed(count: int) -> settings:
    """`count` examples in the suite, `FUZZ_TIMES` as many when somebody has the time."""
    times = int(os.environ.get("FUZZ_TIMES", "1"))
    # Promptness is measured in `promptly`: the machine may have other things to do.
    return settings(
        max_examples=count * times,
        deadline=None,
        print_blob=True,
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.large_base_example,
            HealthCheck.filter_too_much,
            HealthCheck.function_scoped_fixture,
        ],
    )


@contextmanager
def promptly(seconds: float = PROMPT_SECONDS) -> Iterator[None]:
    """Whatever comes is dealt with in so much of this thread's processor time."""
    gc.disable()  # what others left behind is not this input's fault
    started = time.thread_time()
    try:
        yield
        took = time.thread_time() - started
    finally:
        gc.enable()
    assert took < seconds, f"it took {took:.2f} s of the processor"


def assert_storable(inbound: Inbound) -> None:
    """What goes to the house can be kept by both databases, and be found again."""
    for text in _texts(inbound):
        assert "\x00" not in text
        text.encode()
    assert inbound.event_key
    # An index entry of PostgreSQL holds 2704 bytes.
    for key in (inbound.event_key, inbound.chat_key, inbound.user_key, inbound.message_key or ""):
        assert len(key.encode()) < 1000
    assert inbound.sent_at.tzinfo is not None


def _texts(inbound: Inbound) -> Iterator[str]:
    fields = (
        inbound.event_key, inbound.user_key, inbound.chat_key, inbound.text, inbound.button,
        inbound.start_code, inbound.group_id, inbound.message_key, inbound.user_name, inbound.acknowledge,
    )  # fmt: skip
    yield from (each for each in fields if each is not None)
    for file in inbound.files:
        yield from (file.reference, file.name, file.media_type or "")
        assert file.size_bytes is None or -(2**63) <= file.size_bytes < 2**63
    if inbound.contact is not None:
        yield from (inbound.contact.phone, inbound.contact.name)
    if inbound.delivery is not None:
        yield inbound.delivery.reason


# ---------------------------------------------------------------------- HTTP


@dataclass(frozen=True, slots=True)
class Answered:
    """What a stranger is answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def assert_tells_nothing(self) -> None:
        """No fault of ours, and no word of the inside of the program."""
        assert self.status < 500, self.body[:300]
        assert not any(word in self.body for word in INSIDE), self.body[:2000]


INSIDE = (
    b"Traceback (most recent call last)", b"site-packages", b'File "/', b"sqlalchemy", b"Werkzeug Debugger",
    b"psycopg", b"sqlite3.", b"jinja2.", b"KeyError", b"ValueError", b"TypeError",
)  # fmt: skip


_STRANGERS = itertools.count(1)


async def asked(
    app: App,
    method: str,
    target: bytes,
    *,
    headers: Sequence[tuple[bytes, bytes]] = (),
    body: bytes = b"",
    chunk_bytes: int = 65_536,
) -> Answered:
    """Ask the application as a server would that takes anything for an address. A fault of ours is raised."""
    raw_path, _, query = target.partition(b"?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(raw_path.decode("latin-1")),
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": [(b"host", b"priem.example.ru"), *headers],
        # Another stranger each time: it is not the brake on one address that is to be tried.
        "client": (str(ip_address("2001:db8::") + next(_STRANGERS)), 50_000),
        "server": ("127.0.0.1", 8080),
    }
    if body and not any(name == b"content-length" for name, _ in headers):
        scope["headers"].append((b"content-length", str(len(body)).encode()))
    chunks = [body[start : start + chunk_bytes] for start in range(0, len(body), chunk_bytes)] or [b""]
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        if chunks:
            return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start = next(message for message in sent if message["type"] == "http.response.start")
    told = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in start["headers"]}
    return Answered(start["status"], told, b"".join(message.get("body", b"") for message in sent))
