"""The contents of a report's page, read from the files that a worker has computed."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from analysis.models import Report
from analysis.monitor import words
from analysis.stats.flags import MEANINGS
from generation.engine.factors import FACTORS, short_label
from survey.models import Study

MOST_ROWS = 500  # of a table on a page; its CSV has all
MOST_CATEGORIES = 13
COUNT = re.compile(r"n_(-?\d+)")
MOST_CHART_ROWS = 120
OF_ALL_STIMULI = ("mos_by_stimulus.csv", "pair_scale.csv")
AGAINST_REFERENCES = "hidden reference"  # a family of contrasts.csv


@dataclass
class Notes:
    """Numbered sentences under a table: each flag is explained once."""

    numbers: dict[str, int] = field(default_factory=dict)

    def of(self, cell: str) -> SafeString:
        """Links to the notes on a cell's flags, words joined by ``;``."""
        if not cell:
            return SafeString()
        numbers = (
            (self.numbers.setdefault(word, len(self.numbers) + 1),)
            for word in cell.split(";")
            if word
        )
        link = '<a href="#note-{0}" aria-label="Note {0}">{0}</a>'
        return format_html_join(", ", link, numbers)

    def __iter__(self) -> Any:
        return ((number, MEANINGS[word]) for word, number in self.numbers.items())

    def __bool__(self) -> bool:
        return bool(self.numbers)


@dataclass(frozen=True)
class ShownTable:
    """A CSV as a page shows it."""

    header: list[str]
    rows: list[list[str]]
    more: int  # rows that only the file has

    @classmethod
    def of(cls, text: str, most: int = MOST_CHART_ROWS) -> ShownTable:
        """The first `most` rows of a CSV."""
        header, *rows = csv.reader(io.StringIO(text))
        shown = [[rounded(cell) for cell in row] for row in rows[:most]]
        return cls(header, shown, max(0, len(rows) - most))

    @property
    def body(self) -> SafeString:
        """Its rows for a page."""
        rows = (f"<tr>{_cells(row, '<td>')}</tr>" for row in self.rows)
        return mark_safe("".join(rows))  # noqa: S308 - of escaped cells


def _cells(
    texts: Iterable[str], opening: str = '<td class="nst-number">'
) -> SafeString:
    """Cells of a table's row. A template, or format_html, takes ten times as long, and
    a report has thousands of them."""
    cells = (f"{opening}{escape(text)}</td>" for text in texts)
    return mark_safe("".join(cells))  # noqa: S308 - every text is escaped


class Kept:
    """The files of a report as a page reads them: of one question at a time.

    `questions` are those that were asked, [] where one only was; `question` the one
    that the page is about, "" where one only was asked.
    """

    def __init__(self, report: Report, question: str = "") -> None:
        self.report = report
        self.names = list(report.files.values_list("name", flat=True))
        self._tables: dict[str, list[dict[str, str]]] = {}
        first = next((name for name in OF_ALL_STIMULI if name in self.names), "")
        asked = {row.get("question", ""): None for row in self.every_row(first)}
        self.questions = list(asked) if len(asked) > 1 else []
        chosen = question in self.questions
        self.question = question if chosen else next(iter(self.questions), "")

    def every_row(self, name: str) -> list[dict[str, str]]:
        """The rows of a table, of all questions; none if there is no such file."""
        if name not in self._tables:
            has = name in self.names
            self._tables[name] = _dictionaries(self.report.text(name)) if has else []
        return self._tables[name]

    def rows(self, name: str) -> list[dict[str, str]]:
        """The rows of a table that are about the question, or about none."""
        rows = self.every_row(name)
        if not self.questions:
            return rows
        return [row for row in rows if row.get("question", "") in (self.question, "")]

    def charts(self, part: str) -> list[dict[str, Any]]:
        """The charts of a part of the report, with their numbers."""
        mine = [
            chart
            for chart in self.report.charts
            if chart.get("part", "stimuli") == part
            and chart.get("question", self.question) == self.question
        ]
        return [
            {**chart, "table": ShownTable.of(text) if text else None}
            for chart in mine
            for text in [self.report.text(f"chart_{chart['name']}.csv")]
        ]

    @cached_property
    def labels(self) -> dict[str, str]:
        """What tells a stimulus from the others, as the charts say it."""
        found = {}
        for chart in self.report.charts:
            stem = chart["name"].split("_")[0]
            mine = chart.get("question", self.question) == self.question
            if mine and stem in ("mos", "pair"):
                for row in _dictionaries(
                    self.report.text(f"chart_{chart['name']}.csv")
                ):
                    found[row["stimulus"]] = row.get("label", "")
        return found


