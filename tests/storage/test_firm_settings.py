"""What the panel settles: checked, versioned, in the history, and in force without a restart."""

import json
from dataclasses import replace
from datetime import date, time, timedelta

import pytest
from sqlmodel import select

from forms.kinds import BY_CODE, OTHER
from forms.texts import Text, _, n_
from notifications.texts import Catalogue
from router.rules import OUR_WEIGHTS
from storage import canned, casework, firm_settings, history, times, wordings
from storage.canned import NoSuchReply, ReplyChanged, ReplyFacts, ReplyFields, WrongReply
from storage.exports import requests_for_export
from storage.firm_settings import (
    ConsentTerms,
    Hours,
    KindSetting,
    KindsSetting,
    Part,
    Routing,
    SettingChanged,
    Terms,
    WrongSetting,
)
from storage.live_house import LiveHouse
from storage.models import CannedReply, Chat, FirmSetting, History, Wording
from storage.models import Consent as ConsentRow
from storage.roster import Act
from storage.times import Measure, TimesFilter
from storage.wordings import WordingChanged, WrongWording
from tests.storage.firm import WEDNESDAY, Firm

SEVEN = time(7)
HOURS = Hours(opens=time(8), closes=time(17), lunch_from=time(12), lunch_to=time(13))
TERMS = Terms(
    accept_within_minutes=20,
    look_within_minutes=40,
    close_after_working_days=2,
    failover_after_minutes=5,
    silent_after_hours=4,
)
ROUTING = firm_settings.OUR_ROUTING.model_copy(update={"skill": 70, "most_open_requests": 3})


@pytest.fixture
def firm(database):
    return Firm.open(database)


@pytest.fixture
def live(firm):
    return LiveHouse(
        firm.database,
        Catalogue.open("ru"),
        lambda spoken: replace(firm.house, say=spoken.say),
        firm_clock(firm),
    )


def firm_clock(firm):
    return lambda: firm.clock


def act(firm, who="elena"):
    return Act(firm.who(who, "panel"), firm.clock)


def save(firm, part, value, version=0, house=None):
    with firm.database.begin() as session:
        firm_settings.save(session, house or firm.house, act(firm), part, value, version)


def lines(firm, action="setting_changed"):
    with firm.database.read() as session:
        rows = session.exec(select(History).where(History.action == action).order_by(History.id)).all()
        return [(row.subject, json.loads(row.before), json.loads(row.after)) for row in rows]


def test_what_the_panel_settled_beats_the_file_at_once_and_part_by_part(firm, live):
    assert live().calendar is live.filed.calendar
    save(firm, Part.HOURS, HOURS)
    save(firm, Part.TERMS, TERMS)
    save(firm, Part.CONSENT, ConsentTerms(version="4", text="Новый текст", url="https://example.ru/c"))
    save(firm, Part.ROUTING, ROUTING)
    assert live().accept_within_minutes == 15, "nobody has told this process yet"
    live.refresh()
    house = live()
    today = house.calendar.hours_on(WEDNESDAY.date())
    assert (today.opens, today.closes, today.lunch) == (time(8), time(17), (time(12), time(13)))
    assert house.calendar.zone == firm.house.calendar.zone
    assert (house.accept_within_minutes, house.silent_after_hours) == (20, 4)
    assert (house.consent_version, house.consent_text, house.consent_url) == (
        "4",
        "Новый текст",
        "https://example.ru/c",
    )
    assert house.weights == replace(OUR_WEIGHTS, skill=70, most_open_requests=3)
    assert house.rules(WEDNESDAY).weights is house.weights
    assert house.firm_name == firm.house.firm_name


def test_nothing_is_rebuilt_while_nothing_changes_and_a_known_calendar_is_kept(firm, live):
    save(firm, Part.TERMS, TERMS)
    live.refresh()
    first = live()
    live.refresh()
    assert live() is first
    save(firm, Part.TERMS, TERMS.model_copy(update={"silent_after_hours": 9}), 1)
    live.refresh()
    assert live() is not first
    assert live().calendar is first.calendar, "its years are counted already"


def test_two_processes_agree_after_each_has_looked(firm, live):
    other = LiveHouse(firm.database, Catalogue.open("ru"), lambda _spoken: firm.house, firm_clock(firm))
    save(firm, Part.TERMS, TERMS)
    for each in (live, other):
        each.refresh()
        assert each().failover_after_minutes == 5


