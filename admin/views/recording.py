"""«Записать звонок»: the client's own form on one page, filled by staff from the client's words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from flask import redirect, request, url_for
from flask_babel import lazy_gettext as _l
from sqlmodel import Session
from werkzeug.wrappers import Response

from admin import asked
from admin.auth import act
from admin.doors import doors
from admin.rights import Area
from admin.views.base import PanelView, expose, tell
from admin.views.requests import MAX_WORDS, uploaded
from forms.answers import AnswerError
from forms.contact import parse_contact, phone_key
from forms.dialogue import FORM_SCOPE, parse_one
from forms.fields import AttachedFile, Field, FormContext, Said, files_to_text
from forms.inn import split_company
from forms.messages import Press, loosely
from forms.past import parse_past
from forms.request_form import FORM
from forms.texts import Text, _, lines
from router.desk import DeskError
from storage import recording
from storage.casework.reading_back import AskedBy
from storage.recording import How, Kept, Spoken

FILES = "files"
_IN_LINES = frozenset(("task", "goods"))
_SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Asked:
    """A field of the form on the page; `choices` are offered and anything else may be typed."""

    name: str
    title: Text
    choices: tuple[Text, ...]
    in_lines: bool


class RecordingView(PanelView):
    """`/panel/recording/`."""

    area = Area.RECORDING

    def __init__(self) -> None:
        super().__init__(name=_l("Записать звонок"), endpoint="recording")

    @expose("/", methods=("GET", "POST"))
    def index(self) -> Response | str | tuple[str, int]:
        """The form; a POST makes a request of it."""
        if request.method == "GET":
            return self._show({})
        self.require_change()
        refused: dict[str, Text] = {}
        try:
            kept = _keep(refused)
        except DeskError as error:
            refused[FILES] = error.text
            kept = None
        if kept is None:
            return self._show(refused), 422
        doors().wake()
        tell(_told(kept))
        return redirect(url_for("recording.index"))

    def _show(self, refused: Mapping[str, Text]) -> str:
        context = _context(None)
        fields = tuple(
            Asked(
                field.name,
                field.title,
                tuple(choice.label for choice in field.choices({}, context) if choice.value != _SKIP),
                field.name in _IN_LINES,
            )
            for field in FORM
        )
        return self.page("recording.html", fields=fields, refused=refused, ways=tuple(How))


def _told(kept: Kept) -> Text:
    return lines(
        _("Записана заявка № {number}.", number=kept.number),
        _("Исполнитель: {name}.", name=kept.assignee) if kept.assignee else _("Исполнителя пока нет."),
        _("Клиента спросили, верно ли записано.")
        if kept.asked is not AskedBy.TELEPHONE
        else _("Чата и почты у клиента нет: запись стоит в списке звонков."),
    )


def _keep(refused: dict[str, Text]) -> Kept | None:
    """Keep what was typed; None when a field is `refused`, and then nothing is kept."""
    now = doors().now()
    answers = _answers(refused)
    at = _spoken_at(refused, now)
    files = uploaded()
    with doors().database.begin() as session:
        spoken = _spoken(session, refused, answers.get("inn", ""), at or now)
        if refused:
            return None
        attached = (AttachedFile(f.sha256, f.name, f.size_bytes, f.media_type) for f in files)
        answers[FILES] = files_to_text(tuple(attached))
        return recording.keep(session, doors().house, act().who, spoken, answers, now, now)


def _answers(refused: dict[str, Text]) -> dict[str, str]:
    """Every field through its own validator, in the order of the form."""
    inn_text, _name = split_company(_typed("inn"))
    context = _context(inn_text)
    answers: dict[str, str] = {}
    for field in FORM:
        unneeded = field.part_of is not None and (field.name in answers or field.part_of in refused)
        if field.name == FILES or unneeded or not field.asked_if(answers):
            continue
        try:
            answers |= parse_one(field.name, _said(field, answers, context), answers, context)
        except AnswerError as error:
            refused[field.name] = error.text
        else:
            if field.name not in answers:
                refused[field.name] = field.question(answers, context)
    return answers


def _said(field: Field, answers: Mapping[str, str], context: FormContext) -> Said:
    text = _typed(field.name)
    skips = any(choice.value == _SKIP for choice in field.choices(answers, context))
    return Said(press=Press(FORM_SCOPE, field.name, _SKIP)) if skips and not text else Said(text)


def _spoken_at(refused: dict[str, Text], now: datetime) -> datetime | None:
    try:
        return parse_past(_typed("when"), now, doors().house.calendar.zone)
    except AnswerError as error:
        refused["when"] = error.text
        return None


def _spoken(session: Session, refused: dict[str, Text], inn: str, at: datetime) -> Spoken:
    """Who spoke: somebody known, somebody new who has agreed, or nobody in particular."""
    how = How(asked_how) if (asked_how := request.form.get("how", "")) in set(How) else How.PHONE
    words, agreed = _typed("contact"), request.form.get("consent") == "1"
    if not words:
        return Spoken(how, at)
    client = recording.client_by_inn(session, inn)
    known = recording.speakers(session, doors().house, client.client_id) if client else ()
    digits = phone_key(words)
    found = next(
        (
            one
            for one in known
            if (one.phone and phone_key(one.phone) == digits) or loosely(one.name) == loosely(words)
        ),
        None,
    )
    if not agreed and not (found and found.has_consent):
        refused["contact"] = _(
            "Без согласия имя и телефон не записываем. Отметьте согласие или оставьте поле пустым."
        )
        return Spoken(how, at)
    if found is not None:
        consent_at = None if found.has_consent else doors().now()
        return Spoken(how, at, found.person_id, found.name, found.phone, consent_at)
    try:
        contact = parse_contact(words)
    except AnswerError as error:
        refused["contact"] = error.text
        return Spoken(how, at)
    return Spoken(how, at, None, contact.name, contact.phone, doors().now())


def _context(inn_text: str | None) -> FormContext:
    house, directory = doors().house, dict[str, str]()
    inn = re.sub(r"[^0-9]", "", inn_text or "")
    if inn:
        with doors().database.read() as session:
            client = recording.client_by_inn(session, inn)
        if client is not None:
            directory[inn] = client.company
    return FormContext(
        doors().now(), house.calendar, house.firm_name, house.firm_phone, (), directory, kinds=house.kinds
    )


def _typed(name: str) -> str:
    return asked.clean(request.form.get(name, "").replace("\r\n", "\n"), MAX_WORDS)
