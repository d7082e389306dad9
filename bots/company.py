"""What a person may read of the requests that colleagues sent for the same company.

Staff give this right by hand. Nothing can be done to such a request here: it is its sender's.
"""

from __future__ import annotations

from bots.turns import ChatTurn
from forms.messages import Button, Press, Reply
from forms.texts import Text, _, lines, n_
from notifications import compose
from notifications.compose import REQUEST_SCOPE, menu_rows
from storage import client_chats
from storage.client_chats import CompanyRequest

LISTED = 3

Rows = tuple[tuple[Button, ...], ...]


def of_colleagues(turn: ChatTurn) -> tuple[Text | None, Rows]:
    """The open requests of colleagues in words, and a button for each; nothing without the right."""
    found = client_chats.company_requests(turn.session, turn.chat.person_id)
    if not found:
        return None, ()
    shown = found[:LISTED]
    hidden = len(found) - len(shown)
    more = n_("И ещё {count} заявка коллег.", "И ещё {count} заявок коллег.", hidden) if hidden else None
    words = [part for each in shown for part in ("", _told(turn, each))]
    rows = tuple((_button(each),) for each in shown)
    return lines("", _("Отправили ваши коллеги:"), *words, more), rows


def show(turn: ChatTurn, number: int) -> bool:
    """Show one of them as it stands now, whatever was wanted of it; False when there is no such."""
    found = client_chats.company_request(turn.session, turn.chat.person_id, number)
    if found is not None:
        turn.say(Reply(_told(turn, found), menu_rows(), prompt=True))
    return found is not None


def _told(turn: ChatTurn, found: CompanyRequest) -> Text:
    sender = _("От кого: {name}", name=found.sender) if found.sender else None
    return lines(compose.status_answer(found.facts, turn.context), sender)


def _button(found: CompanyRequest) -> Button:
    number = found.facts.number
    return Button(_("Заявка № {number}", number=number), str(Press(REQUEST_SCOPE, str(number), "show")))
