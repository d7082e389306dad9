"""Who did what: the history, newest first."""

from __future__ import annotations

from flask import request
from flask_babel import lazy_gettext as _l

from admin import asked
from admin.auth import me
from admin.doors import doors
from admin.rights import Area, sees_contents
from admin.views.base import PanelView, expose
from admin.words import ACTIONS, SUBJECTS
from storage import reading, roster
from storage.reading import HistoryFilter


class HistoryView(PanelView):
    """`/panel/history/`. Nothing here can be changed."""

    area = Area.HISTORY

    def __init__(self) -> None:
        super().__init__(name=_l("История"), endpoint="history")

    @expose("/")
    def index(self) -> str:
        """The list; leafed through by the number of the last line seen."""
        zone = doors().house.calendar.zone
        wanted = HistoryFilter(
            subject=_subject(),
            action=asked.one_of("action", ACTIONS),
            actor_id=asked.number("actor"),
            since=asked.start_of(asked.day("since"), zone),
            until=asked.end_of(asked.day("until"), zone),
            before_id=asked.number("before"),
            reached_nobody=request.args.get("told") == "0",
        )
        with doors().database.read() as session:
            found = reading.find_history(session, wanted)
            people = roster.list_staff(session, doors().now())
        return self.page(
            "history.html",
            found=found,
            people=people,
            actions=tuple(ACTIONS),
            subjects=tuple(SUBJECTS),
            sees_contents=sees_contents(me().role),
        )


def _subject() -> str:
    """`request`, or `request:17` when a number is given too."""
    subject, number = asked.one_of("subject", SUBJECTS), asked.number("number")
    return f"{subject}:{number}" if subject and number is not None else subject
