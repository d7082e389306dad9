"""What the director has settled about minutes: read, checked, saved with history and version."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any

from sqlmodel import Session

from forms.texts import Text, _
from router.desk import DeskError
from storage import history
from storage.house import Who
from storage.models import FirmSetting
from storage.times.measures import OWN_STAGES, Measure

KEY = "norms"
MAX_MINUTES = 600
MAX_PERCENT = 100


@dataclass(frozen=True, slots=True)
class Norms:
    """The norms in working minutes, (from, to), and what client interaction may take.

    `message_minutes` and `call_minutes` are what one message to a client and one talk are reckoned at.
    `version` is that of the stored row, 0 while nothing was settled.
    """

    processing: tuple[int, int] = (2, 5)
    clarification: tuple[int, int] = (1, 3)
    execution: tuple[int, int] = (2, 7)
    interaction_percent: int = 25
    message_minutes: int = 2
    call_minutes: int = 5
    version: int = 0

    def target(self, measure: Measure) -> tuple[int, int] | None:
        """The norm of a measure; the whole is the sum of its three stages."""
        if measure in OWN_STAGES:
            found: tuple[int, int] = getattr(self, measure.value)
            return found
        if measure is Measure.WHOLE:
            stages = (self.processing, self.clarification, self.execution)
            return sum(low for low, _high in stages), sum(high for _low, high in stages)
        return None


DEFAULT_NORMS = Norms()


class WrongNorms(DeskError):  # noqa: N818 - the names say what happened
    """A norm makes no sense; the text says which would."""


class NormsChanged(DeskError):  # noqa: N818
    """Somebody else has settled the norms since the form was opened."""

    def __init__(self) -> None:
        super().__init__(_("Нормы тем временем изменил кто-то ещё. Проверьте их и сохраните ещё раз."))


def read_norms(session: Session) -> Norms:
    """What is settled, or else the defaults."""
    row = session.get(FirmSetting, KEY)
    if row is None:
        return DEFAULT_NORMS
    try:
        kept: dict[str, Any] = json.loads(row.value)
        known = {field.name for field in fields(Norms)}
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in kept.items()
            if name in known
        }
        found = Norms(**values)
        check(found)
    except (ValueError, TypeError, AttributeError, WrongNorms):
        # Whatever stands there, the reports go on; saving the form puts it right.
        found = DEFAULT_NORMS
    return replace(found, version=row.version)


def save_norms(session: Session, who: Who, norms: Norms, now: datetime) -> None:
    """Settle the norms; `norms.version` is that of the form's.

    Raises:
        WrongNorms: a norm makes no sense.
        NormsChanged: somebody was quicker.
    """
    check(norms)
    history.wait_turn(session)
    before = read_norms(session)
    if before.version != norms.version:
        raise NormsChanged
    row = session.get(FirmSetting, KEY)
    if row is None:
        row = FirmSetting(key=KEY, value="", updated_at=now, version=0)
        session.add(row)
    row.value = json.dumps(_values(norms))
    row.updated_at, row.updated_by, row.version = now, who.person_id, row.version + 1
    session.flush()
    was, became = _shown(before), _shown(norms)
    history.record(
        session, at=now, actor_id=who.person_id, through=who.through, action="norms_changed",
        subject="setting:norms",
        before={name: value for name, value in was.items() if became[name] != value},
        after={name: value for name, value in became.items() if was[name] != value},
    )  # fmt: skip


def check(norms: Norms) -> None:
    """Raise WrongNorms when something makes no sense."""
    for stage in OWN_STAGES:
        low, high = getattr(norms, stage.value)
        _require(
            all(type(value) is int for value in (low, high)) and 0 <= low <= high <= MAX_MINUTES and high > 0,
            _(
                "Норма — целые минуты от 0 до {most}, сначала меньшее число, потом большее. Например: 2 и 5.",
                most=MAX_MINUTES,
            ),
        )
    for minutes in (norms.message_minutes, norms.call_minutes):
        _require(
            type(minutes) is int and 0 <= minutes <= MAX_MINUTES,
            _("На сообщение и звонок — целые минуты от 0 до {most}.", most=MAX_MINUTES),
        )
    _require(
        type(norms.interaction_percent) is int and 1 <= norms.interaction_percent <= MAX_PERCENT,
        _("Доля общения — целое число процентов от 1 до {most}.", most=MAX_PERCENT),
    )


def _require(holds: bool, text: Text) -> None:
    if not holds:
        raise WrongNorms(text)


def _values(norms: Norms) -> dict[str, object]:
    return {name: value for name, value in asdict(norms).items() if name != "version"}


def _shown(norms: Norms) -> dict[str, object]:
    return {
        name: f"{value[0]}–{value[1]}" if isinstance(value, tuple) else value
        for name, value in _values(norms).items()
    }
