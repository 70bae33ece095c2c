"""The job of the `report` queue that computes a report."""

from __future__ import annotations

import traceback

from analysis.models import Report
from analysis.reports import compute


def compute_report(pk: int) -> str:
    """Compute report `pk`, unless it is done or gone."""
    report = Report.objects.filter(pk=pk).select_related("study").first()
    if report is None or report.state == Report.State.DONE:
        return "nothing to do"
    try:
        kept = report.finish(
            **compute.compute(report.study, include_simulated=report.include_simulated)
        )
    except Exception as error:
        report.fail(
            f"It could not be computed: {type(error).__name__}: {error}",
            traceback.format_exc(),
        )
        raise
    return "done" if kept else "not kept"
