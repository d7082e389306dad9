"""Two browsers, one card: both versions side by side, chosen field by field, nothing overwritten."""

import re

import pytest

from notifications.texts import Catalogue
from storage.models import CannedReply, Client, Person, Staff
from storage.wordings import key_of
from tests.admin.test_settings import kinds_form

CLIENT = {"kind": "company", "inn": "7707083893", "email": ""}


def opened(page: str) -> dict[str, str]:
    """The version and the place in the history that a form carries."""
    return dict(re.findall(r'name="(version|seen)" value="(\d+)"', page)[:2])


def disputes(page: str) -> dict[str, tuple[str, str, str, str]]:
    """By field: what was there, theirs, mine, and which side is ticked."""
    found = {}
    for part in re.findall(r'<fieldset class="dispute">(.*?)</fieldset>', page, re.DOTALL):
        name = re.search(r'name="pick:([\w-]+)"', part).group(1)
        was = re.search(r"Было:\s*(.*?)</p>", part, re.DOTALL).group(1).strip()
        theirs, mine = re.findall(r"<b>(.*?)</b>", part, re.DOTALL)
        ticked = re.search(r'value="(theirs|mine)" required checked', part)
        found[name] = was, theirs, mine, ticked.group(1) if ticked else ""
    return found


def typed_by_me(page: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r'name="(mine:[\w-]+)" value="([^"]*)"', page):
        found.setdefault(name, []).append(value.replace("&#34;", '"'))
    return found


@pytest.fixture
def clash(office):
    """The deputy saves a telephone and a name while the director types a name and a person."""
    path = f"/panel/clients/{office.clients[0]}/"
    director, deputy = office.browser("director"), office.browser("deputy")
    mine, theirs = opened(director.page(path)), opened(deputy.page(path))
    anna, boris = office.staff["anna"], office.staff["boris"]
    saved = {**CLIENT, "name": "ООО «Ромашка Плюс»", "phone": "+7 911 111-11-11", "responsible_id": anna}
    assert deputy.send(path, **theirs, **saved).status_code == 302
    typed = {**CLIENT, "name": "ООО «Ромашка Люкс»", "phone": "+7 900 000-00-00", "responsible_id": boris}
    answer = director.send(path, **mine, **typed)
    assert answer.status_code == 409
    return office, path, director, deputy, answer.get_data(as_text=True)


def client(office) -> Client:
    return office.all(Client, id=office.clients[0])[0]


def test_both_versions_stand_side_by_side(clash):
    office, _path, _director, _deputy, page = clash
    assert disputes(page) == {
        "name": ("ООО «Ромашка»", "ООО «Ромашка Плюс»", "ООО «Ромашка Люкс»", ""),
        "phone": ("+7 900 000-00-00", "+7 911 111-11-11", "+7 900 000-00-00", "theirs"),
        "responsible_id": ("Анна Петрова", "Анна Петрова", "Борис Лядов", "mine"),
    }
    assert "Олег Замов" in page
    assert "Это поле изменили оба" in page
    assert client(office).name == "ООО «Ромашка Плюс»"


def test_what_is_picked_is_saved_and_the_rest_stays(clash):
    office, path, director, _deputy, page = clash
    picks = {"pick:name": "mine", "pick:phone": "theirs", "pick:responsible_id": "mine"}
    done = director.send(path, picking="1", **opened(page), **typed_by_me(page), **picks)
    assert done.status_code == 302
    row = client(office)
    assert (row.name, row.phone, row.responsible_id, row.version) == (
        "ООО «Ромашка Люкс»", "+7 911 111-11-11", office.staff["boris"], 3
    )  # fmt: skip


def test_a_conflict_without_picks_overwrites_nothing(clash):
    office, path, director, _deputy, page = clash
    assert director.send(path, picking="1", **opened(page), **typed_by_me(page)).status_code == 302
    row = client(office)
    assert (row.name, row.phone, row.responsible_id) == (
        "ООО «Ромашка Плюс»", "+7 911 111-11-11", office.staff["anna"]
    )  # fmt: skip


def test_a_third_change_meanwhile_is_a_conflict_again(clash):
    office, path, director, deputy, page = clash
    again = opened(deputy.page(path))
    saved = {**CLIENT, "name": "ООО «Третье имя»", "phone": "+7 911 111-11-11", "responsible_id": ""}
    assert deputy.send(path, **again, **saved).status_code == 302
    picks = {"pick:name": "mine", "pick:phone": "theirs", "pick:responsible_id": "mine"}
    answer = director.send(path, picking="1", **opened(page), **typed_by_me(page), **picks)
    assert answer.status_code == 409
    found = disputes(answer.get_data(as_text=True))
    assert found["name"] == ("ООО «Ромашка Плюс»", "ООО «Третье имя»", "ООО «Ромашка Люкс»", "")
    assert found["responsible_id"] == ("Анна Петрова", "—", "Борис Лядов", "")
    assert "phone" not in found
    assert client(office).name == "ООО «Третье имя»"


