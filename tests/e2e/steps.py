"""What people do, step by step."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Locator, Page, expect

LABELS = {5: "Excellent", 4: "Good", 3: "Fair", 2: "Poor", 1: "Bad"}
OVERFLOW = "() => [document.documentElement.scrollWidth, window.innerWidth]"


def consent(page: Page, address: str) -> None:
    """From the welcome page to the first picture, by mouse."""
    page.goto(address)
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Start").click()
    expect_picture(page, 1)


def expect_picture(page: Page, index: int) -> None:
    """The page of picture `index`, ready to be answered."""
    expect(page.locator(".position")).to_contain_text(re.compile(rf"^\s*{index} / "))
    expect(page.locator("#answer")).to_be_visible()


def expect_loaded(page: Page) -> None:
    """The script has shown the picture: from now on no request for it can fail."""
    expect(page.locator("#keys")).not_to_have_attribute("hidden", "")
    expect(page.locator("#answer")).to_be_visible()


def go_on(page: Page, to: str) -> None:
    """From one step of the study wizard to the next."""
    page.get_by_role("button", name="Save and go on").last.click()
    expect(page.get_by_role("heading", level=1, name=to)).to_be_visible()


def choice(page: Page, value: int) -> Locator:
    return page.get_by_role("radio", name=f"{value} {LABELS[value]}", exact=True)


def next_button(page: Page) -> Locator:
    return page.get_by_role("button", name="Next")


def click_answer(page: Page, value: int) -> None:
    page.get_by_text(f"{value} {LABELS[value]}", exact=True).click()
    expect(choice(page, value)).to_be_checked()
    next_button(page).click()


def press_choice(page: Page, value: int) -> None:
    """Press the key until it counts: keys are deaf just after a picture appears."""
    for _ in range(200):
        page.keyboard.press(str(value))
        if choice(page, value).is_checked():
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"Key {value} never chose anything.")


def press_answer(page: Page, value: int) -> None:
    press_choice(page, value)
    page.keyboard.press("Enter")


def shown(page: Page) -> str:
    """The code of the stimulus on the page."""
    source = page.locator("#picture").get_attribute("src") or ""
    found = re.search(r"/picture/([^/]+)\.png", source)
    assert found, source
    return found[1]


def stored(study: Any) -> dict[str, int]:
    """Every rating of the study by stimulus; fails if one is there twice."""
    from survey.models import Rating

    rows = list(
        Rating.objects.filter(trial__participant__study=study).values_list(
            "trial__stimulus__code", "rating"
        )
    )
    assert len(dict(rows)) == len(rows), rows
    return dict(rows)
