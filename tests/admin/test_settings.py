"""The settings as the director uses them: seen first, then saved, in force at once."""

import json
import re
from datetime import timedelta

import pytest
from sqlmodel import select

from forms.kinds import KINDS
from forms.texts import _
from storage import wordings
from storage.firm_settings import Part
from storage.models import CannedReply, FirmSetting, History, Wording
from storage.models import metadata as tables

TERMS = {
    "accept_within_minutes": "20", "look_within_minutes": "40", "close_after_working_days": "2",
    "remind_before_minutes": "0", "answer_within_minutes": "45",
    "failover_after_minutes": "5", "silent_after_hours": "4",
}  # fmt: skip
HOURS = {
    "opens": "10:00", "closes": "19:00", "lunch_from": "", "lunch_to": "", "extra_working_days": "28.11.2026",
    "extra_days_off": "26.11.2026\n2026-11-27",
}  # fmt: skip
CONSENT = {"version_name": "2", "text": "Наш новый текст", "url": "https://example.ru/c"}
WEIGHTS = {
    "dedicated": "0", "recorded": "200", "skill": "50", "no_skill": "-50", "open_request": "-100",
    "open_requests_at_most": "-500", "most_open_requests": "0",
}  # fmt: skip
GREETING = "Заявка № {number} принята."


def settings(office):
    with office.database.read() as session:
        return {row.key: row for row in session.exec(select(FirmSetting))}


def last(office):
    return office.all(History)[-1]


@pytest.mark.parametrize(
    ("path", "fields", "part", "words"),
    [
        ("hours", HOURS, Part.HOURS, "Рабочее время сохранено"),
        ("terms", TERMS, Part.TERMS, "Сроки сохранены"),
        ("consent", CONSENT, Part.CONSENT, "Каждый клиент увидит новую версию"),
        ("routing/", WEIGHTS, Part.ROUTING, "Правила сохранены"),
    ],
    ids=["hours", "terms", "consent", "routing"],
)
@pytest.mark.parametrize("role", ["director", "deputy"])
def test_a_part_is_saved_with_history_and_in_force_at_once(office, role, path, fields, part, words):
    browser, before = office.browser(role), office.house
    page = browser.send(f"/panel/settings/{path}", follow=True, version="0", **fields)
    assert words in page.get_data(as_text=True)
    assert settings(office)[part.value].version == 1
    line = last(office)
    assert (line.action, line.subject, line.through, line.actor_id) == (
        "setting_changed", f"setting:{part.value}", "panel", office.persons[role],
    )  # fmt: skip
    assert office.house != before
    history = browser.page("/panel/history/?subject=setting")
    assert "настройки изменены" in history


def test_hours_are_previewed_before_they_are_saved(office):
    browser = office.browser("director")
    page = browser.send("/panel/settings/hours", version="0", preview="1", **HOURS).get_data(as_text=True)
    assert "ещё не сохранено" in page
    assert "10:00–19:00" in page
    assert "рабочий по вашему решению" in page
    assert page.count("выходной по вашему решению") == 4, "in both lists"
    assert settings(office) == {}
    assert office.house.calendar.opens_at(office.clock.date()).hour == 9


def test_hours_hold_from_the_day_that_is_named_and_the_old_ones_are_shown(office):
    browser, today = office.browser("director"), office.clock.date()
    later = today + timedelta(days=20)
    form = {**HOURS, "extra_working_days": "", "extra_days_off": "", "since": later.isoformat()}
    preview = browser.send("/panel/settings/hours", version="0", preview="1", **form).get_data(as_text=True)
    assert "Первые две недели" in preview
    assert "10:00–19:00" in preview
    page = browser.send("/panel/settings/hours", follow=True, version="0", **form).get_data(as_text=True)
    assert f"с {later:%d.%m.%Y}</span> <b>10:00–19:00, без обеда" in page
    assert "раньше</span> <b>09:00–18:00, обед 13:00–14:00" in page
    assert f'value="{later}"' in page, "what is planned can be changed"
    calendar = office.house.calendar
    assert [calendar.opens_at(day).hour for day in (later - timedelta(days=1), later)] == [9, 10]


def test_moved_holidays_are_shown(office):
    page = office.browser("admin").page("/panel/settings/hours")
    assert "Четверг, 31 декабря" in page
    assert "праздник или перенос" in page


