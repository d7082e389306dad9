"""Writing down a call or a visit in a member of staff's chat: who spoke, when, and the client's own form.

What is in the middle stands in the draft of the member of staff, beside a step of the staff chat. It
waits while they do something else, and is asked again afterwards. Until consent is heard nothing that
was typed here is kept: neither in the draft nor among the messages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from bots import recording_screens as screens
from bots.recording_screens import RECORD_SCOPE, Recording, Step, recording_from_json
from bots.staff_pending import revision_at
from bots.staff_screens import STAFF_SCOPE
from bots.turns import ChatTurn
from forms.answers import AnswerError
from forms.contact import NamedContact, parse_contact
from forms.dialogue import (
    FORM_SCOPE,
    NAV_SCOPE,
    SUMMARY,
    Nav,
    Outcome,
    Progress,
    Turn,
    advance,
    begin,
    nav_word,
    screen,
)
from forms.fields import Company, FormContext
from forms.inn import INN_LENGTHS, parse_inn
from forms.messages import Press, Reply, loosely
from forms.past import parse_past
from forms.texts import Text, _, lines
from router.model import Role
from storage import recording as book
from storage.recording import How, Speaker, Spoken

RESUME, ANEW = "resume", "anew"
_UNHEARD = (Step.CLIENT, Step.CONTACT)
"""Steps at which a name or a telephone is typed: the words are kept nowhere but in the recording."""

Note = Text | None


def of(turn: ChatTurn) -> Recording | None:
    """The recording of this member of staff, put aside or not; the administrator has none."""
    staff = turn.chat.staff
    if staff is None or staff.role is Role.ADMIN:
        return None
    return recording_from_json(turn.chat.draft)


def kept_beside(turn: ChatTurn) -> Mapping[str, object]:
    """What of the draft must stay when a step of the staff chat begins or ends."""
    recording = of(turn)
    return recording.to_json() if recording else {}


def is_going(turn: ChatTurn) -> bool:
    """Whether a recording waits for its next answer; while a step of the staff chat lasts, it only waits."""
    recording = of(turn)
    return recording is not None and not recording.parked


def keeps_quiet(turn: ChatTurn) -> bool:
    """Whether what is typed now may be somebody's personal data before their consent."""
    recording = of(turn)
    return recording is not None and not recording.parked and recording.step in _UNHEARD


def is_in_sight(turn: ChatTurn) -> bool:
    """Whether its question is the last thing that was said."""
    recording = of(turn)
    if recording is None:
        return False
    shown = (Press.parse(button[1]) for button in turn.chat.screen)
    return any(press is not None and press.revision == _revision(recording) for press in shown)


def takes(turn: ChatTurn, press: Press | None) -> bool:
    """Whether this message is an answer to the recording; `press` is what it was understood as."""
    recording = of(turn)
    if recording is None:
        return False
    if press is not None and press.scope == RECORD_SCOPE:
        return not recording.parked or press.target in (RESUME, ANEW)
    if recording.parked:
        return False
    if press is None:
        return turn.inbound.button is None and not turn.said.text.startswith("/")
    if press.scope == NAV_SCOPE:
        return press.target in (Nav.BACK, Nav.CANCEL)
    typed_as_words = turn.inbound.button is None and press.scope != STAFF_SCOPE
    return press.scope == FORM_SCOPE or typed_as_words


def start(turn: ChatTurn, note: Note = None) -> None:
    """«Записать звонок»: a new one, or the question whether to go on with what was put aside."""
    recording = of(turn)
    if recording is None:
        _begin(turn, note)
    elif recording.parked:
        reply = screens.whether_to_go_on(recording)
        turn.say(replace(reply, text=lines(note, reply.text)))
    else:
        ask(turn, note)


def ask(turn: ChatTurn, note: Note = None) -> None:
    """Ask what is waited for (again)."""
    recording = of(turn)
    assert recording is not None
    if recording.step is Step.FORM:
        _show_form(turn, recording, _progress(recording), note)
        return
    reply = screens.question(recording, _speakers(turn, recording), turn.house.consent_version)
    turn.say(replace(reply, text=lines(note, reply.text)))


