"""The menu: the sections in a few groups, so that it stays one line.

What somebody may not open is not there, a group of one is a plain link, an empty group is nothing. A
section that no group names stands under «Ещё»: forgetting it here hides it from nobody.
"""

from __future__ import annotations

from dataclasses import dataclass

from flask import Flask, request
from flask_admin import BaseView
from flask_admin.menu import MenuView
from flask_babel import lazy_gettext as _l


@dataclass(frozen=True, slots=True)
class Entry:
    """A link of the menu."""

    name: str
    url: str
    current: str
    """The value of `aria-current`: "page", "true" on a page below it, or empty."""


@dataclass(frozen=True, slots=True)
class Group:
    """Links behind one word."""

    name: str
    entries: tuple[Entry, ...]

    @property
    def current(self) -> str:
        """Whether the page that is open lies in here."""
        return "true" if any(entry.current for entry in self.entries) else ""


_REQUESTS, _MORE = _l("Заявки"), _l("Ещё")

# The order of the menu: a group's word, and the endpoints of its sections; no word, and each is a link.
_ORDER = (
    ("", ("admin",)),
    (_REQUESTS, ("requests", "board", "calendar", "unassigned", "calls", "recording")),
    ("", ("times", "clients", "colleagues")),
    (_MORE, ("messengers", "copies", "history", "settings")),
)
_IN_GROUPS = {"requests": _l("Список")}
"""What a section is called inside the group that has its name."""
_BELOW = {
    "timeline": "calendar",
    "my_calendar": "calendar",
    "coverage": "clients",
    "erasure": "clients",
    "consents": "clients",
    "access": "colleagues",
    "texts": "settings",
    "replies": "settings",
    "routing": "settings",
}
"""Sections that the menu does not name, and where they are reached from."""


def menu(view: BaseView) -> tuple[Entry | Group, ...]:
    """The menu of whoever is signed in, on a page of this view."""
    here = _BELOW.get(view.endpoint, view.endpoint)
    items = {item._view.endpoint: item for item in view.admin.menu() if _is_open(item)}
    parts: list[Entry | Group] = []
    for word, endpoints in _ORDER:
        names = [name for name in endpoints if name in items]
        if word is _MORE:
            names += [name for name in items if not any(name in known for _word, known in _ORDER)]
        if word and len(names) > 1:
            renamed = ((name, _IN_GROUPS.get(name)) for name in names)
            entries = tuple(_entry(items[name], here, inner) for name, inner in renamed)
            parts.append(Group(str(word), entries))
        else:
            parts += [_entry(items[name], here) for name in names]
    return tuple(parts)


def _is_open(item: MenuView) -> bool:
    return bool(item.is_accessible() and item.is_visible())


def _entry(item: MenuView, here: str, name: object = None) -> Entry:
    url, current = item.get_url(), ""
    if item._view.endpoint == here:
        current = "page" if request.path == url else "true"
    return Entry(str(name or item.name), url, current)


def install(app: Flask) -> None:
    """Make it known to the templates."""
    app.jinja_env.globals["menu"] = menu
