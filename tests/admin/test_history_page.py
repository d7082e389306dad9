"""The history: its chain can be checked, its archive is ordered and taken, nothing is ever deleted."""

import hashlib
import io
import json
import re
import zipfile
from datetime import timedelta

import pytest

from admin.views import history as history_view
from storage import history
from storage.models import History


def tamper(office, line_id: int, **values) -> None:
    """Change a line as only somebody with the database's own tools could."""
    from sqlalchemy import text, update

    with office.database.begin() as session:
        triggers = session.execute(
            text("select name, sql from sqlite_master where type = 'trigger' and tbl_name = 'history'")
        ).all()
        for name, _sql in triggers:
            session.execute(text(f"drop trigger {name}"))
        session.execute(update(History).where(History.id == line_id).values(**values))
        for _name, sql in triggers:
            session.execute(text(sql))


def test_a_whole_chain_is_said_to_be_whole(busy):
    office, _numbers = busy
    page = office.browser("director").page("/panel/history/check")
    lines = len(office.all(History))
    assert f"Проверено записей: {lines}. Всё цело" in page
    assert "/panel/history/check" in office.browser("director").page("/panel/history/")


def test_a_changed_line_is_found(busy):
    office, _numbers = busy
    line = office.all(History)[10]
    tamper(office, line.id, after='{"text":"я этого не писал"}')
    page = office.browser("admin").page("/panel/history/check")
    assert f"Цепочка нарушена на записи № {line.id}" in page


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_a_long_chain_is_checked_in_parts(busy, rows):
    office, _numbers = busy
    lines = office.all(History)
    with office.database.read() as session:
        after, walked, parts = 0, 0, 0
        while True:
            part = history.verify_part(session, after, rows)
            after, walked, parts = part.last_id, walked + part.rows, parts + 1
            assert part.broken_at is None
            if part.finished:
                break
    assert (walked, after) == (len(lines), lines[-1].id)
    assert parts == len(lines) // rows + 1


def test_what_was_not_checked_in_time_is_offered(busy, monkeypatch):
    office, _numbers = busy
    monkeypatch.setattr(history_view, "ROWS_IN_PART", 5)
    moments = iter(range(100))
    monkeypatch.setattr(history_view, "monotonic", lambda: next(moments))
    browser = office.browser("director")
    lines, seen, address = len(office.all(History)), 0, "/panel/history/check"
    while address:
        page = browser.page(address)
        seen += 1
        found = re.search(r'href="(/panel/history/check\?[^"]+)"', page)
        address = found.group(1).replace("&amp;", "&") if found else None
    assert seen > 1
    assert f"Проверено записей: {lines}. Всё цело" in page


def ordered(office, **changes):
    day = (office.clock - timedelta(days=1)).date().isoformat()
    fields = {"until": day, "reason": "приказ № 4 от 24.11.2026", **changes}
    return office.browser("director").send("/panel/history/order", **fields)


def taken(office, name: str, order_id: int):
    """The archive as a browser takes it: to the end, and then it is closed."""
    path = f"/panel/history/archive/{order_id}"
    return office.browser(name).client.post(path, data={"csrf_token": "token-of-the-test"}, buffered=True)


def test_only_a_director_orders_and_only_the_administrator_archives(busy):
    office, _numbers = busy
    for name in ("deputy", "controller", "admin"):
        sent = office.browser(name).send("/panel/history/order", until="2026-11-01", reason="x")
        assert sent.status_code == 403
    assert ordered(office).status_code == 302
    order = office.all(History)[-1]
    assert (order.action, order.actor_id) == ("archive_ordered", office.persons["director"])
    for name in ("director", "deputy", "controller"):
        assert taken(office, name, order.id).status_code == 403
    assert taken(office, "admin", order.id).status_code == 200
    for wrong in (order.id + 1, order.id - 1, 1):
        assert taken(office, "admin", wrong).status_code == 404


@pytest.mark.parametrize("changes", [{"until": ""}, {"until": "2026-11-25"}, {"until": "x"}, {"reason": " "}])
def test_an_order_that_says_too_little_is_refused(busy, changes):
    office, _numbers = busy
    before = len(office.all(History))
    assert ordered(office, **changes).status_code == 422
    assert len(office.all(History)) == before


def digest(line, *names: str) -> str:
    """As anybody can compute it from an archive alone."""
    text = json.dumps([line[name] for name in names], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def test_an_archive_proves_itself_and_takes_nothing_away(busy):
    office, _numbers = busy
    ordered(office)
    order = office.all(History)[-1]
    before = office.all(History)
    answer = taken(office, "admin", order.id)
    archive = zipfile.ZipFile(io.BytesIO(answer.data))
    lines = [json.loads(line) for line in archive.read("history.jsonl").splitlines()]
    summary = json.loads(archive.read("summary.json"))
    previous = "0" * 64
    for line in lines:
        assert line["previous_hash"] == previous
        assert line["values_digest"] == digest(line, "salt", "before", "after")
        previous = digest(
            line, "previous_hash", "at", "actor_id", "through", "action", "subject", "values_digest"
        )
        assert line["hash"] == previous
    assert (summary["rows"], summary["last_hash"]) == (len(lines), previous)
    midnight = office.clock.astimezone(office.house.calendar.zone).replace(hour=0, minute=0)
    assert [line["id"] for line in lines] == [line.id for line in before if line.at < midnight]
    assert 0 < len(lines) < len(before)
    after = office.all(History)
    assert [line.id for line in after[: len(before)]] == [line.id for line in before]
    mark = json.loads(after[-1].after)
    assert (after[-1].action, mark["order"], mark["rows"]) == ("archive_made", order.id, len(lines))
    assert mark["sha256"] == hashlib.sha256(answer.data).hexdigest()
    page = office.browser("director").page("/panel/history/archive")
    assert mark["sha256"] in page
    assert "приказ № 4" in page
    assert "Денис Админов" in page
    with office.database.read() as session:
        assert history.verify(session).ok


def test_openings_are_found_by_person_and_day(busy):
    office, numbers = busy
    file_id = office.attach(numbers["working"])
    for name in ("anna", "director"):
        office.browser(name).get(f"/panel/requests/{numbers['working']}/files/{file_id}")
    browser = office.browser("controller")
    person = office.persons["anna"]
    page = browser.page(
        f"/panel/history/?action=file_opened&actor={person}&since=2026-11-25&until=2026-11-25"
    )
    assert page.count("<b>открыл файл</b>") == 1
    assert browser.page("/panel/history/?action=file_opened&until=2026-11-24").count("<b>открыл") == 0
    assert browser.page("/panel/history/?action=file_opened").count("<b>открыл файл</b>") == 2
