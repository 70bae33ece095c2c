"""A participant's journeys, as a person makes them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.db.models import F
from playwright.sync_api import BrowserContext, Page, Route, expect

from survey.models import Participant, Rating, Translation
from survey.participant import joining
from survey.studies import invitations
from tests.e2e.browser import PHONE
from tests.e2e.live import LiveLab
from tests.e2e.steps import (
    choice,
    click_answer,
    consent,
    expect_picture,
    next_button,
    press_answer,
    press_choice,
    shown,
    stored,
)

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
Visit = Callable[..., BrowserContext]
MINUTES_2 = dt.timedelta(minutes=2)


def test_a_participant_rates_by_keyboard_alone(
    live_lab: LiveLab, page: Page, study: Any
) -> None:
    page.goto(live_lab.survey(study))
    page.keyboard.press("Tab")
    expect(page.get_by_role("checkbox")).to_be_focused()
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Start")).to_be_focused()
    page.keyboard.press("Enter")
    given = {}
    for index, value in enumerate((5, 1, 3), start=1):
        expect_picture(page, index)
        given[shown(page)] = value
        press_answer(page, value)
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    expect(page.get_by_text("All 3 answers are stored.")).to_be_visible()
    assert stored(study) == given
    assert not Rating.objects.filter(response_ms=None).exists()
    person = Participant.objects.get()
    assert person.status == Participant.Status.FINISHED
    assert person.device_class == Participant.Device.DESKTOP
    assert person.viewport == "1280x800"


def test_a_participant_changes_their_mind_by_key_before_confirming(
    live_lab: LiveLab, page: Page, study: Any
) -> None:
    consent(page, live_lab.survey(study))
    code = shown(page)
    press_choice(page, 2)
    press_choice(page, 4)
    expect(choice(page, 2)).not_to_be_checked()
    page.keyboard.press("Enter")
    expect_picture(page, 2)
    assert stored(study) == {code: 4}


def test_a_participant_rates_by_mouse(
    live_lab: LiveLab, page: Page, study: Any
) -> None:
    consent(page, live_lab.survey(study))
    given = {}
    for index, value in enumerate((4, 2, 5), start=1):
        expect_picture(page, index)
        given[shown(page)] = value
        click_answer(page, value)
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    assert stored(study) == given
    assert not Rating.objects.filter(response_ms=None).exists()
    assert not Rating.objects.filter(client_id="").exists()


def test_a_participant_rates_by_touch_on_a_phone(
    live_lab: LiveLab, visit: Visit, study: Any
) -> None:
    page = visit(
        viewport=PHONE, has_touch=True, is_mobile=True, device_scale_factor=3
    ).new_page()
    page.goto(live_lab.survey(study))
    page.get_by_role("checkbox").tap()
    page.get_by_role("button", name="Start").tap()
    given = {}
    for index, value in enumerate((1, 3, 5), start=1):
        expect_picture(page, index)
        given[shown(page)] = value
        choice(page, value).tap()
        next_button(page).tap()
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    assert stored(study) == given
    person = Participant.objects.get()
    assert person.device_class == Participant.Device.PHONE
    assert person.pixel_ratio == 3


def test_a_participant_rates_without_a_script(
    live_lab: LiveLab, visit: Visit, study: Any
) -> None:
    page = visit(java_script_enabled=False).new_page()
    consent(page, live_lab.survey(study))
    given = {}
    for index, value in enumerate((2, 3, 4), start=1):
        expect_picture(page, index)
        given[shown(page)] = value
        click_answer(page, value)
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    assert stored(study) == given
    # Nothing is made up where no script measured it.
    assert not Rating.objects.exclude(response_ms=None).exists()
    assert Participant.objects.get().device_class == Participant.Device.UNKNOWN


def test_a_reload_stays_at_the_same_picture(
    live_lab: LiveLab, page: Page, study: Any
) -> None:
    consent(page, live_lab.survey(study))
    click_answer(page, 4)
    expect_picture(page, 2)
    code = shown(page)
    page.reload()
    expect_picture(page, 2)
    assert shown(page) == code
    assert Rating.objects.count() == 1


def test_who_closes_the_browser_comes_back_to_the_same_picture(
    live_lab: LiveLab, visit: Visit, study: Any
) -> None:
    before = visit()
    page = before.new_page()
    consent(page, live_lab.survey(study))
    click_answer(page, 5)
    expect_picture(page, 2)
    code = shown(page)
    cookies = before.storage_state()
    before.close()

    page = visit(storage_state=cookies).new_page()
    page.goto(live_lab.survey(study))
    page.get_by_role("link", name="Go on where you were").click()
    expect_picture(page, 2)
    assert shown(page) == code
    assert Participant.objects.count() == 1


def test_the_back_button_never_shows_an_answered_picture_again(
    live_lab: LiveLab, page: Page, study: Any
) -> None:
    consent(page, live_lab.survey(study))
    first = shown(page)
    click_answer(page, 2)
    expect_picture(page, 2)
    page.go_back()
    if page.get_by_role("link", name="Go on where you were").count():
        page.get_by_role("link", name="Go on where you were").click()
    expect_picture(page, 2)
    second = shown(page)
    click_answer(page, 5)
    expect_picture(page, 3)
    assert stored(study) == {first: 2, second: 5}


def test_another_answer_to_an_answered_picture_is_refused_in_a_sentence(
    live_lab: LiveLab, visit: Visit, study: Any
) -> None:
    context = visit()
    page, forgotten = context.new_page(), context.new_page()
    consent(page, live_lab.survey(study))
    forgotten.goto(page.url)
    expect_picture(forgotten, 1)
    code = shown(forgotten)
    click_answer(page, 4)
    expect_picture(page, 2)

    with forgotten.expect_response("**/rate/") as refused:
        click_answer(forgotten, 1)
    assert refused.value.status == 409
    expect(forgotten.get_by_role("alert")).to_have_text(
        "You have already answered this picture with 4 Good. The first answer counts."
    )
    forgotten.get_by_role("link", name="Go on where you are").click()
    expect_picture(forgotten, 2)
    assert stored(study) == {code: 4}


def test_the_same_answer_twice_is_stored_once_and_goes_on(
    live_lab: LiveLab, visit: Visit, study: Any
) -> None:
    context = visit()
    page, forgotten = context.new_page(), context.new_page()
    consent(page, live_lab.survey(study))
    forgotten.goto(page.url)
    expect_picture(forgotten, 1)
    click_answer(page, 3)
    expect_picture(page, 2)
    click_answer(forgotten, 3)
    expect_picture(forgotten, 2)
    assert Rating.objects.count() == 1


def test_a_double_click_on_next_answers_one_picture(
    live_lab: LiveLab, page: Page, study: Any
) -> None:
    consent(page, live_lab.survey(study))
    code = shown(page)
    choice(page, 3).check()
    next_button(page).dblclick()
    expect_picture(page, 2)
    assert stored(study) == {code: 3}


def test_a_picture_that_does_not_load_is_not_rated_until_it_does(
    live_lab: LiveLab, page: Page, study: Any
) -> None:
    asked = []

    def fail_once(route: Route) -> None:
        if route.request.resource_type != "image":  # the next one, fetched ahead
            return route.continue_()
        asked.append(route.request.url)
        return route.abort() if len(asked) == 1 else route.continue_()

    page.route("**/picture/*", fail_once)
    page.goto(live_lab.survey(study))
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("The picture did not load.")).to_be_visible()
    expect(page.locator("#answer")).to_be_hidden()
    page.keyboard.press("4")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The picture did not load.")).to_be_visible()
    assert not Rating.objects.exists()

    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("The picture did not load.")).to_be_hidden()
    expect_picture(page, 1)
    code = shown(page)
    press_answer(page, 4)
    expect_picture(page, 2)
    assert stored(study) == {code: 4}


def test_a_key_meant_for_the_picture_before_does_not_answer_the_next(
    live_lab: LiveLab, page: Page, study: Any
) -> None:
    consent(page, live_lab.survey(study))
    # The page's own clock stands still, so "just after" needs no stopwatch.
    page.clock.install(time=0)
    page.clock.pause_at(1000)
    page.reload()
    expect_picture(page, 1)
    page.keyboard.press("4")
    expect(choice(page, 4)).not_to_be_checked()
    page.clock.run_for(200)
    page.keyboard.press("4")
    page.keyboard.press("Enter")
    expect(choice(page, 4)).not_to_be_checked()
    page.clock.run_for(300)
    page.keyboard.press("4")
    expect(choice(page, 4)).to_be_checked()
    assert not Rating.objects.exists()


def test_enter_without_a_choice_answers_nothing(
    live_lab: LiveLab, page: Page, study: Any
) -> None:
    consent(page, live_lab.survey(study))
    page.clock.install()
    page.clock.run_for(1000)
    page.keyboard.press("Enter")
    next_button(page).click()
    expect_picture(page, 1)
    assert not Rating.objects.exists()
    click_answer(page, 1)
    expect_picture(page, 2)


def test_a_killed_web_server_costs_no_answer(
    live_lab: LiveLab, page: Page, study: Any
) -> None:
    consent(page, live_lab.survey(study))
    given = {shown(page): 5}
    click_answer(page, 5)
    expect_picture(page, 2)
    code = shown(page)
    live_lab.kill_web()
    live_lab.start_web()
    given[code] = 2
    click_answer(page, 2)
    expect_picture(page, 3)
    page.reload()
    expect_picture(page, 3)
    given[shown(page)] = 1
    click_answer(page, 1)
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    assert stored(study) == given


def test_who_withdraws_is_asked_once_and_leaves_no_answer(
    live_lab: LiveLab, page: Page, study: Any
) -> None:
    consent(page, live_lab.survey(study))
    click_answer(page, 5)
    expect_picture(page, 2)
    page.get_by_role("link", name="Withdraw from this study").click()
    page.get_by_role("link", name="No, go back").click()
    expect_picture(page, 2)
    page.get_by_role("link", name="Withdraw from this study").click()
    page.get_by_role("button", name="Delete my answers and withdraw").click()
    expect(page.get_by_role("heading", name="You have withdrawn")).to_be_visible()
    assert not Rating.objects.exists()
    study.refresh_from_db()
    assert study.withdrawn_count == 1
    page.goto(live_lab.survey(study))
    expect(page.get_by_role("checkbox")).to_be_visible()


def test_a_study_that_closes_in_mid_session_says_so_and_keeps_what_it_has(
    live_lab: LiveLab, page: Page, study: Any
) -> None:
    consent(page, live_lab.survey(study))
    click_answer(page, 3)
    expect_picture(page, 2)
    study.close()
    click_answer(page, 5)
    expect(page.get_by_role("heading", name="This study is closed")).to_be_focused()
    expect(page.get_by_text("The answers you gave before are kept.")).to_be_visible()
    assert Rating.objects.count() == 1


def test_a_personal_links_code_stays_when_the_language_is_changed(
    live_lab: LiveLab, page: Page, make_study: Callable[..., Any]
) -> None:
    study = make_study(source="invitation")
    Translation.objects.create(study=study, language="de", title="Wie gut?")
    address, code = live_lab.survey(study), invitations.invite(study, 1)[0]
    page.goto(f"{address}#{code}")
    field = page.locator("#invitation")
    expect(field).to_have_value(code)
    for language in ("Deutsch", "English"):
        page.get_by_role("link", name=language).click()
        expect(page.locator("[aria-current]")).to_have_text(language)
        expect(field).to_have_value(code)
        assert code not in page.url
    # It was taken along, not kept for whoever comes next.
    page.goto(address)
    expect(field).to_have_value("")


def test_somebody_else_takes_part_at_a_shared_computer(
    live_lab: LiveLab, page: Page, make_study: Callable[..., Any]
) -> None:
    study = make_study(pictures=2)
    consent(page, live_lab.survey(study))
    for index in (1, 2):
        expect_picture(page, index)
        click_answer(page, 4)
    receipt = page.locator("main .code")
    expect(receipt).to_be_visible()
    page.goto(live_lab.survey(study))
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    expect(receipt).to_be_hidden()
    page.get_by_role("button", name="Somebody else wants to take part").click()
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Start").click()
    expect_picture(page, 1)
    assert Participant.objects.count() == 2
    assert Rating.objects.count() == 2


def test_a_double_click_on_start_makes_one_participant(
    live_lab: LiveLab, page: Page, make_study: Callable[..., Any]
) -> None:
    study = make_study(source="invitation")
    link = invitations.invite(study, 1)[0]
    page.goto(f"{live_lab.survey(study)}#{link}")
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Start").dblclick()
    expect_picture(page, 1)
    click_answer(page, 4)
    expect_picture(page, 2)
    assert Participant.objects.count() == 1


@pytest.mark.parametrize("script", [True, False])
def test_a_reply_to_start_that_gets_lost_is_asked_for_again(
    live_lab: LiveLab, visit: Visit, make_study: Callable[..., Any], script: bool
) -> None:
    study = make_study(source="invitation")
    link = invitations.invite(study, 1)[0]
    page = visit(java_script_enabled=script, viewport=PHONE).new_page()
    page.goto(live_lab.survey(study))
    page.get_by_label("Your invitation code").fill(link)
    page.get_by_role("checkbox").check()
    lost: list[int] = []

    def lose(route: Route) -> None:
        """As where a train enters a tunnel: the page stays as it was."""
        lost.append(route.fetch(max_redirects=0).status)
        route.fulfill(status=204)

    page.route("**/join/", lose)
    with page.expect_response("**/join/"):
        page.get_by_role("button", name="Start").click()
    page.unroute("**/join/")
    page.context.clear_cookies(name="participant")
    assert lost == [302] and Participant.objects.count() == 1
    page.get_by_role("button", name="Start").click()
    expect_picture(page, 1)
    assert Participant.objects.count() == 1


@pytest.mark.parametrize("script", [True, False])
def test_a_form_that_is_sent_again_much_later_asks_who_it_is(
    live_lab: LiveLab, visit: Visit, study: Any, script: bool
) -> None:
    context = visit(java_script_enabled=script, viewport=PHONE)
    stale = context.new_page()
    stale.goto(live_lab.survey(study))
    key = stale.locator("[name=key]").input_value()
    joining.join(study, surroundings={}, key=key)
    Participant.objects.update(key_expires_at=F("key_expires_at") - MINUTES_2)
    stale.get_by_role("checkbox").check()
    stale.get_by_role("button", name="Start").click()
    expect(stale.get_by_role("heading", name="Go on, or start anew?")).to_be_visible()
    stale.get_by_role("button", name="Start anew").click()
    expect(stale.get_by_role("heading", name="Consent")).to_be_visible()
    stale.get_by_role("checkbox").check()
    stale.get_by_role("button", name="Start").click()
    expect_picture(stale, 1)
    assert Participant.objects.count() == 1
