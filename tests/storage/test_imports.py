"""The table of clients: what is read, what is refused and why, what is stored."""

from datetime import UTC, datetime
from time import thread_time

import pytest
from openpyxl import Workbook
from sqlmodel import select

from notifications.texts import Catalogue
from router.model import Role
from storage import history
from storage.imports import FileUnreadable, import_clients, read_clients
from storage.invitations import invite_staff
from storage.models import Client, ClientPerson, History, Person, Staff

NOW = datetime(2026, 11, 25, 11, 0, tzinfo=UTC)
ROMASHKA, LUTIK, IVANOV = "7707083893", "5024002119", "500100732259"

TABLE = f"""Название;ИНН;Тип;Ответственный;Телефон;Почта
ООО «Ромашка»;{ROMASHKA};компания;anna@example.ru;+7 495 111-22-33;romashka@example.ru
ИП Иванов;{IVANOV};ИП;Анна Петрова;;
"""


@pytest.fixture
def table(tmp_path):
    def write(content, name="clients.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return write


def told(lines):
    say = Catalogue.open("ru").say
    return [say(line.verdict()) for line in lines if line.refusal is not None]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1251", "utf-16"])
@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
def test_encodings_and_delimiters(table, encoding, delimiter):
    lines = read_clients(table(TABLE.replace(";", delimiter), encoding=encoding))
    assert told(lines) == []
    assert [(line.number, line.name, line.inn, line.kind) for line in lines] == [
        (2, "ООО «Ромашка»", ROMASHKA, "company"),
        (3, "ИП Иванов", IVANOV, "proprietor"),
    ]
    assert (lines[0].responsible, lines[0].phone, lines[0].email) == (
        "anna@example.ru",
        "+7 495 111-22-33",
        "romashka@example.ru",
    )


@pytest.mark.parametrize(
    "heading",
    [
        "name,inn,kind,responsible,phone,e-mail",
        "Клиент,Инн,вид,Бухгалтер,тел,E-Mail",
        " НАЗВАНИЕ , инн ,x,y,z,почта",
    ],
)
def test_headings_in_both_languages(table, heading):
    lines = read_clients(table(f"{heading}\nРомашка,{ROMASHKA},,,,a@b.ru\n"))
    assert [(line.name, line.inn, line.email) for line in lines] == [("Ромашка", ROMASHKA, "a@b.ru")]


def test_only_name_and_inn_are_needed_and_empty_lines_are_passed_over(table):
    lines = read_clients(table(f"\n\nИНН,Название\n\n{ROMASHKA},Ромашка\n,\n{LUTIK},Лютик"))
    assert [(line.number, line.kind) for line in lines] == [(5, "company"), (7, "company")]


def test_quoted_cells(table):
    (line,) = read_clients(table(f'name;inn\n"ООО ""Свет;\nТьма""";{ROMASHKA}\n'))
    assert line.name == 'ООО "Свет; Тьма"'


def test_a_workbook(table, tmp_path):
    book = Workbook()
    book.active.append(["Название", "ИНН", "Телефон"])
    book.active.append(["Ромашка", 7707083893, 74951112233])
    book.active.append(["Иванов", 500100732259.0, None])
    book.save(tmp_path / "clients.xlsx")
    lines = read_clients(tmp_path / "clients.xlsx")
    assert [(line.inn, line.phone) for line in lines] == [(ROMASHKA, "74951112233"), (IVANOV, "")]


def test_a_zero_that_a_spreadsheet_took_is_given_back(table):
    lines = read_clients(table("name,inn\nАдыгея,105008720\nОшибка,770708389\n"))
    assert lines[0].inn == "0105008720"
    assert told(lines) == [
        "строка 3: В ИНН 10 или 12 цифр, у вас 9: 770708389. Проверьте и пришлите ещё раз.",
    ]


REFUSED = {
    "eleven digits": ("Ромашка;77070838931;;;;", "строка 2: В ИНН 10 или 12 цифр, у вас 11: 77070838931."),
    "no INN": ("Ромашка;;;;;", "строка 2: нет ИНН."),
    "no name": (f";{ROMASHKA};;;;", "строка 2: нет названия."),
    "unknown kind": (
        f"Ромашка;{ROMASHKA};фонд;;;",
        "строка 2: тип «фонд» неизвестен: напишите «компания» или «ИП».",
    ),
    "kind against INN": (
        f"Ромашка;{ROMASHKA};ИП;;;",
        "строка 2: у компании в ИНН 10 цифр, у ИП 12; в строке «ИП» и 10.",
    ),
    "phone": (f"Ромашка;{ROMASHKA};;;нет;", "строка 2: «нет» не похоже на телефон."),
    "e-mail": (f"Ромашка;{ROMASHKA};;;;romashka", "строка 2: «romashka» не похоже на адрес почты."),
    "twice": (
        f"Ромашка;{ROMASHKA};;;;\nЛютик;{ROMASHKA};;;;",
        f"строка 3: ИНН {ROMASHKA} уже есть в строке 2.",
    ),
}


@pytest.mark.parametrize(("rows", "verdict"), REFUSED.values(), ids=REFUSED.keys())
def test_every_line_is_judged(table, rows, verdict):
    verdicts = told(read_clients(table(f"name;inn;kind;responsible;phone;email\n{rows}\n")))
    assert len(verdicts) == 1
    assert verdicts[0].startswith(verdict)


UNREADABLE = {
    "empty": (b"", "clients.csv", "Файл пуст"),
    "no INN column": ("Название;Телефон\nРомашка;1\n".encode(), "clients.csv", "нет столбца «ИНН»"),
    "no heading": (f"Ромашка;{ROMASHKA}\n".encode(), "clients.csv", "нет столбца «название»"),
    "a picture": (b"\x89PNG\r\n\x1a\n\x00\x00", "clients.csv", "не таблица CSV"),
    "not a workbook": (b"text", "clients.xlsx", "XLSX не открывается"),
    "a torn workbook": (b"PK\x03\x04" + b"\x00" * 50, "clients.xlsx", "XLSX не открывается"),
}


@pytest.mark.parametrize(("content", "name", "sentence"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_is_no_table(table, content, name, sentence):
    with pytest.raises(FileUnreadable) as caught:
        read_clients(table(content, name))
    assert sentence in Catalogue.open("ru").say(caught.value.text)


def test_a_missing_file_is_the_systems_word(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_clients(tmp_path / "nowhere.csv")


# --- storing -----------------------------------------------------------------------------------


@pytest.fixture
def staffed(database):
    with database.begin() as session:
        invite_staff(session, Role.ACCOUNTANT, "Анна Петрова", "anna@example.ru", NOW)
    return database


def imported(database, path, **options):
    with database.begin() as session:
        return import_clients(session, read_clients(path), NOW, **options)


def clients(database):
    with database.read() as session:
        return {client.inn: client for client in session.exec(select(Client))}


async def test_new_clients_are_added_with_history(staffed, table):
    done = imported(staffed, table(TABLE))
    assert (done.added, done.updated, done.unchanged, done.refused, done.stored) == (2, 0, 0, (), True)
    found = clients(staffed)
    with staffed.read() as session:
        anna = session.exec(select(Staff.id)).one()
        actions = session.exec(
            select(History.action, History.subject).where(History.action == "imported")
        ).all()
        assert history.verify(session).ok
    assert found[ROMASHKA].responsible_id == found[IVANOV].responsible_id == anna
    assert set(actions) == {("imported", f"client:{client.id}") for client in found.values()}


async def test_known_clients_are_updated_and_empty_cells_change_nothing(staffed, table):
    imported(staffed, table(TABLE))
    again = f"name;inn;phone;email\nООО «Ромашка плюс»;{ROMASHKA};;new@example.ru\nИП Иванов;{IVANOV};;\n"
    done = imported(staffed, table(again))
    assert (done.added, done.updated, done.unchanged) == (0, 1, 1)
    romashka = clients(staffed)[ROMASHKA]
    assert (romashka.name, romashka.phone, romashka.email, romashka.version) == (
        "ООО «Ромашка плюс»",
        "+7 495 111-22-33",
        "new@example.ru",
        2,
    )
    assert romashka.responsible_id is not None


async def test_nothing_is_half_imported(staffed, table):
    path = table(TABLE + "Лютик;123;;;;\n")
    done = imported(staffed, path)
    assert (done.stored, len(done.refused)) == (False, 1)
    assert clients(staffed) == {}
    done = imported(staffed, path, skip_refused=True)
    assert (done.stored, done.added, len(done.refused)) == (True, 2, 1)
    assert set(clients(staffed)) == {ROMASHKA, IVANOV}


async def test_an_unknown_or_ambiguous_accountant_is_refused(staffed, table):
    with staffed.begin() as session:
        for email in ("vera1@example.ru", "vera2@example.ru"):
            invite_staff(session, Role.ACCOUNTANT, "Вера Ким", email, NOW)
    named = ((ROMASHKA, "Пётр"), (LUTIK, "вера ким"), (IVANOV, "VERA2@example.ru"))
    rows = "name;inn;responsible\n" + "".join(f"Клиент;{inn};{name}\n" for inn, name in named)
    done = imported(staffed, table(rows))
    assert told(done.refused) == [
        "строка 2: сотрудника «Пётр» нет: сначала пригласите его.",
        "строка 3: сотрудников «вера ким» двое: укажите адрес почты.",
    ]


async def test_a_client_who_came_by_chat_is_confirmed_by_the_firms_own_list(staffed, table):
    with staffed.begin() as session:
        session.add(Client(name="Ромашка", inn=ROMASHKA, confirmed=False, created_at=NOW))
    imported(staffed, table(TABLE))
    assert clients(staffed)[ROMASHKA].confirmed


# --- further columns, untidy tables ---------------------------------------------------------------------


WIDE = (
    "Название;ИНН;Ответственный;Заменяет;Контролёр;Договор;Договор до;Контакт;Должность;"
    "Телефон контакта;Почта контакта\n"
    f"Ромашка;{ROMASHKA};Анна;Борис;Галина;Учёт и отчётность;31.12.2026;Ольга Котова;секретарь;"
    "+7 900 111-22-33;olga@client.ru\n"
)


def told_of(result):
    return {
        outcome.number: [(change.field, change.was, change.becomes) for change in outcome.changes]
        for outcome in result.outcomes
    }


@pytest.fixture
def two_staff(database):
    with database.begin() as session:
        for name, role in (("Анна", "accountant"), ("Борис", "accountant"), ("Галина", "controller")):
            person = Person(name=name, created_at=NOW)
            session.add(person)
            session.flush()
            session.add(Staff(person_id=person.id, role=role, created_at=NOW))


def bring(database, path, **options):
    with database.begin() as session:
        return import_clients(session, read_clients(path), NOW, **options)


def test_the_further_columns_are_kept(database, two_staff, table):
    result = bring(database, table(WIDE))
    assert (result.added, result.refused) == (1, ())
    with database.read() as session:
        client = session.exec(select(Client)).one()
        right = session.exec(select(ClientPerson)).one()
        contact = session.get_one(Person, right.person_id)
    assert (client.responsible_id, client.substitute_id, client.controller_id) == (1, 2, 3)
    assert (client.contract, client.contract_until.date().isoformat()) == ("Учёт и отчётность", "2026-12-31")
    assert (contact.name, contact.phone, contact.email) == (
        "Ольга Котова",
        "+7 900 111-22-33",
        "olga@client.ru",
    )
    assert (right.post, right.may_pay, right.sees_all) == ("секретарь", False, False)
    again = bring(database, table(WIDE))
    assert (again.added, again.updated, again.unchanged) == (0, 0, 1)


def test_it_is_said_what_was_and_what_becomes(database, two_staff, table):
    bring(database, table(WIDE))
    other = (
        WIDE.replace("Анна;Борис", "Борис;Борис").replace("31.12.2026", "2027-06-30").replace("Учёт и", "")
    )
    result = bring(database, table(other.replace("Ольга Котова", "Пётр")))
    assert told_of(result) == {
        2: [
            ("responsible_id", "Анна", "Борис"),
            ("contract", "Учёт и отчётность", "отчётность"),
            ("contract_until", "2026-12-31", "2027-06-30"),
        ]
    }, "a contact with the same address is the same one"


def test_a_known_contact_is_filled_in_and_never_overwritten(database, table):
    head = "Название;ИНН;Контакт;Должность;Телефон контакта;Почта контакта\n"
    bring(database, table(f"{head}Ромашка;{ROMASHKA};Ольга Котова;;+7 900 000-00-01;\n"))
    result = bring(
        database, table(f"{head}Ромашка;{ROMASHKA};ольга котова;шеф;+7 900 000-00-02;o@client.ru\n")
    )
    assert told_of(result)[2] == [
        ("contact", "Ольга Котова", "Ольга Котова, шеф, +7 900 000-00-01, o@client.ru")
    ]
    with database.read() as session:
        assert len(session.exec(select(ClientPerson)).all()) == 1
    added = bring(database, table(f"{head}Ромашка;{ROMASHKA};Пётр;;;\n"))
    assert (added.updated, told_of(added)[2]) == (1, [("contact", "", "Пётр")])


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("Договор до", "скоро", "не похоже на дату"),
        ("Договор до", "31.02.2026", "не похоже на дату"),
        ("Должность", "секретарь", "у контакта нет имени"),
        ("Телефон контакта", "звоните", "не похоже на телефон"),
        ("Почта контакта", "olga", "не похоже на адрес"),
        ("Контролёр", "Никто", "сначала пригласите"),
        ("Заменяет", "Никто", "сначала пригласите"),
        ("Контролёр", "Борис", "не контролёр"),
    ],
)
def test_further_columns_are_judged_too(database, two_staff, table, column, value, words):
    result = bring(database, table(f"Название;ИНН;{column}\nРомашка;{ROMASHKA};{value}\n"))
    assert not result.stored
    assert words in told(result.refused)[0]


def test_a_title_merged_cells_and_empty_lines_are_no_hindrance(tmp_path):
    book = Workbook()
    sheet = book.active
    sheet.append(["Наши клиенты на 1 декабря"])
    sheet.append([])
    sheet.append(["Название", "ИНН", "Контакт", None, None, "Договор до"])
    sheet.append([None, None, "Имя", "Телефон", "Должность", None])
    sheet.append(["Ромашка", int(ROMASHKA), "Ольга", "+7 900 000-00-01", "шеф", datetime(2026, 12, 31)])  # noqa: DTZ001
    sheet.append([])
    sheet.append(["Лютик", LUTIK])
    sheet.merge_cells("A1:F1")
    sheet.merge_cells("C3:E3")
    sheet.merge_cells("A3:A4")
    book.save(tmp_path / "clients.xlsx")
    first, second = read_clients(tmp_path / "clients.xlsx")
    assert (first.number, first.contact, first.contact_phone, first.post) == (
        5,
        "Ольга",
        "+7 900 000-00-01",
        "шеф",
    )
    assert (first.contract_until, first.refusal) == ("2026-12-31", None)
    assert (second.number, second.name, second.contact) == (7, "Лютик", "")


def test_five_thousand_lines_take_seconds(database, table):
    rows = "".join(f"ООО «Лист {number}»;{inn_of(number)};Ольга {number}\n" for number in range(5_000))
    path = table(f"Название;ИНН;Контакт\n{rows}")
    start = thread_time()
    assert bring(database, path).added == 5_000
    assert bring(database, path).unchanged == 5_000
    assert thread_time() - start < 60, "a loaded machine is slow, but a query a line is slower"


def inn_of(number):
    """A company's INN with its check digit."""
    digits = f"77{number:07}"
    weights = (2, 4, 10, 3, 5, 9, 4, 6, 8)
    return digits + str(sum(int(d) * w for d, w in zip(digits, weights, strict=True)) % 11 % 10)
