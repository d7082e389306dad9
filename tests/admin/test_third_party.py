"""Waiting for a bank or a tax office from the page of a request."""

from router.model import Stage
from storage.models import History, StageInterval


def test_a_request_waits_for_others_and_goes_on(busy):
    office, numbers = busy
    number, browser = numbers["working"], office.browser("anna")
    page = browser.page(f"/panel/requests/{number}/")
    assert f"/panel/requests/{number}/outside" in page
    assert f"/panel/requests/{number}/resume" not in page
    version = office.request(number).version
    answer = browser.send(f"/panel/requests/{number}/outside", version=version, whom="банк", follow=True)
    assert "ждём третьих лиц" in answer.get_data(as_text=True)
    assert office.request(number).stage == Stage.THIRD_PARTY
    last = office.all(History, subject=f"request:{number}")[-1]
    assert (last.action, last.through) == ("waiting_outside", "panel")
    assert "банк" in last.after
    page = browser.page(f"/panel/requests/{number}/")
    assert f"/panel/requests/{number}/outside" not in page
    browser.send(f"/panel/requests/{number}/resume", version=office.request(number).version)
    assert office.request(number).stage == Stage.EXECUTION
    assert [row.stage for row in office.all(StageInterval, request_id=number)][-3:] == [
        "execution", "third_party", "execution",
    ]  # fmt: skip


def test_a_stale_page_changes_nothing(busy):
    office, numbers = busy
    number = numbers["working"]
    version = office.request(number).version
    answer = office.browser("director").send(f"/panel/requests/{number}/outside", version=version - 1)
    assert answer.status_code == 409
    assert office.request(number).stage == Stage.EXECUTION


def test_nobody_else_may(busy):
    office, numbers = busy
    number = numbers["working"]
    version = office.request(number).version
    for name, status in (("boris", 404), ("controller", 403), ("admin", 403)):
        for deed in ("outside", "resume"):
            sent = office.browser(name).send(f"/panel/requests/{number}/{deed}", version=version)
            assert sent.status_code == status, (name, deed)
    assert office.request(number).version == version
