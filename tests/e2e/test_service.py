"""`priem run` and the other commands as processes on one folder, as an operator uses them."""

from __future__ import annotations

import asyncio
import csv
import http.client
import io
import json
import os
import re
import socket
from collections.abc import AsyncIterator, Iterator, MutableMapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from app.server import MAX_BODY_BYTES, BodyLimit
from app.service import open_service
from app.settings import load
from storage import migrate
from storage.files import FileLinks
from tests.channels.harness import free_address
from tests.e2e.conftest import PRIEM, Running, clean_environment, has_printed_links, running

SECRET_KEY = "Zq4-f81mmP0_kd93Hc7w"
INN = "7707083893"
ASK_SECONDS = 10
COMMAND_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    code: int
    output: bytes
    said: str

    @property
    def text(self) -> str:
        return self.output.decode()


@dataclass(frozen=True, slots=True)
class Office:
    """A folder with a configuration, where `priem` is run."""

    folder: Path
    port: int

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @asynccontextmanager
    async def runs(self) -> AsyncIterator[Running]:
        arguments = ("run", "--config", str(self.config))
        async with running(arguments, self.folder, self._is_healthy) as service:
            yield service

    async def _is_healthy(self, _service: Running) -> bool:
        try:
            return (await self.ask("/health")).status == 200
        except OSError:
            return False

    async def ask(
        self, path: str, method: str = "GET", body: bytes | Iterator[bytes] | None = None, **headers: str
    ) -> Answer:
        return await asyncio.to_thread(self._ask, method, path, body, headers)

    def _ask(
        self, method: str, path: str, body: bytes | Iterator[bytes] | None, headers: dict[str, str]
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ASK_SECONDS)
        try:
            try:
                connection.request(method, path, body, headers, encode_chunked=not isinstance(body, bytes))
            except (BrokenPipeError, ConnectionResetError):
                # Refused while we were still sending: the answer is there all the same.
                assert body is not None
            found = connection.getresponse()
            return Answer(found.status, {k.lower(): v for k, v in found.getheaders()}, found.read())
        finally:
            connection.close()

    async def does(self, *arguments: str) -> Done:
        return await command(self.folder, *arguments, "--config", str(self.config))


