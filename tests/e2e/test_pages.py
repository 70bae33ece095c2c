"""Every participant page in every state: accessible, light, and fit for a thumb."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect

from tests.e2e.browser import DESKTOP, PHONE, SMALL_PHONE
from tests.e2e.live import LiveLab
from tests.e2e.steps import OVERFLOW, choice, click_answer, consent, expect_picture

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
Visit = Callable[..., BrowserContext]

LARGEST_FIRST_PAGE = 30_000
SMALLEST_TARGET = 44

TARGETS = """() => [...document.querySelectorAll(
    "button, a.button, .choice, .consent label, footer a, input[type=submit]"
)].filter(target => target.checkVisibility())
  .map(target => [target.textContent.trim(), target.getBoundingClientRect().height])"""


def send_unchecked(page: Page, selector: str) -> None:
    """Send a form past the browser's own check, as an old browser would."""
    page.locator(selector).evaluate("form => { form.noValidate = true; }")
    page.locator(selector).evaluate("form => form.requestSubmit()")


def each_state(context: BrowserContext, live_lab: LiveLab, study: Any) -> Iterator[
    tuple[str, Page]
]:  # fmt: skip
    """Visit a study so that every page is seen in every state it has."""
    address = live_lab.survey(study)
    page = context.new_page()

    page.goto(live_lab.base + "/s/nothing-here/")
    expect(page.get_by_role("heading", name="Not found")).to_be_visible()
    yield "404", page

    page.goto(address)
    yield "welcome", page

    send_unchecked(page, "form")
    expect(page.get_by_role("alert")).to_have_text(
        "Please tick the box if you want to take part."
    )
    yield "welcome with an error", page

    consent(page, address)
    yield "rate", page

    choice(page, 4).focus()
    choice(page, 4).check()
    yield "rate with a choice", page

    page.goto(address)
    expect(page.get_by_role("link", name="Go on where you were")).to_be_visible()
    yield "welcome back", page

    page.route("**/picture/*", lambda route: route.abort())
    page.goto(address + "rate/")
    expect(page.get_by_text("The picture did not load.")).to_be_visible()
    yield "rate with a missing picture", page
    page.unroute("**/picture/*")

    page.goto(address + "rate/")
    expect_picture(page, 1)
    forgotten = context.new_page()
    forgotten.goto(page.url)
    expect_picture(forgotten, 1)
    send_unchecked(page, "#answer")
    expect(page.get_by_role("alert")).to_have_text(
        "Please choose one of the five answers."
    )
    expect_picture(page, 1)
    yield "rate with an error", page

    click_answer(page, 5)
    expect_picture(page, 2)
    click_answer(forgotten, 2)
    expect(forgotten.get_by_role("alert")).to_contain_text("already answered")
    yield "refused", forgotten
    forgotten.close()

    study.close()
    page.goto(address)
    expect(page.get_by_role("heading", name="This study is closed")).to_be_visible()
    yield "closed", page
    study.open()

    page.goto(address + "rate/")
    expect_picture(page, 2)
    click_answer(page, 1)
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    yield "thanks", page

    page.goto(address + "withdraw/")
    yield "withdraw", page

    page.get_by_role("button", name="Delete my answers").click()
    expect(page.get_by_role("heading", name="You have withdrawn")).to_be_visible()
    yield "withdrawn", page


@pytest.mark.parametrize(
    "screen",
    [
        pytest.param({"viewport": DESKTOP}, id="desktop"),
        pytest.param({"viewport": PHONE, "has_touch": True}, id="phone"),
        pytest.param({"viewport": SMALL_PHONE, "has_touch": True}, id="small-phone"),
    ],
)
def test_every_page_in_every_state_can_be_read_and_touched_by_everybody(
    live_lab: LiveLab,
    visit: Visit,
    make_study: Callable[..., Any],
    screen: dict[str, Any],
) -> None:
    found: list[str] = []
    seen = []
    for state, page in each_state(visit(**screen), live_lab, make_study(pictures=2)):
        seen.append(state)
        if screen["viewport"] != SMALL_PHONE:  # axe reads the same page as on a phone
            report = Axe().run(page)
            if report.violations_count:
                found.append(f"{state}: {report.generate_report()}")
        width, available = page.evaluate(OVERFLOW)
        if width > available:
            found.append(f"{state}: {width} px wide in a window of {available} px")
        for name, height in page.evaluate(TARGETS):
            if height < SMALLEST_TARGET:
                found.append(f"{state}: “{name}” is {height} px high")
    assert not found, "\n".join(found)
    assert len(seen) == 13


def test_a_pilot_says_on_every_page_that_nothing_counts(
    live_lab: LiveLab, page: Page, make_study: Callable[..., Any]
) -> None:
    from survey.models import Study

    study = make_study(pictures=2)
    Study.objects.update(state=Study.State.PILOTING)
    said = page.get_by_text("Pilot: nothing you answer here counts.")
    page.goto(live_lab.survey(study))
    expect(said).to_be_visible()
    consent(page, live_lab.survey(study))
    expect(said).to_be_visible()
    assert Axe().run(page).violations_count == 0


def test_a_picture_wider_than_the_phone_scrolls_by_keyboard_without_the_page(
    live_lab: LiveLab, visit: Visit, make_study: Callable[..., Any]
) -> None:
    study = make_study(pictures=2)
    study.stimuli.update(width=900, height=600)  # as the page is told; it reserves it
    page = visit(viewport=PHONE, has_touch=True).new_page()
    consent(page, live_lab.survey(study))
    width, available = page.evaluate(OVERFLOW)
    assert width <= available
    assert page.locator("#picture").evaluate("picture => picture.width") == 900
    report = Axe().run(page)
    assert report.violations_count == 0, report.generate_report()


def test_the_first_rating_page_is_light(
    live_lab: LiveLab, visit: Visit, study: Any
) -> None:
    joined = visit()
    consent(joined.new_page(), live_lab.survey(study))
    context = visit(storage_state=joined.storage_state())  # the same person, no cache
    page = context.new_page()
    wire = context.new_cdp_session(page)
    wire.send("Network.enable")
    kinds: dict[str, str] = {}
    sizes: dict[str, float] = {}
    wire.on(
        "Network.responseReceived",
        lambda event: kinds.update({event["requestId"]: event["type"]}),
    )
    wire.on(
        "Network.loadingFinished",
        lambda event: sizes.update({event["requestId"]: event["encodedDataLength"]}),
    )
    page.goto(live_lab.survey(study) + "rate/", wait_until="networkidle")
    expect_picture(page, 1)
    transferred = {
        kind: sum(sizes[key] for key in sizes if kinds.get(key) == kind)
        for kind in set(kinds.values())
    }
    assert {"Document", "Stylesheet", "Script"} <= transferred.keys()
    pictures = transferred.pop("Image", 0)
    assert pictures > 0
    assert sum(transferred.values()) < LARGEST_FIRST_PAGE, transferred


def test_a_forced_error_page_is_readable_without_the_lab(
    live_lab: LiveLab, page: Page, study: Any
) -> None:
    """Somebody else's picture, and an address that needs a person taking part."""
    code = study.stimuli.first().code
    answer = page.goto(f"{live_lab.survey(study)}picture/{code}.png")
    assert answer is not None and answer.status == 403
    expect(page.get_by_role("heading", name="Not allowed")).to_be_visible()
    assert Axe().run(page).violations_count == 0
