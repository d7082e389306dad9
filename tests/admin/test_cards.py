"""Clients and staff: validation, versions, history, invitations, the import."""

import io
import json
import re
from datetime import timedelta

import pytest

from admin.doors import MessengerState
from storage.models import Absence, Chat, Client, History, Invitation, Person, Request, Staff
from storage.reading import OWING


def fields_of(page: str) -> dict[str, str]:
    """What the card's form would send unchanged."""
    form = page[page.index("<fieldset") : page.index("</fieldset>")]
    found = dict(re.findall(r'<input id="[^"]+" name="(\w+)"[^>]*? value="([^"]*)"', form))
    found |= dict(re.findall(r'name="(version|seen)" value="(\d+)"', page)[:2])
    return found


def card(office, path: str, name: str = "director"):
    browser = office.browser(name)
    return browser, fields_of(browser.page(path))


def test_a_client_is_changed_with_its_history(office):
    path = f"/panel/clients/{office.clients[0]}/"
    browser, fields = card(office, path)
    sent = {
        **fields,
        "name": "ООО «Ромашка плюс»",
        "kind": "company",
        "responsible_id": office.staff["boris"],
        "inn": "7707 083893",
    }
    assert browser.send(path, **sent).status_code == 302
    row = office.all(Client, id=office.clients[0])[0]
    assert (row.name, row.inn, row.responsible_id, row.version) == (
        "ООО «Ромашка плюс»",
        "7707083893",
        office.staff["boris"],
        2,
    )
    line = office.all(History)[-1]
    assert (line.action, line.subject) == ("client_changed", f"client:{row.id}")
    assert json.loads(line.before) == {"name": "ООО «Ромашка»", "responsible_id": office.staff["anna"]}
    assert json.loads(line.after) == {"name": "ООО «Ромашка плюс»", "responsible_id": office.staff["boris"]}


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("inn", "7707083890", "не сходятся контрольные цифры"),
        ("inn", "123", "10 или 12 цифр"),
        ("inn", "500100732259", "уже есть"),
        ("name", "123", "ни одной буквы"),
        ("email", "не почта", "написана неверно"),
        ("phone", "позвоните мне", "написан неверно"),
    ],
)
def test_a_wrong_value_is_refused_and_nothing_typed_is_lost(office, field, value, words):
    path = f"/panel/clients/{office.clients[0]}/"
    browser, fields = card(office, path)
    answer = browser.send(path, **{**fields, "name": "Новое имя", field: value})
    page = answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert words in page
    assert value in page
    assert office.all(Client, id=office.clients[0])[0].version == 1


def test_a_stale_card_is_refused_and_says_what_changed(office):
    path = f"/panel/clients/{office.clients[0]}/"
    first, fields = card(office, path)
    second, _same = card(office, path, "deputy")
    assert second.send(path, **{**fields, "phone": "+7 911 111-11-11"}).status_code == 302
    answer = first.send(path, **{**fields, "name": "ООО «Моё имя»"})
    page = answer.get_data(as_text=True)
    assert answer.status_code == 409
    assert "Карточку изменили" in page
    assert "Олег Замов" in page
    assert "+7 911 111-11-11" in page
    assert "ООО «Моё имя»" in page
    row = office.all(Client, id=office.clients[0])[0]
    assert (row.name, row.phone) == ("ООО «Ромашка»", "+7 911 111-11-11")
    assert first.send(path, **{**fields, **fields_of(page), "name": "ООО «Моё имя»"}).status_code == 302


def test_a_new_client_is_confirmed_once(office):
    client = office.clients[2]
    browser = office.browser("director")
    assert "Подтвердить клиента" in browser.page(f"/panel/clients/{client}/")
    assert browser.send(f"/panel/clients/{client}/confirm", version=1).status_code == 302
    assert office.all(Client, id=client)[0].confirmed
    assert browser.send(f"/panel/clients/{client}/confirm", version=1).status_code == 409
    assert "Подтвердить клиента" not in browser.page(f"/panel/clients/{client}/")


def test_an_invited_client_gets_a_code_that_is_shown_once(office):
    browser = office.browser("director")
    page = browser.send(f"/panel/clients/coverage/{office.clients[0]}/invite", back="card").get_data(
        as_text=True
    )
    code = re.search(r"/start ([A-Z0-9]{20})", page).group(1)
    assert f"http://localhost/chat?code={code}" in page
    assert code not in browser.page(f"/panel/clients/{office.clients[0]}/")
    assert len(office.all(Invitation)) == 1


