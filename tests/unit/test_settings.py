"""The configuration: what it takes, and what it says to what it does not take."""

import os
from pathlib import Path

import pytest

from app.settings import ConfigError, channel_kinds, load, locate

MINIMAL = """
[firm]
name = "Баланс Актив"
[server]
secret_key = "0123456789abcdef"
"""


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in list(os.environ):
        if name.upper().startswith("PRIEM"):
            monkeypatch.delenv(name)


@pytest.fixture
def written(tmp_path):
    def write(text: str) -> Path:
        file = tmp_path / "config.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return write


def test_files_may_lie_in_a_bucket(written, tmp_path):
    server = (
        '[storage.s3]\nendpoint_url = "https://s3.example.ru"\naccess_key = "key"\nsecret_key = "hidden-word"'
    )
    settings = load(written(MINIMAL + f'[storage]\nfiles = "s3://bucket/priem/"\n{server}'))

    assert str(settings.storage.files) == "s3://bucket/priem"
    assert settings.storage.folder == tmp_path / "files"
    assert "hidden-word" in set(settings.secrets())
    assert "hidden-word" not in repr(settings)


def test_defaults(written, tmp_path):
    settings = load(written(MINIMAL))
    assert settings.firm.name == "Баланс Актив"
    assert settings.firm.time_zone == "Europe/Moscow"
    assert settings.server.public_url == "http://127.0.0.1:8080"
    assert settings.storage.url == f"sqlite:///{tmp_path}/priem.sqlite3"
    assert settings.storage.files == tmp_path / "files"
    assert settings.consent.version == "1"
    assert settings.bots == {}
    assert settings.file == tmp_path / "config.toml"


def test_relative_paths_start_at_the_file_and_not_at_the_current_folder(written, tmp_path, monkeypatch):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    settings = load(
        written(MINIMAL + '[storage]\nurl = "sqlite:///data/a.db?timeout=5"\nfiles = "/srv/files"')
    )
    assert settings.storage.url == f"sqlite:///{tmp_path}/data/a.db?timeout=5"
    assert settings.storage.files == Path("/srv/files")


def test_an_absolute_database_stays(written):
    assert (
        load(written(MINIMAL + '[storage]\nurl = "sqlite:////srv/a.db"')).storage.url == "sqlite:////srv/a.db"
    )


def test_the_environment_wins(written, monkeypatch):
    monkeypatch.setenv("PRIEM__FIRM__NAME", "Другая")
    monkeypatch.setenv("PRIEM__SERVER__PORT", "9000")
    monkeypatch.setenv("PRIEM__FIRM__EXTRA_DAYS_OFF", '["2027-04-01"]')
    monkeypatch.setenv("PRIEM__BOTS__TELEGRAM__TOKEN", "123:ABC")
    settings = load(written(MINIMAL))
    assert settings.firm.name == "Другая"
    assert settings.server.port == 9000
    assert settings.server.public_url == "http://127.0.0.1:9000"
    assert [str(day) for day in settings.firm.extra_days_off] == ["2027-04-01"]
    assert settings.server.secret_key.get_secret_value() == "0123456789abcdef"
    assert settings.bots["telegram"].token.get_secret_value() == "123:ABC"
    assert set(settings.secrets()) == {"0123456789abcdef", "123:ABC"}


def test_a_key_of_a_section_in_the_file_comes_from_the_environment(written, monkeypatch):
    monkeypatch.setenv("PRIEM__BOTS__TELEGRAM__TOKEN", "123:ABC")
    settings = load(written(MINIMAL + "[bots.telegram]\nchat_burst = 7"))
    assert settings.bots["telegram"].chat_burst == 7
    assert settings.bots["telegram"].token.get_secret_value() == "123:ABC"


def test_everything_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRIEM__FIRM__NAME", "Баланс")
    monkeypatch.setenv("PRIEM__SERVER__SECRET_KEY", "0123456789abcdef")
    settings = load()
    assert settings.file is None
    assert settings.storage.url == f"sqlite:///{tmp_path}/priem.sqlite3"


def test_secrets_are_not_shown(written):
    assert "0123456789abcdef" not in repr(load(written(MINIMAL)))


def test_everything_is_unchangeable(written):
    settings = load(written(MINIMAL))
    with pytest.raises(ValueError):
        settings.firm.name = "x"


FIRM = MINIMAL.partition("[server]")[0]
SERVER = '[server]\nsecret_key = "0123456789abcdef"\n'


def firm(line):
    return f"{FIRM}{line}\n{SERVER}"


