"""What is erased of a person, and what stays, on both engines."""

import hashlib
import json
import os
from datetime import timedelta

import pytest
from sqlalchemy import JSON, String, delete, select, update

from forms.messages import OutgoingFile
from notifications import compose
from router.model import Status
from storage import casework, consents, erasure, history
from storage.erasure import ERASED, NotErasable
from storage.files import FileStore
from storage.house import Who
from storage.invitations import invite_client
from storage.letters import Posting, post
from storage.models import (
    Assignment,
    Attachment,
    CallTask,
    Chat,
    Client,
    ClientPerson,
    Consent,
    Draft,
    FileScan,
    History,
    InboxEvent,
    Invitation,
    Letter,
    Message,
    Person,
    Proposal,
    Request,
    Setting,
    metadata,
)
from storage.roster import Act, CardChanged, NoSuchCard
from tests.storage.firm import MINUTE, MOSCOW, Firm

MARK = "Тайна"
"""Stands in everything that is the person's own; whatever holds it afterwards was forgotten."""


@pytest.fixture
def firm(database):
    return Firm.open(database)


@pytest.fixture
def store(tmp_path):
    return FileStore(tmp_path / "files", 1024 * 1024)


def keep(firm, store, words: str) -> str:
    """Put a file on the disk that came two hours ago."""
    content = words.encode()
    digest = hashlib.sha256(content).hexdigest()
    place = store.folder / digest[:2] / digest[2:4]
    place.mkdir(parents=True, exist_ok=True)
    (place / digest).write_bytes(content)
    came = (firm.clock - timedelta(hours=2)).timestamp()
    os.utime(place / digest, (came, came))
    return digest


def attach(firm, number: int, digest: str, person: str = "maria") -> None:
    with firm.database.begin() as session:
        session.add(
            Attachment(
                request_id=number, person_id=firm.people[person], sha256=digest, name="счёт.pdf",
                size_bytes=3, media_type="application/pdf", purpose="request", created_at=firm.clock,
            )
        )  # fmt: skip


def say(firm, text: str, files: tuple[str, ...] = (), number: int | None = None, who: str = "maria") -> None:
    with firm.database.begin() as session:
        session.add(
            Message(
                chat_id=firm.chats[who], request_id=number, person_id=firm.people[who], direction="in",
                text=text, files=[{"sha256": digest, "name": "a.pdf"} for digest in files],
                event_key=f"{MARK}{text}", message_key=MARK, sent_at=firm.clock, received_at=firm.clock,
            )
        )  # fmt: skip


def carried_out(firm, **form: str) -> int:
    number = firm.accepted_by("anna", **form)
    firm.do(casework.done, "anna", number, f"Готово, {MARK}", ())
    with firm.database.begin() as session:
        casework.rate(session, firm.house, Who("webchat", firm.people["maria"]), number, 5, firm.clock)
    assert firm.request(number).status == Status.CLOSED
    return number


def cancelled(firm, **form: str) -> int:
    number = firm.submit(**form)
    firm.do(casework.cancel, "elena", number, "передумали")
    return number


def full_of_secrets(firm) -> int:
    """A person who has left traces everywhere; returns the number of a request that was carried out."""
    with firm.database.begin() as session:
        person = session.get_one(Person, firm.people["maria"])
        person.name, person.phone, person.email = f"{MARK} Мария", f"+7 900 {MARK}", f"{MARK}@x.example"
        chat = session.get_one(Chat, firm.chats["maria"])
        chat.chat_key, chat.user_key = f"{MARK}:1", MARK
        session.add_all((person, chat))
        session.add(
            Consent(
                person_id=person.id, chat_id=chat.id, version="3", text_sha256="0" * 64, given_at=firm.clock
            )
        )
        session.add(
            Draft(person_id=person.id, progress={"task": MARK}, created_at=firm.clock, updated_at=firm.clock)
        )
        session.add(
            InboxEvent(
                channel="webchat", event_key="e1", chat_id=chat.id, state="waiting",
                payload={"text": MARK}, received_at=firm.clock,
            )
        )  # fmt: skip
    number = firm.accepted_by("anna", task=f"{MARK}: оплатить", goods=f'["{MARK}"]')
    firm.do(casework.clarify, "anna", number, "task", f"{MARK}: сколько?")
    say(firm, f"{MARK}, сто", number=number)
    say(firm, f"{MARK} без заявки")
    firm.do(casework.note, "anna", number, f"{MARK}: звонил сам", ())
    firm.do(casework.answer, "anna", number, f"Здравствуйте, {MARK}", ())
    firm.do(casework.done, "anna", number, f"Готово, {MARK}", ())
    with firm.database.begin() as session:
        casework.rate(session, firm.house, Who("webchat", firm.people["maria"]), number, 5, firm.clock)
    firm.change(Chat, firm.chats["maria"], screen=[[MARK, "press"]])
    return number


