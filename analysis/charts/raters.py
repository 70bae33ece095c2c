"""The bias and the inconsistency of every rater."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.charts.drawing import (
    DPI,
    OKABE_ITO,
    WIDTH,
    DrawnChart,
    file_stem,
    finished,
    titled,
    without,
)
from analysis.charts.subject import Subject, records

MOST_NAMED = 8


def raters(subject: Subject, table: pd.DataFrame, question: str = "") -> DrawnChart:
    """How far each person leans, against how noisy they are."""
    chart = DrawnChart(
        file_stem("raters", question),
        titled("Raters: bias and inconsistency", question),
        "Each point is a person: how far they rate above the panel, and the standard "
        f"deviation of their noise, with {100 * subject.level:g} % intervals. "
        "Squares have a flag in raters.csv; named are at most "
        f"{MOST_NAMED} of them, those farthest from the others.",
    )
    columns = ["participant", "bias", "inconsistency", "flags"]
    known = table.dropna(subset=["bias", "inconsistency"]) if len(table) else table
    if known.empty:
        return without(
            chart, "Bias and inconsistency of the raters could not be estimated."
        )
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained", dpi=DPI)
    axes = figure.subplots()
    flagged = known["flags"].fillna("").astype(str) != ""
    if len(known) <= 100:
        _spread(axes, known, subject.level)
    for who, marker, colour, text in (
        (~flagged, "o", OKABE_ITO[0], "no flag"),
        (flagged, "s", OKABE_ITO[1], "flagged"),
    ):
        part = known[who]
        if len(part):
            axes.plot(
                part["bias"], part["inconsistency"], marker, color=colour,
                markersize=4.5, label=f"{text} ({len(part)})",
            )  # fmt: skip
    for row in records(_farthest(known, flagged)):
        axes.annotate(
            str(row["participant"]), (row["bias"], row["inconsistency"]),
            xytext=(4, 3), textcoords="offset points", fontsize=6,
        )  # fmt: skip
    axes.axvline(0, color="#444", linewidth=0.8)
    axes.set_xlabel("bias, rating points above the panel")
    axes.set_ylabel("inconsistency, SD in rating points")
    axes.set_ylim(bottom=0)
    axes.legend(loc="best")
    return finished(chart, figure, known[columns])


def _farthest(known: pd.DataFrame, chosen: pd.Series) -> pd.DataFrame:
    """Of the chosen people the MOST_NAMED farthest from everybody's medians."""
    both = known[["bias", "inconsistency"]]
    off = both - both.median()
    spread = off.abs().median().replace(0, 1)
    distance = ((off / spread) ** 2).sum(axis=1)[chosen]
    return known.loc[distance.nlargest(MOST_NAMED).index]


def _spread(axes: Axes, known: pd.DataFrame, share: float) -> None:
    from scipy import special

    z = float(special.ndtri((1 + share) / 2))
    low = known["inconsistency"] - known["inconsistency_low"]
    high = known["inconsistency_high"] - known["inconsistency"]
    axes.errorbar(
        known["bias"], known["inconsistency"],
        xerr=np.nan_to_num(z * known["bias_se"].to_numpy(float)),
        yerr=np.clip(np.nan_to_num([low, high]), 0, None),
        fmt="none", ecolor="#bbb", elinewidth=0.7,
    )  # fmt: skip