# Tables ----------------------------------------------------------------------------


def pictured_in(study: Study) -> set[str]:
    """The stimuli of which the lab has a picture."""
    return set(study.stimuli.exclude(picture="").values_list("code", flat=True))


def file_stem(name: str, question: str) -> str:
    """The stem of a table's file, with the question that its rows are of."""
    plain = re.sub(r"[^\w-]+", "_", question).strip("_")
    return f"{name.rpartition('.')[0]}_{plain}"


def of_question(text: str, question: str) -> str | None:
    """The rows of a CSV that are of one question; None if it has none of it."""
    header, *rows = csv.reader(io.StringIO(text))
    if "question" not in header:
        return None
    place = header.index("question")
    chosen = [row for row in rows if row[place] == question]
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows([header, *chosen])
    return lines.getvalue() if chosen else None


def sentences(person: dict[str, Any] | None) -> list[str]:
    """Sentences on what looks odd about one person of `monitor.people`."""
    return [MEANINGS[word] for word in words(person)] if person else []


def rounded(cell: str, digits: int = 3) -> str:
    """A number of a CSV to `digits` decimals at most; any other text as it is."""
    try:
        value = float(cell)
    except ValueError:
        return cell
    if value.is_integer() or value != value:
        return cell
    return f"{value:.{digits}f}" if abs(value) >= 10**-digits else f"{value:.1e}"


