"""Pictures that are no squares, from the form to what a worker paints."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from PIL import Image

from generation.engine.grid import ImpossibleGrid
from generation.experiments.forecast import forecast, most_bytes, promised_bytes
from generation.models import Batch, Render, SourceImage
from generation.pictures.source_images import add_source_image
from generation.queueing import leases
from generation.queueing.batches import queue_experiment
from generation.queueing.tasks import render_batch
from tests.conftest import png, put_on_wall

from .test_choosing import NEW, said
from .test_experiment_pages import form

pytestmark = pytest.mark.django_db


def test_nobody_asks_for_squares_and_aspect_is_kept(
    make_experiment: Callable[..., Any], logged_in: Any
) -> None:
    experiment = make_experiment(fit="aspect", size=30)
    planned = forecast(experiment)
    assert planned.shapes == ()
    assert planned.bytes == 2 * most_bytes(30 * 20)
    assert planned.seconds == pytest.approx(2 * 2 * 0.92 * 30 * 20 / 300**2)
    queue_experiment(experiment)
    waiting = Render.objects.all()
    assert promised_bytes(waiting) == most_bytes(2 * 30 * 20) + 2 * 4096
    page = logged_in.get("/admin/generation/experiment/add/").content.decode()
    assert '<option value="aspect" selected>' in page


def test_the_form_explains_style_scale_by_a_picture(logged_in: Any) -> None:
    page = logged_in.get("/admin/generation/experiment/add/").content.decode()
    explained = page[page.index("What style_scale does") :]
    told = re.search(r'<img src="([^"]*)" width="(\d+)" height="(\d+)"', explained)
    assert told
    assert told[1].startswith("/static/generation/style-scale")
    with Image.open(finders.find("generation/style-scale.jpg")) as picture:
        assert picture.size == (int(told[2]), int(told[3]))


@pytest.mark.parametrize(
    ("fit", "sentence"),
    [
        ("square", "Squashed to 32 × 32: Red (48 × 32), Blue (48 × 32)."),
        ("crop", "Cut around the focus to 32 × 32: Red (48 × 32), Blue (48 × 32)."),
    ],
)
def test_what_is_squashed_or_cut_is_said_before_it_is_queued(
    make_experiment: Callable[..., Any], logged_in: Any, fit: str, sentence: str
) -> None:
    experiment = make_experiment(fit=fit)
    assert sentence in str(forecast(experiment))
    assert sentence in said(logged_in.post(NEW, form(experiment, fit=fit)))
    put_on_wall(experiment)
    assert forecast(experiment).shapes == (), "it is painted"


def test_a_style_is_cut_to_the_size_it_is_read_at_and_squares_are_not_named(
    make_experiment: Callable[..., Any],
) -> None:
    experiment = make_experiment(fit="crop", more_axes={"style_scale": [2.0]})
    SourceImage.objects.filter(title="Red").update(width=40, height=40)
    sentence = "Cut around the focus to 64 × 64: Blue (48 × 32)."
    assert forecast(experiment).shapes == (sentence,)


def test_a_picture_too_narrow_for_the_network_is_refused_before_it_is_queued(
    make_experiment: Callable[..., Any],
) -> None:
    experiment = make_experiment(fit="aspect", size=17)
    with pytest.raises(ImpossibleGrid, match="content picture of 48 × 32 becomes 17 ×"):
        queue_experiment(experiment)
    assert not Render.objects.exists()


def test_a_request_keeps_the_focus_it_was_queued_with(
    make_experiment: Callable[..., Any],
) -> None:
    experiment = make_experiment(fit="crop", alpha_beta=[0.1])
    SourceImage.objects.filter(title="Red").update(focus_x=0.25, focus_y=1)
    queue_experiment(experiment)
    SourceImage.objects.filter(title="Red").update(focus_x=0.75)
    assert queue_experiment(experiment).new == 1, "another cut, another picture"
    before, after = experiment.renders.order_by("pk")
    assert before.render_settings().content_focus == "0.25 1"
    assert after.render_settings().content_focus == "0.75 1"
    assert after.render_settings().style_focus == "0.5 0.5"


def test_a_focus_changes_nothing_where_nothing_is_cut(
    make_experiment: Callable[..., Any],
) -> None:
    experiment = make_experiment(fit="aspect", size=48)
    queue_experiment(experiment)
    SourceImage.objects.update(focus_x=0)
    assert queue_experiment(experiment).new == 0


def test_a_line_of_the_form_goes_before_the_pictures_own_focus(
    make_experiment: Callable[..., Any],
) -> None:
    lines = {"content_focus": ["0.1 0.5", "0.9 0.5"]}
    experiment = make_experiment(fit="crop", alpha_beta=[0.1], more_axes=lines)
    SourceImage.objects.update(focus_x=0.3)
    focuses = {
        (cell.settings.content_focus, cell.settings.style_focus)
        for cell in experiment.cells()
    }
    assert focuses == {("0.1 0.5", "0.3 0.5"), ("0.9 0.5", "0.3 0.5")}


@pytest.mark.django_db(transaction=True)
def test_a_batch_paints_each_picture_in_its_own_shape(
    make_experiment: Callable[..., Any],
) -> None:
    experiment = make_experiment(fit="aspect", alpha_beta=[0.1], size=48)
    standing, _ = add_source_image(data=png((9, 99, 9), (32, 48)), title="Standing")
    experiment.contents.set([standing])
    experiment.styles.set([experiment.pairs.get().style])
    experiment.more_axes = {"fit": ["aspect", "crop"]}
    queue_experiment(experiment)
    assert render_batch(Batch.objects.get().pk, 1) == "4 painted"
    painted = {}
    for render in experiment.renders.all():
        with render.picture.open() as file, Image.open(io.BytesIO(file.read())) as it:
            painted[str(render.content), render.render_settings().fit] = it.size
    assert painted == {
        ("Red", "aspect"): (48, 32), ("Red", "crop"): (48, 48),
        ("Standing", "aspect"): (32, 48), ("Standing", "crop"): (48, 48),
    }  # fmt: skip


def compared(logged_in: Any, experiment: Any) -> str:
    keys = experiment.renders.order_by("pk").values_list("pk", flat=True)[:2]
    query = "&".join(f"render={key}" for key in keys)
    address = f"/admin/generation/experiment/{experiment.pk}/compare/?{query}"
    return str(logged_in.get(address).content.decode())


def test_sources_are_compared_as_they_were_seen(
    logged_in: Any, make_experiment: Callable[..., Any], queues: None
) -> None:
    kept = make_experiment(fit="aspect")
    put_on_wall(kept)
    page = compared(logged_in, kept)
    assert "nst-stretched" not in page
    assert "nst-cut" not in page
    cut = make_experiment(name="Cut", fit="crop")
    content = cut.pairs.get().content
    SourceImage.objects.filter(pk=content.pk).update(focus_x=0.4)
    put_on_wall(cut)
    SourceImage.objects.filter(pk=content.pk).update(focus_x=1)
    page = compared(logged_in, cut)
    assert page.count("nst-view nst-cut") == 2
    # 3 of 16 pixels that the square could be moved by: where it was cut, not where now.
    assert 'data-place="18.75% 50.00%"' in page
    assert "Cut to the square that was painted." in page


def test_a_sheet_as_a_picture_has_room_for_every_shape(
    logged_in: Any, two_shapes: Any
) -> None:
    address = f"/admin/generation/experiment/{two_shapes.pk}/sheet/"
    assert logged_in.get(address).status_code == 200
    exports = re.findall(
        r'href="([^"]*png[^"]*)"', logged_in.get(address).content.decode()
    )
    assert exports
    sheet = b"".join(logged_in.get(exports[-1].replace("&amp;", "&")))
    with Image.open(io.BytesIO(sheet)) as figure:
        found = {pixel for _, pixel in figure.convert("RGB").getcolors(2**24)}
    assert {(40 * number, 90, 120) for number in range(4)} <= found


def test_a_preview_keeps_its_shape() -> None:
    jpeg = leases._small_jpeg(Image.new("RGB", (600, 400)))
    with Image.open(io.BytesIO(jpeg)) as preview:
        assert preview.size == (256, 171)
