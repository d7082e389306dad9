"""A virus is refused, told of and never given out; what was not looked at is held back, or marked."""

import hashlib
import io
import json
from dataclasses import replace
from datetime import timedelta

import pytest

from app.server import Reports, create_app
from bots.base import Limits
from bots.checked import Checked
from bots.fetching import Fetcher
from forms.messages import FileRole, Inbound, InboundKind, IncomingFile, OutgoingFile
from notifications.outbox import Parcel, Sent
from storage.files import FileLinks, FileStore
from storage.models import Attachment, FileScan, History, Letter
from storage.scanning import (
    HELD,
    INFECTED,
    PASSED,
    Clamd,
    Gate,
    ScannerSilent,
    instead_of_file,
    look_again,
    tell,
    withheld,
)
from tests.admin.office import NOW
from tests.emulators.clamd import EICAR, STREAM_MAX_BYTES, clamd
from tests.security.asking import get

PDF = b"%PDF-1.4\n%%EOF\n"
SICK = PDF + EICAR


@pytest.fixture
def scanner():
    with clamd() as running:
        yield running


def gate_of(office, address, *, timeout_seconds=30, **how) -> Gate:
    clamd_there = Clamd(address, timeout_seconds=timeout_seconds)
    return Gate(clamd_there, office.files, office.database, lambda: office.clock, **how)


def kept(office, content=PDF, name="счёт.pdf"):
    return office.files.keep_sync(content, name)


def state_of(office, sha256) -> str | None:
    with office.database.read() as session:
        row = session.get(FileScan, sha256)
        return row.state if row else None


# --- the scanner itself ---------------------------------------------------------------------------------


def test_it_tells_a_virus_by_name_and_a_clean_file_by_nothing(scanner):
    line = Clamd(scanner.address)
    assert line.virus_in(io.BytesIO(EICAR)) == "Eicar-Signature"
    assert line.virus_in(io.BytesIO(PDF)) is None
    assert line.virus_in(io.BytesIO(b"")) is None
    line.ping()


def test_it_is_reached_through_a_socket_in_the_file_system(tmp_path):
    with clamd(tmp_path / "clamd.ctl") as running:
        assert Clamd(running.address).virus_in(io.BytesIO(SICK)) == "Eicar-Signature"


def test_a_virus_in_the_last_byte_of_the_biggest_file_is_found(scanner):
    content = bytes(20 * 1024 * 1024 - len(EICAR)) + EICAR
    assert Clamd(scanner.address).virus_in(io.BytesIO(content)) == "Eicar-Signature"
    assert scanner.scanned == [len(content)]


@pytest.mark.parametrize(
    "says",
    [b"", b"stream: O", b"INSTREAM size limit exceeded. ERROR\0", b"HTTP/1.1 400 OK\r\n\0", b"\xff" * 9000],
    ids=["hangs up", "cut short", "refuses", "another server", "noise"],
)
def test_what_is_no_verdict_is_never_taken_for_clean(scanner, says):
    scanner.says = says
    with pytest.raises(ScannerSilent):
        Clamd(scanner.address).virus_in(io.BytesIO(PDF))


def test_one_that_never_answers_is_given_up(scanner):
    scanner.is_mute = True
    with pytest.raises(ScannerSilent, match="no answer"):
        Clamd(scanner.address, timeout_seconds=0.3).virus_in(io.BytesIO(PDF))


def test_a_stream_that_is_too_long_for_it_is_no_verdict(scanner):
    with pytest.raises(ScannerSilent):
        Clamd(scanner.address).virus_in(io.BytesIO(bytes(STREAM_MAX_BYTES + 1)))


def test_nobody_there_is_no_verdict():
    with pytest.raises(ScannerSilent):
        Clamd("127.0.0.1:1").ping()


def test_a_hostile_name_of_a_virus_is_cut_and_cleaned(scanner):
    scanner.says = b"stream: Evil\r\n\x1b[2J" + b"A" * 500 + b" FOUND\0"
    found = Clamd(scanner.address).virus_in(io.BytesIO(PDF))
    assert found is not None
    assert found.isprintable()
    assert len(found) <= 100


# --- at the door ----------------------------------------------------------------------------------------


def test_an_infected_file_is_refused_forgotten_and_told_of_once(office, scanner):
    gate = gate_of(office, scanner.address)
    judged = gate(kept(office, SICK))
    assert not judged.verdict.accepted
    assert judged.sha256 == ""
    assert "вирус" in office.house.say(judged.verdict.reason)
    digest = hashlib.sha256(SICK).hexdigest()
    assert state_of(office, digest) == INFECTED
    assert list(office.files.every_digest()) == []
    for _minute in range(3):
        with office.database.begin() as session:
            tell(session, office.house, office.clock)
    told = [letter for letter in office.all(Letter) if letter.key.startswith("virus:")]
    assert {letter.person_id for letter in told} == {
        office.persons[n] for n in ("director", "deputy", "admin")
    }
    assert "Eicar-Signature" in told[0].text
    found = office.all(History, action="virus_found")
    assert [json.loads(row.after) for row in found] == [{"virus": "Eicar-Signature"}]


def test_a_clean_file_leaves_no_trace(office, scanner):
    judged = gate_of(office, scanner.address)(kept(office))
    assert judged.verdict.accepted
    assert state_of(office, judged.sha256) is None


