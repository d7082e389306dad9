"""The dialogue: ask and hand on from the browser, look at files, read it all, find who waits."""

import json
import re
from datetime import timedelta

import pytest

from storage import correspondence
from storage.models import Attachment, Chat, Clarification, History, Letter, Message
from tests.admin.office import NASTY
from tests.admin.test_requests import shown

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40


def version_of(office, number) -> int:
    return office.request(number).version


def picture(office, number, media_type="image/png", name="скан.png") -> int:
    file_id = office.attach(number, name=name, content=PNG + name.encode() + media_type.encode())
    with office.database.begin() as session:
        row = session.get_one(Attachment, file_id)
        row.media_type = media_type
        session.add(row)
    return file_id


# --- Ask a field anew, hand on -------------------------------------------------------------------------


@pytest.mark.parametrize(("who", "question"), [("anna", "Какой счёт?"), ("director", "")])
def test_a_field_is_asked_anew_from_the_browser(busy, who, question):
    office, numbers = busy
    number = numbers["working"]
    browser = office.browser(who)
    page = browser.page(f"/panel/requests/{number}/")
    assert "Уточнить у клиента" in page
    sent = {"field": "task", "question": question, "version": version_of(office, number)}
    told = browser.send(f"/panel/requests/{number}/clarify", follow=True, **sent).get_data(as_text=True)
    assert "Спросили клиента" in told
    assert office.request(number).status == "waiting_client"
    asked = office.all(Clarification, request_id=number)[-1]
    assert (asked.field, asked.question) == ("task", question)
    letter = office.all(Letter, request_id=number)[-1]
    assert (question or "сделать") in letter.text
    assert office.woken


@pytest.mark.parametrize("field", ["", "goods", "company", "nothing"])
def test_only_a_question_that_the_client_was_asked_is_asked_anew(busy, field):
    office, numbers = busy
    number = numbers["working"]
    sent = {"field": field, "question": "моё", "version": version_of(office, number)}
    answer = office.browser("anna").send(f"/panel/requests/{number}/clarify", **sent)
    assert answer.status_code == 422
    assert "Выберите, что клиенту уточнить" in answer.get_data(as_text=True)
    assert "моё" in answer.get_data(as_text=True)
    assert office.request(number).status == "accepted"


def test_an_accountant_hands_on_with_a_reason(busy):
    office, numbers = busy
    number, boris = numbers["working"], office.staff["boris"]
    browser = office.browser("anna")
    sent = {"to": boris, "version": version_of(office, number)}
    refused = browser.send(f"/panel/requests/{number}/hand_on", **sent, comment=" ")
    assert refused.status_code == 422
    assert f'value="{boris}" selected' in refused.get_data(as_text=True)
    assert office.request(number).assignee_id == office.staff["anna"]
    done = browser.send(f"/panel/requests/{number}/hand_on", **sent, comment="ухожу в отпуск")
    assert done.status_code == 302
    assert office.request(number).assignee_id == boris
    assert json.loads(office.all(History)[-1].after)["comment"] == "ухожу в отпуск"
    assert browser.get(f"/panel/requests/{number}/").status_code == 404


def test_directors_reassign_and_accountants_hand_on(busy):
    office, numbers = busy
    path = f"/panel/requests/{numbers['working']}/"
    assert office.browser("director").send(f"{path}hand_on", to=1, comment="x").status_code == 404
    assert office.browser("anna").send(f"{path}reassign", to=1, comment="x").status_code == 404


# --- Files ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("media_type", "is_shown"),
    [
        ("image/png", True),
        ("image/jpeg", True),
        ("image/webp", True),
        ("image/gif", True),
        ("application/pdf", True),
        ("image/svg+xml", False),
        ("text/html", False),
        ("application/xml", False),
        ("text/plain", False),
    ],
)
def test_the_browser_shows_only_what_cannot_run(busy, media_type, is_shown):
    office, numbers = busy
    file_id = picture(office, numbers["working"], media_type, f"файл-{media_type.replace('/', '-')}")
    path = f"/panel/requests/{numbers['working']}/files/{file_id}"
    browser = office.browser("anna")
    answer = browser.get(f"{path}?view=1")
    disposition = answer.headers["Content-Disposition"]
    assert disposition.startswith("inline" if is_shown else "attachment")
    assert answer.mimetype == media_type
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    policy = answer.headers["Content-Security-Policy"]
    assert (policy == "default-src 'none'; sandbox") == is_shown
    assert browser.get(path).headers["Content-Disposition"].startswith("attachment")
    page = browser.page(f"/panel/requests/{numbers['working']}/")
    assert (f"{path}?view=1" in page) == is_shown


