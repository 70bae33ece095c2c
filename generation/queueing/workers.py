"""The worker of the `render` queue: forks a horse per batch and outlives it.

The parent imports torch once so that horses start fast, but touches no tensor and
no `torch.cuda`: neither OpenMP's threads nor a CUDA context survive a fork.
"""

from __future__ import annotations

from typing import Any

import torch  # noqa: F401
from django.db import connections
from rq.job import Job

import generation.queueing.tasks  # noqa: F401
from generation.models import Batch, Reproduction
from generation.queueing.dispatch import dispatch
from generation.queueing.reap import abandon
from generation.queueing.reproduction import KILLED, TASK
from nstlab.core.workers import LabWorker


class RenderWorker(LabWorker):
    """Paints batches, and ends or queues again what a killed horse was painting.

    RQ itself calls nothing of a job whose horse was killed.
    """

    def handle_work_horse_killed(
        self, job: Job, retpid: int, ret_val: int, rusage: Any
    ) -> None:
        if job.func_name == TASK:
            Reproduction(pk=job.args[0]).fail(KILLED)
        else:
            pk, attempt = job.args
            _abandon(pk, attempt)
        connections.close_all()


def _abandon(pk: int, attempt: int) -> None:
    batch = Batch.objects.filter(pk=pk, attempt=attempt).first()
    if batch is not None:
        abandon(batch, "Its worker process was killed, perhaps because memory ran out.")
        dispatch()
