"""No answer is lost and nothing advances silently, whatever the network does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, Response, Route, expect

from survey.models import Participant, Question, Rating, Trial
from survey.participant import joining
from tests.e2e.browser import PHONE
from tests.e2e.live import LiveLab
from tests.e2e.steps import (
    choice,
    click_answer,
    consent,
    expect_loaded,
    expect_picture,
    press_choice,
    shown,
    stored,
)

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
Visit = Callable[..., BrowserContext]
UNSENT = "Your answer is kept in this browser and will be sent."
KEPT = "() => Object.keys(localStorage).length"


def only_posts(act: Callable[[Route], None]) -> Callable[[Route], None]:
    def handle(route: Route) -> None:
        if route.request.method == "POST":
            act(route)
        else:
            route.continue_()

    return handle


def test_a_dead_network_keeps_the_answer_and_says_so(
    live_lab: LiveLab, page: Page, study: Any
) -> None:
    consent(page, live_lab.survey(study))
    first = shown(page)
    page.context.set_offline(True)
    click_answer(page, 4)
    expect(page.get_by_text(UNSENT)).to_be_visible()
    expect_picture(page, 1)
    assert not Rating.objects.exists()
    page.context.set_offline(False)
    expect_picture(page, 2)
    expect(page.get_by_text(UNSENT)).to_be_hidden()
    assert stored(study) == {first: 4}


def test_an_answer_survives_a_reload_before_it_was_sent(
    live_lab: LiveLab, page: Page, study: Any
) -> None:
    consent(page, live_lab.survey(study))
    first = shown(page)
    page.route("**/rate/", only_posts(lambda route: route.abort()))
    click_answer(page, 2)
    expect(page.get_by_text(UNSENT)).to_be_visible()
    page.unroute("**/rate/")
    page.reload()
    expect_picture(page, 2)
    assert stored(study) == {first: 2}


def test_a_reply_that_gets_lost_leaves_one_answer(
    live_lab: LiveLab, page: Page, study: Any
) -> None:
    consent(page, live_lab.survey(study))
    first = shown(page)
    lost: list[int] = []

    def lose(route: Route) -> None:
        if lost:
            return route.continue_()
        lost.append(route.fetch().status)
        return route.abort()

    page.route("**/rate/", only_posts(lose))
    click_answer(page, 5)
    expect_picture(page, 2)
    assert lost == [200]
    assert stored(study) == {first: 5}


def test_the_next_picture_is_there_before_it_is_asked_for(
    live_lab: LiveLab, page: Page, study: Any
) -> None:
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url) if "/picture/" in r.url else None)
    consent(page, live_lab.survey(study))
    page.wait_for_timeout(300)
    ahead = page.locator("[data-ahead]").first.get_attribute("href") or "none"
    assert any(url.endswith(ahead) for url in asked)
    click_answer(page, 3)
    expect_picture(page, 2)
    assert ahead in (page.locator("#picture").get_attribute("src") or "")


def test_withdrawing_empties_the_outbox(
    live_lab: LiveLab, page: Page, study: Any
) -> None:
    address = live_lab.survey(study)
    consent(page, address)
    page.route("**/rate/", only_posts(lambda route: route.abort()))
    click_answer(page, 2)
    expect(page.get_by_text(UNSENT)).to_be_visible()
    assert page.evaluate(KEPT) == 1
    page.goto(address + "withdraw/")
    page.get_by_role("button", name="Delete my answers").click()
    expect(page.get_by_role("heading", name="You have withdrawn")).to_be_visible()
    # The script that does it runs once the page is read, the heading is there before.
    page.wait_for_load_state()
    assert page.evaluate(KEPT) == 0
    assert not Rating.objects.exists()


def test_one_touch_answers_and_goes_on(
    live_lab: LiveLab, page: Page, make_study: Callable[..., Any]
) -> None:
    study = make_study(one_touch=True)
    consent(page, live_lab.survey(study))
    given = {}
    for index, value in enumerate((5, 1, 3), start=1):
        expect_picture(page, index)
        page.wait_for_timeout(600)  # a touch of the picture before does not count
        given[shown(page)] = value
        page.locator(".choice", has=choice(page, value)).click()
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    assert stored(study) == given


def test_arrow_keys_choose_between_two(
    live_lab: LiveLab, page: Page, make_study: Callable[..., Any]
) -> None:
    study = make_study(method="pairs", pictures=2)
    consent(page, live_lab.survey(study))
    right = page.get_by_role("radio", name="Picture B")
    for _ in range(100):
        page.keyboard.press("ArrowRight")
        if right.is_checked():
            break
        page.wait_for_timeout(50)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    trial = Trial.objects.get()
    assert Rating.objects.get().choice == (
        "first" if trial.side == Trial.Side.RIGHT else "second"
    )


def test_keys_answer_several_questions_one_after_the_other(
    live_lab: LiveLab, page: Page, make_study: Callable[..., Any]
) -> None:
    study = make_study(pictures=1)
    Question.objects.create(study=study, name="style", text="Like the style?")
    consent(page, live_lab.survey(study))
    first = page.locator("input[name=answer-overall][value='4']")
    for _ in range(100):
        page.keyboard.press("4")
        if first.is_checked():
            break
        page.wait_for_timeout(50)
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    assert dict(Rating.objects.values_list("question", "rating")) == {
        "overall": 4, "style": 2,
    }  # fmt: skip


def test_the_factor_of_a_shrunk_picture_is_recorded(
    live_lab: LiveLab, visit: Visit, make_study: Callable[..., Any]
) -> None:
    """The renders are 32 pixels wide; told to be 780 they are shrunk to the phone."""
    study = make_study(pictures=2, fit_to_viewport=True)
    page = visit(viewport=PHONE, has_touch=True).new_page()
    consent(page, live_lab.survey(study))
    page.locator("#picture").evaluate("it => { it.style.width = '16px'; }")
    click_answer(page, 4)
    expect_picture(page, 2)
    click_answer(page, 4)
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    factors = list(Trial.objects.order_by("index").values_list("displayed_scale"))
    assert factors == [(0.5,), (1.0,)]


def test_a_picture_that_failed_is_counted_with_its_answer(
    live_lab: LiveLab, page: Page, study: Any
) -> None:
    consent(page, live_lab.survey(study))
    page.route("**/picture/*", lambda route: route.abort())
    page.reload()
    expect(page.get_by_text("The picture did not load.")).to_be_visible()
    page.unroute("**/picture/*")
    page.get_by_role("button", name="Try again").click()
    click_answer(page, 3)
    expect_picture(page, 2)
    assert Trial.objects.get(answered_at__isnull=False).load_failures == 1


def test_the_link_with_the_code_goes_on_elsewhere_and_leaves_no_trace(
    live_lab: LiveLab, visit: Visit, study: Any
) -> None:
    page = visit().new_page()
    consent(page, live_lab.survey(study))
    click_answer(page, 3)
    expect_picture(page, 2)
    page.get_by_role("link", name="Go on elsewhere").click()
    link = page.locator("a.link").get_attribute("href") or ""
    other = visit().new_page()
    asked: list[str] = []
    other.on("request", lambda request: asked.append(request.url))
    other.goto(link)
    expect(other.get_by_label("Your code")).not_to_have_value("")
    assert "#" not in other.url
    other.get_by_role("button", name="Go on").click()
    expect_picture(other, 2)
    token = link.split("#")[1]
    assert not any(token in url.split("#")[0] for url in asked)
    assert Participant.objects.count() == 1


def test_a_late_key_of_the_picture_before_answers_nothing(
    live_lab: LiveLab, page: Page, study: Any
) -> None:
    consent(page, live_lab.survey(study))
    press_choice(page, 4)
    page.evaluate(
        """() => { new MutationObserver(() => document.dispatchEvent(
            new KeyboardEvent("keydown", { key: "1", bubbles: true }))
        ).observe(document.querySelector("main"), { childList: true }); }"""
    )
    page.keyboard.press("Enter")
    expect_picture(page, 2)
    expect(choice(page, 1)).not_to_be_checked()


def not_ours(status: int) -> Callable[[Route], None]:
    """Replies to posts as a network's sign-in page or a proxy does."""
    page = "<html><body><h1>Sign in to this network</h1></body></html>"
    return only_posts(
        lambda route: route.fulfill(status=status, body=page, content_type="text/html")
    )


