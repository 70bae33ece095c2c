"""Files streamed from the database: every planned trial, or a matrix of ratings.

No pandas here: the web process sends these files itself.
"""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.db.models import Q

from analysis.answer_kinds import kind_of
from analysis.columns import LOSSES, Row, every_column
from analysis.models import Import
from analysis.scales import scale_by_origin, scale_of
from generation.engine.factors import column_names
from nstlab.core.csv_cells import csv_cell
from nstlab.core.factor_names import columns_of
from survey.methods import method_of
from survey.models import Participant, Rating, Study, Trial, counted_people

# What rows are told apart and judged by, whatever columns there are.
ALWAYS_READ = (
    "pk", "index", "kind", "stimulus_id", "second_id", "side", "expected", "instructed",
    "ratings__question", "ratings__rating", "ratings__choice", "ratings__scale_min",
    "ratings__scale_max", "ratings__rated_at", "participant__started_at",
)  # fmt: skip


def own_factors(study: Study) -> dict[str, str]:
    """The column of each parameter of its stimuli that no render has, by name.

    In the order of the names: databases keep the order of such names or do not, and
    the tables of a study are to be alike in all.
    """
    known = {*column_names(), *LOSSES, "label"}
    names: set[str] = set()
    for parameters in study.stimuli.values_list("parameters", flat=True):
        names |= parameters.keys() - known
    return columns_of(names, kind_of(study).taken)


def ratings_rows(study: Study, *, shared: bool = False) -> Iterator[dict[str, Any]]:
    """One row per planned trial and question, in the order people joined and saw them.

    A trial that was not answered has an empty rating, so that what is missing can be
    counted. Withdrawn participants have no trials any more, and a trial whose picture
    was never chosen is no row. `seconds` are those since the participant's start. What
    is `shared` leaves out pilots and `rated_at`, which an imported study never has.
    """
    origin = Import.objects.filter(study=study).first()
    dates = not shared and origin is None
    timed = origin is None or origin.timed
    method = method_of(study)
    scale = scale_by_origin(study, origin)
    low, high = scale.bounds
    columns = list(every_column())
    as_they_stand = [(it.name, it.field) for it in columns if it.value is None]
    read = dict.fromkeys((*ALWAYS_READ, *(field for _, field in as_they_stand)))
    told = [(it.name, it.value, it.about) for it in columns if it.value is not None]
    of_pictures = [(name, value) for name, value, what in told if what == "stimulus"]
    of_rows = [(name, value) for name, value, what in told if what != "stimulus"]
    pictures: dict[int, dict[str, Any]] = {}
    stimuli = {
        pk: (code, parameters, reference)
        for pk, code, parameters, reference in study.stimuli.values_list(
            "pk", "code", "parameters", "is_reference"
        )
    }
    questions = ["overall", *study.further_questions.values_list("name", flat=True)]
    trials = (
        Trial.objects.filter(participant__study=study, stimulus__isnull=False)
        .exclude(participant__status=Participant.Status.WITHDRAWN)
        .filter(counted_people("participant__", simulated=True) if shared else Q())
        .order_by("participant_id", "index", "ratings__pk")
        .values(*read)
    )
    by_trial = groupby(trials.iterator(chunk_size=2000), key=itemgetter("pk"))
    for _, answers in by_trial:
        given: dict[str | None, dict[str, Any]] = {
            it["ratings__question"]: it for it in answers
        }
        # A check asks one thing; what is not answered is missing under every question.
        first: dict[str, Any] = next(iter(given.values()))
        is_check = first["kind"] == Trial.Kind.CATCH
        asked = questions[:1] if is_check else questions
        for question in [*asked, *(q for q in given if q and q not in asked)]:
            fields = given.get(question) or _unanswered(first)
            rating, expected = fields["ratings__rating"], fields["expected"]
            lowest, highest = fields["ratings__scale_min"], fields["ratings__scale_max"]
            rated_at = fields["ratings__rated_at"]
            passed = None
            # A check of an imported study may lack what it asked for.
            if is_check and rated_at and expected:
                passed = method.passed(
                    Trial(
                        side=fields["side"],
                        expected=expected,
                        instructed=fields["instructed"],
                    ),
                    Rating(rating=rating, choice=fields["ratings__choice"] or ""),
                )
            if scale.stated:
                lowest, highest = low, high
                if rating is not None:
                    rating = scale.rating(rating)
                if expected:
                    expected = str(scale.rating(int(expected)))
            seconds = None
            if rated_at and timed:
                since = rated_at - fields["participant__started_at"]
                seconds = round(since.total_seconds(), 3)
            second = fields["second_id"]
            code, parameters, is_reference = stimuli[fields["stimulus_id"]]
            row = Row(
                fields=fields,
                study=study.title,
                stimulus=code,
                second=stimuli[second][0] if second else None,
                parameters=parameters,
                is_reference=is_reference,
                question=question,
                rating=rating,
                scale_min=low if lowest is None else lowest,
                scale_max=high if highest is None else highest,
                expected=expected,
                passed=passed,
                rated_at=rated_at if dates else None,
                seconds=seconds,
            )
            picture = fields["stimulus_id"]
            if picture not in pictures:  # what is told of it is alike in all its rows
                pictures[picture] = {name: value(row) for name, value in of_pictures}
            cells = pictures[picture].copy()
            for name, field in as_they_stand:
                cells[name] = fields[field]
            for name, value in of_rows:
                cells[name] = value(row)
            yield cells


