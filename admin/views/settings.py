"""What the firm has settled: working time, terms, consent, kinds of request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from flask import abort, redirect, request, url_for
from flask_babel import lazy_gettext as _l
from sqlmodel import Session
from werkzeug.wrappers import Response

from admin import asked, setting_conflicts
from admin.auth import act
from admin.doors import doors
from admin.rights import Area
from admin.settings_parts import SECTIONS, TITLES, our_sentences
from admin.shown import say
from admin.views.base import PanelView, expose, tell, warn
from admin.words import DEPARTMENTS, SKILLS
from forms.kinds import BY_CODE, OTHER
from forms.texts import Day, Text, _
from notifications.consent import consent_words
from router.desk import DeskError
from router.worktime import HoursSince, WorkCalendar
from storage import firm_settings, reading, wordings
from storage.firm_settings import (
    MODELS,
    ConsentTerms,
    Hours,
    Kept,
    KindSetting,
    KindsSetting,
    Part,
    SettingChanged,
    Terms,
    WrongSetting,
)

PREVIEW_DAYS = 14
_MAX_TEXT = 4000
_SATURDAY = 5

Page = str | Response | tuple[str, int]


class SettingsView(PanelView):
    """`/panel/settings/`."""

    area = Area.SETTINGS

    def __init__(self) -> None:
        super().__init__(name=_l("Настройки"), endpoint="settings", url="/panel/settings")

    @expose("/")
    def index(self) -> str:
        """The sections, and which of them the panel has settled."""
        house = doors().house
        with doors().database.read() as session:
            parts = {part: firm_settings.kept(session, house, part, MODELS[part]) for part in Part}
        return self.page("settings.html", parts=parts, titles=TITLES, sections=SECTIONS)

    @expose("/hours", methods=("GET", "POST"))
    def hours(self) -> Page:
        """The working calendar, with the days that come."""
        if request.method == "GET":
            return self._hours_page()
        self.require_change()
        try:
            form = setting_conflicts.picked(Part.HOURS, Hours, _hours_form)
            wanted = firm_settings.parsed(Hours, _hours_sent(form))
            firm_settings.check(doors().house, wanted, doors().now())
            if "preview" in request.form:
                return self._hours_page(wanted, typed=request.form)
            _save(Part.HOURS, wanted)
        except SettingChanged as refused:
            return self._both(Part.HOURS, wanted, _hours_form, refused.text)
        except DeskError as refused:
            return self._hours_page(typed=request.form, refusal=refused.text), _status(refused)
        tell(_("Рабочее время сохранено. Сроки новых заявок считаются по нему."))
        return redirect(url_for("settings.hours"))

    def _hours_page(
        self,
        shown: Hours | None = None,
        *,
        typed: Mapping[str, str] | None = None,
        refusal: Text | None = None,
    ) -> str:
        house = doors().house
        stored, history = _stored(Part.HOURS, Hours)
        today = doors().now().astimezone(house.calendar.zone).date()
        first = (shown.since if shown else None) or today
        calendar = house.calendar
        if shown:
            calendar = shown.model_copy(update={"since": first}).over(calendar)
        return self.page(
            "settings_hours.html",
            part=Part.HOURS,
            kept=stored,
            values=dict(typed) if typed is not None else _hours_values(stored.value, today),
            today=today,
            is_later=first > today,
            days=[_day(calendar, first + timedelta(days=ahead)) for ahead in range(PREVIEW_DAYS)],
            versions=_versions(house.calendar),
            moved=_special_days(calendar, today),
            unknown_year=next(
                (year for year in (today.year, today.year + 1) if not calendar.knows_year(year)), None
            ),
            is_preview=shown is not None,
            zone=calendar.zone.key,
            refusal=refusal,
            history_lines=history,
        )

    @expose("/terms", methods=("GET", "POST"))
    def terms(self) -> Page:
        """Terms and reminders."""
        if request.method == "GET":
            return self._terms_page()
        self.require_change()
        try:
            form = setting_conflicts.picked(Part.TERMS, Terms, form_of)
            wanted = firm_settings.parsed(Terms, {name: form.get(name, "") for name in Terms.model_fields})
            _save(Part.TERMS, wanted)
        except SettingChanged as refused:
            return self._both(Part.TERMS, wanted, form_of, refused.text)
        except DeskError as refused:
            return self._terms_page(request.form, refused.text), _status(refused)
        tell(_("Сроки сохранены."))
        return redirect(url_for("settings.terms"))

    def _terms_page(self, typed: Mapping[str, str] | None = None, refusal: Text | None = None) -> str:
        stored, history = _stored(Part.TERMS, Terms)
        return self.page(
            "settings_terms.html",
            part=Part.TERMS,
            kept=stored,
            values=dict(typed) if typed is not None else stored.value.model_dump(),
            filed=firm_settings.in_force(doors().filed or doors().house, Part.TERMS),
            fields={name: firm_settings.label_of(Terms, name) for name in Terms.model_fields},
            hints=_TERM_HINTS,
            least={name: firm_settings.least_of(Terms, name) for name in Terms.model_fields},
            refusal=refusal,
            history_lines=history,
        )

    @expose("/consent", methods=("GET", "POST"))
    def consent(self) -> Page:
        """What clients agree to, as they see it."""
        if request.method == "GET":
            return self._consent_page()
        self.require_change()
        try:
            form = setting_conflicts.picked(Part.CONSENT, ConsentTerms, _consent_form)
            sent = {
                "text": form.get("text", "").replace("\r\n", "\n"),
                "url": form.get("url", ""),
                # «version» is that of the form.
                "version": form.get("version_name", ""),
            }
            wanted = firm_settings.parsed(ConsentTerms, sent)
            if "preview" in request.form:
                return self._consent_page(wanted, typed=request.form)
            asked_again = wanted.version != doors().house.consent_version
            _save(Part.CONSENT, wanted)
        except SettingChanged as refused:
            return self._both(Part.CONSENT, wanted, _consent_form, refused.text)
        except DeskError as refused:
            return self._consent_page(typed=request.form, refusal=refused.text), _status(refused)
        tell(
            _("Согласие сохранено. Каждый клиент увидит новую версию при следующем сообщении.")
            if asked_again
            else _("Согласие сохранено.")
        )
        return redirect(url_for("settings.consent"))

    def _consent_page(
        self,
        shown: ConsentTerms | None = None,
        *,
        typed: Mapping[str, str] | None = None,
        refusal: Text | None = None,
    ) -> str:
        house = doors().house
        stored, history = _stored(Part.CONSENT, ConsentTerms)
        seen = shown or stored.value
        return self.page(
            "settings_consent.html",
            part=Part.CONSENT,
            kept=stored,
            values=dict(typed) if typed is not None else stored.value.model_dump(),
            seen=consent_words(house.firm_name, seen.text, seen.url, seen.version),
            is_preview=shown is not None,
            refusal=refusal,
            history_lines=history,
        )

    @expose("/kinds", methods=("GET", "POST"))
    def kinds(self) -> Page:
        """What clients may ask for, and whom the router looks for."""
        if request.method == "GET":
            return self._kinds_page()
        self.require_change()
        try:
            wanted = _kinds_sent()
            with doors().database.begin() as session:
                firm_settings.save(session, doors().house, act(), Part.KINDS, wanted, _version())
                _rename_ours(session)
            doors().settled()
        except SettingChanged:
            return self._kinds_page(_KINDS_CHANGED), 409
        except DeskError as refused:
            return self._kinds_page(refused.text), _status(refused)
        tell(_("Виды заявок сохранены. Начатые анкеты узнают о них при следующем ответе."))
        return redirect(url_for("settings.kinds"))

    def _kinds_page(self, refusal: Text | None = None) -> str:
        stored, history = _stored(Part.KINDS, KindsSetting)
        typed = request.form if refusal is not None else None
        rows = [_KindRow.of(kind, place, typed) for place, kind in enumerate(stored.value.kinds, 1)]
        return self.page(
            "settings_kinds.html",
            part=Part.KINDS,
            kept=stored,
            rows=rows,
            new=_KindRow.new(len(rows) + 1, typed) if len(rows) < firm_settings.MAX_KINDS else None,
            departments=tuple(DEPARTMENTS),
            skills=tuple(SKILLS),
            other=OTHER,
            most=firm_settings.MAX_LABEL,
            refusal=refusal,
            history_lines=history,
        )

    def _both(
        self,
        part: Part,
        wanted: firm_settings.S,
        form_of: Callable[[firm_settings.S], Mapping[str, str]],
        refusal: Text,
    ) -> Page:
        """Somebody else has settled this meanwhile: both versions, to choose field by field."""
        here = url_for(SECTIONS[part])
        return setting_conflicts.both(
            self, part, wanted, form_of, seen_version=_version(), refusal=refusal, here=here
        )

    @expose("/<part>/give-back", methods=("POST",))
    def give_back(self, part: str) -> Response:
        """Let the configuration file decide a part again."""
        self.require_change()
        if part not in set(Part):
            abort(404)
        filed = doors().filed or doors().house
        here = redirect(url_for(SECTIONS[part]))
        try:
            with doors().database.begin() as session:
                firm_settings.give_back(session, doors().house, filed, act(), Part(part), _version())
        except DeskError as refused:
            warn(refused.text)
            return here
        doors().settled()
        tell(_("Теперь снова как в файле настроек."))
        return here


_KINDS_CHANGED = _(
    "Виды заявок тем временем изменил кто-то ещё. Ничего не сохранено. Откройте страницу заново и "
    "внесите своё: пока оно ещё на экране."
)

_TERM_HINTS: Mapping[str, Text] = {
    "accept_within_minutes": _("Не приняли вовремя — заявка уходит следующему, директор узнаёт об этом."),
    "look_within_minutes": _("Это время называет бот, когда отвечает клиенту."),
    "remind_before_minutes": _(
        "Исполнителю напомним заранее, а когда срок прошёл — ему и директору. 0 — не напоминать заранее."
    ),
    "answer_within_minutes": _(
        "Клиент ждёт дольше — напомним исполнителю, а вдвое дольше — директору. 0 — не напоминать."
    ),
    "close_after_working_days": _("Выполненная заявка, на которую клиент не возразил, закрывается сама."),
    "failover_after_minutes": _("Письмо, которое не дошло, пробуем отправить в другой мессенджер клиента."),
    "silent_after_hours": _(
        "Мессенджер, из которого давно ничего не приходит, проверяем: вдруг он отключился."
    ),
}


def _save(part: Part, wanted: firm_settings.Setting) -> None:
    with doors().database.begin() as session:
        firm_settings.save(session, doors().house, act(), part, wanted, _version())
    doors().settled()


def form_of(value: firm_settings.Setting) -> dict[str, str]:
    """A part whose form sends its fields under their own names."""
    return {name: str(found) for name, found in value.model_dump().items()}


def _consent_form(value: ConsentTerms) -> dict[str, str]:
    return {"text": value.text, "url": value.url, "version_name": value.version}


def _version() -> int:
    return asked.as_number(request.form.get("version", "")) or 0


def _status(refused: DeskError) -> int:
    return 409 if isinstance(refused, SettingChanged | wordings.WordingChanged) else 422


def _stored(
    part: Part, model: type[firm_settings.S]
) -> tuple[Kept[firm_settings.S], tuple[reading.HistoryLine, ...]]:
    with doors().database.read() as session:
        stored = firm_settings.kept(session, doors().house, part, model)
        return stored, reading.history_of(session, f"setting:{part.value}")[:20]


# --- Working time --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _ShownDay:
    words: Text
    works: bool
    hours: str
    note: Text | None


def _day(calendar: WorkCalendar, day: date) -> _ShownDay:
    works = calendar.is_working_day(day)
    hours = f"{calendar.opens_at(day):%H:%M}–{calendar.closes_at(day):%H:%M}" if works else ""
    words = Text("{day}", {"day": Day(day, capital=True)})
    return _ShownDay(words, works, hours, _why(calendar, day, works=works))


def _why(calendar: WorkCalendar, day: date, *, works: bool) -> Text | None:
    """What is unusual about a day; None when nothing is."""
    hours = calendar.hours_on(day)
    if day in hours.extra_working_days:
        return _("рабочий по вашему решению")
    if day in hours.extra_days_off:
        return _("выходной по вашему решению")
    is_weekend = day.weekday() >= _SATURDAY
    if works:
        if is_weekend:
            return _("рабочий: перенос")
        return _("короче на час") if calendar.closes_at(day) < hours.closes else None
    return None if is_weekend else _("праздник или перенос")


def _special_days(calendar: WorkCalendar, today: date) -> list[_ShownDay]:
    """The days until the end of the year, and in January, that are not as usual."""
    until = date(today.year + 1, 1, 15)
    days = (_day(calendar, today + timedelta(days=ahead)) for ahead in range((until - today).days))
    return [day for day in days if day.note is not None]


def _hours_sent(form: Mapping[str, str]) -> dict[str, object]:
    sent: dict[str, object] = {
        name: form.get(name, "").strip() or None
        for name in ("since", "opens", "closes", "lunch_from", "lunch_to")
    }
    for name in ("extra_working_days", "extra_days_off"):
        sent[name] = _days(name, form.get(name, ""))
    return sent


def _days(name: str, text: str) -> tuple[date, ...]:
    words = text[:_MAX_TEXT].replace(",", " ").replace(";", " ").split()
    found = {word: _day_written(word) for word in words}
    for word, day in found.items():
        if day is None:
            label = firm_settings.label_of(Hours, name)
            raise WrongSetting(
                _("{label}: «{word}» — не день. Пишите так: 31.12.2026.", label=label, word=word[:20])
            )
    return tuple(sorted({day for day in found.values() if day is not None}))


def _day_written(word: str) -> date | None:
    day, _dot, rest = word.partition(".")
    month, _dot, year = rest.partition(".")
    return asked.as_day(f"{year}-{month:0>2}-{day:0>2}") or asked.as_day(word)


def _versions(calendar: WorkCalendar) -> list[tuple[date | None, str]]:
    """The hours and the days from which they hold, newest first; the oldest are from ever (None)."""
    # What is overruled from ever holds on no day.
    held = {hours.since: hours for hours in calendar.dated}
    return [
        (None if since == date.min else since, say(_hours_words(hours)))
        for since, hours in sorted(held.items(), reverse=True)
    ]


def _hours_words(hours: HoursSince) -> Text:
    span = f"{hours.opens:%H:%M}–{hours.closes:%H:%M}"
    if hours.lunch is None:
        return _("{hours}, без обеда", hours=span)
    return _("{hours}, обед {lunch}", hours=span, lunch=f"{hours.lunch[0]:%H:%M}–{hours.lunch[1]:%H:%M}")


def _hours_form(hours: Hours) -> dict[str, str]:
    return _hours_values(hours, doors().now().astimezone(doors().house.calendar.zone).date())


def _hours_values(hours: Hours, today: date) -> dict[str, str]:
    since = max(today, hours.since or today)
    times = {name: getattr(hours, name) for name in ("opens", "closes", "lunch_from", "lunch_to")}
    days = {name: getattr(hours, name) for name in ("extra_working_days", "extra_days_off")}
    clock = {name: f"{at:%H:%M}" if at else "" for name, at in times.items()}
    return {"since": since.isoformat(), **clock} | {
        name: "\n".join(f"{day:%d.%m.%Y}" for day in found) for name, found in days.items()
    }


# --- Kinds of request ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _KindRow:
    """A kind as its line of the form shows it; `label` is what people read now."""

    code: str
    place: str
    offered: bool
    label: str
    was_label: str
    department: str
    skill: str
    question: str
    is_ours: bool

    @classmethod
    def of(cls, kind: KindSetting, place: int, typed: Mapping[str, str] | None) -> _KindRow:
        house = doors().house
        label = house.say(house.kinds.label(kind.code))
        question = house.say(house.kinds.by_code[kind.code].question)
        row = cls(
            kind.code, str(place), kind.offered, label, label, kind.department, kind.skill, question,
            kind.code in BY_CODE,
        )  # fmt: skip
        return row if typed is None else row._typed(typed)

    @classmethod
    def new(cls, place: int, typed: Mapping[str, str] | None) -> _KindRow:
        row = cls("new", str(place), True, "", "", "", "", "", is_ours=False)  # noqa: FBT003 - a ticked box
        return row if typed is None else row._typed(typed)

    def _typed(self, form: Mapping[str, str]) -> _KindRow:
        code = self.code
        return _KindRow(
            code, form.get(f"place-{code}", ""), f"offered-{code}" in form, form.get(f"label-{code}", ""),
            form.get(f"was-{code}", ""), form.get(f"department-{code}", ""), form.get(f"skill-{code}", ""),
            form.get(f"question-{code}", self.question), self.is_ours,
        )  # fmt: skip


def _kinds_sent() -> KindsSetting:
    form = request.form
    known = doors().house.kinds.known
    codes = [kind.code for kind in known if f"place-{kind.code}" in form]
    if form.get("label-new", "").strip() or form.get("question-new", "").strip():
        codes.append("new")
    if sorted(set(codes) - {"new"}) != sorted(kind.code for kind in known):
        raise SettingChanged
    sent = []
    for code in codes:
        is_ours = code in BY_CODE
        setting = {
            "code": _free_code(known_codes=[kind.code for kind in known]) if code == "new" else code,
            "offered": f"offered-{code}" in form,
            "department": form.get(f"department-{code}", ""),
            "skill": form.get(f"skill-{code}", ""),
            "label": "" if is_ours else form.get(f"label-{code}", ""),
            "question": "" if is_ours else form.get(f"question-{code}", ""),
        }
        if setting["skill"] not in ("", *SKILLS):
            raise WrongSetting(_("Такого навыка нет. Выберите из списка."))
        sent.append((asked.as_number(form.get(f"place-{code}", "")) or len(known) + 1, setting))
    ordered = [setting for _place, setting in sorted(sent, key=lambda pair: pair[0])]
    return firm_settings.parsed(KindsSetting, {"kinds": ordered})


def _free_code(known_codes: list[str]) -> str:
    return next(code for number in range(1, 999) if (code := f"own{number}") not in known_codes)


def _rename_ours(session: Session) -> None:
    """A label of ours is a sentence like any other: a new name is the firm's own wording of it."""
    house, language = doors().house, doors().language
    ours = our_sentences(language)
    for code, kind in BY_CODE.items():
        typed, was = request.form.get(f"label-{code}", "").strip(), request.form.get(f"was-{code}", "")
        if typed == was:
            continue
        if was != house.say(kind.label):
            raise SettingChanged
        if not 0 < len(typed) <= firm_settings.MAX_LABEL:
            raise WrongSetting(
                _("Название вида заявки — от 1 до {most} знаков.", most=firm_settings.MAX_LABEL)
            )
        key = wordings.key_of(kind.label.msgid)
        found = wordings.read(session, language, ours, key)
        if (typed,) == found.ours and found.own is not None:
            wordings.give_back(session, act(), language, ours, key, found.own.version)
        elif (typed,) != found.ours:
            version = found.own.version if found.own else 0
            wordings.save(session, act(), language, ours, key, (typed,), version)
