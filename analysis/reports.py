"""Asking for a report and computing one.

The web process asks; a worker of the `report` queue computes, because pandas and
SciPy stay out of the web process.
"""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.db import connection, transaction
from django.db.models import Count, Max, Q
from django.utils import timezone
from PIL import Image
from redis.exceptions import RedisError
from rq import Worker
from rq.exceptions import NoSuchJobError
from rq.job import Job, JobStatus

from analysis import preregistration
from analysis.exports import RATINGS_LONG, own_factors
from analysis.models import Bundle, Preregistration, Report
from analysis.scales import scale_of
from generation.services import picture_bytes
from nstlab.core import broker
from nstlab.core.factor_names import notes_of
from nstlab.core.version import software
from survey.models import Participant, Study, Trial
from survey.planning import goal_of

if TYPE_CHECKING:
    import pandas as pd

    from analysis.stats import report as stats
    from analysis.stats.frame import Ratings

log = logging.getLogger(__name__)

LEVEL = 0.95
# Counts what a report consists of: an older one is not shown for a newer program.
FORMAT = 6
# Pictures that are read for the charts; more would not be seen there.
MOST_PICTURES = 200


def fingerprint(study: Study) -> str:
    """Names the state of a study's data, cheaply: it changes when any row counts anew.

    A trial is answered once, with all its ratings, and answers go only with their
    person: by a withdrawal, or with the row. Who comes anew has a greater key.
    """
    answered = Trial.objects.filter(
        participant__study=study, answered_at__isnull=False
    ).count()
    people = Participant.objects.filter(study=study).aggregate(
        n=Count("pk"),
        last=Max("pk"),
        withdrawn=Count("pk", filter=Q(status=Participant.Status.WITHDRAWN)),
    )
    excluded = list(
        Participant.objects.filter(study=study, excluded=True)
        .order_by("pk")
        .values_list("pk", "exclusion_reason")
    )
    plan = preregistration.frozen(study)
    fixed = plan.sha256 if plan is not None else ""
    state = [FORMAT, study.version, study.title, answered, people, excluded, fixed]
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


# What begins a transaction that sees one state of the data. SQLite's other
# transactions here take the lock for writing and would keep answers out meanwhile.
SNAPSHOT = {
    "sqlite": "BEGIN",
    "postgresql": "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
}


@contextmanager
def one_reading() -> Iterator[None]:
    """Every query inside sees the data as the first one finds them; nothing is written.

    Inside another transaction it is that one which decides what is seen.
    """
    if not transaction.get_autocommit():
        yield
        return
    transaction.set_autocommit(False)
    try:
        with connection.cursor() as cursor:
            cursor.execute(SNAPSHOT[connection.vendor])
        yield
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)


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
                LogEntry.objects.log_actions(
                    by.pk, [study], CHANGE, change_message=said, single_object=True
                )
            transaction.on_commit(partial(_enqueue, report))
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
    people = Participant.objects.filter(
        study=report.study_id, pilot=False, excluded=False
    )
    if not report.include_simulated:
        people = people.filter(simulated=False)
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


def forget_withdrawn(study: Study, **_: Any) -> None:
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
        transaction.on_commit(partial(_enqueue, bundle))
    return bundle


def carry(row: Report | Bundle) -> None:
    """Queue a report or bundle once more that the queue has lost."""
    if row.state != row.State.QUEUED or _carried(row):
        return
    if isinstance(row, Report):
        again(row)
    else:
        _enqueue(row)


def _enqueue(row: Report | Bundle) -> None:
    task = "compute_report" if isinstance(row, Report) else "make_bundle"
    try:
        broker.queue("report").enqueue(
            f"analysis.tasks.{task}",
            row.pk,
            job_id=row.job_id,
            job_timeout=1800,
            result_ttl=3600,
            failure_ttl=7 * 24 * 3600,
            description=f"{type(row).__name__} of {row.study}",
        )
    except (RedisError, OSError):
        log.warning("The broker is away; %s waits for the next look at it.", row)


def _carried(row: Report | Bundle) -> bool:
    queue = broker.queue("report")
    try:
        job = Job.fetch(
            row.job_id, connection=queue.connection, serializer=queue.serializer
        )
        return job.get_status(refresh=False) in {JobStatus.QUEUED, JobStatus.STARTED}
    except NoSuchJobError:
        return False
    except (RedisError, OSError):
        return True  # nothing can be queued now; look again later


