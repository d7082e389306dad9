"""What is said after a time without us: to the client who wrote meanwhile, and to those who answer for it."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from forms.messages import Reply
from forms.texts import Text, _, lines, n_


def moment(at: datetime, now: datetime, zone: ZoneInfo) -> str:
    """The time of a day, with the day unless it is today's."""
    local = at.astimezone(zone)
    return f"{local:%H:%M}" if local.date() == now.astimezone(zone).date() else f"{local:%d.%m %H:%M}"


def received_late(said_at: str, since: str, until: str) -> Text:
    """For the client whose message waited; all three as `moment` writes them."""
    return _(
        "Получили ваше сообщение от {said}. С {since} до {until} мы были без связи, теперь всё на месте.",
        said=said_at,
        since=since,
        until=until,
    )


def press_again(since: str, until: str) -> Text:
    """For the client whose press may have been lost; the question follows."""
    return _(
        "С {since} до {until} мы были без связи. Если вы нажимали кнопку, ответ мог потеряться: "
        "ответьте, пожалуйста, ещё раз.",
        since=since,
        until=until,
    )


def service_was_down(since: str, until: str, minutes: int) -> Reply:
    """The alarm when the program itself did not run."""
    return Reply(
        lines(
            n_(
                "Программа не работала {count} минуту: с {since} до {until}.",
                "Программа не работала {count} минут: с {since} до {until}.",
                minutes, since=since, until=until,
            ),
            _("То, что клиенты писали в это время, разбираем по порядку, каждому об этом скажем."),
            _("Отчего так вышло, пусть посмотрит администратор."),
        )
    )  # fmt: skip


def messenger_is_back(messenger: str, since: str, until: str, minutes: int) -> Reply:
    """The end of the alarm about a messenger."""
    return Reply(
        lines(
            n_(
                "{messenger} снова на связи. Без него прошла {count} минута: с {since} до {until}.",
                "{messenger} снова на связи. Без него прошло {count} минут: с {since} до {until}.",
                minutes, messenger=messenger, since=since, until=until,
            ),
            _("То, что клиенты писали в это время, разбираем по порядку."),
        )
    )  # fmt: skip


def maintenance_notice(until: str, reason: str) -> Text:
    """For a client who writes while the program is being updated; `reason` is the operator's."""
    if reason:
        return _("До {until} {reason}: заявки принимаем, ответим позже.", until=until, reason=reason)
    return _("До {until} обновляем программу: заявки принимаем, ответим позже.", until=until)


def announced_to_staff(until: str, reason: str) -> Text:
    """The same for staff, on every page of the panel."""
    if reason:
        return _(
            "Объявлено до {until}: {reason}. Заявки принимаются, клиенты предупреждены.",
            until=until,
            reason=reason,
        )
    return _("До {until} обновляем программу. Заявки принимаются, клиенты предупреждены.", until=until)
