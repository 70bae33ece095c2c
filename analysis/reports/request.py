"""Asking for a report or a bundle, which a worker of the `report` queue computes."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Q
from rq.job import Job

from analysis.models import Bundle, Report
from analysis.reports.snapshot import fingerprint
from nstlab.core import jobs
from nstlab.core.history import record
from survey.models import Participant, Study, Trial

# After so long a worker gives a report or a bundle up.
TIMEOUT_SECONDS = 1800
REPORT_TASK = "analysis.reports.tasks.compute_report"
BUNDLE_TASK = "analysis.bundle.tasks.make_bundle"
KILLED = (
    "Its worker process was killed, perhaps because memory ran out. Ask again, or look "
    "at the worker's log."
)


def request_report(
    study: Study, *, include_simulated: bool = False, by: Any = None
) -> Report:
    """The report on the study's present data: found, being computed, or asked for.

    While one is queued or being computed it is the one, whatever has changed since it
    was asked for: people may answer faster than any is computed. One that is new stands
    in the history as asked for `by` somebody.
    """
    if (found := _found(study, include_simulated)) is not None:
        carry(found)
        return found
    with transaction.atomic():
        report, is_new = Report.objects.get_or_create(
            study=study,
            fingerprint=fingerprint(study),
            include_simulated=include_simulated,
        )
        if is_new:
            if by is not None:
                said = "A report on its present data asked for."
                record(by, study, said)
            _enqueue(report)
    return report


def _found(study: Study, include_simulated: bool) -> Report | None:
    """Done on the present data, else under way, else failed on them."""
    rows = Report.objects.filter(study=study, include_simulated=include_simulated)
    waiting = Q(state=Report.State.QUEUED)
    ended = rows.filter(fingerprint=fingerprint(study)).exclude(waiting).first()
    if ended is not None and ended.state == Report.State.DONE:
        return ended
    return rows.filter(waiting).first() or ended


def last_shown(study: Study, *, include_simulated: bool) -> Report | None:
    """The last report that has anything to show, on whichever data."""
    return (
        Report.objects.filter(
            study=study,
            include_simulated=include_simulated,
            state=Report.State.DONE,
            method__n_ratings__gt=0,
        )
        .order_by("-finished_at")
        .first()
    )


def answers_since(report: Report) -> int:
    """Answers that count and have come since the report's data were read."""
    people = Participant.objects.included(simulated=report.include_simulated)
    people = people.filter(study=report.study_id)
    return Trial.objects.filter(
        participant__in=people, answered_at__gt=report.read_at
    ).count()


def again(report: Report) -> bool:
    """Queue a report that failed or got lost once more."""
    if not report.next_attempt():
        return False
    report.refresh_from_db()
    _enqueue(report)
    return True


def forget_withdrawn(study: Study) -> None:
    """After a withdrawal nothing is kept that was computed from the deleted answers.

    Reports and bundles of the study go, also those being computed, and the reports
    are asked for anew on what is left.
    """
    reports = Report.objects.filter(study=study)
    kinds = set(reports.values_list("include_simulated", flat=True))
    reports.delete()
    for bundle in Bundle.objects.filter(study=study):
        storage, name = bundle.file.storage, bundle.file.name
        bundle.delete()
        if name:
            storage.delete(name)
    for include_simulated in sorted(kinds):
        request_report(study, include_simulated=include_simulated)


def request_bundle(study: Study, *, by: Any, **options: bool) -> Bundle:
    """Ask for the open-science bundle of a study's present data."""
    with transaction.atomic():
        bundle = Bundle.objects.create(study=study, asked_by=by, **options)
        _enqueue(bundle)
    return bundle


def carry(row: Report | Bundle) -> None:
    """Queue a report or bundle once more that the queue has lost."""
    if row.state != row.State.QUEUED:
        return
    try:
        if not jobs.lost([row]):
            return
    except jobs.AWAY:
        return  # nothing can be queued now; look again later
    if isinstance(row, Report):
        again(row)
    else:
        _enqueue(row)


def end_killed(job: Job) -> None:
    """End the report or bundle whose job killed its worker process.

    Not if another attempt is under way by now.
    """
    pk = job.args[0]
    row: Report | Bundle | None = None
    if job.func_name == REPORT_TASK:
        row = Report.objects.filter(pk=pk).first()
    elif job.func_name == BUNDLE_TASK:
        row = Bundle.objects.filter(pk=pk).first()
    if row is not None and row.job_id == job.id:
        row.fail(KILLED, traceback="")


def _enqueue(row: Report | Bundle) -> None:
    """Send its job after the commit. If the broker is away then, the row waits for the
    next look at it, which is `carry`."""
    jobs.send_after_commit(
        jobs.Order(
            row,
            task=REPORT_TASK if isinstance(row, Report) else BUNDLE_TASK,
            args=(row.pk,),
            timeout=TIMEOUT_SECONDS,
            description=f"{type(row).__name__} of {row.study}",
        )
    )


def last_took(study: Study) -> float | None:
    """Seconds from asking for the study's last report to its end."""
    done = Report.objects.filter(study=study, state=Report.State.DONE)
    times = done.order_by("-pk").values_list("created_at", "finished_at").first()
    if times is None or times[1] is None:
        return None
    return float((times[1] - times[0]).total_seconds())
