"""What every messenger's wire needs: bounded bodies, a session behind a proxy, guarded downloads.

Nothing here belongs to one messenger. Addresses and headers may hold tokens, so no exception that
leaves this module names them.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import random
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

import orjson
import structlog
from pydantic import AfterValidator, Field, SecretStr
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from yarl import URL

from bots.base import MAX_FILE_BYTES, Doors, FileRefused, FileUnavailable
from forms.messages import Delivery, DeliveryState, Inbound
from notifications.outbox import Blocked, Outcome, Rejected, Retry, Sent, Unknown, WindowClosed
from storage.object_store import StoreUnreachable

if TYPE_CHECKING:
    from ssl import SSLContext

    from aiohttp import ClientSession, ClientTimeout
    from aiohttp.abc import ResolveResult

logger = structlog.get_logger(__name__)

Json = Any
"""A value out of a JSON body; it does not leave the module that reads it."""

T = TypeVar("T")
M = TypeVar("M")
"""One message as a messenger takes it."""
R = TypeVar("R", bound=Exception)
"""How a messenger's client says that it refused."""

CONNECT_SECONDS = 10
SLOWEST_UPLOAD_BYTES_PER_SECOND = 64 * 1024
CHUNK_BYTES = 64 * 1024
MAX_REDIRECTS = 3
REMEMBERED_HALF_SENT = 1000
LONGEST_SILENCE_SECONDS = 3600
"""Whoever asks for a longer one is asked again after that."""
LONGEST_KEY = 200
"""Of what messengers call people and messages; databases index it."""
DEEPEST_JSON = 300
"""VK, which nests the most, passes on messages within messages 45 levels deep."""


class Fault(Exception):  # noqa: N818 - the base of what the network does to us
    """The network failed us; its sentence names no address, for addresses hold the token."""

    @property
    def outcome(self) -> Outcome:
        """What delivery is told."""
        return Retry(reason=str(self), whole_channel=True)


class NotSent(Fault):
    """No connection, so nothing was sent."""


class AnswerLost(Fault):
    """The request left us and no whole answer came back."""

    @property
    def outcome(self) -> Outcome:
        """It may have arrived."""
        return Unknown(str(self))


class Misanswered(Fault):
    """Something between us and the messenger answered: a proxy, a provider's page."""


@dataclass(frozen=True, slots=True)
class Pauses:
    """How long to wait after a failure; `misconfigured_seconds` when only a person can help."""

    first_seconds: float = 1
    longest_seconds: float = 30
    misconfigured_seconds: float = 30

    def after(self, failures: int) -> float:
        """Grow with the number of failures in a row, jittered so that processes do not knock together."""
        pause = min(self.longest_seconds, self.first_seconds * 2.0 ** min(failures - 1, 16))
        return pause * random.uniform(0.5, 1)  # noqa: S311 - nothing to guess here


@dataclass(frozen=True, slots=True)
class Setback:
    """Why a messenger did not do what we need before anything can be received, in words for the log."""

    sentence: str
    reason: str
    pause_seconds: float


@dataclass(frozen=True, slots=True)
class Insisting(Generic[R]):
    """Ask one messenger until it agrees. `setback` tells of a refusal, given the failures in a row."""

    name: str
    pauses: Pauses
    refusals: type[R] | tuple[type[R], ...]
    setback: Callable[[R, int], Setback]

    async def until_done(self, ask: Callable[[], Awaitable[T]], **about: str) -> T:
        """Give the answer; `about` names in the log what was asked for."""
        failures = 0
        while True:
            failures += 1
            try:
                return await ask()
            except Fault as fault:
                pause_seconds = self.pauses.after(failures)
                setback = Setback(f"{self.name} does not answer", str(fault), pause_seconds)
            except self.refusals as refusal:
                setback = self.setback(refusal, failures)
            logger.warning(
                setback.sentence,
                reason=setback.reason,
                retry_in_seconds=round(setback.pause_seconds, 1),
                **about,
            )
            await asyncio.sleep(setback.pause_seconds)


