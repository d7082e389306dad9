"""What a member of staff sees while they write down a call or a visit, and what is kept of it meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from bots.staff_screens import moment
from forms.dialogue import NAV_SCOPE, Nav
from forms.fields import FormContext
from forms.messages import Button, Press, Reply
from forms.texts import Text, _, lines, listed, plain
from storage.casework.reading_back import AskedBy
from storage.recording import Found, How, Kept, Speaker

RECORD_SCOPE = "record"
KEY = "recording"
"""Under which name a member of staff's draft keeps it, beside what else they are in the middle of."""

SHOWN = 8

Rows = tuple[tuple[Button, ...], ...]


class Step(StrEnum):
    """What is asked."""

    CLIENT = "client"
    SPEAKER = "speaker"
    CONSENT = "consent"
    CONTACT = "contact"
    HOW = "how"
    WHEN = "when"
    FORM = "form"


@dataclass(frozen=True, slots=True)
class Recording:
    """How far it is. Times are ISO 8601.

    `parked`: it was put aside and can be taken up again. `trail` are the steps before this one.
    Without `person_id` and `name` the request will have no contact. `form` is the form's own progress.
    """

    step: Step
    revision: int
    begun_at: str
    parked: bool = False
    trail: tuple[Step, ...] = ()
    client_id: int = 0
    company: str = ""
    inn: str = ""
    person_id: int = 0
    name: str = ""
    phone: str = ""
    consent_at: str = ""
    how: str = ""
    spoken_at: str = ""
    form: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Flatten for the draft."""
        return {KEY: asdict(self)}

    def at(self, step: Step, **changed: Any) -> Recording:
        """Go on to a step; its buttons get a new revision."""
        return replace(self, step=step, revision=self.revision + 1, trail=(*self.trail, self.step), **changed)


def recording_from_json(draft: Mapping[str, Any] | None) -> Recording | None:
    """Read a draft; one that holds no recording is None."""
    kept = (draft or {}).get(KEY)
    if not isinstance(kept, dict) or kept.get("step") not in set(Step):
        return None
    trail = tuple(Step(step) for step in kept.get("trail", ()))
    return Recording(**{**kept, "step": Step(kept["step"]), "trail": trail})


# --- the questions before the form -------------------------------------------------------------


def question(recording: Recording, speakers: tuple[Speaker, ...], version: str) -> Reply:
    """The question of the present step; `speakers` are the client's people, `version` the consent's."""
    match recording.step:
        case Step.SPEAKER:
            return _ask_speaker(recording, speakers)
        case Step.CONSENT:
            return _ask_consent(recording, version)
        case Step.CONTACT:
            return _ask_contact(recording)
        case Step.HOW:
            return _ask_how(recording)
        case Step.WHEN:
            return _ask_when(recording)
        case _:
            return _ask_client(recording)


def _ask_client(recording: Recording) -> Reply:
    text = _("Кто обратился? Напишите телефон, ИНН, название или имя: найдём в базе.")
    return _screen(text, ((new_client(recording),),), recording)


def new_client(recording: Recording) -> Button:
    """«Новый клиент»."""
    return _button(_("Новый клиент"), "client", "new", recording)


def found(recording: Recording, clients: tuple[Found, ...]) -> Reply:
    """Who fits; a tap chooses."""
    rows = tuple(
        (_button(_found_label(one), "client", f"{one.client_id}.{one.person_id or 0}", recording),)
        for one in clients[:SHOWN]
    )
    more = len(clients) - SHOWN
    text = lines(
        _("Нашли: {count}. Кто это?", count=len(clients)),
        _("Показаны первые {count}. Если нужного нет, напишите точнее.", count=SHOWN) if more > 0 else None,
    )
    return _screen(text, (*rows, (new_client(recording),)), recording)


def _found_label(one: Found) -> Text:
    return listed(one.person, one.company) if one.person_id is not None else plain(one.company)


def _ask_speaker(recording: Recording, speakers: tuple[Speaker, ...]) -> Reply:
    rows = tuple(
        (_button(_speaker_label(one), "person", str(one.person_id), recording),) for one in speakers[:SHOWN]
    )
    others = (_button(_("Другой человек"), "person", "new", recording), _no_contact(recording))
    return _screen(_("{company}. С кем говорили?", company=recording.company), (*rows, others), recording)


def _speaker_label(one: Speaker) -> Text:
    return listed(one.name or _("Без имени"), one.phone or None)


def _no_contact(recording: Recording) -> Button:
    return _button(_("Без контакта"), "person", "none", recording, "контакт не указан", "не указан")


def _ask_consent(recording: Recording, version: str) -> Reply:
    who = _("{name}: согласия ещё нет.", name=recording.name) if recording.person_id else None
    text = lines(
        who,
        _(
            "Спросите: «Вы согласны на обработку персональных данных?» (документ, версия {version}). "
            "Без согласия имя и телефон не записываем.",
            version=version,
        ),
    )
    yes = _button(_("Клиент согласен (устно)"), "consent", "yes", recording, "согласен", "согласна", "да")
    return _screen(text, ((yes,), (_no_contact(recording),)), recording)


def _ask_contact(recording: Recording) -> Reply:
    text = _("Как зовут и какой телефон? Например: Мария, +7 916 123-45-67.")
    return _screen(text, ((_no_contact(recording),),), recording)


def _ask_how(recording: Recording) -> Reply:
    row = (
        _button(_("Звонок"), "how", How.PHONE, recording, "телефон", "по телефону", "позвонил", "позвонила"),
        _button(
            _("Приём в офисе"), "how", How.VISIT, recording, "в офисе", "офис", "визит", "пришел", "пришла"
        ),
    )
    return _screen(_("Это звонок или приём в офисе?"), (row,), recording)


def _ask_when(recording: Recording) -> Reply:
    ask = _("Когда звонили?") if recording.how == How.PHONE else _("Когда приходили?")
    text = lines(ask, _("Нажмите «Только что» или напишите: «в 11:20», «час назад», «вчера в 15:30»."))
    return _screen(text, ((_button(_("Только что"), "when", "now", recording, "сейчас"),),), recording)


def whether_to_go_on(recording: Recording) -> Reply:
    """There is one that was put aside."""
    company = recording.company or ((recording.form or {}).get("answers") or {}).get("company", "")
    what = _("Есть недописанная запись: {company}.", company=company) if company else None
    text = lines(what or _("Есть недописанная запись."), _("Продолжить её или начать новую?"))
    row = (
        _button(_("Продолжить запись"), "resume", "", recording, "да"),
        _button(_("Начать новую"), "anew", "", recording, "заново", "нет"),
    )
    return Reply(text, (row,), prompt=True)


# --- around the form ---------------------------------------------------------------------------


def who_spoke(recording: Recording, context: FormContext) -> Text:
    """«Со слов: Мария, +7 916 123-45-67. Звонок: 11:20.»."""
    who = listed(recording.name, recording.phone or None) if recording.name else _("контакт не указан")
    when = moment(datetime.fromisoformat(recording.spoken_at), context)
    if recording.how == How.PHONE:
        return _("Со слов: {who}. Звонок: {when}.", who=who, when=when)
    return _("Со слов: {who}. Приём в офисе: {when}.", who=who, when=when)


def kept(done: Kept, company: str) -> Text:
    """What became of it, in a few lines."""
    return lines(
        _("Записали заявку № {number}, {company}.", number=done.number, company=company),
        _("Займётся {name}.", name=done.assignee)
        if done.assignee
        else _("Исполнителя пока нет, директору сообщили."),
        _ASKED[done.asked],
    )


_ASKED: Mapping[AskedBy, Text] = {
    AskedBy.CHAT: _("Спросили клиента в его чате, верно ли записано."),
    AskedBy.LETTER: _("Спросили клиента письмом, верно ли записано."),
    AskedBy.TELEPHONE: _("Чата у клиента нет: запись стоит в списке звонков, её надо прочитать клиенту."),
}


def for_staff(reply: Reply) -> Reply:
    """A screen of the form without «Позвать человека»: the person is here."""
    human = f"{NAV_SCOPE}:{Nav.HUMAN}:"
    rows = (tuple(button for button in row if not button.press.startswith(human)) for row in reply.rows)
    return replace(reply, rows=tuple(row for row in rows if row))


def _screen(text: Text, rows: Rows, recording: Recording) -> Reply:
    back = Button(_("Назад"), str(Press(NAV_SCOPE, Nav.BACK, "", recording.revision)))
    cancel = Button(_("Отмена"), str(Press(NAV_SCOPE, Nav.CANCEL, "", recording.revision)))
    return Reply(text, (*rows, (back, cancel) if recording.trail else (cancel,)), prompt=True)


def _button(label: Text, target: str, value: str, recording: Recording, *synonyms: str) -> Button:
    return Button(label, str(Press(RECORD_SCOPE, target, value, recording.revision)), synonyms)
