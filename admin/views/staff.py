"""Staff: who works here, what they can do, when they are away, how they come in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from flask import abort, redirect, request, url_for
from flask_babel import lazy_gettext as _l
from sqlmodel import Session
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from admin import asked, conflicts, exporting, inviting, sessions
from admin.auth import act, me
from admin.doors import doors
from admin.rights import Area, may_manage, may_unlock
from admin.shown import label
from admin.typed import email_of, person_name_of
from admin.views.base import PanelView, expose, tell, warn
from admin.words import DEPARTMENTS, SKILLS
from forms.answers import AnswerError
from forms.texts import Text, _, plain
from router.model import Role
from router.schedule import Hours
from storage import access, invitations, reading, roster, schedules
from storage.invitations import Invited
from storage.reading import OWING, RequestFilter, count_requests
from storage.roster import AbsenceFields, CardChanged, EmailTaken, StaffFields, StaffRow
from storage.sheets import Row

INVITATION_DAYS = 7
MAX_CAPACITY = 200
_MAX_REASON = 200
_SHOWN = ("name", "email", "role", "department", "capacity")


class StaffView(PanelView):
    """`/panel/staff/`."""

    area = Area.STAFF

    def __init__(self) -> None:
        super().__init__(name=_l("Сотрудники"), endpoint="colleagues", url="/panel/staff")

    @expose("/")
    def index(self) -> str | Response:
        """The list; with `format` as a file."""
        if kind := exporting.asked_for():
            return exporting.export(kind, "staff", _HEADINGS, _rows)
        return self._list()

    @expose("/invite", methods=("POST",))
    def invite(self) -> str | tuple[str, int]:
        """Add somebody and show their codes, once."""
        self.require_change()
        try:
            name, invited = _invite()
        except AnswerError as refused:
            return self._list(refused.text), 422
        doors().wake()
        return self._invited(name, invited, url_for("colleagues.index"))

    @expose("/<int:staff_id>/", methods=("GET", "POST"))
    def one(self, staff_id: int) -> Response | str | tuple[str, int]:
        """The card; a POST saves it."""
        if request.method == "GET":
            return self._show(staff_id)
        card = self._managed(staff_id)
        version = asked.as_number(request.form.get("version", "")) or 0
        form = conflicts.picked(conflicts.as_sent(asdict(card.fields)))
        try:
            fields = _fields(card, form)
            with doors().database.begin() as session:
                _keep_a_director(fields, card, roster.other_directors(session, staff_id))
                roster.save_staff(session, doors().house, act(), staff_id, version, fields)
        except AnswerError as refused:
            return self._show(staff_id, refused.text, form), 422
        except EmailTaken:
            return self._show(staff_id, _("С этой почтой входит другой сотрудник."), form), 422
        except CardChanged:
            return self._both(staff_id, fields)
        tell(_("Сохранено."))
        return redirect(url_for("colleagues.one", staff_id=staff_id))

    @expose("/<int:staff_id>/invite", methods=("POST",))
    def invite_again(self, staff_id: int) -> str:
        """New codes for somebody on the list: a lost password, a new phone."""
        card = self._managed(staff_id)
        with doors().database.begin() as session:
            invited = roster.invite_again(session, act(), staff_id, timedelta(days=INVITATION_DAYS))
            _mail(session, card.fields.name, card.fields.email, invited)
        doors().wake()
        return self._invited(card.fields.name, invited, url_for("colleagues.one", staff_id=staff_id))

    @expose("/<int:staff_id>/absence", methods=("POST",))
    def away(self, staff_id: int) -> Response:
        """Write down a leave or an illness, in whole days."""
        self._managed(staff_id)
        zone, here = doors().house.calendar.zone, url_for("colleagues.one", staff_id=staff_id)
        first, last = asked.as_day(request.form.get("first", "")), asked.as_day(request.form.get("last", ""))
        starts_at, ends_at = asked.start_of(first, zone), asked.end_of(last, zone)
        if starts_at is None or ends_at is None or ends_at <= starts_at:
            warn(_("Укажите первый и последний день: последний не раньше первого."))
            return redirect(here)
        reason = _with_substitute(
            asked.clean(request.form.get("reason", "")), asked.clean(request.form.get("substitute", ""))
        )
        with doors().database.begin() as session:
            roster.add_absence(session, act(), staff_id, AbsenceFields(starts_at, ends_at, reason))
            owed = _owed(session, staff_id)
        tell(_("Отсутствие записано: на эти дни заявки не назначаются."))
        if owed:
            warn(_("Открытых заявок остаётся: {count}. Передайте их, если они не подождут.", count=owed))
        return redirect(here)

    @expose("/<int:staff_id>/absence/<int:absence_id>/end", methods=("POST",))
    def back(self, staff_id: int, absence_id: int) -> Response:
        """End an absence, or drop a coming one."""
        self._managed(staff_id)
        try:
            with doors().database.begin() as session:
                roster.end_absence(session, act(), staff_id, min(absence_id, asked.MAX_NUMBER))
        except roster.NoSuchCard:
            abort(404)
        tell(_("Отсутствие снято."))
        return redirect(url_for("colleagues.one", staff_id=staff_id))

    def _managed(self, staff_id: int) -> StaffRow:
        """The card, if whoever is signed in may change it."""
        self.require_change()
        card = _card(staff_id)
        if not may_manage(me().role, Role(card.fields.role)):
            abort(403)
        return card

    def _list(self, refusal: Text | None = None) -> str:
        with doors().database.read() as session:
            people = roster.list_staff(session, doors().now())
        return self.page(
            "staff.html",
            people=people,
            refusal=refusal,
            typed=request.form if refusal else {},
            roles=_roles(),
        )

    def _both(self, staff_id: int, mine: StaffFields) -> Response | tuple[str, int]:
        """Somebody else has saved the card meanwhile: both versions, to choose field by field."""
        card, seen = _card(staff_id), asked.as_number(request.form.get("seen", "")) or 0
        with doors().database.read() as session:
            news = reading.history_of(session, f"staff:{staff_id}", seen)
        theirs, here = conflicts.as_sent(asdict(card.fields)), url_for("colleagues.one", staff_id=staff_id)
        was, own = conflicts.before(theirs, news), conflicts.as_sent(asdict(mine))
        fields = conflicts.disputed(was, theirs, own, _TITLES)
        if not fields:
            tell(_("То же самое уже сохранено."))
            return redirect(here)
        page = self.page(
            "conflict.html", name=card.fields.name, here=here, refusal=_STALE, news=news, fields=fields,
            version=card.version, seen=news[0].history_id if news else seen,
        )  # fmt: skip
        return page, 409

    def _show(
        self, staff_id: int, refusal: Text | None = None, form: MultiDict[str, str] | None = None
    ) -> str:
        """The card. Refused words go on with the version that they were written over."""
        card = _card(staff_id)
        with doors().database.read() as session:
            history = reading.history_of(session, f"staff:{staff_id}")
            away = roster.absences(session, staff_id, doors().now())
            owed = _owed(session, staff_id) if away else 0
            doors_of = access.doors_of(session, staff_id, doors().now(), sessions.idle())
        seen = asked.as_number(request.form.get("seen", "")) or 0
        return self.page(
            "colleague.html",
            card=card,
            values=_as_typed(card.fields) if form is None else _typed(form),
            version=card.version if form is None else asked.as_number(request.form.get("version", "")) or 0,
            refusal=refusal,
            news=(),
            absences=away,
            owed=owed,
            may_manage=self.may_change and may_manage(me().role, Role(card.fields.role)),
            roles=_roles(),
            departments=tuple(DEPARTMENTS),
            skills=tuple(SKILLS),
            history_lines=history,
            seen=seen if form is not None else history[0].history_id if history else 0,
            can_mail=inviting.can_mail(),
            hours=_hours_of(staff_id),
            may_unlock=self.may_change and may_unlock(me().role),
            open_sessions=doors_of.open_sessions,
            has_factor=doors_of.has_factor,
        )

    def _invited(self, name: str, invited: Invited, back: str) -> str:
        links = tuple(way.with_code(invited.chat_code) for way in doors().ways_in_for_staff())
        return self.page(
            "invited.html", name=name, back=back, panel_link=inviting.panel_link(invited),
            chat_code=invited.chat_code, chat_links=links,
        )  # fmt: skip


_STALE = _("Карточку изменили, пока вы её правили. Сверьте с новым и сохраните ещё раз.")


def _invite() -> tuple[str, Invited]:
    form, doing = request.form, act()
    name, email = person_name_of(form.get("name", "")), email_of(form.get("email", ""))
    if not email:
        raise AnswerError(_("Напишите почту: с ней сотрудник входит в панель."))
    role = _role(form.get("role", ""))
    with doors().database.begin() as session:
        if roster.email_taken(session, email):
            raise AnswerError(_("С этой почтой уже есть сотрудник: откройте его карточку в списке."))
        invited = invitations.invite_staff(
            session, role, name, email, doing.now, valid_days=INVITATION_DAYS,
            through=doing.who.through, actor_id=doing.who.person_id,
        )  # fmt: skip
        _mail(session, name, email, invited)
    return name, invited


def _mail(session: Session, name: str, email: str, invited: Invited) -> None:
    """Send the invitation as a letter where that is asked for and possible."""
    if request.form.get("mail") == "1" and inviting.can_mail() and email:
        inviting.mail(session, name, email, invited, INVITATION_DAYS)
        tell(_("Приглашение отправлено на {email}.", email=plain(email)))


def _hours_of(staff_id: int) -> Hours:
    with doors().database.read() as session:
        return schedules.read_hours(session, staff_id).hours


def _owed(session: Session, staff_id: int) -> int:
    """How many requests somebody has whose result is still to come."""
    return count_requests(session, RequestFilter(assignee_id=staff_id, statuses=OWING))


def _with_substitute(reason: str, substitute: str) -> str:
    if not substitute:
        return reason
    told = doors().house.say(_("заменяет {name}", name=plain(substitute)))
    return (f"{reason}, {told}" if reason else told)[:_MAX_REASON]


def _card(staff_id: int) -> StaffRow:
    with doors().database.read() as session:
        found = None
        if 0 < staff_id <= asked.MAX_NUMBER:
            found = roster.read_staff(session, staff_id, doors().now())
    if found is None:
        abort(404)
    return found


def _roles() -> tuple[str, ...]:
    """The roles that whoever is signed in may give."""
    return tuple(role.value for role in Role if may_manage(me().role, role))


def _role(value: str) -> Role:
    if value not in _roles():
        raise AnswerError(_("Выберите должность из списка."))
    return Role(value)


_HEADINGS = (
    _("Имя и фамилия"), _("Должность"), _("Отдел"), _("Умеет"), _("Сейчас"), _("Отсутствует до"),
    _("Заявок в работе"), _("Заявок одновременно"), _("Почта"), _("Мессенджеры"), _("Отключён"),
)  # fmt: skip


def _rows(session: Session) -> Iterator[Row]:
    for person in roster.list_staff(session, doors().now()):
        fields = person.fields
        yield [
            fields.name, label(fields.role, "role"), label(fields.department, "department"),
            ", ".join(label(skill, "skill") for skill in fields.skills), label(person.shift, "shift"),
            exporting.moment(person.absent_until), person.open_requests, fields.capacity, fields.email,
            ", ".join(label(channel, "channel") for channel in person.channels),
            exporting.yes(not fields.active),
        ]  # fmt: skip


_TITLES = {
    "name": _("Имя и фамилия"),
    "email": _("Почта, с ней он входит"),
    "role": _("Должность"),
    "department": _("Отдел"),
    "skills": _("Умеет"),
    "capacity": _("Заявок одновременно"),
    "active": _("Работает у нас"),
}


def _fields(card: StaffRow, form: MultiDict[str, str]) -> StaffFields:
    capacity = asked.as_number(form.get("capacity", ""))
    if capacity is None or not 1 <= capacity <= MAX_CAPACITY:
        raise AnswerError(_("Заявок одновременно: число от 1 до {most}.", most=MAX_CAPACITY))
    department = form.get("department", "")
    skills = set(form.getlist("skills"))
    # A skill that the panel does not offer was given in another way and stays.
    kept = tuple(skill for skill in card.fields.skills if skill not in SKILLS)
    return StaffFields(
        name=person_name_of(form.get("name", "")),
        email=email_of(form.get("email", "")),
        role=_role(form.get("role", "")).value,
        department=department if department in DEPARTMENTS else card.fields.department,
        skills=(*(skill for skill in SKILLS if skill in skills), *kept),
        capacity=capacity,
        active=form.get("active") == "1",
    )


def _keep_a_director(fields: StaffFields, card: StaffRow, others: int) -> None:
    if card.staff_id == me().member.staff_id and not fields.active:
        raise AnswerError(_("Себя отключить нельзя: попросите другого директора или администратора."))
    stays = fields.role == Role.DIRECTOR and fields.active
    if card.fields.role == Role.DIRECTOR and not stays and not others:
        raise AnswerError(_("Это единственный директор. Сначала назначьте другого."))


def _typed(form: MultiDict[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {name: form.get(name, "") for name in _SHOWN}
    return {**values, "skills": form.getlist("skills"), "active": form.get("active") == "1"}


def _as_typed(fields: StaffFields) -> dict[str, Any]:
    return asdict(fields)