def worker_present() -> bool:
    """Whether any worker listens to the `report` queue, as far as the broker knows."""
    try:
        return Worker.count(queue=broker.queue("report")) > 0
    except (RedisError, OSError):
        return False


def build(
    study: Study, *, include_simulated: bool, shared: bool = False, **chosen: Any
) -> tuple[Ratings, stats.Report]:
    """The ratings that count and every table on them, stimuli in the study's order.

    `shared` counts what the open-science bundle holds. `chosen` replaces fields of
    `analysis.stats.report.Options`; ValueError says which cannot be. Imports pandas:
    call it in a worker or a command only.
    """
    from analysis.charts import crossed
    from analysis.frames import ratings_frame
    from analysis.stats import report as stats
    from analysis.stats.frame import validate
    from analysis.stats.mos import mos_table

    scale = scale_of(study)
    ratings = validate(
        ratings_frame(study, shared=shared),
        scale=scale.bounds,
        step=float(scale.step),
        include_simulated=include_simulated,
    )
    plan = preregistration.frozen(study)
    options = _options(plan, chosen)
    renamed = notes_of(own_factors(study))
    if study.method == Study.Method.PAIRS:
        if chosen.get("screen", "none") != "none":
            raise ValueError(
                "Rules of screening judge ratings, and a study of pairs has choices: "
                "leave out people by name instead."
            )
        report = _pairs_report(study, ratings, stats.Options(**options))
        report.summary["notes"] += renamed
        return ratings, report
    if ratings.rows["rating"].isna().all():  # nothing to compare, and nobody to judge
        empty = {"mos_by_stimulus.csv": mos_table(ratings, level=LEVEL)}
        return ratings, stats.Report(empty, beside={"ratings_long.csv": RATINGS_LONG})
    factors = varied(study, ratings)
    by = (*factors, *(",".join(pair) for pair in crossed(factors)))
    settled = stats.Options(**{"by": by} | options)
    report = stats.build(ratings, settled)
    if plan is not None:
        _add_planned(report, ratings, settled, plan)
    if sampled := sampling_sentence(study):
        report.summary["sampling"] = sampled
    report.summary["notes"] += renamed
    report.beside["ratings_long.csv"] = RATINGS_LONG
    table = report.tables["mos_by_stimulus.csv"]
    place = {code: number for number, code in enumerate(_codes(study))}
    report.tables["mos_by_stimulus.csv"] = table.sort_values(
        "stimulus",
        kind="stable",
        key=lambda column: column.astype(str).map(place),
        ignore_index=True,
    )
    return ratings, report


def _options(plan: Preregistration | None, chosen: dict[str, Any]) -> dict[str, Any]:
    """Options of the statistics: the lab's own, what was pre-registered, what was asked
    for by name."""
    return {"level": LEVEL, **preregistration.options_of(plan), **chosen}


def _planned_in_vain(plan: Preregistration | None) -> list[str]:
    """What a plan for pairs names that nothing can be done with."""
    screen = preregistration.options_of(plan).get("screen", "none")
    if screen == "none":
        return []
    return [
        f"Planned and not applied: the screening {screen}, which judges ratings. "
        "These are choices, and nobody was left out by a rule."
    ]


def _add_planned(
    report: stats.Report,
    ratings: Ratings,
    options: stats.Options,
    plan: Preregistration,
) -> None:
    """The planned contrasts as a table of their own, marked among all the others."""
    from analysis.stats.planned import is_planned, planned_contrasts
    from analysis.stats.report import screened_out, without

    pairs = preregistration.pairs_of(plan)
    planned = plan.plan["contrasts"]
    table, notes = planned_contrasts(
        without(ratings, set(screened_out(ratings, options))).without_references,
        pairs,
        test=planned["test"],
        correction=planned["correction"],
        level=options.level,
    )
    report.tables["planned_contrasts.csv"] = table
    every = report.tables["contrasts.csv"]
    report.tables["contrasts.csv"] = every.assign(planned=is_planned(every, pairs))
    report.summary["notes"] += notes
    report.summary["preregistration"] = preregistration.statement(plan)


def _codes(study: Study) -> list[str]:
    return list(study.stimuli.order_by("pk").values_list("code", flat=True))