def test_each_change_stands_in_the_history_with_before_and_after(firm):
    save(firm, Part.TERMS, TERMS)
    save(firm, Part.TERMS, TERMS.model_copy(update={"look_within_minutes": 45}), 1)
    first, second = lines(firm)
    assert first[0] == "setting:terms"
    assert first[1]["accept_within_minutes"] == 15
    assert first[2]["accept_within_minutes"] == 20
    assert second == ("setting:terms", {"look_within_minutes": 40}, {"look_within_minutes": 45})
    with firm.database.read() as session:
        assert history.verify(session).ok
        kept = firm_settings.kept(session, firm.house, Part.TERMS, Terms)
    assert (kept.version, kept.by_panel, kept.changed_by) == (2, True, firm.who("elena").name)


def test_an_old_form_overwrites_nothing(firm):
    save(firm, Part.ROUTING, ROUTING)
    with pytest.raises(SettingChanged):
        save(firm, Part.ROUTING, firm_settings.OUR_ROUTING, 0)
    with firm.database.read() as session:
        assert firm_settings.read_settled(session).routing == ROUTING
    assert len(lines(firm)) == 1


def test_given_back_to_the_file_and_an_older_form_still_notices(firm, live):
    save(firm, Part.TERMS, TERMS)
    with firm.database.begin() as session:
        firm_settings.give_back(session, firm.house, live.filed, act(firm), Part.TERMS, 1)
    live.refresh()
    assert live().accept_within_minutes == 15
    assert lines(firm)[-1][2]["accept_within_minutes"] == 15
    with pytest.raises(SettingChanged):
        save(firm, Part.TERMS, TERMS, 1)
    with firm.database.read() as session:
        kept = firm_settings.kept(session, firm.house, Part.TERMS, Terms)
    assert (kept.version, kept.by_panel) == (2, False)


def test_the_norms_of_the_times_page_are_left_alone_and_broken_rows_count_as_not_settled(firm, live):
    with firm.database.begin() as session:
        for key, value in (("norms", "{}"), ("terms", "not JSON"), ("routing", '{"skill": "much"}')):
            session.add(FirmSetting(key=key, value=value, updated_at=WEDNESDAY))
    live.refresh()
    assert (live().accept_within_minutes, live().weights) == (15, OUR_WEIGHTS)


def test_new_hours_leave_the_figures_of_the_days_before_as_they_were(firm, live):
    number = firm.accepted_by("anna", hours=30)
    firm.clock += timedelta(hours=6, minutes=30)  # 17:30
    firm.do(casework.answer, "anna", number, "Смотрим", ())
    firm.clock += timedelta(days=1)
    firm.do(casework.done, "anna", number, "Готово", ())
    wanted = TimesFilter(WEDNESDAY - timedelta(days=1), firm.clock)

    def told():
        live.refresh()
        calendar = live().calendar
        with firm.database.read() as session:
            return (
                times.response_times(session, wanted, calendar),
                [times.events(session, wanted, calendar, measure) for measure in Measure],
                list(requests_for_export(session, calendar, wanted.until)),
            )

    before = told()
    assert before[0].overall[Measure.FIRST_RESPONSE].median_seconds == 5.5 * 3600
    firm.clock += timedelta(days=1)
    with_days = {"extra_days_off": (firm.clock.date() + timedelta(days=3),)}
    save(firm, Part.HOURS, HOURS.model_copy(update=with_days))
    assert told() == before
    save(firm, Part.HOURS, HOURS.model_copy(update={"opens": time(11), "closes": time(14)}), 1, live())
    assert told() == before
    with firm.database.begin() as session:
        firm_settings.give_back(session, live(), live.filed, act(firm), Part.HOURS, 2)
    assert told() == before


def hours_of(calendar, *days):
    return [calendar.opens_at(WEDNESDAY.date() + timedelta(days=day)).hour for day in days]


