"""Two people settled one part of the settings: both versions, to be chosen between field by field."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from flask import redirect
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from admin import conflicts
from admin.doors import doors
from admin.settings_parts import TITLES
from admin.shown import say
from admin.views.base import PanelView, tell
from forms.texts import Text, _
from storage import firm_settings, reading
from storage.firm_settings import S
from storage.reading import HistoryLine

Form = Mapping[str, str]
"""A part as its form sends it."""


def picked(part: firm_settings.Part, model: type[S], form_of: Callable[[S], Form]) -> MultiDict[str, str]:
    """The form that was sent; of a conflict, the other's values with what was picked from one's own."""
    with doors().database.read() as session:
        kept = firm_settings.kept(session, doors().house, part, model)
    return conflicts.picked(conflicts.as_sent(form_of(kept.value)))


def both(
    view: PanelView,
    part: firm_settings.Part,
    wanted: S,
    form_of: Callable[[S], Form],
    *,
    seen_version: int,
    refusal: Text,
    here: str,
) -> Response | tuple[str, int]:
    """What was there, what the other saved since `seen_version`, and what is `wanted` here."""
    model = type(wanted)
    with doors().database.read() as session:
        kept = firm_settings.kept(session, doors().house, part, model)
        lines = reading.history_of(session, f"setting:{part.value}")
    # Every version has one line of the history.
    news = lines[: max(kept.version - seen_version, 0)]
    titles = {"version_name" if name == "version" else name: firm_settings.label_of(model, name)
              for name in model.model_fields}  # fmt: skip
    return answer(
        view, say(TITLES[part]), here, refusal, news, kept.version,
        conflicts.disputed(
            conflicts.as_sent(form_of(_was(model, kept.value, news))),
            conflicts.as_sent(form_of(kept.value)),
            conflicts.as_sent(form_of(wanted)),
            titles,
        ),
    )  # fmt: skip


def answer(
    view: PanelView,
    name: str,
    here: str,
    refusal: Text,
    news: tuple[HistoryLine, ...],
    version: int,
    fields: tuple[conflicts.Disputed, ...],
) -> Response | tuple[str, int]:
    """The page of the conflict; when both want the same there is none."""
    if not fields:
        tell(_("То же самое уже сохранено."))
        return redirect(here)
    page = view.page(
        "conflict.html", name=name, here=here, refusal=refusal, news=news, fields=fields, version=version,
        seen=news[0].history_id if news else 0,
    )  # fmt: skip
    return page, 409


def _was(model: type[S], theirs: S, news: tuple[HistoryLine, ...]) -> S:
    values = theirs.model_dump(mode="json")
    for line in news:
        values |= json.loads(line.before) if line.before else {}
    return model.model_validate(values)
