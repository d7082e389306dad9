"""The brake on whoever knocks at the doors that only a secret opens: links, calendars, signing in.

Guesses cost twenty times as much as answers, so an office behind one address does not notice it, and a
machine that tries out tokens gets thirty a minute. The panel's own brake (`admin.auth`) counts on top of it,
by login, and survives a restart; this one keeps the noise away from the database.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from starlette.responses import PlainTextResponse

from bots.throttle import Throttle
from forms.texts import _
from storage.subscribers import subscriber

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

DOORS = (
    "/files/", "/calendar/", "/panel/sign-in", "/panel/code", "/panel/invitation", "/panel/enter",
    "/panel/forgotten", "/panel/reset",
)  # fmt: skip
"""Paths behind which a right guess is worth something."""

KNOCKS_PER_MINUTE = 600
BURST = 1200
MISS_COST = 20
_PEER = "priem.peer"
_TOLD_BY_PROXIES = frozenset((b"x-forwarded-for", b"forwarded", b"x-real-ip"))
_MISSED = frozenset((400, 401, 403, 404, 405))

_TOO_MANY = _("Слишком много попыток. Подождите минуту и попробуйте снова.")


@dataclass(slots=True)
class AddressBrake:
    """ASGI middleware: one bucket for each address, whichever of the doors it tries."""

    app: App
    now: Callable[[], datetime]
    brake: Throttle = field(default_factory=lambda: Throttle(KNOCKS_PER_MINUTE, BURST))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it with 429."""
        if scope["type"] != "http" or not scope["path"].startswith(DOORS):
            await self.app(scope, receive, send)
            return
        address, now = address_of(scope), self.now()
        if not self.brake.take(address, now):
            seconds = math.ceil(self.brake.wait_seconds(address, now))
            headers = {"Retry-After": str(max(1, seconds)), "Cache-Control": "no-store"}
            await PlainTextResponse(_TOO_MANY.msgid, status_code=429, headers=headers)(scope, receive, send)
            return

        async def counted(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start" and message["status"] in _MISSED:
                self.brake.spend(address, now, MISS_COST - 1)
            await send(message)

        await self.app(scope, receive, counted)


def address_of(scope: Scope) -> str:
    """Whom a brake counts as one."""
    return subscriber((scope.get("client") or ("",))[0])


@dataclass(frozen=True, slots=True)
class PeerKept:
    """ASGI middleware, outside of what believes proxies: remembers who is really connected."""

    app: App

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self.app({**scope, _PEER: scope.get("client")}, receive, send)


def is_inside(scope: Scope) -> bool:
    """Whether a request comes from this machine or a private network, where whoever runs it is.

    What came through a proxy that is not trusted may come from anywhere: it is never inside.
    """
    client, peer = scope.get("client"), scope.get(_PEER, scope.get("client"))
    told = [value.decode("latin-1") for name, value in scope.get("headers", ()) if name in _TOLD_BY_PROXIES]
    if told and client is peer:
        return False
    on_the_way = (host.strip() for hosts in told for host in hosts.split(","))
    return all(map(_is_private, ((client or ("",))[0], *on_the_way)))


def _is_private(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_private)
