"""Computing a report: its tables, charts and what a paper must say about them.

In a worker or a command only: pandas, SciPy and matplotlib stay out of the web process.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Collection
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from django.utils import timezone
from PIL import Image

from analysis.answer_kinds import kind_of
from analysis.columns import RATINGS_LONG
from analysis.exports import own_factors
from analysis.models import Preregistration
from analysis.preregistration import freezing, record
from analysis.preregistration.plan import options_of, pairs_of
from analysis.sample import has_dates
from analysis.scales import scale_of
from generation.engine.factors import as_levels
from nstlab.core.csv_cells import csv_cell
from nstlab.core.factor_names import notes_of
from nstlab.core.storage import read_stored
from survey.methods import Answers, method_of
from survey.models import Study

if TYPE_CHECKING:
    import pandas as pd

    from analysis.stats import report as stats
    from analysis.stats.case import Options
    from analysis.stats.frame import Ratings
from analysis.reports.method_text import INTERVALS, sampling_sentence, scale_sentence
from analysis.reports.snapshot import fingerprint, one_reading

log = logging.getLogger(__name__)

LEVEL = 0.95
# Pictures that are read for the charts; more would not be seen there.
MOST_PICTURES = 200


def build(
    study: Study, *, include_simulated: bool, shared: bool = False, **chosen: Any
) -> tuple[Ratings, stats.Results]:
    """The ratings that count and every table on them, stimuli in the study's order.

    `shared` counts what the open-science bundle holds. `chosen` replaces fields of
    `analysis.stats.case.Options`; ValueError says which cannot be. Imports pandas:
    call it in a worker or a command only.
    """
    from analysis.frames import ratings_frame
    from analysis.stats.frame import validate

    scale = scale_of(study)
    ratings = validate(
        ratings_frame(study, shared=shared),
        scale=scale.bounds,
        step=float(scale.step),
        include_simulated=include_simulated,
    )
    build_report = BUILDERS[method_of(study).answers]
    return ratings, build_report(study, ratings, freezing.frozen(study), chosen)


def _of_ratings(
    study: Study,
    ratings: Ratings,
    plan: Preregistration | None,
    chosen: dict[str, Any],
) -> stats.Results:
    """The tables of ratings: means with intervals, contrasts, raters, agreement."""
    from analysis.charts.factor_pairs import crossed
    from analysis.stats import report as stats
    from analysis.stats.case import Options
    from analysis.stats.mos import mos_table

    if ratings.rows["rating"].isna().all():  # nothing to compare, and nobody to judge
        empty = {"mos_by_stimulus.csv": mos_table(ratings, level=LEVEL)}
        return stats.Results(empty, beside={"ratings_long.csv": [*RATINGS_LONG]})
    factors = varied(study, ratings)
    by = (*factors, *(",".join(pair) for pair in crossed(factors)))
    settled = Options(**{"by": by} | _options(plan, chosen))
    report = stats.build(ratings, settled)
    if plan is not None:
        _add_planned(report, ratings, settled, plan)
    if sampled := sampling_sentence(study):
        report.summary["sampling"] = sampled
    report.summary["notes"] += notes_of(own_factors(study))
    report.beside["ratings_long.csv"] = [*RATINGS_LONG]
    table = report.tables["mos_by_stimulus.csv"]
    place = {code: number for number, code in enumerate(_codes(study))}
    report.tables["mos_by_stimulus.csv"] = table.sort_values(
        "stimulus",
        kind="stable",
        key=lambda column: column.astype(str).map(place),
        ignore_index=True,
    )
    return report


def _options(plan: Preregistration | None, chosen: dict[str, Any]) -> dict[str, Any]:
    """Options of the statistics: the lab's own, what was pre-registered, what was asked
    for by name."""
    return {"level": LEVEL, **options_of(plan), **chosen}


def _planned_in_vain(plan: Preregistration | None) -> list[str]:
    """Sentences on what a plan for choices names in vain."""
    screen = options_of(plan).get("screen", "none")
    if screen == "none":
        return []
    return [
        f"Planned and not applied: the screening {screen}, which judges ratings. "
        "These are choices, and nobody was left out by a rule."
    ]


def _add_planned(
    report: stats.Results,
    ratings: Ratings,
    options: Options,
    plan: Preregistration,
) -> None:
    """The planned contrasts as a table of their own, marked among all the others."""
    from analysis.stats.case import screened_out, without
    from analysis.stats.planned import is_planned, planned_contrasts

    pairs = pairs_of(plan)
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
    report.summary["preregistration"] = record.statement(plan)


def _codes(study: Study) -> list[str]:
    return list(study.stimuli.order_by("pk").values_list("code", flat=True))


def _of_choices(
    study: Study,
    ratings: Ratings,
    plan: Preregistration | None,
    chosen: dict[str, Any],
) -> stats.Results:
    """The table of choices: one scale, the parameters of each picture beside it."""
    import pandas as pd

    from analysis.stats import report as stats
    from analysis.stats.case import Options

    if chosen.get("screen", "none") != "none":
        raise ValueError(
            "Rules of screening judge ratings, and a study of pairs has choices: "
            "leave out people by name instead."
        )
    report = stats.build_of_choices(ratings, Options(**_options(plan, chosen)))
    scale = report.tables["pair_scale.csv"]
    if len(scale):
        made = _made(study, ratings)[varied(study, ratings)]
        beside = made.reindex(scale["stimulus"].astype(str)).set_axis(scale.index)
        report.tables["pair_scale.csv"] = pd.concat([scale, beside], axis=1)
    report.summary["notes"] += _planned_in_vain(plan)
    report.summary["notes"] += notes_of(own_factors(study))
    report.beside["ratings_long.csv"] = [*RATINGS_LONG]
    return report


BUILDERS: dict[
    Answers,
    Callable[[Study, Ratings, Preregistration | None, dict[str, Any]], stats.Results],
] = {Answers.RATINGS: _of_ratings, Answers.CHOICES: _of_choices}
"""The computation of the tables, by the kind of a study's answers: it gets the answers
that count, what was pre-registered, and the options that were asked for by name."""


def varied(study: Study, ratings: Ratings) -> list[str]:
    """The parameters in which the rated stimuli differ, references aside."""
    from analysis.stats.factors import varying

    return varying(_made(study, ratings))


def _made(study: Study, ratings: Ratings) -> pd.DataFrame:
    """How the rated stimuli were made: a row each by code, without references.

    From the study's own rows: as the second of a pair a stimulus has no columns.
    """
    import pandas as pd

    from analysis.frames import conditions

    shown = ratings.shown
    columns = {name: name for name in conditions()} | own_factors(study)
    rows = study.stimuli.order_by("pk").values_list("code", "parameters")
    made = {code: as_levels(of) for code, of in rows if code in shown}
    values = [[of.get(name) for name in columns] for of in made.values()]
    index = pd.Index([*made], dtype=str)
    return pd.DataFrame(values, index=index, columns=[*columns.values()])


def compute(
    study: Study,
    *,
    include_simulated: bool,
    shared: bool = False,
    pictures: Collection[str] | None = None,
    **chosen: Any,
) -> dict[str, Any]:
    """Compute what a done report keeps: its files, its charts, the method, and which
    data it rests on, all from one reading.

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
    from analysis.charts import registry
    from analysis.charts.subject import Subject
    from analysis.frames import ratings_long_sha256
    from analysis.stats import report as stats
    from analysis.stats.case import Options

    ratings, report = build(
        study, include_simulated=include_simulated, shared=shared, **chosen
    )
    files = report_files(report)
    plan = freezing.frozen(study)
    options = Options(**_options(plan, chosen))
    subject = Subject.of(
        report, factors=varied(study, ratings), thumbnails=thumbnails(study, pictures)
    )
    drawn = registry.draw_all(subject)
    for chart in drawn:
        files |= chart.files()
    counted = ratings.answered
    kind = kind_of(study)
    asked = ratings.references & set(counted["stimulus"].astype(str))
    return {
        "files": files,
        "charts": [
            {
                "name": chart.name,
                "title": chart.title,
                "description": chart.description,
                "missing": chart.missing,
                "part": chart.part,
                "question": csv_cell(chart.question),
            }
            for chart in drawn
        ],
        "ratings_long_sha256": ratings_long_sha256(study),
        "method": {
            "scale": scale_sentence(study),
            "interval": kind.interval or INTERVALS[options.ci_method],
            "level": options.level,
            "sampling": sampling_sentence(study),
            # No rule judges choices; people can be left out by name.
            "screening": options.screening
            if kind.screened
            else "custom"
            if options.exclude
            else "none",
            "repeats": ratings.repeats,
            "answers": kind.word,
            "n_ratings": len(counted),
            "n_participants": int(counted["participant"].nunique()),
            "n_stimuli": len(ratings.shown),
            "n_references": len(asked),
            "left_out": ratings.left_out,
            "refused": len(ratings.refused),
            "n_given": ratings.n_given,
            "too_many_refused": ratings.too_many_refused,
            "simulated": include_simulated,
            # What is shared dates nobody.
            "answered": _answered_between(counted)
            if not shared and has_dates(study)
            else [],
            "notes": report.summary.get("notes", []),
            "preregistration": plan and record.statement(plan),
            "versions": stats.versions() | {"matplotlib": version("matplotlib")},
        },
    }


