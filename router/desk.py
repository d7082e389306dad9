"""What clients, staff and the machine may do with a request: pure transitions of one value.

Each function takes the request as it is, who acts and when (aware UTC), and returns the `Change`, or
raises a `DeskError` whose `text` that person reads. `holder` is the name of the present assignee, for
that sentence only. Saving a change must fail when the stored version is no longer `before.version`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum

from forms.texts import Clock, Day, Text, _
from router.model import Decision, Role, Stage, Status
from router.worktime import WorkCalendar

REOPEN_DAYS = 30
"""How long after closing a client may say that it was not solved."""


class Event(StrEnum):
    """What happened to a request; the words of its history."""

    SUBMITTED = "submitted"
    ASSIGNED = "assigned"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    CLARIFICATION_ASKED = "clarification_asked"
    CLARIFICATION_ANSWERED = "clarification_answered"
    ANSWERED = "answered"
    CLIENT_WROTE = "client_wrote"
    NOTED = "noted"
    PASSED = "passed"
    WAITING_OUTSIDE = "waiting_outside"
    RESUMED = "resumed"
    DONE = "done"
    REOPENED = "reopened"
    CLOSED = "closed"
    RATED = "rated"
    CANCELLED = "cancelled"
    REASSIGNED = "reassigned"
    UNASSIGNED = "unassigned"
    ESCALATED = "escalated"
    CONFIRMED = "confirmed"
    CORRECTED = "corrected"
    CHANGE_AGREED = "change_agreed"
    CHANGE_REFUSED = "change_refused"
    DEADLINE_MOVED = "deadline_moved"
    REMINDED = "reminded"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does it. Staff have a number and a role; without them it is the client or the machine.

    `zone` is the one in which this person reads the clock.
    """

    name: str
    staff_id: int | None = None
    role: Role | None = None
    zone: tzinfo = UTC
    is_machine: bool = False

    @property
    def directs(self) -> bool:
        """Whether this actor may dispose of everybody's work."""
        return self.role is not None and self.role.directs

    @property
    def is_client(self) -> bool:
        """Whether the client acts."""
        return self.role is None and not self.is_machine


MACHINE = Actor("", is_machine=True)
"""The router and the timers."""


def staff(staff_id: int, role: Role, name: str, zone: tzinfo) -> Actor:
    """Build the actor of a member of staff."""
    return Actor(name, staff_id, role, zone)


def client(name: str = "") -> Actor:
    """Build the actor of a client's person. That the request is theirs was checked before."""
    return Actor(name)


@dataclass(frozen=True, slots=True)
class Request:
    """A request as the desk sees it. Times are aware UTC and None until they happen.

    `stage` is None while the clock stands: before submission, after closing. `first_responder_id` and
    `done_by` are whoever answered first and pressed «Выполнено», which need not be the assignee.
    `question` names the field that the client was asked to correct. `unanswered_since` is when the client
    wrote something that nobody has answered yet: until then the machine does not close.
    """

    request_id: int
    status: Status
    deadline: datetime
    stage: Stage | None = None
    assignee_id: int | None = None
    version: int = 0
    submitted_at: datetime | None = None
    assigned_at: datetime | None = None
    accepted_at: datetime | None = None
    first_response_at: datetime | None = None
    done_at: datetime | None = None
    closed_at: datetime | None = None
    first_responder_id: int | None = None
    done_by: int | None = None
    question: str | None = None
    unanswered_since: datetime | None = None
    rating: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One step of a request. `comment` is the actor's own words: a reason, a result, a note."""

    event: Event
    before: Request
    after: Request
    actor: Actor
    at: datetime
    comment: str = ""

    @property
    def status(self) -> Status:
        """The new status."""
        return self.after.status

    @property
    def stage(self) -> Stage | None:
        """The new stage; None stops the clock."""
        return self.after.stage

    @property
    def assignee_id(self) -> int | None:
        """Who has it now."""
        return self.after.assignee_id

    @property
    def moves_clock(self) -> bool:
        """Whether one stage interval ends here and another may begin."""
        return self.before.stage is not self.after.stage


class DeskError(Exception):
    """The step is not possible; `text` tells the person who tried why, and what is."""

    def __init__(self, text: Text) -> None:
        super().__init__(text.msgid)
        self.text = text