@pytest.mark.parametrize(
    ("search", "found"), [("ромашка", 1), ("РОМАШКА", 1), ("77", 2), ("нет таких", 0), ("%", 0)]
)
def test_clients_are_found_by_name_and_inn(office, search, found):
    page = (
        office.browser("director").get("/panel/clients/", query_string={"q": search}).get_data(as_text=True)
    )
    assert len(re.findall(r'<td class="what">', page)) == found


CSV = (
    "Название;ИНН;Ответственный;Телефон\n"
    "ООО «Ромашка»;7707083893;Анна Петрова;+7 495 111-11-11\n"
    "ООО «Новая»;7728168971;;\n"
    "ООО «Кривая»;7728168970;;\n"
)


def test_an_import_is_shown_first_and_stored_after(office):
    browser = office.browser("director")
    before = len(office.all(Client))
    page = browser.send("/panel/clients/import", file=(io.BytesIO(CSV.encode()), "клиенты.csv")).get_data(
        as_text=True
    )
    assert re.findall(r"<b>(\d+)</b>", page) == ["1", "1", "0", "1"]
    assert "не сходятся контрольные цифры" in page
    assert len(office.all(Client)) == before
    assert office.all(Client, inn="7707083893")[0].phone == "+7 900 000-00-00"
    parcel = re.search(r'name="parcel" value="([^"]+)"', page).group(1)
    told = browser.send("/panel/clients/import/store", follow=True, parcel=parcel).get_data(as_text=True)
    assert "Добавлено: 1, изменено: 1" in told
    assert office.all(Client, inn="7707083893")[0].phone == "+7 495 111-11-11"
    assert office.all(Client, inn="7728168971")[0].name == "ООО «Новая»"
    assert office.all(History)[-1].action == "imported"


def test_an_import_comes_from_xlsx_too(office):
    from openpyxl import Workbook

    book = Workbook()
    book.active.append(["Название", "ИНН"])
    book.active.append(["ООО «Из таблицы»", 7728168971])
    file = io.BytesIO()
    book.save(file)
    page = (
        office.browser("admin")
        .send("/panel/clients/import", file=(io.BytesIO(file.getvalue()), "t.xlsx"))
        .get_data(as_text=True)
    )
    assert "ООО «Из таблицы»" in page


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.csv", b""),
        ("x.csv", b"a;b\n1;2\n"),
        ("x.exe", b"MZ"),
        ("x.xlsx", b"not a table"),
        ("x.csv", b"\x00\x01\x02"),
        ("", b""),
    ],
)
def test_what_is_no_table_is_refused_with_words(office, name, content):
    answer = office.browser("director").send("/panel/clients/import", file=(io.BytesIO(content), name))
    assert answer.status_code == 422
    assert 'role="alert"' in answer.get_data(as_text=True)


@pytest.mark.parametrize("parcel", ["", "forged", "W10.x"])
def test_a_forged_import_is_refused(office, parcel):
    assert office.browser("director").send("/panel/clients/import/store", parcel=parcel).status_code == 400


# --- staff -----------------------------------------------------------------------------------------------


def staff_fields(office, key: str, **more):
    row = office.all(Staff, id=office.staff[key])[0]
    person = office.all(Person, id=row.person_id)[0]
    return {
        "version": row.version,
        "name": person.name,
        "email": person.email,
        "role": row.role,
        "department": row.department,
        "skills": row.skills,
        "capacity": row.capacity,
        "active": "1",
        **more,
    }


def test_staff_are_changed_with_history(office):
    path = f"/panel/staff/{office.staff['anna']}/"
    sent = staff_fields(
        office, "anna", skills=["payments", "advice", "hacking"], capacity=3, name="Анна Сидорова"
    )
    assert office.browser("director").send(path, **sent).status_code == 302
    row = office.all(Staff, id=office.staff["anna"])[0]
    assert (row.skills, row.capacity, row.version) == (["payments", "advice"], 3, 2)
    line = office.all(History)[-1]
    assert json.loads(line.after) == {
        "name": "Анна Сидорова",
        "capacity": 3,
        "skills": ["payments", "advice"],
    }
    assert office.browser("anna").get("/panel/").status_code == 200


def test_another_role_or_leaving_signs_out(office):
    anna = office.browser("anna")
    path = f"/panel/staff/{office.staff['anna']}/"
    sent = staff_fields(office, "anna")
    del sent["active"]
    assert office.browser("director").send(path, **sent).status_code == 302
    assert anna.get("/panel/").status_code == 302


