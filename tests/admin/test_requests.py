"""The list of requests, the page of one, «Неразобранное»: everything goes through the use cases."""

import io
import re
from datetime import timedelta

import pytest

from storage import casework
from storage.models import Assignment, History, Letter, Message


def shown(page: str) -> list[int]:
    """The numbers in a list, in order."""
    return [
        int(number) for number in re.findall(r'<td class="number"><a href="/panel/requests/(\d+)/">', page)
    ]


def test_the_list_is_narrowed_by_everything_it_offers(busy):
    office, numbers = busy
    browser = office.browser("director")
    anna = office.staff["anna"]
    cases = {
        "status=waiting_client": [numbers["waiting"]],
        "status=new": [numbers["unassigned"]],
        "assignee=0": [numbers["unassigned"]],
        "overdue=1": [numbers["overdue"]],
        "late=1": [numbers["overdue"], numbers["late"]],
        "undelivered=1": [numbers["working"]],
        f"q={numbers['late']}": [numbers["late"]],
        f"q=№{numbers['late']}": [numbers["late"]],
        "q=№+77": [],
        "q=СЧЁТ+свет": [numbers["working"]],
        "q=счет+свет": [numbers["working"]],
        "q=7736050003&status=new": [numbers["unassigned"]],
        "kind=waybill": [numbers["waiting"]],
        "channel=telegram": [],
        f"assignee={anna}&status=accepted": [numbers["working"]],
        "since=2026-11-25&status=accepted": [numbers["working"]],
        "until=2026-11-24&status=accepted": [],
        f"client={office.clients[2]}&status=new": [numbers["unassigned"]],
    }
    for query, expected in cases.items():
        assert shown(browser.page(f"/panel/requests/?{query}")) == expected, query


@pytest.mark.parametrize("sort", ["number", "deadline", "submitted", "status"])
def test_the_list_is_sorted_both_ways(busy, sort):
    office, _numbers = busy
    browser = office.browser("director")
    up = shown(browser.page(f"/panel/requests/?sort={sort}&order=asc"))
    down = shown(browser.page(f"/panel/requests/?sort={sort}&order=desc"))
    assert up == down[::-1]
    assert len(up) > 5


def test_the_list_is_leafed_through_without_losing_or_repeating(office):
    made = [office.submit(0, task=f"Задача {number}") for number in range(103)][::-1]
    browser = office.browser("director")
    pages = [browser.page("/panel/requests/?order=desc")]
    while link := _leads(pages[-1], "next"):
        pages.append(browser.page(link))
    assert [shown(page) for page in pages] == [made[:50], made[50:100], made[100:]]
    back = [browser.page("/panel/requests/?order=desc&last=1")]
    while link := _leads(back[-1], "prev"):
        back.append(browser.page(link))
    assert [shown(page) for page in back] == [made[53:], made[3:53], made[:3]]


def _leads(page: str, where: str) -> str:
    found = re.search(rf'rel="{where}" href="([^"]+)"', page)
    return found.group(1).replace("&amp;", "&") if found else ""


def test_the_start_page_counts_what_its_links_show(busy):
    office, _numbers = busy
    browser = office.browser("director")
    page = browser.page("/panel/")
    tiles = re.findall(r'<a class="tile[^"]*" data-key="(\w+)" href="([^"]+)"><b>(\d+)</b>', page)
    assert len(tiles) == 12
    for key, address, count in tiles:
        if key in ("risk", "calls", "unheard"):
            # Their lists are of another shape and have tests of their own.
            assert browser.get(address.replace("&amp;", "&")).status_code == 200
            continue
        linked = browser.page(address.replace("&amp;", "&"))
        found = (
            len(re.findall(r"/panel/unassigned/\d+", linked))
            if "unassigned" in address
            else len(shown(linked))
        )
        assert found == int(count), address


