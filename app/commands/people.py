"""`priem invite`: who is let in."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from app.commands.shared import PLAIN, CommandError, Config, database_of, settings_of

if TYPE_CHECKING:
    from app.settings import Settings
    from storage.invitations import Invited

LINK_TIMEOUT_SECONDS = 5.0

commands = typer.Typer(**PLAIN)


class Invitee(StrEnum):
    """Whom `priem invite` lets in."""

    ACCOUNTANT = "accountant"
    LAWYER = "lawyer"
    CONTROLLER = "controller"
    DEPUTY = "deputy"
    DIRECTOR = "director"
    ADMIN = "admin"
    CLIENT = "client"


@commands.command()
def invite(
    role: Annotated[Invitee, typer.Argument(help="Who it is.", show_default=False)],
    name: Annotated[str, typer.Option(help="Name and surname of a member of staff.")] = "",
    email: Annotated[str, typer.Option(help="E-mail: the login of the panel.")] = "",
    inn: Annotated[str, typer.Option(help="The INN of the client, for `invite client`.")] = "",
    department: Annotated[str, typer.Option(help="finance or legal; left out: by the role.")] = "",
    skill: Annotated[
        list[str] | None, typer.Option(help="What the person can do; repeat it for several.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=365, help="For how many days the code is good.")] = 7,
    config: Config = None,
) -> None:
    """Print a one-time code and the links that let a person in."""
    from app.clock import now
    from router.model import Role
    from storage.invitations import invite_client, invite_staff

    settings = settings_of(config)
    if role is Invitee.CLIENT:
        wanted_inn = _checked_inn(inn, settings)
        with database_of(settings, may_create=True) as database, database.begin() as session:
            invited = invite_client(session, wanted_inn, now(), valid_days=days)
    else:
        _refuse_nameless(role, name, department)
        with database_of(settings, may_create=True) as database, database.begin() as session:
            invited = invite_staff(
                session, Role(role.value), name, email, now(), valid_days=days,
                department=department or None, skills=skill or None,
            )  # fmt: skip
    for line in _invitation_lines(settings, invited):
        typer.echo(line)


def _checked_inn(inn: str, settings: Settings) -> str:
    from forms.answers import AnswerError
    from forms.inn import parse_inn
    from notifications.texts import Catalogue

    if not inn:
        raise CommandError("Say which client it is: --inn followed by 10 or 12 digits.")
    try:
        return parse_inn(inn)
    except AnswerError as error:
        raise CommandError(Catalogue.open(settings.firm.language).say(error.text)) from error


def _refuse_nameless(role: Invitee, name: str, department: str) -> None:
    from forms.kinds import FINANCE, LEGAL

    if not name.strip():
        raise CommandError(f'Say who the {role.value} is: --name "Анна Петрова".')
    if department and department not in (FINANCE, LEGAL):
        raise CommandError(f"--department is {FINANCE} or {LEGAL}, not «{department}».")


def _invitation_lines(settings: Settings, invited: Invited) -> Iterator[str]:
    from app.service import ways_in
    from notifications.texts import Catalogue

    code, public_url = invited.chat_code, settings.server.public_url
    yield f"code: {code}"
    if invited.panel_code:
        yield f"panel: {public_url}/panel/invitation/{invited.panel_code}"
    say = Catalogue.open(settings.firm.language).say
    profile = "/staff" if invited.panel_code else ""
    ways = ways_in(settings, say, _links_of_messengers(settings), profile)
    for name, way in ways.items():
        link = way.with_code(code).link
        yield f"{name}: {link}" if link else f"{name}: send «/start {code}» to the bot"


def _links_of_messengers(settings: Settings) -> dict[str, str]:
    """Where each messenger that answers says that its chat is opened."""
    from app.checks import ask_messengers
    from app.loop import run_in_loop

    answers = run_in_loop(lambda: ask_messengers(settings, LINK_TIMEOUT_SECONDS))
    return {name: health.link for name, health in answers.items()}