def test_each_version_of_the_hours_holds_until_the_next_one(firm, live):
    def settle(opens, since, version):
        hours = HOURS.model_copy(update={"opens": time(opens), "since": WEDNESDAY.date() + timedelta(since)})
        save(firm, Part.HOURS, hours, version, live())
        live.refresh()

    settle(10, 0, 0)
    settle(8, 20, 1)
    assert hours_of(live().calendar, -1, 0, 19, 20) == [9, 10, 10, 8]
    firm.clock += timedelta(days=5)
    # What was planned for later is gone: the newest word counts.
    settle(7, 5, 2)
    assert hours_of(live().calendar, -1, 0, 4, 5, 20) == [9, 10, 10, 7, 7]
    firm.clock += timedelta(days=1)
    with firm.database.begin() as session:
        firm_settings.give_back(session, live(), live.filed, act(firm), Part.HOURS, 3)
    live.refresh()
    assert hours_of(live().calendar, -1, 0, 5, 6, 20) == [9, 10, 7, 9, 9]
    with firm.database.read() as session:
        kept = firm_settings.kept(session, live(), Part.HOURS, Hours)
    assert (kept.by_panel, kept.value.opens) == (False, time(9))
    assert lines(firm)[1] == (
        "setting:hours", {"since": "2026-11-25", "opens": "10:00:00"},
        {"since": "2026-12-15", "opens": "08:00:00"},
    )  # fmt: skip


def test_hours_kept_before_they_had_days_hold_from_ever(firm, live):
    with firm.database.begin() as session:
        value = HOURS.model_dump_json(exclude={"since"})
        session.add(FirmSetting(key="hours", value=value, updated_at=WEDNESDAY))
    live.refresh()
    assert hours_of(live().calendar, -4000, -1, 0) == [8, 8, 8]
    save(firm, Part.HOURS, HOURS.model_copy(update={"opens": time(10)}), 1, live())
    live.refresh()
    assert hours_of(live().calendar, -4000, -1, 0) == [8, 8, 10]


@pytest.mark.parametrize(
    ("hours", "words"),
    [
        ({"closes": time(7)}, "позже начала"),
        ({"lunch_to": None}, "и начало, и конец"),
        ({"lunch_from": SEVEN, "lunch_to": time(8)}, "внутри рабочего дня"),
        (
            {"extra_working_days": (date(2026, 12, 5),), "extra_days_off": (date(2026, 12, 5),)},
            "и рабочим, и выходным",
        ),
        ({"since": WEDNESDAY.date() - timedelta(days=1)}, "с сегодняшнего дня или позже"),
        ({"extra_days_off": (WEDNESDAY.date() - timedelta(days=1),)}, "раньше дня"),
    ],
    ids=[
        "closed before it opens",
        "half a lunch",
        "lunch before work",
        "a day of both kinds",
        "from yesterday",
        "a day that has passed",
    ],
)
def test_hours_that_make_no_sense_are_refused_in_words(firm, hours, words):
    with pytest.raises(WrongSetting) as refused:
        save(firm, Part.HOURS, HOURS.model_copy(update=hours))
    assert words in refused.value.text.msgid
    assert lines(firm) == []


@pytest.mark.parametrize(
    ("model", "values", "words"),
    [
        (Terms, {**TERMS.model_dump(), "accept_within_minutes": "0"}, "{label}: не меньше {least}."),
        (Terms, {**TERMS.model_dump(), "accept_within_minutes": "много"}, "{label}: нужно целое число."),
        (Terms, {**TERMS.model_dump(), "silent_after_hours": ""}, "{label}: нужно целое число."),
        (ConsentTerms, {"version": "", "text": "x"}, "{label}: заполните."),
        (ConsentTerms, {"version": "2", "text": "x" * 2001}, "{label}: не длиннее {most}."),
        (
            ConsentTerms,
            {"version": "2", "text": "x", "url": "javascript:alert(1)"},
            "{label}: напишите адрес целиком, https://example.ru/consent.",
        ),
        (Hours, {"opens": "рано", "closes": "18:00"}, "{label}: время пишут так: 09:00."),
        (Routing, {**ROUTING.model_dump(), "open_request": "5"}, "{label}: не больше {most}."),
        (Routing, {**ROUTING.model_dump(), "open_request": "99999999999"}, "{label}: не больше {most}."),
    ],
)
def test_a_form_that_makes_no_sense_is_told_which_field(model, values, words):
    with pytest.raises(WrongSetting) as refused:
        firm_settings.parsed(model, values)
    assert refused.value.text.msgid == words
    assert isinstance(refused.value.text.params["label"], Text)


