"""Everything that happens to a request, one function per action over a Session.

The chat and the panel call the same functions, so history, stage clock and letters are never skipped.
Rules live in `router.desk`, sentences in `notifications.compose`; here rows are read and written. What
cannot be done raises `router.desk.DeskError`, whose text is for the person who acted.
"""

from __future__ import annotations

from storage.casework.client_acts import add, clarified, is_yes_or_no, left_as_it_was, rate, reopen
from storage.casework.directing import JustReminded, close, move_deadline, remind
from storage.casework.opening import (
    Case,
    NoSuchRequest,
    facts_of,
    form_context,
    open_case,
    people_for_call,
    staff_name,
)
from storage.casework.proposing import (
    Decided,
    NoSuchProposal,
    OpenProposal,
    decide,
    edited,
    has_proposal,
    open_proposals,
    propose,
    request_of_proposal,
)
from storage.casework.reading_back import answers_given, confirm, correct
from storage.casework.routing import candidates, pick_up_unassigned
from storage.casework.staff_acts import (
    accept,
    answer,
    cancel,
    clarify,
    decline,
    done,
    note,
    pass_on,
    reassign,
    release,
    resume,
    wait_outside,
)
from storage.casework.submitting import NewRequest, Recorded, submit
from storage.casework.timer_acts import close_silent, escalate
from storage.casework.writing import search_text
from storage.house import House, Who

__all__ = [
    "Case",
    "Decided",
    "House",
    "JustReminded",
    "NewRequest",
    "NoSuchProposal",
    "NoSuchRequest",
    "OpenProposal",
    "Recorded",
    "Who",
    "accept",
    "add",
    "answer",
    "answers_given",
    "cancel",
    "candidates",
    "clarified",
    "clarify",
    "close",
    "close_silent",
    "confirm",
    "correct",
    "decide",
    "decline",
    "done",
    "edited",
    "escalate",
    "facts_of",
    "form_context",
    "has_proposal",
    "is_yes_or_no",
    "left_as_it_was",
    "move_deadline",
    "note",
    "open_case",
    "open_proposals",
    "pass_on",
    "people_for_call",
    "pick_up_unassigned",
    "propose",
    "rate",
    "reassign",
    "release",
    "remind",
    "reopen",
    "request_of_proposal",
    "resume",
    "search_text",
    "staff_name",
    "submit",
    "wait_outside",
]
