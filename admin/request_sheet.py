"""A request as a row of a file: the same columns under every list of requests."""

from __future__ import annotations

from admin import exporting
from admin.doors import doors
from admin.shown import label
from forms.texts import _
from storage.reading import RequestRow
from storage.sheets import Row

HEADINGS = (
    _("№"), _("Состояние"), _("Этап"), _("Клиент"), _("ИНН"), _("Вид работ"), _("Что сделать"),
    _("Исполнитель"), _("Срок"), _("Просрочена"), _("Подана"), _("Откуда"), _("Клиент ждёт ответа с"),
    _("Со слов"),
)  # fmt: skip


def as_row(row: RequestRow, task: str) -> Row:
    """A request in a file, under `HEADINGS`."""
    return (
        row.number, label(row.status, "status"), label(row.stage, "stage"), row.company, row.inn,
        label(row.kind, "kind"), task, row.assignee, exporting.moment(row.deadline),
        exporting.yes(row.overdue(doors().now())), exporting.moment(row.submitted_at),
        label(row.channel, "channel"), exporting.moment(row.unanswered_since),
        exporting.yes(row.unconfirmed),
    )  # fmt: skip