@pytest.mark.parametrize(
    ("who", "whom", "changes", "status"),
    [
        ("director", "anna", {"capacity": "0"}, 422),
        ("director", "anna", {"capacity": "x"}, 422),
        ("director", "anna", {"name": " "}, 422),
        ("director", "anna", {"email": "boris@balans.example"}, 422),
        ("director", "anna", {"email": "BORIS@balans.example"}, 422),
        ("director", "anna", {"role": "emperor"}, 422),
        ("director", "anna", {"version": "7", "capacity": "3"}, 409),
        ("director", "director", {"active": ""}, 422),
        ("admin", "director", {"role": "accountant"}, 422),
        ("deputy", "anna", {"role": "director"}, 422),
        ("deputy", "director", {"email": "mine@evil.example"}, 403),
        ("deputy", "admin", {"email": "mine@evil.example"}, 403),
        ("controller", "anna", {}, 403),
    ],
)
def test_what_may_not_be_saved(office, who, whom, changes, status):
    path = f"/panel/staff/{office.staff[whom]}/"
    before = office.all(Staff, id=office.staff[whom])[0]
    assert office.browser(who).send(path, **staff_fields(office, whom, **changes)).status_code == status
    assert office.all(Staff, id=office.staff[whom])[0].version == before.version


def test_a_deputy_cannot_take_over_the_director_by_an_invitation(office):
    browser = office.browser("deputy")
    assert browser.send(f"/panel/staff/{office.staff['director']}/invite").status_code == 403
    refused = browser.send(
        "/panel/staff/invite", name="Я", email="director@balans.example", role="accountant"
    )
    assert refused.status_code == 422
    assert (
        browser.send("/panel/staff/invite", name="Я Сам", email="me@x.example", role="director").status_code
        == 422
    )
    assert office.all(Invitation) == []


def test_an_invited_colleague_comes_in(office):
    browser = office.browser("director")
    page = browser.send(
        "/panel/staff/invite", name="Игорь Новый", email="igor@balans.example", role="accountant"
    ).get_data(as_text=True)
    link = re.search(r'value="http://localhost(/panel/invitation/[A-Z0-9]+)"', page).group(1)
    guest = office.browser()
    assert guest.send(link, password="три слова подряд", again="три слова подряд").status_code == 302
    assert "Игорь Новый" in guest.page("/panel/")
    assert "Игорь Новый" in browser.page("/panel/staff/")


def test_new_codes_kill_the_old_ones(office):
    browser = office.browser("director")
    path = f"/panel/staff/{office.staff['anna']}/invite"
    links = [
        re.search(
            r'value="http://localhost(/panel/invitation/\w+)"', browser.send(path).get_data(as_text=True)
        ).group(1)
        for _again in range(2)
    ]
    assert (
        office.browser().send(links[0], password="три слова подряд", again="три слова подряд").status_code
        == 404
    )
    assert (
        office.browser().send(links[1], password="три слова подряд", again="три слова подряд").status_code
        == 302
    )


def test_an_absence_is_whole_days_of_the_firm(office):
    browser, anna = office.browser("director"), office.staff["anna"]
    assert (
        browser.send(
            f"/panel/staff/{anna}/absence", first="2026-11-26", last="2026-11-27", reason="отпуск"
        ).status_code
        == 302
    )
    row = office.all(Absence)[0]
    assert (row.starts_at.isoformat(), row.ends_at.isoformat()) == (
        "2026-11-25T21:00:00+00:00",
        "2026-11-27T21:00:00+00:00",
    )
    page = browser.page(f"/panel/staff/{anna}/")
    assert "26.11.2026 – 27.11.2026" in page
    assert browser.send(f"/panel/staff/{office.staff['boris']}/absence/{row.id}/end").status_code == 404
    assert browser.send(f"/panel/staff/{anna}/absence/{row.id}/end").status_code == 302
    assert office.all(Absence) == []


def test_the_history_says_an_absence_in_the_days_of_the_firm(office):
    browser, anna = office.browser("director"), office.staff["anna"]
    where = f"/panel/staff/{anna}/absence"
    browser.send(where, first="2026-12-01", last="2026-12-10", reason="отпуск")
    page = browser.page("/panel/history/?action=absence_added")
    assert page.index("<span>С: <ins>01.12.2026</ins>") < page.index("<span>По: <ins>10.12.2026</ins>")
    assert "+00:00</ins>" not in page


