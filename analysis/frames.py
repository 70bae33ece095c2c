"""The only bridge between the database and pandas."""

from __future__ import annotations

import hashlib

import pandas as pd

from analysis.columns import LOSSES, RATINGS_LONG
from analysis.exports import csv_lines, own_factors, ratings_rows
from analysis.models import Import
from generation.engine.factors import FACTORS, column_names
from survey.models import Study


def conditions() -> tuple[str, ...]:
    """The factors a study may vary on purpose; the other columns of a render repeat a
    condition."""
    return tuple(name for name in column_names() if not FACTORS[name].replicate)


def ratings_frame(study: Study, *, shared: bool = False) -> pd.DataFrame:
    """The rows and columns of `ratings_long.csv`, each picture's own losses, and the
    factors that a study of one's own pictures declares.

    The losses are those of the picture that was kept, before α, β and the TV weight.
    """
    rows = ratings_rows(study, shared=shared)
    frame = pd.DataFrame(rows, columns=list(RATINGS_LONG))
    frame = frame.astype({"rating": "float64", "response_ms": "float64"})
    if Import.objects.filter(study=study, ordered=False).exists():
        frame = frame.drop(columns="trial")  # there, rows are counted, no more
    made = dict(study.stimuli.values_list("code", "parameters"))
    columns = {name: name for name in LOSSES} | own_factors(study)
    for name, column in columns.items():
        values = {code: parameters.get(name) for code, parameters in made.items()}
        if any(value is not None for value in values.values()):
            frame[column] = frame["stimulus"].map(values)
    return frame


def ratings_long_sha256(study: Study) -> str:
    """The hash of `ratings_long.csv` as it stands now."""
    digest = hashlib.sha256()
    for line in csv_lines(RATINGS_LONG, ratings_rows(study)):
        digest.update(line.encode())
    return digest.hexdigest()
