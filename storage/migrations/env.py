"""What Alembic runs for every command; the connection comes from `storage.migrate`."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext

from storage.models import metadata


def _render(kind: str, item: Any, _autogen: AutogenContext) -> str | Literal[False]:
    """Write SQLModel's own types as SQLAlchemy's, so that a revision outlives SQLModel's names."""
    if kind != "type":
        return False
    match type(item).__name__:
        case "UTCDateTime":
            return "sa.DateTime(timezone=True)"
        case "AutoString":
            return f"sa.String(length={item.impl.length})" if item.impl.length else "sa.String()"
        case _:
            return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    render_item=_render,
    compare_type=True,
    # The caller has opened the transaction; SQLite keeps DDL in it as well, whatever Alembic assumes.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