@dataclass(slots=True)
class HalfSent:
    """How far parcels of several messages got, so that one that comes again goes on from there.

    It is forgotten in a restart, and of parcels that never came again only the latest are kept.
    """

    _parcels: dict[str, tuple[int, str]] = field(default_factory=dict)

    def take(self, key: str) -> tuple[int, str]:
        """How many messages of this parcel were sent, and the messenger's key of the last one."""
        return self._parcels.pop(key, (0, ""))

    def keep(self, key: str, done: int, message_key: str) -> None:
        """Remember that `done` messages of this parcel were sent."""
        self._parcels[key] = (done, message_key)
        if len(self._parcels) > REMEMBERED_HALF_SENT:
            del self._parcels[next(iter(self._parcels))]

    async def send_all(
        self,
        parcel_key: str,
        messages: Sequence[M],
        send_one: Callable[[int, M], Awaitable[str]],
        refusal: type[R],
        meaning: Callable[[R], Outcome],
    ) -> Outcome:
        """Send the messages of a parcel in order, going on where it stopped when it came before.

        `send_one` takes the number of a message, from 0, and the message, and gives the messenger's key
        of it. It raises `Fault`, OSError for a stored file that cannot be read, or `refusal`, of which
        `meaning` tells what delivery is told.
        """
        if not messages:
            return Rejected("nothing to send")
        done, message_key = self.take(parcel_key)
        outcome: Outcome | None = None
        comes_again = True
        try:
            while done < len(messages) and outcome is None:
                try:
                    message_key = await send_one(done, messages[done])
                    done += 1
                except Fault as fault:
                    outcome = fault.outcome
                except refusal as refused:
                    outcome = meaning(refused)
                except StoreUnreachable as error:
                    outcome = Retry(reason=str(error))
                except OSError as error:
                    outcome = Rejected(f"the stored file cannot be read: {type(error).__name__}")
            comes_again = isinstance(outcome, Retry | Unknown)
        finally:  # delivery may lose its patience in the middle
            if done and comes_again:
                self.keep(parcel_key, done, message_key)
        return outcome or Sent(message_key)


@dataclass(slots=True)
class _Parts:
    """The messages of one parcel that were sent so far."""

    keys: list[str] = field(default_factory=list)
    on_their_way: set[str] = field(default_factory=set)
    failure: Delivery | None = None
    is_whole: bool = False

    def take(self, message_key: str, told: Delivery) -> None:
        self.on_their_way.discard(message_key)
        if told.state is DeliveryState.FAILED:
            self.failure = told


@dataclass(slots=True)
class Parts:
    """The messages that parcels were sent as, for the house knows the key of the last one only.

    So what a messenger tells about any of them is told of the last: a parcel failed when one of them did,
    and was delivered when all were. It is forgotten in a restart: then news about all but the last are
    lost, and the last speaks for the parcel. Only the latest parcels are kept.
    """

    _parcels: dict[str, _Parts] = field(default_factory=dict)
    _of: dict[str, _Parts] = field(default_factory=dict)
    _early: dict[str, Delivery] = field(default_factory=dict)
    """What was told of a message before the answer with its key was here."""

    def sent(self, parcel_key: str, number: int, count: int, message_key: str) -> None:
        """Remember the message `number`, from 0, of the `count` that the parcel consists of."""
        if count == 1:
            return
        if number == 0:
            self._forget(parcel_key)
        parts = self._parcels.setdefault(parcel_key, _Parts())
        parts.keys.append(message_key)
        parts.on_their_way.add(message_key)
        parts.is_whole = number == count - 1
        self._of[message_key] = parts
        if message_key in self._early:
            parts.take(message_key, self._early.pop(message_key))
        if len(self._parcels) > REMEMBERED_HALF_SENT:
            self._forget(next(iter(self._parcels)))

    def settled(self, parcel_key: str, outcome: Outcome) -> Outcome:
        """What delivery is told of a parcel: not `Sent` when one of its messages has failed meanwhile."""
        parts = self._parcels.get(parcel_key)
        if not isinstance(outcome, Sent) or parts is None or parts.failure is None:
            return outcome
        make = Blocked if parts.failure.blocked else WindowClosed if parts.failure.window_closed else Rejected
        return make(parts.failure.reason)

    def news(self, inbound: Inbound) -> Inbound | None:
        """What this proof of delivery means for the whole parcel; None when it means nothing yet."""
        told, key = inbound.delivery, inbound.message_key
        if told is None or not key:
            return inbound
        parts = self._of.get(key)
        if parts is None:
            self._early[key] = told
            if len(self._early) > REMEMBERED_HALF_SENT:
                del self._early[next(iter(self._early))]
            return inbound
        parts.take(key, told)
        # Who has read the last one has seen those above it.
        has_read = told.state is DeliveryState.READ and key == parts.keys[-1]
        arrived = parts.failure is None and (has_read or not parts.on_their_way)
        if not parts.is_whole or not (arrived or told.state is DeliveryState.FAILED):
            return None
        return replace(inbound, message_key=parts.keys[-1])

    def _forget(self, parcel_key: str) -> None:
        parts = self._parcels.pop(parcel_key, None)
        for key in parts.keys if parts else ():
            self._of.pop(key, None)


