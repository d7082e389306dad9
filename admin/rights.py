"""Who may see and change what in the panel. Pure: no request, no database.

A section that a role may not see answers 403; somebody else's request answers 404, so that nobody
learns which numbers exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from router.board import Step
from router.model import Role


class Area(StrEnum):
    """A section of the panel."""

    START = "start"
    REQUESTS = "requests"
    RECORDING = "recording"
    UNASSIGNED = "unassigned"
    TIMES = "times"
    CLIENTS = "clients"
    COVERAGE = "coverage"
    STAFF = "staff"
    MESSENGERS = "messengers"
    COPIES = "copies"
    HISTORY = "history"
    CALLS = "calls"
    PROFILE = "profile"
    SETTINGS = "settings"
    ERASURE = "erasure"
    CONSENTS = "consents"


class Deed(StrEnum):
    """What can be done to a request from its page."""

    ACCEPT = "accept"
    DECLINE = "decline"
    ANSWER = "answer"
    CLARIFY = "clarify"
    NOTE = "note"
    OUTSIDE = "outside"
    RESUME = "resume"
    DONE = "done"
    REOPEN = "reopen"
    HAND_ON = "hand_on"
    REASSIGN = "reassign"
    CANCEL = "cancel"
    CONFIRM = "confirm"
    AGREE = "agree"
    """To what the client proposes by editing a message."""
    KEEP = "keep"
    DEADLINE = "deadline"
    CLOSE = "close"


_ALL = frozenset(Area) - {Area.ERASURE}
_OWN = frozenset({Area.START, Area.RECORDING, Area.REQUESTS, Area.CALLS})

_SEES: Mapping[Role, frozenset[Area]] = MappingProxyType(
    {
        Role.DIRECTOR: _ALL | {Area.ERASURE},
        Role.DEPUTY: _ALL,
        Role.CONTROLLER: _ALL - {Area.SETTINGS, Area.CONSENTS},
        Role.ADMIN: frozenset(
            {
                Area.START,
                Area.CALLS,
                Area.CLIENTS,
                Area.COVERAGE,
                Area.STAFF,
                Area.MESSENGERS,
                Area.COPIES,
                Area.HISTORY,
                Area.SETTINGS,
                Area.ERASURE,
                Area.CONSENTS,
            }
        ),
        Role.ACCOUNTANT: _OWN,
        Role.LAWYER: _OWN,
    }
)

_CHANGES: Mapping[Role, frozenset[Area]] = MappingProxyType(
    {
        Role.DIRECTOR: frozenset(
            {
                Area.RECORDING,
                Area.REQUESTS,
                Area.UNASSIGNED,
                Area.TIMES,
                Area.CLIENTS,
                Area.COVERAGE,
                Area.STAFF,
                Area.SETTINGS,
                Area.ERASURE,
                Area.CONSENTS,
                Area.COPIES,
            }
        ),
        Role.DEPUTY: frozenset(
            {
                Area.RECORDING,
                Area.REQUESTS,
                Area.UNASSIGNED,
                Area.CLIENTS,
                Area.COVERAGE,
                Area.STAFF,
                Area.SETTINGS,
                Area.CONSENTS,
            }
        ),
        Role.CONTROLLER: frozenset({Area.RECORDING}),
        Role.ADMIN: frozenset(
            {Area.CLIENTS, Area.COVERAGE, Area.STAFF, Area.ERASURE, Area.CONSENTS, Area.COPIES}
        ),
        Role.ACCOUNTANT: frozenset({Area.RECORDING, Area.REQUESTS}),
        Role.LAWYER: frozenset({Area.RECORDING, Area.REQUESTS}),
    }
)

_OF_ALL_CLIENTS = frozenset({Area.UNASSIGNED, Area.TIMES, Area.HISTORY, Area.COVERAGE})
"""Sections that add up or tell about everybody's requests together."""

_EVERYBODY_CHANGES = frozenset({Area.CALLS, Area.PROFILE})
"""Whoever gets through on the telephone may say so; the own profile is everybody's own."""

_DIRECTS = frozenset(
    {
        Deed.CONFIRM, Deed.ANSWER, Deed.CLARIFY, Deed.NOTE, Deed.OUTSIDE, Deed.RESUME, Deed.REASSIGN,
        Deed.DEADLINE, Deed.DONE, Deed.CLOSE, Deed.REOPEN, Deed.CANCEL,
    }
)  # fmt: skip
_WORKS = frozenset(
    {
        Deed.CONFIRM, Deed.ACCEPT, Deed.DECLINE, Deed.ANSWER, Deed.CLARIFY, Deed.NOTE, Deed.OUTSIDE,
        Deed.RESUME, Deed.HAND_ON, Deed.DEADLINE, Deed.DONE,
    }
)  # fmt: skip

MOVES: Mapping[Step, Deed] = MappingProxyType(
    {
        Step.GIVE: Deed.REASSIGN,
        Step.HAND_ON: Deed.HAND_ON,
        Step.TAKE_BACK: Deed.REASSIGN,
        Step.DECLINE: Deed.DECLINE,
        Step.ACCEPT: Deed.ACCEPT,
        Step.ASK: Deed.CLARIFY,
        Step.FINISH: Deed.DONE,
        Step.REOPEN: Deed.REOPEN,
    }
)
"""The deed that moving a card on the board is: the board and the page offer the same."""

_DECIDES = frozenset({Deed.AGREE, Deed.KEEP})

_HIGH = frozenset({Role.DIRECTOR, Role.ADMIN})


def may_see(role: Role, area: Area, *, narrowed: bool = False) -> bool:
    """Whether this role may open the section; `narrowed` to some clients, only what can be shown of those."""
    if narrowed and area in _OF_ALL_CLIENTS:
        return False
    return area is Area.PROFILE or area in _SEES[role]


def may_change(role: Role, area: Area) -> bool:
    """Whether this role may change anything in the section."""
    return area in _CHANGES[role] | _EVERYBODY_CHANGES


def deeds(role: Role, *, is_nobodys: bool = False) -> frozenset[Deed]:
    """What this role may do to a request it sees; whoever directs may also take what is nobody's."""
    if role.directs:
        return _DIRECTS | _DECIDES | ({Deed.ACCEPT} if is_nobodys else frozenset())
    return _WORKS | _DECIDES if role.takes_requests else frozenset()


def may_manage(role: Role, other: Role) -> bool:
    """Whether this role may change the card of, or invite, somebody of the other role.

    A deputy may not touch a director's or an administrator's card: whoever can send a new invitation
    for it can sign in with it.
    """
    return role in _HIGH or (role is Role.DEPUTY and other not in _HIGH)


def may_unlock(role: Role) -> bool:
    """Whether this role may end others' sessions and take away a second factor whose telephone is lost."""
    return role in _HIGH


def must_have_factor(role: Role) -> bool:
    """Whether this role signs in with a second factor where the firm demands one."""
    return role in _HIGH


def sees_contents(role: Role) -> bool:
    """Whether this role may read what clients wrote; the administrator keeps the machine running."""
    return role is not Role.ADMIN


def may_order_archive(role: Role) -> bool:
    """Whether this role may order the history to be archived."""
    return role is Role.DIRECTOR


def may_archive(role: Role) -> bool:
    """Whether this role may carry such an order out."""
    return role is Role.ADMIN
