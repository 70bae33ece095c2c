"""Time, bytes and room are known before anything is queued."""

from __future__ import annotations

import re
import shutil
import uuid
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import pytest

from generation.engine.methods.gatys import Gatys
from generation.engine.registry import METHODS, Cost
from generation.engine.settings import RenderSettings
from generation.experiments.forecast import (
    NoRoom,
    Rates,
    duration,
    forecast,
    free_bytes,
    megabytes,
    most_bytes,
)
from generation.models import Batch, Render
from generation.queueing.batches import queue_experiment
from generation.queueing.tasks import render_batch
from tests.conftest import png, put_on_wall

pytestmark = pytest.mark.django_db
Usage = namedtuple("Usage", "total used free")


def finish(experiment: Any, *, seconds: float, device: str) -> None:
    """Finish what is queued as if `device` had taken so many seconds for each."""
    queue_experiment(experiment)
    for render in experiment.renders.filter(status="queued"):
        token = uuid.uuid4()
        render.begin(token=token, worker="test")
        render.finish(
            token=token, png=png(), pixel_sha256="0" * 64, curve=[],
            environment={"device": device}, seconds=seconds,
        )  # fmt: skip


def test_a_lab_that_has_painted_nothing_says_that_it_guesses(
    make_experiment: Callable[..., Any],
) -> None:
    experiment = make_experiment(size=300, evaluations=100)
    planned = forecast(experiment)
    assert (planned.total, planned.new, planned.evaluations) == (2, 2, 200)
    assert planned.seconds == pytest.approx(2 * 100 * 0.92)
    assert "The grid has 2 renders: 200 evaluations, about 3 min" in str(planned)
    assert "a guess for two CPU cores" in str(planned)
    assert "0.6 MB of pictures" in str(planned)


def test_seconds_are_measured_on_finished_renders(
    make_experiment: Callable[..., Any],
) -> None:
    finish(make_experiment(evaluations=10), seconds=5.0, device="H200")
    planned = forecast(make_experiment(name="Next", evaluations=100, seed=1))
    assert planned.seconds == pytest.approx(2 * 100 * 0.5)
    assert "measured on 2 finished renders on H200)" in str(planned)


def test_a_size_never_painted_is_scaled_by_area_and_said_to_be(
    make_experiment: Callable[..., Any],
) -> None:
    finish(make_experiment(evaluations=10), seconds=5.0, device="cpu")
    planned = forecast(make_experiment(name="Next", size=64, evaluations=10))
    assert planned.seconds == pytest.approx(2 * 10 * 0.5 * 4)
    assert "scaled by area to 64 pixels" in str(planned)


def test_only_the_device_that_paints_now_counts(
    make_experiment: Callable[..., Any],
) -> None:
    finish(make_experiment(evaluations=10), seconds=50.0, device="cpu")
    finish(make_experiment(name="GPU", evaluations=10), seconds=1.0, device="H200")
    rates = Rates()
    settings = RenderSettings(alpha=1.0, size=32, fit="square", evaluations=10)
    assert rates.device == "H200"
    assert rates.seconds(settings, (48, 32)) == pytest.approx(1.0)


class Slow(Gatys):
    """Two evaluations for each asked for, and each three times as long."""

    def cost(self, settings: Any) -> Cost:
        return Cost(2 * settings.evaluations, time=3.0)


def test_a_method_never_painted_takes_what_it_says_it_costs(
    make_experiment: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, "slow", Slow())
    slow = make_experiment(name="Slow", more_axes={"method": ["slow"]}, evaluations=10)
    assert forecast(slow).seconds == pytest.approx(2 * 10 * 6 * 0.92 * (32 / 300) ** 2)
    finish(make_experiment(evaluations=10), seconds=5.0, device="H200")
    assert forecast(slow).seconds == pytest.approx(2 * 10 * 6 * 0.5)
    finish(slow, seconds=7.0, device="H200")
    assert set(slow.renders.values_list("method", flat=True)) == {"slow"}
    again = make_experiment(
        name="Again", more_axes={"method": ["slow"], "seed": [5]}, evaluations=10
    )
    assert forecast(again).seconds == pytest.approx(2 * 7.0)


@pytest.mark.django_db(transaction=True)
def test_a_painted_render_measures_itself(experiment: Any) -> None:
    queue_experiment(experiment)
    render_batch(Batch.objects.get().pk, 1)
    assert Rates().device == "cpu"
    for render in experiment.renders.all():
        assert render.picture_bytes == render.picture.size > 0


def test_what_was_queued_before_is_not_counted_again(experiment: Any) -> None:
    queue_experiment(experiment)
    assert str(forecast(experiment)).endswith(
        "2 renders; nothing of it is left to paint."
    )
    experiment.tv_weight = [0.0, 1.0]
    assert "4 renders, 2 of them to paint" in str(forecast(experiment))


