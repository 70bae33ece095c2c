"""The worker of the `render` queue: forks a horse per batch and outlives it.

The parent imports torch once so that horses start fast, but touches no tensor and
no `torch.cuda`: neither OpenMP's threads nor a CUDA context survive a fork.
"""

from __future__ import annotations

import logging
import os
import platform
import time
from collections.abc import Callable
from typing import Any

import torch  # noqa: F401
from django.db import Error, connections
from rq.job import Job

import generation.queueing.tasks  # noqa: F401
from generation.engine.errors import EngineError
from generation.models import (
    Batch,
    Reproduction,
    Weighing,
    WeightsAtHost,
    WeightsFetch,
)
from generation.queueing import fetching, weighing
from generation.queueing.dispatch import dispatch
from generation.queueing.reap import abandon
from generation.queueing.reproduction import KILLED, TASK
from generation.queueing.weights import tell_weights
from nstlab.core.processes import die_with_parent
from nstlab.core.workers import LabWorker

log = logging.getLogger(__name__)

SEEN_EVERY_SECONDS = 60.0


class RenderWorker(LabWorker):
    """Paints batches, and ends or queues again what a killed horse was painting.

    RQ itself calls nothing of a job whose horse was killed.
    """

    # When the database heard of it last; None before it works.
    _told_at: float | None = None

    def work(self, *args: Any, **kwargs: Any) -> bool:
        """Tell the lab what this host can paint with, then wait for jobs."""
        in_a_child(tell_weights)
        self._told_at = time.monotonic()
        return bool(super().work(*args, **kwargs))

    def heartbeat(self, *args: Any, **kwargs: Any) -> None:
        """Give a sign of life to the broker, and once a minute to the database too."""
        super().heartbeat(*args, **kwargs)
        now = time.monotonic()
        if self._told_at is None or now - self._told_at < SEEN_EVERY_SECONDS:
            return
        self._told_at = now
        try:
            WeightsAtHost.objects.see(platform.node())
        except Error as error:
            log.warning("The database does not hear of this worker: %s", error)
        connections.close_all()  # none is shared with a horse

    def handle_work_horse_killed(
        self, job: Job, retpid: int, ret_val: int, rusage: Any
    ) -> None:
        if job.func_name == TASK:
            Reproduction(pk=job.args[0]).fail(KILLED)
        elif job.func_name == fetching.TASK:
            WeightsFetch(pk=job.args[0]).fail(fetching.KILLED)
        elif job.func_name == weighing.TASK:
            Weighing(pk=job.args[0]).fail(f"Not measured: {weighing.KILLED}")
        else:
            pk, attempt = job.args
            _abandon(pk, attempt)
        connections.close_all()


def in_a_child(task: Callable[[], object]) -> None:
    """Do a thing in a forked process and wait for it: tensors are not for the parent.

    Whatever goes wrong is logged; the worker works without it.
    """
    connections.close_all()
    if pid := os.fork():
        os.waitpid(pid, 0)
        return
    try:
        die_with_parent()
        task()
        connections.close_all()
    except (EngineError, Error, OSError) as error:
        log.warning("What this host has is not told: %s", error)
    except BaseException:
        log.exception("What this host has is not told.")
    finally:
        os._exit(0)


def _abandon(pk: int, attempt: int) -> None:
    batch = Batch.objects.filter(pk=pk, attempt=attempt).first()
    if batch is not None:
        abandon(batch, "Its worker process was killed, perhaps because memory ran out.")
        dispatch()
