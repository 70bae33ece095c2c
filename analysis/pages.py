"""What the report page shows, read from the files a worker has computed."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from analysis import preregistration
from analysis.models import Report
from analysis.monitor import words
from analysis.stats.flags import MEANINGS
from survey.models import Stimulus, Study

MOST_ROWS = 500  # of a table on a page; its CSV has all
MOST_CHART_ROWS = 120


@dataclass
class Notes:
    """Numbered sentences under a table: each flag is explained once."""

    numbers: dict[str, int] = field(default_factory=dict)

    def of(self, cell: str) -> list[int]:
        """The numbers of a cell's flags, words joined by ``;``."""
        return [
            self.numbers.setdefault(word, len(self.numbers) + 1)
            for word in cell.split(";")
            if word
        ]

    def __iter__(self) -> Any:
        return ((number, MEANINGS[word]) for word, number in self.numbers.items())

    def __bool__(self) -> bool:
        return bool(self.numbers)


@dataclass(frozen=True)
class Table:
    """A CSV as a page shows it."""

    header: list[str]
    rows: list[list[str]]
    more: int  # rows that only the file has

    @classmethod
    def of(cls, text: str, most: int = MOST_CHART_ROWS) -> Table:
        header, *rows = csv.reader(io.StringIO(text))
        shown = [[rounded(cell) for cell in row] for row in rows[:most]]
        return cls(header, shown, max(0, len(rows) - most))


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
    stimuli = {each.code: each for each in study.stimuli.all()}
    raters = _dictionaries(texts.get("raters.csv", ""))
    return {
        "rows": [_mos_row(row, stimuli, notes) for row in mos[:MOST_ROWS]],
        "more_rows": max(0, len(mos) - MOST_ROWS),
        "categories": _categories(mos),
        "has_dmos": any(row.get("dmos") for row in mos),
        "several_questions": len({row.get("question") for row in mos}) > 1,
        "raters": [_rater_row(row, notes) for row in raters[:MOST_ROWS]],
        "more_raters": max(0, len(raters) - MOST_ROWS),
        "reliability": [
            {
                **row,
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
    """What looks odd about one person of `monitor.people`."""
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
    """The scale's categories, by the columns n_1, n_2, …"""
    if not rows:
        return []
    numbers = (name.removeprefix("n_") for name in rows[0] if name.startswith("n_"))
    return sorted(int(number) for number in numbers if number.isdecimal())


def _mos_row(
    row: Mapping[str, str], stimuli: Mapping[str, Stimulus], notes: Notes
) -> dict[str, Any]:
    return {
        "stimulus": stimuli.get(row["stimulus"]),
        "code": row["stimulus"],
        "question": row.get("question", ""),
        "made": made(row),
        "pair": " × ".join(filter(None, (row.get("content"), row.get("style")))),
        "n": row["n"],
        "n_missing": row["n_missing"],
        "mos": _fixed(row["mos"]),
        "sd": _fixed(row["sd"]),
        "interval": between(row["ci_low"], row["ci_high"]),
        "counts": [row[f"n_{value}"] for value in _categories([dict(row)])],
        "dmos": _fixed(row.get("dmos", "")),
        "notes": notes.of(row["flags"]),
    }


def made(row: Mapping[str, str]) -> str:
    """How a stimulus was made, as far as its study says."""
    signs = {"alpha": "α", "beta": "β", "tv_weight": "TV"}
    parts = [row.get("content_layer", "")]
    for name, sign in signs.items():
        if row.get(name):
            parts.append(f"{sign} {short(row[name])}")
    return " · ".join(filter(None, parts))


def short(cell: str) -> str:
    """A number without its trailing zeros; any other text as it is."""
    try:
        return f"{float(cell):g}"
    except ValueError:
        return cell


def _rater_row(row: Mapping[str, str], notes: Notes) -> dict[str, Any]:
    return {
        **{name: _fixed(row[name]) for name in ("mean", "bias", "inconsistency")},
        **{name: _fixed(row[name]) for name in ("r_loo", "share_fast")},
        "participant": row["participant"],
        "question": row.get("question", ""),
        "n": row["n"],
        "median_ms": _fixed(row["median_response_ms"], 0),
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
    return {**chart, "table": Table.of(table) if table else None}


def _fixed(cell: str, digits: int = 2) -> str:
    return f"{float(cell):.{digits}f}" if cell else ""


def between(low: str, high: str) -> str:
    return f"{float(low):.2f} – {float(high):.2f}" if low and high else ""


def method_sentences(method: Mapping[str, Any]) -> Iterable[str]:
    """The method line: everything a paper must say about the numbers."""
    if not method:
        return
    yield f"Scale: {method['scale']}."
    counted = f"{method['n_ratings']} ratings"
    people = f"{method['n_participants']} participants"
    yield f"{counted} of {method['n_stimuli']} stimuli by {people}."
    yield f"Interval: {method['interval']}, level {method['level']}."
    yield f"Screening: {method['screening']}."
    repeats = {"mean": "averaged", "votes": "counted one by one"}[method["repeats"]]
    yield f"Several answers of one person to one stimulus: {repeats}."
    if left_out := method.get("left_out"):
        reasons = ", ".join(f"{n} of {why} participants" for why, n in left_out.items())
        yield f"Ratings left out: {reasons}."
    yield from preregistration.sentences(method.get("preregistration"))
    if method.get("simulated"):
        yield "Simulated participants are included."
    versions = method.get("versions", {})
    if versions:
        names = ", ".join(f"{name} {number}" for name, number in versions.items())
        yield f"Computed with {names}."