def test_what_others_have_painted_costs_nothing(
    make_experiment: Callable[..., Any],
) -> None:
    put_on_wall(make_experiment())
    planned = forecast(make_experiment(name="Same", reuse=True))
    assert (planned.new, planned.reused, planned.seconds) == (0, 2, 0)
    assert "2 of them painted by other experiments" in str(planned)


def test_no_picture_is_larger_than_its_bound(tmp_path: Any) -> None:
    import os

    from PIL import Image

    from generation.engine.pictures.files import png_bytes

    for side in (16, 64, 300, 512):
        noise = Image.frombytes("RGB", (side, side), os.urandom(3 * side * side))
        assert len(png_bytes(noise)) <= most_bytes(side**2)


# Room -------------------------------------------------------------------------


def leave_free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    """A full disk cannot be had without filling one, so only its size is pretended."""
    usage = Usage(total=10**12, used=10**12 - free, free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)


def test_the_disk_is_looked_at(settings: Any) -> None:
    free = shutil.disk_usage(settings.VAR).free
    assert free_bytes() == pytest.approx(free, rel=0.5)


def test_a_full_disk_is_refused_before_anything_is_queued(
    experiment: Any, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.NSTLAB_DISK_RESERVE_MB = 100
    leave_free(monkeypatch, 100 * 10**6 + 1000)
    with pytest.raises(NoRoom, match=r"disk has 100 MB of which 100 MB stay free"):
        queue_experiment(experiment)
    assert not Render.objects.exists()
    leave_free(monkeypatch, 101 * 10**6)
    assert queue_experiment(experiment).new == 2


def test_room_promised_to_others_is_not_given_twice(
    make_experiment: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
) -> None:
    settings.NSTLAB_DISK_RESERVE_MB = 0
    first = make_experiment(size=300)
    leave_free(monkeypatch, int(1.5 * 2 * most_bytes(300**2)))
    queue_experiment(first)
    with pytest.raises(NoRoom, match=r"those queued before up to 0\.6 MB"):
        queue_experiment(make_experiment(name="Second", size=300))
    Render.objects.cancel()
    assert queue_experiment(make_experiment(name="Third", size=300)).new == 2


def test_a_researcher_has_a_quota(
    make_experiment: Callable[..., Any], researcher: Any, settings: Any
) -> None:
    settings.NSTLAB_QUOTA_MB = 1
    queue_experiment(make_experiment(size=300, owner=researcher))
    with pytest.raises(NoRoom, match=r"ada may keep 1\.0 MB"):
        queue_experiment(make_experiment(name="More", size=300, owner=researcher))
    assert (
        queue_experiment(make_experiment(name="Somebody", size=300, owner=None)).new
        == 2
    )


def test_kept_pictures_count_in_the_quota(
    make_experiment: Callable[..., Any], researcher: Any, settings: Any
) -> None:
    put_on_wall(make_experiment(owner=researcher))
    Render.objects.update(picture_bytes=10**6)
    settings.NSTLAB_QUOTA_MB = 2
    with pytest.raises(NoRoom, match=r"up to 2\.0 MB"):
        queue_experiment(make_experiment(name="More", owner=researcher))


# Words ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (40, "40 s"), (700, "12 min"), (12_000, "3 h 20 min"),
     (7200, "2 h"), (400_000, "5 days")],
)  # fmt: skip
def test_durations_are_read_easily(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [(400_000, "0.4 MB"), (12_000_000, "12 MB"), (3_400_000_000, "3.4 GB")],
)
def test_sizes_are_read_easily(count: int, words: str) -> None:
    assert megabytes(count) == words


@pytest.mark.broker
def test_the_desk_says_it_when_saving_and_when_queueing(
    logged_in: Any, experiment: Any, queues: None
) -> None:
    from tests.generation.test_experiment_pages import ADD, form

    page = logged_in.post(ADD, form(experiment), follow=True).content.decode()
    assert re.search(r"The grid has 6 renders: 12 evaluations, about 1 s", page)
    assert "one worker (none runs now)" in page
    page = logged_in.post(ADD, form(experiment, name="B", _queue="1"), follow=True)
    assert "queued now, about 1 s on one worker" in page.content.decode()


@pytest.mark.broker
def test_the_desk_refuses_a_full_disk_with_the_sentence(
    logged_in: Any, experiment: Any, queues: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.generation.test_experiment_pages import ADD, form

    leave_free(monkeypatch, 10**6)
    page = logged_in.post(
        ADD, form(experiment, _queue="1"), follow=True
    ).content.decode()
    assert "The pictures would not fit" in page
    assert not Render.objects.exists()
