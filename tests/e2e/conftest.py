"""A real browser, a real web server, real workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import transaction
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Response,
    expect,
)

from tests.conftest import missing
from tests.e2e.browser import DESKTOP, HOW, PATIENCE_MS, NoBrowser, chromium
from tests.e2e.live import LiveLab
from tests.elsewhere import elsewhere

__all__ = ["elsewhere"]

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    try:
        with chromium() as started:
            yield started
    except NoBrowser:
        missing("Chromium", HOW)


@pytest.fixture(scope="session")
def _lab(
    browser: Browser, broker: None, static_files: None, django_db_setup: None,
    django_db_blocker: Any,
) -> Iterator[LiveLab]:  # fmt: skip
    with django_db_blocker.unblock():
        lab = LiveLab()
    try:
        lab.start_web()
        yield lab
    finally:
        lab.stop()


@pytest.fixture
def live_lab(_lab: LiveLab, transactional_db: None) -> LiveLab:
    """A running web server whose database is this test's."""
    if not _lab.web.alive():
        _lab.start_web()
    return _lab


@pytest.fixture
def fresh_lab(live_lab: LiveLab, queues: None) -> LiveLab:
    """For the admin: a web process that saw no other test's users and types.

    Django keeps content types in memory, and every test's flush gives them new keys.
    """
    live_lab.restart_web()
    return live_lab


@pytest.fixture
def working_lab(fresh_lab: LiveLab) -> Iterator[LiveLab]:
    """With RQ workers for renders and reports too."""
    fresh_lab.start_workers()
    yield fresh_lab
    fresh_lab.stop_workers()


@pytest.fixture
def make_study(make_study: Callable[..., Any]) -> Callable[..., Any]:
    """As everywhere, in one transaction: a living worker must not paint meanwhile."""

    def make(**fields: Any) -> Any:
        with transaction.atomic():
            return make_study(**fields)

    return make


@dataclass
class Faults:
    """What no page may do, whatever the test looks at."""

    found: list[str] = field(default_factory=list)

    def watch(self, context: BrowserContext) -> None:
        context.on("console", self._console)
        context.on("weberror", lambda error: self.found.append(f"{error.error}"))
        context.on("response", self._response)

    def _console(self, message: ConsoleMessage) -> None:
        # Answers of 400 and more are looked at below, with their address.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.found.append(f"{message.text} ({message.location.get('url')})")

    def _response(self, response: Response) -> None:
        request = response.request
        is_page = request.is_navigation_request() or "x-survey" in request.headers
        if response.status >= (500 if is_page else 400):
            self.found.append(f"{response.status} {response.url}")


@pytest.fixture
def faults() -> Iterator[Faults]:
    faults = Faults()
    yield faults
    assert not faults.found, "\n".join(faults.found)


@pytest.fixture
def visit(browser: Browser, faults: Faults) -> Iterator[Callable[..., BrowserContext]]:
    """A factory of fresh browsers (contexts): own cookies, own cache, own size."""
    contexts: list[BrowserContext] = []

    def make(**options: Any) -> BrowserContext:
        context = browser.new_context(**{"viewport": DESKTOP} | options)
        context.set_default_timeout(PATIENCE_MS)
        faults.watch(context)
        contexts.append(context)
        return context

    yield make
    for context in contexts:
        context.close()


@pytest.fixture
def page(visit: Callable[..., BrowserContext]) -> Page:
    return visit().new_page()
