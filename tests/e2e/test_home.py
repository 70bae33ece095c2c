"""The first page, empty lists, the history and sharing, read by everybody."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import BrowserContext, expect

from generation.models import Render
from generation.queueing.batches import queue_experiment
from survey.models import Study
from survey.studies.copying import copy_pictures
from tests.e2e.live import LiveLab
from tests.e2e.readable import Readable
from tests.e2e.test_researcher import log_in

pytestmark = [
    pytest.mark.browser,
    pytest.mark.broker,
    pytest.mark.django_db(transaction=True),
]


def test_the_first_pages_can_be_read_and_used_by_everybody(
    fresh_lab: LiveLab,
    visit: Callable[..., BrowserContext],
    make_account: Callable[..., Any],
    make_experiment: Callable[..., Any],
    make_study: Callable[..., Any],
) -> None:
    page = visit().new_page()
    check = Readable(page, ("light", "dark"))
    make_account("eve", "Researcher")
    log_in(page, fresh_lab, "eve")
    expect(page.get_by_role("link", name="Upload pictures")).to_be_visible()
    check("home of a new lab")
    page.goto(f"{fresh_lab.base}/admin/generation/experiment/")
    expect(page.get_by_text("No experiments yet.")).to_be_visible()
    check("no experiments")
    page.goto(f"{fresh_lab.base}/admin/survey/rating/")
    expect(page.get_by_text("Nobody has taken part yet.")).to_be_visible()
    check("no ratings")

    study = make_study(max_participants=20)
    yesterday = timezone.now() - dt.timedelta(days=1)
    Study.objects.filter(pk=study.pk).update(closes_at=yesterday)
    Render.objects.filter(pk=Render.objects.all()[0].pk).update(status="failed")
    queue_experiment(make_experiment(name="Grid of two layers"))
    page.context.clear_cookies()
    log_in(page, fresh_lab)
    expect(page.get_by_text("0 of 20 finished")).to_be_visible()
    expect(page.get_by_text("no worker is there")).to_be_visible()
    check("home")
    # It renews itself, and who stands on a link stays there.
    page.get_by_role("link", name="Grid of two layers").focus()
    with page.expect_response(lambda it: it.url.endswith("/admin/"), timeout=20_000):
        Study.objects.filter(pk=study.pk).update(max_participants=40)
    expect(page.get_by_text("0 of 40 finished")).to_be_visible(timeout=20_000)
    expect(page.get_by_role("link", name="Grid of two layers")).to_be_focused()

    address = f"{fresh_lab.base}/admin/survey/study/{study.pk}"
    page.goto(f"{address}/change/")
    page.get_by_role("link", name="Who sees it").click()
    check("sharing")
    page.get_by_label("eve").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("It is ada's, shared with eve.")).to_be_visible()
    page.goto(f"{fresh_lab.base}/admin/nstlab/entry/")
    expect(page.get_by_role("cell", name="shared with eve")).to_be_visible()
    check("history")
    copy_pictures(
        Study.objects.create(
            title="Draft", experiment=study.experiment, owner=study.owner
        )
    )
    for name in (
        "generation/experiment", "generation/render", "generation/sourceimage",
        "survey/study", "survey/stimulus", "survey/participant", "analysis/report",
    ):  # fmt: skip
        page.goto(f"{fresh_lab.base}/admin/{name}/")
        check(f"list of {name}")
    page.goto(f"{fresh_lab.base}/admin/survey/study/add/")
    expect(page.get_by_role("combobox", name="Experiment")).to_be_visible()
    check("a study's form")
    address = f"{fresh_lab.base}/admin/generation/experiment/{study.experiment_id}"
    page.goto(f"{address}/delete/")
    expect(page.get_by_text("the study “Draft”")).to_be_visible()
    check("what cannot be deleted")
    assert not check.found, "\n".join(check.found)