def test_an_accountant_sees_only_their_own(busy):
    office, numbers = busy
    browser = office.browser("anna")
    own = set(shown(browser.page("/panel/requests/")))
    assert numbers["working"] in own
    for name in ("waiting", "late", "unassigned"):
        assert numbers[name] not in own
        assert browser.get(f"/panel/requests/{numbers[name]}/").status_code == 404
        assert browser.send(f"/panel/requests/{numbers[name]}/answer", text="моё").status_code == 404
    assert shown(browser.page(f"/panel/requests/?assignee={office.staff['boris']}")) == []
    assert shown(browser.page(f"/panel/requests/?q={numbers['late']}")) == []


def test_nobody_opens_a_file_through_another_request(busy):
    office, numbers = busy
    foreign = office.attach(numbers["late"], content=b"%PDF-1.4 secret\n%%EOF\n")
    anna = office.browser("anna")
    assert anna.get(f"/panel/requests/{numbers['late']}/files/{foreign}").status_code == 404
    assert anna.get(f"/panel/requests/{numbers['working']}/files/{foreign}").status_code == 404
    assert (
        office.browser("admin").get(f"/panel/requests/{numbers['late']}/files/{foreign}").status_code == 403
    )
    assert "file_opened" not in {line.action for line in office.all(History)}


def test_a_file_is_given_as_an_attachment_and_remembered(busy):
    office, numbers = busy
    file_id = office.attach(numbers["working"], name="счёт «77».pdf", content=b"%PDF-1.4 bytes\n%%EOF\n")
    answer = office.browser("anna").get(f"/panel/requests/{numbers['working']}/files/{file_id}")
    assert answer.status_code == 200
    assert answer.data == b"%PDF-1.4 bytes\n%%EOF\n"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    line = office.all(History)[-1]
    assert (line.action, line.subject, line.actor_id) == (
        "file_opened",
        f"request:{numbers['working']}",
        office.persons["anna"],
    )


def test_the_page_tells_the_whole_story(busy):
    office, numbers = busy
    page = office.browser("director").page(f"/panel/requests/{numbers['working']}/")
    for words in (
        "Оплатить счёт № 77",
        "Счёт во вложении, спасибо",
        "Поставили в очередь на оплату.",
        "Проверить лимит в банке",
        "счёт.pdf",
        "не доставлено: Клиент закрыл чат",
        "ведёт этого клиента",
        "Борис Лядов",
        "осталось 3 ч 20 мин",
        "принята в работу",
        "исполнитель закончит работу",
    ):
        assert words in page, words
    told = page.index("Счёт во вложении, спасибо"), page.index("Поставили в очередь на оплату.")
    assert told == tuple(sorted(told))


def test_versions_of_a_field_are_shown(busy):
    office, numbers = busy
    from datetime import UTC

    from storage.models import AnswerVersion

    with office.database.begin() as session:
        session.add(
            AnswerVersion(
                request_id=numbers["working"],
                field="task",
                version=2,
                value="Оплатить счёт № 78",
                person_id=office.speakers[0],
                created_at=office.clock.astimezone(UTC),
            )
        )
    page = office.browser("director").page(f"/panel/requests/{numbers['working']}/")
    assert "<summary>v2</summary>" in page
    assert "<b>v1</b> Оплатить счёт № 77" in page


def test_reassigning_writes_history_and_letters_and_wakes_the_post(busy):
    office, numbers = busy
    number, boris = numbers["working"], office.staff["boris"]
    letters = len(office.all(Letter))
    version = office.request(number).version
    answer = office.browser("director").send(
        f"/panel/requests/{number}/reassign", to=boris, comment="у Анны отчёты", version=version
    )
    assert answer.status_code == 302
    row = office.request(number)
    assert (row.assignee_id, row.status, row.version) == (boris, "assigned", version + 1)
    line = office.all(History, subject=f"request:{number}")[-1]
    assert (line.action, line.through, line.actor_id) == ("reassigned", "panel", office.persons["director"])
    assert "у Анны отчёты" in line.after
    new = office.all(Letter)[letters:]
    assert {letter.person_id for letter in new} == {
        office.persons["anna"],
        office.persons["boris"],
        office.speakers[0],
    }
    assert office.all(Assignment, request_id=number)[-1].staff_id == boris
    assert office.woken == 1


