"""A script that runs from right to left: the page turns round, the pictures do not."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Locator, expect

from tests.e2e.browser import DESKTOP, PHONE
from tests.e2e.live import LiveLab
from tests.e2e.steps import OVERFLOW, expect_picture

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
Visit = Callable[..., BrowserContext]

# The ends of what is written inside an element, in CSS pixels.
INK = """element => {
    const range = document.createRange();
    range.selectNodeContents(element);
    const box = range.getBoundingClientRect();
    return [box.left, box.right];
}"""


def box(element: Locator) -> tuple[float, float]:
    """The left and the right end of an element, in CSS pixels."""
    found = element.bounding_box()
    assert found
    return found["x"], found["x"] + found["width"]


@pytest.mark.parametrize("screen", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_in_arabic_the_page_turns_round_and_the_pictures_do_not(
    live_lab: LiveLab, visit: Visit, make_study: Any, screen: Any
) -> None:
    study = make_study(language="ar", method="pairs", contact="+49 30 1234")
    page = visit(viewport=screen).new_page()
    page.goto(live_lab.survey(study))
    tick = page.get_by_role("checkbox")
    assert box(tick)[0] > page.locator(".consent label").evaluate(INK)[0]
    numbers = page.locator("dd bdi").nth(1)
    expect(numbers).to_have_text("+49 30 1234")
    assert numbers.evaluate("it => getComputedStyle(it).direction") == "ltr"
    tick.check()
    page.locator("form[data-screen] button").click()
    expect_picture(page, 1)

    for answer in page.locator(".choice").all():
        left, right = box(answer)
        radio = box(answer.locator("input"))
        ink = answer.locator("span").evaluate(INK)
        assert left < ink[0] < ink[1] < radio[0] < radio[1] < right
    first, second = page.locator(".stage img").all()
    assert box(first)[1] < box(second)[0]
    width, room = page.evaluate(OVERFLOW)
    assert width <= room

    page.locator(".choice").first.click()
    page.locator("#answer button").last.click()
    expect_picture(page, 2)
    bar = Image.open(io.BytesIO(page.locator("progress").screenshot())).convert("L")
    done, open_ = (bar.getpixel((x, bar.height // 2)) for x in (bar.width - 9, 9))
    assert done < open_  # dark from the right
