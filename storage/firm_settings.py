"""What the director settles in the panel: read, checked, saved with history and version.

A part that was settled here beats the configuration file whole; one that was not, or was given back,
is as the file says. What cannot be read counts as not settled, so that the service goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import select
from sqlmodel import Session, col

from forms.kinds import ANY_DEPARTMENT, BY_CODE, FINANCE, LEGAL, OTHER, Kinds, RequestKind
from forms.texts import Text, _, plain
from router.desk import DeskError
from router.rules import OUR_WEIGHTS, RuleWeights
from router.worktime import HoursSince, WorkCalendar
from storage import history
from storage.house import House
from storage.models import Consent, FirmSetting, Person
from storage.roster import Act

MAX_EXTRA_DAYS = 200
MAX_MINUTES = 24 * 60
MAX_POINTS = 10_000
MAX_KINDS = 20
MAX_LABEL = 40
"""What the narrowest messenger shows on a button."""


class Part(StrEnum):
    """What is settled together. The values are the keys of the rows."""

    HOURS = "hours"
    TERMS = "terms"
    CONSENT = "consent"
    KINDS = "kinds"
    ROUTING = "routing"


class Setting(BaseModel):
    """A part as it is kept: unchangeable, and what it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class Hours(Setting):
    """When the firm works, in its own zone; `extra` days overrule the production calendar.

    They hold from the day `since` on. Without one they hold from the day of saving; those that were kept
    without one, before hours had days, from ever.
    """

    since: date | None = None
    opens: time
    closes: time
    lunch_from: time | None = None
    lunch_to: time | None = None
    extra_working_days: tuple[date, ...] = Field(default=(), max_length=MAX_EXTRA_DAYS)
    extra_days_off: tuple[date, ...] = Field(default=(), max_length=MAX_EXTRA_DAYS)

    def over(self, calendar: WorkCalendar) -> WorkCalendar:
        """The calendar with these hours from their day on. Raises ValueError when they are not in order."""
        lunch = (self.lunch_from, self.lunch_to) if self.lunch_from and self.lunch_to else None
        return calendar.from_day(
            HoursSince(
                self.since or date.min,
                self.opens,
                self.closes,
                lunch,
                frozenset(self.extra_working_days),
                frozenset(self.extra_days_off),
            )
        )


class FiledHours(Setting):
    """From the day `since` on the configuration file decides about the hours again."""

    since: date
    as_filed: Literal[True] = True

    def over(self, calendar: WorkCalendar) -> WorkCalendar:
        """The calendar with the hours of the file, which are its first, from that day on."""
        return calendar.from_day(replace(calendar.dated[0], since=self.since))


class AllHours(Setting):
    """Every version of the hours by its day, so that the figures of days that have passed do not change."""

    versions: tuple[Hours | FiledHours, ...]

    def over(self, calendar: WorkCalendar) -> WorkCalendar:
        """The calendar of the file with all of them over it."""
        for version in self.versions:
            calendar = version.over(calendar)
        return calendar

    def followed_by(self, version: Hours | FiledHours) -> AllHours:
        """The same with one more; whatever was to begin on its day or later is gone."""
        since = version.since or date.min
        return AllHours(
            versions=(*(kept for kept in self.versions if (kept.since or date.min) < since), version)
        )


class Terms(Setting):
    """How long is waited before somebody is reminded, or something happens by itself."""

    accept_within_minutes: int = Field(ge=1, le=MAX_MINUTES)
    look_within_minutes: int = Field(ge=1, le=MAX_MINUTES)
    # With a value of their own: what was saved earlier does not name them.
    remind_before_minutes: int = Field(default=60, ge=0, le=MAX_MINUTES)
    answer_within_minutes: int = Field(default=30, ge=0, le=MAX_MINUTES)
    close_after_working_days: int = Field(ge=1, le=30)
    failover_after_minutes: int = Field(ge=1, le=MAX_MINUTES)
    silent_after_hours: int = Field(ge=1, le=200)


class ConsentTerms(Setting):
    """What a client agrees to; another `version` is asked of everybody again."""

    version: str = Field(min_length=1, max_length=40)
    text: str = Field(min_length=1, max_length=2000)
    url: str = Field(default="", max_length=500, pattern=r"^(https?://\S+)?$")


