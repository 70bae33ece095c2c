"""The job of the `report` queue."""

from __future__ import annotations

import traceback

from analysis import reports
from analysis.models import Report


def compute_report(pk: int) -> str:
    """Compute report `pk`, unless it is done or gone."""
    report = Report.objects.filter(pk=pk).select_related("study").first()
    if report is None or report.state == Report.State.DONE:
        return "nothing to do"
    try:
        report.finish(
            **reports.compute(report.study, include_simulated=report.include_simulated)
        )
    except Exception as error:
        report.fail(
            f"It could not be computed: {type(error).__name__}: {error}",
            traceback.format_exc(),
        )
        raise
    return "done"
