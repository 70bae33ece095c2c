"""The only bridge between the database and pandas."""

from __future__ import annotations

import hashlib

import pandas as pd

from analysis.exports import PARAMETERS, RATINGS_LONG, csv_lines, ratings_rows
from survey.models import Study

# What a study may vary on purpose; the other parameters describe how it was painted.
FACTORS = tuple(name for name in PARAMETERS if name != "seed")
LOSSES = ("content_loss", "style_loss", "tv_loss")


def ratings_frame(study: Study) -> pd.DataFrame:
    """The rows and columns of `ratings_long.csv`, and each picture's own losses.

    The losses are those of the picture that was kept, before α, β and the TV weight.
    """
    frame = pd.DataFrame(ratings_rows(study), columns=list(RATINGS_LONG))
    frame = frame.astype({"rating": "float64", "response_ms": "float64"})
    made = dict(study.stimuli.values_list("code", "parameters"))
    for name in LOSSES:
        if all(name in parameters for parameters in made.values()):
            losses = {code: parameters[name] for code, parameters in made.items()}
            frame[name] = frame["stimulus"].map(losses)
    return frame


def data_sha256(study: Study) -> str:
    """The hash of `ratings_long.csv` as it stands now."""
    digest = hashlib.sha256()
    for line in csv_lines(RATINGS_LONG, ratings_rows(study)):
        digest.update(line.encode())
    return digest.hexdigest()
