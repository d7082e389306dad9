"""A file server for messengers that fetch by link what we send: what `/files/<token>` is in the house."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import quote

from aiohttp import web

from forms.messages import OutgoingFile
from tests.channels.harness import Shelf


@asynccontextmanager
async def served_links(shelf: Shelf) -> AsyncIterator[Callable[[OutgoingFile], str]]:
    """Yield a maker of links to the files of the shelf; they answer GET and HEAD while it is open.

    As in the house nobody guesses a link, and its last part is no file name.
    """
    links: dict[str, OutgoingFile] = {}

    async def give(request: web.Request) -> web.StreamResponse:
        file = links.get(request.match_info["token"])
        if file is None or not shelf.path(file.sha256).is_file():
            raise web.HTTPNotFound
        disposition = f"attachment; filename*=UTF-8''{quote(file.name)}"
        headers = {"Content-Type": file.media_type, "Content-Disposition": disposition}
        return web.FileResponse(shelf.path(file.sha256), headers=headers)

    app = web.Application()
    app.router.add_get("/files/{token}", give)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"

    def link(file: OutgoingFile) -> str:
        token = secrets.token_urlsafe(24)
        links[token] = file
        return f"{address}/files/{token}"

    try:
        yield link
    finally:
        await runner.cleanup()