def _answered_between(counted: pd.DataFrame) -> list[str]:
    """The days (ISO, UTC) of the first and the last answer; none without times."""
    import pandas as pd

    times = pd.to_datetime(counted.get("rated_at"), utc=True, errors="coerce")
    if times is None or (times := times.dropna()).empty:
        return []
    return [f"{end:%Y-%m-%d}" for end in (times.min(), times.max())]


def report_files(report: stats.Results) -> dict[str, bytes]:
    """The bytes of every file that `Results.write` writes, by name."""
    with tempfile.TemporaryDirectory() as folder:
        return {path.name: path.read_bytes() for path in report.write(folder)}


def thumbnails(
    study: Study, only: Collection[str] | None = None
) -> dict[str, Image.Image]:
    """Small copies of the study's pictures by stimulus; of a missing file none.

    `only` these stimuli, or all of them.
    """
    from analysis.charts.drawing import thumbnail

    found = {}
    for stimulus in study.stimuli.exclude(picture="")[:MOST_PICTURES]:
        if only is not None and stimulus.code not in only:
            continue
        try:
            with Image.open(read_stored(stimulus.picture)) as picture:
                found[stimulus.code] = thumbnail(picture)
        except FileNotFoundError:
            log.warning("The picture of %s is missing.", stimulus)
    return found
