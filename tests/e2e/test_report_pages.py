"""The pages of a study's data, in a browser: read by everybody, used by keyboard."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.e2e.browser import DESKTOP
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


def test_a_report_on_25_pictures_is_three_screens_a_part_and_six_sheets(
    fresh_lab: LiveLab,
    visit: Callable[..., BrowserContext],
    researcher: Any,
    make_study: Callable[..., Any],
) -> None:
    """The answer on the first screen; each of its parts no longer than three of them,
    and printed on six sheets of A4 at most."""
    from analysis.reports.request import request_report
    from analysis.reports.tasks import compute_report
    from survey.models import Participant, Rating, Stimulus, Study

    study = make_study(pictures=25)
    Study.objects.filter(pk=study.pk).update(method="acr-hr")
    stimuli = list(study.stimuli.order_by("pk"))
    for place, stimulus in enumerate(stimuli):
        made = {"content": f"Photo {place // 5 + 1}"}
        if place % 5:
            made |= {"style": "ab"[place % 2], "content_layer": f"conv{place % 5}_1"}
        Stimulus.objects.filter(pk=stimulus.pk).update(
            parameters=made, is_reference=not place % 5
        )
    for number in range(12):
        person = Participant.objects.create(
            study=study, code=f"p{number}", token_sha256=f"{number}", study_version=1,
            seed=0, consent_sha256="", status="finished",
        )  # fmt: skip
        for place, stimulus in enumerate(stimuli):
            trial = person.trials.create(index=place + 1, stimulus=stimulus)
            rating = 1 + (place + number * number) % 5
            Rating.objects.create(trial=trial, rating=rating)
    study.refresh_from_db()
    compute_report(request_report(study).pk)
    page = visit().new_page()
    log_in(page, fresh_lab)
    page.goto(f"{fresh_lab.base}/admin/analysis/report/study/{study.pk}/")
    tiles = page.locator(".nst-ranked li")
    expect(tiles).to_have_count(25)
    expect(page.locator(".nst-reference")).to_have_count(5)
    expect(page.locator(".nst-findings li")).to_have_count(3)
    parts = [it.get_attribute("href") for it in page.locator(".nst-parts a").all()]
    assert len(parts) == 8
    for part in parts:
        page.goto(f"{fresh_lab.base}{part}")
        for picture in page.locator(".nst-chart[open] img").all():
            picture.scroll_into_view_if_needed()
            expect(picture).not_to_have_js_property("naturalWidth", 0)
        height = page.evaluate("() => document.documentElement.scrollHeight")
        assert height <= 3 * DESKTOP["height"], part
        printed = page.pdf(prefer_css_page_size=True)
        assert 1 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 6, part
