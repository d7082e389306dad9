"""The firm's own words in place of ours: listed, checked, kept with history and version.

A sentence that depends on a number has several forms; they are kept as a JSON list.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from string import Formatter

from sqlalchemy import select
from sqlmodel import Session, col

from forms.texts import Text, _
from notifications.texts import Forms
from router.desk import DeskError
from storage import history
from storage.models import Person, Wording
from storage.reading import Page
from storage.roster import Act

MAX_LENGTH = 1000
ROWS = 50

_PANEL_NAME = re.compile(r"%\((\w+)\)s")
_PANEL_SIGN = re.compile(r"%%|%\(\w+\)s")


@dataclass(frozen=True, slots=True)
class Own:
    """A sentence in the firm's own words."""

    forms: Forms
    version: int
    changed_at: datetime
    changed_by: str


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of the catalogue. `ours` is empty when the program does not say it any more."""

    key: str
    msgid: str
    ours: Forms
    own: Own | None = None


class WrongWording(DeskError):  # noqa: N818 - the names say what happened
    """These words cannot stand in place of ours; the text says why."""


class WordingChanged(DeskError):  # noqa: N818
    """Somebody else has changed these words since the form was opened."""

    def __init__(self) -> None:
        super().__init__(_("Эту фразу тем временем изменил кто-то ещё. Сверьте и сохраните ещё раз."))


class NoSuchSentence(LookupError):  # noqa: N818
    """There is no sentence with this key."""


def key_of(msgid: str) -> str:
    """What a sentence is called in addresses and rows."""
    return hashlib.sha256(msgid.encode()).hexdigest()


def read_own(session: Session, language: str) -> Mapping[str, Forms]:
    """The firm's own forms by the Russian originals. What breaks our rules is left out."""
    query = select(col(Wording.msgid), col(Wording.text)).where(col(Wording.language) == language)
    found: dict[str, Forms] = {}
    for msgid, text in session.execute(query):
        forms = _forms(text)
        if _fits(forms, msgid):
            found[msgid] = forms
    return found


def find(
    session: Session, language: str, ours: Mapping[str, Forms], search: str = "", page: int = 1,
    *, only_own: bool = False,
) -> Page[Sentence]:  # fmt: skip
    """A page of the sentences in which every word of the search is found; unused ones of the firm first."""
    own = _own_rows(session, language)
    gone = [Sentence(key_of(msgid), msgid, (), found) for msgid, found in own.items() if msgid not in ours]
    known = [Sentence(key_of(msgid), msgid, forms, own.get(msgid)) for msgid, forms in ours.items()]
    words = search.casefold().replace("ё", "е").split()
    wanted = [
        sentence
        for sentence in (*gone, *known)
        if (sentence.own or not only_own) and all(word in _searched(sentence) for word in words)
    ]
    page = max(page, 1)
    start = (page - 1) * ROWS
    return Page(tuple(wanted[start : start + ROWS]), page, len(wanted) > start + ROWS)


def read(session: Session, language: str, ours: Mapping[str, Forms], key: str) -> Sentence:
    """One sentence. Raises NoSuchSentence."""
    own = _own_rows(session, language, key)
    msgid = next((msgid for msgid in ours if key_of(msgid) == key), None)
    if msgid is not None:
        return Sentence(key, msgid, ours[msgid], own.get(msgid))
    for left, found in own.items():
        return Sentence(key, left, (), found)
    raise NoSuchSentence


def save(
    session: Session, act: Act, language: str, ours: Mapping[str, Forms], key: str, forms: Forms, version: int
) -> None:
    """Say a sentence in the firm's own words; `version` is that of the form, 0 for the first time.

    Raises NoSuchSentence, WrongWording, WordingChanged.
    """
    history.wait_turn(session)
    sentence = read(session, language, ours, key)
    check(sentence, forms)
    row = _row(session, language, key, version)
    if row is None:
        row = Wording(
            language=language, msgid_sha256=key, msgid=sentence.msgid, text="", updated_at=act.now, version=0
        )
        session.add(row)
    before = sentence.own.forms if sentence.own else sentence.ours
    row.text = forms[0] if len(forms) == 1 else json.dumps(forms, ensure_ascii=False)
    row.updated_at, row.updated_by, row.version = act.now, act.who.person_id, row.version + 1
    session.flush()
    _record(session, act, key, before, forms)


def give_back(
    session: Session, act: Act, language: str, ours: Mapping[str, Forms], key: str, version: int
) -> None:
    """Say it in our words again. Raises NoSuchSentence, WordingChanged."""
    history.wait_turn(session)
    sentence = read(session, language, ours, key)
    row = _row(session, language, key, version)
    if row is None or sentence.own is None:
        raise NoSuchSentence
    session.delete(row)
    session.flush()
    _record(session, act, key, sentence.own.forms, sentence.ours)


# --- The check -----------------------------------------------------------------------------------------


