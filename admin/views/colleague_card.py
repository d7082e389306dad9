"""What stands beside a colleague's card: their own working hours."""

from __future__ import annotations

from datetime import time

from flask import abort, redirect, request, url_for
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response

from admin import asked
from admin.auth import act, me
from admin.doors import doors
from admin.rights import Area, may_manage
from admin.views.base import PanelView, expose, tell
from forms.answers import AnswerError
from forms.texts import Text, _
from router.model import Role
from router.schedule import DAYS, Hours
from storage import schedules
from storage.roster import CardChanged, NoSuchCard
from storage.schedules import OwnHours

WEEKDAYS: tuple[Text, ...] = (
    _("понедельник"), _("вторник"), _("среда"), _("четверг"), _("пятница"), _("суббота"), _("воскресенье"),
)  # fmt: skip


class ColleagueCardView(PanelView):
    """`/panel/colleague/<number>/…`; the card itself is `/panel/staff/<number>/`."""

    area = Area.STAFF

    def __init__(self) -> None:
        super().__init__(name=_l("График"), endpoint="colleague", url="/panel/colleague")

    def is_visible(self) -> bool:
        """Whether the menu names it: no, the cards lead here."""
        return False

    @expose("/")
    def index(self) -> Response:
        """Nothing of its own to see: the list of staff."""
        return redirect(url_for("colleagues.index"))

    @expose("/<int:staff_id>/hours", methods=("GET", "POST"))
    def hours(self, staff_id: int) -> Response | str | tuple[str, int]:
        """The working hours by weekday; a POST saves them."""
        card = _card(staff_id)
        if request.method == "GET":
            return self._show(staff_id, card, card.hours)
        self.require_change()
        if not may_manage(me().role, Role(card.role)):
            abort(403)
        version = asked.as_number(request.form.get("version", "")) or 0
        try:
            hours = _hours()
            with doors().database.begin() as session:
                schedules.save_hours(session, act(), staff_id, version, hours)
        except AnswerError as refused:
            return self._show(staff_id, card, None, refused.text), 422
        except CardChanged:
            return self._show(staff_id, card, None, _STALE), 409
        tell(_("График сохранён."))
        return redirect(url_for("colleagues.one", staff_id=staff_id))

    def _show(self, staff_id: int, card: OwnHours, hours: Hours | None, refusal: Text | None = None) -> str:
        calendar = doors().house.calendar
        firm = calendar.hours_on(doors().now().astimezone(calendar.zone).date())
        usual = (f"{firm.opens:%H:%M}", f"{firm.closes:%H:%M}")
        return self.page(
            "colleague_hours.html",
            card=card,
            staff_id=staff_id,
            refusal=refusal,
            own=bool(hours) if hours is not None else request.form.get("own") == "1",
            days=_typed() if hours is None else _as_typed(hours, usual),
            usual=usual,
            may_manage=self.may_change and may_manage(me().role, Role(card.role)),
        )


_STALE = _("Карточку изменили, пока вы правили график. Сверьте и сохраните ещё раз.")


def _card(staff_id: int) -> OwnHours:
    try:
        with doors().database.read() as session:
            return schedules.read_hours(session, min(staff_id, asked.MAX_NUMBER))
    except NoSuchCard:
        abort(404)


def _as_typed(hours: Hours, usual: tuple[str, str]) -> list[tuple[Text, bool, str, str]]:
    """Each day: its name, whether it is worked, from and to; without own hours, those of the firm."""
    found = []
    for day, name in enumerate(WEEKDAYS):
        span = hours[day] if hours else None
        first, last = (f"{span[0]:%H:%M}", f"{span[1]:%H:%M}") if span else usual
        found.append((name, span is not None or (not hours and day < _WORKDAYS), first, last))
    return found


_WORKDAYS = 5


def _typed() -> list[tuple[Text, bool, str, str]]:
    found = []
    for day, name in enumerate(WEEKDAYS):
        first, last = (request.form.get(f"{edge}-{day}", "")[:5] for edge in ("from", "to"))
        found.append((name, request.form.get(f"works-{day}") == "1", first, last))
    return found


def _hours() -> Hours:
    if request.form.get("own") != "1":
        return ()
    hours = tuple(_span(day) for day in range(DAYS))
    if not any(hours):
        raise AnswerError(_("Отметьте хотя бы один рабочий день."))
    return hours


def _span(day: int) -> tuple[time, time] | None:
    form = request.form
    if form.get(f"works-{day}") != "1":
        return None
    try:
        first, last = (time.fromisoformat(form.get(f"{edge}-{day}", "")) for edge in ("from", "to"))
    except ValueError:
        raise AnswerError(_("{day}: напишите часы так: 09:00.", day=WEEKDAYS[day])) from None
    if first.tzinfo or last.tzinfo or first >= last:
        raise AnswerError(_("{day}: конец дня должен быть позже начала.", day=WEEKDAYS[day]))
    return first.replace(second=0, microsecond=0), last.replace(second=0, microsecond=0)