def test_skills_in_the_history_are_words(office):
    sent = staff_fields(office, "anna", skills=["documents", "reports"])
    browser = office.browser("director")
    assert browser.send(f"/panel/staff/{office.staff['anna']}/", **sent).status_code == 302
    assert "документы, отчёты</ins>" in browser.page("/panel/history/?action=staff_changed")


def test_a_client_saved_as_it_was_leaves_no_line(office):
    path = f"/panel/clients/{office.clients[0]}/"
    browser, fields = card(office, path)
    sent = {**fields, "kind": "company", "responsible_id": office.staff["anna"]}
    lines = len(office.all(History))
    assert browser.send(path, **sent).status_code == 302
    assert len(office.all(History)) == lines
    assert card(office, path)[1]["version"] == fields["version"]
    assert browser.send(path, **{**sent, "name": "Иначе"}).status_code == 302
    assert "Вид: " not in browser.page("/panel/history/?action=client_changed")


def test_staff_saved_as_they_were_leave_no_line(office):
    path, sent = f"/panel/staff/{office.staff['anna']}/", staff_fields(office, "anna")
    browser = office.browser("director")
    browser.send(path, **sent)
    row, lines = office.all(Staff, id=office.staff["anna"])[0], len(office.all(History))
    assert browser.send(path, **{**sent, "version": str(row.version)}).status_code == 302
    assert len(office.all(History)) == lines


def test_the_requests_of_somebody_absent_are_counted_and_can_be_passed_on(busy):
    office, _numbers = busy
    anna, browser = office.staff["anna"], office.browser("director")
    where = f"/panel/staff/{anna}/"
    count = len([row for row in office.all(Request) if row.assignee_id == anna and row.status in OWING])
    assert count
    assert "Посмотреть и передать" not in browser.page(where)
    saved = browser.send(f"{where}absence", first="2026-11-26", last="2026-11-27", follow=True)
    shown = saved.get_data(as_text=True)
    assert f"Открытых заявок остаётся: {count}." in shown
    assert f"Открытых заявок: {count}." in shown
    assert f'href="/panel/requests/?assignee={anna}"' in shown


@pytest.mark.parametrize(
    ("first", "last"),
    [("2026-11-27", "2026-11-26"), ("", "2026-11-26"), ("x", "y"), ("1000-01-01", "2026-11-26")],
)
def test_an_impossible_absence_is_refused(office, first, last):
    office.browser("director").send(f"/panel/staff/{office.staff['anna']}/absence", first=first, last=last)
    assert office.all(Absence) == []


def test_the_administrator_reads_no_requests_in_the_history(busy):
    office, _numbers = busy
    assert "Прошлая задача" in office.browser("director").page("/panel/history/")
    page = office.browser("admin").page("/panel/history/")
    assert "Прошлая задача" not in page
    assert "Поставили в очередь" not in page
    assert "заявка отправлена" in page


def test_the_history_is_narrowed_and_leafed_through(busy):
    office, numbers = busy
    browser = office.browser("director")
    one = browser.page(f"/panel/history/?subject=request&number={numbers['working']}")
    assert set(re.findall(r'href="/panel/requests/(\d+)/"', one)) == {str(numbers["working"])}
    assert "вопрос клиенту" in browser.page("/panel/history/?action=clarification_asked")
    total, path = 0, "/panel/history/"
    for _leaf in range(20):
        page = browser.page(path)
        total += page.count('<td class="number">')
        link = re.search(r'rel="next" href="([^"]+)"', page)
        if link is None:
            break
        path = link.group(1).replace("&amp;", "&")
    assert total == len(office.all(History))


# --- messengers ------------------------------------------------------------------------------------------


def test_messengers_show_who_answers_what_waits_and_who_is_too_quiet(office):
    with office.database.begin() as session:
        for number in range(3):
            session.add(
                Chat(
                    channel="telegram", chat_key=f"quiet {number}", user_key="u", created_at=office.clock,
                    last_inbound_at=office.clock - timedelta(days=4),
                )
            )  # fmt: skip
    office.messengers = (
        MessengerState(
            "telegram", reachable=True, detail="@firm_bot", asked_at=office.clock, refused_posts=7
        ),
        MessengerState("vk", reachable=False, detail="status 502", asked_at=office.clock, refused_posts=0),
        MessengerState("viber", reachable=None, detail="", asked_at=None, refused_posts=0),
    )
    page = office.browser("admin").page("/panel/messengers/")
    assert "@firm_bot" in page
    assert "status 502" in page
    assert "ещё не спрашивали" in page
    assert "рабочих ч: напишите туда сами" in page
    assert ">7</td>" in page