def hear(turn: ChatTurn, press: Press | None) -> Note:
    """Take an answer. Returns what to say above the menu when the recording ended or was put aside."""
    recording = of(turn)
    assert recording is not None
    nav = _nav(turn, press)
    if press is not None and press.scope == RECORD_SCOPE and press.target in (RESUME, ANEW):
        return _taken_up(turn, recording, press)
    if _is_stale(turn, recording):
        ask(turn, _("Эта кнопка от прошлого вопроса. Сейчас вопрос такой:"))
    elif nav is Nav.CANCEL:
        return _put_aside(turn, recording)
    elif recording.step is Step.FORM:
        return _fill(turn, recording, nav)
    elif nav is Nav.BACK:
        _back(turn, recording)
    elif turn.said.files:
        ask(turn, _("Файлы приложите чуть позже: о них спросим в заявке."))
    elif turn.said.other:
        ask(
            turn, _("Это ({what}) записать не получится. Ответьте словами или кнопкой.", what=turn.said.other)
        )
    else:
        _answer(turn, recording, press)
    return None


def _nav(turn: ChatTurn, press: Press | None) -> Nav | None:
    if press is not None and press.scope == NAV_SCOPE:
        return Nav(press.target)
    return nav_word(turn.said.text) if turn.inbound.button is None and not turn.said.files else None


def _is_stale(turn: ChatTurn, recording: Recording) -> bool:
    """Whether a button of an earlier question was pressed; typed words are always of now."""
    pressed = Press.parse(turn.inbound.button)
    return pressed is not None and pressed.revision != _revision(recording)


def _revision(recording: Recording) -> int:
    return _progress(recording).revision if recording.step is Step.FORM else recording.revision


# --- beginning and ending ----------------------------------------------------------------------


def _begin(turn: ChatTurn, note: Note = None) -> None:
    before = of(turn)
    revision = max(revision_at(turn.now), _revision(before) + 1 if before else 0)
    _save(turn, Recording(Step.CLIENT, revision, turn.now.isoformat()))
    ask(turn, note)


def _taken_up(turn: ChatTurn, recording: Recording, press: Press) -> Note:
    if not recording.parked:
        ask(turn, _("Эта кнопка от прошлого вопроса. Сейчас вопрос такой:"))
        return None
    if press.target == ANEW:
        _begin(turn)
        return None
    _save(turn, replace(recording, parked=False))
    ask(turn, _("Продолжим запись."))
    return None


def _put_aside(turn: ChatTurn, recording: Recording) -> Text:
    if recording.step is Step.CLIENT and not recording.trail:
        _save(turn, None)
        return _("Отменили, ничего не записали.")
    _save(turn, replace(recording, parked=True))
    return _("Запись отложили, никому ничего не ушло. Вернуться к ней: «Записать звонок».")


def _save(turn: ChatTurn, recording: Recording | None) -> None:
    turn.work.save_draft(turn.chat, recording.to_json() if recording else None)


def _go(turn: ChatTurn, recording: Recording, note: Note = None) -> None:
    _save(turn, recording)
    ask(turn, note)


def _back(turn: ChatTurn, recording: Recording) -> None:
    if not recording.trail:
        ask(turn, _("Это первый вопрос. Выйти: «Отмена»."))
        return
    earlier = replace(
        recording,
        step=recording.trail[-1],
        trail=recording.trail[:-1],
        revision=_revision(recording) + 1,
    )
    _go(turn, earlier)


# --- who, how, when ----------------------------------------------------------------------------


def _answer(turn: ChatTurn, recording: Recording, press: Press | None) -> None:
    own = press if press is not None and press.scope == RECORD_SCOPE else None
    try:
        if own is not None and (own.target, own.value) == ("person", "none"):
            _without_contact(turn, recording)
        elif own is not None and own.target == recording.step.replace("speaker", "person"):
            _PRESSED[recording.step](turn, recording, own.value)
        else:
            _SAID[recording.step](turn, recording, turn.said.text.strip())
    except AnswerError as error:
        turn.say_text(error.text)