def check(sentence: Sentence, forms: Forms) -> None:
    """Raise WrongWording unless these forms can stand in place of ours."""
    if not sentence.ours:
        raise WrongWording(
            _("Программа больше не говорит этой фразы. Свою формулировку можно только убрать.")
        )
    if len(forms) != len(sentence.ours):
        raise WrongWording(_("Нужны все формы числа."))
    for form, ours in zip(forms, sentence.ours, strict=True):
        if not form.strip():
            raise WrongWording(_("Напишите фразу или верните нашу."))
        if len(form) > MAX_LENGTH:
            raise WrongWording(
                _("Фраза длиннее {most} знаков: у вас {count}.", most=MAX_LENGTH, count=len(form))
            )
        fault = _fault(form, ours)
        if fault is not None:
            raise WrongWording(fault)


def placeholders(pattern: str) -> tuple[str, ...]:
    """The names of the values in a sentence, in their order, each once. Raises ValueError."""
    return _names(pattern, of_panel=is_of_panel(pattern))


def is_of_panel(pattern: str) -> bool:
    """Whether its values stand as %(name)s: a sentence of the panel's pages."""
    return _PANEL_SIGN.search(pattern) is not None


def written(name: str, *, of_panel: bool) -> str:
    """A value's place as it stands in the sentence."""
    return f"%({name})s" if of_panel else f"{{{name}}}"


def sample(pattern: str, values: Mapping[str, str]) -> str:
    """The sentence with sample values: one that is not known is shown by its name. Raises ValueError."""
    shown = {name: values.get(name, f"‹{name}›") for name in placeholders(pattern)}
    return pattern % shown if is_of_panel(pattern) else pattern.format_map(shown)


def _names(pattern: str, *, of_panel: bool) -> tuple[str, ...]:
    if of_panel:
        found = dict.fromkeys(_PANEL_NAME.findall(pattern))
        try:
            pattern % dict.fromkeys(found, "")
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(pattern) from error
        return tuple(found)
    parts = [part for part in Formatter().parse(pattern) if part[1] is not None]
    if any(not name or not name.isidentifier() or spec or how for _text, name, spec, how in parts):
        raise ValueError(pattern)
    return tuple(dict.fromkeys(name for _text, name, _spec, _how in parts if name))


def _fault(form: str, ours: str) -> Text | None:
    of_panel = is_of_panel(ours)
    wanted = _names(ours, of_panel=of_panel)
    try:
        found = _names(form, of_panel=of_panel)
    except ValueError:
        return _("Лишняя скобка или знак %. Значения пишут так же, как в нашей фразе.")
    missing = [written(name, of_panel=of_panel) for name in wanted if name not in found]
    unknown = [written(name, of_panel=of_panel) for name in found if name not in wanted]
    if missing:
        return _("В вашей фразе нет {names}: без этого она неполна.", names=", ".join(missing))
    if unknown:
        return _("У этой фразы нет значений {names}. Уберите их.", names=", ".join(unknown))
    return None


# --- Rows ----------------------------------------------------------------------------------------------


def _forms(text: str) -> Forms:
    if not text.startswith("["):
        return (text,)
    try:
        found = json.loads(text)
    except ValueError:
        return (text,)
    is_forms = isinstance(found, list) and all(isinstance(form, str) for form in found)
    return tuple(found) if is_forms else (text,)


def _fits(forms: Forms, msgid: str) -> bool:
    """Whether the program can say it: rows may be older than the program."""
    try:
        wanted = {*_names(msgid, of_panel=is_of_panel(msgid)), "count", "num"}
        return all(set(_names(form, of_panel=is_of_panel(msgid))) <= wanted for form in forms)
    except ValueError:
        return False


def _own_rows(session: Session, language: str, key: str | None = None) -> dict[str, Own]:
    query = (
        select(Wording, col(Person.name))
        .outerjoin(Person, col(Person.id) == col(Wording.updated_by))
        .where(col(Wording.language) == language)
        .order_by(col(Wording.id))
    )
    if key is not None:
        query = query.where(col(Wording.msgid_sha256) == key)
    return {
        row.msgid: Own(_forms(row.text), row.version, row.updated_at, name or "")
        for row, name in session.execute(query)
    }


def _row(session: Session, language: str, key: str, version: int) -> Wording | None:
    query = select(Wording).where(col(Wording.language) == language, col(Wording.msgid_sha256) == key)
    row = session.execute(query.execution_options(populate_existing=True)).scalar_one_or_none()
    if (row.version if row is not None else 0) != version:
        raise WordingChanged
    return row


def _searched(sentence: Sentence) -> str:
    own = sentence.own.forms if sentence.own else ()
    return " ".join((sentence.msgid, *sentence.ours, *own)).casefold().replace("ё", "е")


def _record(session: Session, act: Act, key: str, before: Forms, after: Forms) -> None:
    history.record(
        session, at=act.now, actor_id=act.who.person_id, through=act.who.through, action="wording_changed",
        subject=f"wording:{key[:12]}",
        before={"text": "\n".join(before)}, after={"text": "\n".join(after)},
    )  # fmt: skip
