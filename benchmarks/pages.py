"""What each page of researchers costs the server: `python benchmarks/pages.py`.

Builds a lab of its own in a temporary folder, with 10,000 renders and 100,000 ratings
of one study, and asks for every page as a researcher whose they all are: wall clock and
processor, the median of five times, and the number of queries. Prints figures for docs
with the load of the machine; nothing here is a test.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

# In the place of this folder, where `queue` would be a file and not Python's own.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.temporary import database_name, temporary_lab  # noqa: E402

AIM_MS = 200
EXPERIMENTS = 10
STIMULI = 100

PAGES = (
    "",
    "generation/sourceimage/",
    "generation/experiment/",
    "generation/experiment/?q=Grid",
    "generation/experiment/{experiment}/change/",
    "generation/experiment/{experiment}/sheet/",
    "generation/render/",
    "generation/render/?p=100",
    "generation/render/?status__exact=failed",
    "generation/render/?experiment={experiment}",
    "generation/render/{render}/change/",
    "generation/batch/",
    "survey/study/",
    "survey/study/{study}/change/",
    "survey/study/{study}/wizard/review/",
    "survey/study/wizard/?experiment={experiment}",
    "survey/stimulus/",
    "survey/stimulus/?study__id__exact={study}",
    "survey/participant/",
    "survey/participant/?status__exact=finished",
    "survey/rating/",
    "survey/rating/?p=1000",
    "survey/rating/?trial__participant__study__id__exact={study}",
    "analysis/report/",
    "analysis/report/study/{study}/",
    "analysis/report/study/{study}/monitor/",
    "analysis/report/study/{study}/monitor/suspects/",
    "analysis/report/study/{study}/participants/",
    "analysis/report/study/{study}/participants/{person}/",
    "analysis/report/study/{study}/preregistration/",
    "analysis/report/study/{study}/share/",
    "nstlab/entry/",
    "nstlab/entry/?q=Grid",
)

# With --report: files of a computed report, which its page shows or links.
FILES = (
    "analysis/report/study/{study}/mos_by_stimulus.csv",
    "analysis/report/study/{study}/raters.csv",
    "analysis/report/file/{report}/mos.svg",
    "analysis/report/file/{report}/ratings.png",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--renders", type=int, default=10_000)
    parser.add_argument("--ratings", type=int, default=100_000)
    parser.add_argument("--report", action="store_true", help="compute one first")
    parser.add_argument("--only", default="", help="pages with this in their address")
    options = parser.parse_args()
    with temporary_lab(NSTLAB_HOSTS="testserver"):
        from django.conf import settings

        from nstlab.core.broker import EmbeddedBroker

        broker = EmbeddedBroker(settings.VAR)
        broker.start()
        try:
            measure(options)
        finally:
            broker.stop()


def measure(options: Any) -> None:
    """Build the lab, print a line for every page."""
    from django.contrib.auth import get_user_model
    from django.test import Client

    from nstlab.roles import update_group

    account = get_user_model().objects.create_user("ada", is_staff=True)
    account.groups.add(update_group("Researcher"))
    keys = painted(account, options.renders) | rated(account, options.ratings)
    if options.report:
        from analysis.reports.request import request_report
        from analysis.reports.tasks import compute_report
        from survey.models import Study

        report = request_report(Study.objects.get(pk=keys["study"]))
        compute_report(report.pk)
        keys["report"] = report.pk
    client = Client()
    client.force_login(account)
    print(f"{database_name()}, load average {os.getloadavg()[0]:.1f}")
    print("| page | ms | ms of processor | queries |\n| --- | --- | --- | --- |")
    for page in PAGES + (FILES if options.report else ()):
        address = "/admin/" + page.format(**keys)
        if options.only in address:
            wall, processor, queries = cost(client, address)
            over = " (!)" if processor > AIM_MS else ""
            figures = f"{wall:.0f} | {processor:.0f}{over} | {queries}"
            print(f"| `/admin/{page}` | {figures} |", flush=True)
    print(f"load average {os.getloadavg()[0]:.1f}")


def cost(client: Any, address: str) -> tuple[float, float, int]:
    """Milliseconds of the wall clock and of the processor, each the median of five,
    and how many queries."""
    from django.db import connection

    asked: list[str] = []

    def count(execute: Any, sql: str, *others: Any) -> Any:
        asked.append(sql)
        return execute(sql, *others)

    with connection.execute_wrapper(count):
        response = client.get(address)
    assert response.status_code == 200, (address, response.status_code)
    walls, processor = [], []
    for _ in range(5):
        wall, used = time.perf_counter(), time.process_time()
        _ = client.get(address).content
        walls.append(1000 * (time.perf_counter() - wall))
        processor.append(1000 * (time.process_time() - used))
    return statistics.median(walls), statistics.median(processor), len(asked)


def painted(account: Any, renders: int) -> dict[str, Any]:
    """Ten grids of the account; one in a hundred renders failed, as many wait."""
    from django.contrib.admin.models import ADDITION, LogEntry
    from PIL import Image

    from generation.models import Experiment, Pair, Render
    from generation.pictures.source_images import add_source_image
    from generation.queueing.batches import queue_experiment

    pictures = [
        add_source_image(data=_png(Image, color), title=color, owner=account)[0]
        for color in ("red", "green", "blue", "white")
    ]
    each = renders // EXPERIMENTS
    for number in range(EXPERIMENTS):
        experiment = Experiment.objects.create(
            name=f"Grid {number}",
            owner=account,
            alpha_beta=[(n + 1) / each for n in range(each)],
            weights="random:0",
            size=32,
            evaluations=1,
        )
        Pair.objects.create(
            experiment=experiment, content=pictures[0], style=pictures[1 + number % 3]
        )
        queue_experiment(experiment)
        LogEntry.objects.log_actions(
            account.pk, [experiment] * 100, ADDITION, "Renders queued."
        )
    last = Render.objects.order_by("-pk")[0].pk
    failed = [pk for pk in range(1, last) if pk % 100 == 1]
    waiting = [pk for pk in range(1, last) if pk % 100 == 2]
    Render.objects.exclude(pk__in=waiting).update(
        status="done", picture=pictures[0].picture.name, seconds=1.0
    )
    Render.objects.filter(pk__in=failed).update(status="failed", reason="A crash.")
    return {"experiment": experiment.pk, "render": last, "pictures": pictures}


def rated(account: Any, ratings: int) -> dict[str, Any]:
    """An open study of a hundred of the pictures, rated in full by everybody."""
    import random

    from django.utils import timezone

    from generation.engine.factors import column_values
    from generation.models import Render
    from survey.models import Item, Participant, Rating, Stimulus, Study, Trial

    chance = random.Random(0)
    study = Study.objects.create(
        title="Benchmark", owner=account, state="open", max_participants=2000,
        controller="The lab", contact="ada@lab.example", ethics_reference="none",
    )  # fmt: skip
    made = Render.objects.ready().order_by("pk")[:STIMULI]
    stimuli = Stimulus.objects.bulk_create(
        Stimulus(
            study=study, render=render, picture=render.picture.name, width=48,
            height=32, pixel_sha256="0" * 64,
            parameters=column_values(render.render_settings())
            | {"content": "red", "style": "blue"},
        )
        for render in made
    )  # fmt: skip
    now = timezone.now()
    people = Participant.objects.bulk_create(
        Participant(
            study=study, token_sha256=f"{n}", study_version=1, consent_sha256="",
            seed=n, number=n, status="finished", finished_at=now,
        )
        for n in range(ratings // len(stimuli))
    )  # fmt: skip
    items = Item.objects.bulk_create(Item(study=study, stimulus=it) for it in stimuli)
    for person in people:
        trials = Trial.objects.bulk_create(
            Trial(participant=person, index=n, stimulus=it.stimulus, item=it,
                  answered_at=now)
            for n, it in enumerate(items, start=1)
        )  # fmt: skip
        given = [chance.randint(1, 5) for _ in items]
        for item, value in zip(items, given, strict=True):
            item.votes += 1
            item.total += value
            item.squares += value * value
        Rating.objects.bulk_create(
            Rating(trial=trial, rating=value, response_ms=chance.randint(200, 4000))
            for trial, value in zip(trials, given, strict=True)
        )
    Item.objects.bulk_update(items, ["votes", "total", "squares"])
    return {"study": study.pk, "person": people[0].code}


def _png(pillow: Any, color: str) -> bytes:
    import io

    file = io.BytesIO()
    pillow.new("RGB", (48, 32), color).save(file, "PNG")
    return file.getvalue()


if __name__ == "__main__":
    main()