@pytest.mark.parametrize("status", [200, 403, 404])
def test_a_reply_of_somebody_else_neither_counts_nor_replaces_the_page(
    live_lab: LiveLab, page: Page, study: Any, faults: Any, status: int
) -> None:
    consent(page, live_lab.survey(study))
    first = shown(page)
    page.route("**/rate/", not_ours(status))
    click_answer(page, 4)
    expect(page.get_by_text("did not come from this study")).to_be_visible()
    expect(page.get_by_text(UNSENT)).to_be_visible()
    expect_picture(page, 1)
    assert page.evaluate(KEPT) == 1
    assert not Rating.objects.exists()
    page.unroute("**/rate/")
    page.get_by_role("button", name="Try now").click()
    expect_picture(page, 2)
    assert stored(study) == {first: 4}
    assert page.evaluate(KEPT) == 0
    faults.found.clear()


def test_an_answer_goes_out_with_a_fresh_token_when_its_own_has_gone(
    live_lab: LiveLab, page: Page, study: Any
) -> None:
    consent(page, live_lab.survey(study))
    first = shown(page)
    page.context.clear_cookies(name="csrftoken")
    click_answer(page, 4)
    expect_picture(page, 2)
    second = shown(page)
    click_answer(page, 3)
    expect_picture(page, 3)
    assert stored(study) == {first: 4, second: 3}


