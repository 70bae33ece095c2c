"""Whether everybody can read a page: axe, and nothing beyond the window's edge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.e2e.browser import DESKTOP, PHONE
from tests.e2e.steps import OVERFLOW

# For one of its rules axe copies style sheets that others import, such as the admin's
# forms.css, into inline ones, which the content security policy refuses and reports.
AXE = {"preload": False}
# Colours fade into one another when the scheme changes.
SETTLED = "() => Promise.all(document.getAnimations().map(each => each.finished))"


def barriers(page: Page, state: str) -> list[str]:
    """What axe finds on the page as it is shown now."""
    report = Axe().run(page, options=AXE)
    return [f"{state}: {report.generate_report()}"] if report.violations_count else []


def too_wide(page: Page, state: str) -> list[str]:
    """Whether the page must be scrolled sideways."""
    width, window = page.evaluate(OVERFLOW)
    if width <= window:
        return []
    return [f"{state}: {width} px wide in a window of {window} px"]


class Readable:
    """Looks at a page in every scheme, and in the first one on a phone too; `found` is
    what is wrong."""

    def __init__(self, page: Page, schemes: Sequence[str] = ("light",)) -> None:
        self.page = page
        self.schemes = schemes
        self.found: list[str] = []

    def __call__(self, state: str) -> None:
        for number, scheme in enumerate(self.schemes):
            media: Any = scheme
            self.page.emulate_media(color_scheme=media)
            self._look(f"{state}, {scheme}")
            if number == 0:
                self._resize(PHONE)
                self._look(f"{state}, {scheme}, phone")
                self._resize(DESKTOP)

    def _look(self, where: str) -> None:
        self.page.evaluate(SETTLED)
        self.found += barriers(self.page, where) + too_wide(self.page, where)

    def _resize(self, viewport: Any) -> None:
        self.page.set_viewport_size(viewport)
