"""Twilio's messaging API and its webhooks on real sockets, for one WhatsApp sender.

Written after https://www.twilio.com/docs/messaging/api and https://www.twilio.com/docs/whatsapp. It is
stricter than Twilio: whatever Twilio would take in silence and we should not do is kept in `violations`.

    async with TwilioEmulator() as twilio:
        twilio.hook_url = "https://…/hooks/whatsapp"
        person = twilio.person("whatsapp:+79160000001")
        await person.says("/start")
        shown = await person.shown(1)
        await person.presses("Согласен")
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any, Self
from urllib.parse import parse_qsl, quote, urlencode

import aiohttp
from aiohttp import web

from tests.emulators.listening import PATIENCE_SECONDS, listen

Json = Any

ACCOUNT_SID = "AC" + "5e" * 16
AUTH_TOKEN = "emulated-auth-token-of-nobody"
SENDER = "whatsapp:+14155230000"

BODY_LENGTH = 1600
TEMPLATE_BODY_LENGTH = 1024
BUTTON_TITLE_LENGTH = 20
ITEM_LENGTH = 24
BUTTON_ID_LENGTH = 200
QUICK_REPLIES = 3
LIST_ITEMS = 10
MEDIA_BYTES = 16 * 1024 * 1024
IMAGE_BYTES = 5 * 1024 * 1024
WINDOW = timedelta(hours=24)
HOOK_SECONDS = 15
SHOWN_PARAMS = {"To", "From", "Body", "MediaUrl", "ContentSid", "ContentVariables", "StatusCallback"}
"""What we send; Twilio takes more, but then somebody has changed his mind."""

_FORM = "application/x-www-form-urlencoded"
_MESSAGES = f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages"


@dataclass(frozen=True, slots=True)
class Refusal(Exception):  # noqa: N818 - Twilio refuses
    status: int
    code: int
    message: str = "Refused"


@dataclass(slots=True)
class Misbehaviour:
    """What happens to the next requests that send. Made by `TwilioEmulator.fail_next`."""

    times: int
    status: int = 0
    code: int = 0
    retry_after: int | str | None = None
    drops: bool = False
    hangs: bool = False
    after_effect: bool = False
    skips: int = 0
    """So many requests go well before."""
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """One request to the API as it came."""

    method: str
    path: str
    params: Mapping[str, str]


@dataclass(slots=True)
class Message:
    """What a person was shown."""

    sid: str
    text: str = ""
    buttons: dict[str, str] = field(default_factory=dict)
    """Label → id."""
    is_list: bool = False
    files: list[tuple[str, bytes]] = field(default_factory=list)
    callback: str = ""


@dataclass(frozen=True, slots=True)
class Media:
    sid: str
    content: bytes
    media_type: str


@dataclass(slots=True)
class Logged:
    """A message in Twilio's log."""

    sid: str
    sender: str
    recipient: str
    body: str
    direction: str
    created_at: datetime
    media: Sequence[Media] = ()
    status: str = "received"
    error_code: int | None = None
    updated_at: datetime | None = None

    def resource(self) -> dict[str, Json]:
        stamp = format_datetime(self.created_at.replace(microsecond=0))
        uri = f"{_MESSAGES}/{self.sid}"
        return {
            "account_sid": ACCOUNT_SID,
            "api_version": "2010-04-01",
            "body": self.body,
            "date_created": stamp,
            "date_sent": stamp,
            "date_updated": format_datetime((self.updated_at or self.created_at).replace(microsecond=0)),
            "direction": self.direction,
            "error_code": self.error_code,
            "error_message": None,
            "from": self.sender,
            "messaging_service_sid": None,
            "num_media": str(len(self.media)),
            "num_segments": "1",
            "price": None,
            "price_unit": None,
            "sid": self.sid,
            "status": self.status,
            "subresource_uris": {"media": f"{uri}/Media.json"},
            "to": self.recipient,
            "uri": f"{uri}.json",
        }


