"""The one port: webhooks and sockets of the messengers, files, health, metrics, and the panel last."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import uvicorn
from a2wsgi import WSGIMiddleware
from flask import Flask
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.panel_door import PanelDoor
from app.throttle import AddressBrake, PeerKept, is_inside
from storage.calendars import Feed
from storage.files import FileLinks, KeptFiles, LinkExpired, LinkForged, NoSuchFile
from storage.inspection import type_by_name
from storage.object_store import StoreUnreachable

MAX_BODY_BYTES = 25 * 1024 * 1024
PANEL_THREADS = 8
GRACEFUL_SHUTDOWN_SECONDS = 10

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Reports:
    """What the machine says about itself."""

    health: Callable[[], Awaitable[tuple[bool, dict[str, Any]]]]
    """Whether all is well, and the page's JSON."""
    metrics: Callable[[], Awaitable[tuple[bytes, str]]]
    """The body and its content type."""


def create_app(
    channel_routes: Sequence[BaseRoute], panel: Flask, reports: Reports, links: FileLinks, store: KeptFiles,
    now: Callable[[], datetime], is_withheld: Callable[[str], bool] = lambda _sha256: False,
) -> Starlette:  # fmt: skip
    """Put all routes under one roof. Flask-Admin makes its own /panel, so Flask stands at / and last."""

    async def health(request: Request) -> Response:
        well, page = await reports.health()
        if not is_inside(request.scope):
            page = {"status": page["status"]}
        return JSONResponse(page, status_code=200 if well else 503, headers={"Cache-Control": "no-store"})

    async def metrics(request: Request) -> Response:
        if not is_inside(request.scope):
            return PlainTextResponse("Not found", status_code=404)
        body, content_type = await reports.metrics()
        return Response(body, headers={"Content-Type": content_type})

    async def home(_request: Request) -> Response:
        return RedirectResponse("/chat")

    async def file(request: Request) -> Response:
        return await asyncio.to_thread(_file, links, store, request.path_params["token"], now(), is_withheld)

    routes: list[BaseRoute] = [
        *channel_routes,
        Route("/", home),
        Route("/health", health),
        Route("/metrics", metrics),
        Route("/files/{token}", file),
        Mount("/", PanelDoor(WSGIMiddleware(panel, workers=PANEL_THREADS))),  # type: ignore[arg-type]
    ]
    doors = [Middleware(AddressBrake, now=now), Middleware(BodyLimit, max_bytes=MAX_BODY_BYTES)]
    return Starlette(routes=routes, middleware=doors)


def _file(
    links: FileLinks, store: KeptFiles, token: str, now: datetime, is_withheld: Callable[[str], bool]
) -> Response:
    """A stored file by its signed link, always as a download: it must not run in our pages.

    Its type is told, for messengers that fetch it refuse what they cannot name.
    """
    try:
        link = links.read(token, now)
        if is_withheld(link.sha256):
            # It was not looked at yet, or a virus was found in it since the link was made.
            return PlainTextResponse("Not now", status_code=409)
        path = store.path(link.sha256)
    except LinkExpired as error:
        return PlainTextResponse(error.text.msgid, status_code=410)
    except (LinkForged, NoSuchFile):
        return PlainTextResponse("Not found", status_code=404)
    except StoreUnreachable:
        return PlainTextResponse("Not now", status_code=503, headers={"Retry-After": "10"})
    return FileResponse(
        path,
        media_type=type_by_name(link.name),
        headers={
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(link.name)}",
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Cache-Control": "private, no-store",
        },
    )


def calendar_route(feed: Callable[[str], Feed | None]) -> Route:
    """`/calendar/<token>.ics`: the token is all that is asked for, as calendars cannot sign in."""

    async def calendar(request: Request) -> Response:
        found = await asyncio.to_thread(feed, request.path_params["token"])
        if found is None:
            return PlainTextResponse("Not found", status_code=404)
        headers = {
            "ETag": f'"{found.tag}"',
            "Cache-Control": "private, no-cache",
            "Content-Disposition": 'inline; filename="priem.ics"',
            "X-Content-Type-Options": "nosniff",
            "X-Robots-Tag": "noindex",
            "Referrer-Policy": "no-referrer",
        }
        known = request.headers.get("if-none-match", "").split(",")
        if any(tag.strip().removeprefix("W/").strip('"') == found.tag for tag in known):
            return Response(status_code=304, headers=headers)
        return Response(found.body, media_type="text/calendar; charset=utf-8", headers=headers)

    return Route("/calendar/{token}.ics", calendar)


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """Refuse a body over `max_bytes`, announced or not; uvicorn itself takes any size."""

    app: App
    max_bytes: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, counting what it sends."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit() or int(announced) > self.max_bytes:
            await PlainTextResponse("Too large", status_code=413)(scope, receive, send)
            return
        await _Counted(self.app, self.max_bytes, scope, receive, send).serve()


@dataclass(slots=True)
class _Counted:
    """One request whose sender may have hidden how much will come."""

    app: App
    max_bytes: int
    scope: Scope
    receive: Receive
    send: Send
    received_bytes: int = 0
    begun: bool = False

    async def serve(self) -> None:
        try:
            await self.app(self.scope, self._receive, self._send)
        except Exception:
            # Whoever was reading saw the connection end; that is the sender's fault, not an error of ours.
            if not self._is_over():
                raise
        if self._is_over() and not self.begun:
            await PlainTextResponse("Too large", status_code=413)(self.scope, self.receive, self.send)

    def _is_over(self) -> bool:
        return self.received_bytes > self.max_bytes

    async def _receive(self) -> MutableMapping[str, Any]:
        if self._is_over():
            return {"type": "http.disconnect"}
        message = await self.receive()
        self.received_bytes += len(message.get("body", b""))
        return {"type": "http.disconnect"} if self._is_over() else message

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        # What is answered after half a body is about that half: the sender gets 413 instead.
        if self.begun or not self._is_over():
            self.begun = True
            await self.send(message)


class PortError(Exception):
    """The port cannot be listened on; the text says what to do."""


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Take the port before anything else is touched. Raises PortError.

    A second process on the same folder must end here: it would take the first one's letters for its own.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        taken = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]
        raise PortError(
            f"{host}:{port} cannot be listened on ({reason}): stop the program that has it, "
            "or choose another port (server.port, for the demo --port)."
        ) from error
    with taken:
        yield taken


class Server(uvicorn.Server):
    """uvicorn without its own signal handling: `app.service` stops everything in order."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the service; uvicorn would raise them again and end the process early."""
        yield


def make_server(application: Starlette, trusted_proxies: Sequence[str] = ("127.0.0.1", "::1")) -> Server:
    """A server that takes requests when it is started with `serve` and a listening socket.

    Only `trusted_proxies`, addresses or networks, may say for whom they ask.
    """
    config = uvicorn.Config(
        PeerKept(ProxyHeadersMiddleware(application, list(trusted_proxies))),  # type: ignore[arg-type]
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_SECONDS,
        ws_max_size=64 * 1024,
        ws_ping_interval=20,
        proxy_headers=False,  # they are believed above, where the peer itself is remembered
    )
    return Server(config)
