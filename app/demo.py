"""`priem demo`: everything on SQLite, no token, a firm that is already at work."""

from __future__ import annotations

import secrets
import socket
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from sqlmodel import Session, col, select

from app import clock, demo_firm, logs
from app.loop import run_in_loop
from app.server import listening
from app.service import house_of, run_service
from app.settings import Backup, Consent, Firm, Server, Settings, Storage
from bots.base import MAX_FILE_BYTES
from bots.webchat import Settings as WebchatSettings
from notifications.texts import Catalogue
from storage.engine import Database, open_database
from storage.files import FileStore
from storage.invitations import invite_person
from storage.migrate import migrate
from storage.models import Person, Staff

DEFAULT_FOLDER = Path("priem-data")
FILES = "files"
LINK_DAYS = 1


def run_demo(port: int, data: Path | None) -> None:
    """Fill a folder on the first start, print the links, serve until Ctrl+C."""
    folder = (data or DEFAULT_FOLDER).resolve()
    settings = _settings(folder, port)
    logs.configure(as_json=False, level="WARNING", secrets=settings.secrets())
    with listening(settings.server.host, port) as taken_port:
        _serve(settings, taken_port, folder, _prepare(settings, folder))


def _prepare(settings: Settings, folder: Path) -> list[tuple[str, str]]:
    """Bring the database up to date, fill an empty one, and make the links."""
    migrate(settings.storage.url)
    house = house_of(settings, Catalogue.open(settings.firm.language))
    database = open_database(settings.storage.url)
    try:
        with database.begin() as session:
            if session.exec(select(Staff).limit(1)).first() is None:
                files = FileStore(folder / FILES, MAX_FILE_BYTES)
                demo_firm.fill(session, house, files, clock.now())
        return _links(database, settings.server.public_url)
    finally:
        database.sync_engine.dispose()


def _settings(folder: Path, port: int) -> Settings:
    folder.mkdir(parents=True, exist_ok=True)
    key_file = folder / "secret.key"
    if not key_file.exists():
        key_file.touch(mode=0o600)
        key_file.write_text(secrets.token_urlsafe(32), encoding="utf-8")
    return Settings(
        firm=Firm(name="Баланс Актив", phone="+7 495 000-00-00"),
        consent=Consent(version="3", url="https://example.org/consent"),
        storage=Storage(url="sqlite:///priem.sqlite3", files=Path(FILES)).beside(folder),
        server=Server(port=port, secret_key=key_file.read_text(encoding="utf-8").strip()),
        bots={"webchat": WebchatSettings()},
        # A demo has nothing to lose.
        backup=Backup(at=""),
    )


def _serve(settings: Settings, port: socket.socket, folder: Path, links: Sequence[tuple[str, str]]) -> None:
    def ready() -> None:
        width = max(len(title) for title, _link in links)
        sys.stdout.write("\nПриём работает. Откройте в браузере:\n\n")
        for title, link in links:
            sys.stdout.write(f"  {title:<{width}}  {link}\n")
        sys.stdout.write(f"\nДанные лежат в {folder}. Остановить: Ctrl+C.\n")
        sys.stdout.flush()

    run_in_loop(lambda: run_service(settings, port, ready))


def _links(database: Database, public_url: str) -> list[tuple[str, str]]:
    """Fresh one-time links at every start: each opens once."""
    now = clock.now()
    valid = timedelta(days=LINK_DAYS)
    with database.begin() as session:
        anna = _person(session, demo_firm.ANNA.name)
        director = _person(session, demo_firm.DIRECTOR.name)
        accountant_code = invite_person(session, anna, "chat", now, valid)
        director_code = invite_person(session, director, "signin", now, valid)
    return [
        ("Чат клиента", f"{public_url}/chat"),
        ("Чат бухгалтера", f"{public_url}/chat/staff?code={accountant_code}"),
        ("Панель директора", f"{public_url}/panel/enter/{director_code}"),
        ("Состояние", f"{public_url}/health"),
    ]


def _person(session: Session, name: str) -> int:
    person_id = session.exec(select(col(Person.id)).where(col(Person.name) == name)).first()
    assert person_id is not None
    return person_id