@pytest.mark.parametrize(
    ("path", "fields", "words"),
    [
        ("hours", {**HOURS, "extra_days_off": "вчера"}, "не день"),
        ("hours", {**HOURS, "opens": "20:00"}, "позже начала"),
        ("hours", {**HOURS, "since": "2026-11-24"}, "с сегодняшнего дня или позже"),
        ("hours", {**HOURS, "since": "завтра"}, "С какого дня: укажите день"),
        ("hours", {**HOURS, "since": "2026-12-01"}, "Дата 28.11.2026 раньше дня"),
        ("hours", {**HOURS, "opens": ""}, "Начало работы"),
        ("terms", {**TERMS, "accept_within_minutes": "-1"}, "не меньше 1"),
        ("terms", {}, "нужно целое число"),
        ("consent", {**CONSENT, "version_name": "1"}, "дайте ему новую версию"),
        ("consent", {**CONSENT, "url": "example.ru"}, "адрес целиком"),
        ("consent", {**CONSENT, "text": " "}, "Текст согласия: заполните"),
        ("routing/", {**WEIGHTS, "skill": "-1"}, "Есть нужный навык: не меньше 0"),
    ],
)
def test_what_makes_no_sense_is_refused_and_stays_in_the_form(office, path, fields, words):
    answer = office.browser("director").send(f"/panel/settings/{path}", version="0", **fields)
    page = answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert words in page
    assert settings(office) == {}
    kept = next((value for value in fields.values() if value in ("вчера", "20:00", "example.ru")), "")
    assert kept in page


def test_an_old_form_overwrites_nothing(office):
    first, second = office.browser("director"), office.browser("deputy")
    first.send("/panel/settings/terms", version="0", **TERMS)
    answer = second.send("/panel/settings/terms", version="0", **{**TERMS, "look_within_minutes": "99"})
    assert answer.status_code == 409
    assert "изменил кто-то ещё" in answer.get_data(as_text=True)
    assert office.house.look_within_minutes == 40


def test_given_back_to_the_file(office):
    browser = office.browser("director")
    browser.send("/panel/settings/terms", version="0", **TERMS)
    assert "Задано в панели" in browser.page("/panel/settings/terms")
    browser.send("/panel/settings/terms/give-back", version="1")
    assert office.house.accept_within_minutes == 15
    assert "как в файле настроек" in browser.page("/panel/settings/terms")
    assert browser.send("/panel/settings/norms/give-back", version="1").status_code == 404


def test_consent_is_seen_as_the_client_sees_it(office):
    browser = office.browser("director")
    page = browser.send("/panel/settings/consent", version="0", preview="1", **CONSENT).get_data(as_text=True)
    for words in ("Здравствуйте! Это приёмная «Баланс Актив»", "Наш новый текст", "Версия 2. Вы согласны?"):
        assert words in page
    assert settings(office) == {}


# --- Words ---------------------------------------------------------------------------------------------


def address(msgid):
    return f"/panel/settings/texts/{wordings.key_of(msgid)}/"


def test_a_sentence_is_found_previewed_changed_and_taken_back(office):
    browser = office.browser("director")
    assert address(GREETING) in browser.page("/panel/settings/texts/?q=заявка+принята")
    own = {"form-0": "Приняли, ваш номер {number}"}
    page = browser.send(address(GREETING), version="0", preview="1", **own).get_data(as_text=True)
    assert "Приняли, ваш номер 17" in page
    assert office.all(Wording) == []
    browser.send(address(GREETING), version="0", **own)
    assert office.house.say(_(GREETING, number=3)) == "Приняли, ваш номер 3"
    assert address(GREETING) in browser.page("/panel/settings/texts/?own=1")
    assert last(office).action == "wording_changed"
    browser.send(f"{address(GREETING)}give-back", version="1")
    assert office.house.say(_(GREETING, number=3)) == "Заявка № 3 принята."
    assert office.all(Wording) == []


def test_words_that_lose_a_value_are_refused_by_name(office):
    answer = office.browser("director").send(address(GREETING), version="0", **{"form-0": "Принята {nomer}"})
    assert answer.status_code == 422
    assert "В вашей фразе нет {number}" in answer.get_data(as_text=True)


def test_forms_that_depend_on_a_number_are_shown_each_with_its_number(office):
    browser = office.browser("director")
    path = address("Осталось: {count} день.")
    page = browser.page(path)
    assert "Осталось: 1 день." in page
    assert "Осталось: 4 дня." in page
    assert "Осталось: 11 дней." in page
    forms = {"form-0": "{count} день", "form-1": "{count} дня"}
    assert browser.send(path, version="0", **forms).status_code == 422
    browser.send(path, version="0", **forms, **{"form-2": "{count} дней"})
    assert len(office.all(Wording)) == 1