def _chose_client(turn: ChatTurn, recording: Recording, value: str) -> None:
    if value == "new":
        typed_inn = "" if recording.company else recording.inn
        unknown = Recording(Step.CLIENT, recording.revision, recording.begun_at, inn=typed_inn)
        _go(turn, unknown.at(Step.CONSENT))
        return
    client_id, _point, person_id = value.partition(".")
    client = book.client(turn.session, _number(client_id))
    if client is None:
        ask(turn, _("Этого клиента уже нет в базе."))
        return
    chosen = replace(
        recording, client_id=client.client_id, company=client.company, inn=client.inn,
        person_id=0, name="", phone="", consent_at="", form=None,
    )  # fmt: skip
    if _number(person_id):
        _chose_speaker(turn, chosen, person_id)
    elif book.speakers(turn.session, turn.house, client.client_id):
        _go(turn, chosen.at(Step.SPEAKER))
    else:
        _go(turn, chosen.at(Step.CONSENT), _("{company}.", company=client.company))


def _look_for_client(turn: ChatTurn, recording: Recording, text: str) -> None:
    clients = book.find(turn.session, text)
    if clients:
        turn.say(screens.found(recording, clients))
        return
    digits = "".join(text.split())
    if not (digits.isascii() and digits.isdigit() and len(digits) in INN_LENGTHS):
        _nobody(turn, recording, _("Никого не нашли. Напишите иначе или нажмите «Новый клиент»."))
        return
    try:
        inn = parse_inn(digits)
    except AnswerError as error:
        _nobody(turn, recording, lines(_("Никого не нашли."), error.text))
        return
    # Whoever is new is not asked for the INN again.
    _go(
        turn,
        replace(recording, inn=inn),
        _("ИНН {inn} у нас впервые. Если это не ошибка, нажмите «Новый клиент».", inn=inn),
    )


def _nobody(turn: ChatTurn, recording: Recording, text: Text) -> None:
    """The question itself is still in sight."""
    reply = screens.question(recording, (), turn.house.consent_version)
    turn.say(replace(reply, text=text))


def _chose_speaker(turn: ChatTurn, recording: Recording, value: str) -> None:
    if value == "new":
        _go(turn, recording.at(Step.CONSENT, person_id=0, name="", phone="", consent_at=""))
        return
    person = book.speaker(turn.session, turn.house, recording.client_id, _number(value))
    if person is None:
        ask(turn, _("Этого человека уже нет в базе."))
        return
    step = Step.HOW if person.has_consent else Step.CONSENT
    chosen = {"person_id": person.person_id, "name": person.name, "phone": person.phone, "consent_at": ""}
    _go(turn, recording.at(step, **chosen))


def _named_speaker(turn: ChatTurn, recording: Recording, text: str) -> None:
    wanted = loosely(text)
    named = [one for one in _speakers(turn, recording) if wanted and wanted in loosely(one.name)]
    if len(named) == 1:
        _chose_speaker(turn, recording, str(named[0].person_id))
    else:
        ask(turn, _("Выберите кнопкой. Если человека нет, нажмите «Другой человек»."))


def _consented(turn: ChatTurn, recording: Recording, value: str) -> None:
    if value == "yes":
        step = Step.HOW if recording.person_id else Step.CONTACT
        _go(turn, recording.at(step, consent_at=turn.now.isoformat()))


def _only_buttons(turn: ChatTurn, _recording: Recording, _text: str) -> None:
    ask(turn, _("Ответьте, пожалуйста, кнопкой."))


def _without_contact(turn: ChatTurn, recording: Recording) -> None:
    nobody = {"person_id": 0, "name": "", "phone": "", "consent_at": ""}
    told = _("Имя и телефон не записываем: в заявке будет «контакт не указан».")
    _go(turn, recording.at(Step.HOW, **nobody), told)


def _named_contact(turn: ChatTurn, recording: Recording, text: str) -> None:
    shared = turn.said.contact
    contact = parse_contact(f"{shared.name} {shared.phone}") if shared is not None else parse_contact(text)
    _go(turn, recording.at(Step.HOW, name=contact.name, phone=contact.phone), _contact_line(contact))


def _contact_line(contact: NamedContact) -> Text:
    return _("{name}, {phone}.", name=contact.name, phone=contact.phone)


def _chose_how(turn: ChatTurn, recording: Recording, value: str) -> None:
    if value in set(How):
        _go(turn, recording.at(Step.WHEN, how=value))


def _just_now(turn: ChatTurn, recording: Recording, _value: str) -> None:
    _to_form(turn, recording, turn.now)


def _said_when(turn: ChatTurn, recording: Recording, text: str) -> None:
    _to_form(turn, recording, parse_past(text, turn.now, turn.house.calendar.zone))


