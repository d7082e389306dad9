"""A routing rule is one function and its name: nothing else has to change."""

from dataclasses import replace

from forms.texts import _
from router.assign import assign
from router.model import Exclude, Prefer
from router.rules import RULES
from tests.unit.router.people import ANNA, BORIS, CONTEXT, PAYMENT, VERA


def not_on_a_wednesday(_work, person, context):
    """Anna teaches on Wednesdays."""
    is_wednesday = context.now.astimezone(context.calendar.zone).weekday() == 2
    return Exclude(_("по средам учит")) if person is ANNA and is_wednesday else None


def sits_near(_work, person, _context):
    """Vera sits beside the bank."""
    return Prefer(5, _("рядом с банком")) if person is VERA else None


def test_one_more_rule_excludes_and_prefers_and_its_reason_is_kept():
    team = (ANNA, BORIS, VERA)
    assert assign(PAYMENT, team, CONTEXT).staff_id == ANNA.staff_id
    rules = (*RULES, ("wednesday", not_on_a_wednesday), ("near", sits_near))
    decision = assign(PAYMENT, team, CONTEXT, rules=rules)
    assert decision.staff_id == VERA.staff_id
    reasons = {verdict.name: [reason.msgid for reason in verdict.reasons] for verdict in decision.verdicts}
    assert "по средам учит" in reasons["Анна Петрова"]
    assert "рядом с банком" in reasons["Вера Орлова"]


def test_without_the_rule_nothing_has_changed():
    assert assign(PAYMENT, (VERA, BORIS), CONTEXT).staff_id == BORIS.staff_id
    busy = replace(BORIS, open_requests=3)
    assert assign(PAYMENT, (VERA, busy), CONTEXT).staff_id == VERA.staff_id
