"""The table of access: every route of the panel, every kind of visitor, one's own objects and others'.

A route that stands in no row fails the first test: whoever adds one decides here who may open it.
"""

import re
from datetime import timedelta

import pytest

from storage.models import Absence, CallTask, CannedReply, History, Person, Request
from tests.admin.office import Office

# In the order of the columns: Anna has the request that the addresses name, Boris and the lawyer do not.
VISITORS = ("anna", "boris", "lawyer", "controller", "deputy", "director", "admin")

OPEN_TO_ALL = {
    "admin.static", "auth.code", "auth.enter", "auth.forgotten", "auth.invitation", "auth.reset",
    "auth.sign_in", "front", "static",
}  # fmt: skip

# + may   - the section is closed (403)   0 there is no such thing for this visitor (404)
TABLE = """
admin.index                  GET   +++++++
access.index                 GET   ---++++
access.drop_factor           POST  -----++
access.end_sessions          POST  -----++
board.index                  GET   ++++++-
board.move                   GET   +00-++-
board.move                   POST  +00-++-
board.cards                  GET   ++++++-
calendar.index               GET   ++++++-
calls.index                  GET   +++++++
calls.done                   POST  +00++++
client.index                 GET   ---++++
client.add                   POST  ----+++
client.change                POST  ----+++
client.detach                POST  ----+++
client.correspondence        GET   ---+++0
client.files                 GET   ---+++0
client.requests              GET   ---+++0
clients.index                GET   ---++++
clients.one                  GET   ---++++
clients.one                  POST  ----+++
clients.confirm              POST  ----+++
consents.index               GET   ----+++
consents.withdraw            POST  ----+++
copies.index                 GET   ---++++
copies.now                   POST  -----++
coverage.index               GET   ---++++
coverage.invite              POST  ----+++
coverage.export              POST  ----+++
coverage.invite_all          POST  ----+++
clients.bring                GET   ----+++
clients.bring                POST  ----+++
clients.store                POST  ----+++
erasure.index                GET   -----++
erasure.client               GET   -----++
erasure.client               POST  -----++
erasure.data                 POST  -----++
erasure.retention            GET   -----++
erasure.retention            POST  -----++
erasure.person               GET   -----++
erasure.person               POST  -----++
history.index                GET   ---++++
history.archives             GET   ---++++
history.archive              POST  ------0
history.check                GET   ---++++
history.order                POST  -----+-
looks.choose                 POST  0000000
messengers.index             GET   ---++++
my_calendar.index            GET   +++++++
my_calendar.drop             POST  +++++++
my_calendar.renew            POST  +++++++
profile.index                GET   +++++++
profile.index                POST  +++++++
profile.factor               GET   +++++++
profile.renew_codes          POST  0000000
profile.confirm_factor       POST  +++++++
profile.drop_factor          POST  0000000
profile.password             POST  +++++++
profile.end_session          POST  0000000
profile.end_every_session    POST  +++++++
recording.index              GET   ++++++-
recording.index              POST  ++++++-
requests.index               GET   ++++++-
requests.one                 GET   +00+++-
requests.do                  POST  +00-++-
requests.whole               GET   000+++-
requests.download            GET   +00+++-
requests.reassign_many       POST  ----++-
admin.risk                   GET   ++++++-
admin.duty_list              GET   ++++++-
settings.index               GET   ----+++
settings.give_back           POST  ----++-
settings.consent             GET   ----+++
settings.consent             POST  ----++-
settings.hours               GET   ----+++
settings.hours               POST  ----++-
settings.kinds               GET   ----+++
settings.kinds               POST  ----++-
replies.index                GET   ----+++
replies.one                  GET   ----+++
replies.one                  POST  ----++-
replies.delete               POST  ----++-
replies.new                  GET   ----++-
replies.new                  POST  ----++-
routing.index                GET   ----+++
routing.index                POST  ----++-
settings.terms               GET   ----+++
settings.terms               POST  ----++-
texts.index                  GET   ----+++
texts.one                    GET   ----000
texts.one                    POST  ----000
texts.give_back              POST  ----00-
auth.sign_out                POST  +++++++
colleague.index              GET   ---++++
colleague.hours              GET   ---++++
colleague.hours              POST  ----+++
colleagues.index             GET   ---++++
colleagues.one               GET   ---++++
colleagues.one               POST  ----+++
colleagues.away              POST  ----+++
colleagues.back              POST  ----+++
colleagues.invite_again      POST  ----+++
colleagues.invite            POST  ----+++
timeline.index               GET   ++++++-
times.index                  GET   ---+++-
times.behind                 GET   ---000-
times.norms                  GET   ---+++-
times.norms                  POST  -----+-
times.people                 GET   ---+++-
admin.today                  GET   +++++++
unassigned.index             GET   ---+++-
unassigned.assign            POST  ----++-
"""

