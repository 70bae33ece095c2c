"""How fast grids are queued and listed: `python benchmarks/queue.py`.

Works in a database, a store and a broker of its own under a temporary folder. Prints
figures for docs; nothing here is a test.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# In the place of this folder, where `queue` would be this file and not Python's own.
sys.path[0] = str(Path(__file__).resolve().parent.parent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--renders", type=int, default=10_000, help="queued in one go")
    parser.add_argument("--listed", type=int, default=100_000, help="rows in the lists")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="nstlab-benchmark-")
    os.environ |= {
        "NSTLAB_VAR": folder,
        "NSTLAB_HTTPS": "0",
        "NSTLAB_HOSTS": "testserver",
        "DJANGO_SETTINGS_MODULE": "nstlab.settings",
    }
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    from nstlab.broker import EmbeddedBroker

    call_command("migrate", verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    broker = EmbeddedBroker(settings.VAR)
    broker.start()
    try:
        queueing(options.renders)
        listing(options.listed)
    finally:
        broker.stop()
        shutil.rmtree(folder, ignore_errors=True)


def grid(name: str, renders: int, **fields: Any) -> Any:
    """An experiment of so many renders of 32 × 32 pixels and one evaluation."""
    import io

    from PIL import Image

    from generation.models import Experiment, Pair
    from generation.services import add_source_image

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

    from generation.services import queue_experiment

    connection = django_rq.get_connection("render")
    for what, fields in (
        ("quick renders, few batches", {}),
        # 50 s each by the guess: a batch for every render.
        ("long renders, one a batch", {"size": 300, "evaluations": 55}),
    ):
        experiment = grid(what, renders, **fields)
        began = time.perf_counter()
        cells = len(experiment.cells())
        expanded = time.perf_counter() - began
        before = connection.info("memory")["used_memory"]
        began = time.perf_counter()
        queued = queue_experiment(experiment)
        seconds = time.perf_counter() - began
        kept = connection.info("memory")["used_memory"] - before
        print(
            f"{what}: {cells:,} renders expanded in {expanded:.1f} s, expanded and "
            f"queued as {queued.batches:,} batches in {seconds:.1f} s; the broker "
            f"keeps {kept / queued.batches:.0f} bytes a batch"
        )


def listing(rows: int) -> None:
    """The desk's lists over many renders: queries and milliseconds."""
    from django.contrib.auth import get_user_model
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext
    from django.utils import timezone

    from generation.models import Render

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
            began = time.perf_counter()
            with CaptureQueriesContext(
                connection,
            ) as queries:
                response = client.get(f"/admin/{page}")
            taken.append(time.perf_counter() - began)
            assert response.status_code == 200, (page, response.status_code)
        print(
            f"  /admin/{page[:44]}: {len(queries)} queries, median "
            f"{1000 * sorted(taken)[2]:.0f} ms"
        )


if __name__ == "__main__":
    main()