def test_a_browser_without_the_newest_functions_sends_its_answers(
    live_lab: LiveLab, page: Page, study: Any
) -> None:
    """As Safari 15, Chrome 102 and Firefox 99 are."""
    page.add_init_script("delete AbortSignal.timeout")
    consent(page, live_lab.survey(study))
    first = shown(page)
    click_answer(page, 4)
    expect_picture(page, 2)
    assert stored(study) == {first: 4}


def test_where_the_script_fails_the_browser_posts_the_form_itself(
    live_lab: LiveLab, page: Page, study: Any
) -> None:
    page.add_init_script("delete window.AbortController")
    consent(page, live_lab.survey(study))
    given = {}
    for index in (1, 2, 3):
        expect_picture(page, index)
        given[shown(page)] = index
        click_answer(page, index)
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    assert stored(study) == given


def test_one_request_at_a_time_and_no_late_reply_wipes_a_choice(
    live_lab: LiveLab, page: Page, study: Any
) -> None:
    consent(page, live_lab.survey(study))
    posts: list[Route] = []

    def hold_second(route: Route) -> None:
        posts.append(route)
        if len(posts) == 1:
            route.abort()
        elif len(posts) > 2:
            route.continue_()

    page.route("**/rate/", only_posts(hold_second))
    click_answer(page, 4)
    expect(page.get_by_text(UNSENT)).to_be_visible()
    page.get_by_role("button", name="Try now").click()
    page.wait_for_timeout(300)
    page.get_by_role("button", name="Try now").click()
    page.evaluate("dispatchEvent(new Event('online'))")
    page.wait_for_timeout(300)
    expect_picture(page, 1)
    assert len(posts) == 2
    posts[1].continue_()
    expect_picture(page, 2)
    page.get_by_text("2 Poor", exact=True).click()
    page.wait_for_timeout(300)
    expect(choice(page, 2)).to_be_checked()
    assert Rating.objects.count() == 1


def test_an_unsent_answer_waits_for_its_own_person_and_is_posted_for_nobody_else(
    live_lab: LiveLab, page: Page, make_study: Callable[..., Any]
) -> None:
    study = make_study(pictures=2)
    address = live_lab.survey(study)
    consent(page, address)
    first = shown(page)
    page.goto(address + "code/")
    code = page.locator(".code").inner_text()
    page.goto(address + "rate/")
    page.route("**/rate/", only_posts(lambda route: route.abort()))
    click_answer(page, 4)
    expect(page.get_by_text(UNSENT)).to_be_visible()
    page.goto("about:blank")
    page.unroute("**/rate/")
    page.context.clear_cookies()
    # The next person at this browser, from the welcome page to the last one.
    consent(page, address)
    page.wait_for_timeout(300)
    expect_picture(page, 1)
    click_answer(page, 1)
    expect_picture(page, 2)
    click_answer(page, 1)
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    page.wait_for_load_state()
    assert page.evaluate(KEPT) == 1
    assert set(Rating.objects.values_list("rating", flat=True)) == {1}
    page.context.clear_cookies()
    page.goto(address + "resume/")
    page.get_by_label("Your code").fill(code)
    page.get_by_role("button", name="Go on").click()
    expect_picture(page, 2)
    own = Rating.objects.get(rating=4)
    assert own.trial.stimulus is not None and own.trial.stimulus.code == first
    assert page.evaluate(KEPT) == 0


