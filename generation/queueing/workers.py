"""The worker of the `render` queue: forks a horse per batch and outlives it.

The parent imports torch once so that horses start fast, but touches no tensor and
no `torch.cuda`: neither OpenMP's threads nor a CUDA context survive a fork.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

import torch  # noqa: F401
from django.db import Error, connections
from rq.job import Job

import generation.queueing.tasks  # noqa: F401
from generation.engine.errors import EngineError
from generation.models import Batch, Reproduction
from generation.queueing.dispatch import dispatch
from generation.queueing.reap import abandon
from generation.queueing.reproduction import KILLED, TASK
from generation.queueing.weights import tell_weights
from nstlab.core.processes import die_with_parent
from nstlab.core.workers import LabWorker

log = logging.getLogger(__name__)


class RenderWorker(LabWorker):
    """Paints batches, and ends or queues again what a killed horse was painting.

    RQ itself calls nothing of a job whose horse was killed.
    """

    def work(self, *args: Any, **kwargs: Any) -> bool:
        """Tell the lab what this host can paint with, then wait for jobs."""
        in_a_child(tell_weights)
        return bool(super().work(*args, **kwargs))

    def handle_work_horse_killed(
        self, job: Job, retpid: int, ret_val: int, rusage: Any
    ) -> None:
        if job.func_name == TASK:
            Reproduction(pk=job.args[0]).fail(KILLED)
        else:
            pk, attempt = job.args
            _abandon(pk, attempt)
        connections.close_all()


def in_a_child(task: Callable[[], None]) -> None:
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