def test_the_panels_own_pages_speak_the_firms_words_too(office):
    browser = office.browser("director")
    assert browser.send(address("Выйти"), version="0", **{"form-0": "Уйти"}).status_code == 302
    assert ">Уйти<" in browser.page("/panel/")
    browser.send(address("Выйти"), version="1", **{"form-0": "Уйти на 100 %"})
    assert ">Выйти<" in browser.page("/panel/"), "a page cannot fill a lone percent sign: it says ours"
    browser.send(address("Страница %(page)s"), version="0", **{"form-0": "Лист %(page)s из многих"})
    assert "Лист 2 из многих" in browser.page("/panel/settings/texts/?page=2")


@pytest.mark.parametrize("own", ["<script>alert(1)</script> {number}", "{number} ' onload=x {{7*7}}"])
def test_nasty_words_stay_words(office, own):
    browser = office.browser("director")
    browser.send(address(GREETING), version="0", **{"form-0": own})
    for path in ("/panel/settings/texts/?own=1", address(GREETING), "/panel/history/"):
        page = browser.page(path)
        assert "<script>alert" not in page
        assert "49" not in re.findall(r"onload=x (\w+)", page)


# --- Kinds ---------------------------------------------------------------------------------------------


def kinds_form(office, **changes):
    fields = {}
    for place, kind in enumerate(office.house.kinds.known, 1):
        label = office.house.say(kind.label)
        fields |= {
            f"place-{kind.code}": str(place), f"label-{kind.code}": label, f"was-{kind.code}": label,
            f"department-{kind.code}": kind.department, f"skill-{kind.code}": kind.skill,
        }  # fmt: skip
        if office.house.kinds.offers(kind.code):
            fields[f"offered-{kind.code}"] = "1"
        if not any(kind.code == ours.code for ours in KINDS):
            fields[f"question-{kind.code}"] = office.house.say(kind.question)
    fields |= changes
    return {name: value for name, value in fields.items() if value is not None}


NEW = {
    "place-new": "1", "label-new": "Спор в суде", "question-new": "О чём спор?", "department-new": "legal",
    "skill-new": "advice", "offered-new": "1",
}  # fmt: skip


def offered(office):
    return [office.house.say(kind.label) for kind in office.house.kinds.offered]


def test_kinds_are_switched_off_renamed_moved_and_added(office):
    browser = office.browser("director")
    form = kinds_form(
        office, **NEW, **{"offered-balance": None, "label-pay": "Заплатить", "place-advice": "2"}
    )
    browser.send("/panel/settings/kinds", version="0", **form)
    assert offered(office)[:3] == ["Заплатить", "Спор в суде", "Консультация"]
    assert "Узнать остаток" not in offered(office)
    assert {row.action for row in office.all(History)[-2:]} == {"setting_changed", "wording_changed"}
    page = browser.page("/panel/requests/")
    assert "Заплатить" in page
    number = office.submit(kind="own1")
    assert "Спор в суде" in browser.page(f"/panel/requests/{number}/")
    assert office.request(number).assignee_id == office.staff["lawyer"]


def test_the_old_name_comes_back_without_leaving_a_wording(office):
    browser = office.browser("director")
    browser.send("/panel/settings/kinds", version="0", **kinds_form(office, **{"label-pay": "Заплатить"}))
    browser.send("/panel/settings/kinds", version="1", **kinds_form(office, **{"label-pay": "Оплатить счёт"}))
    assert office.all(Wording) == []
    assert offered(office)[0] == "Оплатить счёт"


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"label-pay": ""}, 422, "от 1 до 40"),
        ({"skill-pay": "чтение мыслей"}, 422, "Такого навыка нет"),
        ({"department-pay": "космос"}, 422, "Отдел"),
        ({"offered-other": None}, 422, "нельзя выключить"),
        ({"label-new": "Без вопроса"}, 422, "название и вопрос"),
        ({"was-pay": "Что-то другое", "label-pay": "Моё"}, 409, "изменил кто-то ещё"),
        ({"place-pay": None}, 409, "изменил кто-то ещё"),
    ],
)
def test_kinds_that_make_no_sense_change_nothing(office, changes, status, words):
    answer = office.browser("director").send(
        "/panel/settings/kinds", version="0", **kinds_form(office, **changes)
    )
    assert answer.status_code == status
    assert words in answer.get_data(as_text=True)
    assert settings(office) == {}
    assert office.all(Wording) == []


# --- Kept answers --------------------------------------------------------------------------------------

REPLY = {
    "title": "Получили счёт", "text": "Здравствуйте, {клиент}! Заявка № {номер}.", "kind": "pay",
    "whose": "all", "position": "3", "active": "1",
}  # fmt: skip