WRONG = {
    "misspelt key": ('[firm]\nnamee = "x"\n' + SERVER, "[firm] namee; did you mean «name»"),
    "misspelt key of a messenger": (
        MINIMAL + '[bots.telegram]\ntokn = "1:a"',
        "[bots.telegram] tokn; did you mean «token»",
    ),
    "misspelt messenger": (
        MINIMAL + '[bots.telegrm]\ntoken = "1:a"',
        "[bots.telegrm]; did you mean «telegram»",
    ),
    "misspelt section": (MINIMAL + '[storge]\nurl = ""', "[storge]; did you mean «storage»"),
    "far from anything": (MINIMAL + "[consent]\nxyz = 1", "[consent] xyz; it knows version, text, url"),
    "no name": ("[firm]\n" + SERVER, "lacks [firm] name"),
    "no firm": (SERVER, "lacks [firm]"),
    "no secret key": (FIRM + "[server]", "lacks [server] secret_key"),
    "no token": (MINIMAL + "[bots.telegram]", "lacks [bots.telegram] token"),
    "short secret key": (
        FIRM + '[server]\nsecret_key = "short"',
        "[server] secret_key must have at least 16",
    ),
    "empty name": ('[firm]\nname = " "\n' + SERVER, "[firm] name must have at least 1"),
    "time zone": (firm('time_zone = "Moscow"'), "[firm] time_zone: there is no time zone «Moscow»"),
    "hours": (firm('working_hours = "9 to 6"'), "[firm] working_hours: Hours are written as"),
    "lunch at night": (firm('lunch = "22:00-23:00"'), "must lie inside the working hours"),
    "language": (firm('language = "de"'), "[firm] language: Input should be 'ru' or 'en'"),
    "port": (MINIMAL + "port = 70000", "[server] port: Input should be less than or equal to 65535"),
    "address": (MINIMAL + 'public_url = "priem.example.ru"', "[server] public_url: write the whole address"),
    "s3 without its server": (MINIMAL + '[storage]\nfiles = "s3://bucket"', "needs [storage.s3] with"),
    "files of another kind": (MINIMAL + '[storage]\nfiles = "ftp://host"', "a folder, or s3://BUCKET/PREFIX"),
    "mysql": (
        MINIMAL + '[storage]\nurl = "mysql://h/d"',
        "[storage] url: use sqlite:///FILE or postgresql://",
    ),
    "in memory": (
        MINIMAL + '[storage]\nurl = "sqlite:///:memory:"',
        "[storage] url: the database needs a file",
    ),
    "no TOML": ("[firm\nname", "is not valid TOML"),
    "section as a value": ("firm = 3\n" + SERVER, "[firm]: Input should be a valid dictionary"),
}


@pytest.mark.parametrize(("text", "told"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_told_in_one_sentence(written, text, told):
    with pytest.raises(ConfigError) as caught:
        load(written(text))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("PRIEM__FRIM__NAME", "PRIEM__FRIM__NAME names no section of the configuration; did you mean «firm»"),
        ("PRIEM__FIRM__NAM", "[firm] nam; did you mean «name»"),
        ("PRIEM__BOTS__TELEGRAM__TOKN", "[bots.telegram] tokn; did you mean «token»"),
    ],
)
def test_a_misspelt_variable_is_told(written, monkeypatch, name, told):
    monkeypatch.setenv(name, "x")
    with pytest.raises(ConfigError, match="did you mean") as caught:
        load(written(MINIMAL))
    assert told in str(caught.value)


def test_a_list_that_is_no_json_is_told(written, monkeypatch):
    monkeypatch.setenv("PRIEM__FIRM__EXTRA_DAYS_OFF", "tomorrow")
    with pytest.raises(ConfigError, match=r"EXTRA_DAYS_OFF|extra_days_off|firm"):
        load(written(MINIMAL))


def test_which_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"config\.example\.toml"):
        locate(None, {})
    (tmp_path / "config.toml").touch()
    (tmp_path / "other.toml").touch()
    assert locate(None, {}) == Path("config.toml")
    assert locate(None, {"PRIEM_CONFIG": "other.toml"}) == Path("other.toml")
    assert locate(Path("config.toml"), {"PRIEM_CONFIG": "other.toml"}) == Path("config.toml")
    with pytest.raises(ConfigError, match=r"no configuration file nowhere\.toml"):
        locate(Path("nowhere.toml"), {"PRIEM__FIRM__NAME": "x"})


def test_the_messengers_are_found_in_their_package():
    assert {"telegram", "webchat"} <= set(channel_kinds())