async def command(folder: Path, *arguments: str) -> Done:
    process = await asyncio.create_subprocess_exec(
        str(PRIEM),
        *arguments,
        cwd=folder,
        env=clean_environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(COMMAND_SECONDS):
        output, said = await process.communicate()
    assert process.returncode is not None
    return Done(process.returncode, output, said.decode())


@pytest.fixture
def office(tmp_path: Path) -> Office:
    port = int(free_address().rpartition(":")[2])
    office = Office(tmp_path, port)
    office.config.write_text(
        f"""
        [firm]
        name = "Баланс Актив"
        [server]
        port = {port}
        public_url = "http://127.0.0.1:{port}"
        secret_key = "{SECRET_KEY}"
        [bots.webchat]
        """,
        encoding="utf-8",
    )
    office.config.chmod(0o600)
    return office


async def test_the_service_tells_how_it_is(office: Office) -> None:
    async with office.runs() as service:
        health = await office.ask("/health")
        assert health.headers["content-type"] == "application/json"
        page = json.loads(health.body)
        assert page["status"] == "ok"
        assert page["database"]["ok"] is True
        assert page["channels"]["webchat"]["reachable"] is True
        metrics = await office.ask("/metrics")
        assert metrics.status == 200
        assert 'priem_channel_reachable{channel="webchat"} 1.0' in metrics.text
        assert await service.stops() == 0
        assert [json.loads(line)["level"] for line in service.log.splitlines()] == ["info", "info"]


async def test_what_is_not_there_is_not_found(office: Office) -> None:
    paths = (
        "/nothing",
        "/hooks/telegram",
        "/hooks/",
        "/calendar/nobody.ics",
        "/panelling",
        "/chat/no/such/page",
        "/files/",
        "/files/forged",
        "/files/%00",
        "/%ff",
        "/..%2f..%2fconfig.toml",
    )
    async with office.runs() as service:
        answers = {path: await office.ask(path) for path in paths}
        assert {path: answer.status for path, answer in answers.items()} == dict.fromkeys(paths, 404)
        told = "".join(answer.text for answer in answers.values())
        assert "Traceback" not in told + service.log
        assert SECRET_KEY not in told


async def test_a_page_of_the_panel_asks_to_sign_in(office: Office) -> None:
    async with office.runs():
        answer = await office.ask("/panel/requests/")
        assert answer.status == 302
        assert "/panel/sign-in" in answer.headers["location"]


async def test_links_to_files_expire_and_cannot_be_forged(office: Office) -> None:
    now = datetime.now(UTC)
    ours, theirs = FileLinks(SECRET_KEY), FileLinks("another key of the same length")
    async with office.runs():
        expired = ours.make("0" * 64, "счёт.pdf", now - timedelta(days=2), 24 * 3600)
        assert (await office.ask(expired)).status == 410
        forged = theirs.make("0" * 64, "счёт.pdf", now, 3600)
        assert (await office.ask(forged)).status == 404
        gone = ours.make("0" * 64, "счёт.pdf", now, 3600)
        assert (await office.ask(gone)).status == 404


async def test_a_body_that_is_too_large_is_refused(office: Office) -> None:
    async with office.runs() as service:
        announced = await office.ask("/panel/sign-in", "POST", b"x" * (MAX_BODY_BYTES + 1))
        assert announced.status == 413
        page = await office.ask("/chat")
        cookie = page.headers["set-cookie"].partition(";")[0]
        origin = f"http://127.0.0.1:{office.port}"
        # A stranger may not upload at all; that a hidden size is counted shows the next test.
        early = await office.ask("/chat/upload", "POST", b"%PDF-1.4", Cookie=cookie, Origin=origin)
        assert early.status == 403
        assert (await office.ask("/health")).status == 200
        assert "Traceback" not in service.log


@pytest.mark.parametrize(
    ("sizes", "status"), [([4, 4], 200), ([4, 5], 413), ([9], 413), ([9, 9], 413)], ids=str
)
async def test_a_hidden_size_is_counted(sizes: Sequence[int], status: int) -> None:
    async def length(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(len(await request.body())))

    routes = [Route("/", length, methods=["POST"])]
    app = Starlette(routes=routes, middleware=[Middleware(BodyLimit, max_bytes=8)])
    messages = iter(
        [
            {"type": "http.request", "body": b"x" * size, "more_body": number < len(sizes)}
            for number, size in enumerate(sizes, start=1)
        ]
    )
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return next(messages)

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
    await app(scope, receive, send)
    assert sent[0]["status"] == status


async def test_a_second_start_finds_everything(office: Office) -> None:
    clients = office.folder / "clients.csv"
    clients.write_text(f"Название;ИНН\nООО «Ромашка»;{INN}\n", encoding="utf-8")
    async with office.runs() as service:
        imported = await office.does("import", "clients", str(clients))
        assert (imported.code, imported.said) == (0, "")
        assert "Added 1" in imported.text
        assert await service.stops() == 0
    async with office.runs() as service:
        again = await office.does("import", "clients", str(clients))
        assert "Added 0" in again.text
        assert await service.stops() == 0


async def test_a_start_sweeps_what_was_left_half_written(office: Office) -> None:
    settings = load(office.config)
    settings.storage.files.mkdir()
    migrate.migrate(settings.storage.url)
    old, fresh = (settings.storage.files / f".arriving-{name}" for name in ("old", "fresh"))
    for path, age_seconds in ((old, 7200), (fresh, 60)):
        path.write_bytes(b"half")
        written_at = datetime.now(UTC).timestamp() - age_seconds
        os.utime(path, (written_at, written_at))
    with socket.socket() as port:
        await open_service(settings, port).database.close()
    assert (old.exists(), fresh.exists()) == (False, True)


async def test_commands_work_beside_the_service(office: Office) -> None:
    async with office.runs() as service:
        checked = await office.does("check")
        assert checked.code == 0, checked.text
        assert "database: answers" in checked.text
        invited = await office.does("invite", "accountant", "--name", "Анна Петрова", "--email", "a@b.ru")
        assert invited.code == 0, invited.said
        assert re.search(r"^code: [A-Z0-9]{20}$", invited.text, re.MULTILINE)
        link = re.search(r"^panel: (http\S+)$", invited.text, re.MULTILINE)
        assert link is not None
        opened = await office.ask(link[1].partition(str(office.port))[2])
        assert opened.status == 200
        assert "Придумайте пароль" in opened.text
        refused = await office.does("invite", "client", "--inn", "7707083894")
        assert refused.code == 1
        assert_one_sentence(refused)
        assert "Traceback" not in service.log


async def test_requests_are_exported_while_the_demo_works(tmp_path: Path) -> None:
    port = free_address().rpartition(":")[2]
    data = tmp_path / "data"
    async with running(("demo", "--port", port, "--data", str(data)), tmp_path, has_printed_links):
        config = data / "config.toml"
        key = (data / "secret.key").read_text(encoding="utf-8")
        config.write_text(f'[firm]\nname = "Б"\n[server]\nsecret_key = "{key}"\n', encoding="utf-8")
        exports = [
            await command(data, "export", "requests", "--format", shape, "--config", str(config))
            for shape in ("json", "csv", "xlsx")
        ]
    assert [(done.code, done.said) for done in exports] == [(0, "")] * 3
    as_json, as_csv, as_xlsx = exports
    numbers = [request["number"] for request in json.loads(as_json.output)]
    assert len(numbers) == len(set(numbers)) > 50
    rows = list(csv.DictReader(io.StringIO(as_csv.output.decode("utf-8-sig"))))
    assert [int(row["number"]) for row in rows] == numbers
    sheet = load_workbook(io.BytesIO(as_xlsx.output), read_only=True).active
    assert sheet is not None
    assert sum(1 for _row in sheet.iter_rows()) == len(numbers) + 1


@pytest.mark.parametrize("what", ["run", "demo"])
async def test_a_taken_port_is_one_sentence(office: Office, what: str) -> None:
    with socket.create_server(("127.0.0.1", office.port)):
        if what == "run":
            done = await office.does("run")
        else:
            done = await command(office.folder, "demo", "--port", str(office.port), "--data", "data")
    assert done.code == 1
    assert_one_sentence(done)
    assert str(office.port) in done.said
    assert not list(office.folder.rglob("*.sqlite3"))


async def test_a_second_process_does_not_disturb_the_first(office: Office) -> None:
    async with office.runs() as service:
        second = await office.does("run")
        assert second.code == 1
        assert_one_sentence(second)
        assert (await office.ask("/health")).status == 200
        assert await service.stops() == 0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "config.toml"),
        ("[firm\n", "config.toml"),
        ('[firm]\nname = "Б"\n', "server"),
        ('[firm]\nnam = "Б"\n[server]\nsecret_key = "0123456789abcdef"\n', "name"),
        ('[firm]\nname = "Б"\n[server]\nsecret_key = "short"\n', "secret_key"),
        ('[firm]\nname = "Б"\n[server]\nsecret_key = "0123456789abcdef"\n[bots.telegram]\n', "token"),
    ],
    ids=["missing", "not TOML", "no section", "unknown key", "short secret", "no token"],
)
async def test_a_bad_configuration_is_one_sentence(office: Office, content: str | None, says: str) -> None:
    if content is None:
        office.config.unlink()
    else:
        office.config.write_text(content, encoding="utf-8")
    done = await office.does("run")
    assert done.code == 1
    assert_one_sentence(done)
    assert says in done.said


def assert_one_sentence(done: Done) -> None:
    assert "Traceback" not in done.said
    assert len(done.said.strip().splitlines()) == 1, done.said
    assert not done.output