def test_a_stale_form_is_refused_shows_the_change_and_keeps_the_words(busy):
    office, numbers = busy
    number = numbers["working"]
    browser = office.browser("director")
    page = browser.page(f"/panel/requests/{number}/")
    version = re.search(r'name="version" value="(\d+)"', page).group(1)
    seen = re.search(r'name="seen" value="(\d+)"', page).group(1)
    with office.database.begin() as session:
        casework.note(session, office.house, office.who("anna"), number, "клиент звонил", (), office.clock)
    for deed, fields in (
        ("reassign", {"to": office.staff["boris"], "comment": "моё длинное пояснение"}),
        ("answer", {"text": "моё длинное пояснение"}),
        ("cancel", {"reason": "моё длинное пояснение"}),
    ):
        before = office.request(number)
        answer = browser.send(f"/panel/requests/{number}/{deed}", version=version, seen=seen, **fields)
        told = answer.get_data(as_text=True)
        assert answer.status_code == 409, deed
        assert "Заявка изменилась, пока вы смотрели: Анна Петрова" in told
        assert "клиент звонил" in told
        assert "моё длинное пояснение" in told
        assert office.request(number).version == before.version
        again = re.search(r'name="version" value="(\d+)"', told).group(1)
        assert int(again) == before.version


def test_an_answer_goes_out_with_its_file(busy):
    office, numbers = busy
    number = numbers["working"]
    browser = office.browser("anna")
    file = (io.BytesIO("Оплачено 25 ноября".encode()), "платёж.txt")
    answer = browser.send(
        f"/panel/requests/{number}/answer",
        text="Готово, смотрите",
        files=file,
        version=office.request(number).version,
    )
    assert answer.status_code == 302
    letter = [
        row for row in office.all(Letter, request_id=number) if row.author_id == office.persons["anna"]
    ][-1]
    assert "Готово, смотрите" in letter.text
    assert letter.files[0]["name"] == "платёж.txt"
    assert office.request(number).first_response_at is not None


def test_a_refused_file_stops_the_answer_and_keeps_its_words(busy):
    office, numbers = busy
    number = numbers["working"]
    letters = len(office.all(Letter))
    file = (io.BytesIO(b"MZ\x90\x00" + b"\x00" * 200), "вирус.exe")
    answer = office.browser("anna").send(
        f"/panel/requests/{number}/answer",
        text="слова остаются",
        files=file,
        version=office.request(number).version,
    )
    assert answer.status_code == 422
    assert "слова остаются" in answer.get_data(as_text=True)
    assert len(office.all(Letter)) == letters


def test_a_note_stays_among_staff(busy):
    office, numbers = busy
    letters = len(office.all(Letter))
    assert (
        office.browser("director")
        .send(f"/panel/requests/{numbers['late']}/note", text="не звонить до обеда")
        .status_code
        == 302
    )
    assert office.all(Message, direction="note")[-1].text == "не звонить до обеда"
    assert len(office.all(Letter)) == letters


def test_cancelling_needs_a_reason_and_tells_the_client(busy):
    office, numbers = busy
    number, browser = numbers["late"], office.browser("director")
    version = office.request(number).version
    assert browser.send(f"/panel/requests/{number}/cancel", version=version, reason="  ").status_code == 422
    assert (
        browser.send(f"/panel/requests/{number}/cancel", version=version, reason="двойная").status_code == 302
    )
    assert office.request(number).status == "cancelled"
    assert any(
        "двойная" in row.text and row.person_id == office.speakers[0]
        for row in office.all(Letter, request_id=number)
    )


def test_an_assignee_accepts_and_finishes_in_the_panel(busy):
    office, numbers = busy
    number, browser = numbers["late"], office.browser("boris")
    version = office.request(number).version
    assert browser.send(f"/panel/requests/{number}/accept", version=version).status_code == 302
    assert (
        browser.send(
            f"/panel/requests/{number}/done", version=version + 1, text="Декларация принята"
        ).status_code
        == 302
    )
    row = office.request(number)
    assert (row.status, row.result) == ("done", "Декларация принята")