class AlreadyTaken(DeskError):  # noqa: N818 - the names say what happened
    """Somebody else accepted the request first."""

    def __init__(self, holder: str, since: datetime | None, actor: Actor, now: datetime) -> None:
        name = _holder(holder)
        if since is None:
            super().__init__(_("Эту заявку уже ведёт {holder}.", holder=name))
        else:
            when = _when(since, actor, now)
            super().__init__(_("Эту заявку уже ведёт {holder}. Взято: {when}.", holder=name, when=when))


class NotYours(DeskError):  # noqa: N818
    """Another member of staff has the request, or nobody has."""


class NotAllowed(DeskError):  # noqa: N818
    """This role may not do that with any request."""


class WrongState(DeskError):  # noqa: N818
    """The request is past that step or has not come to it."""

    def __init__(self, status: Status) -> None:
        super().__init__(
            _("Сейчас этого сделать нельзя. Состояние заявки: {status}.", status=status_words(status))
        )


class StaleVersion(DeskError):  # noqa: N818
    """The person decided on a screen that was no longer true (who changed the request is named)."""

    def __init__(self, changed_by: str, changed_at: datetime, actor: Actor, now: datetime) -> None:
        super().__init__(
            _(
                "Заявка изменилась, пока вы смотрели: {name}, {when}. Проверьте её ещё раз и повторите.",
                name=changed_by or _("программа"),
                when=_when(changed_at, actor, now),
            )
        )


class AlreadyTheirs(DeskError):  # noqa: N818
    """The request is to be given to the one who has it."""

    def __init__(self) -> None:
        super().__init__(_("Заявка и так у этого сотрудника. Выберите другого."))


class NobodyFits(DeskError):  # noqa: N818
    """The router chose nobody; the request goes on waiting."""

    def __init__(self) -> None:
        super().__init__(_("Сейчас никто не подходит. Заявка ждёт первого, кто освободится."))


class ReasonMissing(DeskError):  # noqa: N818
    """A step that others must understand came without words."""

    def __init__(self) -> None:
        super().__init__(_("Напишите причину в двух словах, например: «не мой участок»."))


class TooLate(DeskError):  # noqa: N818
    """It was closed too long ago to be taken up again."""

    def __init__(self) -> None:
        super().__init__(
            _(
                "Заявка закрыта больше {days} дней назад. Создайте новую, мы увидим и прежнюю.",
                days=REOPEN_DAYS,
            )
        )


class FirmOwes(DeskError):  # noqa: N818
    """The machine wanted to close a request on which the client waits for an answer."""

    def __init__(self) -> None:
        super().__init__(_("Клиент ждёт ответа: сначала ответьте ему."))


class WrongRating(DeskError):  # noqa: N818
    """The rating is outside 1 … 5."""

    def __init__(self) -> None:
        super().__init__(_("Оценка — число от 1 до 5."))


_WORKED_ON = (Status.ACCEPTED, Status.WAITING_CLIENT)
_UNFINISHED = (Status.NEW, Status.ASSIGNED, *_WORKED_ON)
_OPEN = (*_UNFINISHED, Status.DONE)
_FINISHED = (Status.DONE, Status.CLOSED)
_WAITED_FOR = (Status.WAITING_CLIENT, Status.DONE)
"""The client is to act next: their minutes, unless they wait for an answer."""
_SUBMITTED = tuple(status for status in Status if status is not Status.DRAFT)


def require_version(
    request: Request, seen_version: int, actor: Actor, now: datetime, *, changed_by: str, changed_at: datetime
) -> None:
    """Refuse a decision made on an older screen, naming who changed the request since and when."""
    if request.version != seen_version:
        raise StaleVersion(changed_by, changed_at, actor, now)


# Coming in and being given to somebody.


def submitted(request: Request, actor: Actor, now: datetime) -> Change:
    """The client has sent it: the clock starts."""
    _require_status(request, (Status.DRAFT,))
    after = replace(request, status=Status.NEW, stage=Stage.QUEUE, submitted_at=now)
    return _change(Event.SUBMITTED, request, after, actor, now)