class KindSetting(Setting):
    """One kind of request. Of our own kinds `label` and `question` are empty: see «Тексты»."""

    code: str = Field(pattern=r"^[a-z]+[0-9]{0,3}$", max_length=20)
    offered: bool = True
    department: str = Field(pattern=rf"^({FINANCE}|{LEGAL}|{ANY_DEPARTMENT})$")
    skill: str = Field(default="", max_length=20)
    label: str = Field(default="", max_length=MAX_LABEL)
    question: str = Field(default="", max_length=500)


class KindsSetting(Setting):
    """The kinds in the order of their buttons."""

    kinds: tuple[KindSetting, ...] = Field(max_length=MAX_KINDS)

    def applied(self) -> Kinds:
        """What the form offers; a kind of ours that is not listed stands at the end as we made it."""
        known = [_kind(kind) for kind in self.kinds]
        listed = {kind.code for kind in known}
        missing = [kind for code, kind in BY_CODE.items() if code not in listed]
        return Kinds((*known, *missing), frozenset(kind.code for kind in self.kinds if not kind.offered))


class Routing(Setting):
    """The weights and limits of the router."""

    dedicated: int = Field(ge=0, le=MAX_POINTS)
    recorded: int = Field(ge=0, le=MAX_POINTS)
    skill: int = Field(ge=0, le=MAX_POINTS)
    no_skill: int = Field(ge=-MAX_POINTS, le=0)
    open_request: int = Field(ge=-MAX_POINTS, le=0)
    open_requests_at_most: int = Field(ge=-MAX_POINTS, le=0)
    most_open_requests: int = Field(ge=0, le=1000)

    def applied(self) -> RuleWeights:
        """The same for the router."""
        return RuleWeights(**self.model_dump())


S = TypeVar("S", bound=Setting)

MODELS: Mapping[Part, type[Setting]] = MappingProxyType(
    {
        Part.HOURS: Hours,
        Part.TERMS: Terms,
        Part.CONSENT: ConsentTerms,
        Part.KINDS: KindsSetting,
        Part.ROUTING: Routing,
    }
)


@dataclass(frozen=True, slots=True)
class Settled:
    """What the panel has settled; None is as in the configuration file."""

    hours: AllHours | None = None
    terms: Terms | None = None
    consent: ConsentTerms | None = None
    kinds: KindsSetting | None = None
    routing: Routing | None = None


@dataclass(frozen=True, slots=True)
class Kept(Generic[S]):
    """A part as its form shows it: what holds now, and who settled it when; `by_panel` is not the file."""

    value: S
    version: int = 0
    by_panel: bool = False
    changed_at: datetime | None = None
    changed_by: str = ""


class WrongSetting(DeskError):  # noqa: N818 - the names say what happened
    """A value makes no sense; the text says which would."""


class SettingChanged(DeskError):  # noqa: N818
    """Somebody else has settled this since the form was opened."""

    def __init__(self) -> None:
        super().__init__(
            _("Эти настройки тем временем изменил кто-то ещё. Сверьте с новыми и сохраните ещё раз.")
        )


# --- Reading -------------------------------------------------------------------------------------------


def read_settled(session: Session) -> Settled:
    """Everything that the panel has settled."""
    query = select(FirmSetting).where(col(FirmSetting.key).in_([part.value for part in Part]))
    rows = session.execute(query).scalars()
    # By name: the fields of Settled are the parts.
    found: dict[str, Any] = {row.key: _kept(Part(row.key), row.value) for row in rows}
    return Settled(**found)


def house_with(house: House, settled: Settled) -> House:
    """The house of the configuration file with what the panel has settled over it."""
    if settled.hours is not None:
        house = replace(house, calendar=settled.hours.over(house.calendar))
    if settled.terms is not None:
        house = replace(house, **settled.terms.model_dump())
    if settled.consent is not None:
        consent = settled.consent
        house = replace(
            house, consent_version=consent.version, consent_text=consent.text, consent_url=consent.url
        )
    if settled.kinds is not None:
        house = replace(house, kinds=settled.kinds.applied())
    if settled.routing is not None:
        house = replace(house, weights=settled.routing.applied())
    return house