def _unanswered(fields: dict[str, Any]) -> dict[str, Any]:
    """The same trial without its answer."""
    return {
        path: None if path.startswith("ratings__") else value
        for path, value in fields.items()
    }


def matrix_lines(
    study: Study,
    *,
    question: str = "overall",
    labels: bool = True,
    include_simulated: bool = False,
) -> Iterator[str]:
    """Stimuli × participants of one question as CSV, a line at a time.

    Who counts in the report is a column, in the order of joining; an empty cell was not
    rated, several ratings of one person are averaged. Without `labels` there are
    numbers alone, as the ITU-T P.910 reference code and sureal read them.
    """
    scale = scale_of(study)
    people = study.participants.included(simulated=include_simulated)
    people = people.exclude(status=Participant.Status.WITHDRAWN)
    codes = dict(people.order_by("pk").values_list("pk", "code"))
    place = {pk: column for column, pk in enumerate(codes)}
    rated = (
        Rating.objects.filter(
            trial__participant__study=study,
            trial__kind=Trial.Kind.RATING,
            question=question,
        )
        .order_by("trial__stimulus_id", "pk")
        .values_list("trial__stimulus_id", "trial__participant_id", "rating")
        .iterator(chunk_size=2000)
    )
    by_stimulus = groupby(rated, key=itemgetter(0))
    stimulus, votes = next(by_stimulus, (None, iter(())))
    writer = csv.writer(_Echo(), lineterminator="\n")
    if labels:
        yield writer.writerow(["stimulus", *map(cell, codes.values())])
    for pk, code in study.stimuli.order_by("pk").values_list("pk", "code"):
        given: list[list[int]] = [[] for _ in codes]
        if pk == stimulus:
            for _, person, rating in votes:
                if person in place and rating is not None:
                    given[place[person]].append(rating)
            stimulus, votes = next(by_stimulus, (None, iter(())))
        cells = [
            cell(float(scale.mean(sum(each) / len(each)))) if each else ""
            for each in given
        ]
        cells = [text.removesuffix(".0") for text in cells]
        yield writer.writerow([cell(code), *cells] if labels else cells)


class _Echo:
    """A file whose `write` hands the text back, for streaming."""

    def write(self, text: str) -> str:
        return text


def csv_lines(columns: Iterable[str], rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """CSV as text, line by line: UTF-8, comma, dot, empty = not available."""
    writer = csv.writer(_Echo(), lineterminator="\n")
    columns = list(columns)
    yield writer.writerow(columns)
    for row in rows:
        yield writer.writerow([cell(row[name]) for name in columns])


def cell(value: Any) -> str:
    """One value as it stands in a CSV cell."""
    if isinstance(value, dt.datetime):
        return (
            value.astimezone(dt.UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z")
        )
    return _plain_cell(value)


@lru_cache(maxsize=4096, typed=True)  # most cells of a long table repeat
def _plain_cell(value: Any) -> str:
    if isinstance(value, float):
        return repr(value)  # 1.0 stays a number with a point, whatever its column holds
    return csv_cell(value)