def everywhere_else(firm) -> None:
    """The rarer traces: what staff wrote beside the dialogue, and what they were told."""
    person_id, number = firm.people["maria"], cancelled(firm, task=MARK)
    firm.change(Chat, firm.chats["maria"], focus=MARK)
    say(firm, MARK, ("1" * 64,))
    with firm.database.begin() as session:
        session.execute(update(ClientPerson).where(ClientPerson.person_id == person_id).values(post=MARK))
        session.execute(
            update(Message).where(Message.text == MARK).values(files=[{"sha256": "1" * 64, "name": MARK}])
        )
        letter = session.execute(select(Letter).where(Letter.request_id == number)).scalars().first()
        letter.rows, letter.message_key, letter.reason = [[[MARK, "press"]]], MARK, MARK
        letter.files = [{"sha256": "2" * 64, "name": MARK}]
        session.add_all(
            (
                letter,
                FileScan(sha256="1" * 64, state="held", name=MARK, found_at=firm.clock),
                Assignment(request_id=number, by="director", reason=MARK, created_at=firm.clock),
                Proposal(
                    request_id=number, field="task", value=MARK, person_id=person_id, created_at=firm.clock
                ),
                CallTask(person_id=person_id, reason=MARK, outcome=MARK, created_at=firm.clock),
                InboxEvent(
                    channel="webchat", event_key="e2", chat_id=firm.chats["maria"], state="failed",
                    payload={"text": MARK}, received_at=firm.clock,
                ),
            )
        )  # fmt: skip
    attach(firm, number, "3" * 64)
    with firm.database.begin() as session:
        session.execute(update(Attachment).values(name=MARK))
    with firm.database.begin() as session:
        who = Who("webchat", person_id, name=f"{MARK} Мария")
        consents.ask_for_data(session, firm.house, who, firm.clock)
        consents.withdraw(session, firm.house, who, person_id, firm.clock)
        session.merge(
            Draft(person_id=person_id, progress={"task": MARK}, created_at=firm.clock, updated_at=firm.clock)
        )
        history.record(
            session, at=firm.clock, actor_id=person_id, through="webchat", action="corrected",
            subject=f"request:{number}", before={"task": MARK}, after={"task": MARK},
        )  # fmt: skip
    call_for_a_human(firm)
    firm.change(Chat, firm.chats["maria"], screen=[[MARK, "press"]])


def call_for_a_human(firm, who: str = "maria") -> None:
    """As the dialogue does it: the staff are told the name, the telephone and the last words."""
    words = compose.human_call(f"{MARK} {who}", (), MARK, MARK, firm.chats[who])
    failed = compose.failed_message(f"{MARK} {who}", firm.chats[who])
    anna = firm.people["anna"]
    told = [Posting(f"human:webchat:{who}:{anna}", words, person_id=anna)]
    if who == "maria":
        told.append(Posting(f"failed:webchat:e2:{anna}", failed, person_id=anna))
    with firm.database.begin() as session:
        post(session, firm.house, firm.clock, told)
        history.record(
            session, at=firm.clock, actor_id=firm.people[who], through="webchat", action="human_called",
            subject=f"chat:{firm.chats[who]}", before=None, after={"told": 1},
        )  # fmt: skip


def act(firm) -> Act:
    return Act(firm.who("elena", "panel"), firm.clock)


def erase(firm):
    with firm.database.begin() as session:
        return erasure.erase_person(session, act(firm), firm.people["maria"], MOSCOW)


def holding(firm, mark: str) -> set[str]:
    """Every column of every table that still holds these words."""
    found = set()
    with firm.database.read() as session:
        for table in metadata.tables.values():
            for row in session.connection().execute(select(table)).mappings():
                for name, value in row.items():
                    shown = json.dumps(value, ensure_ascii=False, default=str)
                    if mark.casefold() in shown.casefold():
                        found.add(f"{table.name}.{name}")
    return found


def test_no_table_holds_a_word_afterwards_and_the_history_still_holds_together(firm):
    full_of_secrets(firm)
    before = holding(firm, MARK)
    assert {"person.name", "person.phone", "chat.chat_key", "message.text", "letter.text", "request.task",
            "request.answers", "request.search", "request.result", "draft.progress", "answer_version.value",
            "inbox_event.payload", "clarification.question", "chat.screen"} <= before  # fmt: skip
    assert "history.after" in before
    erase(firm)
    assert holding(firm, MARK) == set()
    with firm.database.read() as session:
        assert history.verify(session).ok


