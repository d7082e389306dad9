"""The command line. A user's mistake ends in one sentence on stderr and the exit code 1.

Everything a command needs is imported inside it: `priem --help` must not wait for the messengers.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, TypeVar

import typer

if TYPE_CHECKING:
    from app.settings import Settings
    from storage.backup import Key
    from storage.engine import Database
    from storage.invitations import Invited

Result = TypeVar("Result")

_PLAIN: dict[str, Any] = {
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "add_completion": False,
}

app = typer.Typer(
    help="Priem: the intake of client requests in the messengers clients already use.", **_PLAIN
)
importing = typer.Typer(help="Bring data in from a file.", **_PLAIN)
exporting = typer.Typer(help="Give data out for other programs.", **_PLAIN)
app.add_typer(importing, name="import")
app.add_typer(exporting, name="export")

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="The configuration file; left out: PRIEM_CONFIG, else ./config.toml.",
        show_default=False,
    ),
]

HEALTH_TIMEOUT_SECONDS = 20.0
LINK_TIMEOUT_SECONDS = 5.0
OTHER_PROCESS_ENDS_SECONDS = 60.0
"""How long a start waits for another process on the same SQLite file to end, as at an update."""
YEARS = range(2000, 2101)
"""Of the days that an option may name; others are slips, and their midnights may not exist."""


class Invitee(StrEnum):
    """Whom `priem invite` lets in."""

    ACCOUNTANT = "accountant"
    LAWYER = "lawyer"
    CONTROLLER = "controller"
    DEPUTY = "deputy"
    DIRECTOR = "director"
    ADMIN = "admin"
    CLIENT = "client"


class ExportFormat(StrEnum):
    """How `priem export` writes."""

    JSON = "json"
    CSV = "csv"
    XLSX = "xlsx"


class CommandError(Exception):
    """The command cannot do it; the text is one sentence that says what to do."""


@app.command()
def demo(
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port of everything.")] = 8080,
    data: Annotated[
        Path | None, typer.Option(help="Where the demo keeps its data.", show_default=False)
    ] = None,
) -> None:
    """Start everything on SQLite without any token: web chats, the panel, a few clients and requests."""
    from app.demo import run_demo

    run_demo(port, data)


@app.command()
def run(config: Config = None) -> None:
    """Start the service: every configured messenger, deliveries, timers and the panel in one process."""
    import structlog

    from app import logs
    from app.loop import run_in_loop
    from app.server import listening
    from app.service import run_service
    from storage.migrate import migrate as bring_up_to_date
    from storage.ownership import sole_process
    from storage.troubles import refuse_damaged

    settings = _settings(config)
    logs.configure(as_json=not sys.stderr.isatty(), secrets=settings.secrets())
    with (
        listening(settings.server.host, settings.server.port) as port,
        sole_process(settings.storage.url, OTHER_PROCESS_ENDS_SECONDS, _told_to_wait),
    ):
        refuse_damaged(settings.storage.url)
        if (copy := _copy_before_migrating(settings)) is not None:
            structlog.get_logger(__name__).info("copied before the migration", file=str(copy))
        bring_up_to_date(settings.storage.url)
        run_in_loop(lambda: run_service(settings, port))


def _told_to_wait() -> None:
    typer.echo("Another priem works on this database: waiting a minute for it to end.", err=True)


@app.command()
def check(config: Config = None) -> None:
    """Say in words what is wrong in the configuration and which messenger answers."""
    from app.checks import inspect_settings
    from app.loop import run_in_loop

    settings = _settings(config)
    findings = run_in_loop(lambda: inspect_settings(settings, HEALTH_TIMEOUT_SECONDS))
    for finding in findings:
        typer.echo(finding.line())
    if any(finding.is_wrong for finding in findings):
        raise typer.Exit(1)


@app.command()
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

    settings = _settings(config)
    if role is Invitee.CLIENT:
        wanted_inn = _checked_inn(inn, settings)
        with _database(settings, may_create=True) as database, database.begin() as session:
            invited = invite_client(session, wanted_inn, now(), valid_days=days)
    else:
        _refuse_nameless(role, name, department)
        with _database(settings, may_create=True) as database, database.begin() as session:
            invited = invite_staff(
                session, Role(role.value), name, email, now(), valid_days=days,
                department=department or None, skills=skill or None,
            )  # fmt: skip
    for line in _invitation_lines(settings, invited):
        typer.echo(line)


@importing.command("clients")
def import_clients(
    file: Annotated[Path, typer.Argument(help="CSV or XLSX: name, INN, kind, responsible, phone, e-mail.")],
    skip_refused: Annotated[
        bool, typer.Option("--skip-refused", help="Import the good lines although others are refused.")
    ] = False,
    config: Config = None,
) -> None:
    """Add clients from a table and update those whose INN is known."""
    from app.clock import now
    from notifications.texts import Catalogue
    from storage import imports

    settings = _settings(config)
    say = Catalogue.open(settings.firm.language).say
    try:
        lines = imports.read_clients(file)
    except imports.FileUnreadable as error:
        raise CommandError(f"{file}: {say(error.text)}") from error
    with _database(settings, may_create=True) as database, database.begin() as session:
        done = imports.import_clients(session, lines, now(), skip_refused=skip_refused)
    for line in done.refused:
        if (verdict := line.verdict()) is not None:
            typer.echo(say(verdict), err=True)
    if not done.stored:
        raise CommandError(
            f"Nothing was imported: {len(done.refused)} of {len(lines)} lines are refused; correct them, or "
            "repeat with --skip-refused."
        )
    typer.echo(
        f"Added {done.added}, updated {done.updated}, unchanged {done.unchanged}, "
        f"refused {len(done.refused)}."
    )


@exporting.command("requests")
def export_requests(
    shape: Annotated[ExportFormat, typer.Option("--format", help="How to write.")] = ExportFormat.JSON,
    since: Annotated[str, typer.Option(help="First day of submission, like 2026-11-01.")] = "",
    until: Annotated[str, typer.Option(help="Last day of submission, like 2026-11-30.")] = "",
    out: Annotated[
        Path | None, typer.Option(help="The file to write; left out: stdout.", show_default=False)
    ] = None,
    config: Config = None,
) -> None:
    """Write requests as JSON (one array), CSV or XLSX."""
    from app.clock import now
    from storage.exports import WRITERS, requests_for_export

    settings = _settings(config)
    first, last = _day("--since", since), _day("--until", until)
    if first and last and first > last:
        raise CommandError(f"--since {first} is later than --until {last}: swap them.")
    if out is None and shape is ExportFormat.XLSX and sys.stdout.isatty():
        raise CommandError("A workbook cannot be shown in a terminal: name a file with --out.")
    with _database(settings) as database, database.read() as session, _output(out) as stream:
        found = requests_for_export(session, settings.firm.calendar(), now(), first, last)
        WRITERS[shape.value](found, stream)


@exporting.command("person")
def export_person(
    number: Annotated[
        int, typer.Option("--id", help="The person's number, as in `person:17` of the history.")
    ],
    out: Annotated[Path, typer.Option(help="The ZIP to write, for nobody else of this machine to read.")],
    config: Config = None,
) -> None:
    """Write everything that is kept about a person of a client, to be given to them."""
    from app.clock import now
    from app.service import house_of
    from bots.base import MAX_FILE_BYTES
    from notifications.texts import Catalogue
    from storage import firm_settings, person_export
    from storage.house import Who
    from storage.private import private_file
    from storage.roster import NoSuchCard

    settings, made_at = _settings(config), now()
    filed = house_of(settings, Catalogue.open(settings.firm.language))
    store = settings.storage.open_files(MAX_FILE_BYTES)
    with _database(settings) as database:
        try:
            with private_file(out) as stream, database.read() as session:
                house = firm_settings.house_with(filed, firm_settings.read_settled(session))
                given = person_export.write(session, store, house, number, made_at, stream)
        except NoSuchCard:
            raise CommandError(
                f"No person of a client has the number {number}, or they were erased."
            ) from None
        with database.begin() as session:
            person_export.note_given(session, Who("command"), number, given, made_at)
    missing = f", {given.missing} files are gone or infected" if given.missing else ""
    typer.echo(f"{out} is written: {given.rows} rows, {given.files} files{missing}; it holds personal data.")


Recipient = Annotated[
    str, typer.Option(help="age's public key (age1…) to lock the copy for; left out: a passphrase.")
]
Identity = Annotated[
    Path | None,
    typer.Option(help="The file with age's identity, for a copy locked by --recipient.", show_default=False),
]


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="Where the copy goes; an older one of this name is replaced.")],
    recipient: Recipient = "",
    config: Config = None,
) -> None:
    """Copy the database and the files, locked, while the service runs."""
    from app.clock import now
    from bots.base import MAX_FILE_BYTES
    from storage.backup import write_copy

    settings = _settings(config)
    key = _backup_key(settings, recipient=recipient)
    files = settings.storage.open_files(MAX_FILE_BYTES)
    manifest = write_copy(settings.storage.url, files, file, key, now())
    typer.echo(_told_of(manifest.rows, manifest.files, manifest.made_at))


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="The copy.")],
    identity: Identity = None,
    config: Config = None,
) -> None:
    """Restore a copy into a temporary place and look whether the firm could go on from there."""
    from storage.backup import verify as tried

    verdict = tried(file, _backup_key(_settings(config), identity=identity))
    if verdict.manifest is not None:
        typer.echo(_told_of(verdict.manifest.rows, verdict.manifest.files, verdict.manifest.made_at))
    if not verdict.whole:
        raise CommandError(" ".join(verdict.troubles))
    typer.echo("The copy is whole: it was restored and read.")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="The copy.")],
    identity: Identity = None,
    replace: Annotated[bool, typer.Option("--replace", help="There is data already: replace it.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask again; only with --replace.")] = False,
    faulty: Annotated[
        bool, typer.Option("--faulty", help="Bring it back although the trial found faults in it.")
    ] = False,
    config: Config = None,
) -> None:
    """Bring a copy back to where the configuration points. Live data is not overwritten unless told twice."""
    from app.clock import now
    from app.server import listening
    from bots.base import MAX_FILE_BYTES
    from storage import backup as copies
    from storage.ownership import at_work, sole_process

    settings = _settings(config)
    url, key = settings.storage.url, _backup_key(settings, identity=identity)
    # Whoever has the port, or the file's lock, or a row among the processes writes into the database.
    with listening(settings.server.host, settings.server.port), sole_process(url, 0):
        if others := at_work(url):
            raise CommandError(f"Nothing was changed: priem is at work on it ({', '.join(others)}): stop it.")
        if copies.is_live(url):
            if not replace:
                raise CommandError("There is data already: to replace it, repeat with --replace.")
            if not yes and not typer.confirm("Replace all present data with the copy?"):
                raise CommandError("Nothing was changed.")
        # Whatever the copy lacks must be known before the present data is moved.
        try:
            key = copies.unlocked(file, key)
        except copies.BackupError as error:
            raise CommandError(f"Nothing was changed: {error}") from error
        verdict = copies.verify(file, key)
        if not verdict.whole and not (faulty and verdict.manifest is not None):
            way_out = " To bring it back all the same, repeat with --faulty." if verdict.manifest else ""
            raise CommandError(f"Nothing was changed: {' '.join(verdict.troubles)}{way_out}")
        aside = copies.put_aside(url, now())
        manifest = copies.restore(file, key, url, settings.storage.open_files(MAX_FILE_BYTES))
    typer.echo(_told_of(manifest.rows, manifest.files, manifest.made_at))
    if aside is not None:
        typer.echo(f"What was there before lies in {aside}.")


@app.command()
def migrate(
    without_copy: Annotated[
        bool, typer.Option("--without-copy", help="Do not copy the data before; for when there is no room.")
    ] = False,
    config: Config = None,
) -> None:
    """Create the database or bring its schema up to date; what is in it is copied before."""
    from storage.migrate import migrate as bring_up_to_date
    from storage.migrate import pending

    settings = _settings(config)
    if not pending(settings.storage.url):
        typer.echo("The database is up to date.")
        return
    if not without_copy and (copy := _copy_before_migrating(settings)) is not None:
        typer.echo(f"A copy of what was there before lies in {copy}.")
    bring_up_to_date(settings.storage.url)
    typer.echo("The database has been brought up to date.")


@app.command("duty-list")
def write_duty_list(
    out: Annotated[Path, typer.Option(help="The file to write: .html or .xlsx.")],
    config: Config = None,
) -> None:
    """Write the list of the day: open requests, telephones, who is away and whom to call."""
    from app.clock import now
    from app.service import house_of
    from notifications.texts import Catalogue
    from storage import duty_list, firm_settings

    settings = _settings(config)
    writers = {".html": duty_list.as_html, ".xlsx": duty_list.as_xlsx}
    written = writers.get(out.suffix.lower())
    if written is None:
        raise CommandError(f"--out ends with .html or .xlsx, unlike {out}.")
    with _database(settings) as database, database.read() as session:
        filed = house_of(settings, Catalogue.open(settings.firm.language))
        house = firm_settings.house_with(filed, firm_settings.read_settled(session))
        found = duty_list.gather(session, house, now())
    duty_list.write_privately(out, written(found))
    typer.echo(f"{out} is written; it holds personal data.")


class Switch(StrEnum):
    """How `priem maintenance` is told."""

    ON = "on"
    OFF = "off"


@app.command("maintenance")
def announce_maintenance(
    switch: Annotated[Switch, typer.Argument(help="on or off.", show_default=False)],
    until: Annotated[str, typer.Option(help="When it is over: 11:30, or 2026-11-30 11:30.")] = "",
    reason: Annotated[str, typer.Option(help="What is done, for clients: «обновляем программу».")] = "",
    config: Config = None,
) -> None:
    """Tell clients who write that answers come later; everything they write is kept as always."""
    from app.clock import now
    from storage import maintenance

    settings = _settings(config)
    with _database(settings) as database:
        if switch is Switch.OFF:
            with database.begin() as session:
                ended = maintenance.call_off(session, now())
            typer.echo("It is over." if ended else "Nothing was announced.")
            return
        over = _moment("--until", until, settings, now())
        with database.begin() as session:
            maintenance.announce(session, over, reason, now())
    local = over.astimezone(settings.firm.calendar().zone)
    typer.echo(f"Announced until {local:%Y-%m-%d %H:%M}; the service says so within a minute.")


def main(arguments: list[str] | None = None) -> None:
    """The entry of `priem`: run a command and leave with its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    if os.name == "posix":
        # Databases, copies and exports hold clients' data: nobody else of this machine reads them.
        os.umask(0o077)
    sys.exit(_exit_code(given or ["--help"]))


