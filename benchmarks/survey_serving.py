"""A build's own lab for survey_floor.py, as a process of its own in that checkout.

    cd CHECKOUT && python …/survey_serving.py '{"study": {…}}'

Makes one open study of so many pictures without painting any, and so many ratings of
earlier people, serves it by gunicorn and writes a line of JSON: where it is, and
gunicorn's process group. Then answers commands, a line each: `hold N` plays N answers
in this process and tells the processor milliseconds between BEGIN and COMMIT, `rows`
counts ratings and votes. Ends with its standard input. It asks the checkout for nothing
but models and gunicorn, so that older builds can be measured too.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

sys.path[0] = str(Path.cwd())

from benchmarks.temporary import free_port, temporary_lab  # noqa: E402

ROWS = 1000
"""Rows of one INSERT, and of one earlier person's session at most."""


def main() -> None:
    asked = json.loads(sys.argv[1])
    with temporary_lab():
        study = made(asked["pictures"], asked["study"])
        rated(study, asked["stored"])
        with served(asked["command"]) as (address, group):
            tell({"address": address + study.get_absolute_url(), "group": group})
            for line in sys.stdin:
                what, *more = line.split()
                tell({"hold": hold, "rows": rows}[what](study, *map(int, more)))


def tell(said: Any) -> None:
    print(json.dumps(said), flush=True)


def made(pictures: int, fields: dict[str, Any]) -> Any:
    """An open study whose pictures are all one file that nobody has painted."""
    from django.utils import timezone

    from survey.models import Item, Stimulus, Study

    study = Study.objects.create(
        title="Benchmark", controller="The lab", contact="ada@lab.example",
        ethics_reference="none needed: nobody takes part", **fields,
    )  # fmt: skip
    stimuli = Stimulus.objects.bulk_create(
        [
            Stimulus(
                study=study, picture="stimulus/none.png", width=300, height=300,
                pixel_sha256=f"{number:064x}", parameters={
                    "content": f"content {number % 5}", "style": f"style {number // 5}"
                },
            )
            for number in range(pictures)
        ],
        batch_size=ROWS,
    )  # fmt: skip
    items = [Item(study=study, stimulus=it) for it in stimuli]
    Item.objects.bulk_create(items, batch_size=ROWS)
    Study.objects.filter(pk=study.pk).update(state="open", opened_at=timezone.now())
    study.refresh_from_db()
    return study


def rated(study: Any, ratings: int) -> None:
    """Ratings of people who have finished, spread evenly over the pictures."""
    from django.utils import timezone

    from survey.models import Item, Participant, Rating, Trial

    items = list(study.items.order_by("pk"))
    each = min(len(items), 100)
    draw, now, left = random.Random(0), timezone.now(), ratings
    place = number = 0
    while left > 0:
        person = Participant.objects.create(
            study=study, token_sha256=f"earlier {number}", study_version=1, seed=number,
            number=number, status="finished", finished_at=now, shown_at=now,
        )  # fmt: skip
        shown = [items[(place + k) % len(items)] for k in range(min(each, left))]
        place, number, left = place + len(shown), number + 1, left - len(shown)
        trials = Trial.objects.bulk_create(
            Trial(participant=person, index=k, stimulus_id=item.stimulus_id, item=item,
                  answered_at=now)
            for k, item in enumerate(shown, start=1)
        )  # fmt: skip
        given = [draw.randint(1, 5) for _ in trials]
        Rating.objects.bulk_create(
            Rating(trial=trial, rating=value)
            for trial, value in zip(trials, given, strict=True)
        )
        for item, value in zip(shown, given, strict=True):
            item.votes += 1
            item.total += value
            item.squares += value * value
    if ratings:
        Item.objects.bulk_update(items, ["votes", "total", "squares"], batch_size=200)


@contextlib.contextmanager
def served(command: list[str]) -> Iterator[tuple[str, int]]:
    """gunicorn over this lab, in a process group of its own."""
    address = f"127.0.0.1:{free_port()}"
    log = Path(os.environ["NSTLAB_VAR"]) / "gunicorn.log"
    with log.open("wb") as said:
        running = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "nstlab.wsgi", f"--bind={address}",
             *command],
            stdout=said, stderr=said, start_new_session=True,
        )  # fmt: skip
    try:
        yield f"http://{address}", running.pid
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(20)


def hold(study: Any, answers: int) -> float:
    """Processor milliseconds for which an answer holds what it writes, the median."""
    import statistics

    from django.db import connection

    try:
        from survey.participant import answering, joining, presence
    except ImportError:  # of before the house
        from survey import services as answering

        joining = presence = answering
    find = getattr(presence, "at_pictures", None) or partial(
        presence.participant_of, rating=True
    )
    began, spent = 0.0, []
    plain = connection.commit

    def begin(execute: Any, sql: str, *others: Any) -> Any:
        nonlocal began
        done = execute(sql, *others)
        if sql.startswith("BEGIN"):
            began = time.thread_time()
        return done

    def commit() -> None:
        plain()
        spent.append(1000 * (time.thread_time() - began))

    participant: Any = None
    token = ""
    with connection.execute_wrapper(begin):
        for _ in range(answers):
            trial = following(participant) if participant else None
            if trial is None:
                participant, token = joining.join(study, surroundings={})
                trial = following(participant)
            participant = find(study.slug, token)  # as each request does
            connection.commit = commit
            try:
                answering.answer(
                    participant, trial_pk=trial.pk, answers={"overall": "3"}
                )
            finally:
                connection.commit = plain
    return statistics.median(spent)


def following(participant: Any) -> Any:
    return participant.trials.filter(answered_at=None).order_by("index").first()


def rows(study: Any) -> list[int]:
    from survey.models import Rating

    votes = list(study.items.values_list("votes", flat=True))
    return [Rating.objects.count(), sum(votes), min(votes), max(votes)]


if __name__ == "__main__":
    main()