def in_force(house: House, part: Part) -> Setting:
    """A part as this house has it."""
    return _IN_FORCE[part](house)


def kept(session: Session, house: House, part: Part, model: type[S]) -> Kept[S]:
    """A part for its form. `house` fills what the panel has not settled; `model` is that of the part."""
    found = session.execute(
        select(FirmSetting, col(Person.name))
        .outerjoin(Person, col(Person.id) == col(FirmSetting.updated_by))
        .where(col(FirmSetting.key) == part.value)
    ).one_or_none()
    row, name = found or (None, None)
    value = _parsed(part, row.value) if row is not None else None
    current = value if value is not None else in_force(house, part)
    assert isinstance(current, model)
    if row is None:
        return Kept(current)
    return Kept(current, row.version, value is not None, row.updated_at, name or "")


# --- Writing -------------------------------------------------------------------------------------------


def save(session: Session, house: House, act: Act, part: Part, value: Setting, version: int) -> None:
    """Settle a part; `version` is that of the form.

    Raises:
        WrongSetting: a value makes no sense.
        SettingChanged: somebody was quicker.
    """
    check(house, value, act.now)
    before = _locked(session, house, part, version)
    _require_sequel(session, before, value)
    if isinstance(value, Hours):
        value = value.model_copy(update={"since": value.since or _today(house, act.now)})
        _write(session, act, part, _with_hours(session, value).model_dump_json(), before, value)
    else:
        _write(session, act, part, value.model_dump_json(), before, value)


def give_back(session: Session, house: House, filed: House, act: Act, part: Part, version: int) -> None:
    """Let the configuration file decide again; `filed` is the house without what the panel settled.

    About the hours it does so from today on: the days that have passed keep theirs.

    Raises SettingChanged, or WrongSetting when a kind of request of one's own would be lost.
    """
    before = _locked(session, house, part, version)
    after = in_force(filed, part)
    _require_sequel(session, before, after)
    if isinstance(after, Hours):
        today = _today(house, act.now)
        after = after.model_copy(update={"since": today})
        value = _with_hours(session, FiledHours(since=today)).model_dump_json()
    else:
        value = "null"
    _write(session, act, part, value, before, after)


