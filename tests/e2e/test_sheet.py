"""From thumbnails to pictures under one magnifying glass."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from playwright.sync_api import Page, Route, expect

from generation.models import Experiment
from tests.conftest import png, put_on_wall
from tests.e2e.live import LiveLab
from tests.e2e.readable import Readable
from tests.e2e.test_researcher import Visit, log_in

pytestmark = [
    pytest.mark.browser,
    pytest.mark.broker,
    pytest.mark.django_db(transaction=True),
]
TOGETHER = """() => {
    const share = (view) =>
        (view.scrollLeft + view.clientWidth / 2) / view.scrollWidth;
    const [first, ...others] = [...document.querySelectorAll(".nst-view")].map(share);
    return others.every((other) => Math.abs(other - first) < 0.01);
}"""


@pytest.fixture
def figure(make_experiment: Callable[..., Any]) -> Experiment:
    with transaction.atomic():
        experiment: Experiment = make_experiment(
            name="Figure", content_layer=["conv1_1", "conv2_1"], alpha_beta=[0.1, 0.2]
        )
        put_on_wall(experiment)
    return experiment


def tile(page: Page, field: str, title: str) -> Any:
    return page.get_by_role("group", name=field).get_by_label(title, exact=True)


def fact(page: Page, name: str) -> Any:
    entry = page.locator("#forecast .nst-facts > div").filter(
        has=page.get_by_text(name, exact=True)
    )
    return entry.locator("dd")


def test_pictures_are_chosen_by_thumbnail_and_the_count_follows(
    fresh_lab: LiveLab, visit: Visit, researcher: Any
) -> None:
    from generation.pictures.source_images import add_source_image

    for number in range(40):
        add_source_image(
            data=png((5 * number, 60, 30)), title=f"Photo {number}", owner=researcher
        )
    page = visit().new_page()
    log_in(page, fresh_lab)
    page.goto(f"{fresh_lab.base}/admin/generation/experiment/add/")
    expect(page.locator("#forecast")).to_contain_text("give at least one pair")

    tile(page, "Content images", "Photo 39").check()
    tile(page, "Style images", "Photo 38").check()
    expect(fact(page, "renders")).to_have_text("1")
    page.get_by_label("conv1_1").check()
    page.get_by_label("Balances").fill("0.03, 0.1, 0.3")
    expect(fact(page, "renders")).to_have_text("6")
    expect(fact(page, "pictures")).to_contain_text("MB")

    # A search keeps what is ticked, and Enter in it sends nothing.
    expect(tile(page, "Style images", "Photo 0")).to_have_count(0)
    search = page.locator("#id_styles_search")
    search.fill("photo 0")
    expect(tile(page, "Style images", "Photo 0")).to_be_visible()
    search.press("Enter")
    tile(page, "Style images", "Photo 0").check()
    expect(tile(page, "Style images", "Photo 38")).to_be_checked()
    expect(fact(page, "renders")).to_have_text("12")

    # So does a search that is answered late.
    late: list[Route] = []
    page.route("**/experiment/pictures/**", lambda route: late.append(route))
    search.fill("photo 38")
    tile(page, "Style images", "Photo 38").uncheck()
    expect(fact(page, "renders")).to_have_text("6")
    tile(page, "Style images", "Photo 0").uncheck()
    tile(page, "Style images", "Photo 0").check()
    with page.expect_response("**/experiment/pictures/**"):
        for route in late:
            route.continue_()
    expect(tile(page, "Style images", "Photo 38")).not_to_be_checked()
    expect(tile(page, "Style images", "Photo 0")).to_be_checked()
    tile(page, "Style images", "Photo 38").check()
    expect(fact(page, "renders")).to_have_text("12")
    page.unroute("**/experiment/pictures/**")

    page.get_by_label("TV weights").fill("lots")
    expect(page.locator("#forecast")).to_contain_text("'lots' is not a number")
    page.get_by_label("TV weights").fill("0")
    expect(fact(page, "renders")).to_have_text("12")
    assert not Experiment.objects.exists()

    page.get_by_label("Name").fill("By thumbnail")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("The grid has 12 renders")).to_be_visible()
    saved = Experiment.objects.get()
    assert {str(each) for each in saved.styles.all()} == {"Photo 38", "Photo 0"}


def test_renders_are_ticked_compared_and_magnified_together(
    fresh_lab: LiveLab, visit: Visit, researcher: Any, figure: Experiment
) -> None:
    page = visit().new_page()
    log_in(page, fresh_lab)
    page.goto(f"{fresh_lab.base}/admin/generation/experiment/{figure.pk}/sheet/")
    table = page.get_by_role("table")
    expect(table.get_by_role("rowheader")).to_have_text(["conv1_1", "conv2_1"])
    page.get_by_label("Rows").select_option(label="α/β")
    page.get_by_label("Columns").select_option(label="content layer")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(table.get_by_role("rowheader")).to_have_text(["0.1", "0.2"])

    boxes = page.get_by_role("checkbox")
    expect(boxes).to_have_count(4)
    boxes.nth(0).check()
    boxes.nth(3).check()
    expect(page.get_by_text("2 ticked")).to_be_visible()
    page.get_by_role("button", name="Compare").click()
    views = page.locator(".nst-view")
    expect(views).to_have_count(4)  # two renders, content, style

    for _ in range(3):
        page.get_by_role("button", name="Larger").click()
    expect(page.locator("#scale")).to_have_text("338 %")
    wide = views.nth(0).evaluate("view => view.scrollWidth / view.clientWidth")
    assert wide == pytest.approx(1.5**3, rel=0.02)
    # By keyboard: the arrows move one picture, and the others follow.
    views.nth(0).focus()
    before = views.nth(1).evaluate("view => view.scrollLeft")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "before => document.querySelectorAll('.nst-view')[1].scrollLeft > before",
        arg=before,
    )
    page.wait_for_function(TOGETHER)
    page.keyboard.press("0")
    expect(page.locator("#scale")).to_have_text("100 %")


def test_a_cell_changes_by_itself_and_what_is_ticked_stays_so(
    fresh_lab: LiveLab, visit: Visit, researcher: Any, figure: Experiment
) -> None:
    last = figure.renders.order_by("pk").last()
    assert last is not None
    figure.renders.filter(pk=last.pk).update(status="queued", picture="")
    page = visit().new_page()
    log_in(page, fresh_lab)
    page.goto(f"{fresh_lab.base}/admin/generation/experiment/{figure.pk}/sheet/")
    expect(page.get_by_text("3 of 4 done")).to_be_visible()
    box = page.locator(f"input[name=render][value='{last.pk}']")
    box.check()
    figure.renders.filter(pk=last.pk).update(status="failed", reason="Too hot.")
    expect(page.locator(f"#reason-{last.pk}")).to_have_text("Too hot.")
    expect(page.locator(f"#render-{last.pk}")).to_contain_text("failed")
    expect(box).to_be_checked()
    page.goto(f"{fresh_lab.base}/admin/generation/render/{last.pk}/change/")
    page.get_by_role("button", name="Paint again").click()
    expect(page.get_by_text("1 render is queued again.")).to_be_visible()


def test_the_pages_are_accessible_and_fit_a_phone(
    fresh_lab: LiveLab, visit: Visit, researcher: Any, figure: Experiment
) -> None:
    first, second, *_ = figure.renders.order_by("pk")
    page = visit().new_page()
    log_in(page, fresh_lab)
    base = "/admin/generation"
    check = Readable(page, ("light", "dark"))
    for address, there in (
        (f"{base}/experiment/add/", "give at least one pair"),
        (f"{base}/experiment/{figure.pk}/change/", "to paint"),
        (f"{base}/experiment/{figure.pk}/sheet/", "4 of 4 done"),
        (f"{base}/experiment/{figure.pk}/sheet/?rows=&columns=", "Export"),
        (
            f"{base}/experiment/{figure.pk}/compare/?render={first.pk}&render={second.pk}",
            "Where they differ",
        ),
        (f"{base}/render/{first.pk}/change/", "Provenance"),
    ):
        page.goto(fresh_lab.base + address)
        expect(page.get_by_text(there).first).to_be_visible()
        check(address)
    assert not check.found, "\n".join(check.found)


def test_the_sheet_prints_without_its_buttons(
    fresh_lab: LiveLab, visit: Visit, researcher: Any, figure: Experiment
) -> None:
    page = visit().new_page()
    log_in(page, fresh_lab)
    page.goto(f"{fresh_lab.base}/admin/generation/experiment/{figure.pk}/sheet/")
    page.emulate_media(media="print")
    expect(page.get_by_role("rowheader", name="conv1_1")).to_be_visible()
    expect(page.get_by_text("random features: not the paper's network")).to_be_visible()
    for name in ("Compare", "Show", "Tick all shown"):
        expect(page.get_by_role("button", name=name, exact=True)).to_be_hidden()
    expect(page.get_by_role("checkbox").first).to_be_hidden()


def test_without_scripts_everything_is_there(
    fresh_lab: LiveLab, visit: Visit, researcher: Any, figure: Experiment
) -> None:
    page = visit(java_script_enabled=False).new_page()
    log_in(page, fresh_lab)
    page.goto(f"{fresh_lab.base}/admin/generation/experiment/{figure.pk}/sheet/")
    for number in (0, 1):
        page.get_by_role("checkbox").nth(number).check()
    page.get_by_role("button", name="Compare").click()
    expect(page).to_have_url(re.compile(r"/compare/\?render=\d+&render=\d+$"))
    expect(page.locator(".nst-view img")).to_have_count(4)
    page.goto(f"{fresh_lab.base}/admin/generation/experiment/add/")
    page.get_by_label("Name").fill("No script")
    tile(page, "Content images", "Red").check()
    tile(page, "Style images", "Blue").check()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("The grid has 1 render:")).to_be_visible()


def test_a_done_render_is_painted_again_and_what_came_out_appears_by_itself(
    fresh_lab: LiveLab, visit: Visit, researcher: Any, figure: Experiment
) -> None:
    render = figure.renders.order_by("pk")[0]
    page = visit().new_page()
    check = Readable(page, ("light", "dark"))
    log_in(page, fresh_lab)
    page.goto(f"{fresh_lab.base}/admin/generation/render/{render.pk}/change/")
    page.get_by_role("button", name="Paint again and compare").click()
    expect(page.get_by_text("Waits to be painted again")).to_be_visible()
    check("waiting to be painted again")
    row = render.reproductions.get()
    assert row.show_progress(1, "a worker")
    expect(page.get_by_text("1 of 2 evaluations")).to_be_visible()
    assert row.finish(
        pixel_sha256="0" * 64,
        differing=0.25,
        farthest=9,
        differences=["torch: 1.0 then, 2.0 now"],
    )
    expect(page.get_by_text("25.0 % of the pixels differ")).to_be_visible()
    expect(page.get_by_text("torch: 1.0 then")).to_be_visible()
    expect(page.get_by_role("button", name="Paint again and compare")).to_be_visible()
    check("painted again")
    assert not check.found, "\n".join(check.found)