# --- mistakes in one sentence ------------------------------------------------------------------


def _exit_code(arguments: list[str]) -> int:
    try:
        code = app(arguments, prog_name="priem", standalone_mode=False)
    except typer.TyperException as error:
        return _told(error.format_message())
    except (typer.Abort, KeyboardInterrupt):
        return 1
    except BrokenPipeError:
        # Whoever read our output has had enough; Python would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        sentence = _sentence(error)
        if sentence is None:
            raise
        return _told(sentence)
    return code if isinstance(code, int) else 0


def _told(sentence: str) -> int:
    typer.echo(" ".join(sentence.split()), err=True)
    return 1


def _sentence(error: Exception) -> str | None:
    """What to tell the operator; None for what is no mistake of theirs."""
    from app.server import PortError
    from app.settings import ConfigError
    from storage.ownership import InUse

    if isinstance(error, ExceptionGroup):
        # What runs together fails together; one of them says why.
        sentences = (_sentence(each) for each in error.exceptions)
        return next((sentence for sentence in sentences if sentence is not None), None)
    if isinstance(error, CommandError | ConfigError | PortError | InUse):
        return str(error)
    if isinstance(error, OSError):
        named = f"{error.filename}: " if error.filename else ""
        return f"{named}{error.strerror or error}."
    return _storage_sentence(error)


