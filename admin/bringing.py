"""An invitation as it is shown, sent and printed: the links of every messenger, their pictures, the words."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import segno
from markupsafe import Markup

from admin.doors import doors
from admin.shown import on_day, say
from admin.tables import Cell, Column, Table
from forms.texts import _, lines, plain
from storage.coverage import Brought
from storage.house import WayIn

QR_BORDER = 4
"""White modules around the picture; with fewer some telephones do not see it."""


@dataclass(frozen=True, slots=True)
class Way:
    """One messenger of an invitation. Without a link there is no picture: the command is sent by hand."""

    title: str
    link: str
    picture: Markup | None


@dataclass(frozen=True, slots=True)
class Shown:
    """An invitation on a page."""

    brought: Brought
    ways: tuple[Way, ...]
    words: str
    """What is sent to the client."""

    @property
    def name(self) -> str:
        """Whom it is for, in a line."""
        return ", ".join(self.brought.companies)

    @property
    def mailto(self) -> str:
        """Opens the letter in the mail program; empty without an address."""
        if not self.brought.email:
            return ""
        subject = say(_("Заявки в {firm}: теперь в мессенджере", firm=plain(doors().house.firm_name)))
        return f"mailto:{quote(self.brought.email)}?subject={quote(subject)}&body={quote(self.words)}"


def ways() -> Sequence[WayIn]:
    """The messengers that clients may come by."""
    return tuple(doors().house.ways_in())


def shown(brought: Brought, pictured: Collection[str] | None = None) -> Shown:
    """Make an invitation ready; pictures are drawn for the `pictured` messengers, else for all."""
    with_code = [way.with_code(brought.code) for way in ways()]
    drawn = tuple(
        Way(way.title, way.link, qr_code(way.link) if way.link and _wanted(way.title, pictured) else None)
        for way in with_code
    )
    return Shown(brought, drawn, _words(brought, with_code))


def _wanted(title: str, pictured: Collection[str] | None) -> bool:
    return pictured is None or title in pictured


def qr_code(link: str) -> Markup:
    """The picture that a telephone's camera reads, as inline SVG: no other host sees the code."""
    drawn = segno.make(link, error="l", micro=False).svg_inline(
        border=QR_BORDER, dark="#000000", light="#ffffff", svgclass="qr", lineclass=None, omitsize=True
    )
    return Markup(drawn)  # noqa: S704 - drawn by segno from numbers; holds nothing that anybody typed


def _words(brought: Brought, with_code: Sequence[WayIn]) -> str:
    by_link = [_("{messenger}: {link}", messenger=way.title, link=way.link) for way in with_code if way.link]
    by_hand = [
        _("{messenger}: напишите нам «/start {code}»", messenger=way.title, code=brought.code)
        for way in with_code
        if not way.link
    ]
    return say(
        lines(
            _("Здравствуйте! {firm} принимает заявки в мессенджере.", firm=plain(doors().house.firm_name)),
            _("Откройте ссылку в том, которым пользуетесь, и мы вас узнаем:"),
            *by_link,
            *by_hand,
            _(
                "Ссылка личная и действует один раз, до {day}. Другим сотрудникам пришлём их собственные.",
                day=on_day(brought.expires_at),
            ),
        )
    )


def table_of(invitations: Sequence[Brought]) -> Table:
    """The links for a spreadsheet, a column for each messenger."""
    offered = [way for way in ways() if way.link]
    texts = (
        say(_("Клиент")), say(_("Кому")), say(_("Телефон")), say(_("Почта")),
        *(way.title for way in offered), say(_("Код")), say(_("Действует до")),
    )  # fmt: skip
    rows = tuple(
        tuple(
            Cell(value)
            for value in (
                ", ".join(one.companies), one.contact, one.phone, one.email,
                *(way.with_code(one.code).link for way in offered),
                f"/start {one.code}", on_day(one.expires_at),
            )
        )
        for one in invitations
    )  # fmt: skip
    return Table(say(_("Приглашения")), tuple(Column(text) for text in texts), rows)
