"""The worker of the `report` queue: loads pandas, SciPy, matplotlib before it forks."""

from __future__ import annotations

import analysis.bundle.tasks
import analysis.charts.registry
import analysis.frames
import analysis.reports.tasks  # noqa: F401
from nstlab.core.workers import LabWorker


class ReportWorker(LabWorker):
    """Computes reports and makes bundles."""
