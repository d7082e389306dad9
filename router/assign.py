"""Who takes a request: every rule is asked about everybody, and the answers are kept.

The choice depends on nothing but its arguments: neither on the order of the people nor on the clock.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from typing import NotRequired, TypedDict

from forms.texts import Text, plain
from router.model import Candidate, Decision, Exclude, Prefer, Verdict, Work
from router.rules import RULES, RuleContext, Rules, is_away


def assign(
    work: Work, candidates: Iterable[Candidate], context: RuleContext, *, rules: Rules = RULES
) -> Decision:
    """Choose who takes the request; `staff_id` is None when everybody is excluded.

    Other `rules` or weights than today's are for a dry run.

    The verdicts stand best first. `context` of the decision keeps what a later dry run must know.
    """
    verdicts = rank(work, candidates, context, rules=rules)
    best = verdicts[0] if verdicts and not verdicts[0].excluded else None
    return Decision(best.staff_id if best else None, verdicts, _circumstances(work, context))


def rank(
    work: Work, candidates: Iterable[Candidate], context: RuleContext, *, rules: Rules = RULES
) -> tuple[Verdict, ...]:
    """Judge everybody, best first: more points, then fewer open requests, then the older number.

    Those who are excluded come last.
    """
    people = tuple(candidates)
    if work.substitute_id is not None:
        work = replace(work, responsible_away=_responsible_away(work, people, context))
    judged = [(judge(work, person, context, rules=rules), person) for person in people]
    judged.sort(key=lambda pair: order(*pair))
    return tuple(verdict for verdict, _person in judged)


def _responsible_away(work: Work, people: Iterable[Candidate], context: RuleContext) -> bool:
    return all(is_away(person, context) for person in people if person.staff_id == work.responsible_id)


def judge(work: Work, person: Candidate, context: RuleContext, *, rules: Rules = RULES) -> Verdict:
    """Ask all rules about one person. Reasons to exclude are listed before preferences."""
    findings = [finding for _name, rule in rules if (finding := rule(work, person, context))]
    against = tuple(finding.reason for finding in findings if isinstance(finding, Exclude))
    preferences = [finding for finding in findings if isinstance(finding, Prefer)]
    return Verdict(
        staff_id=person.staff_id,
        name=person.name,
        points=sum(preference.points for preference in preferences),
        excluded=bool(against),
        reasons=against + tuple(preference.reason for preference in preferences),
    )


def pick_up(
    works: Iterable[Work], candidates: Iterable[Candidate], context: RuleContext, *, rules: Rules = RULES
) -> tuple[tuple[Work, Decision], ...]:
    """Decide about all that waits, nearest deadline first; each choice counts in the next one's load."""
    people = {person.staff_id: person for person in candidates}
    decided = []
    for work in sorted(works, key=lambda work: (work.deadline, work.submitted_at, work.request_id)):
        decision = assign(work, people.values(), context, rules=rules)
        if decision.staff_id is not None:
            chosen = people[decision.staff_id]
            people[chosen.staff_id] = replace(chosen, open_requests=chosen.open_requests + 1)
        decided.append((work, decision))
    return tuple(decided)


def decision_to_json(decision: Decision, render: Callable[[Text], str]) -> str:
    """Write a decision down for the trace, its reasons in the words of that day."""
    stored: _StoredDecision = {
        "chosen": decision.staff_id,
        "context": dict(decision.context),
        "candidates": [
            {
                "staff_id": verdict.staff_id,
                "name": verdict.name,
                "points": verdict.points,
                "excluded": verdict.excluded,
                "reasons": [render(reason) for reason in verdict.reasons],
            }
            for verdict in decision.verdicts
        ],
    }
    return json.dumps(stored, ensure_ascii=False)


def decision_from_json(text: str) -> Decision:
    """Read what `decision_to_json` wrote; the reasons are plain words now, in the language of then."""
    stored: _StoredDecision = json.loads(text)
    verdicts = tuple(
        Verdict(
            staff_id=verdict["staff_id"],
            name=verdict["name"],
            points=verdict["points"],
            excluded=verdict["excluded"],
            reasons=tuple(plain(reason) for reason in verdict["reasons"]),
        )
        for verdict in stored["candidates"]
    )
    return Decision(stored["chosen"], verdicts, stored.get("context", {}))


class _StoredVerdict(TypedDict):
    staff_id: int
    name: str
    points: int
    excluded: bool
    reasons: list[str]


class _StoredDecision(TypedDict):
    chosen: int | None
    context: NotRequired[dict[str, str]]
    candidates: list[_StoredVerdict]


def order(verdict: Verdict, person: Candidate) -> tuple[bool, int, int, int]:
    """The best come first; whoever is excluded, last."""
    return verdict.excluded, -verdict.points, person.open_requests, person.staff_id


def _circumstances(work: Work, context: RuleContext) -> Mapping[str, str]:
    weights = {f"weight_{name}": str(points) for name, points in sorted(asdict(context.weights).items())}
    return {"at": context.now.isoformat(), "kind": work.kind, **weights}