def assigned(request: Request, actor: Actor, now: datetime, decision: Decision) -> Change:
    """The router has chosen.

    Raises:
        NobodyFits: the decision is that nobody does; the request stays where it is.
    """
    _require_disposer(actor)
    _require_status(request, (Status.NEW,))
    if decision.staff_id is None:
        raise NobodyFits
    return _change(Event.ASSIGNED, request, _given(request, decision.staff_id, now), actor, now)


def escalate(request: Request, actor: Actor, now: datetime, decision: Decision) -> Change:
    """The assignee let it lie: it goes to the next one, or back to the queue when nobody fits."""
    _require_disposer(actor)
    _require_status(request, (Status.ASSIGNED,))
    if decision.staff_id == request.assignee_id:
        raise AlreadyTheirs
    given = _queued(request) if decision.staff_id is None else _given(request, decision.staff_id, now)
    return _change(Event.ESCALATED, request, given, actor, now)


def reassign(request: Request, actor: Actor, now: datetime, to_id: int, comment: str = "") -> Change:
    """A director or deputy gives an open request to somebody; a done one is thereby taken up again."""
    if not actor.directs:
        raise NotAllowed(_("Передавать чужие заявки могут директор и заместитель."))
    _require_status(request, _OPEN)
    if to_id == request.assignee_id and request.status is not Status.DONE:
        raise AlreadyTheirs
    return _change(Event.REASSIGNED, request, _given(request, to_id, now), actor, now, comment=comment)


def unassign(request: Request, actor: Actor, now: datetime, comment: str = "") -> Change:
    """Back to the queue: the assignee has fallen ill, or the director wants the router to choose anew."""
    _require_disposer(actor)
    _require_status(request, (Status.ASSIGNED, *_WORKED_ON))
    return _change(Event.UNASSIGNED, request, _queued(request), actor, now, comment=comment)


def remind(request: Request, actor: Actor, now: datetime) -> Change:
    """A directing role tells whoever has it that it is waited for; nothing else changes."""
    if not actor.directs:
        raise NotAllowed(_("Напоминать о заявках могут директор и заместитель."))
    _require_status(request, _UNFINISHED)
    if request.assignee_id is None:
        raise NotYours(_("Эта заявка пока ни у кого: напоминать некому. Передайте её."))
    return _change(Event.REMINDED, request, request, actor, now)


def accept(request: Request, actor: Actor, now: datetime, *, holder: str = "") -> Change:
    """Take the assigned request, or one that waits in the queue.

    With a question to the client still open the clock goes back to the client, unless the client waits for
    an answer.

    Raises:
        AlreadyTaken: somebody else has accepted it.
        NotYours: it is assigned to somebody else.
    """
    _require_staff(actor)
    if request.status is Status.NEW:
        if not (actor.directs or (actor.role and actor.role.takes_requests)):
            raise NotAllowed(_("Заявки берут бухгалтеры, юристы и директор."))
        queued = replace(request, assignee_id=actor.staff_id, assigned_at=now)
        return _change(Event.ACCEPTED, request, _taken(queued, now), actor, now)
    if request.status in _WORKED_ON and actor.staff_id != request.assignee_id:
        raise AlreadyTaken(holder, request.accepted_at, actor, now)
    _require_status(request, (Status.ASSIGNED,))
    if actor.staff_id != request.assignee_id:
        raise NotYours(
            _("Эта заявка передана: теперь она у другого. Исполнитель: {holder}.", holder=_holder(holder))
        )
    return _change(Event.ACCEPTED, request, _taken(request, now), actor, now)


def decline(request: Request, actor: Actor, now: datetime, reason: str, *, holder: str = "") -> Change:
    """The assignee gives it back to the queue; the router will not offer it to them again."""
    _require_staff(actor)
    _require_assignee(request, actor, holder)
    _require_status(request, (Status.ASSIGNED, *_WORKED_ON))
    return _change(Event.DECLINED, request, _queued(request), actor, now, comment=_words(reason))


def pass_on(
    request: Request, actor: Actor, now: datetime, to_id: int, reason: str, *, holder: str = ""
) -> Change:
    """The assignee hands it to a colleague, who has yet to accept it."""
    _require_worker(request, actor, holder)
    _require_status(request, (Status.ASSIGNED, *_WORKED_ON))
    if to_id == request.assignee_id:
        raise AlreadyTheirs
    return _change(Event.PASSED, request, _given(request, to_id, now), actor, now, comment=_words(reason))


