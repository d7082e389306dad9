"""Mail servers on this machine: pymap keeps the mailbox, aiosmtpd takes what is sent.

Both stand behind lines that can be cut. Letters to us are appended to the mailbox as its provider
would do; letters of ours are checked strictly, and what no mail server should be given is a violation.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.policy import default as default_policy
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import Self
from urllib.parse import quote

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from imapclient import IMAPClient

from tests.emulators.listening import PATIENCE_SECONDS, free_port

OWN = "intake@firm.example"
USER = "intake"
PASSWORD = "pa:ss/w@rd of-the-tests"
MAX_BYTES = 25 * 1024 * 1024
LONGEST_LINE = 998


@dataclass
class Line:
    """A port of this machine that leads to another one, until it is cut."""

    target_port: int
    port: int = 0
    bytes_up: int = 0
    refused: set[int] = field(default_factory=set)
    """Letters that the mailbox cannot give out, by UID: their content is answered with a NO."""
    _server: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.hang_up()

    async def hang_up(self) -> None:
        """Break off what is connected; whoever comes anew is let in."""
        for writer in list(self._open):
            writer.transport.abort()
        await asyncio.sleep(0.02)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with suppress(OSError):
            there, back = await asyncio.open_connection("127.0.0.1", self.target_port)
            self._open.add(back)
            try:
                await asyncio.gather(self._pump(reader, back, refuse=writer), self._pump(there, writer))
            finally:
                for each in (writer, back):
                    each.transport.abort()
                    self._open.discard(each)
        writer.transport.abort()
        self._open.discard(writer)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        refuse: asyncio.StreamWriter | None = None,
    ) -> None:
        """Pass bytes on; those of a client, whose answers go to `refuse`, are counted and may be refused."""
        while data := await reader.read(65536):
            self.bytes_up += len(data) if refuse else 0
            tag = self._refused_command(data) if refuse else None
            if refuse is not None and tag is not None:
                refuse.write(tag + b" NO [SERVERBUG] Internal error occurred\r\n")
                await refuse.drain()
                continue
            writer.write(data)
            await writer.drain()
        # Whoever has hung up on one side has hung up on both.
        writer.transport.abort()

    def _refused_command(self, data: bytes) -> bytes | None:
        asked = re.fullmatch(rb"(\S+) UID FETCH (\d+) \(BODY\.PEEK\[\].*\)\r\n", data)
        return asked[1] if asked and int(asked[2]) in self.refused else None


@dataclass(frozen=True)
class Fault:
    """What the next letters meet: a reply at a command, or a broken connection."""

    stage: str
    reply: str = ""
    drops: bool = False
    after_effect: bool = False


@dataclass(frozen=True)
class Received:
    """A letter that was taken from us."""

    recipient: str
    letter: EmailMessage
    raw: bytes

    @property
    def text(self) -> str:
        body = self.letter.get_body(("plain",))
        assert body is not None
        return body.get_content().replace("\r\n", "\n").removesuffix("\n")

    @property
    def files(self) -> list[tuple[str, bytes]]:
        return [(part.get_filename() or "", part.get_content()) for part in self.letter.iter_attachments()]


class MailEmulator:
    """One mailbox of ours, and everybody who writes to it."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.violations: list[str] = []
        self.signed_in = 0
        self._faults: list[Fault] = []
        self._news = asyncio.Condition()
        self._imap: subprocess.Popen[bytes] | None = None
        self._smtp: asyncio.Server | None = None
        self.imap_line = Line(0)
        self.smtp_line = Line(0)
        self._provider: IMAPClient | None = None
        self._refused_password = False

    # ------------------------------------------------------------------ running

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._smtp = await loop.create_server(self._smtp_session, "127.0.0.1", 0)
        self.smtp_line.target_port = self._smtp.sockets[0].getsockname()[1]
        await self.start_mailbox()
        await self.connect()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.disconnect()
        await self.stop_mailbox()
        assert self._smtp is not None
        self._smtp.close()
        assert not self.violations, self.violations

    async def start_mailbox(self) -> None:
        """A mailbox that is made anew has another UIDVALIDITY and nothing in it."""
        with suppress(OSError):
            self.imap_line.target_port = free_port()
        program = Path(sys.executable).with_name("pymap")
        self._imap = subprocess.Popen(
            [
                program, "--host", "127.0.0.1", "--port", str(self.imap_line.target_port), "--no-tls",
                "--no-service", "admin", "dict",
                "--demo-data", "--demo-user", USER, "--demo-password", PASSWORD,
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        await asyncio.to_thread(self._empty_mailbox)

    def _empty_mailbox(self) -> None:
        while True:
            try:
                self._provider = IMAPClient("127.0.0.1", self.imap_line.target_port, ssl=False, timeout=10)
                break
            except OSError:
                assert self._imap is not None
                assert self._imap.poll() is None, "pymap did not start"
        self._provider.login(USER, PASSWORD)
        self._provider.select_folder("INBOX")
        self._provider.delete_messages(self._provider.search("ALL"))
        self._provider.expunge()

    async def stop_mailbox(self) -> None:
        assert self._imap is not None
        if self._provider is not None:
            await asyncio.to_thread(self._provider.shutdown)
        self._imap.terminate()
        await asyncio.to_thread(self._imap.wait)

    async def connect(self) -> None:
        await self.imap_line.start()
        await self.smtp_line.start()

    async def disconnect(self) -> None:
        """Nobody answers, until `connect`."""
        await self.imap_line.cut()
        await self.smtp_line.cut()

    @property
    def imap_url(self) -> str:
        return f"imap://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{self.imap_line.port}/INBOX"

    @property
    def smtp_url(self) -> str:
        return f"smtp://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{self.smtp_line.port}"

    # ------------------------------------------------------------------ the mailbox

    async def put(self, raw: bytes) -> int:
        """Deliver a letter into our mailbox; its UID."""
        assert self._provider is not None
        answer = await asyncio.to_thread(self._provider.append, "INBOX", raw)
        found = re.search(rb"APPENDUID \d+ (\d+)", answer)
        assert found
        return int(found[1])

    async def flags(self) -> dict[int, tuple[bytes, ...]]:
        assert self._provider is not None
        provider = self._provider

        def read() -> dict[int, tuple[bytes, ...]]:
            provider.noop()
            return dict(provider.get_flags(provider.search("ALL")))

        return await asyncio.to_thread(read)

    async def remove(self, uid: int) -> None:
        assert self._provider is not None
        provider = self._provider

        def expunge() -> None:
            provider.noop()
            provider.delete_messages([uid])
            provider.expunge()

        await asyncio.to_thread(expunge)

    def person(self, address: str = "olga@client.example", name: str = "Ольга Смирнова") -> Person:
        return Person(self, address, name)

    # ------------------------------------------------------------------ what is sent

    def fail_next(self, fault: Fault, *, times: int = 1) -> None:
        self._faults += [fault] * times

    def forgive(self) -> None:
        self._faults.clear()

    async def taken(self, count: int) -> list[Received]:
        """All letters of ours, once they are at least so many."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._news:
            await self._news.wait_for(lambda: len(self.received) >= count)
        return self.received

    def _smtp_session(self) -> SMTP:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about AUTH without TLS
            return SMTP(
                self, hostname="mx.firm.example", auth_required=True, auth_require_tls=False,
                authenticator=self._authenticate, data_size_limit=MAX_BYTES, loop=asyncio.get_running_loop(),
            )  # fmt: skip

    def _meets(self, stage: str) -> Fault | None:
        if self._faults and self._faults[0].stage == stage:
            return self._faults.pop(0)
        return None

    def _authenticate(
        self, _server: SMTP, session: Session, _envelope: Envelope, _mechanism: str, data: object
    ) -> AuthResult:
        # A refused client tries the next mechanism in the same session.
        fault = getattr(session, "fault", None) or self._meets("AUTH")
        session.fault = fault
        if fault is not None:
            return AuthResult(success=False, handled=False, message=fault.reply)
        good = (getattr(data, "login", b""), getattr(data, "password", b"")) == (
            USER.encode(),
            PASSWORD.encode(),
        )
        self.signed_in += good
        return AuthResult(success=good, handled=False)

    async def handle_MAIL(self, server, _session, envelope, address, _options) -> str:  # noqa: N802
        if address != OWN:
            return "553 5.7.1 Sender address rejected: not owned by user"
        envelope.mail_from = address
        return self._reply(server, "MAIL", "250 OK")

    async def handle_RCPT(self, server, _session, envelope, address, _options) -> str:  # noqa: N802
        envelope.rcpt_tos.append(address)
        return self._reply(server, "RCPT", "250 OK")

    async def handle_DATA(self, server, _session, envelope) -> str:  # noqa: N802
        fault = self._faults[0] if self._faults and self._faults[0].stage == "DATA" else None
        if fault is None or fault.after_effect:
            self._check(envelope)
            letter = message_from_bytes(envelope.content, policy=default_policy)
            async with self._news:
                self.received.append(Received(envelope.rcpt_tos[0], letter, envelope.content))
                self._news.notify_all()
        return self._reply(server, "DATA", "250 2.0.0 taken")

    def _reply(self, server: SMTP, stage: str, otherwise: str) -> str:
        fault = self._meets(stage)
        if fault is None:
            return otherwise
        if fault.drops:
            server.transport.abort()
        return fault.reply or otherwise

    def _check(self, envelope: Envelope) -> None:
        raw = envelope.content
        assert isinstance(raw, bytes)
        letter = message_from_bytes(raw, policy=default_policy)
        for name in ("From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Auto-Submitted"):
            if len(letter.get_all(name, [])) != 1:
                self.violations.append(f"{len(letter.get_all(name, []))} headers {name}")
        if [each.addr_spec for each in letter["From"].addresses] != [OWN]:
            self.violations.append(f"From: {letter['From']}")
        if [each.addr_spec for each in letter["To"].addresses] != envelope.rcpt_tos:
            self.violations.append(f"To: {letter['To']}, to {envelope.rcpt_tos}")
        if not re.fullmatch(r"<[^\s<>@]+@[^\s<>@]+>", str(letter["Message-ID"]).strip()):
            self.violations.append(f"Message-ID: {letter['Message-ID']}")
        if any(len(line) > LONGEST_LINE for line in raw.split(b"\r\n")) or re.search(rb"(?<!\r)\n", raw):
            self.violations.append("a line is too long or badly ended")
        if not raw.isascii():
            self.violations.append("8-bit bytes that the server has not asked for")
        self.violations += [str(defect) for part in letter.walk() for defect in part.defects]
        if letter.get_body(("plain",)) is None or letter.get_body(("html",)) is None:
            self.violations.append("a letter needs plain text and a page")


@dataclass
class Person:
    """Somebody with a mail program."""

    emulator: MailEmulator
    address: str
    name: str
    last: bytes = b""

    def letter(
        self,
        text: str,
        *,
        subject: str = "Re: Заявка",
        files: dict[str, bytes] | None = None,
        **headers: str,
    ) -> EmailMessage:
        letter = EmailMessage(policy=SMTP_POLICY.clone(cte_type="7bit"))
        letter["From"] = f'"{self.name}" <{self.address}>'
        letter["To"] = OWN
        letter["Subject"] = subject
        letter["Date"] = formatdate()
        letter["Message-ID"] = make_msgid(domain=self.address.partition("@")[2])
        for name, value in headers.items():
            letter[name.replace("_", "-")] = value
        letter.set_content(text, cte="base64" if "\0" in text else None)
        for name, content in (files or {}).items():
            letter.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
        return letter

    async def writes(self, text: str, **parts: object) -> None:
        await self.sends(self.letter(text, **parts).as_bytes())  # type: ignore[arg-type]

    async def sends(self, raw: bytes) -> None:
        self.last = raw
        await self.emulator.put(raw)

    async def repeats(self) -> None:
        await self.emulator.put(self.last)
