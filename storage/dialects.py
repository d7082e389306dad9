"""`INSERT ... ON CONFLICT` for SQLite and PostgreSQL.

SQLAlchemy has one construct for each of them
(https://docs.sqlalchemy.org/en/20/dialects/sqlite.html#insert-on-conflict-upsert); their methods are alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session

_INSERTS: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def in_both(build: Callable[[Any], Any]) -> Mapping[str, Any]:
    """Build a statement once for each database, by the name of its dialect.

    `build` gets the `insert` of the dialect. For statements that run often: building one costs more than
    running it.
    """
    return {name: build(insert) for name, insert in _INSERTS.items()}


def insert_for(asker: Session | Connection) -> Any:
    """The `insert` of the database that this session or connection speaks to."""
    connection = asker if isinstance(asker, Connection) else asker.connection()
    return _INSERTS[connection.dialect.name]
