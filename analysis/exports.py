"""`ratings_long.csv`: every planned trial of a study, streamed from the database.

No pandas here: the web process sends this file itself.
"""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Any

from analysis.stats.cells import csv_cell
from survey.models import Participant, Study, Trial

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
    stimuli = {
        pk: (parameters, is_reference)
        for pk, parameters, is_reference in study.stimuli.values_list(
            "pk", "parameters", "is_reference"
        )
    }
    trials = (
        Trial.objects.filter(participant__study=study, stimulus__isnull=False)
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
        made, is_reference = stimuli[stimulus_pk]
        yield {
            "study": study.title,
            "study_version": version,
            "participant": participant,
            "trial": trial,
            "kind": kind,
            "stimulus": stimulus,
            **{name: made.get(name) for name in PARAMETERS},
            "is_reference": is_reference,
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
