"""The script that plays a participant everywhere, here through a browser's pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page as Tab
from playwright.sync_api import expect

from survey.client import Page, take_part
from survey.models import FormItem, Participant
from tests.e2e.live import LiveLab

pytestmark = [
    pytest.mark.browser,
    pytest.mark.broker,
    pytest.mark.django_db(transaction=True),
]

# Where somebody is: the address, and the trial or break that it shows now.
PLACE = """() => [location.href, document.querySelector('#trial [name=trial]')?.value,
    document.querySelector('#trial')?.hasAttribute('data-break')].join(' ')"""


class InBrowser:
    """Sees what a tab shows; answers by ticking, choosing and pressing its button."""

    def __init__(self, tab: Tab) -> None:
        self.tab = tab

    def get(self, url: str) -> Page:
        self.tab.goto(url)
        return self._page()

    def post(self, url: str, data: dict[str, str]) -> Page:
        form = self.tab.locator("main form").first
        expect(form).to_be_visible()  # not before the picture is there
        for name, value in data.items():
            field = form.locator(f'[name="{name}"]')
            kind = field.first.get_attribute("type")
            if kind == "radio":
                form.locator(f'[name="{name}"][value="{value}"]').check(force=True)
            elif kind == "checkbox":
                field.check()
        before = self.tab.evaluate(PLACE)
        form.get_by_role("button").last.click()
        self.tab.wait_for_function(f"before => ({PLACE})() !== before", arg=before)
        self.tab.wait_for_load_state()
        return self._page()

    def _page(self) -> Page:
        return Page(self.tab.url, 200, self.tab.content())


def test_the_play_script_takes_part_in_a_browser(
    live_lab: LiveLab, page: Tab, make_study: Callable[..., Any]
) -> None:
    study = make_study(pictures=3, break_every=2, instructed_catches=1)
    FormItem.objects.create(
        study=study, name="room", text="How bright?", options="dark\nbright"
    )
    codes: list[str] = []

    def choose(code: str) -> int:
        codes.append(code)
        return 1 + len(set(codes)) % 5

    given = take_part(InBrowser(page), live_lab.survey(study), choose=choose)
    participant = Participant.objects.get()
    assert participant.status == Participant.Status.FINISHED
    assert given == len(codes) == participant.trials.count() == 4
    assert not participant.trials.filter(answered_at=None).exists()
    assert participant.form_answers.get().answer == "dark"
