"""The worker of the `report` queue: loads pandas, SciPy, matplotlib before it forks."""

from __future__ import annotations

from typing import Any

from django.db import connections
from rq.job import Job

import analysis.bundle.tasks
import analysis.charts.registry
import analysis.frames
import analysis.reports.tasks  # noqa: F401
from analysis.reports.request import end_killed
from nstlab.core.workers import LabWorker


class ReportWorker(LabWorker):
    """Computes reports and makes bundles, and ends what a killed horse was at.

    RQ itself calls nothing of a job whose horse was killed. Without an end its row
    would be queued again by whoever looks at it, and kill the next horse.
    """

    def handle_work_horse_killed(
        self, job: Job, retpid: int, ret_val: int, rusage: Any
    ) -> None:
        end_killed(job)
        connections.close_all()
