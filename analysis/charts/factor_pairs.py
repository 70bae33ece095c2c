"""The pooled MOS where two factors cross: a heat map, and lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.charts.drawing import (
    BESIDE,
    DPI,
    MARKERS,
    OKABE_ITO,
    WIDTH,
    DrawnChart,
    beyond_the_scale,
    file_stem,
    finished,
    picture_at,
    readable_on,
    references,
    said,
    titled,
    without,
)
from analysis.charts.subject import Subject, factor_word, level, records
from analysis.stats.frame import as_numbers, proposed_kind
from generation.engine.factors import FACTORS, FIRST_IN_CHARTS

MOST_FACTOR_PAIRS = 6
MOST_LEVELS = 12


def crossed(factors: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs of factors worth crossing, at most MOST_FACTOR_PAIRS, best first."""
    rank = {name: place for place, name in enumerate(FIRST_IN_CHARTS)}
    ordered = sorted(factors, key=lambda name: rank.get(name, len(rank)))
    return list(combinations(ordered, 2))[:MOST_FACTOR_PAIRS]


def heat_map(
    subject: Subject, table: pd.DataFrame, pair: tuple[str, str], question: str = ""
) -> DrawnChart:
    """Pooled MOS of every combination of two factors, the picture in its cell."""
    a, b = pair
    chart = DrawnChart(
        file_stem("heat", question, a, b),
        titled(f"MOS by {factor_word(a)} and {factor_word(b)}", question),
        f"Pooled MOS ± half of its {subject.interval}, clustered by participant, and "
        "the number of ratings. Grey: nothing was shown there. A cell holds its "
        "picture, or the first of several." + _on_originals(subject, table),
    )
    cells = _cells(table, pair, subject.factors)
    if cells.empty:
        return without(
            chart, f"No ratings cross {factor_word(a)} with {factor_word(b)}."
        )
    rows, columns = levels_in_order(cells[a]), levels_in_order(cells[b])
    if max(len(rows), len(columns)) > MOST_LEVELS:
        return without(
            chart,
            f"{len(rows)} × {len(columns)} levels are more than a heat map can show; "
            "mos_by_condition.csv has them.",
        )
    low, high = subject.scale
    grid = np.full((len(rows), len(columns)), np.nan)
    figure = Figure(
        figsize=(WIDTH, 0.9 + 1.05 * len(rows)), layout="constrained", dpi=DPI
    )
    axes = figure.subplots()
    colours = matplotlib.colormaps["viridis"].with_extremes(bad="#ccc")
    stimuli = subject.table("mos_by_stimulus.csv")
    examples = _examples(stimuli[~references(stimuli)], pair)
    for cell in records(cells):
        i, j = rows.index(cell[a]), columns.index(cell[b])
        grid[i, j] = cell["mos"]
    # A second line below the picture for the DMOS.
    below = 0.33 if _dmos_of(records(cells)[0]) else 0.38
    image = axes.imshow(grid, cmap=colours, vmin=low, vmax=high, aspect="auto")
    for cell in records(cells):
        if np.isnan(cell["mos"]):
            continue
        i, j = rows.index(cell[a]), columns.index(cell[b])
        half = (cell["ci_high"] - cell["ci_low"]) / 2
        text = f"{cell['mos']:.2f}" + ("" if np.isnan(half) else f" ± {half:.2f}")
        thumbnail = subject.thumbnails.get(examples.get((cell[a], cell[b]), ""))
        if thumbnail is not None:
            picture_at(axes, thumbnail, (j, i - 0.12), 44)
        axes.text(
            j, i + (below if thumbnail is not None else 0),
            f"{text} (n {cell['n_ratings']:g}){_dmos_of(cell)}",
            ha="center", va="center", fontsize=6.5,
            color=readable_on(colours((cell["mos"] - low) / (high - low))),
        )  # fmt: skip
    axes.set_xticks(range(len(columns)), [level(value) for value in columns])
    axes.set_yticks(range(len(rows)), [level(value) for value in rows])
    axes.set_xlabel(factor_word(b))
    axes.set_ylabel(factor_word(a))
    axes.grid(visible=False)
    figure.colorbar(image, ax=axes, label="MOS", shrink=0.8)
    return finished(chart, figure, cells)


