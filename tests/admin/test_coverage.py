"""Who is in a messenger: the count, the invitations, the sheet, its files, and who may make them."""

import csv
import io
import re
from datetime import timedelta
from html import unescape

import pytest
from openpyxl import load_workbook

from admin import bringing
from storage import invitations
from storage.models import Chat, Client, ClientPerson, History, Invitation, Person
from tests.admin.office import NASTY

PATH = "/panel/clients/coverage/"


@pytest.fixture
def missing(office):
    """Three clients who have not come yet; one has markup in its name, one a contact."""
    numbers = []
    with office.database.begin() as session:
        for number, name in enumerate(("ООО «Ещё нет»", NASTY, "ООО «С контактом»")):
            client = Client(name=name, inn=f"{number:010}", phone="+7 911 000-00-00", created_at=office.clock)
            session.add(client)
            session.flush()
            numbers.append(client.id)
        person = Person(name="Ольга Котова", email="olga@client.example", created_at=office.clock)
        session.add(person)
        session.flush()
        session.add(ClientPerson(client_id=numbers[2], person_id=person.id, created_at=office.clock))
    return numbers


def codes_on(page):
    return re.findall(r'class="code">/start ([A-Z0-9]{20})', page)


def owner(office, code):
    with office.database.begin() as session:
        return invitations.owner_of_code(session, code, "chat", office.clock)


def test_the_page_counts_and_lists_who_is_missing(office, missing):
    page = office.browser("director").page(PATH)
    assert re.findall(r"<b>(\d+)</b>", page)[:3] == ["2", "3", "3"]
    assert page.count('<td class="what">') == 3
    assert "ООО «Ромашка»" not in page
    assert NASTY not in page
    found = office.browser("director").get(PATH, query_string={"q": "контактом"}).get_data(as_text=True)
    assert found.count('<td class="what">') == 1


def test_everybody_is_there(office):
    page = office.browser("director").page(PATH)
    assert "Все клиенты на связи" in page


def test_one_invitation_is_shown_once_with_its_picture_and_words(office, missing):
    browser = office.browser("deputy")
    page = browser.send(f"{PATH}{missing[2]}/invite").get_data(as_text=True)
    (code,) = codes_on(page)
    link = f"http://localhost/chat?code={code}"
    assert str(bringing.qr_code(link)) in page
    words = unescape(re.search(r"<textarea[^>]*>([^<]+)<", page).group(1))
    assert f"Веб-чат: {link}" in words
    assert "до 25.12.2026" in words
    assert "Баланс Актив принимает заявки" in words
    assert "mailto:olga%40client.example?subject=" in page
    assert "Ольга Котова" in page
    assert office.all(Person, id=owner(office, code))[0].name == "Ольга Котова"
    listed = browser.page(PATH)
    assert code not in listed
    assert "до 25.12.2026" in listed
    assert office.all(History)[-1].subject == f"client:{missing[2]}"


def test_all_are_invited_by_one_press_after_being_asked(office, missing):
    browser = office.browser("director")
    assert browser.send(f"{PATH}invite").status_code == 302
    assert office.all(Invitation) == []
    page = browser.send(f"{PATH}invite", sure="1", way="Веб-чат").get_data(as_text=True)
    codes = codes_on(page)
    assert len(set(codes)) == 3
    assert len({owner(office, code) for code in codes}) == 3
    assert page.count("<svg") == 3
    assert NASTY not in page
    told = browser.send(f"{PATH}invite", follow=True, sure="1").get_data(as_text=True)
    assert "Всех уже пригласили" in told
    assert all(owner(office, code) for code in codes)
    assert "0</b><span>из них без приглашения" in told
    again = codes_on(browser.send(f"{PATH}invite", sure="1", again="1").get_data(as_text=True))
    assert len(again) == 3
    assert not set(again) & set(codes)


def test_pictures_are_drawn_for_the_chosen_messengers_only(office, missing):
    browser = office.browser("director")
    page = browser.send(f"{PATH}invite", sure="1").get_data(as_text=True)
    assert "<svg" not in page
    assert "http://localhost/chat?code=" in page


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_the_links_of_a_sheet_are_saved_as_a_file(office, missing, kind):
    browser = office.browser("director")
    page = browser.send(f"{PATH}invite", sure="1", way="Веб-чат").get_data(as_text=True)
    parcel = re.search(r'name="parcel" value="([^"]+)"', page).group(1)
    answer = browser.send(f"{PATH}export", parcel=parcel, format=kind)
    assert answer.status_code == 200
    assert "attachment" in answer.headers["Content-Disposition"]
    if kind == "csv":
        rows = list(csv.reader(io.StringIO(answer.data.decode("utf-8-sig")), delimiter=";"))[1:]
    else:
        rows = list(load_workbook(io.BytesIO(answer.data)).active.iter_rows(values_only=True))
    assert list(rows[0]) == ["Клиент", "Кому", "Телефон", "Почта", "Веб-чат", "Код", "Действует до"]
    assert {row[4] for row in rows[1:]} == {f"http://localhost/chat?code={code}" for code in codes_on(page)}
    assert {row[6] for row in rows[1:]} == {"25.12.2026"}
    contact = next(row for row in rows if row[0] == "ООО «С контактом»")
    assert contact[1] == "Ольга Котова"


def test_a_blocked_client_is_missing_again(office):
    with office.database.begin() as session:
        session.get_one(Chat, office.chats[0]).blocked_at = office.clock - timedelta(days=1)
    page = office.browser("director").page(PATH)
    assert "бот заблокирован" in page


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"parcel": "", "format": "csv"}, 400),
        ({"parcel": "W10.forged", "format": "csv"}, 400),
        ({"format": "exe"}, 400),
    ],
)
def test_a_forged_file_is_refused(office, missing, fields, status):
    assert office.browser("director").send(f"{PATH}export", **fields).status_code == status


@pytest.mark.parametrize(
    ("who", "path", "status"),
    [
        ("director", f"{PATH}9999/invite", 404),
        ("director", f"{PATH}99999999999999999999/invite", 404),
        ("controller", f"{PATH}1/invite", 403),
        ("controller", f"{PATH}invite", 403),
        ("anna", f"{PATH}1/invite", 403),
    ],
)
def test_who_may_not_invite(office, missing, who, path, status):
    assert office.browser(who).send(path, sure="1").status_code == status
    assert office.all(Invitation) == []


def test_a_person_of_another_client_is_not_invited(office, missing):
    answer = office.browser("director").send(f"{PATH}{missing[0]}/invite", person_id=office.speakers[0])
    assert answer.status_code == 404