ROWS = {
    (endpoint, method): columns
    for endpoint, method, columns in (line.split() for line in TABLE.strip().splitlines())
}


def arguments(office: Office, numbers: dict[str, int], file_id: int) -> dict[str, object]:
    """The objects that the addresses name: a request of Anna with its call, a client of hers, Boris' card."""
    with office.database.begin() as session:
        number = numbers["working"]
        call = CallTask(person_id=office.speakers[0], request_id=number, reason="x", created_at=office.clock)
        reply = CannedReply(title="Ответ", text="Готово.", updated_at=office.clock)
        absence = Absence(
            staff_id=office.staff["boris"], starts_at=office.clock, ends_at=office.clock + timedelta(days=2)
        )
        session.add_all((call, reply, absence))
    return {
        "number": numbers["working"],
        "file_id": file_id,
        "client_id": office.clients[0],
        "person_id": office.speakers[0],
        "staff_id": office.staff["boris"],
        "deed": "note",
        "part": "hours",
        "key": "0" * 64,
        "absence_id": absence.id,
        "call_id": call.id,
        "reply_id": reply.id,
        "session_id": 999,
    }


def routes(office: Office, named: dict[str, object]):
    """Every route behind the sign-in page with the numbers filled in, method by method."""
    for rule in sorted(office.app.url_map.iter_rules(), key=lambda rule: rule.rule):
        if rule.endpoint in OPEN_TO_ALL:
            continue
        path = rule.rule
        for name in rule.arguments:
            path = re.sub(rf"<(?:\w+:)?{name}>", str(named.get(name, 999)), path)
        for method in sorted(rule.methods - {"HEAD", "OPTIONS"}):
            yield rule.endpoint, method, path


def attached(office: Office, number: int) -> int:
    from storage.models import Attachment

    return office.all(Attachment, request_id=number)[0].id


def asked_for(browser, method: str, path: str):
    return browser.get(path) if method == "GET" else browser.send(path, version="0", code="x")


def is_at_the_door(answer) -> bool:
    return answer.status_code == 302 and answer.headers["Location"].startswith("/panel/sign-in")


def opened(browser, method: str, path: str) -> str:
    """What came of it, in the signs of the table."""
    answer = asked_for(browser, method, path)
    if is_at_the_door(answer) and not path.endswith(("/sign-out", "/profile/sessions/end")):
        return "out"
    return {403: "-", 404: "0", 500: "broken"}.get(answer.status_code, "+")


def test_every_route_stands_in_the_table_and_the_table_names_no_other(busy):
    office, numbers = busy
    named = arguments(office, numbers, 1)
    found = {(endpoint, method) for endpoint, method, _path in routes(office, named)}
    assert found == set(ROWS)


