"""A list of the panel as a file: the filters in force, all rows, and a line in the history."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import BinaryIO, cast

from flask import request, send_file
from sqlmodel import Session
from werkzeug.wrappers import Response

from admin import asked
from admin.auth import act
from admin.doors import doors
from admin.shown import say
from forms.texts import Text, _
from storage import history, sheets
from storage.sheets import Cell, Row

MOST_ROWS = 100_000
_MAX_FILTER = 300


def asked_for() -> str:
    """The kind of file that is asked for; empty for the page itself."""
    return asked.one_of("format", sheets.MEDIA)


def export(
    kind: str, name: str, headings: Iterable[Text], rows_of: Callable[[Session], Iterable[Row]]
) -> Response:
    """Answer with the list as a file. It is written to the disk first, so that it comes whole or not at all.

    `name` is Latin, for the file's name and the history.
    """
    out = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 - it is closed when it has been sent
    counted = _Counted()
    with doors().database.read() as session:
        sheets.WRITERS[kind]([say(heading) for heading in headings], counted.limited(rows_of(session)), out)
    doing = act()
    with doors().database.begin() as session:
        history.record(
            session,
            at=doing.now,
            actor_id=doing.who.person_id,
            through=doing.who.through,
            action="exported",
            subject=f"list:{name}",
            before=None,
            after={"rows": counted.rows, "format": kind, "filter": _filter()},
        )
    out.seek(0)
    stamp = doing.now.astimezone(doors().house.calendar.zone)
    return send_file(
        out,
        mimetype=sheets.MEDIA[kind],
        as_attachment=True,
        download_name=f"priem-{name}-{stamp:%Y-%m-%d-%H%M}.{kind}",
    )


def moment(at: datetime | None) -> str:
    """A moment in the firm's zone, with the zone: «2026-11-25 11:00+03:00»."""
    return "" if at is None else at.astimezone(doors().house.calendar.zone).isoformat(" ", "minutes")


def yes(is_so: bool) -> Cell:
    """«да» or nothing."""
    return say(_("да")) if is_so else ""


def _filter() -> str:
    wanted = {name: value for name, value in request.args.items() if value and name != "format"}
    return "; ".join(f"{name}={value}" for name, value in sorted(wanted.items()))[:_MAX_FILTER]


class _Counted:
    """Counts the rows on their way into the file and stops after the last that fits."""

    rows = 0

    def limited(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            if self.rows == MOST_ROWS:
                yield [
                    say(
                        _(
                            "Здесь первые {count} строк. Сузьте отбор, чтобы увидеть остальные.",
                            count=MOST_ROWS,
                        )
                    )
                ]
                return
            self.rows += 1
            yield row