# Working on it. An assignee who works without pressing «Принять» has accepted.


def ask_clarification(
    request: Request, actor: Actor, now: datetime, field: str | None, comment: str = "", *, holder: str = ""
) -> Change:
    """Ask the client to correct a field, or (`field` None) with free words: the client's clock runs."""
    taken = _worked_on(request, actor, now, holder)
    asked = replace(taken, status=Status.WAITING_CLIENT, stage=Stage.CLIENT, question=field)
    after = _responded(asked, actor, now)
    return _change(Event.CLARIFICATION_ASKED, request, after, actor, now, comment=comment)


def clarified(request: Request, actor: Actor, now: datetime, *, still_asked: str | None = None) -> Change:
    """The client has answered an asked field with something its validator accepts.

    While another field is `still_asked`, the client goes on being waited for. A request that was
    passed on meanwhile stays where it is: only the question is settled.
    """
    _require_status(request, _UNFINISHED)
    if request.question is None and request.status is not Status.WAITING_CLIENT:
        raise WrongState(request.status)
    after = replace(request, question=still_asked)
    if request.status is Status.WAITING_CLIENT and still_asked is None:
        after = replace(after, status=Status.ACCEPTED, stage=Stage.CLARIFICATION)
    return _change(Event.CLARIFICATION_ANSWERED, request, after, actor, now)


def client_wrote(request: Request, actor: Actor, now: datetime, *, needs_answer: bool = True) -> Change:
    """The client wrote into the conversation; a thank-you (`needs_answer` false) leaves no debt.

    It answers a question that was asked with free words. A question about a field goes on waiting
    for `clarified`; a done request stays done, a closed one closed, but both show the debt. Until it is
    answered the client is not waited for: the clock of the firm runs.
    """
    _require_status(request, _SUBMITTED)
    after = request
    if request.status is Status.WAITING_CLIENT and request.question is None:
        after = replace(after, status=Status.ACCEPTED, stage=Stage.CLARIFICATION)
    if needs_answer and request.unanswered_since is None:
        after = replace(after, unanswered_since=now)
    if needs_answer and request.status in _WAITED_FOR:
        after = replace(after, stage=Stage.CLARIFICATION)
    return _change(Event.CLIENT_WROTE, request, after, actor, now)


def answer(request: Request, actor: Actor, now: datetime, *, holder: str = "") -> Change:
    """Write to the client. A directing role may do so at any time without taking the request over."""
    _require_worker(request, actor, holder)
    _require_status(request, _SUBMITTED)
    taken = request
    if request.status is Status.ASSIGNED and actor.staff_id == request.assignee_id:
        taken = _taken(request, now)
    return _change(Event.ANSWERED, request, _responded(_reacted(taken), actor, now), actor, now)


def note(request: Request, actor: Actor, now: datetime, text: str) -> Change:
    """Any member of staff leaves words for colleagues.

    From the assignee or a directing role it shows that the client's clarification was seen; it is no
    answer to the client, though.
    """
    _require_staff(actor)
    _require_status(request, _SUBMITTED)
    after = request
    # Where the client is to act next, only an answer gives the minutes back to the client.
    if (actor.directs or actor.staff_id == request.assignee_id) and request.status not in _WAITED_FOR:
        after = _reacted(request)
    return _change(Event.NOTED, request, after, actor, now, comment=text)


def wait_outside(request: Request, actor: Actor, now: datetime, for_whom: str, *, holder: str = "") -> Change:
    """A bank, the tax office or another outsider is waited for: the third party's clock runs."""
    taken = _worked_on(request, actor, now, holder)
    if taken.stage is Stage.THIRD_PARTY:
        raise WrongState(request.status)
    after = replace(taken, status=Status.ACCEPTED, stage=Stage.THIRD_PARTY)
    return _change(Event.WAITING_OUTSIDE, request, after, actor, now, comment=for_whom)


