"""The job paints for real: VGG-16 with seeded random weights at 32 × 32 pixels."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from PIL import Image

from generation.engine.grid import ImpossibleGrid
from generation.engine.judged import ratio
from generation.engine.pictures.files import pixel_sha256
from generation.models import Batch, Render
from generation.pictures.source_images import add_source_image
from generation.queueing.batches import queue_experiment
from generation.queueing.tasks import render_batch
from nstlab.core.version import software
from tests.conftest import png

pytestmark = pytest.mark.django_db(transaction=True)


def test_it_paints_every_render_of_its_batch(experiment: Any) -> None:
    queue_experiment(experiment)
    batch = Batch.objects.get()
    assert render_batch(batch.pk, 1) == "2 painted"
    for render in experiment.renders.all():
        assert render.status == Render.Status.DONE
        with render.picture.open() as file:
            picture = Image.open(io.BytesIO(file.read()))
            picture.load()
        assert picture.size == (32, 32)
        assert pixel_sha256(picture) == render.pixel_sha256
        assert len(render.curve) == 2
        assert render.environment["torch"]
        assert software().items() <= render.environment.items()
        assert render.seconds > 0
        assert render.weights == "random:0"


def test_a_render_keeps_what_its_picture_of_8_bits_is_worth(
    make_experiment: Callable[..., Any], logged_in: Any
) -> None:
    experiment = make_experiment(
        alpha_beta=[0.01],
        more_axes={
            "start": ["noise"],
            "range": ["free"],
            "evaluations": [16],
            "objective": ["paper", "notebook"],
        },
    )
    queue_experiment(experiment)
    for batch in Batch.objects.all():
        render_batch(batch.pk, 1)
    render = experiment.renders.get(objective="paper")
    off = ratio(render.losses)
    searched, seen = render.losses["search"], render.losses["picture"]
    assert searched["total"] == min(point["total"] for point in render.curve)
    assert off is not None and off > 1.05

    page = logged_in.get(f"/admin/generation/render/{render.pk}/change/")
    text = " ".join(page.content.decode().split())
    assert f"of 8 bits: total {seen['total']:.4g}" in text
    assert "with range = inside nothing is cut" in text
    assert '<polyline class="nst-line-picture"' in text

    # What its convention was published with is told, and not warned of.
    render = experiment.renders.get(objective="notebook")
    assert (ratio(render.losses) or 0) > 1.05
    page = logged_in.get(f"/admin/generation/render/{render.pk}/change/")
    text = " ".join(page.content.decode().split())
    assert "as the convention was published" in text
    assert "nothing is cut" not in text

    page = logged_in.get(f"/admin/generation/experiment/{experiment.pk}/sheet/")
    said = " ".join(page.content.decode().split())
    assert f"1 picture has {off:.2f} times" in said


def test_what_an_earlier_lab_has_is_said_to_have_been_free(experiment: Any) -> None:
    queue_experiment(experiment)
    for render in experiment.renders.all():
        before = {name: it for name, it in render.settings.items() if name != "range"}
        Render.objects.filter(pk=render.pk).update(settings=before)
    experiment.more_axes = {"colour": ["free"]}
    experiment.save()
    assert {it.render_settings().range for it in experiment.renders.all()} == {"free"}

    migration = import_module("generation.migrations.0007_range")
    for _ in range(2):
        migration.say_what_was_meant(apps, None)
    experiment.refresh_from_db()
    assert list(experiment.more_axes.items()) == [
        ("colour", ["free"]),
        ("range", ["free"]),
    ]
    assert {cell.settings.range for cell in experiment.cells()} == {"free"}
    assert {it.settings["range"] for it in experiment.renders.all()} == {"free"}


def test_evaluations_that_are_not_finite_are_null_in_the_curve(
    make_experiment: Callable[..., Any],
) -> None:
    experiment = make_experiment(
        alpha_beta=[1e37], more_axes={"start": ["content"], "evaluations": [6]}
    )
    queue_experiment(experiment)
    render_batch(Batch.objects.get().pk, 1)
    render = experiment.renders.get()
    assert (render.status, render.reason) == ("done", "")
    assert render.curve[0]["total"] is not None
    assert None in [point["total"] for point in render.curve]


def test_a_third_picture_is_where_a_render_may_start(
    make_experiment: Callable[..., Any],
) -> None:
    image, _ = add_source_image(data=png((9, 200, 9)), title="Green")
    start = f"picture:{image.pixel_sha256}"
    experiment = make_experiment(alpha_beta=[0.01], more_axes={"start": [start]})
    queue_experiment(experiment)
    render_batch(Batch.objects.get().pk, 1)
    render = experiment.renders.get()
    assert (render.status, render.start) == ("done", start)
    image.delete()
    with pytest.raises(ImpossibleGrid, match="names no source image"):
        experiment.cells()


def test_delivered_twice_it_paints_once(experiment: Any) -> None:
    queue_experiment(experiment)
    batch = Batch.objects.get()
    render_batch(batch.pk, 1)
    finished = list(experiment.renders.values_list("finished_at", flat=True))
    assert render_batch(batch.pk, 1) == "not ours"
    assert list(experiment.renders.values_list("finished_at", flat=True)) == finished


def test_a_batch_that_is_gone_does_no_harm(db: None) -> None:
    assert render_batch(4711, 1) == "not ours"


def test_missing_weights_refuse_the_render_with_a_sentence(
    make_experiment: Callable[..., Any],
) -> None:
    experiment = make_experiment(weights="file:" + "0" * 64)
    queue_experiment(experiment)
    render_batch(Batch.objects.get().pk, 1)
    for render in experiment.renders.all():
        assert render.status == Render.Status.REFUSED
        assert "manage.py weights add FILE" in render.reason
        assert render.traceback == ""


def test_what_the_engine_refuses_spares_the_others(
    experiment: Any,
) -> None:
    queue_experiment(experiment)
    first, second = experiment.renders.all()
    Render.objects.filter(pk=first.pk).update(
        settings={**first.settings, "nonsense": 1}
    )
    render_batch(Batch.objects.get().pk, 1)
    first.refresh_from_db()
    second.refresh_from_db()
    assert first.status == Render.Status.REFUSED
    assert "nonsense" in first.reason
    assert second.status == Render.Status.DONE


def test_a_missing_source_file_is_a_crash_with_a_traceback(experiment: Any) -> None:
    queue_experiment(experiment)
    image = experiment.pairs.get().content
    image.picture.storage.delete(image.picture.name)
    render_batch(Batch.objects.get().pk, 1)
    render = experiment.renders.first()
    assert render.status == Render.Status.FAILED
    assert "FileNotFoundError" in render.traceback
    assert "Traceback" not in render.reason


def test_a_cancelled_render_stops_and_the_next_one_is_painted(
    make_experiment: Callable[..., Any],
) -> None:
    experiment = make_experiment(evaluations=100_000)
    queue_experiment(experiment)
    first, second = experiment.renders.all()
    assert first.batch is not None
    Render.objects.filter(pk=second.pk).update(
        batch=first.batch, settings={**second.settings, "evaluations": 1}
    )

    def cancel_when_it_runs() -> None:
        from django.db import connection

        for _ in range(600):
            row = Render.objects.get(pk=first.pk)
            if row.progress.get("evaluations"):
                row.cancel()
                break
            threading.Event().wait(0.1)
        connection.close()

    thread = threading.Thread(target=cancel_when_it_runs)
    thread.start()
    render_batch(first.batch.pk, 1)
    thread.join()
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.status, first.picture.name) == ("cancelled", "")
    assert second.status == Render.Status.DONE


def test_a_balance_is_kept_with_the_alpha_that_it_came_to(
    make_experiment: Callable[..., Any], logged_in: Any
) -> None:
    experiment = make_experiment(more_axes={"balance": [0.1, 0.3]}, tv_weight=[0.0])
    queue_experiment(experiment)
    assert set(experiment.renders.values_list("alpha", flat=True)) == {None}
    for batch in Batch.objects.all():
        render_batch(batch.pk, 1)
    low, high = experiment.renders.order_by("balance")
    assert (low.balance, high.balance) == (0.1, 0.3)
    assert high.alpha == pytest.approx(3 * low.alpha)
    assert "alpha" not in low.settings
    for render in (low, high):
        assert render.style_share > 0
        assert render.content_share > 0
        page = logged_in.get(f"/admin/generation/render/{render.pk}/change/")
        assert f"balance {render.balance}" in page.content.decode()
        assert "The picture that people see, of 8 bits:" in page.content.decode()
