"""Ask an ASGI application one question, without a server."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


async def get(
    app, path: str, *, address: str = "203.0.113.7", method: str = "GET", body: bytes = b""
) -> Answer:
    """The answer to one request from that address."""
    sent: list[dict] = []
    asked: list[bool] = []
    path, _mark, query = path.partition("?")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
        "headers": [(b"host", b"localhost")], "client": (address, 40000), "server": ("localhost", 80),
    }  # fmt: skip

    async def receive() -> dict:
        if asked:
            await asyncio.Event().wait()  # whoever asks stays on the line
        asked.append(True)
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict) -> None:
        sent.append(message)

    await app(scope, receive, send)
    head = sent[0]
    headers = {name.decode().lower(): value.decode() for name, value in head["headers"]}
    content = b"".join(message.get("body", b"") for message in sent[1:])
    return Answer(head["status"], headers, content)