@pytest.mark.parametrize(("holds", "state", "closed"), [(True, HELD, True), (False, PASSED, False)])
def test_without_a_scanner_a_file_is_held_or_passed_with_a_mark(busy, scanner, holds, state, closed):
    office, numbers = busy
    scanner.stop()
    gate = gate_of(office, scanner.address, holds=holds)
    file_id = office.attach(numbers["working"], content=PDF + b"new")
    judged = gate(kept(office, PDF + b"new"))
    assert judged.verdict.accepted
    assert state_of(office, judged.sha256) == state
    page = office.browser("director").page(f"/panel/requests/{numbers['working']}/")
    assert "не проверен на вирусы" in page
    answer = office.browser("anna").get(f"/panel/requests/{numbers['working']}/files/{file_id}")
    assert answer.status_code == (409 if closed else 200)
    assert (PDF in answer.data) is not closed
    # It comes back: the file is looked at, and everything is as if nothing had been.
    scanner.start()
    assert look_again(gate_of(office, scanner.address, holds=holds)) == 1
    assert state_of(office, judged.sha256) is None
    assert (
        office.browser("anna").get(f"/panel/requests/{numbers['working']}/files/{file_id}").status_code == 200
    )


def test_a_virus_found_later_closes_the_file_for_ever_and_names_its_requests(busy, scanner):
    office, numbers = busy
    scanner.stop()
    gate_of(office, scanner.address)(kept(office, SICK))
    file_id = office.attach(numbers["working"], content=SICK)
    scanner.start()
    assert look_again(gate_of(office, scanner.address)) == 1
    with office.database.begin() as session:
        tell(session, office.house, office.clock)
    [letter, *_others] = [letter for letter in office.all(Letter) if letter.key.startswith("virus:")]
    assert f"№ {numbers['working']}" in letter.text
    answer = office.browser("director").get(f"/panel/requests/{numbers['working']}/files/{file_id}")
    assert answer.status_code == 409
    assert EICAR not in answer.data
    assert look_again(gate_of(office, scanner.address)) == 0


def test_a_scanner_that_stays_silent_is_told_once_a_day(office, scanner):
    scanner.stop()
    gate_of(office, scanner.address)(kept(office))

    def told(at) -> int:
        with office.database.begin() as session:
            return tell(session, office.house, at)

    assert told(NOW) == 0
    assert told(NOW + timedelta(minutes=6)) == 3
    assert told(NOW + timedelta(minutes=7)) == 0
    assert told(NOW + timedelta(days=1)) == 3
    letter = next(letter for letter in office.all(Letter) if letter.key.startswith("scanner:"))
    assert "не отвечает" in letter.text


def test_the_panel_refuses_what_staff_attach_by_the_same_rule(busy, scanner):
    office, numbers = busy
    extension = office.app.extensions["priem"]
    office.app.extensions["priem"] = replace(extension, gate=gate_of(office, scanner.address))
    answer = office.browser("anna").send(
        f"/panel/requests/{numbers['working']}/do/answer", text="вот",
        version=office.request(numbers["working"]).version, files=(io.BytesIO(SICK), "счёт.pdf"),
    )  # fmt: skip
    assert answer.status_code in (404, 422), answer.status_code
    if answer.status_code == 422:
        assert "вирус" in answer.get_data(as_text=True)
    assert not [row for row in office.all(Attachment) if row.sha256 == hashlib.sha256(SICK).hexdigest()]


# --- on the way in and out ------------------------------------------------------------------------------


class _Messenger:
    """The end of a channel: what it was given."""

    name = "post"
    limits = Limits(text_length=200)

    def __init__(self, content: bytes = b""):
        self.content, self.sent = content, []

    async def send(self, parcel: Parcel):
        self.sent.append(parcel)
        return Sent("1")

    async def open_file(self, _file):
        yield self.content


@pytest.mark.parametrize(("content", "accepted"), [(SICK, False), (PDF, True)], ids=["virus", "clean"])
async def test_what_a_messenger_brings_passes_the_gate(office, scanner, content, accepted):
    gate = gate_of(office, scanner.address)
    fetcher = Fetcher(office.database, {"post": _Messenger(content)}, office.files, None, gate)
    file = IncomingFile("ref", "счёт.pdf", len(content), role=FileRole.DOCUMENT)
    inbound = Inbound("post", "1", "u", "c", NOW, InboundKind.FILE, files=(file,))
    found = await fetcher._fetch(inbound, file)
    assert (found.refusal is None) is accepted
    assert bool(found.sha256) is accepted


async def test_delivery_puts_a_sentence_in_place_of_the_file(office, scanner):
    scanner.stop()
    held = gate_of(office, scanner.address)(kept(office))
    clean = kept(office, PDF + b"clean", "договор.pdf")
    post = _Messenger()
    checked = Checked(post, office.database, office.house.say)
    files = tuple(OutgoingFile(each.sha256, each.name, "application/pdf", 10) for each in (held, clean))
    await checked.send(Parcel("k", "c", "Ваш ответ", files=files))
    [parcel] = post.sent
    assert [file.name for file in parcel.files] == ["договор.pdf"]
    assert parcel.text == "Ваш ответ\n" + office.house.say(instead_of_file("счёт.pdf", HELD))
    # The words that belong to the file matter more than why it is missing.
    await checked.send(Parcel("k2", "c", "я" * 199, files=files[:1]))
    assert (post.sent[-1].text, post.sent[-1].files) == ("я" * 199, ())
    with office.database.read() as session:
        assert withheld(session, [held.sha256, clean.sha256]) == {held.sha256: HELD}


async def test_a_link_to_a_file_that_is_held_opens_nothing(tmp_path):
    store, links = FileStore(tmp_path, 10**6), FileLinks("a key that is long enough")
    sha256 = store.keep_sync(PDF, "a.pdf").sha256
    closed = {sha256}
    app = create_app([], None, Reports(None, None), links, store, lambda: NOW, closed.__contains__)
    link = links.make(sha256, "a.pdf", NOW, 60)
    assert (await get(app, link)).status == 409
    closed.clear()
    answer = await get(app, link)
    assert (answer.status, answer.body) == (200, PDF)
