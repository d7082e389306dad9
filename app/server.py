"""The one port: webhooks and sockets of the messengers, files, health, metrics, and the panel last."""

from __future__ import annotations

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

from storage.files import FileLinks, FileStore, LinkExpired, LinkForged, NoSuchFile

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
    channel_routes: Sequence[BaseRoute], panel: Flask, reports: Reports, links: FileLinks, store: FileStore,
    now: Callable[[], datetime],
) -> Starlette:  # fmt: skip
    """Put all routes under one roof. Flask-Admin makes its own /panel, so Flask stands at / and last."""

    async def health(_request: Request) -> Response:
        well, page = await reports.health()
        return JSONResponse(page, status_code=200 if well else 503, headers={"Cache-Control": "no-store"})

    async def metrics(_request: Request) -> Response:
        body, content_type = await reports.metrics()
        return Response(body, headers={"Content-Type": content_type})

    async def home(_request: Request) -> Response:
        return RedirectResponse("/chat")

    async def file(request: Request) -> Response:
        return _file(links, store, request.path_params["token"], now())

    routes: list[BaseRoute] = [
        *channel_routes,
        Route("/", home),
        Route("/health", health),
        Route("/metrics", metrics),
        Route("/files/{token}", file),
        Mount("/", WSGIMiddleware(panel, workers=PANEL_THREADS)),  # type: ignore[arg-type]
    ]
    return Starlette(routes=routes, middleware=[Middleware(BodyLimit, max_bytes=MAX_BODY_BYTES)])


def _file(links: FileLinks, store: FileStore, token: str, now: datetime) -> Response:
    """A stored file by its signed link, always as a download: it must not run in our pages."""
    try:
        link = links.read(token, now)
        path = store.path(link.sha256)
    except LinkExpired as error:
        return PlainTextResponse(error.text.msgid, status_code=410)
    except (LinkForged, NoSuchFile):
        return PlainTextResponse("Not found", status_code=404)
    return FileResponse(
        path,
        media_type="application/octet-stream",
        headers={
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(link.name)}",
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Cache-Control": "private, no-store",
        },
    )


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
        received = 0

        async def limited() -> MutableMapping[str, Any]:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.max_bytes:
                # The sender hid the size: whoever reads on sees that the connection is over.
                return {"type": "http.disconnect"}
            return message

        await self.app(scope, limited, send)


class Server(uvicorn.Server):
    """uvicorn without its own signal handling: `app.service` stops everything in order."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the service; uvicorn would raise them again and end the process early."""
        yield


def make_server(application: Starlette, host: str, port: int) -> Server:
    """A server that listens when it is started with `serve`."""
    config = uvicorn.Config(
        application,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_SECONDS,
        ws_max_size=64 * 1024,
        ws_ping_interval=20,
        proxy_headers=True,
        forwarded_allow_ips="127.0.0.1",
    )
    return Server(config)