STAYS = {
    "attachment.media_type attachment.purpose attachment.sha256": "of files that the law keeps",
    "attachment.name": "goes with the row; the name of a document that the law keeps stays with it",
    "consent.version consent.text_sha256 consent_text.*": "the proof of a consent, without a name",
    "client.*": "the firm's contractor, not the person who writes for it; deleted by itself",
    "history.action history.subject history.through history.values_digest history.previous_hash history.hash":
        "that something was done; the digest is salted, and the salt goes",
    "history.salt": "random, and it goes",
    "request.status request.stage request.kind request.company request.inn request.channel request.question":
        "the work itself",
    "answer_version.field clarification.field proposal.field message.field": "a name of the form",
    "message.direction message.kind": "a code",
    "letter.key": "numbers and codes",
    "letter.state letter.lease_owner stage_interval.stage": "a code",
    "assignment.by assignment.trace": "the router's reasons: members of staff",
    "chat.channel inbox_event.channel inbox_event.state inbox_event.event_key": "which event it was",
    "invitation.*": "a digest and a code",
    "person.consent_version": "a version, and it goes",
    "file_scan.sha256 file_scan.state file_scan.virus": "what the scanner said",
    "staff.* absence.* shift.* panel_session.*": "of members of staff, who are not erased here",
    "firm_setting.* wording.* canned_reply.*": "the firm's own",
    "setting.* process.* ownership.* outage.* copy_run.* throttle.*": "the machine's own",
}  # fmt: skip
"""The columns of text that an erasure leaves, each with the reason."""


def words_of(table) -> set[str]:
    """The columns of a table that can hold words."""
    kinds = ((column.name, getattr(column.type, "impl", column.type)) for column in table.c)
    return {f"{table.name}.{name}" for name, kind in kinds if isinstance(kind, String | JSON)}


def staying() -> set[str]:
    found: set[str] = set()
    for name in (name for names in STAYS for name in names.split()):
        table, _dot, column = name.partition(".")
        found |= words_of(metadata.tables[table]) if column == "*" else {name}
    return found


def test_every_column_that_can_hold_words_is_erased_or_says_why_not(firm):
    full_of_secrets(firm)
    everywhere_else(firm)
    filled = holding(firm, MARK)
    every = set().union(*(words_of(table) for table in metadata.tables.values()))
    assert every - staying() == filled - {"attachment.name"}
    assert "attachment.name" in filled
    with firm.database.begin() as session:
        session.execute(update(Request).where(Request.status != "closed").values(status="cancelled"))
    erase(firm)
    assert holding(firm, MARK) == set()


def test_what_staff_were_told_of_somebody_else_stays(firm):
    everywhere_else(firm)
    call_for_a_human(firm, "pyotr")
    erase(firm)
    assert [row.key for row in firm.rows(Letter) if MARK in row.text] == [
        f"human:webchat:pyotr:{firm.people['anna']}"
    ]


def test_what_the_law_wants_stays(firm):
    number = full_of_secrets(firm)
    before = firm.request(number)
    erase(firm)
    after = firm.request(number)
    for name in (
        "id",
        "kind",
        "inn",
        "company",
        "deadline",
        "submitted_at",
        "done_at",
        "closed_at",
        "rating",
    ):
        assert getattr(after, name) == getattr(before, name), name
    assert after.task == ERASED
    assert after.answers["inn"] == before.inn
    assert after.answers["goods"] == "[]"
    assert after.version == before.version + 1
    assert firm.row(Consent).withdrawn_at == firm.clock
    lines = firm.rows(History, action="person_erased")
    assert {line.subject for line in lines} == {f"person:{firm.people['maria']}", f"request:{number}"}
    assert all(line.actor_id == firm.people["elena"] for line in lines)


def test_nobody_else_loses_a_word(firm):
    full_of_secrets(firm)
    other = firm.submit("pyotr", task="Своё дело")
    say(firm, "Пишет Пётр", number=other, who="pyotr")
    erase(firm)
    assert firm.request(other).task == "Своё дело"
    assert "Пишет Пётр" in {row.text for row in firm.rows(Message)}
    assert firm.row(Person, id=firm.people["pyotr"]).name == "Пётр"
    assert firm.row(Chat, id=firm.chats["pyotr"]).chat_key == "pyotr"


def test_nothing_more_is_sent_to_an_erased_person(firm):
    full_of_secrets(firm)
    erase(firm)
    chat = firm.row(Chat, id=firm.chats["maria"])
    assert (chat.person_id, chat.blocked_at) == (None, firm.clock)
    assert not [row for row in firm.rows(Letter, chat_id=chat.id) if row.state == "todo"]
    assert not firm.rows(ClientPerson, person_id=firm.people["maria"])


def test_an_open_request_keeps_its_person(firm):
    number = firm.submit(task=MARK)
    with firm.database.read() as session:
        found = erasure.preview_person(session, firm.people["maria"], firm.clock, MOSCOW)
    assert found.open_requests == (number,)
    with pytest.raises(NotErasable):
        erase(firm)
    assert firm.request(number).task == MARK