# --- Consent -------------------------------------------------------------------------------------------


def agreed(firm, version, digest="0" * 64):
    with firm.database.begin() as session:
        chat = session.exec(select(Chat)).first()
        session.add(
            ConsentRow(
                person_id=firm.people["maria"],
                chat_id=chat.id,
                version=version,
                text_sha256=digest,
                given_at=WEDNESDAY,
            )
        )


def test_other_words_need_a_version_that_nobody_has_agreed_to(firm):
    present = firm.house.consent_version
    with pytest.raises(WrongSetting):
        save(firm, Part.CONSENT, ConsentTerms(version=present, text="Другие слова"))
    agreed(firm, "2")
    with pytest.raises(WrongSetting):
        save(firm, Part.CONSENT, ConsentTerms(version="2", text="Другие слова"))
    save(firm, Part.CONSENT, ConsentTerms(version="5", text="Другие слова"))
    with pytest.raises(WrongSetting):
        save(firm, Part.CONSENT, ConsentTerms(version="5", text="Ещё другие"), 1)


def test_the_same_words_may_get_a_new_version_and_words_agreed_to_may_come_back(firm, live):
    import hashlib

    first = ConsentTerms(version="5", text="Слова")
    save(firm, Part.CONSENT, first)
    agreed(firm, "5", hashlib.sha256("Слова".encode()).hexdigest())
    save(firm, Part.CONSENT, ConsentTerms(version="6", text="Слова"), 1)
    save(firm, Part.CONSENT, first, 2)
    live.refresh()
    assert live().consent_version == "5"


# --- Kinds ---------------------------------------------------------------------------------------------


def kinds(*changes, **of_code):
    known = tuple(
        KindSetting(
            code=kind.code, department=kind.department, skill=kind.skill, **of_code.get(kind.code, {})
        )
        for kind in BY_CODE.values()
    )
    return KindsSetting(kinds=(*changes, *known))


OWN = KindSetting(
    code="own1", department="legal", skill="advice", label="Суд и споры", question="О чём спор?", offered=True
)


def test_kinds_are_switched_off_reordered_and_added(firm, live):
    save(firm, Part.KINDS, kinds(OWN, pay={"offered": False}))
    live.refresh()
    found = live().kinds
    assert [kind.code for kind in found.offered][:2] == ["own1", "balance"]
    assert not found.offers("pay")
    assert found.offers(OTHER)
    assert found.by_code["pay"].label == BY_CODE["pay"].label, "older requests are still of it"
    assert live().say(found.label("own1")) == "Суд и споры"
    assert live().rules(WEDNESDAY).kinds["own1"].department == "legal"
    subject, _before, after = lines(firm)[0]
    assert subject == "setting:kinds"
    assert "Суд и споры" in after


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        (kinds(other={"offered": False}), "«Другое»"),
        (kinds(OWN, OWN), "дважды"),
        (kinds(OWN, OWN.model_copy(update={"code": "own2"})), "одинаково"),
        (kinds(OWN.model_copy(update={"question": ""})), "название и вопрос"),
    ],
    ids=["other goes", "a code twice", "a label twice", "no question"],
)
def test_kinds_that_make_no_sense_are_refused(firm, setting, words):
    with pytest.raises(WrongSetting) as refused:
        save(firm, Part.KINDS, setting)
    assert words in refused.value.text.msgid


def test_a_kind_of_ones_own_is_never_forgotten(firm, live):
    save(firm, Part.KINDS, kinds(OWN))
    live.refresh()
    with pytest.raises(WrongSetting):
        save(firm, Part.KINDS, kinds(), 1, live())
    with firm.database.begin() as session, pytest.raises(WrongSetting):
        firm_settings.give_back(session, live(), live.filed, act(firm), Part.KINDS, 1)


def test_a_form_filled_with_a_kind_of_ones_own_reaches_who_can_do_it(firm, live):
    save(firm, Part.KINDS, kinds(OWN.model_copy(update={"department": "finance", "skill": ""})))
    live.refresh()
    firm.house = live()
    number = firm.submit(kind="own1")
    assert firm.request(number).kind == "own1"
    assert firm.request(number).assignee_id is not None


# --- The firm's own words ------------------------------------------------------------------------------

GREETING = "Заявка № {number} принята."
NUMBERED = "Осталось: {count} день."
OURS = Catalogue.open("ru").sentences()