def test_an_answer_is_previewed_kept_changed_and_deleted(office):
    browser = office.browser("director")
    page = browser.send("/panel/settings/replies/new", preview="1", **REPLY).get_data(as_text=True)
    assert "Здравствуйте, Мария! Заявка № 17." in page
    assert office.all(CannedReply) == []
    browser.send("/panel/settings/replies/new", **REPLY)
    row = office.all(CannedReply)[0]
    assert (row.title, row.kind, row.owner_id, row.position) == ("Получили счёт", "pay", None, 3)
    assert "Получили счёт" in browser.page("/panel/settings/replies/")
    path = f"/panel/settings/replies/{row.id}/"
    assert browser.send(path, version="1", **{**REPLY, "whose": "own"}).status_code == 302
    assert office.all(CannedReply)[0].owner_id == office.staff["director"]
    assert browser.send(path, version="1", **REPLY).status_code == 409
    assert office.browser("deputy").get(path).status_code == 404, "somebody else's own"
    assert browser.send(f"{path}delete", version="1").status_code == 409
    assert browser.send(f"{path}delete", version="2").status_code == 302
    assert office.all(CannedReply) == []


def test_an_unknown_place_is_refused(office):
    browser = office.browser("director")
    wrong = {**REPLY, "text": "Здравствуйте, {имя}"}
    assert "{имя}" in browser.send("/panel/settings/replies/new", preview="1", **wrong).get_data(as_text=True)
    assert browser.send("/panel/settings/replies/new", **wrong).status_code == 422
    assert office.all(CannedReply) == []


# --- Routing -------------------------------------------------------------------------------------------


def counted(office):
    with office.database.read() as session:
        return {name: len(session.execute(table.select()).all()) for name, table in tables.tables.items()}


def test_other_weights_are_tried_on_the_past_month_and_nothing_changes(busy):
    office, _numbers = busy
    browser = office.browser("director")
    before, history = counted(office), [row.hash for row in office.all(History)]
    page = browser.send("/panel/settings/routing/", **{"version": "0", "try": "1"}, **WEIGHTS).get_data(
        as_text=True
    )
    assert "ничего не сохранено и не изменено" in page
    assert "По нынешним правилам" in page
    assert re.search(r"Анна Петрова → <b>", page)
    assert "Насколько это точно" in page
    assert counted(office) == before
    assert [row.hash for row in office.all(History)] == history
    assert settings(office) == {}


def test_all_that_would_move_can_be_taken_away(busy):
    office, _numbers = busy
    browser, path = office.browser("director"), "/panel/settings/routing/"
    page = browser.send(path, **{"version": "0", "try": "1"}, **WEIGHTS).get_data(as_text=True)
    moved = int(re.search(r"<b>(\d+)</b><small>ушли бы другому человеку", page).group(1))
    answer = browser.send(path, **{"version": "0", "try": "csv"}, **WEIGHTS)
    assert answer.headers["Content-Disposition"].startswith("attachment")
    lines = answer.get_data().decode("utf-8-sig").splitlines()
    assert len(lines) == moved + 1
    assert "Анна Петрова;" in lines[1]
    line = office.all(History)[-1]
    assert (line.action, line.subject, json.loads(line.after)["rows"]) == ("exported", "list:dry-run", moved)
    assert settings(office) == {}


def test_the_same_weights_move_nobody(busy):
    office, _numbers = busy
    ours = {**WEIGHTS, "dedicated": "1000", "open_request": "-10"}
    page = (
        office.browser("deputy")
        .send("/panel/settings/routing/", **{"version": "0", "try": "1"}, **ours)
        .get_data(as_text=True)
    )
    assert "Кто получил бы другое" not in page
    assert "<b>0</b><small>ушли бы другому человеку" in page


def test_an_empty_month_can_be_tried(office):
    office.clock += timedelta(days=400)
    page = office.browser("director").send(
        "/panel/settings/routing/", **{"version": "0", "try": "1"}, **WEIGHTS
    )
    assert page.status_code == 200


def test_new_weights_decide_the_next_request(office):
    browser = office.browser("director")
    office.give(office.submit(client=0), "anna")
    browser.send("/panel/settings/routing/", version="0", **WEIGHTS)
    number = office.submit(client=0)
    assert office.request(number).assignee_id == office.staff["boris"], "the client is Anna's"


@pytest.mark.parametrize("role", ["controller", "anna"])
def test_others_do_not_see_the_settings(office, role):
    assert office.browser(role).get("/panel/settings/").status_code == 403


def test_the_administrator_reads_and_has_no_buttons(office):
    page = office.browser("admin").page("/panel/settings/terms")
    assert "Менять могут директор и заместитель" in page
    assert "<fieldset disabled>" in page
