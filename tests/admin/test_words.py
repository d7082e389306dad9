"""Every code that the tables keep has a word in the panel."""

import pytest

from admin import words
from forms.kinds import KINDS
from forms.request_form import FORM
from router.desk import Event
from router.model import Role, Stage, Status
from storage.times import Measure

CODES = {
    "status": {status for status in Status if status is not Status.DRAFT},
    "next": {status for status in Status if status is not Status.DRAFT},
    "stage": set(Stage),
    "role": set(Role),
    "action": set(Event),
    "measure": set(Measure),
    "kind": {kind.code for kind in KINDS},
    "skill": {kind.skill for kind in KINDS} - {""},
    "field": {field.name for field in FORM},
}


@pytest.mark.parametrize("table", CODES)
def test_every_code_has_a_word(table):
    for code in CODES[table]:
        assert words.word(code, table).msgid != "{value}", code


def test_an_unknown_code_is_shown_as_it_is():
    assert words.word("telepathy", "channel").params == {"value": "telepathy"}