def reword(firm, msgid, *forms, version=0):
    with firm.database.begin() as session:
        wordings.save(session, act(firm), "ru", OURS, wordings.key_of(msgid), forms, version)


def test_the_firm_says_it_in_its_own_words_and_takes_them_back(firm, live):
    reword(firm, GREETING, "Приняли вашу заявку {number}!")
    reword(firm, NUMBERED, "Ещё {count} день", "Ещё {count} дня", "Ещё {count} дней")
    live.refresh()
    say = live().say
    assert say(_(GREETING, number=7)) == "Приняли вашу заявку 7!"
    said = [say(n_(NUMBERED, "Осталось: {count} дней.", count)) for count in (1, 2, 5, 21)]
    assert said == ["Ещё 1 день", "Ещё 2 дня", "Ещё 5 дней", "Ещё 21 день"]
    assert live.filed.say(_(GREETING, number=7)) == "Заявка № 7 принята."
    with firm.database.begin() as session:
        wordings.give_back(session, act(firm), "ru", OURS, wordings.key_of(GREETING), 1)
    live.refresh()
    assert live().say(_(GREETING, number=7)) == "Заявка № 7 принята."
    assert [line[2]["text"] for line in lines(firm, "wording_changed")][::2] == [
        "Приняли вашу заявку {number}!",
        GREETING,
    ]


@pytest.mark.parametrize(
    ("msgid", "forms", "words"),
    [
        (GREETING, ("Приняли!",), "нет {names}"),
        (GREETING, ("{number} {client}",), "нет значений {names}"),
        (GREETING, ("{number:>9}",), "Лишняя скобка"),
        (GREETING, ("{number.__class__}",), "Лишняя скобка"),
        (GREETING, ("{number} {",), "Лишняя скобка"),
        (GREETING, ("{number}" + "я" * 1000,), "длиннее"),
        (GREETING, ("  ",), "Напишите фразу"),
        (NUMBERED, ("Ещё {count} дней",), "все формы"),
        (NUMBERED, ("Ещё {count} день", "Ещё {count} дня", "Ещё много"), "нет {names}"),
    ],
)
def test_words_that_would_lose_a_value_or_break_are_refused(firm, msgid, forms, words):
    with pytest.raises(WrongWording) as refused:
        reword(firm, msgid, *forms)
    assert words in refused.value.text.msgid


def test_an_old_form_of_words_overwrites_nothing(firm):
    reword(firm, GREETING, "Первая {number}")
    with pytest.raises(WordingChanged):
        reword(firm, GREETING, "Вторая {number}")
    reword(firm, GREETING, "Вторая {number}", version=1)


def test_words_for_what_is_no_longer_said_are_shown_as_unused_and_harm_nobody(firm, live):
    with firm.database.begin() as session:
        for msgid, text in (("Давно не говорим {x}.", "Своё {x}"), ("Битое", "{"), (GREETING, "{nobody}")):
            session.add(
                Wording(
                    language="ru",
                    msgid_sha256=wordings.key_of(msgid),
                    msgid=msgid,
                    text=text,
                    updated_at=WEDNESDAY,
                )
            )
    live.refresh()
    assert live().say(_(GREETING, number=7)) == "Заявка № 7 принята."
    with firm.database.read() as session:
        found = wordings.find(session, "ru", OURS, only_own=True)
    assert [(row.msgid, bool(row.ours)) for row in found.rows] == [
        ("Давно не говорим {x}.", False),
        ("Битое", False),
        (GREETING, True),
    ]


def test_sentences_are_found_by_their_words_fifty_a_page(firm):
    reword(firm, GREETING, "Взяли в дело: {number}")
    with firm.database.read() as session:
        every = wordings.find(session, "ru", OURS)
        assert len(every.rows) == wordings.ROWS
        assert every.more
        last = wordings.find(session, "ru", OURS, page=10_000)
        assert (last.rows, last.more) == ((), False)
        by_ours = wordings.find(session, "ru", OURS, "заявка принята")
        by_own = wordings.find(session, "ru", OURS, "взяли ДЕЛО")
    assert GREETING in [row.msgid for row in by_ours.rows]
    assert [row.msgid for row in by_own.rows] == [GREETING]


# --- Kept answers --------------------------------------------------------------------------------------

