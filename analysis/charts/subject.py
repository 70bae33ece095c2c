"""The tables that charts are drawn from, and the words for stimuli and factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from analysis.stats.report import Results
from analysis.stats.tables import TABLES
from generation.engine.factors import FACTORS, short_label
from generation.engine.networks.weights import readable

TITLE_IN_LABEL = 15


@dataclass(frozen=True)
class Subject:
    """The subject of all charts: tables, scale, interval level, pictures by stimulus.

    `factors` are the columns that vary between stimuli; `thumbnails` are RGB.
    """

    tables: Mapping[str, pd.DataFrame]
    scale: tuple[int, int] = (1, 5)
    level: float = 0.95
    factors: Sequence[str] = ()
    thumbnails: Mapping[str, Image.Image] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        report: Results,
        *,
        factors: Sequence[str],
        thumbnails: Mapping[str, Image.Image],
    ) -> Subject:
        """The subject of a report's charts."""
        low, high = report.summary.get("scale", (1, 5))
        level = report.summary.get("options", {}).get("level", 0.95)
        return cls(report.tables, (low, high), level, factors, thumbnails)

    @property
    def answers(self) -> str:
        """ratings, or choices between two pictures: what its tables rest on."""
        rest_on = [TABLES[name].answers for name in self.tables if name in TABLES]
        return "choices" if "choices" in rest_on else "ratings"

    @property
    def interval(self) -> str:
        """How captions call the intervals: "95 % interval"."""
        return f"{100 * self.level:g} % interval"

    def table(self, name: str) -> pd.DataFrame:
        """A table of the report; an empty one if it has none of that name."""
        return self.tables.get(name, pd.DataFrame())

    def parts(self, name: str) -> list[tuple[str, pd.DataFrame]]:
        """A table by question, ("", table) where only one question was asked."""
        table = self.table(name)
        if "question" not in table or table["question"].nunique() < 2:
            return [("", table)]
        return [(str(q), part) for q, part in table.groupby("question", sort=False)]

    def label(self, row: Mapping[str, Any], *, short: bool = False) -> str:
        """The words that tell a stimulus from the others.

        `short` takes the middle out of long titles; no setting is ever cut. An
        original is called a reference, by its content or else its code.
        """
        words = []
        if row.get("is_reference"):
            title = row.get("content")
            title = str(row["stimulus"] if pd.isna(title) else title)
            return f"{shortened(title) if short else title} · reference"
        has = [name for name in self.factors if not pd.isna(row.get(name))]
        pair = [str(row[name]) for name in ("content", "style") if name in has]
        pair = [shortened(title) for title in pair] if short else pair
        if pair:
            words.append(" × ".join(pair))
        words += [
            level(row[name])
            if name in FACTORS and FACTORS[name].is_layers
            else f"{short_label(name)} {level(row[name])}"
            for name in has
            if name not in ("content", "style")
        ]
        return " · ".join(words) or str(row["stimulus"])


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows by column name."""
    return [
        {str(name): value for name, value in row.items()}
        for row in table.to_dict("records")
    ]


def level(value: Any) -> str:
    """A level as it is written on an axis."""
    if isinstance(value, float | np.floating):
        return f"{value:g}"
    return readable(str(value))


def factor_word(factor: str) -> str:
    """A factor as a heading or an axis says it."""
    return short_label(factor).replace("_", " ")


def shortened(title: str) -> str:
    """A long title without its middle: ends tell apart what is numbered."""
    if len(title) <= TITLE_IN_LABEL:
        return title
    end = TITLE_IN_LABEL // 3
    return f"{title[: TITLE_IN_LABEL - end - 1].rstrip()}…{title[-end:].lstrip()}"
