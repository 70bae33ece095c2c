"""The pages of a study's data, in a browser: read by everybody, used by keyboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.e2e.live import LiveLab
from tests.e2e.readable import Readable
from tests.e2e.test_researcher import log_in

pytestmark = [
    pytest.mark.browser,
    pytest.mark.broker,
    pytest.mark.django_db(transaction=True),
]


def test_the_pages_of_a_studys_data_can_be_read_and_used_by_everybody(
    fresh_lab: LiveLab,
    visit: Callable[..., BrowserContext],
    researcher: Any,
    make_study: Callable[..., Any],
) -> None:
    from analysis.bundle.tasks import make_bundle
    from analysis.models import Bundle, Report
    from analysis.reports.tasks import compute_report
    from survey.client import InProcess, take_part
    from survey.models import Participant

    study = make_study(pictures=5)
    for values in ([5, 3, 1, 2, 4], [4, 3, 2, 2, 5], [3, 3, 3, 3, 3]):
        take_part(
            InProcess(), study.get_absolute_url(), choose=lambda _, v=values: v.pop()
        )
    page = visit().new_page()
    log_in(page, fresh_lab)
    check = Readable(page)
    root = f"{fresh_lab.base}/admin/analysis/report/study/{study.pk}/"
    page.goto(f"{root}monitor/")
    expect(page.get_by_text("Every rating is the same")).to_be_visible()
    expect(page.locator("#monitor img").first).to_have_js_property("naturalWidth", 32)
    check("monitor")

    # Somebody is left out by keyboard alone, and counted again.
    flat = Participant.objects.order_by("pk").last()
    assert flat is not None
    page.get_by_role("link", name=flat.code).focus()
    page.keyboard.press("Enter")
    reason = page.get_by_label("Reason for leaving this person out")
    reason.focus()
    page.keyboard.press("Enter")  # the browser itself asks for the reason
    expect(reason).to_be_focused()
    check("participant")
    page.keyboard.type("Clicked through")
    page.keyboard.press("Enter")
    expect(page.get_by_text("is left out of the statistics")).to_be_visible()
    expect(page.get_by_text(f"ada, {flat.code}: Excluded: Clicked")).to_be_visible()
    check("participants")
    page.get_by_role("link", name=flat.code).click()
    page.get_by_role("button", name="Count again").press("Enter")
    expect(page.get_by_text("Exclusion lifted.")).to_be_visible()

    page.goto(root)
    for asked in Report.objects.filter(state="queued"):
        compute_report(asked.pk)
    tiles = page.locator(".nst-ranked li")
    expect(tiles).to_have_count(5)
    expect(tiles.first.locator("img")).to_have_js_property("naturalWidth", 32)
    scores = [float(it) for it in page.locator(".nst-ranked strong").all_inner_texts()]
    assert scores == sorted(scores, reverse=True)
    expect(
        page.get_by_text("15 ratings of 5 stimuli by 3 participants")
    ).to_be_visible()
    check("report")
    for part in ("Factors", "Raters", "Agreement", "Method and checks", "Files"):
        page.get_by_role("link", name=part, exact=True).press("Enter")
        heading = page.get_by_role("heading", level=2).first
        expect(heading).to_be_visible()
        check(f"report, {part}")

    page.get_by_role("link", name="Stimuli", exact=True).click()
    expect(page.get_by_role("heading", name="MOS of every stimulus")).to_be_visible()
    for chart in page.locator(".nst-chart > summary").all()[1:]:
        chart.press("Enter")
    for chart in page.locator(".nst-chart img").all():
        chart.scroll_into_view_if_needed()
        expect(chart).not_to_have_js_property("naturalWidth", 0)
    page.get_by_text("Numbers of “MOS of every stimulus”").press("Enter")
    numbers = page.get_by_role("region", name="MOS of every stimulus, numbers")
    expect(numbers.get_by_role("row")).to_have_count(6)
    check("report with its charts")

    # On paper: no header, no links to files, no forms.
    page.emulate_media(media="print")
    expect(page.locator("#header")).to_be_hidden()
    expect(page.get_by_role("link", name="CSV of MOS by stimulus")).to_be_hidden()
    expect(page.get_by_role("table", name="MOS by stimulus")).to_be_visible()
    page.emulate_media(media="screen")

    page.get_by_role("link", name="Open data", exact=True).click()
    page.get_by_label("We may publish every picture").check()
    page.get_by_role("button", name="Make a bundle").click()
    expect(page.get_by_text("being made …")).to_be_visible()
    check("open data")
    make_bundle(Bundle.objects.get().pk)
    with page.expect_download() as download:
        page.get_by_role("link", name=".zip").click()
    assert download.value.suggested_filename.startswith("study-")
    assert not check.found, "\n".join(check.found)