def test_the_same_change_twice_is_no_conflict(office):
    path = f"/panel/clients/{office.clients[0]}/"
    first, second = office.browser("director"), office.browser("deputy")
    one, two = opened(first.page(path)), opened(second.page(path))
    saved = {**CLIENT, "name": "ООО «Ромашка Плюс»", "phone": "", "responsible_id": ""}
    assert first.send(path, **one, **saved).status_code == 302
    told = second.send(path, follow=True, **two, **saved).get_data(as_text=True)
    assert "То же самое уже сохранено" in told
    assert client(office).version == 2


def test_a_refused_form_keeps_the_version_it_was_written_over(office):
    """Or putting a typing error right would overwrite what somebody saved meanwhile."""
    path = f"/panel/clients/{office.clients[0]}/"
    first, second = office.browser("director"), office.browser("deputy")
    one, two = opened(first.page(path)), opened(second.page(path))
    saved = {**CLIENT, "name": "ООО «Чужое»", "phone": "", "responsible_id": ""}
    assert second.send(path, **two, **saved).status_code == 302
    mine = {**saved, "name": "ООО «Моё»"}
    refused = first.send(path, **one, **{**mine, "inn": "123"})
    assert refused.status_code == 422
    again = opened(refused.get_data(as_text=True))
    assert first.send(path, **again, **mine).status_code == 409
    assert client(office).name == "ООО «Чужое»"


def test_the_card_of_staff_is_compared_too(office):
    path = f"/panel/staff/{office.staff['anna']}/"
    director, admin = office.browser("director"), office.browser("admin")
    mine, theirs = opened(director.page(path)), opened(admin.page(path))
    card = {
        "name": "Анна Петрова", "email": "anna@balans.example", "role": "accountant",
        "department": "finance", "skills": ["payments", "documents", "reports"], "capacity": "10",
        "active": "1",
    }  # fmt: skip
    assert admin.send(path, **theirs, **{**card, "capacity": "5", "skills": ["payments"]}).status_code == 302
    answer = director.send(path, **mine, **{**card, "name": "Анна Сидорова"})
    page = answer.get_data(as_text=True)
    assert answer.status_code == 409
    assert disputes(page) == {
        "name": ("Анна Петрова", "Анна Петрова", "Анна Сидорова", "mine"),
        "skills": (
            "платежи и остатки, документы, отчёты", "платежи и остатки",
            "платежи и остатки, документы, отчёты", "theirs",
        ),
        "capacity": ("10", "5", "10", "theirs"),
    }  # fmt: skip
    picks = {"pick:name": "mine", "pick:skills": "mine", "pick:capacity": "theirs"}
    sent = director.send(path, picking="1", **opened(page), **typed_by_me(page), **picks)
    assert sent.status_code == 302
    row = office.all(Staff, id=office.staff["anna"])[0]
    assert (row.capacity, sorted(row.skills), row.active) == (5, ["documents", "payments", "reports"], True)
    assert office.all(Person, id=row.person_id)[0].name == "Анна Сидорова"


def test_whoever_was_taken_off_the_list_meanwhile_is_asked_about(office):
    path = f"/panel/staff/{office.staff['boris']}/"
    director, admin = office.browser("director"), office.browser("admin")
    mine, theirs = opened(director.page(path)), opened(admin.page(path))
    card = {
        "name": "Борис Лядов", "email": "boris@balans.example", "role": "accountant",
        "department": "finance", "skills": ["payments", "documents", "reports"], "capacity": "10",
    }  # fmt: skip
    assert admin.send(path, **theirs, **card).status_code == 302
    answer = director.send(path, **mine, **card, active="1")
    assert disputes(answer.get_data(as_text=True)) == {"active": ("да", "нет", "да", "theirs")}
    assert not office.all(Staff, id=office.staff["boris"])[0].active


