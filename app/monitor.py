"""How the machine is: `/health` says what a person must do, `/metrics` gives the figures."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from sqlalchemy.exc import SQLAlchemyError

from admin.doors import MessengerState
from app.meters import Meters
from bots.base import Channel, Health
from storage import copies, history_watch, reports
from storage.copies import CopyPlan, CopyState
from storage.engine import Database
from storage.history_watch import Walk
from storage.house import House
from storage.reports import Figures
from storage.sweeps import Unreachable
from storage.troubles import WHAT_TO_DO, cause_of

log = structlog.get_logger(__name__)

HEALTH_TIMEOUT_SECONDS = 10.0
SILENT_LOOKS_BEFORE_ATTENTION = 3
LETTER_WAITS_TOO_LONG_SECONDS = 15 * 60
TIMERS_LATE_SECONDS = 5 * 60


@dataclass(slots=True)
class _Seen:
    health: Health
    at: datetime
    failures: int = 0
    failing_since: datetime | None = None


@dataclass(slots=True)
class Monitor:
    """Asks the messengers once a minute, so that a visit to the page costs them nothing."""

    database: Database
    channels: Mapping[str, Channel]
    house_now: Callable[[], House]
    now: Callable[[], datetime]
    links: dict[str, str] = field(default_factory=dict)
    """Where each messenger said that its chat is opened."""
    more_attention: Callable[[], Iterable[str]] = tuple
    """What else a person must do."""
    copy_plan: CopyPlan | None = None
    """What is settled about the copies."""
    meters: Meters = field(default_factory=Meters)
    _refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    _seen: dict[str, _Seen] = field(default_factory=dict)
    _swept_at: datetime | None = None
    _returned: set[str] = field(default_factory=set)

    def refused(self, channel: str, reason: str) -> None:
        """A post to this messenger's webhook was turned away."""
        self._refused[channel, reason] += 1
        self.meters.refused_webhooks.labels(channel, reason).inc()

    def swept(self, at: datetime | None) -> None:
        """The timers have looked at everything that was due at `at`; None: another process has them."""
        self._swept_at = at

    async def look(self) -> None:
        """Ask every messenger whether it knows us."""
        async with asyncio.TaskGroup() as tasks:
            for name, channel in self.channels.items():
                tasks.create_task(self._ask(name, channel))

    async def _ask(self, name: str, channel: Channel) -> None:
        try:
            async with asyncio.timeout(HEALTH_TIMEOUT_SECONDS):
                health = await channel.health()
        except TimeoutError:
            health = Health(reachable=False, detail=f"no answer in {HEALTH_TIMEOUT_SECONDS:g} s")
        except Exception as error:  # noqa: BLE001 - one broken messenger must not blind us for the others
            health = Health(reachable=False, detail=type(error).__name__)
        if health.link:
            self.links[name] = health.link
        before = self._seen.get(name)
        now = self.now()
        if health.reachable:
            if before is not None and before.failing_since is not None:
                self._returned.add(name)
            self._seen[name] = _Seen(health, now)
            return
        since = before.failing_since if before and before.failing_since else now
        self._seen[name] = _Seen(health, now, (before.failures if before else 0) + 1, since)

    def returned(self) -> frozenset[str]:
        """The messengers that have begun to answer again since this was asked last."""
        returned, self._returned = frozenset(self._returned), set()
        return returned

    def messengers(self) -> tuple[MessengerState, ...]:
        """What each messenger said last; safe to ask from another thread."""
        refused = dict(self._refused)
        seen = dict(self._seen)
        return tuple(
            MessengerState(
                name=name,
                reachable=seen[name].health.reachable if name in seen else None,
                detail=seen[name].health.detail if name in seen else "",
                asked_at=seen[name].at if name in seen else None,
                refused_posts=sum(count for (channel, _), count in refused.items() if channel == name),
                told=seen[name].health.told if name in seen else None,
            )
            for name in self.channels
        )

    def unreachable(self) -> tuple[Unreachable, ...]:
        """The messengers that have not answered for so long that a person should know."""
        return tuple(
            Unreachable(name, seen.failing_since, seen.health.detail)
            for name, seen in self._seen.items()
            if seen.failing_since is not None and seen.failures >= SILENT_LOOKS_BEFORE_ATTENTION
        )

    def silent(self) -> tuple[Unreachable, ...]:
        """The messengers that did not answer last, from their first silence on."""
        return tuple(
            Unreachable(name, seen.failing_since, seen.health.detail)
            for name, seen in self._seen.items()
            if seen.failing_since is not None
        )

    def answering(self) -> dict[str, bool | None]:
        """Whether each messenger that runs answered last; None before it was asked."""
        return {
            name: self._seen[name].health.reachable if name in self._seen else None for name in self.channels
        }

    async def health(self) -> tuple[bool, dict[str, Any]]:
        """All is well, and the page. `attention` holds what a person must do, in words."""
        now = self.now()
        attention: list[str] = []
        try:
            figures: Figures | None = await asyncio.to_thread(self._figures, now)
        except SQLAlchemyError as error:
            log.error("database does not answer", error=type(error).__name__)  # noqa: TRY400
            figures = None
            attention.append(f"The database does not answer. {WHAT_TO_DO[cause_of(error)]}")
        attention += self.more_attention()
        pages = {name: self._page(name, figures, attention) for name in self.channels}
        oldest = max((page["oldest_letter_seconds"] or 0 for page in pages.values()), default=0)
        if oldest > LETTER_WAITS_TOO_LONG_SECONDS:
            attention.append(f"A letter has waited {oldest} s to leave: look at its messenger.")
        if figures and figures.failed_messages:
            attention.append(
                f"{figures.failed_messages} messages of the last day could not be processed: "
                "answer their senders, and look for «message failed» in the log."
            )
        if self._swept_at and (now - self._swept_at).total_seconds() > TIMERS_LATE_SECONDS:
            attention.append("The timers have not run for a while: look for «job failed» in the log.")
        walked = await asyncio.to_thread(self._walked) if figures else None
        if walked and not walked.whole:
            attention.append(
                f"The history of changes is broken at row {walked.broken_at}: take a copy, then compare it "
                "with an older one."
            )
        last_backup = await self._last_backup(figures is not None, attention, now)
        return not attention, {
            "status": "attention" if attention else "ok",
            "attention": attention,
            "time": now.isoformat(timespec="seconds"),
            "database": {"ok": figures is not None, "engine": self.database.url.get_backend_name()},
            "channels": pages,
            "oldest_letter_seconds": oldest,
            "failed_messages": figures.failed_messages if figures else None,
            "last_backup": last_backup,
            "history": {"checked_at": _iso(walked.at), "rows": walked.rows, "whole": walked.whole}
            if walked
            else None,
        }

    async def _last_backup(self, answers: bool, attention: list[str], now: datetime) -> dict[str, Any] | None:
        """What became of the latest copy; None while the database cannot say."""
        plan = self.copy_plan
        if plan is None or not answers:
            return None
        found = await asyncio.to_thread(self._copies)
        troubles = found.troubles(plan, now)
        newest, whole = found.newest, found.last_whole
        attention += [f"{copies.WHAT_TO_DO[trouble]} See «Копии» in the panel." for trouble in troubles]
        return {
            "on": plan.is_on,
            "why_off": plan.why_off,
            "started_at": _iso(newest.started_at) if newest else None,
            "ended_at": _iso(newest.ended_at) if newest else None,
            "whole": newest.whole if newest else None,
            "size_bytes": newest.size_bytes if newest else None,
            "second_place_whole": newest.second_whole if newest else None,
            "troubles": [trouble.value for trouble in troubles],
            "last_whole_at": _iso(whole.started_at) if whole else None,
            "next_at": _iso(plan.next_due(now)),
        }

    def _walked(self) -> Walk | None:
        with self.database.read() as session:
            return history_watch.last_walk(session)

    def _copies(self) -> CopyState:
        with self.database.read() as session:
            return copies.state(session)

    def _page(self, name: str, figures: Figures | None, attention: list[str]) -> dict[str, Any]:
        seen = self._seen.get(name)
        if seen and seen.failures >= SILENT_LOOKS_BEFORE_ATTENTION:
            attention.append(f"{name} does not answer: {seen.health.detail}")
        house = self.house_now()
        now = self.now()
        silent = figures.silent_seconds(name, house.calendar, now) if figures else None
        too_long = (
            figures.suspicious_hours(name, house.calendar, now, house.silent_after_hours) if figures else None
        )
        if too_long is not None:
            attention.append(
                f"Nothing has come from {name} for {too_long} working hours: write to it yourself, "
                "and look at its webhook."
            )
        return {
            "reachable": seen.health.reachable if seen else None,
            "detail": seen.health.detail if seen else "not asked yet",
            "last_inbound_at": _iso(figures.last_inbound.get(name)) if figures else None,
            "last_delivered_at": _iso(figures.last_delivered.get(name)) if figures else None,
            "oldest_letter_seconds": figures.oldest_letter_seconds.get(name) if figures else None,
            "silent_working_seconds": silent,
            "refused_posts": sum(count for (channel, _), count in self._refused.items() if channel == name),
        }

    async def metrics(self) -> tuple[bytes, str]:
        """Prometheus text. Figures come from the database, so every process tells the same."""
        registry = CollectorRegistry()
        figures = await asyncio.to_thread(self._figures, self.now())
        letters = Gauge("priem_letters", "Letters by state", ["channel", "state"], registry=registry)
        for (channel, state), count in figures.letters.items():
            letters.labels(channel, state).set(count)
        requests = Gauge("priem_requests", "Requests by status", ["status"], registry=registry)
        for status, count in figures.requests.items():
            requests.labels(status).set(count)
        oldest = Gauge(
            "priem_oldest_letter_seconds", "Age of the oldest due letter", ["channel"], registry=registry
        )
        up = Gauge("priem_channel_reachable", "Whether the messenger answers", ["channel"], registry=registry)
        for name in self.channels:
            oldest.labels(name).set(figures.oldest_letter_seconds.get(name, 0))
            seen = self._seen.get(name)
            up.labels(name).set(1 if seen is None or seen.health.reachable else 0)
        Gauge("priem_failed_messages", "Messages kept for a person to look at", registry=registry).set(
            figures.failed_messages
        )
        if self.copy_plan is not None:
            _add_copies(registry, await asyncio.to_thread(self._copies))
        return generate_latest(self.meters.registry) + generate_latest(registry), CONTENT_TYPE_LATEST

    def _figures(self, now: datetime) -> Figures:
        with self.database.read() as session:
            return reports.figures(session, now)


def _add_copies(registry: CollectorRegistry, found: CopyState) -> None:
    """Nothing is there before the first whole copy, so that its age can be asked for."""
    if found.last_whole is not None:
        at = found.last_whole.started_at.timestamp()
        name = "priem_last_backup_timestamp_seconds"
        Gauge(name, "When the last whole copy was begun", registry=registry).set(at)
    if found.newest is not None and found.newest.whole is not None:
        name, about = "priem_last_backup_whole", "Whether the trial restore of the last copy found nothing"
        Gauge(name, about, registry=registry).set(found.newest.whole)


def _iso(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at else None