def test_an_unsent_answer_goes_when_no_cookie_could_bring_its_person_back(
    live_lab: LiveLab, page: Page, study: Any
) -> None:
    address = live_lab.survey(study)
    page.goto(address)
    page.evaluate(
        """study => {
          const days = count => `trial=1&kept_at=${Date.now() - count * 86400000}`;
          localStorage.setItem(`outbox:${study}:old`, days(31));
          localStorage.setItem(`outbox:${study}:new`, days(29));
          localStorage.setItem("outbox:another-study:old", days(31));
        }""",
        study.slug,
    )
    page.reload()
    page.wait_for_load_state()
    left = page.evaluate("() => Object.keys(localStorage)")
    assert sorted(left) == sorted(
        ["outbox:another-study:old", f"outbox:{study.slug}:new"]
    )


SENT = "?PROLIFIC_PID=5f1c&SESSION_ID=t7"
MOVED = "You went on in another browser"


def test_the_same_person_in_two_browsers_loses_no_answer(
    live_lab: LiveLab, visit: Visit, study: Any
) -> None:
    address = live_lab.survey(study) + SENT
    one, two = visit().new_page(), visit().new_page()
    consent(one, address)
    expect_loaded(one)
    first = shown(one)
    consent(two, address)
    expect_loaded(two)
    click_answer(one, 4)
    expect(one.get_by_role("heading", name=MOVED)).to_be_visible()
    expect(one.get_by_role("alert")).to_contain_text("kept in this browser")
    assert one.evaluate(KEPT) == 1 and not Rating.objects.exists()
    one.get_by_role("link", name="Go on here instead").click()
    assert "PROLIFIC_PID=5f1c" in one.url and "SESSION_ID=t7" in one.url
    one.get_by_role("checkbox").check()
    one.get_by_role("button", name="Start").click()
    expect_picture(one, 2)
    assert stored(study) == {first: 4}
    assert one.evaluate(KEPT) == 0
    assert Participant.objects.count() == 1
    click_answer(two, 2)
    expect(two.get_by_role("heading", name=MOVED)).to_be_visible()
    expect(two.get_by_role("alert")).to_contain_text("You have already answered")
    assert two.evaluate(KEPT) == 0
    assert stored(study) == {first: 4}


def test_who_went_on_elsewhere_is_told_so_where_a_picture_no_longer_loads(
    live_lab: LiveLab, page: Page, study: Any, faults: Any
) -> None:
    consent(page, live_lab.survey(study) + SENT)
    page.goto("about:blank")
    page.route("**/picture/*", lambda route: route.abort())
    page.goto(live_lab.survey(study) + "rate/")
    expect(page.get_by_text("The picture did not load.")).to_be_visible()
    joining.join(study, surroundings={}, recruit=("prolific", "5f1c", "t7"))
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("heading", name=MOVED)).to_be_visible()


def test_without_a_script_the_other_browser_is_told_what_was_not_stored(
    live_lab: LiveLab, visit: Visit, study: Any
) -> None:
    address = live_lab.survey(study) + SENT
    one = visit(java_script_enabled=False, viewport=PHONE).new_page()
    consent(one, address)
    consent(visit().new_page(), address)
    click_answer(one, 4)
    expect(one.get_by_role("heading", name=MOVED)).to_be_visible()
    expect(one.get_by_role("alert")).to_have_text("What you just sent was not stored.")
    one.get_by_role("link", name="Go on here instead").click()
    one.get_by_role("checkbox").check()
    one.get_by_role("button", name="Start").click()
    expect_picture(one, 1)
    click_answer(one, 4)
    expect_picture(one, 2)
    assert Participant.objects.count() == 1