SETTLED = {
    "/panel/settings/terms": (
        {
            "accept_within_minutes": "15", "look_within_minutes": "30", "remind_before_minutes": "60",
            "answer_within_minutes": "30", "close_after_working_days": "3", "failover_after_minutes": "10",
            "silent_after_hours": "24",
        },
        ("look_within_minutes", "45"), ("accept_within_minutes", "20"),
    ),
    "/panel/settings/routing/": (
        {
            "dedicated": "100", "recorded": "200", "skill": "50", "no_skill": "-50", "open_request": "-100",
            "open_requests_at_most": "-500", "most_open_requests": "0",
        },
        ("skill", "60"), ("dedicated", "120"),
    ),
    "/panel/settings/hours": (
        {
            "opens": "10:00", "closes": "19:00", "lunch_from": "", "lunch_to": "", "extra_working_days": "",
            "extra_days_off": "",
        },
        ("extra_days_off", "26.11.2026"), ("closes", "18:00"),
    ),
    "/panel/settings/consent": (
        {"text": "Наш текст", "url": "https://example.ru/a", "version_name": "2"},
        ("url", "https://example.ru/b"), ("text", "Наш новый текст"),
    ),
    "/panel/times/norms": (
        {
            "processing-from": "2", "processing-to": "6", "clarification-from": "1", "clarification-to": "4",
            "execution-from": "3", "execution-to": "10", "interaction_percent": "30", "message_minutes": "3",
            "call_minutes": "7",
        },
        ("call_minutes", "9"), ("processing-to", "8"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("path", SETTLED)
def test_what_a_colleague_settled_survives_an_old_form(office, path):
    """The first changes one field, the second, whose form is old, another: both stay."""
    first_form, (theirs, their_value), (mine, my_value) = SETTLED[path]
    changed = {"version_name": "3"} if "consent" in path else {}
    director = office.browser("director")
    assert director.send(path, version="0", **first_form).status_code == 302
    assert (
        director.send(path, version="1", **{**first_form, **changed, theirs: their_value}).status_code == 302
    )
    stale = {**first_form, **({"version_name": "4"} if changed else {}), mine: my_value}
    answer = director.send(path, version="1", **stale)
    assert answer.status_code == 409
    page = answer.get_data(as_text=True)
    found = {name: ticked for name, (_was, _theirs, _mine, ticked) in disputes(page).items()}
    assert (found[theirs], found[mine]) == ("theirs", "mine")
    picks = {f"pick:{name}": ticked or "mine" for name, ticked in found.items()}
    assert director.send(path, picking="1", **opened(page), **typed_by_me(page), **picks).status_code == 302
    shown = director.page(path)
    for value in (their_value, my_value):
        assert re.search(rf'(value="|>){re.escape(value)}["<]', shown), value


@pytest.mark.parametrize("path", ["/panel/settings/terms", "/panel/settings/routing/"])
def test_a_refused_setting_keeps_the_version_it_was_written_over(office, path):
    form, (name, value), (other, mine) = SETTLED[path]
    director = office.browser("director")
    director.send(path, version="0", **form)
    director.send(path, version="1", **{**form, name: value})
    refused = director.send(path, version="1", **{**form, other: "х"})
    assert refused.status_code == 422
    assert 'name="version" value="1"' in refused.get_data(as_text=True)
    assert director.send(path, version="1", **{**form, other: mine}).status_code == 409


def test_kinds_from_an_old_page_stay_on_the_screen_and_overwrite_nothing(office):
    path, director = "/panel/settings/kinds", office.browser("director")
    refused = director.send(path, version="7", **kinds_form(office, **{"label-pay": "Моё название"}))
    page = refused.get_data(as_text=True)
    assert refused.status_code == 409
    assert "Моё название" in page
    assert "Откройте страницу заново" in page
    assert 'name="version" value="7"' in page


def test_an_answer_that_both_changed_is_chosen_field_by_field(office):
    director = office.browser("director")
    reply = {
        "title": "Счёт",
        "text": "Получили.",
        "kind": "pay",
        "whose": "all",
        "position": "3",
        "active": "1",
    }
    director.send("/panel/settings/replies/new", **reply)
    path = f"/panel/settings/replies/{office.all(CannedReply)[0].id}/"
    director.send(path, version="1", **{**reply, "text": "Счёт получили."})
    mine = {name: value for name, value in reply.items() if name != "active"}
    answer = director.send(path, version="1", **{**mine, "kind": ""})
    assert answer.status_code == 409
    page = answer.get_data(as_text=True)
    assert disputes(page) == {
        "text": ("Получили.", "Счёт получили.", "Получили.", "theirs"),
        "kind": ("Оплатить счёт", "Оплатить счёт", "любого", "mine"),
        "active": ("да", "да", "нет", "mine"),
    }
    picks = {"pick:text": "theirs", "pick:kind": "mine", "pick:active": "mine"}
    assert director.send(path, picking="1", **opened(page), **typed_by_me(page), **picks).status_code == 302
    row = office.all(CannedReply)[0]
    assert (row.text, row.kind, row.active, row.version) == ("Счёт получили.", "", False, 3)


def test_a_sentence_that_both_changed_is_chosen(office):
    director = office.browser("director")
    ours = Catalogue.open("ru").sentences()
    msgid = next(msgid for msgid, forms in ours.items() if forms == (msgid,) and "{" not in msgid)
    key = key_of(msgid)
    path = f"/panel/settings/texts/{key}/"
    assert director.send(path, version="0", **{"form-0": "Сказано иначе"}).status_code == 302
    answer = director.send(path, version="0", **{"form-0": "Сказано по-моему"})
    assert answer.status_code == 409
    page = answer.get_data(as_text=True)
    ((was, theirs, mine, ticked),) = disputes(page).values()
    assert (theirs, mine, ticked) == ("Сказано иначе", "Сказано по-моему", "")
    assert was not in (theirs, mine)
    picks = {"pick:form-0": "mine"}
    assert director.send(path, picking="1", **opened(page), **typed_by_me(page), **picks).status_code == 302
    assert "Сказано по-моему" in director.page(path)
