"""A list of the panel as a file: the filters in force, all rows, and a line in the history."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
_MEDIA = {**sheets.MEDIA, "html": "text/html"}


def asked_for() -> str:
    """The kind of file that is asked for; empty for the page itself."""
    return asked.one_of("format", sheets.MEDIA)


def export(
    kind: str, name: str, headings: Iterable[Text], rows_of: Callable[[Session], Iterable[Row]]
) -> Response:
    """Answer with the list as a file. It is written to the disk first, so that it comes whole or not at all.

    `name` is Latin, for the file's name and the history.
    """
    with new_file() as out:
        counted = _Counted()
        with doors().database.read() as session:
            titles = [say(heading) for heading in headings]
            sheets.WRITERS[kind](titles, counted.limited(rows_of(session)), out.file)
        _note(name, kind, counted.rows)
        return out.sent(sheets.MEDIA[kind], f"priem-{name}-{stamp()}.{kind}")


def given_out(kind: str, name: str, content: bytes, rows: int) -> Response:
    """Answer with a file that is made already, and write it down in the history."""
    _note(name, kind, rows)
    file, called = io.BytesIO(content), f"priem-{name}-{stamp()}.{kind}"
    return send_file(file, mimetype=_MEDIA[kind], as_attachment=True, download_name=called)


@dataclass(slots=True)
class NewFile:
    """A file on the disk that nobody else sees, written for one answer."""

    file: BinaryIO
    is_sent: bool = False

    def sent(self, media_type: str, name: str) -> Response:
        """Answer with it; it is closed when the last of it has gone out."""
        self.file.seek(0)
        answer = send_file(self.file, mimetype=media_type, as_attachment=True, download_name=name)
        self.is_sent = True
        return answer


@contextmanager
def new_file() -> Iterator[NewFile]:
    """A file to be written and sent; one that was not sent is gone."""
    made = NewFile(cast("BinaryIO", tempfile.TemporaryFile()))  # noqa: SIM115 - the answer closes it
    try:
        yield made
    finally:
        if not made.is_sent:
            made.file.close()


def stamp() -> str:
    """Now, as a part of a file's name."""
    return f"{doors().now().astimezone(doors().house.calendar.zone):%Y-%m-%d-%H%M}"


def _note(name: str, kind: str, rows: int) -> None:
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
            after={"rows": rows, "format": kind, "filter": _filter()},
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
