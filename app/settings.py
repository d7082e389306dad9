"""The configuration: one TOML file, every key of which can also come from the environment.

`PRIEM__BOTS__TELEGRAM__TOKEN` beats `token` of `[bots.telegram]`. A messenger brings the model of its
own section (`bots.<name>.CHANNEL.settings`), so adding one touches nothing here. Whatever is wrong is
told as a ConfigError: one sentence that says what to do.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, time
from functools import cache
from importlib.abc import InspectLoader
from ipaddress import ip_network
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from router.worktime import WorkCalendar, parse_hours
from storage import copy_places
from storage.backup import Key
from storage.copies import CopyPlan, KeepRules
from storage.copy_places import Address
from storage.duty_list import Plan
from storage.files import KeptFiles
from storage.object_store import Bucket, S3Server, open_store

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from bots.base import ChannelKind

CONFIG_VARIABLE = "PRIEM_CONFIG"
ENVIRONMENT_PREFIX = "PRIEM__"
_SHORTEST_PASSPHRASE = 12
DEFAULT_FILE = Path("config.toml")


class ConfigError(Exception):
    """The configuration cannot be used; the text is one sentence for the operator."""


class Section(BaseModel):
    """A section of the file: unchangeable, and a key it does not know is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, str_strip_whitespace=True
    )


