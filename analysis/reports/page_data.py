"""The contents of a report's page, read from the files that a worker has computed."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from analysis.models import Report
from analysis.monitor import words
from analysis.reports.method_text import method_sentences
from analysis.stats.flags import MEANINGS
from generation.engine.factors import FACTORS
from survey.models import Study

MOST_ROWS = 500  # of a table on a page; its CSV has all
MOST_CATEGORIES = 13
COUNT = re.compile(r"n_(-?\d+)")
MOST_CHART_ROWS = 120


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


def report_context(study: Study, report: Report) -> dict[str, Any]:
    """The rows, charts and notes of a computed report, for its template."""
    names = list(report.files.values_list("name", flat=True))
    wanted = ["mos_by_stimulus.csv", "raters.csv", "reliability.csv", "pair_scale.csv",
              "planned_contrasts.csv"]  # fmt: skip
    wanted += [name for name in names if name.startswith("chart_")]
    texts = {
        name: bytes(data).decode()
        for name, data in report.files.filter(name__in=wanted).values_list(
            "name", "data"
        )
    }
    notes = Notes()
    mos = _dictionaries(texts.get("mos_by_stimulus.csv", ""))
    pictured = set(study.stimuli.exclude(picture="").values_list("code", flat=True))
    has_dmos = any(row.get("dmos") for row in mos)
    raters = _dictionaries(texts.get("raters.csv", ""))
    return {
        "method": list(method_sentences(report.method)),
        "rows": [_mos_row(row, pictured, has_dmos, notes) for row in mos[:MOST_ROWS]],
        "more_rows": max(0, len(mos) - MOST_ROWS),
        "categories": _categories(mos),
        "has_dmos": has_dmos,
        "several_questions": len({row.get("question") for row in mos}) > 1,
        "raters": [_rater_row(row, notes) for row in raters[:MOST_ROWS]],
        "more_raters": max(0, len(raters) - MOST_ROWS),
        "reliability": [
            {
                **row,
                "name": statistic_name(row["statistic"]),
                "value": _fixed(row["value"], 3),
                "interval": between(row["ci_low"], row["ci_high"]),
            }
            for row in _dictionaries(texts.get("reliability.csv", ""))
        ],
        "planned": [
            _planned_row(row, notes)
            for row in _dictionaries(texts.get("planned_contrasts.csv", ""))
        ],
        "charts": [_chart(each, texts) for each in report.charts],
        "tables": [
            name
            for name in names
            if name.endswith((".csv", ".json")) and not name.startswith("chart_")
        ],
        "notes": list(notes),
    }


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


def _categories(rows: list[dict[str, str]]) -> list[int]:
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


def _mos_row(
    row: Mapping[str, str], pictured: Collection[str], has_dmos: bool, notes: Notes
) -> dict[str, Any]:
    mos = _fixed(row["mos"])
    numbers = [
        _fixed(row["sd"]),
        between(row["ci_low"], row["ci_high"]),
        *([_fixed(row.get("dmos", ""))] if has_dmos else []),
        *(row[f"n_{value}"] for value in _categories([dict(row)])),
    ]
    return {
        "pictured": row["stimulus"] in pictured,
        "code": row["stimulus"],
        "question": row.get("question", ""),
        "made": made(row),
        "pair": " × ".join(filter(None, (row.get("content"), row.get("style")))),
        "is_reference": row.get("is_reference") == "true",
        "cells": _cells([row["n"], row["n_missing"]])
        + format_html('<td class="nst-number"><strong>{}</strong></td>', mos)
        + _cells(numbers),
        "notes": notes.of(row["flags"]),
    }


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


def _rater_row(row: Mapping[str, str], notes: Notes) -> dict[str, Any]:
    shown = ("mean", "bias", "inconsistency", "r_loo")
    numbers = [
        row["n"],
        *(_fixed(row[name]) for name in shown),
        _fixed(row["median_response_ms"], 0),
    ]
    return {
        "participant": row["participant"],
        "question": row.get("question", ""),
        "cells": _cells(numbers),
        "notes": notes.of(row["flags"]),
    }


def _planned_row(row: Mapping[str, str], notes: Notes) -> dict[str, Any]:
    return {
        **row,
        "mean_diff": _fixed(row["mean_diff"]),
        "interval": between(row["ci_low"], row["ci_high"]),
        "p": rounded(row["p_planned"]),
        "dz": _fixed(row["dz"]),
        "notes": notes.of(row["flags"]),
    }


def _chart(chart: Mapping[str, str], texts: Mapping[str, str]) -> dict[str, Any]:
    table = texts.get(f"chart_{chart['name']}.csv")
    return {**chart, "table": ShownTable.of(table) if table else None}


def _fixed(cell: str, digits: int = 2) -> str:
    return f"{float(cell):.{digits}f}" if cell else ""


def between(low: str, high: str) -> str:
    """An interval as a page shows it; empty without ends."""
    return f"{float(low):.2f} – {float(high):.2f}" if low and high else ""