_Taking = Callable[[ChatTurn, Recording, str], None]
_PRESSED: Mapping[Step, _Taking] = {
    Step.CLIENT: _chose_client,
    Step.SPEAKER: _chose_speaker,
    Step.CONSENT: _consented,
    Step.HOW: _chose_how,
    Step.WHEN: _just_now,
}
_SAID: Mapping[Step, _Taking] = {
    Step.CLIENT: _look_for_client,
    Step.SPEAKER: _named_speaker,
    Step.CONSENT: _only_buttons,
    Step.CONTACT: _named_contact,
    Step.HOW: _only_buttons,
    Step.WHEN: _said_when,
}


def _speakers(turn: ChatTurn, recording: Recording) -> tuple[Speaker, ...]:
    if recording.step is not Step.SPEAKER:
        return ()
    return book.speakers(turn.session, turn.house, recording.client_id)


def _number(text: str) -> int:
    """A number out of a button; a forged one is 0, which nothing has."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else 0  # noqa: PLR2004


# --- the form ----------------------------------------------------------------------------------


def _to_form(turn: ChatTurn, recording: Recording, spoken_at: datetime) -> None:
    entered = recording.at(Step.FORM, spoken_at=spoken_at.isoformat())
    before = Progress.from_json(recording.form)
    if before is not None:
        progress = replace(before, revision=max(before.revision, entered.revision) + 1)
    else:
        answers = {"inn": entered.inn} if entered.inn else {}
        if entered.company:
            answers["company"] = entered.company
        progress = begin(_context(turn, entered), answers, entered.revision + 1)
    _show_form(turn, entered, progress, screens.who_spoke(entered, turn.context))


def _context(turn: ChatTurn, recording: Recording) -> FormContext:
    """The form as this client would fill it."""
    known = (Company(recording.inn, recording.company),) if recording.company else ()
    return replace(turn.context, companies=known)


def _progress(recording: Recording) -> Progress:
    progress = Progress.from_json(recording.form)
    return progress or Progress(revision=recording.revision)


def _show_form(turn: ChatTurn, recording: Recording, progress: Progress, note: Note) -> None:
    _keep_form(turn, recording, progress)
    _say(turn, recording, progress, screen(progress, _context(turn, recording), note))


def _keep_form(turn: ChatTurn, recording: Recording, progress: Progress) -> None:
    # «Позвать человека», which another way would point to, is no way for the one who is called.
    _save(turn, replace(recording, form=replace(progress, failures=0).to_json()))


def _say(turn: ChatTurn, recording: Recording, progress: Progress, reply: Reply) -> None:
    if progress.asking == SUMMARY:
        reply = replace(reply, text=lines(screens.who_spoke(recording, turn.context), reply.text))
    turn.say(screens.for_staff(reply))


def _fill(turn: ChatTurn, recording: Recording, nav: Nav | None) -> Note:
    progress = _progress(recording)
    press = turn.said.press
    own = press is not None and press.scope in (FORM_SCOPE, NAV_SCOPE)
    said = turn.said if own else replace(turn.said, press=None)
    result = advance(progress, said, _context(turn, recording))
    if result.outcome is Outcome.SUBMITTED:
        return _submit(turn, recording, result)
    if nav is Nav.BACK and result.progress == progress:
        _back(turn, recording)
        return None
    if result.outcome is Outcome.HUMAN:
        ask(turn, _("Здесь отвечает программа. Если нужна помощь, позвоните директору."))
        return None
    _keep_form(turn, recording, result.progress)
    for reply in result.replies:
        _say(turn, recording, result.progress, reply)
    return None


def _submit(turn: ChatTurn, recording: Recording, result: Turn) -> Text:
    assert result.submitted is not None
    spoken = Spoken(
        how=How(recording.how),
        at=datetime.fromisoformat(recording.spoken_at),
        person_id=recording.person_id or None,
        name=recording.name,
        phone=recording.phone,
        consent_at=datetime.fromisoformat(recording.consent_at) if recording.consent_at else None,
    )
    begun_at = datetime.fromisoformat(recording.begun_at)
    done = book.keep(turn.session, turn.house, turn.who, spoken, result.submitted, begun_at, turn.now)
    _save(turn, None)
    return screens.kept(done, result.submitted["company"])
