"""The workers of every queue: their common part."""

from __future__ import annotations

import logging

from rq import Worker
from rq.exceptions import DeserializationError
from rq.job import Job
from rq.queue import Queue

from nstlab.core.old_names import TASKS
from nstlab.core.processes import die_with_parent

log = logging.getLogger(__name__)


class LabWorker(Worker):
    """A worker whose horse dies with it, and which knows the former names of tasks."""

    def execute_job(self, job: Job, queue: Queue) -> None:
        give_new_name(job)
        super().execute_job(job, queue)

    def main_work_horse(self, job: Job, queue: Queue) -> None:
        die_with_parent()
        super().main_work_horse(job, queue)


def give_new_name(job: Job) -> None:
    """Put a job that was queued under a task's former name down under the new one.

    Its id and arguments stay, and so its row still knows it. RQ would fail it instead,
    when it finds no function of that name.
    """
    try:
        old = job.func_name or ""  # this reads the arguments, too
    except DeserializationError:  # not from this lab; RQ fails it
        return
    if new := TASKS.get(old):
        log.info("Job %s was queued for %s, which is %s now.", job.id, old, new)
        job.func_name = new
        job.save()