def _pairs_report(
    study: Study, ratings: Ratings, options: stats.Options
) -> stats.Report:
    """What choices give: one scale, with the parameters of each picture beside it."""
    import pandas as pd

    from analysis.stats import pairs
    from analysis.stats.report import RESAMPLES, Report

    rows = ratings.rows[ratings.rows["choice"].fillna("") != ""]
    resamples = options.resamples if options.resamples is not None else RESAMPLES
    notes: list[str] = []
    scales = []
    for question, part in rows.groupby("question", sort=False, observed=True):
        if options.exclude:
            part = part[~part["participant"].astype(str).isin(options.exclude)]
        try:
            table, remarks = pairs.scale_tables(
                part, resamples=resamples, seed=options.seed
            )
        except pairs.NoComparisons as nothing:
            notes.append(f"{question}: {nothing}")
            continue
        table.insert(1, "question", str(question))
        scales.append(table)
        notes += remarks
    tables = {"pair_scale.csv": pd.DataFrame(columns=["stimulus", "question", "score"])}
    if scales:
        scale = pd.concat(scales, ignore_index=True)
        made = _made(study, ratings)[varied(study, ratings)]
        beside = made.reindex(scale["stimulus"].astype(str)).set_axis(scale.index)
        tables["pair_scale.csv"] = pd.concat([scale, beside], axis=1)
    summary = {
        "versions": stats_versions(),
        "options": {"level": options.level, "seed": options.seed},
        "bootstrap_resamples": resamples,
        "counts": {
            "participants": int(rows["participant"].nunique()),
            "stimuli": len(_shown(ratings)),
            "choices": len(rows),
            "left_out": ratings.left_out,
        },
        "notes": notes + _planned_in_vain(preregistration.frozen(study)),
    }
    return Report(tables, summary, {"ratings_long.csv": RATINGS_LONG})


def varied(study: Study, ratings: Ratings) -> list[str]:
    """The parameters in which the rated stimuli differ, references aside."""
    from analysis.stats.factors import varying

    return varying(_made(study, ratings))


def _made(study: Study, ratings: Ratings) -> pd.DataFrame:
    """How the rated stimuli were made: a row each by code, without references.

    From the study's own rows: as the second of a pair a stimulus has no columns.
    """
    import pandas as pd

    from analysis.frames import FACTORS

    shown = _shown(ratings)
    columns = {name: name for name in FACTORS} | own_factors(study)
    rows = study.stimuli.order_by("pk").values_list("code", "parameters")
    made = {code: of for code, of in rows if code in shown}
    values = [[of.get(name) for name in columns] for of in made.values()]
    index = pd.Index([*made], dtype=str)
    return pd.DataFrame(values, index=index, columns=[*columns.values()])


def _shown(ratings: Ratings) -> set[str]:
    """The stimuli, references aside, that anybody rated or saw in a pair."""
    counted = _counted(ratings)
    # Beside a rated picture of DCR stands its reference, which nobody rates.
    chosen = counted.loc[counted["choice"].fillna("") != "", "second"]
    shown = {*counted["stimulus"].astype(str), *chosen.astype(str)}
    return shown - ratings.references


def _counted(ratings: Ratings) -> pd.DataFrame:
    """The answered rows, ratings or choices."""
    rows = ratings.rows
    return rows[rows["rating"].notna() | (rows["choice"].fillna("") != "")]


def compute(
    study: Study,
    *,
    include_simulated: bool,
    shared: bool = False,
    pictures: Collection[str] | None = None,
    **chosen: Any,
) -> dict[str, Any]:
    """What a done report keeps: its files, its charts, the method, and which data it
    rests on, all from one reading.

    `pictures` may be shown in the charts, by stimulus; all if None. `chosen` as for
    `build`.
    """
    read_at = timezone.now()
    with one_reading():
        study = Study.objects.get(pk=study.pk)
        return {
            "fingerprint": fingerprint(study),
            "read_at": read_at,
            **_computed(study, include_simulated, shared, pictures, chosen),
        }