# ---------------------------------------------------------------------- settings


def matches(pattern: str, sentence: str) -> AfterValidator:
    """Take a secret only when the whole of it matches; `sentence` tells the operator what it looks like."""

    def check(value: SecretStr) -> SecretStr:
        if not re.fullmatch(pattern, value.get_secret_value()):
            raise ValueError(sentence)
        return value

    return AfterValidator(check)


ProxyAddress = Annotated[
    SecretStr, matches(r"(http|socks4|socks5)://\S+", "socks5://user:password@host:port")
]
BaseUrl = Annotated[str, Field(pattern=r"^https?://[^\s/]+(/[^\s]*)?$")]


def file_hosts(api_base_url: str, media_hosts: Collection[str]) -> tuple[str, ...]:
    """Where files go and come from: a mirror that the operator named for the API carries them too."""
    return ((URL(api_base_url).host or "").lower(), *(host.lower() for host in media_hosts))


# ---------------------------------------------------------------------- bodies


async def limited_body(request: Request, max_bytes: int) -> bytes | None:
    """Read a body of at most `max_bytes`; a longer one is None."""
    parts, size_bytes = [], 0
    async for part in request.stream():
        size_bytes += len(part)
        if size_bytes > max_bytes:
            return None
        parts.append(part)
    return b"".join(parts)


def decoded(body: bytes) -> Json:
    """Read JSON; None when it is none. Half surrogates, which orjson refuses, become question marks.

    Nor is it any when it is nested so deep that Python could not write it again.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        try:
            value = orjson.loads(json.dumps(json.loads(body), ensure_ascii=False).encode("utf-8", "replace"))
        except (ValueError, RecursionError):
            return None
    may_be_deep = body.count(b"[") + body.count(b"{") > DEEPEST_JSON
    return None if may_be_deep and _is_too_deep(value) else value


def _is_too_deep(value: Json) -> bool:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(DEEPEST_JSON):
        within = [each.values() if isinstance(each, dict) else each for each in level]
        level = [inner for each in within for inner in each if isinstance(inner, dict | list)]
        if not level:
            return False
    return True


def clean(text: Json) -> str:
    """Take a string without NUL, which PostgreSQL cannot store. Raises TypeError for anything else."""
    if type(text) is not str:
        raise TypeError("a string was expected")
    return text.replace("\x00", "") if "\x00" in text else text


def whole_number(value: Json) -> int:
    """Take a whole number of 64 bits. Raises TypeError or ValueError for anything else."""
    if type(value) is not int:
        raise TypeError("a whole number was expected")
    if not -(2**63) <= value < 2**63:
        raise ValueError("no messenger counts so far")
    return value


def short_key(text: Json) -> str:
    """Take a messenger's name of a person or a message. Raises TypeError or ValueError for anything else."""
    name = clean(text)
    if not 1 <= len(name) <= LONGEST_KEY:
        raise ValueError("nothing is named like this")
    return name


def header_safe(file_name: str) -> str:
    """A name that cannot break out of its header; servers disagree about escaped quotes."""
    return file_name.translate(_UNSAFE_IN_HEADER)


_UNSAFE_IN_HEADER = dict.fromkeys(range(32), " ") | {ord('"'): "'", ord("\\"): "_", 127: " "}


# ---------------------------------------------------------------------- what people attach

MISSHAPEN = (LookupError, TypeError, ValueError, AttributeError, OverflowError, OSError)
"""What comes of reading something that does not have the form it should have."""

UNREADABLE = "вложение, которое не удалось прочесть"
UNREADABLE_MESSAGE = "сообщение, которое не удалось прочесть"


def readable(channel: str, read: Callable[[], T]) -> T | None:
    """Read a part of a message; None when it fits no schema: the rest must not be lost with it."""
    try:
        return read()
    except MISSHAPEN as error:
        logger.warning("a part of a message fits no schema", channel=channel, error=type(error).__name__)
        return None


def with_asides(text: str, asides: Sequence[str]) -> str:
    """Put behind the words, in brackets, what came with them and cannot be taken."""
    return "\n\n".join(filter(None, (text, f"[{', '.join(asides)}]" if asides else "")))


# ---------------------------------------------------------------------- webhooks


