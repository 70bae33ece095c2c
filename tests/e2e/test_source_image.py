"""A picture's focus, chosen with a pointer or by two numbers."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from generation.models import SourceImage
from tests.conftest import png
from tests.e2e.live import LiveLab
from tests.e2e.readable import Readable
from tests.e2e.test_researcher import Visit, log_in

pytestmark = [
    pytest.mark.browser,
    pytest.mark.broker,
    pytest.mark.django_db(transaction=True),
]


@pytest.mark.parametrize("width", [1280, 390])
def test_the_focus_is_clicked_on_or_written_and_the_cut_is_shown(
    fresh_lab: LiveLab,
    visit: Visit,
    researcher: Any,
    width: int,
) -> None:
    from generation.pictures.source_images import add_source_image

    image, _ = add_source_image(
        data=png(size=(480, 320)), title="Lying", owner=researcher
    )
    page = visit(viewport={"width": width, "height": 800}).new_page()
    log_in(page, fresh_lab)
    page.goto(f"{fresh_lab.base}/admin/generation/sourceimage/{image.pk}/change/")
    stage, cut = page.locator(".nst-focus"), page.locator(".nst-focus-cut")
    across, down = page.get_by_label("Focus across"), page.get_by_label("Focus down")
    box = stage.bounding_box()
    assert box
    stage.click(position={"x": box["width"] * 0.9, "y": box["height"] * 0.25})
    assert float(across.input_value()) == pytest.approx(0.9, abs=0.01)
    assert float(down.input_value()) == pytest.approx(0.25, abs=0.01)
    part = cut.bounding_box()
    assert part
    right = box["x"] + box["width"]
    assert part["x"] + part["width"] == pytest.approx(right, abs=2), "at the edge"
    assert part["width"] == pytest.approx(part["height"], abs=2)
    across.fill("0")
    part = cut.bounding_box()
    assert part
    assert part["x"] == pytest.approx(box["x"], abs=2)
    check = Readable(page, ("light", "dark"))
    check("a source image")
    assert not check.found, "\n".join(check.found)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".messagelist")).to_contain_text("changed successfully")
    image.refresh_from_db()
    assert (image.focus_x, image.focus_y) == (0, pytest.approx(0.25, abs=0.01))
    page.goto(f"{fresh_lab.base}/admin/generation/sourceimage/{image.pk}/change/")
    page.get_by_label("Focus across").fill("1.5")
    page.evaluate("document.querySelector('#sourceimage_form').noValidate = true")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".errorlist")).to_contain_text("less than or equal to 1")
    assert SourceImage.objects.get(pk=image.pk).focus_x == 0
