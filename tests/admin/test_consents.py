"""The journal of consents, a consent taken back on paper, and what is given to a person who asks."""

import csv
import io
import json
import zipfile

import pytest

from storage.models import Consent, ConsentText, Draft, History, Letter, Person

OLD, NEW = "a" * 64, "b" * 64


@pytest.fixture
def agreed(office):
    """Two people agreed to the old words, one of them took it back; a third agreed to the new ones."""
    with office.database.begin() as session:
        for digest, version in ((OLD, "1"), (NEW, "2")):
            session.add(
                ConsentText(
                    sha256=digest,
                    version=version,
                    text=f"Слова версии {version}",
                    first_shown_at=office.clock,
                )
            )
        for number, (digest, version) in enumerate(((OLD, "1"), (OLD, "1"), (NEW, "2"))):
            session.add(
                Consent(
                    person_id=office.speakers[number], chat_id=office.chats[number], version=version,
                    text_sha256=digest, given_at=office.clock,
                    withdrawn_at=office.clock if number == 1 else None,
                )
            )  # fmt: skip
    return office


def names_on(page: str) -> list[str]:
    return [name for number in range(3) if (name := f"Клиент {number}") in page]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["Клиент 0", "Клиент 1", "Клиент 2"]),
        ("version=1", ["Клиент 0", "Клиент 1"]),
        ("q=клиент+2", ["Клиент 2"]),
        ("in_force=1", ["Клиент 0", "Клиент 2"]),
        ("version=7", []),
        ("after=junk", ["Клиент 0", "Клиент 1", "Клиент 2"]),
    ],
    ids=["all", "version", "words", "in force", "unknown version", "junk"],
)
def test_the_journal_is_filtered(agreed, query, names):
    assert names_on(agreed.browser("director").page(f"/panel/consents/?{query}")) == names


def test_one_persons_consents_and_the_words_of_a_version(agreed):
    page = agreed.browser("admin").page(f"/panel/consents/?person={agreed.speakers[2]}")
    assert names_on(page) == ["Клиент 2"]
    assert "Слова версии 1" in page
    assert "действуют: 1 из 2" in page


def test_a_long_journal_is_leafed_through(agreed):
    with agreed.database.begin() as session:
        for _each in range(60):
            session.add(
                Consent(
                    person_id=agreed.speakers[0], chat_id=agreed.chats[0], version="1", text_sha256=OLD,
                    given_at=agreed.clock,
                )
            )  # fmt: skip
    browser = agreed.browser("director")
    assert names_on(browser.page("/panel/consents/")) == ["Клиент 0"]
    assert names_on(browser.page("/panel/consents/?last=1")) == ["Клиент 0", "Клиент 1", "Клиент 2"]


def test_the_journal_is_a_file_too(agreed):
    answer = agreed.browser("director").get("/panel/consents/?format=csv&version=1")
    rows = list(csv.reader(io.StringIO(answer.data.decode("utf-8-sig")), delimiter=";"))
    assert [row[1] for row in rows[1:]] == ["Клиент 1", "Клиент 0"]
    assert agreed.all(History)[-1].action == "exported"


def withdrawal(office, client: int = 0) -> str:
    return f"/panel/consents/client/{office.clients[client]}/person/{office.speakers[client]}/withdraw"


def test_a_withdrawal_on_paper_is_confirmed_once_and_written_down(busy):
    office, numbers = busy
    with office.database.begin() as session:
        session.add(
            Draft(person_id=office.speakers[0], progress={}, created_at=office.clock, updated_at=office.clock)
        )
    browser = office.browser("deputy")
    assert "Согласие отозвано письменно" in browser.page(f"/panel/clients/{office.clients[0]}/")
    browser.send(withdrawal(office))
    assert office.all(Person, id=office.speakers[0])[0].consent_version == "1"
    page = browser.send(withdrawal(office), sure="1", follow=True).get_data(as_text=True)
    assert "Отзыв согласия записан" in page
    assert f"№ {numbers['working']}" in page
    assert "Согласие отозвано письменно" not in page
    assert office.all(Person, id=office.speakers[0])[0].consent_version == ""
    with office.database.read() as session:
        assert session.get(Draft, office.speakers[0]) is None
    line = office.all(History)[-1]
    assert (line.action, line.actor_id, line.through) == (
        "consent_withdrawn", office.persons["deputy"], "panel",
    )  # fmt: skip
    assert any(letter.key.startswith("consent-withdrawn:") for letter in office.all(Letter))