class Firm(Section):
    """`[firm]`: who we are and when we work."""

    name: str = Field(min_length=1, max_length=200)
    time_zone: str = "Europe/Moscow"
    working_hours: str = "09:00-18:00"
    lunch: str = "13:00-14:00"
    language: Literal["ru", "en"] = "ru"
    phone: str = ""
    extra_working_days: tuple[date, ...] = ()
    extra_days_off: tuple[date, ...] = ()
    accept_within_minutes: int = Field(default=15, ge=1)
    look_within_minutes: int = Field(default=30, ge=1)
    remind_before_minutes: int = Field(default=60, ge=0)
    answer_within_minutes: int = Field(default=30, ge=0)
    close_after_working_days: int = Field(default=3, ge=1)
    failover_after_minutes: int = Field(default=10, ge=1)
    silent_after_hours: int = Field(default=8, ge=1)

    @field_validator("time_zone")
    @classmethod
    def _zone_exists(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (LookupError, ValueError, OSError) as error:
            raise ValueError(f"there is no time zone «{name}»: write one like Europe/Moscow") from error
        return name

    @field_validator("working_hours", "lunch")
    @classmethod
    def _hours_parse(cls, hours: str) -> str:
        if hours:
            parse_hours(hours)
        return hours

    @model_validator(mode="after")
    def _hours_agree(self) -> Firm:
        self.calendar()
        return self

    def calendar(self) -> WorkCalendar:
        """The firm's working time."""
        opens, closes = parse_hours(self.working_hours)
        lunch: tuple[time, time] | None = parse_hours(self.lunch) if self.lunch else None
        return WorkCalendar(
            zone=ZoneInfo(self.time_zone),
            opens=opens,
            closes=closes,
            lunch=lunch,
            extra_working_days=frozenset(self.extra_working_days),
            extra_days_off=frozenset(self.extra_days_off),
        )


class Consent(Section):
    """`[consent]`: what a client agrees to before anything personal is stored."""

    version: str = Field(default="1", min_length=1, max_length=40)
    text: str = Field(
        default=(
            "Чтобы принять заявку, нужно ваше согласие на обработку персональных данных: имени, телефона, "
            "адреса почты и того, что вы напишете. Данные нужны только для работы по заявкам. "
            "Согласие можно отозвать в любой момент, написав нам."
        ),
        min_length=1,
        max_length=2000,
    )
    url: str = ""


class S3(Section):
    """`[storage.s3]`: the server that holds the bucket of `files`."""

    endpoint_url: str = Field(pattern=r"^https?://[^/?#]+/?$")
    access_key: SecretStr = Field(min_length=1)
    secret_key: SecretStr = Field(min_length=1)
    region: str = ""
    path_style: bool = True
    working_folder: Path = Path("files")

    def server(self) -> S3Server:
        """The same for the store."""
        return S3Server(
            self.endpoint_url,
            self.access_key.get_secret_value(),
            self.secret_key.get_secret_value(),
            self.region,
            self.path_style,
        )


class Storage(Section):
    """`[storage]`: the database and the files. Relative paths start at the configuration's folder."""

    warn_free_megabytes: int = Field(500, ge=0)
    url: str = "sqlite:///priem.sqlite3"
    files: Path | Bucket = Path("files")
    s3: S3 | None = None

    @field_validator("url")
    @classmethod
    def _kind_is_ours(cls, url: str) -> str:
        if not url.startswith(("sqlite:///", "postgresql://", "postgresql+psycopg://")):
            raise ValueError("use sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE")
        if url.partition("?")[0] in ("sqlite:///", "sqlite:///:memory:"):
            raise ValueError("the database needs a file: write sqlite:///priem.sqlite3")
        return url

    @field_validator("files", mode="before")
    @classmethod
    def _folder_or_bucket(cls, files: object) -> object:
        return Bucket.parse(files) if isinstance(files, str) and "://" in files else files

    @model_validator(mode="after")
    def _bucket_has_server(self) -> Storage:
        if isinstance(self.files, Bucket) and self.s3 is None:
            raise ValueError(
                f"files = {self.files} needs [storage.s3] with endpoint_url, access_key and secret_key"
            )
        return self

    @property
    def folder(self) -> Path:
        """Where files of this machine alone lie: what is arriving, and all of them without S3."""
        if isinstance(self.files, Path):
            return self.files
        assert self.s3 is not None
        return self.s3.working_folder

    @property
    def database_file(self) -> Path | None:
        """The file of SQLite; None for a server."""
        plain = self.url.partition("?")[0]
        return Path(plain.removeprefix("sqlite:///")) if plain.startswith("sqlite:///") else None

    def live_folders(self) -> Iterator[Path]:
        """The folders of this machine into which the service writes."""
        yield self.folder.absolute()
        if self.database_file is not None:
            yield self.database_file.absolute().parent

    def open_files(self, max_bytes: int) -> KeptFiles:
        """The store of the received files; files over `max_bytes` are refused there."""
        return open_store(self.files, self.s3.server() if self.s3 else None, self.folder, max_bytes)

    def beside(self, folder: Path) -> Storage:
        """The same with paths that no longer depend on the current folder."""
        url, parameters, rest = self.url.partition("?")
        if url.startswith("sqlite:///"):
            url = f"sqlite:///{(folder / url.removeprefix('sqlite:///')).resolve()}"
        moved: dict[str, object] = {"url": f"{url}{parameters}{rest}"}
        if isinstance(self.files, Path):
            moved["files"] = (folder / self.files).resolve()
        elif self.s3 is not None:
            place = (folder / self.s3.working_folder).resolve()
            moved["s3"] = self.s3.model_copy(update={"working_folder": place})
        return self.model_copy(update=moved)


def _own_address(known: dict[str, Any]) -> str:
    host = str(known.get("host", "127.0.0.1"))
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - recognised, not bound to
    shown = everywhere.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{known.get('port', 8080)}"


class Server(Section):
    """`[server]`: the one port, and the address by which people reach it."""

    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=8080, ge=1, le=65535)
    public_url: str = Field(default_factory=_own_address)
    secret_key: SecretStr = Field(min_length=16)
    trusted_proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    require_second_factor: bool = False
    session_idle_hours: int = Field(default=12, ge=1, le=336)

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in proxies:
            try:
                network = ip_network(proxy)
            except ValueError as error:
                raise ValueError(
                    f"«{proxy}» is no address and no network: write 10.0.0.5 or 10.0.0.0/24"
                ) from error
            if network.prefixlen == 0:
                raise ValueError(f"«{proxy}» is everybody: anyone could forge whose address is braked")
        return proxies

    @field_validator("public_url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise ValueError("write the whole address, https://priem.example.ru")
        return url.rstrip("/")


class Scan(Section):
    """`[scan]`: the virus scanner that looks at every file which comes; left out, none does."""

    clamd: str = Field(min_length=1)
    when_down: Literal["hold", "pass"] = "hold"
    timeout_seconds: float = Field(default=60.0, gt=0, le=600)

    @field_validator("clamd")
    @classmethod
    def _is_a_place(cls, address: str) -> str:
        host, _colon, port = address.rpartition(":")
        if "/" not in address and not (host and port.isascii() and port.isdigit() and 0 < int(port) < 2**16):
            raise ValueError("write HOST:PORT, like 127.0.0.1:3310, or the path of the socket of clamd")
        return address


class Retention(Section):
    """`[retention]`: for how many months what is kept; 0 is for ever."""

    drafts_months: int = Field(default=0, ge=0, le=1200)
    messages_months: int = Field(default=0, ge=0, le=1200)
    files_months: int = Field(default=0, ge=0, le=1200)
    calls_months: int = Field(default=0, ge=0, le=1200)


class Backup(Section):
    """`[backup]`: the copies made each night. Without a passphrase or a public key there are none."""

    folder: Path = Path("backups")
    at: str = "03:30"
    passphrase: SecretStr = SecretStr("")
    public_key: str = Field(default="", pattern=r"^(age1[a-z0-9]{58})?$")
    keep_days: int = Field(default=14, ge=1, le=3650)
    keep_weeks: int = Field(default=8, ge=0, le=520)
    keep_months: int = Field(default=24, ge=0, le=1200)
    second_place: str = ""
    second_place_user: str = ""
    second_place_password: SecretStr = SecretStr("")

    @field_validator("at")
    @classmethod
    def _is_a_time(cls, at: str) -> str:
        if at and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", at):
            raise ValueError("write a time like 03:30, or nothing for no copies at night")
        return at

    @field_validator("passphrase")
    @classmethod
    def _is_long(cls, passphrase: SecretStr) -> SecretStr:
        if 0 < len(passphrase.get_secret_value()) < _SHORTEST_PASSPHRASE:
            raise ValueError(f"take at least {_SHORTEST_PASSPHRASE} characters, for example four words")
        return passphrase

    @model_validator(mode="after")
    def _one_key(self) -> Backup:
        if self.passphrase.get_secret_value() and self.public_key:
            raise ValueError("write a passphrase or a public_key, not both")
        self.address()
        return self

    def address(self) -> Address | None:
        """The second place, or None."""
        if not self.second_place:
            return None
        password = self.second_place_password.get_secret_value()
        return copy_places.parse(self.second_place, self.second_place_user, password)

    def key(self) -> Key | None:
        """What copies are locked with, or None."""
        passphrase = self.passphrase.get_secret_value()
        return Key(passphrase, self.public_key) if passphrase or self.public_key else None

    def plan(self, zone: ZoneInfo) -> CopyPlan:
        """What is settled, without the secrets."""
        address = self.address()
        return CopyPlan(
            zone,
            time.fromisoformat(self.at) if self.at else None,
            self.key() is not None,
            str(self.folder),
            address.shown() if address else "",
            KeepRules(self.keep_days, self.keep_weeks, self.keep_months),
        )

    def beside(self, folder: Path) -> Backup:
        """The same with a path that no longer depends on the current folder."""
        return self.model_copy(update={"folder": (folder / self.folder).resolve()})


class DutyList(Section):
    """`[duty_list]`: the list of the day, for a morning without the server. Without a place there is none."""

    at: str = Field(default="07:30", pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    folder: Path | None = None
    email: tuple[str, ...] = ()

    @field_validator("email")
    @classmethod
    def _are_addresses(cls, email: tuple[str, ...]) -> tuple[str, ...]:
        for address in email:
            if not re.fullmatch(r"[^@\s]+@[^@\s]+", address):
                raise ValueError(f"write addresses like anna@example.ru, not «{address}»")
        return email

    def plan(self) -> Plan | None:
        """What is settled, or None when there is nowhere to put it."""
        if self.folder is None and not self.email:
            return None
        return Plan(time.fromisoformat(self.at), self.folder, self.email)

    def beside(self, folder: Path) -> DutyList:
        """The same with a path that no longer depends on the current folder."""
        return self.model_copy(update={"folder": self.folder and (folder / self.folder).resolve()})


@dataclass(frozen=True, slots=True)
class Settings:
    """A checked configuration, the paths in `storage` absolute.

    `bots` holds the section of every messenger that is switched on, under its name. `file` is None
    when everything came from the environment.
    """

    firm: Firm
    consent: Consent
    storage: Storage
    server: Server
    bots: Mapping[str, BaseModel]
    file: Path | None = None
    retention: Retention = field(default_factory=Retention)
    scan: Scan | None = None
    backup: Backup = field(default_factory=Backup)
    duty_list: DutyList = field(default_factory=DutyList)

    def secrets(self) -> Iterator[str]:
        """Every secret value, for the redaction of logs."""
        sections = (
            self.server,
            self.backup,
            *self.bots.values(),
            *((self.storage.s3,) if self.storage.s3 else ()),
        )
        for section in sections:
            for name in type(section).model_fields:
                value = getattr(section, name)
                if isinstance(value, SecretStr) and value.get_secret_value():
                    yield value.get_secret_value()
        # Passwords stand inside addresses too, and libraries quote them without the rest.
        for address in (self.storage.url, self.backup.second_place):
            if password := urlsplit(address).password:
                yield from {password, unquote(password)}


@cache
def channel_kinds() -> Mapping[str, ChannelKind]:
    """Every messenger that `bots` can speak, by the name of its section; looked for once."""
    import importlib
    import pkgutil

    import bots
    from bots.base import ChannelKind

    found: dict[str, ChannelKind] = {}
    for module_info in pkgutil.iter_modules(bots.__path__, "bots."):
        if not _declares_channel(module_info.name):
            continue
        kind = importlib.import_module(module_info.name).CHANNEL
        if isinstance(kind, ChannelKind):
            found[kind.name] = kind
    return MappingProxyType(found)


def _declares_channel(module: str) -> bool:
    """Whether a module names CHANNEL, without running it: the rest of `bots` is of no use here."""
    import importlib.util

    spec = importlib.util.find_spec(module)
    code = spec.loader.get_code(module) if spec and isinstance(spec.loader, InspectLoader) else None
    return code is not None and "CHANNEL" in code.co_names


def locate(option: Path | None, environment: Mapping[str, str] | None = None) -> Path | None:
    """Which file to read: the option, else PRIEM_CONFIG, else ./config.toml.

    None when there is no file and the environment holds the keys instead. Raises ConfigError when a
    named file is missing, or nothing is there at all.
    """
    environment = os.environ if environment is None else environment
    named = option or (Path(environment[CONFIG_VARIABLE]) if environment.get(CONFIG_VARIABLE) else None)
    path = named or DEFAULT_FILE
    if path.is_file():
        return path
    if named is None and any(name.upper().startswith(ENVIRONMENT_PREFIX) for name in environment):
        return None
    raise ConfigError(
        f"There is no configuration file {path}: copy config.example.toml there and fill in firm.name and "
        f"server.secret_key, or name your file with --config."
    )


def load(option: Path | None = None) -> Settings:
    """Read and check the configuration. Raises ConfigError."""
    file = locate(option)
    model = _whole_file()
    _refuse_unknown_variables(model)
    try:
        read: Any = model(**(_read(file) if file else {}))
    except ValidationError as error:
        raise ConfigError(_sentence(model, error.errors(include_url=False))) from None
    except SettingsError as error:
        raise ConfigError(f"The environment cannot be read: {error}; lists are written as JSON.") from None
    kinds = channel_kinds()
    switched_on = {
        name: section
        for name in type(read.bots).model_fields
        if (section := getattr(read.bots, name)) is not None
    }
    settings = Settings(
        read.firm,
        read.consent,
        read.storage,
        read.server,
        switched_on,
        file and file.resolve(),
        read.retention,
        read.scan,
        read.backup,
        read.duty_list,
    )
    if settings.duty_list.email and not any(kinds[name].by_email for name in switched_on):
        raise ConfigError("[duty_list] email: letters go through [bots.mail], which is not set up.")
    folder = file.resolve().parent if file else Path.cwd()
    return replace(
        settings,
        storage=settings.storage.beside(folder),
        backup=settings.backup.beside(folder),
        duty_list=settings.duty_list.beside(folder),
    )


class _Layered(BaseSettings):
    """The environment over the file: pydantic-settings merges the two key by key."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings


def _whole_file() -> type[_Layered]:
    sections: dict[str, Any] = {name: (kind.settings | None, None) for name, kind in channel_kinds().items()}
    bots = create_model("Bots", __base__=Section, **sections)
    optional = {
        "consent": Consent,
        "storage": Storage,
        "retention": Retention,
        "backup": Backup,
        "duty_list": DutyList,
        "bots": bots,
    }
    fields: dict[str, Any] = {name: (model, Field(default_factory=model)) for name, model in optional.items()}
    fields["scan"] = (Scan | None, None)
    return create_model("Whole", __base__=_Layered, firm=(Firm, ...), server=(Server, ...), **fields)


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not valid TOML: {error}.") from None
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}.") from None


# --- what is wrong, in one sentence ------------------------------------------------------------


def _refuse_unknown_variables(model: type[BaseModel]) -> None:
    # pydantic-settings looks only for what it knows, so a misspelled section would be silently idle.
    for name in sorted(os.environ):
        if not name.upper().startswith(ENVIRONMENT_PREFIX):
            continue
        section = name[len(ENVIRONMENT_PREFIX) :].partition("__")[0].lower()
        if section not in model.model_fields:
            nearest = _nearest(section, list(model.model_fields))
            raise ConfigError(
                f"The environment variable {name} names no section of the configuration{nearest}."
            )


def _sentence(model: type[BaseModel], errors: list[ErrorDetails]) -> str:
    # A misspelled obligatory key is both unknown and missing; the unknown one tells more.
    error = min(errors, key=lambda each: each["type"] != "extra_forbidden")
    path = tuple(str(part) for part in error["loc"])
    place = _place(path)
    match error["type"]:
        case "extra_forbidden":
            holder = _model_at(model, path[:-1])
            nearest = _nearest(path[-1], list(holder.model_fields) if holder else [])
            return f"The configuration has no key {place}{nearest}."
        case "missing":
            return f"The configuration lacks {place}: add it{_how(path)}."
        case "too_short" | "string_too_short":
            limit = error.get("ctx", {}).get("min_length", 1)
            return f"{place} must have at least {limit} characters{_how(path)}."
        case _:
            message = error["msg"].removeprefix("Value error, ").rstrip(".")
            return f"{place}: {message}."


_HOW_TO = {
    ("server",): (
        " with a secret_key of at least 16 characters, for example from "
        '`python -c "import secrets; print(secrets.token_urlsafe())"`'
    ),
    (
        "server",
        "secret_key",
    ): ', for example from `python -c "import secrets; print(secrets.token_urlsafe())"`',
    ("firm",): " with the name of your firm",
    ("firm", "name"): ", the name of your firm as clients know it",
}


def _how(path: tuple[str, ...]) -> str:
    return _HOW_TO.get(path, "")


def _place(path: tuple[str, ...]) -> str:
    """Name a key as it stands in the file: `[bots.telegram] token`."""
    depth = 2 if path[0] == "bots" else 1
    section, key = ".".join(path[:depth]), ".".join(path[depth:])
    return f"[{section}] {key}" if key else f"[{section}]"


def _nearest(word: str, known: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if close:
        return f"; did you mean «{close[0]}»"
    return f"; it knows {', '.join(known)}" if known else ""


def _model_at(model: type[BaseModel], path: tuple[str, ...]) -> type[BaseModel] | None:
    for name in path:
        field = model.model_fields.get(name)
        inner = _model_of(field.annotation) if field else None
        if inner is None:
            return None
        model = inner
    return model


def _model_of(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, UnionType, Annotated):
        return next((found for part in get_args(annotation) if (found := _model_of(part))), None)
    return None
