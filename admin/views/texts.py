"""Every sentence that people read, and the firm's own words for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType

from flask import abort, redirect, request, url_for
from flask_babel import lazy_gettext as _l
from sqlmodel import Session
from werkzeug.wrappers import Response

from admin import asked, conflicts, setting_conflicts
from admin.auth import act
from admin.doors import doors
from admin.rights import Area
from admin.settings_parts import SECTIONS, TITLES, our_sentences
from admin.shown import say
from admin.views.base import PanelView, expose, tell
from forms.texts import Text, _
from notifications.texts import Catalogue, Forms
from router.desk import DeskError
from storage import reading, wordings
from storage.wordings import NoSuchSentence, Sentence, WordingChanged

_MAX_SENT = 3000

_SAMPLES: Mapping[str, str] = MappingProxyType(
    {
        "number": "17", "count": "3", "client": "ООО «Ромашка»", "company": "ООО «Ромашка»",
        "name": "Анна Петрова",
        "holder": "Анна Петрова", "author": "Анна Петрова", "day": "Пятница, 27 ноября",
        "value": "12 345,00 ₽", "limit": "25",
        "clock": "15:40", "when": "сегодня в 15:40", "time": "15:40",
        "phone": "+7 495 000-00-00", "inn": "7707083893", "title": "Счёт", "what": "Оплатить счёт № 15",
        "field": "Срок", "words": "Оплатите сегодня", "reason": "нет доступа в банк", "kind": "Оплатить счёт",
        "late": "Борис Лядов", "hours": "3", "minutes": "15", "firm": "", "open": "4",
        "capacity": "10",
        "since": "24.11", "until": "27.11", "files": "счёт.pdf", "mark": "5", "rating": "5", "total": "8",
        "email": "info@romashka.example", "deadline": "27.11, 18:00", "days": "3",
        "task": "Оплатить счёт № 15",
        "url": "https://example.ru/consent", "version": "2", "page": "2",
        "size": "348 КБ",
        "date": "27.11.2026",
        "hour": "15", "first": "Анна", "second": "Борис",
        "price": "350,00 ₽", "quantity": "10", "unit": "шт.",
        "promise": "сегодня до 12:00", "status": "В работе", "stage": "исполнение", "weekday": "пятница",
    }
)  # fmt: skip
"""What the preview puts in."""


class TextsView(PanelView):
    """`/panel/settings/texts/`."""

    area = Area.SETTINGS

    def __init__(self) -> None:
        super().__init__(name=_l("Тексты"), endpoint="texts", url="/panel/settings/texts")

    def is_visible(self) -> bool:
        """Whether the menu names it: no, the settings do."""
        return False

    @expose("/")
    def index(self) -> str:
        """A page of the sentences; those that the firm has changed, or all."""
        only_own = asked.flag("own")
        with doors().database.read() as session:
            found = wordings.find(
                session, doors().language, our_sentences(doors().language), asked.text("q"), asked.page(),
                only_own=only_own,
            )  # fmt: skip
        return self.page(
            "settings_texts.html", found=found, only_own=only_own, titles=TITLES, sections=SECTIONS
        )

    @expose("/<key>/", methods=("GET", "POST"))
    def one(self, key: str) -> str | Response | tuple[str, int]:
        """A sentence, ours and the firm's, with a preview."""
        with doors().database.read() as session:
            sentence = self._read(session, key)
        if request.method == "GET":
            return self._show(sentence)
        self.require_change()
        form = conflicts.picked(conflicts.as_sent(_form(_now(sentence))))
        forms = tuple(
            asked.clean(form.get(f"form-{number}", "").replace("\r\n", "\n"), _MAX_SENT)
            for number in range(len(sentence.ours) or 1)
        )
        try:
            wordings.check(sentence, forms)
            if "preview" in request.form:
                return self._show(sentence, forms)
            with doors().database.begin() as session:
                wordings.save(session, act(), doors().language, self._ours, key, forms, _version())
        except WordingChanged as refused:
            return self._both(key, forms, refused.text)
        except DeskError as refused:
            with doors().database.read() as session:
                sentence = self._read(session, key)
            return self._show(sentence, forms, refused.text), 422
        doors().settled()
        tell(_("Сохранено. Теперь все прочтут эту фразу так."))
        return redirect(url_for("texts.one", key=key))

    @expose("/<key>/give-back", methods=("POST",))
    def give_back(self, key: str) -> Response | tuple[str, int]:
        """Say it in our words again."""
        self.require_change()
        try:
            with doors().database.begin() as session:
                wordings.give_back(session, act(), doors().language, self._ours, key, _version())
        except NoSuchSentence:
            abort(404)
        except WordingChanged as refused:
            with doors().database.read() as session:
                sentence = wordings.read(session, doors().language, self._ours, key)
            return self._show(sentence, refusal=refused.text), 409
        doors().settled()
        tell(_("Снова наша формулировка."))
        return redirect(url_for("texts.index", own="1"))

    def _both(self, key: str, mine: Forms, refusal: Text) -> Response | tuple[str, int]:
        """Somebody else has said it in other words meanwhile: both versions, to choose form by form."""
        with doors().database.read() as session:
            sentence = self._read(session, key)
            lines = reading.history_of(session, f"wording:{sentence.key[:12]}")
        version = sentence.own.version if sentence.own else 0
        # Every version has one line of the history; our words again are a line and no version.
        news, now = lines[: max(version - _version(), 1)], _now(sentence)
        was = _was(json.loads(news[-1].before)["text"], len(now)) if news and news[-1].before else None
        titles = {name: _TITLE if len(now) == 1 else _FORM for name in _form(now)}
        fields = conflicts.disputed(
            conflicts.as_sent(_form(was or now)),
            conflicts.as_sent(_form(now)),
            conflicts.as_sent(_form(mine)),
            titles,
        )
        here = url_for("texts.one", key=key)
        return setting_conflicts.answer(self, say(_TITLE), here, refusal, news, version, fields)

    @property
    def _ours(self) -> Mapping[str, Forms]:
        return our_sentences(doors().language)

    def _read(self, session: Session, key: str) -> Sentence:
        try:
            return wordings.read(session, doors().language, self._ours, key)
        except NoSuchSentence:
            abort(404)

    def _show(self, sentence: Sentence, typed: Forms | None = None, refusal: Text | None = None) -> str:
        forms = typed or (sentence.own.forms if sentence.own else sentence.ours)
        of_panel = wordings.is_of_panel(sentence.msgid)
        places = wordings.placeholders((sentence.ours or (sentence.msgid,))[0])
        counts = Catalogue.open(doors().language).counts_of_forms() if len(sentence.ours) > 1 else ()
        with doors().database.read() as session:
            history = reading.history_of(session, f"wording:{sentence.key[:12]}")[:20]
        return self.page(
            "settings_text.html",
            sentence=sentence,
            forms=forms,
            counts=counts,
            places=[wordings.written(name, of_panel=of_panel) for name in places],
            shown=_samples(forms, counts) if refusal is None else (),
            is_preview=typed is not None and refusal is None,
            most=wordings.MAX_LENGTH,
            refusal=refusal,
            history_lines=history,
        )


_TITLE, _FORM = _("Своя формулировка"), _("Форма фразы")


def _now(sentence: Sentence) -> Forms:
    """What people read now."""
    return (sentence.own.forms if sentence.own else sentence.ours) or (sentence.msgid,)


def _form(forms: Forms) -> dict[str, str]:
    """A sentence as its form sends it."""
    return {f"form-{number}": form for number, form in enumerate(forms)}


def _was(kept: str, count: int) -> Forms | None:
    """The forms as the history keeps them, one in a line; None when they cannot be told apart."""
    forms = (kept,) if count == 1 else tuple(kept.split("\n"))
    return forms if len(forms) == count else None


def _version() -> int:
    return asked.as_number(request.form.get("version", "")) or 0


def _samples(forms: Forms, counts: tuple[tuple[int, ...], ...]) -> list[str]:
    """How people would read it; each form with a number that chooses it."""
    values = {**_SAMPLES, "firm": doors().house.firm_name}
    shown = []
    for place, form in enumerate(forms):
        number = {"count": str(counts[place][-1]), "num": str(counts[place][-1])} if counts else {}
        try:
            shown.append(wordings.sample(form, {**values, **number}))
        except ValueError:
            shown.append(form)
    return shown