def _storage_sentence(error: Exception) -> str | None:
    from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError

    from storage.backup import BackupError
    from storage.engine import Damaged, DatabaseUrlError, storage_is_down
    from storage.invitations import NoSuchClient
    from storage.migrate import MigrationError
    from storage.troubles import WHAT_TO_DO, Cause, cause_of

    match error:
        case MigrationError() | DatabaseUrlError() | NoSuchClient() | BackupError() | Damaged():
            return str(error)
        case ArgumentError():
            return "storage.url cannot be understood: write sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE."
        case DatabaseError() if storage_is_down(error) and cause_of(error) is not Cause.GONE:
            return f"The database cannot be used. {WHAT_TO_DO[cause_of(error)]}"
        case OperationalError():
            reason = str(error.orig).strip().partition("\n")[0]
            return f"The database cannot be used: {reason}; check storage.url and that it is running."
        case _:
            return None


# --- what the commands share -------------------------------------------------------------------


def _settings(config: Path | None) -> Settings:
    from app.settings import load

    return load(config)


@contextmanager
def _database(settings: Settings, *, may_create: bool = False) -> Iterator[Database]:
    """The open database, its schema up to date; a missing one is created if that makes sense."""
    from storage.engine import open_database
    from storage.migrate import migrate as bring_up_to_date
    from storage.migrate import missing, pending

    url = settings.storage.url
    if may_create and missing(url):
        bring_up_to_date(url)
    elif pending(url):
        raise CommandError("The database is missing or of an older version: run `priem migrate` first.")
    database = open_database(url)
    try:
        yield database
    finally:
        database.sync_engine.dispose()


