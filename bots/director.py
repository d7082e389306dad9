"""What a director does in the chat with one tap: the board in figures, its columns, a reminder.

Others who see requests may open the board too: they see their own.
"""

from __future__ import annotations

from bots import staff_screens as screens
from bots.turns import ChatTurn
from forms.messages import Button, Press, Reply
from forms.texts import Text, _, lines
from notifications.digest import BOARD, COLUMN_TITLES, DIRECTOR_SCOPE, card_rows, column_lines, owed_line
from router.model import Status
from storage import casework, digests
from storage.reach import Reach
from storage.staff_reading import RequestLine

WORDS = ("/board", "Доска")
SHOWN = 8

__all__ = ["BOARD", "DIRECTOR_SCOPE", "WORDS", "answer", "remind"]


def answer(turn: ChatTurn, press: Press, own_of: Reach) -> Reply:
    """The board, or one of its columns; `own_of` as in every list: None is everybody's."""
    column = next((status for status in COLUMN_TITLES if status.value == press.value), None)
    if press.target == "list" and column is not None:
        return _column(turn, column, own_of)
    return _board(turn, own_of)


def remind(turn: ChatTurn, number: int) -> Text:
    """«Напомнить»: the assignee gets a letter. Raises DeskError."""
    case = casework.remind(turn.session, turn.house, turn.who, number, turn.now)
    return _("Напомнили, № {number}: {name}.", number=number, name=case.facts.assignee)


def _board(turn: ChatTurn, own_of: Reach) -> Reply:
    counted = digests.by_column(turn.session, own_of)
    text = lines(
        *column_lines(counted),
        owed_line(
            digests.count_unanswered(turn.session, own_of),
            digests.count_overdue(turn.session, turn.now, own_of),
        ),
    )
    rows = tuple(
        (
            Button(
                _("{title}: {count}", title=title, count=counted[column]),
                str(Press(DIRECTOR_SCOPE, "list", column.value)),
            ),
        )
        for column, title in COLUMN_TITLES.items()
        if counted.get(column)
    )
    return Reply(text, rows, prompt=True)


def _column(turn: ChatTurn, column: Status, own_of: Reach) -> Reply:
    assert turn.chat.staff is not None
    role = turn.chat.staff.role
    count = digests.by_column(turn.session, own_of).get(column, 0)
    rows = digests.nearest_in(turn.session, column, SHOWN, own_of)
    found = [
        RequestLine(
            row.number, row.version, row.status, row.company, row.kind, row.deadline, row.assignee,
            row.unconfirmed,
        )
        for row in rows
    ]  # fmt: skip
    rest = count - len(found)
    text = lines(
        _("{title}: {count}", title=COLUMN_TITLES[column], count=count),
        *(screens.request_line(line, role, turn.context) for line in found),
        _("Ещё {count}. Найти: /find и слова.", count=rest) if rest > 0 else None,
    )
    back = (Button(_("Доска"), str(BOARD), WORDS),)
    return Reply(text, (*card_rows([(line.number, line.version) for line in found]), back), prompt=True)
