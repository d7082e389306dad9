"""Work on the program that was announced: clients who write are told once a chat, the panel shows it."""

from __future__ import annotations

import json
from datetime import datetime

from sqlmodel import Session

from forms.messages import Reply
from notifications import outage as words
from storage import history
from storage.house import House, Maintenance
from storage.letters import ANSWER, Posting, post
from storage.work import get_setting, put_setting

_KEY = "maintenance"
LONGEST_REASON = 100


def announce(session: Session, until: datetime, reason: str, now: datetime) -> Maintenance:
    """Announce it from now on, in place of an earlier one. Running processes learn it in a minute."""
    announced = Maintenance(now, until, " ".join(reason.split())[:LONGEST_REASON])
    put_setting(session, _KEY, _to_json(announced), now)
    _record(session, "maintenance_on", {"until": until.isoformat(), "reason": announced.reason}, now)
    return announced


def call_off(session: Session, now: datetime) -> bool:
    """End it; False when none was announced."""
    if read(session) is None:
        return False
    put_setting(session, _KEY, "", now)
    _record(session, "maintenance_off", None, now)
    return True


def read(session: Session) -> Maintenance | None:
    """What is announced, over or not."""
    kept = get_setting(session, _KEY)
    if not kept:
        return None
    told = json.loads(kept)
    since, until = (datetime.fromisoformat(told[name]) for name in ("since", "until"))
    return Maintenance(since, until, told["reason"])


def tell(session: Session, house: House, chat_id: int, now: datetime) -> None:
    """Tell a client who writes now, once a chat; their message is taken as always."""
    announced = house.maintenance
    if announced is None or not announced.lasts(now):
        return
    until = words.moment(announced.until, now, house.calendar.zone)
    posting = Posting(
        key=f"{ANSWER}maintenance:{announced.since:%Y%m%dT%H%M%S}:{chat_id}",
        reply=Reply(words.maintenance_notice(until, announced.reason)),
        chat_id=chat_id,
        urgent=True,
        keeps_screen=True,
    )
    post(session, house, now, (posting,))


def _to_json(announced: Maintenance) -> str:
    told = {
        "since": announced.since.isoformat(),
        "until": announced.until.isoformat(),
        "reason": announced.reason,
    }
    return json.dumps(told, ensure_ascii=False)


def _record(session: Session, action: str, after: dict[str, str] | None, now: datetime) -> None:
    history.record(
        session, at=now, actor_id=None, through="command", action=action, subject="setting:maintenance",
        before=None, after=after,
    )  # fmt: skip
