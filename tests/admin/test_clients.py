"""A client's card: the contract and who answers for it, the contacts and their rights, what they sent."""

import io
import json
import re

import pytest
from sqlmodel import select

from storage.coverage import CODE_VALID
from storage.models import Chat, Client, ClientPerson, History, Invitation, Person
from tests.admin.office import NASTY
from tests.admin.test_cards import fields_of
from tests.storage.test_imports import inn_of


def card_path(office, client=0):
    return f"/panel/clients/{office.clients[client]}/"


def contacts_path(office, *more, client=0):
    return "/".join([f"/panel/client/{office.clients[client]}/contacts", *map(str, more)])


def stamp_of(office, person, client=0):
    page = office.browser("director").page(card_path(office, client))
    found = re.search(rf'/contacts/{person}".*?name="stamp" value="(\w+)"', page, re.DOTALL)
    return found.group(1)


def right(office, person, client=0):
    found = [row for row in rights(office, client) if row.person_id == person]
    return found[0]


def rights(office, client=0):
    with office.database.read() as session:
        return list(session.exec(select(ClientPerson).filter_by(client_id=office.clients[client])))


# --- the card ----------------------------------------------------------------------------------------------


def test_the_contract_and_who_answers_are_kept_with_history(office):
    browser = office.browser("director")
    path = card_path(office)
    sent = {
        **fields_of(browser.page(path)),
        "kind": "company",
        "responsible_id": office.staff["anna"],
        "substitute_id": office.staff["boris"],
        "controller_id": office.staff["controller"],
        "contract": "Учёт и отчётность.\r\nКадры — отдельно.",
        "contract_until": "2026-12-31",
        "notes": "Любит звонить по утрам",
    }
    assert browser.send(path, **sent).status_code == 302
    row = office.all(Client, id=office.clients[0])[0]
    assert (row.substitute_id, row.controller_id) == (office.staff["boris"], office.staff["controller"])
    assert row.contract == "Учёт и отчётность.\nКадры — отдельно."
    assert row.contract_until.date().isoformat() == "2026-12-31"
    line = office.all(History)[-1]
    assert json.loads(line.after)["contract_until"] == "2026-12-31"
    page = browser.page(path)
    assert 'value="2026-12-31"' in page
    assert "Галина Контролёрова" in page
    assert "Договор действует до" in page
    again = {**sent, **fields_of(page), "contract_until": "2026-11-01"}
    assert browser.send(path, **again).status_code == 302
    assert "закончился" in browser.page(path)


@pytest.mark.parametrize("day", ["31.12.2026", "2026-02-30", "1026-01-01"])
def test_a_day_that_is_none_is_refused(office, day):
    browser, path = office.browser("director"), card_path(office)
    answer = browser.send(path, **{**fields_of(browser.page(path)), "kind": "company", "contract_until": day})
    assert answer.status_code == 422
    assert "31.12.2026" in answer.get_data(as_text=True)


def test_a_forged_colleague_is_nobody(office):
    browser, path = office.browser("director"), card_path(office)
    sent = {
        **fields_of(browser.page(path)),
        "kind": "company",
        "controller_id": office.staff["anna"],
        "substitute_id": "x",
    }
    assert browser.send(path, **sent).status_code == 302
    row = office.all(Client, id=office.clients[0])[0]
    assert (row.controller_id, row.substitute_id) == (None, None)


# --- contacts ----------------------------------------------------------------------------------------------


def test_a_contact_is_added_by_hand_and_invited_by_name(office):
    browser = office.browser("director")
    answer = browser.send(
        contacts_path(office), follow=True, name=f"Ольга {NASTY}", phone="+7 900 111-22-33",
        email="olga@client.example", post="секретарь", sees_all="1",
    )  # fmt: skip
    page = answer.get_data(as_text=True)
    assert "Контакт добавлен" in page
    assert NASTY not in page
    assert "видит все заявки" in page
    person = office.all(Person)[-1]
    assert (person.phone, person.email, person.consent_version) == (
        "+7 900 111-22-33",
        "olga@client.example",
        "",
    )
    kept = right(office, person.id)
    assert (kept.post, kept.may_pay, kept.sees_all) == ("секретарь", False, True)
    line = office.all(History)[-1]
    assert (line.action, line.subject) == ("contact_added", f"client:{office.clients[0]}")
    assert "Ольга" not in line.after, "history is never erased"
    invited = browser.send(
        f"/panel/clients/coverage/{office.clients[0]}/invite", person_id=person.id, back="card"
    ).get_data(as_text=True)
    assert card_path(office) in invited
    (code,) = office.all(Invitation)
    assert code.person_id == person.id
    assert f"до {office.clock + CODE_VALID:%d.%m.%Y}" in browser.page(card_path(office))


