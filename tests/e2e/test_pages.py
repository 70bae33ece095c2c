"""Every participant page in every state: accessible, light, and fit for a thumb."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import django_rq
import pytest
from django.test import RequestFactory
from django.utils import timezone
from playwright.sync_api import BrowserContext, Page, Route, expect

from survey.models import Participant
from survey.participant import joining, rate_limits
from survey.refusals import TooMany, UnknownCode
from tests.e2e.browser import DESKTOP, PHONE, SMALL_PHONE
from tests.e2e.live import LiveLab
from tests.e2e.readable import barriers, too_wide
from tests.e2e.steps import (
    choice,
    click_answer,
    consent,
    expect_loaded,
    expect_picture,
)

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
Visit = Callable[..., BrowserContext]

LARGEST_FIRST_PAGE = 30_000
SMALLEST_TARGET = 44

TARGETS = """() => [...document.querySelectorAll(
    "button, main a:not(.link), .choice, .consent label, footer a, input[type=submit]"
)].filter(target => target.checkVisibility())
  .map(target => [target.textContent.trim(), target.getBoundingClientRect().height])"""


def too_small(page: Page, state: str) -> list[str]:
    """What a finger may miss."""
    return [
        f"{state}: “{name}” is {height} px high"
        for name, height in page.evaluate(TARGETS)
        if height < SMALLEST_TARGET
    ]


def send_unchecked(page: Page, selector: str) -> None:
    """Send a form past the browser's own check, as an old browser would."""
    page.locator(selector).evaluate(
        """form => {
            for (const field of form.querySelectorAll("[required]"))
                field.required = false;
            form.requestSubmit();
        }"""
    )


def sign_in_page(route: Route) -> None:
    """What some networks reply in a server's place."""
    if route.request.method == "POST":
        route.fulfill(body="<h1>Sign in</h1>", content_type="text/html")
    else:
        route.continue_()


@contextmanager
def too_many_codes() -> Iterator[None]:
    """As if as many codes had come from this machine as one place may send."""
    request = RequestFactory().post("/", REMOTE_ADDR="127.0.0.1")
    try:
        for _code in range(rate_limits.CODES_PER_HOUR):
            with (
                suppress(UnknownCode, TooMany),
                rate_limits.counting_wrong_codes(request),
            ):
                raise UnknownCode
        yield
    finally:
        broker = django_rq.get_connection("render")
        broker.delete(*broker.keys("survey:code:*"))


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
    page.route("**/rate/", sign_in_page)
    click_answer(page, 5)
    expect(page.get_by_text("did not come from this study")).to_be_visible()
    yield "rate with an unsent answer", page
    page.evaluate("() => localStorage.clear()")
    page.goto("about:blank")  # before its next try could arrive
    page.unroute("**/rate/")

    page.goto(address + "rate/")
    expect_picture(page, 1)
    forgotten = context.new_page()
    forgotten.goto(page.url)
    expect_picture(forgotten, 1)
    send_unchecked(page, "#answer")
    expect(page.get_by_role("alert")).to_have_text(
        "Please choose one of the answers offered."
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

    page.goto(address)
    expect(page.get_by_text("right after you finished")).to_be_visible()
    yield "thanks, later", page

    page.goto(address + "withdraw/")
    yield "withdraw", page

    stranger = context.browser.new_context() if context.browser else context
    outside = stranger.new_page()
    outside.goto(address + "withdraw/")
    yield "withdraw by code", outside
    outside.goto(address + "resume/")
    yield "resume", outside
    outside.get_by_label("Your code").fill("wrong")
    outside.get_by_role("button", name="Go on").click()
    expect(outside.get_by_role("alert")).to_contain_text("No session has this code")
    yield "resume with a wrong code", outside
    with too_many_codes():
        outside.goto(address + "resume/")
        outside.get_by_label("Your code").fill("wrong")
        outside.get_by_role("button", name="Go on").click()
        expect(outside.get_by_role("alert")).to_contain_text("Too many people")
    yield "429, too many", outside
    outside.goto(address + "declined/")
    yield "declined", outside
    consent(outside, address + "?PROLIFIC_PID=5f1c")
    expect_loaded(outside)
    joining.join(study, surroundings={}, recruit=("prolific", "5f1c", ""))
    click_answer(outside, 4)
    expect(outside.get_by_role("alert")).to_contain_text("kept in this browser")
    yield "in another browser", outside
    outside.goto(address)
    outside.get_by_role("button", name="Somebody else").click()
    consent(outside, address)
    expect_loaded(outside)
    stranger.clear_cookies(name="participant")
    click_answer(outside, 4)
    expect(outside.get_by_role("alert")).to_contain_text("kept in this browser")
    yield "a session unknown to the browser", outside
    outside.goto(address)
    key = outside.locator("[name=key]").input_value()
    begun, _code = joining.join(study, surroundings={}, key=key)
    Participant.objects.filter(pk=begun.pk).update(
        key_expires_at=timezone.now() + dt.timedelta(hours=1)
    )
    outside.get_by_role("checkbox").check()
    outside.get_by_role("button", name="Start").click()
    expect(outside.get_by_role("heading", name="start anew?")).to_be_visible()
    yield "go on or start anew", outside
    Participant.objects.filter(pk=begun.pk).update(form_done_at=timezone.now())
    outside.get_by_role("button", name="Go on where you were").click()
    expect(outside.get_by_role("link", name="have a code")).to_be_visible()
    yield "start anew, or go on by a code", outside
    outside.goto(address)
    outside.get_by_role("checkbox").check()
    stranger.clear_cookies()
    outside.get_by_role("button", name="Start").click()
    expect(outside.get_by_role("heading", name="has expired")).to_be_visible()
    yield "403, the page has expired", outside
    study.close()
    outside.goto(address)
    expect(outside.get_by_role("heading", name="This study is closed")).to_be_visible()
    yield "closed for a stranger", outside
    study.open()
    outside.close()

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
            found += barriers(page, state)
        found += too_wide(page, state) + too_small(page, state)
    assert not found, "\n".join(found)
    assert len(seen) == 26


def each_state_of_a_full_study(
    context: BrowserContext, live_lab: LiveLab, study: Any
) -> Iterator[tuple[str, Page]]:
    """The pages that only studies with everything have."""
    from survey.models import FormItem, Question, Translation

    study.stimuli.filter(pk=study.stimuli.first().pk).update(training_order=1)
    for placement, kind in (("before", "choice"), ("before", "number"),
                            ("after", "text")):  # fmt: skip
        FormItem.objects.create(
            study=study, placement=placement, kind=kind, name=f"{placement}_{kind}",
            text=f"What {kind}?", options="one\ntwo", required=kind == "choice",
        )  # fmt: skip
    Question.objects.create(study=study, name="style", text="Like the style?")
    Translation.objects.create(study=study, language="ar", title="دراسة")
    address = live_lab.survey(study)
    page = context.new_page()
    page.goto(address + "?lang=ar")
    expect(page.locator("html")).to_have_attribute("dir", "rtl")
    yield "welcome in Arabic", page
    page.goto(address + "?lang=en")
    for box in page.get_by_role("checkbox").all():
        box.check()
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("heading", name="A few questions first")).to_be_visible()
    yield "form before", page
    send_unchecked(page, "form")
    expect(page.get_by_role("alert")).to_be_visible()
    yield "form with an error", page
    page.get_by_text("two", exact=True).click()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_role("heading", name="Your screen and eyes")).to_be_visible()
    yield "checks", page
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("Practice: this answer does not count.")).to_be_visible()
    yield "practice", page
    page.goto(address + "code/")
    yield "code", page
    page.goto(address + "rate/")
    on_break = page.get_by_role("heading", name="Time for a break")
    for index in range(1, 20):
        expect(page.locator(".position")).to_contain_text(f"{index} / ")
        if on_break.is_visible():
            yield "break", page
            page.get_by_role("button", name="Go on").click()
            expect(on_break).to_be_hidden()
        expect(page.locator("#answer")).to_be_visible()
        if page.get_by_text("To check that somebody is reading").is_visible():
            yield "instructed", page
        if index == 2:
            expect(page.get_by_text("The practice is over.")).to_be_visible()
            yield "first that counts", page
        for question in page.get_by_role("group").all():
            question.locator(".choice").first.click()
        last = page.locator(".position").inner_text().strip().split(" / ")
        page.get_by_role("button", name="Next").click()
        if last[0] == last[1]:
            break
    expect(page.get_by_role("heading", name="Last questions")).to_be_visible()
    yield "form after", page
    page.get_by_role("button", name="Finish").click()
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    expect(page.get_by_text("C-123")).to_be_visible()
    yield "thanks with a code", page