def test_a_file_of_a_foreign_request_is_not_shown_either(busy):
    office, numbers = busy
    foreign = picture(office, numbers["late"])
    anna = office.browser("anna")
    for number in (numbers["late"], numbers["working"]):
        assert anna.get(f"/panel/requests/{number}/files/{foreign}?view=1").status_code == 404


def test_who_opened_what_is_kept_once_an_hour_and_shown(busy):
    office, numbers = busy
    number = numbers["working"]
    first, second = picture(office, number, name="паспорт.png"), picture(office, number, name="счёт.png")

    def look(name, file_id, view="?view=1"):
        assert office.browser(name).get(f"/panel/requests/{number}/files/{file_id}{view}").status_code == 200

    def looks():
        return [line for line in office.all(History) if line.action == "file_opened"]

    for view in ("", "?view=1", ""):
        look("anna", first, view)
    assert len(looks()) == 1
    look("anna", second)
    look("director", first)
    assert len(looks()) == 3
    office.clock += timedelta(minutes=61)
    look("anna", first)
    assert len(looks()) == 4
    page = office.browser("controller").page(f"/panel/requests/{number}/")
    part = page[page.index("Кто открывал документы") :]
    part = re.sub(r"<[^>]+>", "", part[: part.index("</details>")])
    assert "Анна Петрова: паспорт.png" in part
    assert "раз: 2" in part
    assert "Елена Дирова: паспорт.png" in part
    line = looks()[-1]
    assert (line.subject, line.actor_id) == (f"request:{number}", office.persons["anna"])
    assert json.loads(line.after) == {"file": "паспорт.png", "file_id": first}


# --- The whole correspondence --------------------------------------------------------------------------


def second_messenger(office, client=0) -> int:
    """The same client writes from another messenger too."""
    with office.database.begin() as session:
        chat = Chat(
            channel="telegram", chat_key="t1", user_key="t1",
            person_id=office.speakers[client], created_at=office.clock,
        )  # fmt: skip
        session.add(chat)
        session.flush()
        return chat.id


def test_all_that_the_client_ever_said_is_in_one_thread(busy):
    office, numbers = busy
    chat = second_messenger(office)
    with office.database.begin() as session:
        session.add(
            Message(
                chat_id=chat, request_id=None, person_id=office.speakers[0], direction="in",
                text=f"Ещё до заявки {NASTY}", sent_at=office.clock - timedelta(days=20),
                received_at=office.clock, event_key="t-early",
            )
        )  # fmt: skip
    browser = office.browser("director")
    path = f"/panel/requests/{numbers['working']}/all"
    assert path in browser.page(f"/panel/requests/{numbers['working']}/")
    pages, address = [], path
    while address:
        page = browser.page(address)
        pages.append(page)
        found = re.search(r'rel="prev" href="([^"]+)"', page)
        address = found.group(1) if found else None
    whole = "".join(reversed(pages))
    assert "Ещё до заявки" in whole
    assert "<script>alert" not in whole
    assert "Telegram" in whole
    assert "Счёт во вложении" in whole
    assert whole.index("Ещё до заявки") < whole.index("Счёт во вложении")
    assert f'href="/panel/requests/{numbers["past"]}/"' in whole or "Прошлая задача" in whole
    assert "Проверить лимит в банке" not in whole
    assert "Выписать УПД" not in whole, "another client's"


