"""Finding and starting a Chromium, for the tests and for the screenshots."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
from collections.abc import Iterator

from playwright.sync_api import Browser, sync_playwright
from playwright.sync_api import Error as PlaywrightError

HOW = "run `make browser`, or install your system's chromium package"
NAMES = ("chromium", "chromium-browser", "google-chrome")
# Quiet: no request that the lab did not cause, and no GPU where there is none.
ARGUMENTS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE_MS = 30_000

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
SMALL_PHONE = {"width": 320, "height": 568}


class NoBrowser(Exception):
    """There is no Chromium on this machine, or it does not start."""


def installed_chromium() -> str | None:
    """NSTLAB_CHROMIUM, or the system's; None leaves the choice to Playwright."""
    if named := os.environ.get("NSTLAB_CHROMIUM"):
        return named
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium. Raises NoBrowser."""
    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(
                executable_path=installed_chromium(),
                headless=True,
                args=[*ARGUMENTS, *as_root],
                timeout=2 * PATIENCE_MS,
            )
        except PlaywrightError as error:
            raise NoBrowser(str(error)) from error
        try:
            yield browser
        finally:
            browser.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
