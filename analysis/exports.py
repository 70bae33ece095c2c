"""What is streamed from the database: every planned trial, or a matrix of ratings.

No pandas here: the web process sends these files itself.
"""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

from analysis.stats.cells import csv_cell
from survey.models import Participant, Rating, Study, Trial

PARAMETERS = (
    "content", "style", "content_layer", "style_layers", "alpha", "beta", "tv_weight",
    "objective", "network", "pooling", "weights", "start", "size", "evaluations",
    "seed",
)  # fmt: skip

RATINGS_LONG = (
    "study", "study_version", "participant", "trial", "kind", "stimulus",
    *PARAMETERS,
    "is_reference", "question", "rating", "scale_min", "scale_max", "response_ms",
    "rated_at", "device_class", "simulated", "pilot", "excluded", "exclusion_reason",
)  # fmt: skip


def ratings_rows(study: Study) -> Iterator[dict[str, Any]]:
    """One row per planned trial, in the order people joined and saw them.

    A trial that was not answered has an empty rating, so that what is missing can be
    counted. Withdrawn participants have no trials any more.
    """
    parameters = dict(study.stimuli.values_list("pk", "parameters"))
    trials = (
        Trial.objects.filter(participant__study=study)
        .exclude(participant__status=Participant.Status.WITHDRAWN)
        .order_by("participant_id", "index")
        .values_list(
            "participant__study_version",
            "participant__code",
            "index",
            "kind",
            "stimulus_id",
            "stimulus__code",
            "ratings__question",
            "ratings__rating",
            "ratings__scale_min",
            "ratings__scale_max",
            "ratings__response_ms",
            "ratings__rated_at",
            "participant__device_class",
            "participant__simulated",
            "participant__pilot",
            "participant__excluded",
            "participant__exclusion_reason",
        )
    )
    for (
        version, participant, trial, kind, stimulus_pk, stimulus, question, rating,
        low, high, response_ms, rated_at, device, simulated, pilot, excluded, reason,
    ) in trials.iterator(chunk_size=2000):  # fmt: skip
        made = parameters[stimulus_pk]
        yield {
            "study": study.title,
            "study_version": version,
            "participant": participant,
            "trial": trial,
            "kind": kind,
            "stimulus": stimulus,
            **{name: made.get(name) for name in PARAMETERS},
            "is_reference": False,
            "question": question or "overall",
            "rating": rating,
            "scale_min": low or 1,
            "scale_max": high or 5,
            "response_ms": response_ms,
            "rated_at": rated_at,
            "device_class": device,
            "simulated": simulated,
            "pilot": pilot,
            "excluded": excluded,
            "exclusion_reason": reason,
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
    people = study.participants.filter(pilot=False, excluded=False)
    people = people.exclude(status=Participant.Status.WITHDRAWN)
    if not include_simulated:
        people = people.filter(simulated=False)
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
        yield writer.writerow(["stimulus", *codes.values()])
    for pk, code in study.stimuli.order_by("pk").values_list("pk", "code"):
        given: list[list[int]] = [[] for _ in codes]
        if pk == stimulus:
            for _, person, rating in votes:
                if person in place:
                    given[place[person]].append(rating)
            stimulus, votes = next(by_stimulus, (None, iter(())))
        cells = [cell(sum(each) / len(each)) if each else "" for each in given]
        cells = [text.removesuffix(".0") for text in cells]
        yield writer.writerow([code, *cells] if labels else cells)


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
    if isinstance(value, float):
        return repr(value)  # 1.0 stays a number with a point, whatever its column holds
    return csv_cell(value)
