"""How fast grids are queued, listed and worked off: `python benchmarks/queue.py`.

Works in a database, a store and a broker of its own under a temporary folder. Prints
figures for docs, with the load of the machine and, where that matters, the processor
time beside the wall clock; nothing here is a test.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

# In the place of this folder, where `queue` would be this file and not Python's own.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.temporary import temporary_lab  # noqa: E402

PARTS = ("queueing", "listing", "workers", "farm")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--renders", type=int, default=10_000, help="queued in one go")
    parser.add_argument("--listed", type=int, default=100_000, help="rows in the lists")
    parser.add_argument(
        "--painted", type=int, default=100, help="by one worker and two"
    )
    parser.add_argument("--farm", type=int, default=40, help="workers that only sleep")
    parser.add_argument(
        "--slept", type=float, default=5.0, help="s a batch of the farm"
    )
    parser.add_argument(
        "--only", nargs="*", choices=PARTS, default=PARTS, help="parts to run"
    )
    options = parser.parse_args()
    with temporary_lab(NSTLAB_HOSTS="testserver", OMP_NUM_THREADS="1"):
        measure(options)


def measure(options: argparse.Namespace) -> None:
    from django.conf import settings

    from nstlab.core.broker import EmbeddedBroker

    broker = EmbeddedBroker(settings.VAR)
    broker.start()
    try:
        print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        if "queueing" in options.only:
            queueing(options.renders)
        if "listing" in options.only:
            listing(options.listed)
        if "workers" in options.only:
            workers(options.painted)
        if "farm" in options.only:
            farm(options.farm, options.slept)
        print(f"load average {os.getloadavg()[0]:.1f}")
    finally:
        broker.stop()


def grid(name: str, renders: int, **fields: Any) -> Any:
    """An experiment of so many renders of 32 × 32 pixels and one evaluation."""
    import io

    from PIL import Image

    from generation.models import Experiment, Pair
    from generation.pictures.source_images import add_source_image

    pictures = []
    for color in ("red", "blue"):
        file = io.BytesIO()
        Image.new("RGB", (48, 32), color).save(file, "PNG")
        pictures.append(add_source_image(data=file.getvalue(), title=color)[0])
    experiment = Experiment.objects.create(
        name=name,
        alpha_beta=[(n + 1) / renders for n in range(renders)],
        weights="random:0",
        **{"size": 32, "evaluations": 1} | fields,
    )
    Pair.objects.create(experiment=experiment, content=pictures[0], style=pictures[1])
    return experiment


def queueing(renders: int) -> None:
    """Expansion and queueing of a large grid, as few and as many batches."""
    import django_rq

    from generation.models import Batch
    from generation.queueing.batches import queue_experiment
    from generation.queueing.dispatch import send

    connection = django_rq.get_connection("render")
    for what, fields in (
        ("quick renders, few batches", {}),
        # 50 s each by the guess: a batch for every render.
        ("long renders, one a batch", {"size": 300, "evaluations": 55}),
    ):
        experiment = grid(what, renders, **fields)
        with clock() as expanding:
            cells = len(experiment.cells())
        with clock() as all_of_it:
            queued = queue_experiment(experiment)
        print(
            f"{what}: {cells:,} renders expanded in {expanding}, expanded and queued "
            f"as {queued.batches:,} batches in {all_of_it}"
        )
    # The broker is fed a few at a time; here all at once, to see what one costs.
    before = connection.info("memory")["used_memory"]
    batches = list(Batch.objects.filter(sent_at=None).select_related("experiment"))
    send(batches)
    kept = connection.info("memory")["used_memory"] - before
    print(f"the broker keeps {kept / len(batches):.0f} bytes a batch")
    connection.flushdb()


class clock:
    """Wall-clock and processor seconds of a block."""

    def __enter__(self) -> clock:
        self.began = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall = time.perf_counter() - self.began[0]
        self.cpu = time.process_time() - self.began[1]

    def __str__(self) -> str:
        return f"{self.wall:.2f} s ({self.cpu:.2f} s of processor)"


def listing(rows: int) -> None:
    """Researchers' lists over many renders: queries and milliseconds."""
    from django.contrib.auth import get_user_model
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext
    from django.utils import timezone

    from generation.models import Render
    from generation.queueing.batches import queue_experiment

    if not Render.objects.exists():
        queue_experiment(grid("to be copied", 1))
    model = Render.objects.first()
    assert model is not None
    missing = rows - Render.objects.count()
    now = timezone.now()
    Render.objects.bulk_create(
        (
            Render(
                **{
                    field.attname: getattr(model, field.attname)
                    for field in Render._meta.concrete_fields
                    if field.attname
                    not in {"id", "digest", "status", "picture", "finished_at"}
                },
                digest=f"{number:064}",
                status="done" if number % 10 else "queued",
                picture="render/none.png",
                finished_at=now,
            )
            for number in range(max(0, missing))
        ),
        batch_size=1000,
    )
    user = get_user_model().objects.create_superuser("ada", password="x")  # noqa: S106
    client = Client()
    client.force_login(user)
    print(f"{Render.objects.count():,} renders in the database:")
    for page in (
        "generation/render/",
        "generation/render/?p=3",
        "generation/render/?status__exact=failed",
        "generation/render/?q=0000000000000000000000000000000000000000000000000000000000012345",
        "generation/experiment/",
        "generation/batch/",
    ):
        client.get(f"/admin/{page}")
        taken = []
        for _ in range(5):
            with CaptureQueriesContext(connection) as queries, clock() as one:
                response = client.get(f"/admin/{page}")
            taken.append(one)
            assert response.status_code == 200, (page, response.status_code)
        wall, cpu = (sorted(1000 * getattr(it, of) for it in taken)[2]
                     for of in ("wall", "cpu"))  # fmt: skip
        print(
            f"  /admin/{page[:44]}: {len(queries)} queries, median {wall:.0f} ms "
            f"({cpu:.0f} ms of processor)"
        )


