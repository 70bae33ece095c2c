"""The HIT that docs/how-to/recruit.md gives for MTurk, in a frame as MTurk shows it."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

import pytest
from django.conf import settings
from playwright.sync_api import Page, Route, expect

from survey.models import Recruit, Study
from tests.e2e.live import LiveLab
from tests.e2e.steps import expect_picture

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

ACCEPTED = {"hitId": "h", "assignmentId": "a1", "workerId": "W9", "turkSubmitTo": "x"}


def the_hit(address: str) -> str:
    text = (settings.BASE_DIR / "docs/how-to/recruit.md").read_text()
    found = re.search(r"```html\n(.*?)```", text, re.S)
    assert found is not None
    assert "https://lab.example.org/s/ADDRESS/" in found[1]
    return found[1].replace("https://lab.example.org/s/ADDRESS/", address)


def open_hit(page: Page, hit: str, sent: dict[str, str]) -> Any:
    def answer(route: Route) -> None:
        framed = f'<iframe src="http://hit.example/?{urlencode(sent)}"></iframe>'
        body = hit if "hit.example" in route.request.url else framed
        route.fulfill(body=f"<!doctype html>{body}", content_type="text/html")

    page.route(re.compile(r"//(hit|mturk)\.example/"), answer)
    page.goto("http://mturk.example/")
    return page.frame_locator("iframe")


def test_the_documented_hit_brings_a_worker_with_their_id(
    live_lab: LiveLab, page: Page, study: Study
) -> None:
    frame = open_hit(page, the_hit(live_lab.survey(study)), ACCEPTED)
    with page.expect_popup() as opened:
        frame.get_by_role("link", name="Open the study").click()
    tab = opened.value
    tab.get_by_role("checkbox").check()
    tab.get_by_role("button", name="Start").click()
    expect_picture(tab, 1)
    recruit = Recruit.objects.get()
    assert (recruit.platform, recruit.person, recruit.session) == ("mturk", "W9", "a1")


def test_the_documented_hit_has_no_link_before_it_is_accepted(
    live_lab: LiveLab, page: Page, study: Study
) -> None:
    preview = {"hitId": "h", "assignmentId": "ASSIGNMENT_ID_NOT_AVAILABLE"}
    frame = open_hit(page, the_hit(live_lab.survey(study)), preview)
    expect(frame.get_by_text("Accept the HIT to see the link")).to_be_visible()
    expect(frame.get_by_role("link")).to_have_count(0)