class Person:
    """One person with WhatsApp; `address` is what Twilio calls them."""

    def __init__(self, twilio: TwilioEmulator, address: str, name: str) -> None:
        self.address = address
        self.name = name
        self.messages: list[Message] = []
        self.last_wrote_at: datetime | None = None
        self.opted_out = False
        self._twilio = twilio
        self._changed = asyncio.Event()

    # -------------------------------------------------------------- what the person does

    async def says(self, text: str, **more: str) -> str:
        """Type a message; its SID. `more` are further parameters of the webhook."""
        return await self._writes(text, {"MessageType": "text", **more})

    async def presses(self, label: str) -> str:
        """Press a button, or choose an item, of the latest message that has it."""
        for message in reversed(self.messages):
            if label in message.buttons:
                pressed = message.buttons[label]
                break
        else:
            raise AssertionError(f"nowhere is there a button «{label}»")
        replied = {
            "OriginalRepliedMessageSid": message.sid,
            "OriginalRepliedMessageSender": SENDER,
        }
        if message.is_list:
            chosen = {"MessageType": "interactive", "ListId": pressed, "ListTitle": label}
        else:
            chosen = {"MessageType": "button", "ButtonPayload": pressed, "ButtonText": label}
        return await self._writes(label, chosen | replied)

    async def sends_file(
        self,
        content: bytes,
        media_type: str = "application/pdf",
        *,
        kind: str = "document",
        caption: str = "",
    ) -> str:
        """Send a file. Of a document without words Twilio puts the file's name into the body."""
        media = Media("ME" + secrets.token_hex(16), content, media_type)
        return await self._writes(caption, {"MessageType": kind}, (media,))

    async def sends_location(self, latitude: str = "55.751244", longitude: str = "37.618423") -> str:
        place = {"MessageType": "location", "Latitude": latitude, "Longitude": longitude}
        return await self._writes("", place)

    async def opts_out(self) -> str:
        self.opted_out = True
        return await self._writes("STOP", {"MessageType": "text", "OptOutType": "STOP"})

    # -------------------------------------------------------------- what the person sees

    async def shown(self, count: int, *, timeout_seconds: float = PATIENCE_SECONDS) -> list[Message]:
        """All that was shown, once it is at least `count` messages."""
        async with asyncio.timeout(timeout_seconds):
            while len(self.messages) < count:
                self._changed.clear()
                await self._changed.wait()
        return list(self.messages)

    def show(self, message: Message) -> None:
        self.messages.append(message)
        self._changed.set()

    async def _writes(self, body: str, more: Mapping[str, str], media: Sequence[Media] = ()) -> str:
        self.last_wrote_at = self._twilio.now()
        if more.get("OptOutType") != "STOP":
            self.opted_out = False
        return await self._twilio.arrives(self, body, more, media)