def test_rights_are_changed_with_history(office):
    person = office.speakers[0]
    browser = office.browser("deputy")
    answer = browser.send(
        contacts_path(office, person), follow=True, stamp=stamp_of(office, person), name="Мария Смирнова",
        may_pay="1", post="директор",
    )  # fmt: skip
    assert "Сохранено" in answer.get_data(as_text=True)
    assert right(office, person).may_pay
    line = office.all(History)[-1]
    assert json.loads(line.before) == {
        "person_id": person, "post": "", "may_pay": False, "sees_all": False,
    }  # fmt: skip
    assert json.loads(line.after) == {
        "person_id": person, "post": "директор", "may_pay": True, "sees_all": False, "personal": ["name"],
    }  # fmt: skip
    page = browser.page(card_path(office))
    assert "Изменено: <ins>Название или имя" in page
    assert "Может заказывать платежи" in page


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", "123", "Напишите имя"),
        ("phone", "позвоните", "написан неверно"),
        ("email", "не почта", "написана неверно"),
    ],
)
def test_a_wrong_contact_is_refused_and_nothing_typed_is_lost(office, field, value, words):
    person = office.speakers[0]
    fields = {
        "name": "Мария Смирнова",
        "phone": "+7 900 000-00-01",
        "email": "m@client.example",
        "post": "шеф",
    }
    browser = office.browser("director")
    before = len(office.all(History))
    for path in (contacts_path(office), contacts_path(office, person)):
        answer = browser.send(path, **{**fields, field: value, "stamp": stamp_of(office, person)})
        page = answer.get_data(as_text=True)
        assert answer.status_code == 422
        assert words in page
        assert all(f'value="{typed}"' in page for typed in {**fields, field: value}.values())
    assert len(office.all(History)) == before


def test_a_stale_contact_is_refused_and_shows_what_is_kept(office):
    person, stamp = office.speakers[0], stamp_of(office, office.speakers[0])
    first, second = office.browser("director"), office.browser("deputy")
    sent = {"stamp": stamp, "name": "Мария Чужая", "phone": "+7 900 000-00-02"}
    assert second.send(contacts_path(office, person), **sent).status_code == 302
    answer = first.send(contacts_path(office, person), stamp=stamp, name="Мария Моя", sees_all="1")
    page = answer.get_data(as_text=True)
    assert answer.status_code == 409
    assert "Мария Чужая, +7 900 000-00-02" in page
    assert 'value="Мария Моя"' in page
    assert office.all(Person, id=person)[0].name == "Мария Чужая"
    assert not right(office, person).sees_all
    newer = re.search(r'name="stamp" value="(\w+)"', page).group(1)
    again = first.send(contacts_path(office, person), stamp=newer, name="Мария Моя", sees_all="1")
    assert again.status_code == 302
    assert right(office, person).sees_all


def test_a_contact_is_detached_after_being_asked(office):
    person, client = office.speakers[0], office.clients[0]
    browser, stamp = office.browser("director"), stamp_of(office, office.speakers[0])
    number = office.submit(0)
    browser.send(f"/panel/clients/coverage/{client}/invite", person_id=person)
    path = contacts_path(office, person, "detach")
    assert "Да, открепить" in browser.send(path, follow=True, stamp=stamp).get_data(as_text=True)
    assert right(office, person)
    assert "откреплён" in browser.send(path, follow=True, stamp=stamp, sure="1").get_data(as_text=True)
    assert rights(office) == []
    assert office.all(Invitation)[0].expires_at == office.clock, "an unused code brings nobody back"
    assert office.request(number).person_id == person
    assert office.all(History)[-1].action == "contact_detached"
    assert browser.send(path, stamp=stamp, sure="1").status_code == 404


def test_chats_are_shown_in_the_order_in_which_they_are_written_to(office):
    person = office.speakers[0]
    with office.database.begin() as session:
        for rank, (channel, blocked) in enumerate((("telegram", None), ("vk", office.clock)), 1):
            session.add(
                Chat(
                    channel=channel, chat_key=channel, user_key=channel, person_id=person, rank=rank,
                    last_inbound_at=office.clock, blocked_at=blocked, created_at=office.clock,
                )
            )  # fmt: skip
    page = office.browser("director").page(card_path(office))
    chats = re.search(r'<ol class="chats">(.*?)</ol>', page, re.DOTALL).group(1)
    names = re.findall(r"<li>([^:]+):", chats)
    assert names == ["чат на сайте", "Telegram", "ВКонтакте"]
    assert chats.index("пишем сюда") < chats.index("Telegram")
    assert "бот заблокирован" in chats