@pytest.mark.parametrize("key", ["anna", "nobody"])
def test_staff_and_nobody_are_not_erased(firm, key):
    person_id = firm.people.get(key, 999_999)
    with firm.database.begin() as session, pytest.raises(NoSuchCard):
        erasure.erase_person(session, act(firm), person_id, MOSCOW)


def test_nobody_is_erased_twice(firm):
    full_of_secrets(firm)
    erase(firm)
    with pytest.raises(NoSuchCard):
        erase(firm)


def test_documents_of_work_stay_for_five_years_and_then_go(firm, store):
    done, dropped = carried_out(firm), cancelled(firm)
    kept, gone = keep(firm, store, "документ"), keep(firm, store, "ненужное")
    attach(firm, done, kept)
    attach(firm, dropped, gone)
    found = erase(firm)
    assert (found.files, found.kept_files) == (1, 1)
    assert erasure.forget_files(firm.database, store, firm.clock) == 1
    assert [path.name for path in store.every_path()] == [kept]
    assert [row.sha256 for row in firm.rows(Attachment)] == [kept]


@pytest.mark.parametrize(("year", "files"), [(2031, 0), (2032, 1)])
def test_the_years_are_counted_from_the_end_of_the_year(firm, year, files):
    attach(firm, carried_out(firm), "0" * 64)
    firm.clock = firm.clock.replace(year=year, month=1, day=5)
    assert erase(firm).files == files


def test_a_file_that_somebody_else_has_too_stays_on_the_disk(firm, store):
    shared, own = keep(firm, store, "общий"), keep(firm, store, "свой")
    say(firm, "вот", (shared, own))
    say(firm, "и у меня", (shared,), who="pyotr")
    erase(firm)
    assert erasure.forget_files(firm.database, store, firm.clock) == 1
    assert [path.name for path in store.every_path()] == [shared]
    assert not [row for row in firm.rows(Setting) if row.key.startswith("erased_file:")]


def test_a_file_that_has_just_come_again_waits(firm, store):
    digest = keep(firm, store, "ещё раз")
    say(firm, "вот", (digest,))
    erase(firm)
    young = firm.clock.timestamp() - 60
    os.utime(store.path(digest), (young, young))
    assert erasure.forget_files(firm.database, store, firm.clock) == 0
    assert erasure.forget_files(firm.database, store, firm.clock + timedelta(hours=2)) == 1
    assert erasure.forget_files(firm.database, store, firm.clock + timedelta(hours=2)) == 0


def test_letters_with_files_are_erased_with_them(firm, store):
    digest = keep(firm, store, "ответ")
    number = firm.accepted_by("anna")
    file = OutgoingFile(digest, "ответ.pdf", "application/pdf", 5)
    firm.do(casework.answer, "anna", number, "вот", (file,))
    firm.do(casework.cancel, "elena", number, "не нужно")
    erase(firm)
    assert all(row.files == [] for row in firm.rows(Letter, request_id=number))
    assert erasure.forget_files(firm.database, store, firm.clock) == 1


# --- A client ------------------------------------------------------------------------------------------


def bare(firm) -> int:
    with firm.database.begin() as session:
        client = Client(name="ООО «Пусто»", inn="7736050003", created_at=firm.clock)
        session.add(client)
        session.flush()
        invite_client(session, "7736050003", firm.clock)
        return client.id


def drop(firm, client_id: int, version: int = 1) -> None:
    with firm.database.begin() as session:
        erasure.delete_client(session, act(firm), client_id, version)


def test_a_bare_client_is_deleted_with_its_unused_invitations(firm):
    client_id = bare(firm)
    firm.clock += MINUTE
    drop(firm, client_id)
    assert not firm.rows(Client, id=client_id)
    assert not firm.rows(ClientPerson, client_id=client_id)
    assert firm.row(Invitation).expires_at == firm.clock
    line = firm.row(History, action="client_deleted")
    assert (line.subject, json.loads(line.before)) == (f"client:{client_id}", {"inn": "7736050003"})


@pytest.mark.parametrize("holds", ["people", "requests"])
def test_a_client_with_anything_else_stays(firm, holds):
    client_id = firm.row(Client, inn="7707083893").id
    if holds == "requests":
        firm.submit()
        with firm.database.begin() as session:
            session.execute(delete(ClientPerson).where(ClientPerson.client_id == client_id))
    with pytest.raises(NotErasable):
        drop(firm, client_id)
    assert firm.rows(Client, id=client_id)


def test_a_card_that_has_changed_meanwhile_stays(firm):
    client_id = bare(firm)
    with pytest.raises(CardChanged):
        drop(firm, client_id, version=7)
    assert firm.rows(Client, id=client_id)
    assert firm.rows(ClientPerson, client_id=client_id)
    assert not firm.rows(Request, client_id=client_id)
