"""What is said about the copies of the data: to the administrator each day, to the director in trouble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from forms.messages import Reply
from forms.texts import Size, Text, _, lines, sentence


class CopyTrouble(StrEnum):
    """What can go wrong with a copy."""

    MISSING = "missing"
    """There has been no whole copy for too long."""
    NO_ROOM = "no_room"
    NOT_WRITTEN = "not_written"
    DAMAGED = "damaged"
    """The trial restore found something."""
    NOT_CARRIED = "not_carried"
    """The second place did not take it."""
    DAMAGED_THERE = "damaged_there"
    """The second place gave back something else."""
    VANISHED = "vanished"
    """A copy that was made on an earlier night is not there any more, and nobody thinned it."""
    DAMAGED_LATER = "damaged_later"
    """A copy that was whole on its own night is not now."""
    BROKEN_OFF = "broken_off"
    """The program or the machine stopped meanwhile; the copy is made again."""


WORDS: Mapping[CopyTrouble, Text] = MappingProxyType(
    {
        CopyTrouble.MISSING: _("Целой копии нет больше полутора суток."),
        CopyTrouble.NO_ROOM: _("На диске не хватило места для копии. Освободите место."),
        CopyTrouble.NOT_WRITTEN: _("Копию не удалось сделать."),
        CopyTrouble.DAMAGED: _("Пробное восстановление нашло ошибку: на эту копию нельзя положиться."),
        CopyTrouble.NOT_CARRIED: _("Копия не ушла во второе место и лежит только на этой машине."),
        CopyTrouble.DAMAGED_THERE: _("Во втором месте копия легла с ошибкой; здесь она цела."),
        CopyTrouble.VANISHED: _("Пропала копия, сделанная раньше. Узнайте, кто её удалил."),
        CopyTrouble.DAMAGED_LATER: _(
            "Копия, сделанная раньше, испортилась. Проверьте диск, на котором она лежит."
        ),
        CopyTrouble.BROKEN_OFF: _("Копию прервала остановка программы; её сделаем заново."),
    }
)


def copy_alarm(troubles: Sequence[CopyTrouble], last_whole: datetime | None) -> Reply:
    """Something is wrong with the copies; `last_whole` is local."""
    last = (
        _("Последняя целая копия: {time}.", time=f"{last_whole:%d.%m.%Y %H:%M}")
        if last_whole
        else _("Целой копии пока нет ни одной.")
    )
    return Reply(
        lines(
            _("Резервные копии: нужна помощь."),
            *(WORDS[trouble] for trouble in troubles),
            last,
            _("Подробности в панели, раздел «Копии»."),
        )
    )


def copy_whole(requests: int, files: int, size_bytes: int, *, second: bool) -> Reply:
    """Last night's copy is proved."""
    return Reply(
        sentence(
            _(
                "Копия за ночь цела, мы её пробно восстановили. Заявок: {requests}, файлов: {files}, "
                "размер: {size}.",
                requests=requests,
                files=files,
                size=Size(size_bytes),
            ),
            _("Во втором месте лежит такая же.") if second else None,
        )
    )