@pytest.mark.parametrize("who", ["controller", "anna"])
def test_who_may_not_change_contacts(office, who):
    browser, person = office.browser(who), office.speakers[0]
    for more in ((), (person,), (person, "detach")):
        assert browser.send(contacts_path(office, *more), name="Кто-то", sure="1").status_code == 403


def test_nobody_of_another_client_is_changed(office):
    browser, person = office.browser("director"), office.speakers[1]
    stamp = stamp_of(office, person, client=1)
    for more in ((person,), (person, "detach"), (99999999999999999999,)):
        sent = {"name": "Кто-то Чужой", "stamp": stamp, "sure": "1"}
        assert browser.send(contacts_path(office, *more), **sent).status_code == 404


# --- requests, correspondence, files -----------------------------------------------------------------------


def test_requests_stand_in_two_lists(busy):
    office, numbers = busy
    browser, path = office.browser("director"), f"/panel/client/{office.clients[0]}/requests"
    going, ended = browser.page(path), browser.page(f"{path}?ended=1")
    assert f"№ {numbers['working']}<" in going
    assert f"№ {numbers['working']}<" not in ended
    assert f"№ {numbers['waiting']}<" not in going, "another client's"


def test_the_correspondence_is_everybodys_of_this_client_alone(busy):
    office, _numbers = busy
    with office.database.begin() as session:
        session.add(
            ClientPerson(client_id=office.clients[1], person_id=office.speakers[0], created_at=office.clock)
        )
    browser = office.browser("director")
    first = browser.page(f"/panel/client/{office.clients[0]}/correspondence")
    assert "Счёт во вложении" in first
    assert "Поставили в очередь" in first
    second = browser.page(f"/panel/client/{office.clients[1]}/correspondence")
    assert "Сколько пачек?" in second
    assert "Счёт во вложении" not in second, "said about a request of the other company"


def test_files_are_listed_with_their_requests(busy):
    office, numbers = busy
    page = office.browser("controller").page(f"/panel/client/{office.clients[0]}/files")
    assert f"/panel/requests/{numbers['working']}/files/" in page
    assert "счёт.pdf" in page


@pytest.mark.parametrize("page", ["requests", "correspondence", "files"])
def test_what_clients_write_is_not_the_administrators(busy, page):
    office, _numbers = busy
    path = f"/panel/client/{office.clients[0]}/{page}"
    assert office.browser("admin").get(path).status_code == 404
    assert path not in office.browser("admin").page(card_path(office))
    assert office.browser("anna").get(path).status_code == 403
    assert office.browser("director").get(f"/panel/client/9999/{page}").status_code == 404
    assert office.browser("director").get(f"/panel/client/99999999999999999999/{page}").status_code == 404


# --- the import --------------------------------------------------------------------------------------------


def brought(office, content, name="clients.csv", encoding="utf-8"):
    browser = office.browser("director")
    return browser, browser.send(
        "/panel/clients/import", file=(io.BytesIO(content.encode(encoding)), name)
    ).get_data(as_text=True)


def test_the_preview_says_what_was_and_what_becomes(office):
    content = (
        "Название;ИНН;Ответственный;Телефон;Контакт\n"
        f"ООО «Ромашка»;7707083893;Борис Лядов;+7 900 000-00-00;{NASTY}\n"
    )
    browser, page = brought(office, content)
    assert "Ответственный: <del>Анна Петрова</del> → <ins>Борис Лядов</ins>" in page
    assert "Контакт: <ins>" in page
    assert NASTY not in page
    assert office.all(Client, id=office.clients[0])[0].responsible_id == office.staff["anna"]
    assert len(rights(office)) == 1
    parcel = re.search(r'name="parcel" value="([^"]+)"', page).group(1)
    told = browser.send("/panel/clients/import/store", follow=True, parcel=parcel).get_data(as_text=True)
    assert "изменено: 1" in told
    assert office.all(Client, id=office.clients[0])[0].responsible_id == office.staff["boris"]
    assert len(rights(office)) == 2


def test_five_thousand_lines_travel_through_the_browser(office):
    rows = "".join(
        f"ООО «Объединение {number}»;{inn_of(number)};Анна Петрова;+7 900 {number:07};Ольга {number}\n"
        for number in range(5_000)
    )
    heading = "Название;ИНН;Ответственный;Телефон;Контакт\n"
    # Above 500 KB the test's own browser would leave a file open.
    browser, page = brought(office, heading + rows, encoding="cp1251")
    assert "Показаны первые 500 строк" in page
    parcel = re.search(r'name="parcel" value="([^"]+)"', page).group(1)
    answer = browser.send("/panel/clients/import/store", parcel=parcel)
    assert answer.status_code == 302
    assert len(office.all(Client)) == 5_003
    _browser, page = brought(office, "Название;ИНН\n" + "а;1\n" * 5_001)
    assert "больше 5000 строк" in page
