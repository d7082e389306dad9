"""Debian's Firefox without a driver: it is spoken to in its own remote protocol, Marionette.

https://firefox-source-docs.mozilla.org/testing/marionette/Protocol.html
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

START_SECONDS = 60
ANSWER_SECONDS = 60

_ARGUMENTS = ("--headless", "--no-remote", "--marionette", "--remote-allow-system-access")
_PREFERENCES = {
    "marionette.port": 0,  # any; it writes down which
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
    "app.update.enabled": False,
    "browser.startup.page": 0,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "extensions.getAddons.cache.enabled": False,
    "services.settings.server": "http://127.0.0.1:9/",
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "intl.accept_languages": "ru",
}


@dataclass(slots=True)
class Firefox:
    """One window, spoken to by command and answer."""

    wire: socket.socket
    _kept: bytes = b""
    _said: int = 0

    def say(self, command: str, **arguments: object) -> Any:
        """Send a command and wait for its answer."""
        self._said += 1
        words = json.dumps([0, self._said, command, arguments]).encode()
        self.wire.sendall(b"%d:%s" % (len(words), words))
        kind, number, error, result = self.hear()
        assert (kind, number) == (1, self._said)
        assert error is None, f"{command}: {error}"
        return result

    def hear(self) -> Any:
        """The next packet: its length, a colon, JSON."""
        while b":" not in self._kept:
            self._more()
        length, _colon, self._kept = self._kept.partition(b":")
        while len(self._kept) < int(length):
            self._more()
        packet, self._kept = self._kept[: int(length)], self._kept[int(length) :]
        return json.loads(packet)

    def _more(self) -> None:
        got = self.wire.recv(1 << 16)
        assert got, "Firefox has gone"
        self._kept += got

    def goes(self, address: str) -> None:
        """Open a page, and wait until all of it is there."""
        self.say("WebDriver:Navigate", url=address)

    def finds(self, script: str) -> Any:
        """What a line of JavaScript returns on the page."""
        return self.say("WebDriver:ExecuteScript", script=f"return {script}", args=[], newSandbox=False)[
            "value"
        ]

    def waits(self, script: str) -> None:
        """Until a line of JavaScript is true."""
        until = monotonic() + ANSWER_SECONDS
        while not self.finds(script):
            assert monotonic() < until, script
            sleep(0.05)

    def complains(self, about: str) -> list[str]:
        """What its console has against pages of this address: broken scripts, and what the policy forbade."""
        self.say("Marionette:SetContext", value="chrome")
        try:
            script = f"Services.console.getMessageArray().map(String).filter((it) => it.includes({about!r}))"
            return [line for line in self.finds(script) if "JavaScript Error" in line or "Policy" in line]
        finally:
            self.say("Marionette:SetContext", value="content")

    def resize(self, width: int, height: int) -> None:
        """The window; Firefox has a least width of about 450."""
        self.say("WebDriver:SetWindowRect", width=width, height=height)

    def pictured(self, path: Path) -> bytes:
        """A picture of the whole page, kept for whoever wants to look."""
        shown = self.say("WebDriver:TakeScreenshot", full=True, hash=False)["value"]
        path.write_bytes(base64.b64decode(shown))
        return path.read_bytes()


def installed() -> str:
    """Debian's; without it the test is skipped on a desk and fails in the gate."""
    found = shutil.which("firefox-esr")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("no Firefox here: apt-get install firefox-esr")
        pytest.skip("no Firefox here: apt-get install firefox-esr")
    return found


@contextmanager
def firefox(folder: Path, more: Mapping[str, object] | None = None) -> Iterator[Firefox]:
    """Start Firefox with a new profile in a folder, and leave no process behind."""
    program, profile = installed(), folder / "profile"
    profile.mkdir(parents=True)
    wanted = {**_PREFERENCES, **(more or {})}
    lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in wanted.items())
    (profile / "user.js").write_text("".join(lines))
    with (folder / "firefox.txt").open("wb") as log:
        process = subprocess.Popen(
            [program, *_ARGUMENTS, "--profile", str(profile)],
            stdout=log, stderr=log, env={**os.environ, "HOME": str(folder)},
        )  # fmt: skip
    try:
        with socket.create_connection(("127.0.0.1", _port(profile, process)), ANSWER_SECONDS) as wire:
            window = Firefox(wire)
            assert window.hear()["marionetteProtocol"] == 3
            window.say("WebDriver:NewSession")
            yield window
    finally:
        process.kill()
        process.wait()


def _port(profile: Path, process: subprocess.Popen[bytes]) -> int:
    written, until = profile / "MarionetteActivePort", monotonic() + START_SECONDS
    while not written.exists() or not written.read_text().strip():
        assert process.poll() is None, "Firefox did not start"
        assert monotonic() < until, "Firefox does not answer"
        sleep(0.05)
    return int(written.read_text())


def colours(png: bytes) -> int:
    """How many different bytes the picture is made of; a blank one has next to none."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    data, at = b"", 8
    while at < len(png):
        length, kind = int.from_bytes(png[at : at + 4]), png[at + 4 : at + 8]
        if kind == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += 12 + length
    return len(set(zlib.decompress(data)))
