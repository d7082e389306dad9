"""The own calendar's link: made on the own page, seen once, given out by the one port."""

import asyncio
import re

from starlette.applications import Starlette

from app.server import calendar_route
from storage import calendars
from storage.models import History, Staff


def ask(office, path, **headers):
    """A GET of the one port: status, headers, body."""
    sent = []

    def feed(token):
        with office.database.read() as session:
            return calendars.feed(session, office.house, token, "https://priem.example", office.clock)

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": path,
        "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip
    asyncio.run(Starlette(routes=[calendar_route(feed)])(scope, receive, send))
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], found, b"".join(message.get("body", b"") for message in sent[1:])


def make_link(office, name="anna"):
    page = office.browser(name).send("/panel/my-calendar/renew").get_data(as_text=True)
    return re.search(r'value="http://localhost(/calendar/[\w-]+\.ics)"', page).group(1)


def test_a_link_is_made_shown_once_and_works(busy):
    office, numbers = busy
    path = make_link(office)
    status, headers, body = ask(office, path)
    assert status == 200
    assert headers["content-type"] == "text/calendar; charset=utf-8"
    assert f"request-{numbers['working']}@priem".encode() in body
    assert f"request-{numbers['waiting']}@priem".encode() not in body
    page = office.browser("anna").page("/panel/my-calendar/")
    assert "Ссылка у вас уже есть" in page
    assert "/calendar/" not in page.replace("/my-calendar/", "").replace("/panel/calendar/", "")
    kept = next(row for row in office.all(Staff) if row.id == office.staff["anna"])
    assert kept.calendar_hash not in path
    assert office.all(History)[-1].action == "calendar_link_made"


def test_nothing_new_is_not_sent_again(busy):
    office, _numbers = busy
    path = make_link(office)
    _status, headers, _body = ask(office, path)
    for known in (headers["etag"], f'"x", W/{headers["etag"]}'):
        status, again, body = ask(office, path, if_none_match=known)
        assert (status, body, again["etag"]) == (304, b"", headers["etag"])
    assert ask(office, path, if_none_match='"older"')[0] == 200


def test_a_wrong_link_is_not_found(busy):
    office, _numbers = busy
    path = make_link(office)
    for wrong in (path.replace(".ics", "x.ics"), "/calendar/.ics", "/calendar/x.ics", path[:-4]):
        status, headers, body = ask(office, wrong)
        assert (status, body.lower()) == (404, b"not found"), wrong
        assert "etag" not in headers


def test_a_link_can_be_replaced_and_switched_off(busy):
    office, _numbers = busy
    old = make_link(office)
    new = make_link(office)
    assert (ask(office, old)[0], ask(office, new)[0]) == (404, 200)
    told = office.browser("anna").send("/panel/my-calendar/drop", follow=True).get_data(as_text=True)
    assert "Ссылка больше не работает." in told
    assert ask(office, new)[0] == 404


def test_everybody_makes_their_own_and_no_other(busy):
    office, _numbers = busy
    for name in ("director", "controller", "admin", "lawyer"):
        assert ask(office, make_link(office, name))[0] == 200
    others = {row.id: row.calendar_hash for row in office.all(Staff)}
    assert others[office.staff["anna"]] == ""
