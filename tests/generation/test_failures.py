"""Every failure of a worker's machine ends in a state with a reason and an action."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage
from rq.timeouts import JobTimeoutException, UnixSignalDeathPenalty

from generation.models import Batch, Render, SourceImage
from generation.queueing.batches import queue_experiment, retry_renders
from generation.queueing.tasks import render_batch

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def little_memory() -> Iterator[Callable[[], None]]:
    """Lets this process have 60 MB more than it has now, and no more."""
    before = resource.getrlimit(resource.RLIMIT_AS)

    def tighten() -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        now = pages * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + 60 * 2**20, before[1]))

    yield tighten
    resource.setrlimit(resource.RLIMIT_AS, before)


def test_memory_that_runs_out_is_said_with_what_to_do(
    make_experiment: Callable[..., Any], little_memory: Callable[[], None]
) -> None:
    warm = make_experiment(name="Warm", alpha_beta=[1.0])
    queue_experiment(warm)
    render_batch(Batch.objects.get().pk, 1)  # the weights are in memory by now
    experiment = make_experiment(size=1500, alpha_beta=[0.01])
    queue_experiment(experiment)
    little_memory()
    render_batch(experiment.renders.get().batch.pk, 1)
    render = experiment.renders.get()
    assert (render.status, render.traceback) == ("failed", "")
    assert render.reason.startswith("Memory ran out, also with nothing else in it.")
    assert "smaller size" in render.reason


class FullDisk(FileSystemStorage):
    """Writes where the kernel says that no space is left, as on a full disk."""

    def _save(self, name: str, content: Any) -> str:
        with open("/dev/full", "wb") as file:
            file.write(content.read())
        return name


def test_a_full_disk_fails_the_whole_batch_at_once_and_retry_mends_it(
    make_experiment: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    experiment = make_experiment(alpha_beta=[0.01, 0.1, 1.0])
    queue_experiment(experiment)
    field = Render._meta.get_field("picture")
    with monkeypatch.context() as full:
        full.setattr(field, "storage", FullDisk())
        render_batch(Batch.objects.get().pk, 1)
    for render in experiment.renders.all():
        assert (render.status, render.picture.name) == ("failed", "")
        assert render.reason.startswith("The disk of the pictures is full.")
        assert "then retry" in render.reason
    assert retry_renders(experiment.renders.all()) == 3
    render_batch(Batch.objects.latest("pk").pk, 1)
    assert set(experiment.renders.values_list("status", flat=True)) == {"done"}


def test_a_picture_that_cannot_be_read_is_a_crash_not_a_full_disk(
    experiment: Any,
) -> None:
    queue_experiment(experiment)
    for image in SourceImage.objects.all():
        image.picture.storage.delete(image.picture.name)
    render_batch(Batch.objects.get().pk, 1)
    assert "FileNotFoundError" in experiment.renders.first().traceback


# An alarm raises wherever the test happens to be, with coverage perhaps while it holds
# its lock for good (coverage 7.17).
@pytest.mark.no_cover
def test_a_batch_that_takes_too_long_fails_its_render_with_the_time_it_had(
    make_experiment: Callable[..., Any],
) -> None:
    experiment = make_experiment(evaluations=100_000, alpha_beta=[0.01])
    queue_experiment(experiment)
    batch = Batch.objects.get()
    with (
        pytest.raises(JobTimeoutException),
        UnixSignalDeathPenalty(4, JobTimeoutException),
    ):
        render_batch(batch.pk, 1)
    render = experiment.renders.get()
    assert render.status == Render.Status.FAILED
    minutes = batch.timeout_seconds / 60
    assert f"longer than the {minutes:.0f} minutes" in render.reason
    assert "fewer evaluations" in render.reason
