"""Nothing secret and nothing personal comes out of the logs."""

import io
import json
import logging

import pytest
import structlog

from app import logs

SECRETS = {
    "telegram url": ("https://api.telegram.org/bot123456:AAbb-Cc_dd/getMe", "AAbb-Cc_dd"),
    "telegram url quoted": ("GET /bot123456%3AAAbb-Cc_dd/getMe", "AAbb-Cc_dd"),
    "telegram token": ("token is 123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw", "AAHdqTcv"),
    "header": ("Authorization: Bearer abc.def-ghi", "abc.def-ghi"),
    "basic": ("{'Authorization': 'Basic dXNlcjpwYXNz'}", "dXNlcjpwYXNz"),
    "json": ('{"auth_token": "4453b6ac12345678-abc"}', "4453b6ac"),
    "query": ("https://vk.com/method?access_token=vk1.a.XyZ&v=5", "vk1.a.XyZ"),
    "password": ("password=hunter2", "hunter2"),
    "secret key": ("secret_key: 'my-secret-0123'", "my-secret-0123"),
    "database": ("postgresql://priem:hunter2@db/priem", "hunter2"),
    "code in a link": ("GET /chat?code=YNTD6NZV6X2XN72BYR6C", "YNTD6NZV"),
    "phone": ("call +7 (495) 111-22-33 now", "111-22-33"),
    "plain phone": ("89161112233", "9161112233"),
    "INN": ("inn 7707083893 refused", "7707083893"),
    "account": ("40702810900000012345", "0000012345"),
}


@pytest.mark.parametrize(("text", "secret"), SECRETS.values(), ids=SECRETS.keys())
def test_a_secret_in_a_text(text, secret):
    assert secret not in logs.redact(text)
    assert logs.MASK in logs.redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "letter sent to chat 17 in 350 ms",
        "2026-11-22 02:04:00 request 118 closed",
        "the token is refused",
        "GET /hooks/telegram 200",
        "address 127.0.0.1:8080",
    ],
)
def test_the_rest_stays(text):
    assert logs.redact(text) == text


@pytest.fixture(params=[True, False], ids=["json", "console"])
def stream(request):
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    logs.configure(as_json=request.param, secrets=["s3cret-value"], stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def test_named_values_and_known_secrets_are_masked(stream):
    structlog.get_logger("priem").info(
        "letter sent",
        token="abc",
        headers={"Authorization": "xyz"},
        inn=7707083893,
        note="has s3cret-value",
        chat=17,
    )
    written = stream.getvalue()
    for secret in ("abc", "xyz", "7707083893", "s3cret-value"):
        assert secret not in written
    assert "letter sent" in written
    assert "17" in written


def test_the_standard_librarys_loggers_go_through_it(stream):
    logging.getLogger("viberbot").error(
        "failed: %s", {"auth_token": "4453b6ac"}, extra={"phone": "+79161112233"}
    )
    written = stream.getvalue()
    assert "4453b6ac" not in written
    assert "9161112233" not in written
    assert "failed" in written


@pytest.mark.parametrize("logger", [structlog.get_logger, logging.getLogger], ids=["structlog", "logging"])
def test_an_exceptions_text_is_masked(stream, logger):
    def fail():
        raise RuntimeError("GET https://x/bot123456:AAbb-Cc_dd/getMe by +7 916 111-22-33, s3cret-value")

    try:
        fail()
    except RuntimeError:
        logger("priem").exception("receiving failed")
    written = stream.getvalue()
    assert "RuntimeError" in written
    for secret in ("AAbb-Cc_dd", "111-22-33", "s3cret-value"):
        assert secret not in written


def test_an_event_is_a_line_of_json():
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        logs.configure(as_json=True, stream=stream)
        structlog.get_logger("priem").info("заявка принята", number=118)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.captureWarnings(capture=False)
        structlog.reset_defaults()
    event = json.loads(stream.getvalue())
    assert (event["event"], event["number"], event["level"], event["logger"]) == (
        "заявка принята",
        118,
        "info",
        "priem",
    )
    assert event["timestamp"].endswith("Z")