@pytest.mark.parametrize(
    ("role", "deed"),
    [("anna", "reassign"), ("anna", "cancel"), ("director", "accept"), ("director", "explode")],
)
def test_a_deed_that_is_not_for_this_role_does_not_exist(busy, role, deed):
    office, numbers = busy
    answer = office.browser(role).send(f"/panel/requests/{numbers['working']}/{deed}", text="x", reason="x")
    assert answer.status_code == 404


def test_what_the_desk_forbids_is_told_on_the_page(busy):
    office, numbers = busy
    number = numbers["past"]
    answer = office.browser("director").send(
        f"/panel/requests/{number}/reassign", to=office.staff["anna"], version=office.request(number).version
    )
    assert answer.status_code == 422
    assert "Сейчас этого сделать нельзя" in answer.get_data(as_text=True)


def test_many_are_reassigned_and_each_refusal_is_told(busy):
    office, numbers = busy
    anna = office.staff["anna"]
    picks = [
        f"{numbers['late']}:{office.request(numbers['late']).version}",
        f"{numbers['waiting']}:{office.request(numbers['waiting']).version - 1}",
        f"{numbers['past']}:{office.request(numbers['past']).version}",
        "junk",
        "1:",
        "999999:1",
    ]
    told = (
        office.browser("director")
        .send(
            "/panel/requests/reassign",
            follow=True,
            pick=picks,
            to=anna,
            comment="помогите",
            back="status=assigned",
        )
        .get_data(as_text=True)
    )
    assert "Передано заявок: 1." in told
    assert f"Заявка № {numbers['waiting']} не передана. Заявка изменилась" in told
    assert f"Заявка № {numbers['past']} не передана." in told
    assert office.request(numbers["late"]).assignee_id == anna
    assert office.request(numbers["waiting"]).assignee_id == office.staff["boris"]


@pytest.mark.parametrize("to", ["", "0", "999999", "director"])
def test_nothing_is_given_to_who_takes_no_requests(busy, to):
    office, numbers = busy
    chosen = office.staff["director"] if to == "director" else to
    number = numbers["late"]
    version = office.request(number).version
    browser = office.browser("director")
    browser.send("/panel/requests/reassign", pick=f"{number}:{version}", to=chosen)
    browser.send(f"/panel/requests/{number}/reassign", version=version, to=chosen)
    browser.send(f"/panel/unassigned/{number}", version=version, to=chosen)
    assert office.request(number).version == version


def test_the_unassigned_are_given_in_one_click(busy):
    office, numbers = busy
    browser = office.browser("director")
    page = browser.page("/panel/unassigned/")
    assert "по должности не берёт заявки" in page
    number = numbers["unassigned"]
    version = office.request(number).version
    told = browser.send(
        f"/panel/unassigned/{number}", follow=True, to=office.staff["lawyer"], version=version
    ).get_data(as_text=True)
    assert "Исполнитель: Вера Юристова" in told
    assert "у каждой заявки есть исполнитель" in told
    assert office.request(number).assignee_id == office.staff["lawyer"]
    stale = browser.send(f"/panel/unassigned/{number}", follow=True, to=office.staff["anna"], version=version)
    assert "Заявка изменилась" in stale.get_data(as_text=True)


def test_reading_pages_does_not_wait_for_a_writer(busy):
    """A list is served while somebody holds SQLite's only write lock."""
    office, numbers = busy
    browser = office.browser("director")
    with office.database.begin():
        for path in (
            "/panel/",
            "/panel/requests/",
            f"/panel/requests/{numbers['late']}/",
            "/panel/times/",
            "/panel/history/",
        ):
            assert browser.get(path).status_code == 200


def test_the_late_ones_are_counted_in_working_time(office):
    number = office.submit(0, hours=20)
    office.give(number, "anna")
    browser = office.browser("director")
    for minutes, expected in ((14, []), (15, [number]), (16, [number])):
        office.clock = office.request(number).assigned_at + timedelta(minutes=minutes)
        browser = office.browser("director")
        assert shown(browser.page("/panel/requests/?late=1")) == expected, minutes
