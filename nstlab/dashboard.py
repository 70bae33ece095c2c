"""The researchers' first page: what runs, what is open, what needs a look.

Everything is asked for in a number of queries that no data changes, and only about
what the person may see.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Count, Max, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from analysis.models import Report
from generation.engine.networks.weights import IMAGENET
from generation.experiments.forecast import free_bytes, megabytes, number_of_renders
from generation.models import Experiment, Render, SourceImage, WeightsAtHost
from generation.queueing.dispatch import RENDER_QUEUES
from nstlab.core.access import ADD, VIEW, may, visible
from nstlab.health import workers_by_queue
from survey.models import Participant, Study, counted_people

MOST = 10  # lines of each part


@dataclass(frozen=True)
class Line:
    """One thing with its page, and how far it is: `done` of `wanted`, if known."""

    key: str
    text: str
    link: str
    more: str = ""
    done: int = 0
    wanted: int | None = None


@dataclass(frozen=True)
class Home:
    """The parts of the first page; None where the person has no right to look."""

    alerts: list[Line]
    grids: list[Line] | None
    studies: list[Line] | None
    next_step: Line | None
    hosts: list[Line]


def home(request: HttpRequest) -> Home:
    """The first page for whoever asks."""
    user: Any = request.user
    experiments = studies = reports = None
    if may(user, VIEW, Render):
        experiments = visible(Experiment, user)
    if may(user, VIEW, Study):
        studies = visible(Study, user)
        if may(user, VIEW, Report):
            reports = Report.objects.filter(study__in=studies.values("pk"))
    alerts = [*_machines(user)]
    hosts = []
    if may(user, VIEW, Experiment):
        known = list(WeightsAtHost.objects.all())
        hosts = list(_hosts(known))
        alerts += _without_weights(known)
    if experiments is not None:
        alerts += _failed(experiments)
    if studies is not None:
        alerts += _overdue(studies)
    if reports is not None:
        alerts += _reports(reports)
    return Home(
        alerts=alerts,
        grids=None if experiments is None else list(_grids(experiments)),
        studies=None if studies is None else list(_open(studies)),
        next_step=_next_step(user, experiments, studies),
        hosts=hosts,
    )


# What needs attention -----------------------------------------------------------


def _machines(user: Any) -> Iterator[Line]:
    """What stands still, or soon will, for everybody."""
    queues = "admin:django_rq_dashboard_changelist"
    page = queues if user.has_perm("django_rq.admin") else "ready"
    link = reverse(page)
    workers = workers_by_queue()
    waiting = Render.objects.queued().exists()
    if workers is None:
        yield Line("broker", "The queue does not answer: nothing is painted", link)
    elif waiting and not any(workers[name] for name in RENDER_QUEUES):
        yield Line("workers", "Renders wait and no worker is there to paint", link)
    if (
        workers is not None
        and not workers["report"]
        and Report.objects.filter(state=Report.State.QUEUED).exists()
    ):
        yield Line("reporters", "Reports wait and no worker computes them", link)
    free, reserve = free_bytes(), settings.NSTLAB_DISK_RESERVE_MB * 1024**2
    if free is not None and free < 2 * reserve:
        text = f"The disk of the pictures has {megabytes(free)} left"
        more = f"at {megabytes(reserve)} nothing more is painted"
        yield Line("disk", text, link, more)


def _without_weights(hosts: list[WeightsAtHost]) -> Iterator[Line]:
    """That no host has the trained network, before anything is queued with it."""
    hosts = [row for row in hosts if row.is_present] or hosts
    if hosts and not any(row.has(IMAGENET) for row in hosts):
        link = reverse("admin:generation_experiment_hosts")
        more = "renders with ImageNet's weights would be refused"
        yield Line("weights", "No render host has the trained network", link, more)


def _failed(experiments: QuerySet[Experiment]) -> Iterator[Line]:
    """Renders that somebody must retry or give up."""
    wrong = Q(renders__status__in=[Render.Status.FAILED, Render.Status.REFUSED])
    found = (
        experiments.filter(wrong)
        .values("pk", "name")
        .annotate(n=Count("renders"))
        .order_by("-pk")
        .values_list("pk", "name", "n")
    )
    for pk, name, n in found[:MOST]:
        link = reverse("admin:generation_render_changelist")
        link += f"?experiment={pk}&status__in=failed,refused"
        what = f"{number_of_renders(n)} of “{name}” failed or were refused"
        yield Line(f"failed-{pk}", what, link)


def _overdue(studies: QuerySet[Study]) -> Iterator[Line]:
    """Studies past a date that was set for them."""
    now = timezone.now()
    late = Q(closes_at__lte=now, state__in=[Study.State.OPEN, Study.State.PILOTING])
    kept = Q(delete_on__lte=now.date(), participants__isnull=False)
    for study in studies.filter(late | kept).order_by("-pk").distinct()[:MOST]:
        link = reverse("admin:survey_study_change", args=[study.pk])
        said = "is past its closing date and not closed"
        if study.delete_on and study.delete_on <= now.date():
            said = "promised to delete its sessions by now: run purge_participants"
        yield Line(f"late-{study.pk}", f"“{study}” {said}", link)


def _reports(reports: QuerySet[Report]) -> Iterator[Line]:
    """Studies whose newest report failed. Remarks on numbers stay in the report: many
    can never be mended, and a list that never empties is not read."""
    newest = reports.order_by().values("study").annotate(last=Max("pk")).values("last")
    found = reports.filter(state=Report.State.FAILED, pk__in=newest)
    found = found.select_related("study").defer("charts", "traceback", "method")
    for report in found[:MOST]:
        link = reverse("admin:analysis_report_study", args=[report.study_id])
        text = f"The report on “{report.study}” could not be computed"
        yield Line(f"report-{report.pk}", text, link)


# What is going on ---------------------------------------------------------------


def _grids(experiments: QuerySet[Experiment]) -> Iterator[Line]:
    """Experiments with renders to come, how many are done, how many not yet."""
    running = Render.objects.unfinished().order_by().values("experiment")
    found = (
        experiments.filter(pk__in=running)
        .values("pk", "name")
        .annotate(
            wanted=Count("renders"),
            done=Count("renders", filter=Q(renders__status=Render.Status.DONE)),
            now=Count("renders", filter=Q(renders__status=Render.Status.RUNNING)),
        )
        .order_by("-pk")
        .values_list("pk", "name", "done", "wanted", "now")
    )
    for pk, name, done, wanted, now in found[:MOST]:
        link = reverse("admin:generation_experiment_sheet", args=[pk])
        more = f"{now} being painted" if now else "waiting"
        yield Line(f"grid-{pk}", name, link, more, done, wanted)


def _hosts(hosts: list[WeightsAtHost]) -> Iterator[Line]:
    """Render hosts and what each has to paint with."""
    for row in hosts[:MOST]:
        has = "; ".join(row.in_short()) or "random weights only"
        there = "" if row.is_present else "no worker there now; "
        link = reverse("admin:generation_experiment_hosts")
        yield Line(f"host-{row.pk}", row.host, link, there + has)


def _open(studies: QuerySet[Study]) -> Iterator[Line]:
    """Studies that people take part in, and how many of those wanted have finished."""
    finished = counted_people("participants__") & Q(
        participants__status=Participant.Status.FINISHED
    )
    taking = Q(state__in=[Study.State.OPEN, Study.State.PILOTING])
    found = (
        studies.filter(taking)
        .annotate(done=Count("participants", filter=finished))
        .order_by("-pk")
    )
    for study in found[:MOST]:
        link = reverse("admin:analysis_monitor", args=[study.pk])
        more = "piloting" if study.state == Study.State.PILOTING else ""
        wanted = study.max_participants
        yield Line(f"study-{study.pk}", str(study), link, more, study.done, wanted)


def _next_step(
    user: Any, experiments: QuerySet[Any] | None, studies: QuerySet[Any] | None
) -> Line | None:
    """What somebody who has nothing yet does first."""
    if not may(user, ADD, Experiment):
        return None
    if not visible(SourceImage, user).exists():
        link = reverse("admin:generation_sourceimage_add")
        return Line("next", "Upload pictures", link, "to begin with")
    if experiments is not None and not experiments.exists():
        link = reverse("admin:generation_experiment_preset")
        return Line("next", "Make an experiment from a preset", link)
    if studies is not None and not studies.exists():
        link = reverse("admin:survey_study_add")
        return Line("next", "Make a study", link, "once its pictures are painted")
    return None
