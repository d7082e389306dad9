"""What axe-core says against a page, as far as it is serious for somebody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_SERIOUS = frozenset({"serious", "critical"})


def serious(answer: Mapping[str, Any]) -> Iterator[str]:
    """A line for every fault: the rule, the element, what would be right."""
    for fault in answer["violations"]:
        if fault["impact"] in _SERIOUS:
            for node in fault["nodes"]:
                why = " ".join(node["failureSummary"].split())
                yield f"{fault['id']}: {node['html'][:200]}: {why[:300]}"
