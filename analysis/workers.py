"""The worker of the `report` queue: loads pandas, SciPy, matplotlib before it forks."""

from __future__ import annotations

from rq import Worker
from rq.job import Job
from rq.queue import Queue

import analysis.charts
import analysis.frames
import analysis.stats.mos
import analysis.tasks  # noqa: F401
from nstlab.core.processes import die_with_parent


class ReportWorker(Worker):
    """A stock worker whose horse dies with it."""

    def main_work_horse(self, job: Job, queue: Queue) -> None:
        die_with_parent()
        super().main_work_horse(job, queue)
