"""What is given to a person who asks what is kept about them, on both engines."""

import contextlib
import io
import json
import zipfile
from html.parser import HTMLParser

import pytest

from router.model import Role
from storage import casework, person_export
from storage.house import Who
from storage.models import Attachment, FileScan, History, Message, metadata
from storage.person_export import NOT_GIVEN, PARTS
from storage.private import private_file
from storage.roster import NoSuchCard
from tests.storage.firm import Firm
from tests.storage.test_erasure import MARK, erase, full_of_secrets, keep, say, store

__all__ = ["store"]


@pytest.fixture
def firm(database):
    return Firm.open(database)


def given(firm, store, key: str = "maria"):
    """The ZIP of a person, and what was told of it."""
    out = io.BytesIO()
    with firm.database.read() as session:
        told = person_export.write(session, store, firm.house, firm.people[key], firm.clock, out)
    return zipfile.ZipFile(out), told


def data_of(archive: zipfile.ZipFile) -> dict:
    return json.loads(archive.read("data.json"))


def holding(data: dict, mark: str) -> set[str]:
    """The columns that hold these words."""
    return {
        f"{table}.{name}"
        for table, rows in data.items()
        if table in PARTS
        for row in rows
        for name, value in row.items()
        if mark.casefold() in json.dumps(value, ensure_ascii=False).casefold()
    }


# --- which tables ------------------------------------------------------------------------------


def test_every_table_is_given_or_says_why_not():
    assert PARTS.keys() | NOT_GIVEN.keys() == metadata.tables.keys()
    assert not PARTS.keys() & NOT_GIVEN.keys()
    assert all(reason.strip() for reason in NOT_GIVEN.values())


def test_the_page_and_what_is_withheld_name_real_columns():
    for name, part in PARTS.items():
        columns = set(metadata.tables[name].c.keys())
        assert set(part.shown) <= columns - part.withheld, name
        assert part.withheld <= columns, name


# --- what is in it -----------------------------------------------------------------------------


def test_everything_that_would_be_erased_is_given(firm, store):
    full_of_secrets(firm)
    archive, told = given(firm, store)
    found = holding(data_of(archive), MARK)
    assert {"person.name", "person.phone", "person.email", "chat.chat_key", "message.text", "letter.text",
            "request.task", "request.answers", "request.result", "draft.progress", "answer_version.value",
            "inbox_event.payload", "clarification.question", "history.after"} <= found  # fmt: skip
    assert told.rows == sum(len(rows) for name, rows in data_of(archive).items() if name in PARTS)


def test_a_note_of_staff_is_given_and_anothers_words_are_not(firm, store):
    number = firm.accepted_by("anna")
    firm.do(casework.note, "anna", number, "перезвонить Марии", ())
    say(firm, "слова Петра", number=number, who="pyotr")
    say(firm, "слова Марии", number=number)
    texts = [row["text"] for row in data_of(given(firm, store)[0])["message"]]
    assert texts == ["перезвонить Марии", "слова Марии"]
    assert [row["text"] for row in data_of(given(firm, store, "pyotr")[0])["message"]] == ["слова Петра"]


def test_no_key_and_no_digest_of_one_is_given(firm, store):
    full_of_secrets(firm)
    data = data_of(given(firm, store)[0])
    for name, part in PARTS.items():
        for row in data[name]:
            assert not part.withheld & row.keys(), name


@pytest.mark.parametrize(("kind", "told"), [("company", False), ("proprietor", True)])
def test_the_firms_words_on_a_card_are_about_a_sole_proprietor_alone(firm, store, kind, told):
    from storage.models import Client

    client = firm.row(Client, inn="7707083893")
    firm.change(Client, client.id, kind=kind, notes="платит поздно")
    row = data_of(given(firm, store)[0])["client"][0]
    assert row.get("notes") == ("платит поздно" if told else None)


def test_files_come_with_safe_names_and_the_page_links_them(firm, store):
    number = firm.submit()
    digest, other = keep(firm, store, "документ"), keep(firm, store, "другой")
    with firm.database.begin() as session:
        session.add(
            Attachment(
                request_id=number, person_id=firm.people["maria"], sha256=digest, name="../../счёт #1?.pdf",
                size_bytes=3, media_type="application/pdf", purpose="request", created_at=firm.clock,
            )
        )  # fmt: skip
    say(firm, "вот", (other,))
    archive, told = given(firm, store)
    names = [name for name in archive.namelist() if name.startswith("files/")]
    assert (told.files, told.missing, len(names)) == (2, 0, 2)
    assert all(".." not in name and "/" not in name.removeprefix("files/") for name in names)
    assert {archive.read(name).decode() for name in names} == {"документ", "другой"}
    assert data_of(archive)["files"].keys() == {digest, other}
    assert 'href="files/' in archive.read("README.html").decode()


def test_an_infected_file_and_one_that_is_gone_are_named_only(firm, store):
    infected, gone = keep(firm, store, "вирус"), "f" * 64
    say(firm, "вот", (infected, gone))
    with firm.database.begin() as session:
        session.add(FileScan(sha256=infected, state="infected", name="a.pdf", found_at=firm.clock))
    archive, told = given(firm, store)
    assert (told.files, told.missing) == (0, 2)
    assert archive.namelist() == ["data.json", "README.html"]
    assert "заражены вирусом" in archive.read("README.html").decode()


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.addresses: set[str] = set()

    def handle_starttag(self, tag, attributes):
        self.seen.add(tag)
        self.addresses |= {value for name, value in attributes if name in ("href", "src")}


def test_the_page_needs_nothing_and_runs_nothing(firm, store):
    nasty = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    number = firm.submit(task=nasty)
    say(firm, nasty, number=number)
    page = given(firm, store)[0].read("README.html").decode()
    tags = _Tags()
    tags.feed(page)
    assert not tags.seen & {"script", "img", "link", "iframe"}
    assert tags.addresses == set()
    assert "&lt;script&gt;" in page
    assert "Данные человека: Мария" in page


@pytest.mark.parametrize("key", ["anna", "nobody"])
def test_staff_and_nobody_are_not_given(firm, store, key):
    firm.people["nobody"] = 999_999
    with pytest.raises(NoSuchCard):
        given(firm, store, key)


def test_of_an_erased_person_there_is_nothing_to_give(firm, store):
    full_of_secrets(firm)
    erase(firm)
    with pytest.raises(NoSuchCard):
        given(firm, store)


def test_giving_is_written_down(firm, store):
    _archive, told = given(firm, store)
    who = Who("panel", firm.people["elena"], firm.staff["elena"], Role.DIRECTOR, "Елена")
    with firm.database.begin() as session:
        person_export.note_given(session, who, firm.people["maria"], told, firm.clock)
    line = firm.rows(History)[-1]
    assert (line.action, line.subject) == ("data_given", f"person:{firm.people['maria']}")
    assert json.loads(line.after) == {"rows": told.rows, "files": 0}


def test_a_private_file_appears_whole_and_for_us_alone(tmp_path):
    file = tmp_path / "maria.zip"
    with private_file(file) as out:
        out.write(b"x")
        assert not file.exists()
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"x", 0o600)
    with contextlib.suppress(RuntimeError), private_file(file) as out:
        out.write(b"half")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["maria.zip"]
    assert file.read_bytes() == b"x"


def test_what_is_said_about_no_request_is_given_too(firm, store):
    say(firm, "просто спасибо")
    assert firm.rows(Message)
    assert "просто спасибо" in given(firm, store)[0].read("README.html").decode()
