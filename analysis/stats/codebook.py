"""The codebook: what every column of the report's files means.

Each table says it of its own columns (`analysis.stats.tables`), `analysis.columns` of
those of the ratings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pandas as pd

from analysis.columns import LOSSES, every_column
from analysis.stats import mos
from analysis.stats.meanings import Meaning
from analysis.stats.tables import COMMON, TABLES


def codebook(files: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """A row for every column of every file; unknown columns are study factors."""
    known = meanings()
    return pd.DataFrame(
        [
            {"file": file, "column": column, **_described(str(column), known)}
            for file, columns in files.items()
            for column in columns
        ]
    )


def describe(column: str) -> dict[str, str]:
    """Type, unit and description of a column."""
    return _described(column, meanings())


def meanings() -> dict[str, Meaning]:
    """The meaning of each column that has a name of its own."""
    found = dict(COMMON)
    for table in TABLES.values():
        found |= table.columns
    for statistic in mos.OF_STIMULI:
        found |= statistic.columns
    of_ratings = {column.name: column for column in every_column()} | LOSSES
    return found | {
        name: (it.type, it.unit, it.meaning) for name, it in of_ratings.items()
    }


def _patterns() -> dict[str, Meaning]:
    found: dict[str, Meaning] = {}
    for statistic in mos.OF_STIMULI:
        found |= statistic.patterns
    for table in TABLES.values():
        found |= table.patterns
    return found


def _described(column: str, known: Mapping[str, Meaning]) -> dict[str, str]:
    meaning = known.get(column)
    if meaning is None:
        for pattern, (kind, unit, text) in _patterns().items():
            match = re.fullmatch(pattern, column)
            if match:
                meaning = (kind, unit, text.format(**match.groupdict()))
                break
        else:
            meaning = ("text", "", "Factor of the study")
    return dict(zip(("type", "unit", "description"), meaning, strict=True))
