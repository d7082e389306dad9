"""What the browser tests share: one Chromium, contexts whose pages hide nothing, the service as a process."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import (
    Browser,
    BrowserContext,
    Page,
    Request,
    Response,
    async_playwright,
    expect,
)
from playwright.async_api import Error as PlaywrightError
from playwright.sync_api import expect as expect_in_sync

PRIEM = Path(sys.executable).with_name("priem")
SCREENSHOTS = Path(__file__).with_name("screenshots")

DESKTOP: Mapping[str, Any] = {"viewport": {"width": 1280, "height": 800}}
PHONE: Mapping[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
}
SMALL_PHONE: Mapping[str, Any] = {"viewport": {"width": 360, "height": 740}}

START_SECONDS = 90
STOP_SECONDS = 60
EXPECT_SECONDS = 20

expect.set_options(timeout=EXPECT_SECONDS * 1000)
expect_in_sync.set_options(timeout=EXPECT_SECONDS * 1000)

_OUTPUT = "output.txt"
_LOG = "log.txt"

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
"""The system's; without it, the one that `playwright install chromium` brings."""
CHROMIUM_ARGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_TELL_VIOLATIONS = """
    document.addEventListener("securitypolicyviolation", (event) =>
        console.error(`Content Security Policy: ${event.violatedDirective} ${event.blockedURI}`));
"""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One for all: a start takes longer than most of the tests."""
    async with async_playwright() as playwright:
        try:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS)
        except PlaywrightError as error:
            if os.environ.get("CI") or CHROMIUM is not None:
                raise
            pytest.skip(f"no Chromium here, `playwright install chromium` brings one: {error}")
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    context = await new_context(browser, SMALL_PHONE)
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(context: BrowserContext) -> AsyncIterator[Page]:
    """A page on which nothing may go wrong unnoticed: neither a script nor the policy."""
    page = await context.new_page()
    faults = Faults()
    faults.watch(page)
    yield page
    assert faults.of_scripts == []


async def new_context(browser: Browser, device: Mapping[str, Any]) -> BrowserContext:
    """A person's browser, in Russian and in Moscow."""
    return await browser.new_context(locale="ru-RU", timezone_id="Europe/Moscow", **device)


@dataclass(slots=True)
class Faults:
    """What went wrong on the watched pages."""

    of_scripts: list[str] = field(default_factory=list)
    """Exceptions, and what the page's own policy forbade."""
    of_anything: list[str] = field(default_factory=list)
    """These and whatever else the console shows in red, and what could not be fetched."""

    def watch(self, page: Page) -> None:
        page.on("pageerror", lambda error: self._script(str(error)))
        page.on("console", lambda message: self._console(message.type, message.text))
        # Playwright writes on the object of a bound method, and ours has slots.
        page.on("requestfailed", lambda request: self._failed(request))  # noqa: PLW0108
        page.on("response", lambda response: self._answered(response))  # noqa: PLW0108

    def _script(self, text: str) -> None:
        self.of_scripts.append(text)
        self.of_anything.append(text)

    def _console(self, kind: str, text: str) -> None:
        if "Content Security Policy" in text:
            self._script(text)
        elif kind in ("error", "warning"):
            self.of_anything.append(f"{kind}: {text}")

    def _failed(self, request: Request) -> None:
        # A page that is left or reloaded drops what it was still fetching; so does a download.
        if request.failure != "net::ERR_ABORTED":
            self.of_anything.append(f"{request.method} {request.url}: {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.of_anything.append(f"{response.request.method} {response.url}: {response.status}")


async def tell_violations(context: BrowserContext) -> None:
    """Let pages say in the console what their policy forbade, also where the browser would not."""
    await context.add_init_script(_TELL_VIOLATIONS)


# --- the service as a process ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Running:
    """`priem` at work."""

    process: asyncio.subprocess.Process
    folder: Path

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return (self.folder / _OUTPUT).read_text(encoding="utf-8")

    @property
    def log(self) -> str:
        return (self.folder / _LOG).read_text(encoding="utf-8")

    async def stops(self) -> int:
        """Ask it to end, and wait for its exit code."""
        if self.process.returncode is None:
            self.process.terminate()
        async with asyncio.timeout(STOP_SECONDS):
            return await self.process.wait()


@asynccontextmanager
async def running(
    arguments: Sequence[str], folder: Path, is_ready: Callable[[Running], Awaitable[bool]]
) -> AsyncIterator[Running]:
    """Start `priem` in a folder, wait until `is_ready`, and leave no process behind."""
    with (folder / _OUTPUT).open("wb") as output, (folder / _LOG).open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            str(PRIEM), *arguments, cwd=folder, env=clean_environment(), stdout=output, stderr=log
        )
    service = Running(process, folder)
    try:
        async with asyncio.timeout(START_SECONDS):
            while not await is_ready(service):
                assert process.returncode is None, service.log
                await asyncio.sleep(0.05)
        yield service
    finally:
        await service.stops()


async def has_printed_links(service: Running) -> bool:
    return "/health" in service.output


def clean_environment() -> dict[str, str]:
    """Our own variables, without what may be set for another Priem on this machine."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith("PRIEM")}


def links_in(output: str) -> dict[str, str]:
    """The links of `priem demo` by their titles."""
    return dict(re.findall(r"^ {2}(\S.*?) {2,}(http\S+)$", output, re.MULTILINE))