def resume(request: Request, actor: Actor, now: datetime, *, holder: str = "") -> Change:
    """Work goes on: the outsider or the client has delivered, or is no longer waited for."""
    _require_worker(request, actor, holder)
    _require_status(request, _WORKED_ON)
    if request.stage is Stage.EXECUTION:
        raise WrongState(request.status)
    after = replace(request, status=Status.ACCEPTED, stage=Stage.EXECUTION, question=None)
    return _change(Event.RESUMED, request, after, actor, now)


def done(request: Request, actor: Actor, now: datetime, result: str = "", *, holder: str = "") -> Change:
    """The result is with the client, whose word is waited for."""
    taken = _worked_on(request, actor, now, holder)
    after = replace(
        taken,
        status=Status.DONE,
        stage=Stage.CLIENT,
        done_at=now,
        done_by=actor.staff_id,
        question=None,
    )
    return _change(Event.DONE, request, _responded(after, actor, now), actor, now, comment=result)


# What staff wrote down from the client's words, until the client has agreed to it.


def confirm(request: Request, actor: Actor, now: datetime) -> Change:
    """What was written down is what the client said; of a member of staff: the client told them so."""
    _require_status(request, _OPEN)
    return _change(Event.CONFIRMED, request, request, actor, now)


def correct(request: Request, actor: Actor, now: datetime) -> Change:
    """The client puts right a field of what was written down; the work on it goes on."""
    if not actor.is_client:
        raise NotAllowed(_("Исправить запись может клиент. Спросите его кнопкой «Уточнить»."))
    _require_status(request, _UNFINISHED)
    return _change(Event.CORRECTED, request, request, actor, now)


def require_unfinished(request: Request) -> None:
    """Raise WrongState when it is too late to propose another answer."""
    _require_status(request, _UNFINISHED)


def decide_change(request: Request, actor: Actor, now: datetime, *, agreed: bool, holder: str = "") -> Change:
    """Staff agree to another answer that the client proposes, or keep the old one."""
    _require_worker(request, actor, holder)
    _require_status(request, _UNFINISHED)
    event = Event.CHANGE_AGREED if agreed else Event.CHANGE_REFUSED
    return _change(event, request, request, actor, now)


def move_deadline(request: Request, actor: Actor, now: datetime, reason: str, holder: str = "") -> Change:
    """The firm settles another deadline than the client asked for, and tells them why."""
    _require_worker(request, actor, holder)
    _require_status(request, _UNFINISHED)
    return _change(Event.DEADLINE_MOVED, request, request, actor, now, comment=_words(reason))


# The end, and back again.


def close(request: Request, actor: Actor, now: datetime) -> Change:
    """The client is satisfied, a directing role says so, or the time to object is over.

    Raises:
        FirmOwes: the machine may not close while the client waits for an answer.
    """
    if not (actor.is_client or actor.is_machine or actor.directs):
        raise NotAllowed(_("Заявку закрывает клиент, директор или срок. Вам достаточно нажать «Выполнено»."))
    _require_status(request, (Status.DONE,))
    if actor.is_machine and request.unanswered_since is not None:
        raise FirmOwes
    return _change(Event.CLOSED, request, _stopped(request, Status.CLOSED, now), actor, now)


def rate(request: Request, actor: Actor, now: datetime, points: int, comment: str = "") -> Change:
    """The client's mark, 1 … 5; it changes nothing else."""
    if not actor.is_client:
        raise NotAllowed(_("Оценку ставит клиент."))
    _require_status(request, _FINISHED)
    if points not in range(1, 6):
        raise WrongRating
    return _change(Event.RATED, request, replace(request, rating=points), actor, now, comment=comment)


def reopen(
    request: Request, actor: Actor, now: datetime, reason: str = "", *, assignee_left: bool = False
) -> Change:
    """«Не решено»: the same assignee works on it again; without one it waits in the queue.

    So does it when the assignee works here no more.

    Raises:
        TooLate: it was closed more than `REOPEN_DAYS` days ago.
    """
    if not (actor.is_client or actor.directs):
        raise NotAllowed(_("Вернуть заявку в работу могут клиент и директор."))
    _require_status(request, _FINISHED)
    if request.closed_at is not None and now - request.closed_at > timedelta(days=REOPEN_DAYS):
        raise TooLate
    after = replace(
        request,
        status=Status.ACCEPTED,
        stage=Stage.EXECUTION,
        done_at=None,
        done_by=None,
        closed_at=None,
        unanswered_since=request.unanswered_since or now,
    )
    if request.assignee_id is None or assignee_left:
        after = _queued(after)
    return _change(Event.REOPENED, request, after, actor, now, comment=reason)


