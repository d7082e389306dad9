"""What this process has done since its start, for `/metrics`; the firm's figures come from the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.process_collector import ProcessCollector

_BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(slots=True)
class Meters:
    """Counters that only grow. The names are documented in docs/guide-operator.ru.md."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    messages: Counter = field(init=False)
    kept_seconds: Histogram = field(init=False)
    refused_webhooks: Counter = field(init=False)
    failed_jobs: Counter = field(init=False)

    def __post_init__(self) -> None:
        ProcessCollector(registry=self.registry)
        self.messages = Counter(
            "priem_messages", "Messages taken in and kept", ["channel"], registry=self.registry
        )
        self.kept_seconds = Histogram(
            "priem_kept_seconds", "From a messenger's post or poll to the commit behind it", ["channel"],
            buckets=_BUCKETS_SECONDS, registry=self.registry,
        )  # fmt: skip
        self.refused_webhooks = Counter(
            "priem_webhooks_refused",
            "Webhook posts turned away",
            ["channel", "reason"],
            registry=self.registry,
        )
        self.failed_jobs = Counter(
            "priem_job_failures", "Periodic jobs that failed", ["job"], registry=self.registry
        )

    @contextmanager
    def keeping(self, channel: str, messages: int) -> Iterator[None]:
        """Time the commit behind so many messages; one that fails counts nothing."""
        began_at = perf_counter()
        yield
        self.kept_seconds.labels(channel).observe(perf_counter() - began_at)
        self.messages.labels(channel).inc(messages)
