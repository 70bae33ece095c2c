"""Reproductions: asking for done renders to be painted once more, to compare."""

from __future__ import annotations

import datetime as dt
from functools import partial

from django.db import IntegrityError, transaction
from django.utils import timezone

from generation.experiments.forecast import Rates
from generation.models import Render, Reproduction
from nstlab.core import jobs

TASK = "generation.queueing.tasks.reproduce_render"
# So long after it was asked for, its job may still be on its way to the broker.
PATIENCE = dt.timedelta(minutes=1)
BROKER_IS_AWAY = "The queue could not be reached. Ask again when it is back."
LOST = "The queue had lost it. Ask again."
KILLED = (
    "Its worker process was killed, perhaps because memory ran out. Ask again, or look "
    "at the worker's log."
)


def reproduce(render: Render) -> bool:
    """Have a done render painted once more and compared with its picture.

    Returns False if it is not done, or is being painted once more already.
    """
    if render.status != Render.Status.DONE:
        return False
    seconds = Rates().seconds(render.render_settings(), render.content.size)
    timeout = jobs.timeout_for(seconds)
    try:
        with transaction.atomic():
            row = Reproduction.objects.create(render=render)
            jobs.send_after_commit(
                jobs.Order(
                    row,
                    task=TASK,
                    args=(row.pk,),
                    timeout=timeout,
                    description=f"{render.experiment}: {row}",
                ),
                if_away=partial(row.fail, BROKER_IS_AWAY),
            )
    except IntegrityError:
        return False
    return True


def end_lost() -> int:
    """End the reproductions that no job carries any more; return how many.

    Raises one of `jobs.AWAY`.
    """
    asked_before = timezone.now() - PATIENCE
    rows = Reproduction.objects.filter(ended_at=None, asked_at__lt=asked_before)
    return sum(row.fail(LOST) for row in jobs.lost(rows))