@pytest.mark.parametrize("method", ["dcr", "pairs", "acr-hr"])
@pytest.mark.parametrize("width", ["dark desktop", "phone"])
def test_studies_with_everything_can_be_read_and_touched_by_everybody(
    live_lab: LiveLab, visit: Visit, make_study: Callable[..., Any], method: str,
    width: str,
) -> None:  # fmt: skip
    fields: dict[str, Any] = {"pictures": 3, "method": method}
    if method == "acr-hr":
        fields |= {
            "break_every": 2, "instructed_catches": 1, "completion_code": "C-123",
            "check_viewport": True, "check_brightness": True, "check_acuity": True,
            "check_colour": True, "ask_comment": True, "minimum_age": 18,
            "scale_points": 11, "completion_url": "https://platform.example/done",
        }  # fmt: skip
    study = make_study(**fields)
    screen = {"viewport": DESKTOP, "color_scheme": "dark"} if "desktop" in width else {
        "viewport": PHONE, "has_touch": True,
    }  # fmt: skip
    context = visit(**screen)
    if method == "acr-hr":
        states = each_state_of_a_full_study(context, live_lab, study)
    else:
        page = context.new_page()
        consent(page, live_lab.survey(study))
        states = iter([(method, page)])
    found, seen = [], []
    for state, page in states:
        seen.append(state)
        found += barriers(page, state) + too_wide(page, state) + too_small(page, state)
    assert not found, "\n".join(found)
    assert len(set(seen)) == (11 if method == "acr-hr" else 1)


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
    assert not barriers(page, "preview")


def test_a_picture_wider_than_the_phone_scrolls_by_keyboard_without_the_page(
    live_lab: LiveLab, visit: Visit, make_study: Callable[..., Any]
) -> None:
    study = make_study(pictures=2)
    study.stimuli.update(width=900, height=600)  # as the page is told; it reserves it
    page = visit(viewport=PHONE, has_touch=True).new_page()
    consent(page, live_lab.survey(study))
    assert not too_wide(page, "rate")
    assert page.locator("#picture").evaluate("picture => picture.width") == 900
    assert not barriers(page, "rate")


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
    assert not barriers(page, "preview")
