"""The jobs of the `report` queue."""

from __future__ import annotations

import hashlib
import tempfile
import traceback

from django.core.files import File

from analysis.models import Bundle, Report
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


def make_bundle(pk: int) -> str:
    """Make bundle `pk`, unless it is made or gone."""
    from analysis.bundle.write import write_bundle

    bundle = Bundle.objects.filter(pk=pk).select_related("study").first()
    if bundle is None or bundle.state == Bundle.State.DONE:
        return "nothing to do"
    try:
        with tempfile.TemporaryFile() as file:
            write_bundle(
                bundle.study,
                file,
                include_simulated=bundle.include_simulated,
                all_pictures=bundle.all_pictures,
            )
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            bundle.finish(file=File(file), sha256=digest)
    except Exception as error:
        bundle.fail(
            f"It could not be made: {type(error).__name__}: {error}",
            traceback.format_exc(),
        )
        raise
    return "done"
