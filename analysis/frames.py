"""The only bridge between the database and pandas."""

from __future__ import annotations

import hashlib

import pandas as pd

from analysis.exports import RATINGS_LONG, csv_lines, ratings_rows
from survey.models import Study


def ratings_frame(study: Study) -> pd.DataFrame:
    """The rows and columns of `ratings_long.csv` as a frame."""
    frame = pd.DataFrame(ratings_rows(study), columns=list(RATINGS_LONG))
    return frame.astype({"rating": "float64", "response_ms": "float64"})


def data_sha256(study: Study) -> str:
    """The hash of `ratings_long.csv` as it stands now."""
    digest = hashlib.sha256()
    for line in csv_lines(RATINGS_LONG, ratings_rows(study)):
        digest.update(line.encode())
    return digest.hexdigest()