def test_leafing_through_loses_and_repeats_nothing(office):
    number = office.submit(0)
    with office.database.begin() as session:
        for count in range(130):
            session.add(
                Message(
                    chat_id=office.chats[0], request_id=number, person_id=office.speakers[0], direction="in",
                    text=f"слова {count}", sent_at=office.clock + timedelta(seconds=count // 7),
                    received_at=office.clock, event_key=f"many{count}",
                )
            )  # fmt: skip
    seen, place, pages = [], None, 0
    with office.database.read() as session:
        while True:
            page = correspondence.whole_correspondence(session, number, place)
            seen = [(each.line.at, each.line.text) for each in page.said] + seen
            pages += 1
            place = page.older
            if place is None:
                break
            assert correspondence.Place.parse(str(place)) == place
    assert pages == 3
    assert [text for _at, text in seen if text.startswith("слова")] == [f"слова {n}" for n in range(130)]
    assert len(set(seen)) == len(seen)
    assert [at for at, _text in seen] == sorted(at for at, _text in seen)


@pytest.mark.parametrize("place", ["", "x", "1-2-3", "99999999999999999-0-1", "1-0-", "-1-0-1"])
def test_a_place_that_makes_no_sense_is_the_end(place):
    assert correspondence.Place.parse(place) is None


@pytest.mark.parametrize(("role", "status"), [("anna", 404), ("admin", 403), ("controller", 200)])
def test_only_those_who_see_all_requests_read_it_all(busy, role, status):
    office, numbers = busy
    assert office.browser(role).get(f"/panel/requests/{numbers['working']}/all").status_code == status
    assert office.browser("director").get("/panel/requests/99999/all").status_code == 404


# --- Who waits -----------------------------------------------------------------------------------------


def test_the_longest_unanswered_comes_first(office):
    from storage.models import Request

    made = [office.submit(0, task=f"Задача {count}") for count in range(4)]
    waits = {made[0]: 5, made[1]: None, made[2]: 50, made[3]: 20}
    with office.database.begin() as session:
        for number, minutes in waits.items():
            row = session.get_one(Request, number)
            row.unanswered_since = office.clock - timedelta(minutes=minutes) if minutes else None
            session.add(row)
    director = office.browser("director")
    page = director.page("/panel/requests/?list=unanswered")
    assert shown(page) == [made[2], made[3], made[0]]
    assert re.search(r'list=unanswered" aria-current="page"', page)
    office.give(made[3], "boris")
    assert shown(office.browser("boris").page("/panel/requests/?list=unanswered")) == [
        number
        for number in (made[2], made[3], made[0])
        if office.request(number).assignee_id == office.staff["boris"]
    ]


def test_what_is_in_work_has_a_list_of_its_own(busy):
    office, numbers = busy
    page = office.browser("director").page("/panel/requests/?list=working")
    assert shown(page) == [numbers["working"]]
    assert shown(office.browser("boris").page("/panel/requests/?list=working")) == []
    assert shown(office.browser("director").page("/panel/requests/?list=junk")) == shown(
        office.browser("director").page("/panel/requests/")
    )


# --- Kept answers --------------------------------------------------------------------------------------


def test_a_kept_answer_is_put_in_with_its_facts(busy):
    from storage import canned
    from storage.canned import ReplyFields
    from storage.roster import Act

    office, numbers = busy
    number = numbers["working"]
    act = Act(office.who("director"), office.clock)
    with office.database.begin() as session:
        words = "{клиент}, по заявке {номер} ответит {исполнитель}. {фирма}"
        chosen = canned.add(session, act, ReplyFields("Ждите ответа", words, "pay"))
        canned.add(session, act, ReplyFields("Другой вид", "не сюда", "balance"))
        canned.add(session, act, ReplyFields("Чужая", "не моя", owner_id=office.staff["boris"]))
    browser = office.browser("anna")
    page = browser.page(f"/panel/requests/{number}/")
    filled = f"Клиент 0, по заявке {number} ответит Анна Петрова. Баланс Актив"
    assert f'data-text="{filled}"' in page
    assert "Другой вид" not in page
    assert "Чужая" not in page
    sent = {"insert": "1", "canned": chosen, "text": "Добрый день!", "version": version_of(office, number)}
    again = browser.send(f"/panel/requests/{number}/answer", **sent)
    assert again.status_code == 200
    assert f">Добрый день!\n{filled}</textarea>" in again.get_data(as_text=True)
    assert "Добрый день!" not in {letter.text for letter in office.all(Letter)}
