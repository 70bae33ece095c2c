"""Whether everybody can read a page: axe, and nothing beyond the window's edge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from axe_playwright_python.base import AxeResults
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.e2e.browser import DESKTOP, PHONE
from tests.e2e.steps import OVERFLOW

AXE = Axe().axe_script
OPTIONS = {
    # Of what is right only how often it is: collecting the rest takes half of the time.
    "resultTypes": ["violations"],
    # For one of its rules axe copies style sheets that others import, such as the
    # admin's forms.css, into inline ones, which the content security policy refuses
    # and reports.
    "preload": False,
    # Of WCAG 2.2 (2.5.8, AA), and off unless asked for.
    "rules": {"target-size": {"enabled": True}},
}
# What a scheme can change on a page that is otherwise the same.
OF_COLOURS = ["color-contrast", "link-in-text-block"]
# Colours fade into one another when the scheme changes, and later ones when a script
# enables a link or the pointer rests on one: seen half way they may be anything. Not
# waited for: where no frame is drawn, as in a tab behind another, they would never come
# to an end. The content security policy lets a sheet made this way pass.
NO_FADING = """() => {
  if (!document.noFading) {
    document.noFading = new CSSStyleSheet();
    document.noFading.replaceSync(
      "*, ::before, ::after { transition: none !important; animation: none !important }"
    );
    document.adoptedStyleSheets.push(document.noFading);
  }
  document.getAnimations().forEach(each => each.finish());  // begun before
}"""


def _that_stays(page: Page, look: Callable[[], list[str]]) -> list[str]:
    """What is found once more a second later: a page may have been half laid out, or a
    script at work on it."""
    if look():
        page.wait_for_timeout(1000)
        return look()
    return []


def barriers(page: Page, state: str, rules: Sequence[str] = ()) -> list[str]:
    """What axe finds on the page as it is shown now; `rules` are all unless named."""
    only = {"runOnly": list(rules)} if rules else {}

    def look() -> list[str]:
        page.evaluate(NO_FADING)
        if page.evaluate("() => !window.axe"):
            page.evaluate(AXE)
        found = AxeResults(page.evaluate("it => axe.run(it)", OPTIONS | only))
        return [f"{state}: {found.generate_report()}"] if found.violations_count else []

    return _that_stays(page, look)


def too_wide(page: Page, state: str) -> list[str]:
    """Whether the page must be scrolled sideways."""

    def look() -> list[str]:
        width, window = page.evaluate(OVERFLOW)
        if width <= window:
            return []
        return [f"{state}: {width} px wide in a window of {window} px"]

    return _that_stays(page, look)


class Readable:
    """Looks at a page in every scheme, and in the first one on a phone too; `found` is
    what is wrong."""

    def __init__(self, page: Page, schemes: Sequence[str] = ("light",)) -> None:
        self.page = page
        self.schemes = schemes
        self.found: list[str] = []

    def __call__(self, state: str) -> None:
        first, *others = self.schemes
        # What was waited for may stand in the first half of a page still being read.
        self.page.wait_for_load_state("domcontentloaded")
        self._show(first)
        self._look(f"{state}, {first}")
        self.page.set_viewport_size(PHONE)
        self._look(f"{state}, {first}, phone")
        self.page.set_viewport_size(DESKTOP)
        for scheme in others:
            self._show(scheme)
            self._look(f"{state}, {scheme}", OF_COLOURS)

    def _show(self, scheme: Any) -> None:
        self.page.emulate_media(color_scheme=scheme)

    def _look(self, where: str, rules: Sequence[str] = ()) -> None:
        self.found += barriers(self.page, where, rules) + too_wide(self.page, where)