def _day(option: str, text: str) -> date | None:
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{option} is a day like 2026-11-30, not «{text}».") from None
    if day.year not in YEARS:
        raise CommandError(f"{option} is a day from {YEARS[0]} to {YEARS[-1]}, not «{text}».")
    return day


def _moment(option: str, text: str, settings: Settings, now: datetime) -> datetime:
    """The next moment that is meant, in the firm's zone."""
    zone = settings.firm.calendar().zone
    try:
        if ":" in text and "-" not in text:
            local = now.astimezone(zone)
            moment = datetime.combine(local.date(), time.fromisoformat(text), zone)
            # Half past midnight, said in the evening, is tomorrow's.
            return moment if moment > now else moment + timedelta(days=1)
        moment = datetime.fromisoformat(text).replace(tzinfo=zone)
    except ValueError:
        raise CommandError(f"{option} is a time like 11:30 or 2026-11-30 11:30, not «{text}».") from None
    if moment <= now:
        raise CommandError(f"{option} {text} is over already.")
    return moment


@contextmanager
def _output(out: Path | None) -> Iterator[BinaryIO]:
    """Stdout, or a file that appears whole or not at all."""
    if out is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    unfinished = out.with_name(f"{out.name}.part")
    try:
        with unfinished.open("wb") as stream:
            yield stream
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)


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


