"""A user's mistake in one sentence."""

from __future__ import annotations

from app.commands.shared import CommandError


def sentence_of(error: Exception) -> str | None:
    """What to tell the operator; None for what is no mistake of theirs."""
    from app.server import PortError
    from app.settings import ConfigError
    from storage.ownership import InUse

    if isinstance(error, ExceptionGroup):
        # What runs together fails together; one of them says why.
        sentences = (sentence_of(each) for each in error.exceptions)
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
