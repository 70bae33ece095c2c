"""Asking for a report and computing one.

The web process asks; a worker of the `report` queue computes, because pandas and
SciPy stay out of the web process.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import django_rq
from django.db import transaction
from django.db.models import Count, Max, Q, Sum
from PIL import Image
from redis.exceptions import RedisError
from rq import Worker
from rq.exceptions import NoSuchJobError
from rq.job import Job, JobStatus

from analysis.exports import RATINGS_LONG
from analysis.models import Report
from generation.services import picture_bytes
from survey.models import Participant, Rating, Study

if TYPE_CHECKING:
    from analysis.stats import report as stats
    from analysis.stats.frame import Ratings

log = logging.getLogger(__name__)

LEVEL = 0.95
# Counts what a report consists of: an older one is not shown for a newer program.
FORMAT = 2
# Pictures that are read for the charts; more would not be seen there.
MOST_PICTURES = 200


def fingerprint(study: Study) -> str:
    """Names the state of a study's data, cheaply: it changes when any row counts anew.

    Ratings are written once, so their number, the last key and the sum tell them;
    people come in, finish, withdraw and are excluded.
    """
    ratings = Rating.objects.filter(trial__participant__study=study).aggregate(
        n=Count("pk"), last=Max("pk"), total=Sum("rating")
    )
    people = Participant.objects.filter(study=study).aggregate(
        n=Count("pk"),
        withdrawn=Count("pk", filter=Q(status=Participant.Status.WITHDRAWN)),
    )
    excluded = list(
        Participant.objects.filter(study=study, excluded=True)
        .order_by("pk")
        .values_list("pk", "exclusion_reason")
    )
    state = [FORMAT, study.version, study.title, ratings, people, excluded]
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def request_report(study: Study, *, include_simulated: bool = False) -> Report:
    """The report on the study's present data: found, being computed, or asked for."""
    with transaction.atomic():
        report, is_new = Report.objects.get_or_create(
            study=study,
            fingerprint=fingerprint(study),
            include_simulated=include_simulated,
        )
        if is_new:
            transaction.on_commit(partial(_enqueue, report))
    if report.state == Report.State.QUEUED and not is_new and not _carried(report):
        again(report)
    return report


def again(report: Report) -> bool:
    """Queue a report that failed or got lost once more."""
    if not report.next_attempt():
        return False
    report.refresh_from_db()
    _enqueue(report)
    return True


def _enqueue(report: Report) -> None:
    try:
        django_rq.get_queue("report").enqueue(
            "analysis.tasks.compute_report",
            report.pk,
            job_id=report.job_id,
            job_timeout=1800,
            result_ttl=3600,
            failure_ttl=7 * 24 * 3600,
            description=f"Report on {report.study}",
        )
    except (RedisError, OSError):
        log.warning("The broker is away; %s waits for the next look at it.", report)


def _carried(report: Report) -> bool:
    queue = django_rq.get_queue("report")
    try:
        job = Job.fetch(
            report.job_id, connection=queue.connection, serializer=queue.serializer
        )
        return job.get_status(refresh=False) in {JobStatus.QUEUED, JobStatus.STARTED}
    except NoSuchJobError:
        return False
    except (RedisError, OSError):
        return True  # nothing can be queued now; look again later


def worker_present() -> bool:
    """Whether any worker listens to the `report` queue, as far as the broker knows."""
    try:
        return Worker.count(queue=django_rq.get_queue("report")) > 0
    except (RedisError, OSError):
        return False


def build(
    study: Study, *, include_simulated: bool, **chosen: Any
) -> tuple[Ratings, stats.Report]:
    """The ratings that count and every table on them, stimuli in the study's order.

    `chosen` replaces fields of `analysis.stats.report.Options`; ValueError says which
    cannot be. Imports pandas: call it in a worker or a command only.
    """
    from analysis.charts import crossed
    from analysis.frames import ratings_frame
    from analysis.stats import report as stats
    from analysis.stats.frame import validate
    from analysis.stats.mos import mos_table

    ratings = validate(ratings_frame(study), include_simulated=include_simulated)
    if ratings.rows["rating"].isna().all():  # nothing to compare, and nobody to judge
        empty = {"mos_by_stimulus.csv": mos_table(ratings, level=LEVEL)}
        return ratings, stats.Report(empty, beside={"ratings_long.csv": RATINGS_LONG})
    factors = varied(ratings)
    by = (*factors, *(",".join(pair) for pair in crossed(factors)))
    asked: dict[str, Any] = {"level": LEVEL, "by": by, **chosen}
    report = stats.build(ratings, stats.Options(**asked))
    report.beside["ratings_long.csv"] = RATINGS_LONG
    codes = study.stimuli.values_list("code", flat=True)
    place = {code: number for number, code in enumerate(codes)}
    table = report.tables["mos_by_stimulus.csv"]
    report.tables["mos_by_stimulus.csv"] = table.sort_values(
        "stimulus", key=lambda column: column.map(place), ignore_index=True
    )
    return ratings, report


def varied(ratings: Ratings) -> list[str]:
    """The parameters in which the rated stimuli differ."""
    from analysis.frames import FACTORS

    counted = ratings.rows.dropna(subset=["rating"])
    return [name for name in FACTORS if counted[name].nunique() > 1]


def compute(study: Study, *, include_simulated: bool, **chosen: Any) -> dict[str, Any]:
    """What a done report keeps: its files, its charts, the data's hash, the method.

    `chosen` as for `build`.
    """
    from analysis import charts
    from analysis.frames import data_sha256

    ratings, report = build(study, include_simulated=include_simulated, **chosen)
    files = report_files(report)
    subject = charts.Subject.of(
        report, factors=varied(ratings), thumbnails=thumbnails(study)
    )
    drawn = charts.draw_all(subject)
    for chart in drawn:
        files |= chart.files()
    counted = ratings.rows.dropna(subset=["rating"])
    return {
        "files": files,
        "charts": [
            {
                "name": chart.name,
                "title": chart.title,
                "description": chart.description,
                "missing": chart.missing,
            }
            for chart in drawn
        ],
        "data_sha256": data_sha256(study),
        "method": {
            "scale": "1 bad – 5 excellent (ACR, ITU-T P.910)",
            "interval": "Student t on n − 1 degrees of freedom, not clipped",
            "level": LEVEL,
            "screening": "none",
            "repeats": ratings.repeats,
            "n_ratings": len(counted),
            "n_participants": int(counted["participant"].nunique()),
            "n_stimuli": int(counted["stimulus"].nunique()),
            "left_out": ratings.left_out,
            "simulated": include_simulated,
            "notes": report.summary.get("notes", []),
            "versions": {
                **report.summary.get("versions", {}),
                "matplotlib": version("matplotlib"),
            },
        },
    }


def report_files(report: stats.Report) -> dict[str, bytes]:
    """The bytes of every file that `Report.write` writes, by name."""
    with tempfile.TemporaryDirectory() as folder:
        return {path.name: path.read_bytes() for path in report.write(folder)}


def thumbnails(study: Study) -> dict[str, Image.Image]:
    """Small copies of the study's pictures by stimulus; of a missing file none."""
    from analysis.charts import thumbnail

    found = {}
    for stimulus in study.stimuli.exclude(picture="")[:MOST_PICTURES]:
        try:
            with Image.open(picture_bytes(stimulus.picture)) as picture:
                found[stimulus.code] = thumbnail(picture)
        except FileNotFoundError:
            log.warning("The picture of %s is missing.", stimulus)
    return found