def test_a_cookie_that_ends_in_mid_session_costs_no_answer(
    live_lab: LiveLab, page: Page, study: Any
) -> None:
    address = live_lab.survey(study) + SENT
    consent(page, address)
    expect_loaded(page)
    first = shown(page)
    page.context.clear_cookies(name="participant")
    click_answer(page, 5)
    heading = page.get_by_role("heading", name="does not know your session any more")
    expect(heading).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("kept in this browser")
    page.goto(address)
    page.wait_for_load_state()
    assert page.evaluate(KEPT) == 1 and not Rating.objects.exists()
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Start").click()
    expect_picture(page, 2)
    assert stored(study) == {first: 5}
    assert Participant.objects.count() == 1


def test_ten_is_typed_as_one_and_nought(
    live_lab: LiveLab, page: Page, make_study: Callable[..., Any]
) -> None:
    study = make_study(scale_points=11, pictures=2)
    consent(page, live_lab.survey(study))
    page.wait_for_timeout(600)  # a key of the picture before does not count
    page.keyboard.press("1")
    page.keyboard.press("0")
    expect(page.locator("input[value='10']")).to_be_checked()
    page.wait_for_timeout(800)
    page.keyboard.press("0")
    expect(page.locator("input[value='0']")).to_be_checked()
    page.keyboard.press("Enter")
    expect_picture(page, 2)
    assert list(stored(study).values()) == [0]


@pytest.mark.parametrize("method", ["acr", "pairs"])
def test_arrow_keys_choose_and_do_not_answer_where_one_touch_does(
    live_lab: LiveLab, page: Page, make_study: Callable[..., Any], method: str
) -> None:
    study = make_study(one_touch=True, method=method, pictures=2)
    consent(page, live_lab.survey(study))
    page.wait_for_timeout(600)  # a key of the picture before does not count
    radios = page.get_by_role("radio")
    radios.first.focus()
    if method == "acr":
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        expect(radios.nth(2)).to_be_checked()
    else:
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowLeft")
        expect(radios.first).to_be_checked()
    page.wait_for_timeout(300)
    expect_picture(page, 1)
    assert not Rating.objects.exists()
    page.keyboard.press("Enter")
    if method == "acr":
        expect_picture(page, 2)
        assert Rating.objects.get().rating == 3
    else:
        expect(page.get_by_role("heading", name="Thank you")).to_be_visible()


def test_one_touch_is_confirmed_by_next_too(
    live_lab: LiveLab, page: Page, make_study: Callable[..., Any]
) -> None:
    study = make_study(one_touch=True, pictures=2)
    consent(page, live_lab.survey(study))
    page.wait_for_timeout(600)
    page.get_by_role("radio").first.focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("radio").nth(1)).to_be_checked()
    page.get_by_role("button", name="Next").click()
    expect_picture(page, 2)
    assert Rating.objects.get().rating == 4


def is_told(reply: Response) -> bool:
    """What a page posts about a picture that failed."""
    return "missing=1" in (reply.request.post_data or "")


def test_a_picture_that_never_loads_is_heard_of(
    live_lab: LiveLab, page: Page, make_study: Callable[..., Any]
) -> None:
    study = make_study(contact="lab@lab.example")
    page.goto(live_lab.survey(study))
    page.get_by_role("checkbox").check()
    page.route("**/picture/*", lambda route: route.abort())
    contact = page.get_by_text("lab@lab.example")
    with page.expect_response(is_told):
        page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("The picture did not load.")).to_be_visible()
    trial = Trial.objects.get(index=1)
    assert trial.load_failures == 1
    with page.expect_response(is_told):
        page.reload()
    expect(contact).to_be_hidden()
    with page.expect_response(is_told):
        page.get_by_role("button", name="Try again").click()
    expect(contact).to_be_visible()
    trial.refresh_from_db()
    assert trial.load_failures == 3
    page.unroute("**/picture/*")
    page.get_by_role("button", name="Try again").click()
    click_answer(page, 3)
    expect_picture(page, 2)
    trial.refresh_from_db()
    assert trial.load_failures == 3
