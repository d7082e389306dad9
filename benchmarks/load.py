"""A lean Telegram and its crowd of clients, for measuring bots rather than checking them.

Run in a process of its own: it prints the port it listens on, waits for a line with the bot's process
id, then lets `--at-once` clients talk at any time and prints what it has seen as one line of JSON.

A client sends the next step as soon as the answer to the last one is here; an answer counts when its
text holds the words that belong to that step. Anything else that a bot says is counted as unexpected.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import orjson
import psutil
import uvloop

TOKEN = "7000000001:AABenchmark-token_of-no-bot"

SAYS, PRESSES = "says", "presses"


@dataclass(frozen=True, slots=True)
class Step:
    """What a client does and words of the answer to it."""

    how: str
    what: str
    answer: str


FORM = (
    Step(SAYS, "/start", "Вы согласны?"),
    Step(PRESSES, "Согласен", "Пришлите ИНН"),
    Step(SAYS, "{inn} Ромашка {number}", "Что нужно сделать?"),
    Step(SAYS, "Заплатить ООО «Свет» 12 345 рублей по счёту {number}", "К какому сроку?"),
    Step(PRESSES, "*", "«Готово»"),
    Step(PRESSES, "Готово", "Проверьте заявку"),
    Step(PRESSES, "Отправить", "Заявка № "),
)
"""The start and the six steps of the form; «*» is the last choice of the question."""

FILES_STEP = 5
"""Where the form asks for files: a sender stays there and sends one after another."""
FILE_HEAD = b"%PDF-1.7\n"

_WEIGHTS = (2, 4, 10, 3, 5, 9, 4, 6, 8)
_NAVIGATION = ("Назад", "Отмена", "Позвать человека")


def inn_of(number: int) -> str:
    """A valid INN of a company, another one for every number."""
    digits = f"{700_000_000 + number % 99_999_999:09d}"
    check = sum(int(digit) * weight for digit, weight in zip(digits, _WEIGHTS, strict=True)) % 11 % 10
    return f"{digits}{check}"


@dataclass(slots=True)
class Client:
    number: int
    position: int = 0
    sent_at: float = 0.0
    keyboard: list[Any] = field(default_factory=list)
    keyboard_id: int = 0
    sends_files: bool = False

    @property
    def chat_id(self) -> int:
        return 100_000 + self.number


@dataclass(slots=True)
class Seen:
    """What is measured, between the first client after the warm-up and the last one."""

    bot: psutil.Process
    began_at: float = 0.0
    steps: int = 0
    conversations: int = 0
    unexpected: int = 0
    files: int = 0
    latencies: list[float] = field(default_factory=list)
    cpu_seconds: float = 0.0
    own_cpu_seconds: float = 0.0

    def begin(self) -> None:
        self.began_at = time.perf_counter()
        self.cpu_seconds = self._cpu()
        self.own_cpu_seconds = time.process_time()

    def _cpu(self) -> float:
        used = self.bot.cpu_times()
        return float(used.user + used.system)

    def report(self) -> dict[str, float]:
        seconds = time.perf_counter() - self.began_at
        ordered = sorted(self.latencies)
        return {
            "steps_per_second": self.steps / seconds,
            "seconds": seconds,
            "steps": self.steps,
            "conversations": self.conversations,
            "unexpected": self.unexpected,
            "files_per_second": self.files / seconds,
            "p50_ms": statistics.median(ordered) * 1000,
            "p99_ms": ordered[int(len(ordered) * 0.99)] * 1000,
            "cpu_ms_per_step": (self._cpu() - self.cpu_seconds) / self.steps * 1000,
            "rss_mb": self.bot.memory_info().rss / 1e6,
            "load_core_share": (time.process_time() - self.own_cpu_seconds) / seconds,
        }


class Telegram:
    """The server's side: updates wait for getUpdates, messages go to the clients."""

    def __init__(self, chats: int, warm_up: int, at_once: int, senders: int, file_bytes: int) -> None:
        self.chats, self.warm_up, self.at_once = chats, warm_up, at_once
        self.senders = senders
        self.file = FILE_HEAD + bytes(max(0, file_bytes - len(FILE_HEAD)))
        self.seen: Seen | None = None
        self.polled = asyncio.Event()
        self.finished = asyncio.Event()
        self._clients: dict[int, Client] = {}
        self._updates: deque[tuple[int, bytes]] = deque()
        self._handed: deque[tuple[int, bytes]] = deque()
        self._poller: tuple[Connection, int, asyncio.TimerHandle] | None = None
        self._ids = 1000
        self._begun = self._done = 0
        self._hands_soon = False
        self._now = int(time.time())

    # ---------------------------------------------------------------- the clients

    def start(self, seen: Seen) -> None:
        self.seen = seen
        if not self.warm_up:
            seen.begin()
        for number in range(self.senders):
            sender = Client(1_000_000 + number, sends_files=True)
            self._clients[sender.chat_id] = sender
            self._act(sender)
        for _ in range(min(self.at_once, self.chats + self.warm_up)):
            self._new_client()

    def _new_client(self) -> None:
        if self._begun == self.chats + self.warm_up:
            return
        client = Client(self._begun)
        self._begun += 1
        self._clients[client.chat_id] = client
        self._act(client)

    def _act(self, client: Client) -> None:
        step = FORM[client.position]
        self._ids += 1
        person = {"id": client.chat_id, "is_bot": False, "first_name": "Мария", "language_code": "ru"}
        chat = {"id": client.chat_id, "first_name": "Мария", "type": "private"}
        update: dict[str, Any] = {"update_id": self._ids}
        message: dict[str, Any]
        if client.sends_files and client.position == FILES_STEP:
            document = {
                "file_id": f"file-{self._ids}",
                "file_unique_id": f"u{self._ids}",
                "file_name": f"Счёт {self._ids}.pdf",
                "mime_type": "application/pdf",
                "file_size": len(self.file),
            }
            message = {"message_id": self._ids, "from": person, "chat": chat, "date": self._now}
            update["message"] = {**message, "document": document}
        elif step.how == SAYS:
            text = step.what.format(number=client.number, inn=inn_of(client.number))
            message = {"message_id": self._ids, "from": person, "chat": chat, "date": self._now, "text": text}
            if text.startswith("/"):
                message["entities"] = [{"offset": 0, "length": len(text), "type": "bot_command"}]
            update["message"] = message
        else:
            pressed = self._button(client, step.what)
            shown = {
                "message_id": client.keyboard_id,
                "from": {"id": 7000000001, "is_bot": True, "first_name": "Приёмная", "username": "b_bot"},
                "chat": chat,
                "date": self._now,
                "text": "…",
                "reply_markup": {"inline_keyboard": client.keyboard},
            }
            update["callback_query"] = {
                "id": str(self._ids),
                "from": person,
                "chat_instance": "1",
                "data": pressed,
                "message": shown,
            }
        client.sent_at = time.perf_counter()
        self._updates.append((self._ids, orjson.dumps(update)))
        if not self._hands_soon:
            self._hands_soon = True
            asyncio.get_running_loop().call_soon(self._hand)

    def _button(self, client: Client, label: str) -> str:
        buttons = [button for row in client.keyboard for button in row]
        if label == "*":
            buttons = [button for button in buttons if button["text"] not in _NAVIGATION]
            return str(buttons[-1]["callback_data"])
        return str(next(b["callback_data"] for b in buttons if b["text"] == label))

    def _answered(self, client: Client, text: str) -> None:
        seen = self.seen
        assert seen is not None
        if client.sends_files:
            seen.files += bool(seen.began_at) and client.position == FILES_STEP
            client.position = min(client.position + 1, FILES_STEP)
            self._act(client)
            return
        if FORM[client.position].answer not in text:
            seen.unexpected += 1
            print("unexpected:", client.position, text[:200], file=sys.stderr)
            return
        if seen.began_at:
            seen.steps += 1
            seen.latencies.append(time.perf_counter() - client.sent_at)
        client.position += 1
        if client.position < len(FORM):
            self._act(client)
            return
        del self._clients[client.chat_id]
        self._done += 1
        if seen.began_at:
            seen.conversations += 1
        elif self._done == self.warm_up:
            seen.begin()
        if self._done == self.chats + self.warm_up:
            self.finished.set()
        else:
            self._new_client()

    # ---------------------------------------------------------------- the Bot API

    def call(self, connection: Connection, method: str, params: dict[str, Any]) -> None:
        match method:
            case "getUpdates":
                self._poll(connection, params)
            case "sendMessage":
                self._ids += 1
                chat_id, text = int(params["chat_id"]), params["text"]
                chat = {"id": chat_id, "first_name": "Мария", "type": "private"}
                result = {"message_id": self._ids, "date": self._now, "chat": chat, "text": text}
                connection.answer(orjson.dumps({"ok": True, "result": result}))
                client = self._clients.get(chat_id)
                if client is None:
                    if self.seen is not None:
                        self.seen.unexpected += 1
                    return
                markup = params.get("reply_markup")
                if isinstance(markup, str):
                    markup = orjson.loads(markup)
                if markup:
                    client.keyboard, client.keyboard_id = markup["inline_keyboard"], self._ids
                self._answered(client, text)
            case "getFile":
                found = {"file_id": params["file_id"], "file_unique_id": "u", "file_path": "documents/a.pdf"}
                result = {**found, "file_size": len(self.file)}
                connection.answer(orjson.dumps({"ok": True, "result": result}))
            case "a.pdf":
                connection.answer(self.file)
            case "getMe":
                connection.answer(
                    b'{"ok":true,"result":{"id":7000000001,"is_bot":true,"first_name":"B","username":"b_bot"}}'
                )
            case _:
                connection.answer(b'{"ok":true,"result":true}')

    def _poll(self, connection: Connection, params: dict[str, Any]) -> None:
        self.polled.set()
        offset = int(params.get("offset") or 0)
        while self._handed and self._handed[0][0] < offset:
            self._handed.popleft()
        # What was handed over and not confirmed comes again.
        self._updates.extendleft(reversed(self._handed))
        self._handed.clear()
        if self._poller is not None:
            self._poller[2].cancel()
        wait_seconds = float(params.get("timeout") or 0)
        timer = asyncio.get_running_loop().call_later(wait_seconds, self._give_up)
        self._poller = (connection, min(int(params.get("limit") or 100), 100), timer)
        self._hand()

    def _give_up(self) -> None:
        """Answer a poll that has waited long enough, with whatever there is."""
        self._hand(if_empty=True)

    def _hand(self, *, if_empty: bool = False) -> None:
        self._hands_soon = False
        if self._poller is None or not (self._updates or if_empty):
            return
        connection, limit, timer = self._poller
        timer.cancel()
        self._poller = None
        now = [self._updates.popleft() for _ in range(min(limit, len(self._updates)))]
        self._handed.extend(now)
        connection.answer(b'{"ok":true,"result":[' + b",".join(body for _id, body in now) + b"]}")