def parsed(model: type[S], values: Mapping[str, object]) -> S:
    """Read what a form sent. Raises WrongSetting, naming the field."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise WrongSetting(_sentence(model, first)) from error


def check(house: House, value: Setting, now: datetime) -> None:
    """Raise WrongSetting when the values do not go together."""
    if isinstance(value, Hours):
        _check_hours(house, value, _today(house, now))
    if isinstance(value, KindsSetting):
        _check_kinds(value)


def _today(house: House, now: datetime) -> date:
    return now.astimezone(house.calendar.zone).date()


def _check_hours(house: House, hours: Hours, today: date) -> None:
    since = hours.since or today
    if since < today:
        raise WrongSetting(
            _("Часы меняют с сегодняшнего дня или позже: время прошлых заявок не пересчитывается.")
        )
    if (hours.lunch_from is None) != (hours.lunch_to is None):
        raise WrongSetting(_("Обед: укажите и начало, и конец. Без обеда оставьте оба поля пустыми."))
    if hours.opens >= hours.closes:
        raise WrongSetting(_("Конец работы должен быть позже начала. Например: 09:00 и 18:00."))
    if hours.lunch_from and hours.lunch_to:
        inside = hours.opens <= hours.lunch_from < hours.lunch_to <= hours.closes
        if not inside:
            raise WrongSetting(_("Обед должен быть внутри рабочего дня. Например: с 13:00 до 14:00."))
    both = set(hours.extra_working_days) & set(hours.extra_days_off)
    if both:
        raise WrongSetting(
            _("{day} стоит и рабочим, и выходным. Оставьте что-то одно.", day=f"{min(both):%d.%m.%Y}")
        )
    calendar = hours.model_copy(update={"since": since}).over(house.calendar)
    try:
        calendar.next_opening(datetime.combine(since, time.min, calendar.zone))
    except ValueError as error:
        raise WrongSetting(_("С такими часами фирма не работает никогда. Проверьте время.")) from error
    _require_no_extra_days_before(calendar, hours, since)


def _require_no_extra_days_before(calendar: WorkCalendar, hours: Hours, since: date) -> None:
    """Days of before may stay in the lists, as they were; another decision about them would do nothing."""
    for works, days in ((True, hours.extra_working_days), (False, hours.extra_days_off)):
        for day in days:
            if day < since and calendar.is_working_day(day) is not works:
                raise WrongSetting(
                    _(
                        "Дата {day} раньше дня, с которого действуют эти часы: {since}. Уберите её "
                        "или укажите день раньше.",
                        day=f"{day:%d.%m.%Y}",
                        since=f"{since:%d.%m.%Y}",
                    )
                )


def _check_kinds(value: KindsSetting) -> None:
    codes = [kind.code for kind in value.kinds]
    if len(codes) != len(set(codes)):
        raise WrongSetting(_("Один вид заявки назван дважды."))
    by_code = {kind.code: kind for kind in value.kinds}
    if OTHER in by_code and not by_code[OTHER].offered:
        raise WrongSetting(_("«Другое» нельзя выключить: так клиент говорит о том, чего нет в списке."))
    for kind in value.kinds:
        if kind.code not in BY_CODE and not (kind.label and kind.question):
            raise WrongSetting(_("У своего вида заявки должны быть название и вопрос клиенту."))
    labels = [kind.label.casefold() for kind in value.kinds if kind.label]
    if len(labels) != len(set(labels)):
        raise WrongSetting(_("Два вида заявки названы одинаково. Переименуйте один."))


def _require_sequel(session: Session, before: Setting, after: Setting) -> None:
    """Raise WrongSetting when something that people rely on would be gone."""
    if isinstance(before, ConsentTerms) and isinstance(after, ConsentTerms):
        _require_new_version(session, before, after)
    if isinstance(before, KindsSetting) and isinstance(after, KindsSetting):
        _require_old_kinds(before, after)


def _require_new_version(session: Session, before: ConsentTerms, after: ConsentTerms) -> None:
    """Whoever has agreed to a version must have agreed to these very words."""
    if before.version == after.version:
        if (before.text, before.url) != (after.text, after.url):
            raise WrongSetting(
                _("Текст согласия изменён: дайте ему новую версию. Все клиенты согласятся заново.")
            )
        return
    digest = hashlib.sha256(after.text.encode()).hexdigest()
    other_words = select(col(Consent.id)).where(
        col(Consent.version) == after.version, col(Consent.text_sha256) != digest
    )
    if session.execute(other_words.limit(1)).first() is not None:
        raise WrongSetting(
            _("Версия «{version}» уже была у другого текста. Возьмите другую.", version=after.version)
        )


def _require_old_kinds(before: KindsSetting, after: KindsSetting) -> None:
    """A kind of one's own can be switched off, not forgotten: older requests are of it."""
    lost = {kind.code for kind in before.kinds} - {kind.code for kind in after.kinds}
    if lost:
        raise WrongSetting(_("Свой вид заявки нельзя удалить: по нему есть заявки. Выключите его."))


def _locked(session: Session, house: House, part: Part, version: int) -> Setting:
    """What was in force, once nobody else can write; raises SettingChanged."""
    history.wait_turn(session)
    row = session.get(FirmSetting, part.value, populate_existing=True)
    if (row.version if row is not None else 0) != version:
        raise SettingChanged
    value = _parsed(part, row.value) if row is not None else None
    return value if value is not None else in_force(house, part)


def _write(session: Session, act: Act, part: Part, value: str, before: Setting, after: Setting) -> None:
    row = session.get(FirmSetting, part.value)
    if row is None:
        row = FirmSetting(key=part.value, value="", updated_at=act.now, version=0)
        session.add(row)
    row.value, row.updated_at, row.updated_by = value, act.now, act.who.person_id
    row.version += 1
    session.flush()
    was, became = _shown(before), _shown(after)
    history.record(
        session, at=act.now, actor_id=act.who.person_id, through=act.who.through, action="setting_changed",
        subject=f"setting:{part.value}",
        before={name: value for name, value in was.items() if became.get(name) != value},
        after={name: value for name, value in became.items() if was.get(name) != value},
    )  # fmt: skip