@pytest.mark.parametrize("column", range(len(VISITORS)), ids=VISITORS)
def test_the_table_holds(busy, column):
    office, numbers = busy
    named = arguments(office, numbers, attached(office, numbers["working"]))
    wrong = {}
    for endpoint, method, path in routes(office, named):
        seen = opened(office.browser(VISITORS[column]), method, path)
        # A route that stands in no row is told of above, once.
        if (endpoint, method) in ROWS and seen != ROWS[endpoint, method][column]:
            wrong[endpoint, method] = seen
    assert wrong == {}


@pytest.mark.parametrize("visitor", ["nobody", "client", "forged"])
def test_nobody_without_a_session_of_staff_gets_beyond_the_door(busy, visitor):
    office, numbers = busy
    named = arguments(office, numbers, attached(office, numbers["working"]))
    before = len(office.all(History))
    for _endpoint, method, path in routes(office, named):
        browser = office.browser()
        if visitor != "nobody":
            token = {"client": "client-0", "forged": f"{office.staff['director']}.key"}[visitor]
            with browser.client.session_transaction(base_url="http://localhost/panel/") as session:
                session["_user_id"], session["csrf_token"] = token, "token"
            browser.client.set_cookie("priem_chat", "client-0", path="/")
        assert is_at_the_door(asked_for(browser, method, path)), (method, path)
    assert len(office.all(History)) == before


def test_a_person_of_a_client_gets_no_session_by_any_door(busy):
    office, _numbers = busy
    with office.database.begin() as session:
        person = session.get_one(Person, office.speakers[0])
        person.email = "client@romashka.example"
        session.add(person)
    browser = office.browser()
    answer = browser.send("/panel/sign-in", email="client@romashka.example", password="x" * 12)
    assert answer.status_code == 401
    browser.send("/panel/forgotten", email="client@romashka.example")
    assert browser.get("/panel/").status_code == 302


# --- Guessed numbers -----------------------------------------------------------------------------------

OF_A_REQUEST = ("requests.one", "requests.do", "board.move")


@pytest.mark.parametrize("name", ["anna", "boris", "lawyer"])
def test_no_guessed_number_opens_anothers_request(busy, name):
    office, _numbers = busy
    browser = office.browser(name)

    for row in office.all(Request):
        own = row.assignee_id == office.staff[name]
        named = arguments(office, {"working": row.id}, 1)
        for endpoint, method, path in routes(office, named):
            if endpoint not in OF_A_REQUEST:
                continue
            if method == "GET":
                assert (opened(browser, method, path) == "+") == own, path
            elif not own:
                assert opened(browser, method, path) == "0", path


def test_no_file_opens_under_ones_own_number_that_belongs_to_another(busy):
    office, numbers = busy
    foreign = attached(office, numbers["working"])
    own = office.submit(1, "pay", "Своя заявка Бориса")
    office.give(own, "boris")
    mine = office.attach(own, content=b"%PDF-1.4\nother\n%%EOF\n")
    boris = office.browser("boris")
    assert boris.get(f"/panel/requests/{own}/files/{mine}").status_code == 200
    assert boris.get(f"/panel/requests/{own}/files/{foreign}").status_code == 404
    assert boris.get(f"/panel/requests/{numbers['working']}/files/{foreign}").status_code == 404
    assert boris.get(f"/panel/requests/{numbers['working']}/files/{mine}").status_code == 404


def test_lists_name_nothing_that_is_anothers(busy):
    office, numbers = busy
    boris = office.browser("boris")
    for path in ("/panel/", "/panel/today", "/panel/risk", "/panel/requests/", "/panel/board/",
                 "/panel/board/cards", "/panel/timeline/", "/panel/calendar/", "/panel/calls/",
                 f"/panel/requests/?client={office.clients[0]}&assignee={office.staff['anna']}",
                 f"/panel/requests/?q={numbers['working']}", "/panel/requests/?q=Свет"):  # fmt: skip
        page = boris.get(path).get_data(as_text=True)
        assert "ООО «Свет»" not in page, path
        assert f"/panel/requests/{numbers['working']}/" not in page, path
