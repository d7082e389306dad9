"""A message that was edited or taken back after it had been read.

Nothing changes silently. In a form that is being filled the answer is put right and shown; in a request
that was sent an edit is a proposal; of other messages whoever has the request reads both texts. Every
version of a message stays in the correspondence.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import timedelta

from bots.turns import FORM_FOCUS, PICKING, ChatTurn
from forms.answers import AnswerError
from forms.corrections import Version, corrected
from forms.dialogue import EDIT, FILES, SUMMARY, Progress, advance, correct, nav_word, screen
from forms.fields import Answers, FormContext, ReceivedFile, Said
from forms.messages import Inbound, InboundKind, OutgoingFile
from forms.request_form import BY_NAME
from forms.texts import Text, _, lines
from notifications import proposals
from notifications.compose import RequestFacts
from router.model import Status
from storage import casework, client_chats, edits
from storage.edits import Written
from storage.work import ChatView, Work

RECENT = timedelta(minutes=15)
"""An edit that reaches us later was no answer to the question that is asked now."""

_WORDS = (InboundKind.TEXT, InboundKind.FILE, InboundKind.EDITED, InboundKind.STARTED)
_UNFINISHED = (Status.NEW, Status.ASSIGNED, Status.ACCEPTED, Status.WAITING_CLIENT)


def deleted(work: Work, chat: ChatView, inbound: Inbound) -> None:
    """Keep that a message was taken back. Nobody is told, and no answer changes."""
    if not inbound.message_key:
        return
    work.write_messages()
    at = min(inbound.sent_at, work.now)
    edits.mark_deleted(
        work.session, chat.chat_id, inbound.message_key, at, through=chat.channel, now=work.now
    )


@dataclass(frozen=True, slots=True)
class _Edit:
    """An edit of a message that we have."""

    turn: ChatTurn
    known: Written

    @property
    def text(self) -> str:
        return self.turn.said.text.strip()

    @property
    def new_files(self) -> tuple[OutgoingFile, ...]:
        """The file that took the place of another one; with a new caption the old file comes again."""
        before = {file.sha256 for file in self.known.files}
        return tuple(file for file in self.turn.kept_files() if file.sha256 not in before)

    @property
    def changes_something(self) -> bool:
        """Messengers also tell of an edit when they have only made the preview of a link."""
        return self.text != self.known.text.strip() or bool(self.new_files)

    @property
    def field(self) -> str | None:
        """The field that the message answered in words; that of the files is answered by buttons."""
        return self.known.field if self.known.field not in ("", FILES) else None

    def log(self) -> None:
        """Keep it beside the older versions."""
        files = [asdict(file) for file in self.new_files]
        self.turn.work.log(self.turn.chat, self.turn.inbound, self.text, files, self.known.request_id)

    def changes(self, answers: Answers, context: FormContext) -> Answers | None:
        """What it changes in these answers; None when they are not (any more) this message's.

        Raises AnswerError.
        """
        if self.field is None:
            return None
        files = tuple(
            ReceivedFile(file.sha256, file.name, file.size_bytes, file.media_type)
            for file in self.known.files
        )
        versions = [Version(Said(version.text, files=files), version.at) for version in self.known.versions]
        return corrected(self.field, versions, Said(self.text, files=files), answers, context)


# --- clients -----------------------------------------------------------------------------------


def taken(turn: ChatTurn) -> bool:
    """Take in an edit by a client who has agreed.

    False: it is to be read as new words. So is the edit of a message that we never had, because it was
    written before the consent or before there was this reception; and, while a form is filled, the edit
    of the last message if that answered nothing: a mistyped INN that was put right.
    """
    known, progress = _written(turn), _filled(turn)
    if known is None:
        if progress is None or _may_answer(turn, progress):
            return False
        turn.work.log(turn.chat, turn.inbound, turn.said.text, [asdict(f) for f in turn.kept_files()], None)
        _show(turn, progress, _seen())
        return True
    edit = _Edit(turn, known)
    if known.kind not in _WORDS or not edit.changes_something:
        return True
    if known.request_id is not None:
        edit.log()
        _of_request(edit, known.request_id)
    elif progress is not None and _is_of_draft(turn, known):
        if edit.field is None and known.is_last and _may_answer(turn, progress):
            return False
        edit.log()
        _of_draft(edit, progress)
    else:
        edit.log()
        # While the client is asked «К какой заявке?», both texts go where they will point.
        if not turn.chat.focus.startswith(PICKING):
            turn.say_text(_("Исправление сохранили."))
    return True


def _written(turn: ChatTurn) -> Written | None:
    if not turn.inbound.message_key:
        return None
    turn.work.write_messages()
    chat = turn.chat
    return edits.written(turn.session, chat.chat_id, chat.person_id, turn.inbound.message_key)


def _filled(turn: ChatTurn) -> Progress | None:
    progress = Progress.from_json(turn.chat.draft)
    return None if progress is None or progress.cancelled else progress


def _is_of_draft(turn: ChatTurn, known: Written) -> bool:
    begun_at = turn.chat.draft_created_at
    return begun_at is not None and known.written_at >= begun_at


def _may_answer(turn: ChatTurn, progress: Progress) -> bool:
    """Whether edited words may answer the present question. They never press «Отправить» or «Отмена»."""
    return (
        progress.asking not in (SUMMARY, EDIT)
        and nav_word(turn.said.text) is None
        and turn.now - turn.inbound.sent_at <= RECENT
    )


def _seen() -> Text:
    return _("Исправление увидели. Чтобы поменять ответ, напишите «Назад» или «Изменить».")


# --- a form that is being filled


def _of_draft(edit: _Edit, progress: Progress) -> None:
    """Put the answer right and show where the form stands, with one line about it."""
    turn = edit.turn
    try:
        changed = edit.changes(progress.answers, turn.context)
    except AnswerError as error:
        old = BY_NAME[edit.known.field].show(progress.answers[edit.known.field], turn.context)
        _show(turn, progress, lines(error.text, _("Оставили прежний ответ: {value}", value=old)))
        return
    note = None
    if changed is None and edit.text != edit.known.text.strip():
        note = _seen()
    elif changed:
        progress = correct(progress, changed, turn.context)
        note = _("Поправили: {values}", values=_shown(changed, progress, turn.context))
    if edit.new_files or turn.refusals():
        _attach(turn, progress, note)
    elif note is not None:
        _show(turn, progress, note)


def _shown(changed: Answers, progress: Progress, context: FormContext) -> Text:
    answers = progress.answers
    return lines(
        *(
            _("{title}: {value}", title=BY_NAME[name].title, value=BY_NAME[name].show(answers[name], context))
            for name in changed
            if name in BY_NAME
        )
    )


def _attach(turn: ChatTurn, progress: Progress, note: Text | None) -> None:
    """The message has another file now: both are kept."""
    result = advance(progress, Said(files=turn.said.files), turn.context)
    turn.work.save_draft(turn.chat, result.progress.to_json())
    for reply in result.replies:
        turn.say(replace(reply, text=lines(note, reply.text)), focus=FORM_FOCUS)


def _show(turn: ChatTurn, progress: Progress, note: Text) -> None:
    turn.work.save_draft(turn.chat, progress.to_json())
    turn.say(screen(progress, turn.context, note), focus=FORM_FOCUS)


# --- a request that was sent


def _of_request(edit: _Edit, number: int) -> None:
    turn = edit.turn
    facts = client_chats.own_request(turn.session, turn.chat.person_id, number)
    if facts is None:
        return
    if not facts.status.is_open:
        turn.say_text(proposals.too_late(facts))
        return
    try:
        changed = edit.changes(facts.answers, turn.context) if facts.status in _UNFINISHED else None
    except AnswerError as error:
        turn.say_text(proposals.not_proposed(facts, error.text))
        return
    if changed is None or edit.new_files:
        _pass_on(edit, facts)
    else:
        _propose(edit, facts, changed)


def _propose(edit: _Edit, facts: RequestFacts, changed: Answers) -> None:
    turn, field = edit.turn, edit.known.field
    was_open = casework.has_proposal(turn.session, facts.number, field)
    casework.propose(turn.session, turn.house, turn.who, facts.number, field, changed, turn.now)
    if changed:
        turn.say_text(proposals.proposed(facts, changed, turn.context))
    elif was_open:
        turn.say_text(proposals.withdrawn(facts, field, turn.context))


def _pass_on(edit: _Edit, facts: RequestFacts) -> None:
    turn = edit.turn
    casework.edited(
        turn.session, turn.house, turn.who, facts.number, edit.known.text, edit.text, edit.new_files,
        turn.now, event=turn.inbound.event_key,
    )  # fmt: skip
    turn.say_text(lines(proposals.words_passed_on(facts), *turn.refusals()))


# --- staff -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StaffEdit:
    """A member of staff has edited a message of theirs; `was_sent`: a client has the old words."""

    before: str
    after: str
    was_sent: bool


def by_staff(turn: ChatTurn) -> StaffEdit | None:
    """Keep it. None when there is nothing to say: no words have changed, or we never had the message."""
    known = _written(turn)
    if known is None or known.kind not in _WORDS:
        return None
    edit = _Edit(turn, known)
    if not edit.changes_something:
        return None
    edit.log()
    was_sent = edits.was_sent(turn.session, turn.chat.person_id, known.text, known.written_at)
    return StaffEdit(known.text.strip(), edit.text, was_sent)