FACTS = ReplyFacts("Мария", "17", "27.11, 18:00", "Анна", "Баланс")


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("Здравствуйте, {клиент}! Заявка {номер}.", "Здравствуйте, Мария! Заявка 17."),
        ("{Клиент}, {срок}, {исполнитель}, {фирма}", "Мария, 27.11, 18:00, Анна, Баланс"),
        ("{неизвестно} { } {", "{неизвестно} { } {"),
        ("{клиент}", "Мария"),
    ],
)
def test_an_answer_is_filled_with_the_facts(text, filled):
    assert canned.fill(text, FACTS) == filled


def test_a_value_with_braces_is_not_filled_again():
    assert canned.fill("{клиент}", replace(FACTS, client="{номер}")) == "{номер}"


def test_replies_are_for_whom_and_what_they_are_for(firm):
    own = firm.staff["anna"]
    with firm.database.begin() as session:
        doing = act(firm, "anna")
        canned.add(session, doing, ReplyFields("Для всех", "Да", position=1))
        canned.add(session, doing, ReplyFields("Про счёт", "Оплатим", kind="pay", position=5))
        canned.add(session, doing, ReplyFields("Про отчёт", "Сдадим", kind="report"))
        canned.add(session, doing, ReplyFields("Моя", "Ок", owner_id=own, position=3))
        canned.add(session, doing, ReplyFields("Чужая", "Нет", owner_id=firm.staff["boris"]))
        canned.add(session, doing, ReplyFields("Отложена", "Нет", active=False))
    with firm.database.read() as session:
        found = canned.replies_for(session, own, "pay")
        every = canned.all_replies(session, own)
    assert [reply.fields.title for reply in found] == ["Про счёт", "Для всех", "Моя"]
    assert "Чужая" not in [reply.fields.title for reply in every]
    assert "Отложена" in [reply.fields.title for reply in every]


def test_replies_are_changed_and_deleted_with_version_and_history(firm):
    with firm.database.begin() as session:
        number = canned.add(session, act(firm), ReplyFields("Счёт", "Оплатим {номер}"))
    with firm.database.begin() as session:
        canned.save(session, act(firm), number, 1, ReplyFields("Счёт", "Оплатим сегодня {номер}"))
    for stale in (
        lambda session: canned.save(session, act(firm), number, 1, ReplyFields("x", "y")),
        lambda session: canned.delete(session, act(firm), number, 1),
    ):
        with firm.database.begin() as session, pytest.raises(ReplyChanged):
            stale(session)
    with firm.database.begin() as session:
        canned.delete(session, act(firm), number, 2)
        assert session.get(CannedReply, number) is None
        with pytest.raises(NoSuchReply):
            canned.save(session, act(firm), number, 2, ReplyFields("x", "y"))
    assert [line[2].get("text") for line in lines(firm, "reply_changed")] == [
        "Оплатим {номер}",
        "Оплатим сегодня {номер}",
        None,
    ]


def test_somebody_elses_own_reply_is_not_there(firm):
    with firm.database.begin() as session:
        number = canned.add(session, act(firm, "anna"), ReplyFields("Моя", "Ок", owner_id=firm.staff["anna"]))
        with pytest.raises(NoSuchReply):
            canned.save(session, act(firm, "boris"), number, 1, ReplyFields("x", "y"))


@pytest.mark.parametrize(
    "fields",
    [
        ReplyFields("", "текст"),
        ReplyFields("x" * 101, "текст"),
        ReplyFields("Имя", " "),
        ReplyFields("Имя", "я" * 4001),
        ReplyFields("Имя", "Здравствуйте, {имя}"),
    ],
    ids=["no title", "long title", "no text", "long text", "an unknown place"],
)
def test_replies_that_make_no_sense_are_refused(firm, fields):
    with firm.database.begin() as session, pytest.raises(WrongReply):
        canned.add(session, act(firm), fields)
    assert lines(firm, "reply_changed") == []


def test_extra_days_move_deadlines(firm, live):
    save(firm, Part.HOURS, HOURS.model_copy(update={"extra_days_off": (WEDNESDAY.date(),)}))
    live.refresh()
    assert not live().calendar.is_working_day(WEDNESDAY.date())
    assert live().calendar.next_opening(WEDNESDAY) > WEDNESDAY + timedelta(hours=12)