class TwilioEmulator:
    """One account with one WhatsApp sender. `templates` are its Content templates by SID.

    `base_url` is a mirror that carries all of Twilio; `hosts` are Twilio's own, each with its product only.
    `page_size` bounds the pages of the log; `now` is Twilio's clock.
    """

    def __init__(
        self,
        templates: Mapping[str, Mapping[str, Json]] | None = None,
        *,
        approved: Sequence[str] = (),
        page_size: int = 1000,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.now = now
        self.templates = dict(templates or {})
        self.approved = set(approved)
        self.account_status = "active"
        self.violations: list[str] = []
        self.requests: deque[Received] = deque(maxlen=10_000)
        self.hook_url = ""
        self.hook_statuses: list[int] = []
        self.base_url = ""
        self.hosts: dict[str, str] = {}
        self.storage_url = ""
        self.storage_gives: Callable[[web.Request], web.Response] | None = None
        self.delivers = True
        """Whether webhooks are posted at all; the log is kept in any case."""
        self.people: dict[str, Person] = {}
        self.log: list[Logged] = []
        self.failures: list[tuple[str, int]] = []
        """SID and error code of messages that were taken and then could not be delivered."""
        self._callbacks: dict[str, Message] = {}
        self._recipients: dict[str, str] = {}
        self._page_size = page_size
        self._misbehaviours: deque[Misbehaviour] = deque()
        self._stored: dict[str, Media] = {}
        self._last_hook: list[tuple[str, str]] = []
        self._ports = [0, 0, 0, 0]
        self._runners: list[web.ServerRunner] = []
        self._auth = "Basic " + base64.b64encode(f"{ACCOUNT_SID}:{AUTH_TOKEN}".encode()).decode()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; after a `stop`, on the same ports again, with everything remembered."""
        servers = (
            self._serve(lambda _path: True),
            self._serve_storage,
            self._serve(lambda path: path.startswith("/2010-04-01/")),
            self._serve(lambda path: path.startswith("/v1/Content/")),
        )
        for number, handler in enumerate(servers):
            runner = web.ServerRunner(
                web.Server(handler, access_log=None, handler_cancellation=True), shutdown_timeout=0
            )
            self._ports[number] = await listen(runner, self._ports[number])
            self._runners.append(runner)
        self.base_url = f"http://127.0.0.1:{self._ports[0]}"
        # Another host, as far as credentials are concerned.
        self.storage_url = f"http://localhost:{self._ports[1]}"
        self.hosts = {
            "api.twilio.com": f"http://127.0.0.1:{self._ports[2]}",
            "content.twilio.com": f"http://127.0.0.1:{self._ports[3]}",
        }

    async def stop(self) -> None:
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()

    # -------------------------------------------------------------- for tests

    def person(self, address: str, name: str = "Ольга") -> Person:
        if address not in self.people:
            self.people[address] = Person(self, address, name)
        return self.people[address]

    def fail_next(self, **how: Any) -> None:
        """Spoil the next sends: an honest refusal by `status` and `code`, `drops`, `hangs`, or `body`."""
        self._misbehaviours.append(Misbehaviour(how.pop("times", 1), **how))

    def forgive(self) -> None:
        self._misbehaviours.clear()

    async def repeats(self) -> int:
        """Post the last webhook once more; the status of the answer."""
        return await self._post(self.hook_url, self._last_hook)

    async def posts(self, form: Mapping[str, str], url: str = "", **more: Any) -> int:
        """Post any form, signed unless `signature` is given; the status of the answer."""
        return await self._post(url or self.hook_url, list(form.items()), **more)

    async def tells(self, sid: str, status: str, error_code: int | None = None) -> int:
        """Log a status of a message of ours and post it to the callback that came with it."""
        logged = next(each for each in self.log if each.sid == sid)
        logged.status, logged.error_code, logged.updated_at = status, error_code, self.now()
        message = self._callbacks[sid]
        form = {
            "ChannelPrefix": "whatsapp",
            "ApiVersion": "2010-04-01",
            "MessageStatus": status,
            "SmsSid": sid,
            "SmsStatus": status,
            "ChannelInstallSid": "XE" + "1" * 32,
            "To": self._recipients[sid],
            "From": SENDER,
            "MessageSid": sid,
            "AccountSid": ACCOUNT_SID,
        }
        if status == "read":
            form["EventType"] = "READ"
        if error_code is not None:
            # Twilio leaves the message empty for 63016.
            form |= {"ErrorCode": str(error_code), "ErrorMessage": "", "ChannelStatusMessage": ""}
        return await self._post(message.callback, list(form.items()))

    async def tells_failures(self) -> list[int]:
        """Post what became of messages that were taken and not delivered; the statuses of the answers."""
        told = [await self.tells(sid, "failed", code) for sid, code in self.failures]
        self.failures.clear()
        return told

    def holds(self, media: Media) -> None:
        self._stored[media.sid] = media

    # -------------------------------------------------------------- webhooks

    async def arrives(
        self, person: Person, body: str, more: Mapping[str, str], media: Sequence[Media]
    ) -> str:
        """Take a person's message into the log and post it."""
        sid = ("MM" if media else "SM") + secrets.token_hex(16)
        self.log.append(Logged(sid, person.address, SENDER, body, "inbound", self.now(), media))
        for each in media:
            self.holds(each)
        form = {
            "SmsMessageSid": sid,
            "NumMedia": str(len(media)),
            "ProfileName": person.name,
            "SmsSid": sid,
            "SmsStatus": "received",
            "Body": body,
            "To": SENDER,
            "NumSegments": "1",
            "ReferralNumMedia": "0",
            "MessageSid": sid,
            "AccountSid": ACCOUNT_SID,
            "From": person.address,
            "ApiVersion": "2010-04-01",
            # A parameter that nobody expects and that counts in the signature all the same.
            "ChannelMetadata": "",
            **more,
        }
        number = person.address.removeprefix("whatsapp:+")
        if number.isdigit():
            form["WaId"] = number
        for index, each in enumerate(media):
            form[f"MediaContentType{index}"] = each.media_type
            # The real host, whatever mirror the API is reached by.
            form[f"MediaUrl{index}"] = f"https://api.twilio.com{_MESSAGES}/{sid}/Media/{each.sid}"
        self._last_hook = list(form.items())
        if self.delivers and self.hook_url:
            await self._post(self.hook_url, self._last_hook)
        return sid

    def signature(self, url: str, form: Sequence[tuple[str, str]]) -> str:
        """https://www.twilio.com/docs/usage/security#validating-requests."""
        values: dict[str, set[str]] = {}
        for name, value in form:
            values.setdefault(name, set()).add(value)
        joined = "".join(name + value for name in sorted(values) for value in sorted(values[name]))
        digest = hmac.new(AUTH_TOKEN.encode(), (url + joined).encode(), hashlib.sha1).digest()
        return base64.b64encode(digest).decode()

    async def _post(
        self,
        url: str,
        form: Sequence[tuple[str, str]],
        *,
        signature: str | None = None,
        signed_url: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> int:
        """Post like Twilio: once more when there is no connection, never after an answer of any kind."""
        sent = {
            "Content-Type": f"{_FORM}; charset=UTF-8",
            "User-Agent": "TwilioProxy/1.1",
            "X-Twilio-Signature": signature or self.signature(signed_url or url, form),
            **(headers or {}),
        }
        sent = {name: value for name, value in sent.items() if value}
        for attempt in range(2):
            try:
                async with (
                    aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(HOOK_SECONDS)) as session,
                    session.post(url, data=urlencode(list(form)), headers=sent) as response,
                ):
                    answer = await response.text()
                    if response.status == 200 and (response.content_type, answer) != (
                        "text/xml",
                        "<Response/>",
                    ):
                        self.violations.append("a webhook was not answered with empty TwiML")
                    self.hook_statuses.append(response.status)
                    return response.status
            except aiohttp.ClientConnectorError:
                if attempt:
                    return 0
        return 0

    # -------------------------------------------------------------- the API

    def _serve(
        self, has: Callable[[str], bool]
    ) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
        """A host of the API; `has` tells which paths it knows."""

        async def serve(request: web.BaseRequest) -> web.StreamResponse:
            if not has(request.path):
                return self._refused(Refusal(404, 20404, "The requested resource was not found"))
            try:
                return await self._route(request)
            except Refusal as refusal:
                return self._refused(refusal)

        return serve

    @staticmethod
    def _refused(refusal: Refusal, headers: Mapping[str, str] | None = None) -> web.Response:
        body = {
            "code": refusal.code,
            "message": refusal.message,
            "more_info": f"https://www.twilio.com/docs/errors/{refusal.code}",
            "status": refusal.status,
        }
        return web.json_response(body, status=refusal.status, headers=headers)

    async def _route(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Authorization") != self._auth:
            raise Refusal(401, 20003, "Authenticate")
        method, path = request.method, request.path
        if (method, path) == ("POST", f"{_MESSAGES}.json"):
            return await self._sends(request)
        self.requests.append(Received(method, path, dict(request.query)))
        if method != "GET":
            raise Refusal(405, 20004, "Method not allowed")
        if path == f"/2010-04-01/Accounts/{ACCOUNT_SID}.json":
            return web.json_response({"sid": ACCOUNT_SID, "status": self.account_status, "type": "Full"})
        if path == f"{_MESSAGES}.json":
            return self._lists(request)
        found = re.fullmatch(rf"{re.escape(_MESSAGES)}/(\w+)/Media\.json", path)
        if found:
            return self._lists_media(found[1])
        found = re.fullmatch(rf"{re.escape(_MESSAGES)}/(\w+)/Media/(ME\w+)", path)
        if found and found[2] in self._stored:
            raise web.HTTPTemporaryRedirect(f"{self.storage_url}/{found[2]}?signature=short-lived")
        found = re.fullmatch(r"/v1/Content/(HX\w+)", path)
        if found and found[1] in self.templates:
            return web.json_response({"sid": found[1], "types": self.templates[found[1]], "language": "ru"})
        raise Refusal(404, 20404, "The requested resource was not found")

    def _lists(self, request: web.BaseRequest) -> web.Response:
        query = request.query
        unknown = set(query) - {"To", "From", "DateSent>", "PageSize", "Page", "PageToken"}
        if unknown:
            self.violations.append(f"unknown filters of the log: {sorted(unknown)}")
        since = date.fromisoformat(query["DateSent>"]) if "DateSent>" in query else date.min
        wanted = [
            each
            for each in reversed(self.log)
            if each.created_at.date() >= since
            and query.get("To") in (None, each.recipient)
            and query.get("From") in (None, each.sender)
        ]
        size = min(int(query.get("PageSize", 50)), self._page_size)
        page = int(query.get("Page", 0))
        shown = wanted[page * size : (page + 1) * size]
        following = None
        if len(wanted) > (page + 1) * size:
            rest = {**query, "Page": str(page + 1), "PageToken": "PA" + "0" * 32}
            following = f"{_MESSAGES}.json?{urlencode(rest)}"
        body = {
            "messages": [each.resource() for each in shown],
            "next_page_uri": following,
            "page": page,
            "page_size": size,
            "start": page * size,
            "end": page * size + len(shown) - 1,
            "uri": f"{_MESSAGES}.json?{request.query_string}",
            "first_page_uri": f"{_MESSAGES}.json",
            "previous_page_uri": None,
        }
        return web.json_response(body)

    def _lists_media(self, sid: str) -> web.Response:
        media = next((each.media for each in self.log if each.sid == sid), None)
        if media is None:
            raise Refusal(404, 20404, "The requested resource was not found")
        listed = [
            {
                "sid": each.sid,
                "parent_sid": sid,
                "account_sid": ACCOUNT_SID,
                "content_type": each.media_type,
                "uri": f"{_MESSAGES}/{sid}/Media/{each.sid}.json",
            }
            for each in media
        ]
        return web.json_response(
            {"media_list": listed, "next_page_uri": None, "page": 0, "page_size": 50, "start": 0, "end": 0}
        )

    async def _sends(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.content_type != _FORM:
            self.violations.append(f"a message came as {request.content_type}")
        pairs = parse_qsl(await request.text(), keep_blank_values=True, strict_parsing=True)
        params = dict(pairs)
        self.requests.append(Received("POST", request.path, params))
        if len(params) != len(pairs):
            self.violations.append("a parameter came twice: WhatsApp takes one file a message")
        if set(params) - SHOWN_PARAMS:
            self.violations.append(f"unknown parameters: {sorted(set(params) - SHOWN_PARAMS)}")
        spoilt = self._next_misbehaviour()
        if spoilt and not spoilt.after_effect:
            return await self._misbehave(request, spoilt)
        logged = await self._takes(params)
        if spoilt:
            return await self._misbehave(request, spoilt)
        return web.json_response(logged.resource() | {"status": "queued", "date_sent": None}, status=201)

    def _next_misbehaviour(self) -> Misbehaviour | None:
        if not self._misbehaviours:
            return None
        spoilt = self._misbehaviours[0]
        if spoilt.skips:
            spoilt.skips -= 1
            return None
        spoilt.times -= 1
        if not spoilt.times:
            self._misbehaviours.popleft()
        return spoilt

    async def _misbehave(self, request: web.BaseRequest, spoilt: Misbehaviour) -> web.StreamResponse:
        if spoilt.hangs:
            await asyncio.sleep(60)
        if spoilt.drops:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if spoilt.body is not None:
            return web.Response(
                body=spoilt.body, status=spoilt.status or 201, content_type="application/json"
            )
        headers = {} if spoilt.retry_after is None else {"Retry-After": str(spoilt.retry_after)}
        return self._refused(Refusal(spoilt.status, spoilt.code), headers)

    async def _takes(self, params: Mapping[str, str]) -> Logged:
        """Check a message as Twilio does, and show it to its person."""
        if params.get("From") != SENDER:
            raise Refusal(400, 63007, "Could not find a Channel with the specified From address")
        address = params.get("To", "")
        if not address.startswith("whatsapp:"):
            raise Refusal(400, 21211, f"Invalid 'To' Phone Number: {address}")
        callback = params.get("StatusCallback", "")
        if not re.match(r"https?://[^/_]+(/|$)", callback):
            raise Refusal(400, 21609, "Invalid StatusCallback")
        if sum(name in params for name in ("Body", "ContentSid", "MediaUrl")) != 1:
            self.violations.append("a message is one of text, template and file")
        person = self.people.get(address)
        if person is not None and person.opted_out:
            raise Refusal(400, 21610, "Attempt to send to unsubscribed recipient")
        if len(params.get("Body", "")) > BODY_LENGTH:
            raise Refusal(400, 21617, "The concatenated message body exceeds the 1600 character limit.")
        if params.get("Body", "-").strip() == "":
            raise Refusal(400, 21602, "Message body is required.")
        sid = "SM" + secrets.token_hex(16)
        message = Message(sid, callback=callback)
        if "ContentSid" in params:
            self._fill(message, params["ContentSid"], params.get("ContentVariables", "{}"))
        message.text = message.text or params.get("Body", "")
        failure = await self._fetch(message, params["MediaUrl"]) if "MediaUrl" in params else 0
        logged = Logged(sid, SENDER, address, message.text, "outbound-api", self.now(), status="queued")
        self.log.append(logged)
        self._callbacks[sid], self._recipients[sid] = message, address
        failure = failure or self._unreachable(person, params)
        if failure or person is None:
            self.failures.append((sid, failure or 63024))
        else:
            person.show(message)
        return logged

    def _unreachable(self, person: Person | None, params: Mapping[str, str]) -> int:
        if person is None or person.last_wrote_at is None:
            return 63024
        closed = self.now() - person.last_wrote_at >= WINDOW
        return 63016 if closed and params.get("ContentSid") not in self.approved else 0

    def _fill(self, message: Message, content_sid: str, variables: str) -> None:
        """https://www.twilio.com/docs/content/using-variables-with-content-api."""
        types = self.templates.get(content_sid)
        if types is None:
            raise Refusal(400, 21655, "The ContentSid is Invalid")
        try:
            values = json.loads(variables)
        except ValueError:
            raise Refusal(400, 21656, "The ContentVariables Parameter is invalid") from None
        bad = [
            value
            for value in values.values()
            if not isinstance(value, str) or not value.strip() or re.search(r"[\n\r\t]| {5}", value)
        ]
        kind, template = next(iter(types.items()))
        if bad or set(re.findall(r"\{\{(\w+)\}\}", json.dumps(template))) != set(values):
            raise Refusal(400, 21656, "The ContentVariables Parameter is invalid")

        def filled(text: str) -> str:
            return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], text)

        message.text = filled(template["body"])
        if len(message.text) > TEMPLATE_BODY_LENGTH:
            raise Refusal(400, 21656, "The ContentVariables Parameter is invalid")
        message.is_list = kind == "twilio/list-picker"
        choices = template["items"] if message.is_list else template.get("actions", [])
        longest, most = (ITEM_LENGTH, LIST_ITEMS) if message.is_list else (BUTTON_TITLE_LENGTH, QUICK_REPLIES)
        for choice in choices:
            label, press = filled(choice["item" if message.is_list else "title"]), filled(choice["id"])
            if len(label) > longest or len(press) > BUTTON_ID_LENGTH:
                self.violations.append("a button is too long")
            message.buttons[label] = press
        if len(choices) > most or len(message.buttons) != len(choices):
            self.violations.append("buttons are too many or bear the same label")

    async def _fetch(self, message: Message, url: str) -> int:
        """Fetch a file of ours by its link, HEAD and GET; 0 or the error code."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as session:
            try:
                async with session.head(url) as head, session.get(url) as got:
                    content, media_type = await got.read(), got.content_type
                    if (head.status, got.status) != (200, 200) or head.content_type != media_type:
                        return 63019
                    disposition = got.headers.get("Content-Disposition", "")
            except aiohttp.ClientError:
                return 63019
        if len(content) > (IMAGE_BYTES if media_type.startswith("image/") else MEDIA_BYTES):
            self.violations.append("a file over the limit was sent")
            return 63019
        if media_type == "application/octet-stream":
            return 63021
        parsed = EmailMessage()
        parsed["Content-Disposition"] = disposition
        message.files.append((parsed.get_filename() or "", content))
        return 0

    # -------------------------------------------------------------- storage

    async def _serve_storage(self, request: web.BaseRequest) -> web.StreamResponse:
        if "Authorization" in request.headers:
            self.violations.append("credentials were sent to the storage")
            return web.Response(status=400)
        media = self._stored.get(request.path.strip("/"))
        if media is None:
            return web.Response(status=404)
        return web.Response(body=media.content, content_type=media.media_type)


# ---------------------------------------------------------------------- templates


def quick_reply(count: int) -> dict[str, Json]:
    """The template that the operator creates for `count` buttons."""
    actions = [{"title": f"{{{{{2 * n}}}}}", "id": f"{{{{{2 * n + 1}}}}}"} for n in range(1, count + 1)]
    return {"twilio/quick-reply": {"body": "{{1}}", "actions": actions}}


def list_picker(count: int) -> dict[str, Json]:
    """The template that the operator creates for a list of `count` items."""
    items = [
        {"item": f"{{{{{2 * n}}}}}", "id": f"{{{{{2 * n + 1}}}}}", "description": ""}
        for n in range(1, count + 1)
    ]
    return {"twilio/list-picker": {"body": "{{1}}", "button": "Выбрать", "items": items}}


OUTSIDE: dict[str, Json] = {
    "twilio/text": {"body": "Сообщение от вашей бухгалтерии: {{1}} Чтобы продолжить, ответьте на него."}
}


def sid_of(name: str) -> str:
    """A template's SID, made up of its name."""
    return "HX" + hashlib.md5(quote(name).encode()).hexdigest()