def test_nobody_is_withdrawn_through_anothers_card(office):
    path = f"/panel/consents/client/{office.clients[1]}/person/{office.speakers[0]}/withdraw"
    assert office.browser("director").send(path, sure="1").status_code == 404
    huge = f"/panel/consents/client/{office.clients[1]}/person/{10**30}/withdraw"
    assert office.browser("director").send(huge, sure="1").status_code == 404


# --- what is given to a person ---------------------------------------------------------------------


def data_path(office, client: int, speaker: int) -> str:
    return f"/panel/erasure/client/{office.clients[client]}/person/{office.speakers[speaker]}/data"


def test_everything_about_a_person_comes_as_one_file(busy):
    office, _numbers = busy
    browser = office.browser("director")
    assert data_path(office, 0, 0) in browser.page(f"/panel/clients/{office.clients[0]}/")
    answer = browser.send(data_path(office, 0, 0))
    assert answer.mimetype == "application/zip"
    archive = zipfile.ZipFile(io.BytesIO(answer.data))
    assert json.loads(archive.read("data.json"))["person"][0]["name"] == "Клиент 0"
    assert [name for name in archive.namelist() if name.startswith("files/")]
    page = archive.read("README.html").decode()
    assert "Счёт во вложении, спасибо" in page
    assert "чат на сайте" in page
    line = office.all(History)[-1]
    assert (line.action, line.subject) == ("data_given", f"person:{office.speakers[0]}")


def test_nobody_elses_data_comes_through_a_card(busy):
    office, _numbers = busy
    assert office.browser("director").send(data_path(office, 0, 1)).status_code == 404
    assert office.browser("deputy").send(data_path(office, 0, 0)).status_code == 403
    assert data_path(office, 0, 0) not in office.browser("deputy").page(
        f"/panel/clients/{office.clients[0]}/"
    )


# --- what is older than it need be -----------------------------------------------------------------

RETENTION = "/panel/erasure/retention"


def test_old_things_are_counted_then_forgotten_by_the_word(office):
    from datetime import timedelta

    with office.database.begin() as session:
        session.add(
            Draft(person_id=office.speakers[0], progress={}, created_at=office.clock, updated_at=office.clock)
        )
    office.clock += timedelta(days=100)
    browser = office.browser("admin")
    assert 'name="typed"' not in browser.page(RETENTION)
    assert 'name="typed"' not in browser.page(f"{RETENTION}?drafts_months=6")
    assert 'name="typed"' in browser.page(f"{RETENTION}?drafts_months=3")
    assert browser.send(RETENTION, drafts_months="3", typed="да").status_code == 422
    with office.database.read() as session:
        assert session.get(Draft, office.speakers[0]) is not None
    page = browser.send(RETENTION, drafts_months="3", typed=" Удалить ", follow=True).get_data(as_text=True)
    assert "Черновиков: 1" in page
    with office.database.read() as session:
        assert session.get(Draft, office.speakers[0]) is None
    line = office.all(History)[-1]
    assert (line.action, line.through, line.actor_id) == ("retention_swept", "panel", office.persons["admin"])


def test_documents_do_not_go_before_their_years(office):
    answer = office.browser("director").send(RETENTION, files_months="71", typed="удалить")
    assert answer.status_code == 422
    assert "не меньше 72 месяцев" in answer.get_data(as_text=True)