def _computed(
    study: Study,
    include_simulated: bool,
    shared: bool,
    pictures: Collection[str] | None,
    chosen: dict[str, Any],
) -> dict[str, Any]:
    from analysis import charts
    from analysis.frames import ratings_long_sha256
    from analysis.stats.report import Options

    ratings, report = build(
        study, include_simulated=include_simulated, shared=shared, **chosen
    )
    files = report_files(report)
    plan = preregistration.frozen(study)
    options = Options(**_options(plan, chosen))
    subject = charts.Subject.of(
        report, factors=varied(study, ratings), thumbnails=thumbnails(study, pictures)
    )
    drawn = charts.draw_all(subject)
    for chart in drawn:
        files |= chart.files()
    counted = _counted(ratings)
    of_pairs = study.method == Study.Method.PAIRS
    asked = ratings.references & set(counted["stimulus"].astype(str))
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
        "ratings_long_sha256": ratings_long_sha256(study),
        "method": {
            "scale": scale_sentence(study),
            "interval": INTERVALS["pairs" if of_pairs else options.ci_method],
            "level": options.level,
            "sampling": sampling_sentence(study),
            # No rule judges choices; people can be left out by name.
            "screening": options.screening
            if not of_pairs
            else "custom"
            if options.exclude
            else "none",
            "repeats": ratings.repeats,
            "answers": "choices" if of_pairs else "ratings",
            "n_ratings": len(counted),
            "n_participants": int(counted["participant"].nunique()),
            "n_stimuli": len(_shown(ratings)),
            "n_references": len(asked),
            "left_out": ratings.left_out,
            "refused": len(ratings.refused),
            "n_given": ratings.n_given,
            "too_many_refused": ratings.too_many_refused,
            "simulated": include_simulated,
            "notes": report.summary.get("notes", []),
            "preregistration": plan and preregistration.statement(plan),
            "versions": stats_versions() | {"matplotlib": version("matplotlib")},
        },
    }


def stats_versions() -> dict[str, str]:
    """What computes the numbers."""
    names = ("numpy", "scipy", "pandas")
    return {
        **software(),
        "python": platform.python_version(),
        **{it: version(it) for it in names},
    }


SCALES = {
    5: "1 bad – 5 excellent",
    9: "1 bad – 9 excellent",
    11: "0 to 10, 1 bad – 9 excellent",
}
INTERVALS = {
    "t": "Student t on n − 1 degrees of freedom, not clipped",
    "z": "normal, 1.96 standard errors at 95 %, not clipped",
    "percentile": "percentile bootstrap over ratings",
    "bca": "BCa bootstrap over ratings",
    "binomial": "bounded binomial",
    "pairs": "± 1.96 standard errors of a bootstrap over participants",
}


def scale_sentence(study: Study) -> str:
    """How people answered, as a paper says it."""
    if (scale := scale_of(study)).stated:
        return f"{scale} (ratings of others, imported)"
    match study.method:
        case Study.Method.DCR:
            return "1 very annoying – 5 imperceptible (DCR, ITU-T P.910)"
        case Study.Method.PAIRS:
            ties = "with ties" if study.tie_allowed else "forced choice"
            return f"the better of two pictures, {ties} (paired comparison, P.910)"
        case Study.Method.ACR_HR:
            return f"{SCALES[study.scale_points]} (ACR with hidden reference, P.910)"
    return f"{SCALES[study.scale_points]} (ACR, ITU-T P.910)"


def sampling_sentence(study: Study) -> str:
    """What must be said about intervals that people were asked for until they were
    narrow; empty where a study did not sample so.

    The coverage is that of docs/reference/benchmarks.md.
    """
    if (goal := goal_of(study)) is None:
        return ""
    level = f"{goal.level:.0%}".replace("%", " %")
    return (
        f"Sampled by precision: each picture was shown until its {level} interval was "
        f"± {goal.half_width:g} or narrower, from {goal.minimum} ratings on and looked "
        f"at every {goal.step}. Intervals at such a stop are slightly too narrow at "
        "the ends of the scale: in simulations those of 95 % covered 94 to 96 % in its "
        "middle, and 90 to 93 % where most people say the lowest or the highest."
    )


def last_took(study: Study) -> float | None:
    """Seconds from asking for the study's last report to its end."""
    done = Report.objects.filter(study=study, state=Report.State.DONE)
    times = done.order_by("-pk").values_list("created_at", "finished_at").first()
    if times is None or times[1] is None:
        return None
    return float((times[1] - times[0]).total_seconds())


def report_files(report: stats.Report) -> dict[str, bytes]:
    """The bytes of every file that `Report.write` writes, by name."""
    with tempfile.TemporaryDirectory() as folder:
        return {path.name: path.read_bytes() for path in report.write(folder)}


def thumbnails(
    study: Study, only: Collection[str] | None = None
) -> dict[str, Image.Image]:
    """Small copies of the study's pictures by stimulus; of a missing file none.

    `only` these stimuli, or all of them.
    """
    from analysis.charts import thumbnail

    found = {}
    for stimulus in study.stimuli.exclude(picture="")[:MOST_PICTURES]:
        if only is not None and stimulus.code not in only:
            continue
        try:
            with Image.open(picture_bytes(stimulus.picture)) as picture:
                found[stimulus.code] = thumbnail(picture)
        except FileNotFoundError:
            log.warning("The picture of %s is missing.", stimulus)
    return found