class Connection(asyncio.Protocol):
    """As much of HTTP/1.1 as bots use."""

    def __init__(self, telegram: Telegram) -> None:
        self._telegram = telegram
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            head_end = self._buffer.find(b"\r\n\r\n")
            if head_end < 0:
                return
            head = self._buffer[:head_end].decode("latin-1")
            headers = dict(
                line.split(": ", 1) if ": " in line else (line, "") for line in head.lower().split("\r\n")[1:]
            )
            length = int(headers.get("content-length", 0))
            end = head_end + 4 + length
            if len(self._buffer) < end:
                return
            body, self._buffer = self._buffer[head_end + 4 : end], self._buffer[end:]
            method = head.split(" ", 2)[1].rpartition("/")[2].partition("?")[0]
            self._telegram.call(self, method, _params(headers.get("content-type", ""), body))

    def answer(self, body: bytes) -> None:
        assert self._transport is not None
        if not self._transport.is_closing():
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                % (len(body), body)
            )


def _params(content_type: str, body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    if content_type.startswith("application/json"):
        return dict(orjson.loads(body))
    return dict(parse_qsl(body.decode()))


async def serve(options: argparse.Namespace) -> dict[str, float]:
    telegram = Telegram(options.chats, options.warm_up, options.at_once, options.senders, options.file_bytes)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(telegram), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    pid = int(await asyncio.to_thread(sys.stdin.readline))
    async with asyncio.timeout(30):
        await telegram.polled.wait()
    await asyncio.sleep(options.settle_seconds)
    seen = Seen(psutil.Process(pid))
    telegram.start(seen)
    async with asyncio.timeout(options.timeout_seconds):
        await telegram.finished.wait()
    return seen.report()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chats", type=int, default=300)
    parser.add_argument("--warm-up", type=int, default=50)
    parser.add_argument("--at-once", type=int, default=50)
    parser.add_argument("--senders", type=int, default=0, help="more clients, who send files all the time")
    parser.add_argument("--file-bytes", type=int, default=4_000_000)
    parser.add_argument("--settle-seconds", type=float, default=0.5)
    parser.add_argument("--timeout-seconds", type=float, default=60)
    print(json.dumps(uvloop.run(serve(parser.parse_args()))), flush=True)


if __name__ == "__main__":
    main()
