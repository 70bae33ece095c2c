"""Real worker processes, killed at bad moments: each render is done exactly once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings

from generation.models import Batch, Render
from generation.queueing.batches import queue_experiment
from generation.queueing.reap import reap
from generation.queueing.reproduction import reproduce
from tests.conftest import put_on_wall
from tests.elsewhere import database_url

pytestmark = [
    pytest.mark.worker,
    pytest.mark.broker,
    pytest.mark.django_db(transaction=True),
]

PATIENCE = 120.0


@pytest.fixture
def start_worker(queues: None) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        worker = subprocess.Popen(
            [
                sys.executable,
                str(settings.BASE_DIR / "manage.py"),
                "rqworker",
                "render",
            ],
            cwd=settings.BASE_DIR,
            env={**os.environ, "DATABASE_URL": database_url()},
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        started.append(worker)
        return worker

    yield start
    for worker in started:
        if worker.poll() is None:
            worker.kill()
        worker.wait()


def until(condition: Callable[[], Any], also: Callable[[], Any] = lambda: None) -> Any:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if value := condition():
            return value
        also()
        time.sleep(0.1)
    rows = list(Render.objects.values_list("pk", "status", "reason", "progress"))
    raise AssertionError(f"nothing happened in {PATIENCE} s: {rows}")


def children(pid: int) -> list[int]:
    output = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True
    ).stdout
    return [int(word) for word in output.split()]


def running() -> Render | None:
    row = Render.objects.filter(status="running").first()
    return row if row is not None and row.progress.get("evaluations") else None


def test_a_worker_paints_what_is_queued(
    experiment: Any, start_worker: Callable[[], Any]
) -> None:
    queue_experiment(experiment)
    start_worker()
    until(lambda: not Render.objects.unfinished().exists())
    assert set(experiment.renders.values_list("status", flat=True)) == {"done"}
    assert set(experiment.renders.values_list("attempt", flat=True)) == {1}


def shorten(experiment: Any) -> None:
    """Let what is still queued be quick, so that the test is."""
    for render in experiment.renders.filter(status="queued"):
        Render.objects.filter(pk=render.pk).update(
            settings={**render.settings, "evaluations": 2}
        )


def test_a_killed_horse_is_noticed_at_once_and_its_render_done_once(
    make_experiment: Callable[..., Any], start_worker: Callable[[], Any]
) -> None:
    # Long enough to be caught at work, short enough to be painted twice.
    experiment = make_experiment(evaluations=400, alpha_beta=[0.01])
    queue_experiment(experiment)
    worker = start_worker()
    until(running)
    (horse,) = children(worker.pid)
    os.kill(horse, signal.SIGKILL)
    until(lambda: Batch.objects.get().attempt == 2)
    render = until(lambda: experiment.renders.filter(status="done").first())
    assert render.attempt == 2


def test_a_horse_killed_while_it_paints_to_compare_is_noticed_at_once(
    make_experiment: Callable[..., Any], start_worker: Callable[[], Any]
) -> None:
    experiment = make_experiment(evaluations=50_000, alpha_beta=[0.01])
    (render,) = put_on_wall(experiment)
    worker = start_worker()
    assert reproduce(Render.objects.get(pk=render.pk))
    until(lambda: render.reproductions.get().evaluations)
    (horse,) = children(worker.pid)
    os.kill(horse, signal.SIGKILL)
    until(lambda: render.reproductions.get().ended_at)
    assert "was killed" in render.reproductions.get().reason
    assert experiment.renders.get().status == "done"


def test_a_killed_parent_takes_its_horse_along_and_the_render_is_done_once(
    make_experiment: Callable[..., Any], start_worker: Callable[[], Any]
) -> None:
    experiment = make_experiment(evaluations=50_000, alpha_beta=[0.01])
    queue_experiment(experiment)
    worker = start_worker()
    until(running)
    (horse,) = children(worker.pid)
    worker.kill()
    worker.wait()
    until(lambda: not os.path.exists(f"/proc/{horse}"))
    until(lambda: reap())  # when the lease has run out
    shorten(experiment)
    start_worker()
    render = until(lambda: experiment.renders.filter(status="done").first())
    assert render.attempt == 2
    assert "stopped answering" not in render.reason
    assert experiment.renders.count() == 1


def test_a_queue_that_lost_everything_is_filled_again(
    experiment: Any, start_worker: Callable[[], Any]
) -> None:
    import django_rq

    queue_experiment(experiment)
    assert reap() == 0, "what is queued needs no mending"
    django_rq.get_connection("render").flushdb()
    assert reap() == 1
    start_worker()
    until(lambda: not Render.objects.unfinished().exists())
    assert set(experiment.renders.values_list("status", flat=True)) == {"done"}


def test_the_parent_never_touches_cuda_or_a_tensor(queues: None) -> None:
    code = (
        "import os; os.environ['DJANGO_SETTINGS_MODULE']='nstlab.settings'\n"
        "import django; django.setup()\n"
        "import generation.queueing.workers, torch, threading\n"
        "assert not torch.cuda.is_initialized()\n"
        "import sys; sys.exit(0 if threading.active_count() == 1 else 1)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=settings.BASE_DIR, check=True)