def start_over() -> None:
    """Leave nothing queued, for the part that comes."""
    import django_rq

    from generation.models import Batch, Render

    Render.objects.unfinished().cancel()
    Batch.objects.update(over=True)
    django_rq.get_connection("render").flushdb()


def workers(renders: int) -> None:
    """Tiny real renders, painted by one worker process and by two."""
    import subprocess

    from django.conf import settings

    from generation.queueing.batches import queue_experiment

    settings.NSTLAB_BATCH_SECONDS = 0.2  # some tens of batches, as a large grid has
    seconds = {}
    for count in (1, 2):
        start_over()
        command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "rqworker",
                   "render", "--verbosity", "0"]  # fmt: skip
        started = [subprocess.Popen(command) for _ in range(count)]
        try:
            warm = grid(f"warm {count}", 8, start="noise", seed=100 + count)
            queue_experiment(warm)
            while warm.renders.unfinished().exists():
                time.sleep(0.1)
            experiment = grid(
                f"{count} workers", renders, evaluations=10, seed=count, start="noise"
            )
            with clock() as painting:
                queue_experiment(experiment)
                while experiment.renders.unfinished().exists():
                    time.sleep(0.2)
        finally:
            for worker in started:
                worker.terminate()
            for worker in started:
                worker.wait()
        seconds[count] = painting.wall
        print(
            f"{renders} renders of 32 × 32 and 10 evaluations by {count} worker "
            f"processes: {painting.wall:.1f} s, {renders / painting.wall:.1f} renders "
            f"a second, load {os.getloadavg()[0]:.1f}"
        )
    print(f"two workers are {seconds[1] / seconds[2]:.2f} × as fast as one")


def farm(count: int, sleep: float) -> None:
    """Workers whose renders are sleeps: how long they wait for the next batch.

    Processes that take jobs from the broker and claim, start, end and release as the
    real ones do, forked from this one, because forty times torch does not fit here.
    """
    import multiprocessing

    from django.conf import settings
    from django.db import connections

    from generation.models import Batch, Render
    from generation.queueing.batches import queue_experiment

    settings.NSTLAB_BATCH_SECONDS = 0
    start_over()
    each = 5
    experiment = grid(f"farm of {count}", count * each, size=33, seed=7, start="noise")
    context = multiprocessing.get_context("fork")
    go, results = context.Event(), context.Queue()
    connections.close_all()
    processes = [
        context.Process(target=_sleep_worker, args=(sleep, go, results))
        for _ in range(count)
    ]
    for process in processes:
        process.start()
    time.sleep(3)  # until all have told the broker that they are there
    queue_experiment(experiment)
    go.set()
    with clock() as all_of_it:
        while experiment.renders.unfinished().exists():
            time.sleep(0.2)
    for process in processes:
        process.join(30)
    taken = [results.get() for _ in processes]
    claims = sum(claimed for claimed, _, _ in taken)
    worked = sum(slept for _, slept, _ in taken)
    present = sum(seconds for _, _, seconds in taken)
    slowest = max(all_of_it.wall, 1e-9)
    print(
        f"{count} workers, batches of {sleep:g} s: {claims} batches claimed in "
        f"{slowest:.1f} s ({each * sleep:g} s is the least), {claims / slowest:.1f} "
        f"claims a second; workers were without work {1 - worked / present:.1%} of the "
        f"time; {Render.objects.filter(experiment=experiment, attempt=1).count()} of "
        f"{count * each} renders at the first attempt, "
        f"{Batch.objects.filter(over=False).count()} batches open"
    )


def _sleep_worker(sleep: float, go: Any, results: Any) -> None:
    """One worker of the farm; puts (batches claimed, s asleep, s until the last)."""
    import uuid

    import django_rq
    from rq import Queue, Worker

    from generation.models import Batch
    from generation.queueing.dispatch import RENDER_QUEUES, dispatch

    queues = [django_rq.get_queue(name) for name in RENDER_QUEUES]
    worker = Worker(queues, connection=queues[0].connection)
    worker.register_birth()
    go.wait()
    claimed, slept, began = 0, 0.0, time.perf_counter()
    last = began
    while True:
        try:
            _, job_id = Queue.lpop([it.key for it in queues], 3, queues[0].connection)
        except Exception as nothing:  # rq's DequeueTimeout: the grid is done
            if type(nothing).__name__ != "DequeueTimeout":
                raise
            break
        _, pk, attempt = job_id.decode().split("-")
        batch, token = Batch.objects.get(pk=pk), uuid.uuid4()
        if not batch.claim(attempt=int(attempt), token=token):
            continue
        claimed += 1
        for render in batch.renders.queued():
            render.begin(token=token, worker=worker.name)
            time.sleep(sleep)
            slept += sleep
            render.refuse(token=token, reason="It only slept.")
        batch.release(token)
        dispatch()
        last = time.perf_counter()
    worker.register_death()
    results.put((claimed, slept, last - began))


if __name__ == "__main__":
    main()