def cancel(request: Request, actor: Actor, now: datetime, reason: str = "") -> Change:
    """The client withdraws it before it is done; a directing role may do so until it is closed."""
    if not (actor.is_client or actor.directs):
        raise NotAllowed(_("Отменить заявку могут клиент и директор."))
    _require_status(request, _OPEN if actor.directs else _UNFINISHED)
    return _change(
        Event.CANCELLED, request, _stopped(request, Status.CANCELLED, now), actor, now, comment=reason
    )


# Words for the states.

_STATUS_WORDS: Mapping[Status, Text] = {
    Status.DRAFT: _("черновик"),
    Status.NEW: _("ждёт исполнителя"),
    Status.ASSIGNED: _("назначена, ещё не принята"),
    Status.ACCEPTED: _("в работе"),
    Status.WAITING_CLIENT: _("ждёт ответа клиента"),
    Status.DONE: _("выполнена"),
    Status.CLOSED: _("закрыта"),
    Status.CANCELLED: _("отменена"),
}

_STAGE_WORDS: Mapping[Stage, Text] = {
    Stage.CLIENT: _("ответ за клиентом"),
    Stage.QUEUE: _("в очереди"),
    Stage.PROCESSING: _("у исполнителя, ещё не принята"),
    Stage.CLARIFICATION: _("клиент написал, исполнитель смотрит"),
    Stage.EXECUTION: _("в работе"),
    Stage.THIRD_PARTY: _("ждём банк, налоговую или другую организацию"),
}

_NEXT_STEPS: Mapping[Status, Text] = {
    Status.DRAFT: _("Заявка ещё не отправлена. Проверьте её и нажмите «Отправить»."),
    Status.NEW: _("Подбираем исполнителя и напишем, кто займётся."),
    Status.ASSIGNED: _("Исполнитель посмотрит заявку и возьмёт её в работу."),
    Status.ACCEPTED: _("Работаем. Если чего-то не хватит, спросим."),
    Status.WAITING_CLIENT: _("Ждём ваш ответ на вопрос исполнителя."),
    Status.DONE: _("Посмотрите результат и скажите, всё ли решено."),
    Status.CLOSED: _("Больше ничего не нужно. Если вопрос остался, ответьте «Не решено»."),
    Status.CANCELLED: _("Работа не ведётся. Новое поручение: /new"),
}


def status_words(status: Status) -> Text:
    """The state in words, for "Состояние: …"."""
    return _STATUS_WORDS[status]


def stage_words(stage: Stage) -> Text:
    """Whose minute it is, in words."""
    return _STAGE_WORDS[stage]


def next_step(status: Status) -> Text:
    """«Что дальше», for the client."""
    return _NEXT_STEPS[status]


# The clock of the stages.


@dataclass(frozen=True, slots=True)
class StageInterval:
    """A stretch of time that belongs to one stage; `ended_at` is None while it lasts. Aware UTC."""

    stage: Stage
    started_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Tick:
    """What a change does to the clock at `at`: the running interval ends there, these begin."""

    at: datetime
    begun: tuple[StageInterval, ...]


def tick(newest: StageInterval | None, change: Change, at: datetime) -> Tick | None:
    """Move the clock of a request whose newest interval is given; None when the change leaves it alone.

    The clock also moves when another assignee goes on with the same stage. A request that is taken up
    again was the client's for as long as it was closed.
    """
    if not change.moves_clock and change.before.assignee_id == change.after.assignee_id:
        return None
    begun: list[StageInterval] = []
    if newest is not None and newest.ended_at is None:
        # A machine whose clock was set back must not make an interval end before it began.
        at = max(at, newest.started_at)
    elif newest is not None and newest.ended_at is not None:
        at = max(at, newest.ended_at)
        begun.append(StageInterval(Stage.CLIENT, newest.ended_at, at))
    if change.after.stage is not None:
        begun.append(StageInterval(change.after.stage, at))
    return Tick(at, tuple(begun))


