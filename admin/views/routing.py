"""The weights of the router, and what others would have made of the past month."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flask import redirect, request, url_for
from flask_babel import lazy_gettext as _l
from sqlmodel import Session
from werkzeug.wrappers import Response

from admin import asked, exporting, setting_conflicts
from admin.auth import act, me
from admin.doors import doors
from admin.rights import Area
from admin.shown import label, say
from admin.views.base import PanelView, expose, tell
from admin.views.settings import form_of
from forms.texts import Text, _
from router.desk import DeskError
from router.dry_run import Comparison, compare
from router.model import Decision
from storage import dry_run, firm_settings, reading, sheets
from storage.dry_run import Recalled
from storage.firm_settings import OUR_ROUTING, Part, Routing, SettingChanged
from storage.sheets import Row

_HINTS: Mapping[str, Text] = {
    "dedicated": _("Свой бухгалтер клиента. Большое число: заявка уйдёт ему, как бы он ни был занят."),
    "recorded": _("Кто говорил с клиентом, тому не надо объяснять."),
    "skill": _("Отмечен на карточке сотрудника."),
    "no_skill": _("Отрицательное число: такому дадут в последнюю очередь."),
    "open_request": _("Отрицательное число: чем больше в работе, тем реже дают новые."),
    "open_requests_at_most": _("Дальше этого загрузка уже ничего не меняет."),
    "most_open_requests": _("Общий предел. 0 — у каждого свой, с его карточки."),
}


class RoutingView(PanelView):
    """`/panel/settings/routing/`."""

    area = Area.SETTINGS

    def __init__(self) -> None:
        super().__init__(name=_l("Распределение"), endpoint="routing", url="/panel/settings/routing")

    def is_visible(self) -> bool:
        """Whether the menu names it: no, the settings do."""
        return False

    @expose("/", methods=("GET", "POST"))
    def index(self) -> str | Response | tuple[str, int]:
        """The weights; `try` decides the past month with those typed, and changes nothing."""
        if request.method == "GET":
            return self._show()
        self.require_change()
        try:
            form = setting_conflicts.picked(Part.ROUTING, Routing, form_of)
            wanted = firm_settings.parsed(
                Routing, {name: form.get(name, "") for name in Routing.model_fields}
            )
            if "try" in request.form:
                return self._tried(wanted)
            with doors().database.begin() as session:
                version = asked.as_number(request.form.get("version", "")) or 0
                firm_settings.save(session, doors().house, act(), Part.ROUTING, wanted, version)
        except SettingChanged as refused:
            here = url_for("routing.index")
            return setting_conflicts.both(
                self, Part.ROUTING, wanted, form_of, seen_version=version, refusal=refused.text, here=here
            )
        except DeskError as refused:
            return self._show(request.form, refusal=refused.text), 422
        doors().settled()
        tell(_("Правила сохранены. По ним распределяются новые заявки; розданные остаются у своих."))
        return redirect(url_for("routing.index"))

    def _tried(self, wanted: Routing) -> str | Response:
        house = doors().house
        if (kind := request.form["try"]) in sheets.MEDIA:
            return exporting.export(kind, "dry-run", _HEADINGS, lambda session: _moved(session, wanted))
        with doors().database.read() as session:
            recalled = dry_run.recall(session, house, doors().now())
        return self._show(request.form, compare(recalled.past, house.weights, wanted.applied()), recalled)

    def _show(
        self,
        typed: Mapping[str, str] | None = None,
        compared: Comparison | None = None,
        recalled: Recalled | None = None,
        *,
        refusal: Text | None = None,
    ) -> str:
        with doors().database.read() as session:
            kept = firm_settings.kept(session, doors().house, Part.ROUTING, Routing)
            history = reading.history_of(session, "setting:routing")[:20]
        return self.page(
            "settings_routing.html",
            part=Part.ROUTING,
            kept=kept,
            values=dict(typed) if typed is not None else kept.value.model_dump(),
            ours=OUR_ROUTING,
            fields={name: firm_settings.label_of(Routing, name) for name in Routing.model_fields},
            hints=_HINTS,
            compared=compared,
            recalled=recalled,
            most=dry_run.MAX_REQUESTS,
            sees_requests=me().may_see(Area.REQUESTS),
            refusal=refusal,
            history_lines=history,
        )


_HEADINGS = (_("№"), _("Клиент"), _("Вид работ"), _("По нынешним правилам"), _("По новым"))


def _moved(session: Session, wanted: Routing) -> Iterator[Row]:
    """Every request of the past month that would have gone to somebody else."""
    house, sees_requests = doors().house, me().may_see(Area.REQUESTS)
    recalled = dry_run.recall(session, house, doors().now())
    found = compare(recalled.past, house.weights, wanted.applied(), exporting.MOST_ROWS)
    for each in found.moved:
        work, company = each.past.work, each.past.company if sees_requests else ""
        yield work.request_id, company, label(work.kind, "kind"), _chosen(each.before), _chosen(each.after)


def _chosen(decision: Decision | None) -> str:
    verdicts = decision.verdicts if decision else ()
    return next(
        (verdict.name for verdict in verdicts if decision and verdict.staff_id == decision.staff_id),
        say(_("никто")),
    )
