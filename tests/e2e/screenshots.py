"""The README's pictures: `python -m tests.e2e.screenshots` (or `make screenshots`).

Runs the demo in a `var/` of its own, exactly as a newcomer does, lets simulated
people answer, and photographs the three screens.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.e2e.browser import (
    DESKTOP,
    HOW,
    PATIENCE_MS,
    PHONE,
    NoBrowser,
    chromium,
    free_port,
)
from tests.e2e.steps import consent

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs" / "images"


@dataclass(frozen=True)
class Demo:
    """A demo that serves."""

    var: Path
    survey: str

    @property
    def base(self) -> str:
        return self.survey.split("/s/")[0]

    @property
    def slug(self) -> str:
        return self.survey.rstrip("/").rsplit("/", 1)[1]

    @property
    def password(self) -> str:
        return (self.var / "demo" / "researcher_password").read_text(encoding="ascii")


@contextlib.contextmanager
def demo() -> Iterator[Demo]:
    """`manage.py demo`, from its line `Ready:` until it is stopped as by Ctrl-C."""
    with tempfile.TemporaryDirectory(prefix="nstlab-screenshots-") as folder:
        environment = {
            **os.environ,
            "NSTLAB_VAR": folder,
            "PORT": str(free_port()),
            "PYTHONUNBUFFERED": "1",
        }
        manage = [sys.executable, str(ROOT / "manage.py")]
        process = subprocess.Popen(
            [*manage, "demo"], env=environment, stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            for line in process.stdout:
                print(line, end="")
                if ready := re.match(r"Ready: (\S+)", line):
                    break
            else:
                raise SystemExit("The demo ended before it was ready.")
            running = Demo(Path(folder), ready[1])
            subprocess.run(
                [*manage, "simulate_participants", running.slug],
                env=environment,
                check=True,
            )
            yield running
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate()


def photograph(page: Page, name: str) -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    path = IMAGES / f"{name}.png"
    page.screenshot(path=path, animations="disabled")
    print(path.relative_to(ROOT))


def take_all(browser: Browser, running: Demo) -> None:
    phone = browser.new_page(viewport=PHONE, has_touch=True, is_mobile=True)
    phone.set_default_timeout(PATIENCE_MS)
    consent(phone, running.survey)
    phone.get_by_text("4 Good").tap()
    photograph(phone, "rate")

    desk = browser.new_page(viewport=DESKTOP, color_scheme="light")
    desk.set_default_timeout(PATIENCE_MS)
    desk.goto(f"{running.base}/admin/")
    desk.get_by_label("Username").fill("researcher")
    desk.get_by_label("Password").fill(running.password)
    desk.get_by_role("button", name="Log in").click()
    desk.get_by_role("link", name="Experiments", exact=True).click()
    desk.get_by_role("link", name=re.compile(r"^\d+ of \d+$")).click()
    expect(desk.get_by_text(re.compile(r"\d+ of \d+ done"))).to_be_visible()
    photograph(desk, "sheet")

    desk.goto(f"{running.base}/admin/survey/study/")
    desk.locator("#result_list tbody th a").first.click()
    desk.get_by_role("link", name="Report", exact=True).click()
    desk.get_by_role("link", name="include them").click()
    expect(desk.get_by_role("table", name="MOS by stimulus")).to_be_visible(
        timeout=4 * PATIENCE_MS
    )
    photograph(desk, "report")


def main() -> None:
    expect.set_options(timeout=PATIENCE_MS)
    try:
        with chromium() as browser, demo() as running:
            take_all(browser, running)
    except NoBrowser as error:
        raise SystemExit(f"Chromium is missing: {HOW} ({error})") from error


if __name__ == "__main__":
    main()