def _shown(value: Setting) -> dict[str, object]:
    """What the history keeps: times and days as words, a kind in a line of its own."""
    if isinstance(value, KindsSetting):
        return {
            "order": [_kind_name(kind) for kind in value.kinds],
            **{_kind_name(kind): _kind_shown(kind) for kind in value.kinds},
        }
    values: dict[str, object] = value.model_dump(mode="json")
    return values


def _kind_name(kind: KindSetting) -> str:
    ours = BY_CODE.get(kind.code)
    return ours.label.msgid if ours is not None else kind.label or kind.code


def _kind_shown(kind: KindSetting) -> str:
    known = (kind.label, kind.department, kind.skill, "" if kind.offered else "off", kind.question)
    return ", ".join(word for word in known if word)


# --- What stands in a row ------------------------------------------------------------------------------


def _parsed(part: Part, value: str) -> Setting | None:
    """What the panel says last; None when that is for the file to say."""
    found = _kept(part, value)
    if isinstance(found, AllHours):
        newest = found.versions[-1] if found.versions else None
        return newest if isinstance(newest, Hours) else None
    return found


def _kept(part: Part, value: str) -> Setting | None:
    try:
        found = json.loads(value)
        if found is None:
            return None
        if part is not Part.HOURS:
            return MODELS[part].model_validate_json(value)
        if "versions" in found:
            return AllHours.model_validate_json(value)
        # As they were kept before hours had days.
        return AllHours(versions=(Hours.model_validate_json(value),))
    except (ValueError, TypeError):
        return None


def _with_hours(session: Session, version: Hours | FiledHours) -> AllHours:
    row = session.get(FirmSetting, Part.HOURS.value)
    found = _kept(Part.HOURS, row.value) if row is not None else None
    return (found if isinstance(found, AllHours) else AllHours(versions=())).followed_by(version)


def _kind(setting: KindSetting) -> RequestKind:
    ours = BY_CODE.get(setting.code)
    if ours is not None:
        return replace(ours, department=setting.department, skill=setting.skill)
    words = setting.label.casefold().replace("ё", "е")
    return RequestKind(
        setting.code,
        plain(setting.label),
        plain(setting.question),
        setting.department,
        setting.skill,
        (words,),
    )


def _hours_of(house: House) -> Hours:
    newest = house.calendar.dated[-1]
    begins, ends = newest.lunch or (None, None)
    return Hours(
        since=None if newest.since == date.min else newest.since,
        opens=newest.opens,
        closes=newest.closes,
        lunch_from=begins,
        lunch_to=ends,
        extra_working_days=tuple(sorted(newest.extra_working_days)),
        extra_days_off=tuple(sorted(newest.extra_days_off)),
    )


def _terms_of(house: House) -> Terms:
    # By hand: the house is checked by nobody, and the file allows longer times.
    return Terms.model_construct(**{name: getattr(house, name) for name in Terms.model_fields})


def _consent_of(house: House) -> ConsentTerms:
    return ConsentTerms.model_construct(
        version=house.consent_version, text=house.consent_text, url=house.consent_url
    )


def _kinds_of(house: House) -> KindsSetting:
    return KindsSetting(
        kinds=tuple(
            KindSetting(
                code=kind.code,
                offered=house.kinds.offers(kind.code),
                department=kind.department,
                skill=kind.skill,
                label="" if kind.code in BY_CODE else str(kind.label.params["value"]),
                question="" if kind.code in BY_CODE else str(kind.question.params["value"]),
            )
            for kind in house.kinds.known
        )
    )


def _routing_of(house: House) -> Routing:
    return Routing.model_construct(**{name: getattr(house.weights, name) for name in Routing.model_fields})


