"""The variance of the ratings against the MOS: the SOS hypothesis."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.charts.drawing import (
    DPI,
    OKABE_ITO,
    WIDTH,
    DrawnChart,
    file_stem,
    finished,
    on_references,
    plot_references,
    references,
    titled,
    without,
)
from analysis.charts.subject import Subject


def sos(subject: Subject, table: pd.DataFrame, question: str = "") -> DrawnChart:
    """Variance against MOS with the parabola of the SOS hypothesis."""
    chart = DrawnChart(
        file_stem("sos", question),
        titled("Spread of opinion (SOS)", question),
        "Variance of the ratings of each stimulus against its MOS, the fitted parabola "
        "of the SOS hypothesis (Hossfeld et al. 2011), and the largest variance a "
        "scale allows." + on_references(table),
    )
    known = table.dropna(subset=["mos", "sd"]) if "sd" in table else table
    if known.empty:
        return without(chart, "No stimulus has two ratings, so none has a variance.")
    low, high = subject.scale
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained", dpi=DPI)
    axes = figure.subplots()
    x = np.linspace(low, high, 200)
    parabola = (x - low) * (high - x)
    axes.plot(x, parabola, "--", color="#888", linewidth=1, label="largest possible")
    a = _sos_a(subject.table("reliability.csv"), question)
    if a is not None:
        axes.plot(
            x, a * parabola, color=OKABE_ITO[1], linewidth=1.5, label=f"a = {a:.3f}"
        )
    variance = known["sd"].to_numpy(float) ** 2
    originals = references(known)
    axes.plot(
        known["mos"][~originals], variance[~originals], "o", color=OKABE_ITO[0],
        markersize=4, label="stimulus",
    )  # fmt: skip
    plot_references(axes, known["mos"][originals], variance[originals])
    axes.set_xlabel("MOS")
    axes.set_ylabel("variance, rating points²")
    axes.set_xlim(low - 0.1, high + 0.1)
    axes.set_ylim(bottom=0)
    axes.legend(loc="best")
    shown = known[["stimulus", "mos"]].assign(variance=variance, sos_a=a)
    if originals.any():
        shown["is_reference"] = originals
    return finished(chart, figure, shown)


def _sos_a(reliability: pd.DataFrame, question: str) -> float | None:
    if "statistic" not in reliability:
        return None
    rows = reliability[reliability["statistic"] == "sos_a"]
    if question and "question" in rows:
        rows = rows[rows["question"] == question]
    values = rows["value"].dropna()
    return float(values.iloc[0]) if len(values) else None