# --- copies ------------------------------------------------------------------------------------

PASSPHRASE_VARIABLE = "PRIEM_BACKUP_PASSPHRASE"  # noqa: S105 - a variable's name


def _backup_key(settings: Settings, *, recipient: str = "", identity: Path | None = None) -> Key:
    """What a copy is locked with and opened with.

    A key that is named comes first, then the configured one; without anything else the key of the service
    is the passphrase. To open a copy that one is tried, too.
    """
    from storage.backup import Key

    secret_key = settings.server.secret_key.get_secret_value()
    named = os.environ.get(PASSPHRASE_VARIABLE, "")
    passphrase = named or settings.backup.passphrase.get_secret_value() or secret_key
    recipient = recipient or ("" if named else settings.backup.public_key)
    try:
        told = identity.read_text(encoding="utf-8") if identity else ""
    except OSError as error:
        raise CommandError(f"{identity} cannot be read: {error.strerror}.") from error
    # age's own files begin with comments.
    lines = [line for line in told.splitlines() if line and not line.startswith("#")]
    return Key(passphrase, recipient, lines[0] if lines else "", other_passphrase=secret_key)


def _copy_before_migrating(settings: Settings) -> Path | None:
    """The copy of what a migration is about to change; None when there is nothing to change or to lose."""
    from app.clock import now
    from app.copying import before_migrating

    return before_migrating(settings, now())


def _told_of(rows: Mapping[str, int], files: int, made_at: str) -> str:
    return (
        f"Copy of {made_at}: {rows.get('request', 0)} requests, {rows.get('client', 0)} clients, "
        f"{rows.get('message', 0) + rows.get('letter', 0)} messages, {files} files."
    )


# --- the links of an invitation ----------------------------------------------------------------


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