def _dictionaries(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def categories_of(rows: list[dict[str, str]]) -> list[int]:
    """The scale's categories, by the columns n_1, n_2, …; none of too many."""
    if not rows:
        return []
    numbers = (COUNT.fullmatch(name) for name in rows[0])
    found = sorted(int(number[1]) for number in numbers if number)
    return found if len(found) <= MOST_CATEGORIES else []


NAMES = {
    "kendall_w": "Kendall's W",
    "sos_a": "SOS parameter a",
    "split_half": "Split half",
    "test_retest": "Test–retest",
    "mean_pairwise_pearson": "Mean Pearson r of two people",
}


def statistic_name(column: str) -> str:
    """A statistic of `reliability.csv` as a paper calls it."""
    if metric := column.partition("krippendorff_alpha_")[2]:
        return f"Krippendorff's α, {metric}"
    if column.startswith("icc_"):
        form, raters, *how = column.split("_")[1:]
        return f"ICC({form},{raters}){', REML' if how else ''}"
    return NAMES.get(column, column.replace("_", " "))


def mos_row(
    row: Mapping[str, str], pictured: Collection[str], has_dmos: bool, notes: Notes
) -> dict[str, Any]:
    """A stimulus with its MOS, for a table."""
    mos = fixed(row["mos"])
    numbers = [
        fixed(row["sd"]),
        between(row["ci_low"], row["ci_high"]),
        *(_dmos_cells(row) if has_dmos else []),
        *(row[f"n_{value}"] for value in categories_of([dict(row)])),
    ]
    return {
        "pictured": row["stimulus"] in pictured,
        "code": row["stimulus"],
        "made": made(row),
        "pair": " × ".join(filter(None, (row.get("content"), row.get("style")))),
        "is_reference": row.get("is_reference") == "true",
        "cells": _cells([row["n"], row["n_missing"]])
        + format_html('<td class="nst-number"><strong>{}</strong></td>', mos)
        + _cells(numbers),
        "notes": notes.of(row["flags"]),
    }


def _dmos_cells(row: Mapping[str, str]) -> list[str]:
    ends = between(row["dmos_ci_low"], row["dmos_ci_high"])
    return [fixed(row["dmos"]), ends, row["dmos_n"]]


def made(row: Mapping[str, str]) -> str:
    """How a stimulus was made, as far as its study says."""
    said = {name: each for name, each in FACTORS.items() if each.told and row.get(name)}
    return " · ".join(
        row[name] if each.kind != "number" else f"{each.short_label} {short(row[name])}"
        for name, each in said.items()
    )


def short(cell: str) -> str:
    """A number without its trailing zeros; any other text as it is."""
    try:
        return f"{float(cell):g}"
    except ValueError:
        return cell


def level_word(factor: str, cell: str) -> str:
    """A level as a table says it: a number shortly, any other text as it was given."""
    is_number = factor in FACTORS and FACTORS[factor].kind == "number"
    return short(cell) if is_number else cell


def score_row(
    row: Mapping[str, str], pictured: Collection[str], notes: Notes
) -> dict[str, Any]:
    """A stimulus on the scale of choices, for a table."""
    numbers = [row["comparisons"], rounded(row["wins"], 1)]
    error = row.get("se_bootstrap") or row.get("se", "")
    return {
        "pictured": row["stimulus"] in pictured,
        "code": row["stimulus"],
        "made": made(row),
        "pair": " × ".join(filter(None, (row.get("content"), row.get("style")))),
        "cells": _cells([*numbers, fixed(row["score"]), fixed(error), row["group"]]),
        "notes": notes.of(row.get("flags", "")),
    }


def condition_row(
    row: Mapping[str, str], factors: Iterable[str], notes: Notes
) -> dict[str, Any]:
    """A level of a factor, for a table."""
    level = next((name for name in factors if row[name]), "")
    interval = between(row["ci_low"], row["ci_high"])
    return {
        "factor": factor_word(level) if level else "all factors",
        "level": level_word(level, row[level]) if level else "all",
        "is_reference": row.get("is_reference") == "true",
        "numbers": _cells([row["n_stimuli"], row["n_ratings"], row["n_participants"]]),
        "mos": fixed(row["mos"]),
        "interval": interval,
        "marginal": fixed(row.get("marginal_mos", "")),
        "dmos": fixed(row.get("dmos", "")),
        "dmos_interval": between(
            row.get("dmos_ci_low", ""), row.get("dmos_ci_high", "")
        ),
        "notes": notes.of(row["flags"]),
    }


def contrast_row(row: Mapping[str, str], notes: Notes) -> dict[str, Any]:
    """A difference between two levels, for a table."""
    factor = row["family"].rpartition(":")[0]
    return {
        "factor": factor_word(factor),
        "a": level_word(factor, row["a"]),
        "b": level_word(factor, row["b"]),
        "n": row["n_pairs"],
        "mean_diff": signed(row["mean_diff"]) if row["mean_diff"] else "",
        "interval": between(row["ci_low"], row["ci_high"]),
        "p": p_value(row["p_holm"]),
        "planned": row.get("planned") == "true",
        "notes": notes.of(row["flags"]),
    }


def factor_word(factor: str) -> str:
    """A factor as a table says it."""
    return short_label(factor).replace("_", " ")


def reliability_row(row: Mapping[str, str]) -> dict[str, Any]:
    """A statistic of agreement, for a table."""
    return {
        **row,
        "name": statistic_name(row["statistic"]),
        "value": fixed(row["value"], 3),
        "interval": between(row["ci_low"], row["ci_high"]),
    }


def rater_row(row: Mapping[str, str], notes: Notes) -> dict[str, Any]:
    """A person, for a table."""
    shown = ("mean", "bias", "inconsistency", "r_loo")
    numbers = [
        row["n"],
        *(fixed(row[name]) for name in shown),
        fixed(row["median_response_ms"], 0),
    ]
    return {
        "participant": row["participant"],
        "excluded": row.get("excluded") == "true",
        "cells": _cells(numbers),
        "notes": notes.of(row["flags"]),
    }


def planned_row(row: Mapping[str, str], notes: Notes) -> dict[str, Any]:
    """A planned contrast, for a table."""
    return {
        **row,
        "mean_diff": fixed(row["mean_diff"]),
        "interval": between(row["ci_low"], row["ci_high"]),
        "p": rounded(row["p_planned"]),
        "dz": fixed(row["dz"]),
        "notes": notes.of(row["flags"]),
    }


def fixed(cell: str, digits: int = 2) -> str:
    """A number of a CSV to so many decimals; empty as it is."""
    return f"{float(cell):.{digits}f}".replace("-", "−") if cell else ""


def p_value(cell: str) -> str:
    """A p as a page shows it."""
    return "< 0.001" if cell and float(cell) < 0.001 else fixed(cell, 3)


def signed(cell: str) -> str:
    """A difference as a page shows it."""
    return f"{float(cell):+.2f}".replace("-", "−")


def between(low: str, high: str, digits: int = 2) -> str:
    """An interval as a page shows it; empty without ends."""
    if not low or not high:
        return ""
    ends = (f"{float(end):.{digits}f}".replace("-", "−") for end in (low, high))
    return " to ".join(ends)
