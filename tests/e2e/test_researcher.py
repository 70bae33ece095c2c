"""A researcher's day: pictures, experiment, renders, study, report."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.conftest import png
from tests.e2e.live import LiveLab
from tests.e2e.readable import Readable
from tests.e2e.steps import click_answer, consent, expect_picture, go_on, shown
from tests.elsewhere import Elsewhere

pytestmark = [
    pytest.mark.browser,
    pytest.mark.broker,
    pytest.mark.django_db(transaction=True),
]
Visit = Callable[..., BrowserContext]
PASSWORD = "correct horse battery"


def log_in(page: Page, lab: LiveLab, username: str = "ada") -> None:
    page.goto(f"{lab.base}/admin/")
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Experiments, studies")).to_be_visible()


def upload(page: Page, lab: LiveLab, name: str, data: bytes) -> None:
    page.goto(f"{lab.base}/admin/generation/sourceimage/add/")
    page.get_by_label("Picture").set_input_files(
        {"name": f"{name}.png", "mimeType": "image/png", "buffer": data}
    )
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was added successfully")).to_be_visible()


def downloaded(page: Page, name: str) -> str:
    with page.expect_download() as download:
        page.get_by_role("link", name=name).click()
    assert download.value.suggested_filename == name
    return Path(download.value.path()).read_text(encoding="utf-8")


@pytest.mark.worker
def test_a_researcher_goes_the_whole_way_and_another_lab_finds_the_same_numbers(
    working_lab: LiveLab, visit: Visit, researcher: Any, elsewhere: Elsewhere,
    tmp_path: Path,
) -> None:  # fmt: skip
    lab = working_lab
    assert not researcher.is_superuser
    page = visit().new_page()
    log_in(page, lab)
    upload(page, lab, "Red", png((200, 60, 30)))
    upload(page, lab, "Blue", png((20, 60, 230)))

    # An experiment of one pair and two levels.
    page.goto(f"{lab.base}/admin/generation/experiment/add/")
    page.get_by_label("Name").fill("Small")
    for field, title in (("Content images", "Red"), ("Style images", "Blue")):
        page.get_by_role("group", name=field).get_by_label(title, exact=True).check()
    for box in page.locator("input[name=content_layer]:checked").all():
        box.uncheck()
    page.get_by_label("conv2_1").check()
    expect(page.get_by_label("Balances")).to_have_value("0.1")
    page.get_by_label("Balances").fill("0.03, 0.3")
    page.get_by_label("TV weights").fill("0")
    page.get_by_label("Size").fill("32")
    page.get_by_label("Evaluations").fill("2")
    page.get_by_label("Pooling").select_option("average")
    page.get_by_label("Start").select_option("content")
    page.get_by_label("Weights:", exact=True).select_option("random:0")
    page.get_by_role("button", name="Save and queue the renders").click()

    # The sheet shows them finish without a reload.
    expect(page.get_by_text("2 of 2 renders are queued now")).to_be_visible()
    expect(page.get_by_text("2 of 2 done")).to_be_visible(timeout=120_000)
    pictures = page.locator("#sheet img")
    expect(pictures).to_have_count(2)
    for picture in pictures.all():
        expect(picture).to_have_js_property("naturalWidth", 32)
    expect(page.get_by_text("random features: not the paper's network")).to_be_visible()

    # A study of them, step by step.
    for box in page.locator("input[name=render]").all():
        box.check()
    page.get_by_role("button", name="New study of the chosen pictures").click()
    expect(page.get_by_role("heading", level=1, name="Question")).to_be_visible()
    go_on(page, "Texts")
    page.get_by_label("Title").fill("Which is best?")
    page.get_by_label("Controller").fill("The lab")
    page.get_by_label("Contact").fill("ada@lab.example")
    page.get_by_label("Ethics reference").fill("2026-1")
    for step in ("Checks", "People", "Review"):
        go_on(page, step)
    page.get_by_role("button", name="Open for participants").click()
    expect(page.get_by_text("“Which is best?” is open.")).to_be_visible()
    page.get_by_role("link", name="The study's page").click()
    address = page.locator(".field-link a").get_attribute("href")

    # Three people in browsers of their own.
    given: dict[str, list[int]] = {}
    for answers in ((5, 2), (4, 3), (4, 1)):
        person = visit().new_page()
        consent(person, f"{lab.base}{address}")
        for index, value in enumerate(answers, start=1):
            expect_picture(person, index)
            given.setdefault(shown(person), []).append(value)
            click_answer(person, value)
        expect(person.get_by_role("heading", name="Thank you")).to_be_visible()

    page.get_by_role("link", name="Monitor", exact=True).click()
    facts = page.locator("#monitor .nst-facts > div")
    for fact, number in (("Finished", 3), ("Ratings", 6)):
        shown_fact = facts.filter(has=page.get_by_text(fact, exact=True))
        expect(shown_fact.locator("dd")).to_have_text(str(number))

    # The report comes by itself once a worker has computed it.
    page.get_by_role("link", name="Report", exact=True).first.click()
    expect(page.get_by_text("6 ratings of 2 stimuli")).to_be_visible(timeout=120_000)
    expect(page.get_by_text("3 finished of 3 started")).to_be_visible()
    page.get_by_role("link", name="Stimuli", exact=True).click()
    table = page.get_by_role("table", name="MOS by stimulus")
    for code, values in given.items():
        row = table.get_by_role("row").filter(has_text=code)
        expect(row).to_contain_text(f"{sum(values) / len(values):.2f}")

    page.get_by_role("link", name="Files", exact=True).click()
    rows = list(csv.DictReader(io.StringIO(downloaded(page, "ratings_long.csv"))))
    assert len(rows) == 6
    assert len({row["participant"] for row in rows}) == 3
    assert {row["weights"] for row in rows} == {"random:0"}
    assert {row["simulated"] for row in rows} <= {"False", "false", "0"}
    stored: dict[str, list[int]] = {}
    for row in rows:
        stored.setdefault(row["stimulus"], []).append(int(row["rating"]))
    assert {code: sorted(values) for code, values in stored.items()} == {
        code: sorted(values) for code, values in given.items()
    }

    table_here = downloaded(page, "mos_by_stimulus.csv")
    mos = pd.read_csv(io.StringIO(table_here))
    assert dict(zip(mos["stimulus"], mos["mos"], strict=True)) == {
        code: pytest.approx(sum(values) / len(values)) for code, values in given.items()
    }
    assert (mos["n"] == 3).all()
    assert sorted(mos["balance"]) == [0.03, 0.3]
    # What a balance came to is a result: with the ratings, and no factor of the table.
    came_to = {float(row["balance"]): float(row["alpha"]) for row in rows}
    assert came_to[0.3] == pytest.approx(10 * came_to[0.03])
    assert "alpha" not in mos

    # What is published makes the same numbers in a lab that knows nothing of this one.
    page.get_by_role("link", name="Open data", exact=True).click()
    page.get_by_label("We may publish every picture").check()
    page.get_by_role("button", name="Make a bundle").click()
    bundle = page.get_by_role("link", name=".zip")
    expect(bundle).to_be_visible(timeout=120_000)
    with page.expect_download() as download:
        bundle.click()
    packed = tmp_path / "bundle.zip"
    download.value.save_as(packed)
    elsewhere.says("migrate", "--verbosity", "0")
    said = elsewhere.says("import_bundle", str(packed))
    assert "Every table of its report is the same here." in said
    found = re.search(r"/s/([^/]+)/", said)
    assert found, said
    elsewhere.says("report", found[1], "--out", str(tmp_path / "there"))
    there = (tmp_path / "there" / "mos_by_stimulus.csv").read_text(encoding="utf-8")
    assert there == table_here


def test_the_labs_own_admin_pages_are_accessible(
    fresh_lab: LiveLab, visit: Visit, researcher: Any, make_study: Callable[..., Any]
) -> None:
    from analysis.models import Report
    from analysis.reports.tasks import compute_report
    from survey.client import InProcess, take_part

    study, unseen = make_study(pictures=3), make_study(pictures=2)
    for values in ([5, 3, 1], [4, 3, 2]):
        take_part(
            InProcess(), study.get_absolute_url(), choose=lambda _, v=values: v.pop()
        )
    page = visit().new_page()
    log_in(page, fresh_lab)
    sheet, report, nobody = (
        f"/admin/generation/experiment/{study.experiment_id}/sheet/",
        f"/admin/analysis/report/study/{study.pk}/",
        f"/admin/analysis/report/study/{unseen.pk}/",
    )
    check = Readable(page)
    page.goto(fresh_lab.base + sheet)
    expect(page.get_by_text("3 of 3 done")).to_be_visible()
    check("sheet")
    page.goto(fresh_lab.base + report)
    expect(page.get_by_text("Being computed since")).to_be_visible()
    check("report, being computed")
    page.goto(fresh_lab.base + nobody)
    for asked in Report.objects.all():
        compute_report(asked.pk)
    expect(page.get_by_text("Nobody has rated anything yet.")).to_be_visible()
    check("report, nobody there")
    page.goto(fresh_lab.base + report)
    expect(page.locator(".nst-ranked li")).to_have_count(3)
    check("report")
    for name in ("upload", "invitations", "poster", "approvals"):
        page.goto(f"{fresh_lab.base}/admin/survey/study/{study.pk}/{name}/")
        check(name)
    assert not check.found, "\n".join(check.found)


def test_every_list_of_the_admin_opens_without_a_complaint_of_the_browser(
    fresh_lab: LiveLab, visit: Visit, researcher: Any, make_study: Callable[..., Any]
) -> None:
    study = make_study(pictures=2)
    page = visit().new_page()
    log_in(page, fresh_lab)
    links = page.locator("#content-main th a")
    addresses = [link.get_attribute("href") for link in links.all()]
    assert len(addresses) >= 8
    addresses += [
        f"/admin/generation/experiment/{study.experiment_id}/change/",
        f"/admin/generation/render/{study.experiment.renders.first().pk}/change/",
        f"/admin/generation/sourceimage/{study.experiment.pairs.first().content_id}"
        "/change/",
        f"/admin/survey/study/{study.pk}/change/",
        f"/admin/survey/stimulus/{study.stimuli.first().pk}/change/",
    ]
    for address in addresses:
        answer = page.goto(f"{fresh_lab.base}{address}")
        assert answer is not None and answer.status == 200, address
