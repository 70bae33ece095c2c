"""The pictures of README and guide: `python -m tests.e2e.screenshots`.

Runs the demo in a `var/` of its own, exactly as a newcomer does, lets simulated
people answer, and goes the way of `docs/tutorial/guide.md` with a camera.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from tests.e2e.steps import consent, go_on

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs" / "images"
TALL: Any = {"width": 1280, "height": 1200}


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
    """`manage.py demo`, from its line `Ready:` until it is told to stop."""
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
            process.terminate()
            process.communicate()


def photograph(page: Page, name: str) -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    path = IMAGES / f"{name}.png"
    page.wait_for_function("() => [...document.images].every(i => i.naturalWidth)")
    page.screenshot(path=path, animations="disabled")
    print(path.relative_to(ROOT))


def take_all(browser: Browser, running: Demo) -> None:
    logged_in = browser.new_page(viewport=DESKTOP, color_scheme="light")
    logged_in.set_default_timeout(PATIENCE_MS)
    logged_in.goto(f"{running.base}/admin/")
    logged_in.get_by_label("Username").fill("researcher")
    logged_in.get_by_label("Password").fill(running.password)
    logged_in.get_by_role("button", name="Log in").click()
    take_experiment(logged_in, running)
    take_wizard(logged_in)
    take_data(logged_in, running)
    # The phone last: the report counts whoever joins.
    phone = browser.new_page(viewport=PHONE, has_touch=True, is_mobile=True)
    phone.set_default_timeout(PATIENCE_MS)
    consent(phone, running.survey)
    phone.get_by_text("4 Good").tap()
    photograph(phone, "rate")
    logged_in.goto(f"{running.base}/admin/")
    photograph(logged_in, "home")


def take_experiment(logged_in: Page, running: Demo) -> None:
    """A grid being chosen, its sheet, two of its renders side by side."""
    logged_in.goto(f"{running.base}/admin/generation/experiment/add/")
    logged_in.get_by_label("Name").fill("Layers of a cat")
    for field, title in (
        ("Content images", "Chelsea the cat"),
        ("Style images", "Swirling strokes"),
        ("Style images", "Woodcut"),
    ):
        logged_in.get_by_role("group", name=field).get_by_label(
            title, exact=True
        ).check()
    for layer in ("conv2_1", "conv4_1"):
        logged_in.get_by_label(layer, exact=True).check()
    logged_in.get_by_label("Balances").fill("0.03, 0.1, 0.3")
    expect(logged_in.locator("#forecast")).to_contain_text("18")
    logged_in.set_viewport_size(TALL)
    photograph(logged_in, "experiment")
    logged_in.set_viewport_size(DESKTOP)

    logged_in.goto(f"{running.base}/admin/generation/experiment/")
    logged_in.get_by_role("link", name=re.compile(r"^\d+ of \d+$")).click()
    expect(logged_in.get_by_text(re.compile(r"\d+ of \d+ done"))).to_be_visible()
    photograph(logged_in, "sheet")
    sheet = logged_in.url
    for number in (0, 1):
        logged_in.locator("input[name=render]").nth(number).check()
    logged_in.get_by_role("button", name="Compare").click()
    expect(logged_in.locator(".nst-view")).not_to_have_count(0)
    photograph(logged_in, "compare")
    logged_in.goto(sheet)


def take_wizard(logged_in: Page) -> None:
    """From the sheet to a study that could be opened."""
    for box in logged_in.locator("input[name=render]").all():
        box.check()
    logged_in.get_by_role("button", name="New study of the chosen pictures").click()
    heading = logged_in.get_by_role("heading", level=1)
    expect(heading).to_have_text("Question")
    photograph(logged_in, "question")
    go_on(logged_in, "Texts")
    logged_in.get_by_label("Title").fill("Which picture is best?")
    logged_in.get_by_label("Controller").fill("Perception lab")
    logged_in.get_by_label("Contact").fill("lab@university.example")
    logged_in.get_by_label("Ethics reference").fill("2026-17")
    for step in ("Checks", "People", "Review"):
        go_on(logged_in, step)
    photograph(logged_in, "review")


def take_data(logged_in: Page, running: Demo) -> None:
    """What came in, and what it says."""
    logged_in.goto(f"{running.base}/admin/survey/study/")
    state = logged_in.locator(".field-state").get_by_text("open", exact=True)
    logged_in.locator("#result_list tbody tr").filter(has=state).locator("th a").click()
    logged_in.get_by_role("link", name="Monitor", exact=True).first.click()
    logged_in.get_by_role("link", name="count them").click()
    expect(logged_in.get_by_role("table", name="Votes by stimulus")).to_be_visible()
    photograph(logged_in, "monitor")
    logged_in.get_by_role("link", name="Report", exact=True).first.click()
    logged_in.get_by_role("link", name="include them").click()
    found = logged_in.locator(".nst-ranked li").first
    expect(found).to_be_visible(timeout=4 * PATIENCE_MS)
    logged_in.set_viewport_size(TALL)
    photograph(logged_in, "report")
    logged_in.set_viewport_size(DESKTOP)


def main() -> None:
    expect.set_options(timeout=PATIENCE_MS)
    try:
        with chromium() as browser, demo() as running:
            take_all(browser, running)
    except NoBrowser as error:
        raise SystemExit(f"Chromium is missing: {HOW} ({error})") from error


if __name__ == "__main__":
    main()