@dataclass(frozen=True, slots=True)
class Hook:
    """A webhook whose posts prove where they come from by a secret in a header."""

    name: str
    path: str
    header: str
    secret: str = field(repr=False)
    max_bytes: int

    def route(self, doors: Doors, read: Callable[[Json], Inbound | None]) -> Route:
        """Serve it. `read` gives what a post means for us, None when it is malformed."""
        expected = self.secret.encode()

        def turned_away(reason: str, status: HTTPStatus) -> Response:
            doors.refused(reason)
            return Response(status_code=status)

        async def posted(request: Request) -> Response:
            if not hmac.compare_digest(request.headers.get(self.header, "").encode(), expected):
                return turned_away("secret", HTTPStatus.FORBIDDEN)
            body = await limited_body(request, self.max_bytes)
            if body is None:
                return turned_away("size", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            inbound = read(decoded(body))
            if inbound is None:
                return turned_away("malformed", HTTPStatus.BAD_REQUEST)
            return Response(status_code=await stored(doors, self.name, inbound))

        return Route(self.path, posted, methods=["POST"])


async def stored(doors: Doors, name: str, inbound: Inbound) -> HTTPStatus:
    """Hand over what a messenger posted; the answer says whether it is to be repeated."""
    try:
        await doors.accept((inbound,), None)
    except Exception as error:  # noqa: BLE001 - whatever kept it from being stored: the messenger repeats it
        # No traceback: it may hold the client's words.
        logger.error("a post was not stored", channel=name, error=type(error).__name__)  # noqa: TRY400
        return HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.OK


# ---------------------------------------------------------------------- requests


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def json(self) -> Json:
        """The body as JSON, None when it is none."""
        return decoded(self.body)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """For how many seconds a server asks for silence, at most LONGEST_SILENCE_SECONDS; None when it does not.

    It names seconds, or a moment. A moment counts from the `Date` of the same answer, for clocks differ.
    """
    said = headers.get("Retry-After", "").strip()
    try:
        seconds = float(said) if re.fullmatch(r"[0-9]+(\.[0-9]+)?", said) else _until(said, headers["Date"])
    except MISSHAPEN:
        return None
    return min(seconds, LONGEST_SILENCE_SECONDS) if seconds > 0 else None


def _until(moment: str, now: str) -> float:
    then, since = (parsedate_to_datetime(each) for each in (moment, now))
    return (then - since).total_seconds()


class Wire:
    """One messenger's connections, behind its proxy. Opened by the first request.

    Raises `NotSent` or `AnswerLost`. `trust` gives the certificates to believe for an address, True for
    the system's. `hosts` are those from which files may be fetched: a name also
    stands for all below it. Addresses of private networks are refused, unless the host that leads
    there is listed by name.
    """

    def __init__(
        self,
        proxy: SecretStr | None,
        hosts: Collection[str],
        request_timeout_seconds: float = 20,
        trust: Callable[[URL], SSLContext | bool] = lambda _url: True,
    ) -> None:
        self._proxy = proxy.get_secret_value() if proxy else None
        self._hosts = frozenset(host.lower().rstrip(".") for host in hosts)
        self._timeout_seconds = request_timeout_seconds
        self._trust = trust
        self._session: ClientSession | None = None
        self._media_session: ClientSession | None = None
        self._not_sent: tuple[type[Exception], ...] = ()
        self._lost: tuple[type[Exception], ...] = ()

    async def request(
        self,
        method: str,
        url: str | URL,
        *,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> Answer:
        """Ask once; redirects are not followed. `data` is whatever aiohttp takes as a body."""
        session = self._opened()
        within = self._within(timeout_seconds or self._timeout_seconds)
        try:
            async with session.request(
                method,
                url,
                data=data,
                headers=headers,
                timeout=within,
                allow_redirects=False,
                ssl=self._trust(URL(url)),
            ) as response:
                return Answer(response.status, response.headers, await response.read())
        except self._not_sent as error:
            raise NotSent(type(error).__name__) from None
        except self._lost as error:
            raise AnswerLost(type(error).__name__) from None

    async def post_json(
        self, url: str | URL, value: Json, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Post a value as JSON."""
        typed = {"Content-Type": "application/json", **(headers or {})}
        return await self.request("POST", url, data=orjson.dumps(value), headers=typed)

    async def download(self, url: str, headers: Mapping[str, str] | None = None) -> AsyncIterator[bytes]:
        """Stream a file in chunks, at most MAX_FILE_BYTES. Raises FileRefused or FileUnavailable.

        `headers` (credentials) go to the first host only; each redirect is checked like the first.
        """
        target, sent_headers = self._target(url), headers
        session = self._media_opened()
        for _hop in range(MAX_REDIRECTS + 1):
            try:
                async with session.get(
                    target,
                    headers=sent_headers,
                    timeout=self._within(None),
                    allow_redirects=False,
                    ssl=self._trust(target),
                    read_bufsize=4 * CHUNK_BYTES,
                ) as response:
                    if response.status not in _REDIRECTS:
                        async for chunk in _content(response):
                            yield chunk
                        return
                    location = response.headers.get("Location", "")
            except (*self._not_sent, *self._lost) as error:
                raise FileUnavailable(type(error).__name__) from None
            following = self._target(_joined(target, location))
            if following.origin() != target.origin():
                sent_headers = None
            target = following
        raise FileUnavailable("too many redirects")

    def _target(self, url: str) -> URL:
        try:
            target = URL(url)
        except ValueError:
            raise FileUnavailable("the address of the file cannot be read") from None
        host = (target.host or "").lower().rstrip(".")
        if target.scheme not in ("http", "https") or not host:
            raise FileUnavailable("the address of the file is no web address")
        if not any(host == allowed or host.endswith(f".{allowed}") for allowed in self._hosts):
            raise FileUnavailable("the file lies on a host that is not in the list of media hosts")
        if host not in self._hosts and _is_private_literal(host):
            raise FileUnavailable("the file lies in a private network")
        return target

    def _within(self, total_seconds: float | None) -> ClientTimeout:
        from aiohttp import ClientTimeout

        return ClientTimeout(total_seconds, connect=CONNECT_SECONDS, sock_read=self._timeout_seconds)

    def _opened(self) -> ClientSession:
        if self._session is None:
            import aiohttp

            self._not_sent, self._lost = network_errors()
            self._session = aiohttp.ClientSession(
                connector=proxied_connector(self._proxy), cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session

    def _media_opened(self) -> ClientSession:
        """The session for addresses that a stranger may have chosen; a proxy resolves names itself."""
        if self._media_session is None:
            import aiohttp

            self._not_sent, self._lost = network_errors()
            connector = proxied_connector(self._proxy) or aiohttp.TCPConnector(
                resolver=_guarded_resolver(self._hosts)
            )
            self._media_session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._media_session

    async def close(self) -> None:
        """Close the connections."""
        for session in (self._session, self._media_session):
            if session is not None:
                await session.close()
        self._session = self._media_session = None


def _joined(base: URL, location: str) -> str:
    try:
        return str(base.join(URL(location)))
    except ValueError:
        raise FileUnavailable("the address of the file cannot be read") from None


def _is_private_literal(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host.strip("[]")).is_global
    except ValueError:
        return False


def _guarded_resolver(hosts: Collection[str]) -> Any:
    """A resolver that finds no private address, so that no name of a stranger leads into our network."""
    from aiohttp import ThreadedResolver

    class Guarded(ThreadedResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            found = await super().resolve(host, port, family)
            if host.lower() in hosts:
                return found
            public = [each for each in found if ipaddress.ip_address(each["host"]).is_global]
            if not public:
                raise OSError("the name leads into a private network")
            return public

    return Guarded()


_REDIRECTS = frozenset(
    (
        HTTPStatus.MOVED_PERMANENTLY,
        HTTPStatus.FOUND,
        HTTPStatus.SEE_OTHER,
        HTTPStatus.TEMPORARY_REDIRECT,
        HTTPStatus.PERMANENT_REDIRECT,
    )
)


async def _content(response: Any) -> AsyncIterator[bytes]:
    if response.status != HTTPStatus.OK:
        raise FileUnavailable(f"status {response.status} instead of the file")
    if (response.content_length or 0) > MAX_FILE_BYTES:
        raise FileRefused("the file is over 20 MB")
    size_bytes = 0
    async for chunk in response.content.iter_chunked(CHUNK_BYTES):
        size_bytes += len(chunk)
        if size_bytes > MAX_FILE_BYTES:
            raise FileRefused("the file turned out to be over 20 MB")
        yield chunk


def network_errors() -> tuple[tuple[type[Exception], ...], tuple[type[Exception], ...]]:
    """Errors of aiohttp before the request was sent, and errors after which it may have arrived."""
    import aiohttp
    import aiohttp_socks

    not_sent = (
        aiohttp.ClientConnectorError,
        aiohttp.ConnectionTimeoutError,
        # The proxy connector raises its own, which are not aiohttp's ClientError.
        aiohttp_socks.ProxyConnectionError,
        aiohttp_socks.ProxyError,
        aiohttp_socks.ProxyTimeoutError,
    )
    return not_sent, (aiohttp.ClientError, TimeoutError, OSError)


def proxied_connector(proxy: str | None) -> Any:
    """Aiohttp's connector through an http, socks4 or socks5 proxy; None for no proxy."""
    if proxy is None:
        return None
    from aiohttp_socks import ProxyConnector

    return ProxyConnector.from_url(proxy, rdns=True)