def stage_seconds(
    intervals: Iterable[StageInterval], calendar: WorkCalendar, until: datetime
) -> dict[Stage, int]:
    """Working seconds of every stage up to `until`; together exactly those of the running clock."""
    seconds = dict.fromkeys(Stage, 0)
    for interval in intervals:
        ended_at = until if interval.ended_at is None else min(interval.ended_at, until)
        seconds[interval.stage] += calendar.working_seconds(interval.started_at, ended_at)
    return seconds


# What the transitions are made of.


def _change(
    event: Event, before: Request, after: Request, actor: Actor, now: datetime, *, comment: str = ""
) -> Change:
    return Change(event, before, replace(after, version=before.version + 1), actor, now, comment.strip())


def _given(request: Request, staff_id: int, now: datetime) -> Request:
    return replace(
        request,
        status=Status.ASSIGNED,
        stage=Stage.PROCESSING,
        assignee_id=staff_id,
        assigned_at=now,
        accepted_at=None,
        done_at=None,
        done_by=None,
    )


def _queued(request: Request) -> Request:
    return replace(
        request,
        status=Status.NEW,
        stage=Stage.QUEUE,
        assignee_id=None,
        assigned_at=None,
        accepted_at=None,
    )


def _taken(request: Request, now: datetime) -> Request:
    if request.question is not None:
        stage = Stage.CLIENT if request.unanswered_since is None else Stage.CLARIFICATION
        return replace(request, status=Status.WAITING_CLIENT, stage=stage, accepted_at=now)
    return replace(request, status=Status.ACCEPTED, stage=Stage.EXECUTION, accepted_at=now)


def _stopped(request: Request, status: Status, now: datetime) -> Request:
    return replace(request, status=status, stage=None, closed_at=now, question=None, unanswered_since=None)


def _responded(request: Request, actor: Actor, now: datetime) -> Request:
    if request.first_response_at is None:
        request = replace(request, first_response_at=now, first_responder_id=actor.staff_id)
    return replace(request, unanswered_since=None)


def _reacted(request: Request) -> Request:
    if request.stage is Stage.CLARIFICATION:
        return replace(request, stage=Stage.CLIENT if request.status in _WAITED_FOR else Stage.EXECUTION)
    return request


def _worked_on(request: Request, actor: Actor, now: datetime, holder: str) -> Request:
    _require_worker(request, actor, holder)
    if request.status is Status.ASSIGNED and actor.staff_id == request.assignee_id:
        return _taken(request, now)
    _require_status(request, _WORKED_ON)
    return request


def _require_status(request: Request, allowed: tuple[Status, ...]) -> None:
    if request.status not in allowed:
        raise WrongState(request.status)


def _require_staff(actor: Actor) -> None:
    if actor.staff_id is None:
        raise NotAllowed(_("Это может сделать только сотрудник."))


def _require_disposer(actor: Actor) -> None:
    if not (actor.is_machine or actor.directs):
        raise NotAllowed(_("Распределять заявки могут директор и заместитель."))


def _require_worker(request: Request, actor: Actor, holder: str) -> None:
    _require_staff(actor)
    if not actor.directs:
        _require_assignee(request, actor, holder)


def _require_assignee(request: Request, actor: Actor, holder: str) -> None:
    if request.assignee_id is None:
        raise NotYours(_("Эта заявка пока ни у кого. Сначала примите её."))
    if actor.staff_id != request.assignee_id:
        raise NotYours(
            _(
                "Эту заявку ведёт {holder}. Работать с ней может исполнитель или директор.",
                holder=_holder(holder),
            )
        )


def _words(reason: str) -> str:
    if not reason.strip():
        raise ReasonMissing
    return reason


def _holder(name: str) -> Text | str:
    return name or _("другой сотрудник")


def _when(at: datetime, actor: Actor, now: datetime) -> Text:
    local = at.astimezone(actor.zone)
    if local.date() == now.astimezone(actor.zone).date():
        return _("{clock}", clock=Clock(local))
    return _("{day}, {clock}", day=Day(local.date()), clock=Clock(local))
