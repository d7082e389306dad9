"""A message that the database cannot hold jams no messenger, on either engine."""

import pytest

from bots.intake import Arrival, Intake
from forms.messages import InboundKind
from storage.models import InboxEvent
from tests.storage.firm import Firm, inbound

HALF = "x\ud800@b.example"


@pytest.fixture
def firm(database):
    return Firm.open(database)


@pytest.mark.parametrize(
    ("chat_key", "event_key"),
    [("maria", HALF), (HALF, "e1"), ("maria", "nul\0nul" * 60 + HALF)],
    ids=["event", "chat", "long event"],
)
async def test_what_cannot_even_be_kept_as_failed_leaves_a_trace(firm, chat_key, event_key):
    intake = Intake(firm.database, lambda: firm.house, lambda: firm.clock, "town")
    message = inbound(chat_key, event_key, "Важное", kind=InboundKind.TEXT)
    for _time in range(2):
        with pytest.raises(UnicodeEncodeError) as failed:
            await intake.apply([Arrival(message)])
        await intake.poisoned(Arrival(message), failed.value)
    [row] = firm.rows(InboxEvent)
    assert (row.state, row.payload, row.chat_id) == ("failed", None, None)
    assert row.event_key.startswith("unkept:")
    await intake.apply([Arrival(inbound("maria", "e2", "/status"))])
    assert len(firm.rows(InboxEvent)) == 2