def interaction(
    subject: Subject, table: pd.DataFrame, pair: tuple[str, str], question: str = ""
) -> DrawnChart:
    """A line for each level of one factor, along the other.

    Along the one whose levels have an order, else along the one with more.
    """
    cells = _cells(table, pair, subject.factors)
    line, along = pair
    if len(cells):
        line, along = sorted(
            pair, key=lambda name: (has_order(cells, name), cells[name].nunique())
        )
        if cells[line].nunique() > len(OKABE_ITO):
            line, along = along, line
    chart = DrawnChart(
        file_stem("lines", question, *pair),
        titled(f"Interplay of {factor_word(line)} and {factor_word(along)}", question),
        f"Pooled MOS with its {subject.interval}, clustered by participant. Parallel "
        "lines: the two factors work independently."
        + (" Dashed: the hidden references." if _originals(table) else "")
        + _on_originals(subject, table),
    )
    if cells.empty:
        return without(
            chart, f"No ratings cross {factor_word(line)} with {factor_word(along)}."
        )
    lines, places = levels_in_order(cells[line]), levels_in_order(cells[along])
    if len(lines) > len(OKABE_ITO) or len(places) > 2 * MOST_LEVELS:
        return without(
            chart,
            f"{len(lines)} × {len(places)} levels are more than lines can show; "
            "mos_by_condition.csv has them.",
        )
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained", dpi=DPI)
    axes = figure.subplots()
    for k, value in enumerate(lines):
        part = cells[cells[line] == value]
        x = np.array([places.index(v) for v in part[along]], float)
        order = np.argsort(x)
        shift = 0.06 * (k - (len(lines) - 1) / 2)
        y = part["mos"].to_numpy(float)[order]
        low = y - part["ci_low"].to_numpy(float)[order]
        high = part["ci_high"].to_numpy(float)[order] - y
        axes.errorbar(
            x[order] + shift, y, yerr=np.nan_to_num([low, high]),
            marker=MARKERS[k], color=OKABE_ITO[k], capsize=2, linewidth=1.2,
            markersize=4.5, label=level(value),
        )  # fmt: skip
    if pooled := _originals(table):
        axes.axhline(
            pooled["mos"], color="#444", linewidth=1, linestyle="--", label="reference"
        )
    axes.set_xticks(range(len(places)), [level(value) for value in places])
    axes.set_xlabel(factor_word(along))
    axes.set_ylabel("MOS")
    low_end, high_end = subject.scale
    bottom, top = axes.set_ylim(low_end - 0.1, high_end + 0.1)
    beyond = int((cells["ci_low"] < bottom).sum() + (cells["ci_high"] > top).sum())
    if beyond:
        chart = said(chart, beyond_the_scale(beyond))
    axes.legend(title=factor_word(line), loc="center left", bbox_to_anchor=(1, 0.5))
    return finished(chart, figure, cells)


def _originals(table: pd.DataFrame) -> dict[str, Any]:
    """The row of all hidden references; empty where none are hidden."""
    rows = table[references(table)]
    return records(rows)[0] if len(rows) else {}


def _on_originals(subject: Subject, table: pd.DataFrame) -> str:
    """The sentence of a caption on the references' MOS and the cells' DMOS."""
    row = _originals(table)
    if not row:
        return ""
    ends = f"{row['ci_low']:.2f} to {row['ci_high']:.2f}"
    interval = "" if np.isnan(row["ci_low"]) else f" ({subject.interval} {ends})"
    return (
        f" Hidden references: MOS {row['mos']:.2f}{interval}, n {row['n_ratings']:g}; "
        "they are in no cell. DMOS: against them, paired within people."
    )


def _dmos_of(cell: dict[str, Any]) -> str:
    """The line of a cell with its DMOS, where it has one."""
    dmos = cell.get("dmos", np.nan)
    return "" if np.isnan(dmos) else f"\nDMOS {dmos:.2f}"


def _cells(
    table: pd.DataFrame, pair: tuple[str, str], factors: Iterable[str]
) -> pd.DataFrame:
    """The rows of `mos_by_condition.csv` that pool by exactly these two factors."""
    a, b = pair
    if a not in table or b not in table:
        return pd.DataFrame()
    others = [name for name in factors if name not in pair and name in table]
    chosen = table[a].notna() & table[b].notna() & table[others].isna().all(axis=1)
    columns = [a, b, "mos", "ci_low", "ci_high", "n_ratings", "n_stimuli"]
    if "dmos" in table:
        columns += [name for name in BESIDE if name.startswith("dmos")]
    return table.loc[chosen, columns].reset_index(drop=True)


def levels_in_order(column: pd.Series) -> list[Any]:
    """Numbers in their order, also those that are text; words by name."""
    levels = list(column.unique())
    numbers = as_numbers(np.array(levels, object))
    places = sorted(
        range(len(levels)),
        key=lambda k: (np.isnan(numbers[k]), np.nan_to_num(numbers[k]), str(levels[k])),
    )
    return [levels[k] for k in places]


def has_order(table: pd.DataFrame, name: str) -> bool:
    """True where a line between two levels means something: numbers, depths."""
    if name in FACTORS and FACTORS[name].kind == "ordered":
        return True
    return proposed_kind(name, table[name]) == "numeric"


def _examples(table: pd.DataFrame, pair: tuple[str, str]) -> dict[tuple[Any, Any], str]:
    """The first stimulus of each cell of two factors."""
    if not set(pair) <= set(table.columns):
        return {}
    found: dict[tuple[Any, Any], str] = {}
    for a, b, code in zip(
        table[pair[0]], table[pair[1]], table["stimulus"], strict=True
    ):
        found.setdefault((a, b), str(code))
    return found