_IN_FORCE: Mapping[Part, Callable[[House], Setting]] = MappingProxyType(
    {
        Part.HOURS: _hours_of,
        Part.TERMS: _terms_of,
        Part.CONSENT: _consent_of,
        Part.KINDS: _kinds_of,
        Part.ROUTING: _routing_of,
    }
)

OUR_ROUTING = Routing(**{name: getattr(OUR_WEIGHTS, name) for name in Routing.model_fields})


# --- What is wrong, in a sentence ----------------------------------------------------------------------

LABELS: Mapping[str, Text] = MappingProxyType(
    {
        "since": _("С какого дня"),
        "opens": _("Начало работы"),
        "closes": _("Конец работы"),
        "lunch_from": _("Обед с"),
        "lunch_to": _("Обед до"),
        "extra_working_days": _("Дополнительные рабочие дни"),
        "extra_days_off": _("Дополнительные выходные"),
        "accept_within_minutes": _("Принять заявку за, рабочих минут"),
        "look_within_minutes": _("Клиенту обещаем посмотреть за, рабочих минут"),
        "remind_before_minutes": _("Напомнить о сроке за, рабочих минут"),
        "answer_within_minutes": _("Ответить клиенту за, рабочих минут"),
        "close_after_working_days": _("Закрыть без возражений через, рабочих дней"),
        "failover_after_minutes": _("Следующий мессенджер пробуем через, минут"),
        "silent_after_hours": _("Мессенджер подозрительно молчит, рабочих часов"),
        "version": _("Версия"),
        "url": _("Ссылка на полный текст"),
        "kinds": _("Виды заявок"),
        "label": _("Название"),
        "question": _("Вопрос клиенту"),
        "skill": _("Навык"),
        "department": _("Отдел"),
        "dedicated": _("Ведёт этого клиента"),
        "recorded": _("Сам записал заявку со слов"),
        "no_skill": _("Нет нужного навыка"),
        "open_request": _("За каждую заявку в работе"),
        "open_requests_at_most": _("За все заявки в работе, не больше"),
        "most_open_requests": _("Заявок одновременно у одного человека, не больше"),
        "order": _("Порядок"),
    }
)
"""What people call the fields; also in the history."""

_TEXT_LABELS: Mapping[tuple[str, str], Text] = MappingProxyType(
    {("ConsentTerms", "text"): _("Текст согласия"), ("Routing", "skill"): _("Есть нужный навык")}
)


def label_of(model: type[Setting], name: str) -> Text:
    """What people call a field of a part."""
    return _TEXT_LABELS.get((model.__name__, name)) or LABELS.get(name) or plain(name)


def least_of(model: type[Setting], name: str) -> int:
    """The least value of a whole number."""
    return next(int(limit.ge) for limit in model.model_fields[name].metadata if hasattr(limit, "ge"))


def _sentence(model: type[Setting], error: Any) -> Text:  # noqa: PLR0911 - a table of answers
    names = [str(part) for part in error["loc"] if isinstance(part, str)]
    # A field inside a list (of kinds) is named by its own label.
    label = label_of(model, names[-1] if names else "")
    limits = error.get("ctx", {})
    match error["type"]:
        case "greater_than_equal":
            return _("{label}: не меньше {least}.", label=label, least=limits["ge"])
        case "less_than_equal":
            return _("{label}: не больше {most}.", label=label, most=limits["le"])
        case "string_too_long" | "too_long":
            return _("{label}: не длиннее {most}.", label=label, most=limits["max_length"])
        case "string_too_short" | "missing":
            return _("{label}: заполните.", label=label)
        case "int_parsing" | "int_type":
            return _("{label}: нужно целое число.", label=label)
        case "string_pattern_mismatch" if names[-1:] == ["url"]:
            return _("{label}: напишите адрес целиком, https://example.ru/consent.", label=label)
        case kind if names[-1:] == ["since"]:
            return _("{label}: укажите день, например 31.12.2026.", label=label)
        case kind if "time" in kind:
            return _("{label}: время пишут так: 09:00.", label=label)
        case kind if "date" in kind:
            return _("{label}: каждый день с новой строки, так: 31.12.2026.", label=label)
        case _:
            return _("{label}: такое значение не подходит.", label=label)
