"""The MOS of every stimulus, and how its ratings spread."""

from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.charts.drawing import (
    BESIDE,
    MOST_WITH_LABELS,
    MOST_WITH_THUMBNAILS,
    OKABE_ITO,
    TALL,
    DrawnChart,
    cut_at_the_axis,
    file_stem,
    finished,
    on_references,
    picture_beside,
    plot_references,
    readable_on,
    references,
    row_axis,
    row_figure,
    said,
    score_axis,
    titled,
    whiskers,
    whole_points,
    without,
)
from analysis.charts.subject import Subject, records


def caterpillar(
    subject: Subject, table: pd.DataFrame, question: str = ""
) -> DrawnChart:
    """Every stimulus by MOS with its interval, its picture beside it."""
    chart = DrawnChart(
        file_stem("mos", question),
        titled("MOS of every stimulus", question),
        f"Mean opinion score with its {subject.interval}, best first; n beside it. "
        "An interval that could not be computed is not drawn." + on_references(table),
    )
    compared = "dmos" in table and bool(table["dmos"].notna().any())
    if compared:
        top = f"{subject.scale[1]:g}"
        chart = said(
            chart,
            f"Beside it the DMOS against the hidden reference, paired within people: "
            f"at {top} it is rated as the reference is, above it better.",
        )
    rated = table[table["n"] > 0] if "n" in table else table
    if rated.empty:
        return without(chart, "No stimulus has a rating yet.")
    rated = rated.sort_values("mos", kind="stable", ignore_index=True)
    labels = [subject.label(row) for row in records(rated)]
    names = [subject.label(row, short=True) for row in records(rated)]
    shown = rated[["stimulus", "mos", "ci_low", "ci_high", "n"]].assign(label=labels)
    shown = shown.join(rated[[name for name in BESIDE if compared and name in rated]])
    count = len(rated)
    pictures = count <= MOST_WITH_THUMBNAILS and bool(subject.thumbnails)
    figure, axes = row_figure(names, picture=pictures)
    beside = None
    if compared:
        figure.clear()
        axes, beside = figure.subplots(
            1, 2, sharey=True, gridspec_kw={"width_ratios": (3, 2)}
        )
    place = np.arange(count)
    whiskers(axes, rated, place)
    originals = references(rated)
    axes.plot(
        rated["mos"][~originals], place[~originals], "o", color=OKABE_ITO[0],
        markersize=4,
    )  # fmt: skip
    plot_references(axes, rated["mos"][originals], place[originals])
    score_axis(axes, subject, "MOS")
    chart = said(chart, cut_at_the_axis(axes, rated, place))
    row_axis(axes, names, "stimuli by MOS", picture=pictures)
    if beside is not None:
        _dmos_beside(beside, subject, rated, place)
    if count <= MOST_WITH_LABELS:
        for at, n in zip(place, rated["n"], strict=True):
            axes.annotate(
                f"n {n:g}", (1.025, at), xycoords=axes.get_yaxis_transform(),
                va="center", fontsize=6.5, color="#444",
            )  # fmt: skip
    if pictures:
        for at, stimulus in zip(place, rated["stimulus"], strict=True):
            picture_beside(axes, subject.thumbnails.get(str(stimulus)), float(at))
    return finished(chart, figure, shown[::-1])


def _dmos_beside(
    axes: Axes, subject: Subject, rated: pd.DataFrame, place: np.ndarray
) -> None:
    """The DMOS of each row with its interval, on an axis that holds them all."""
    ends = rated[["dmos_ci_low", "dmos_ci_high"]].set_axis(
        ["ci_low", "ci_high"], axis=1
    )
    whiskers(axes, ends, place)
    axes.plot(
        rated["dmos"], place, "D", markersize=3.5, markerfacecolor=OKABE_ITO[2],
        markeredgecolor=OKABE_ITO[2],
    )  # fmt: skip
    axes.axvline(subject.scale[1], color="#444", linewidth=0.8)
    axes.set_xlabel("DMOS")
    axes.tick_params(axis="y", length=0)
    if len(rated) > TALL:
        axes.tick_params(axis="x", labeltop=True)
    axes.grid(axis="y", visible=False)


def rating_bars(
    subject: Subject, table: pd.DataFrame, question: str = ""
) -> DrawnChart:
    """The counts of every category, stacked around the middle of the scale."""
    low, high = subject.scale
    chart = DrawnChart(
        file_stem("ratings", question),
        titled("How the ratings spread", question),
        f"Share of ratings in each category, {low} (worst) to {high} (best), stacked "
        "around the middle of the scale; same order as the MOS.",
    )
    rated = table[table["n"] > 0] if "n" in table else table
    if rated.empty:
        return without(chart, "No stimulus has a rating yet.")
    values = whole_points(low, high)
    columns = [f"n_{value}" for value in values]
    if not values or not set(columns) <= set(rated.columns):
        return without(chart, "The scale has more points than bars can show.")
    rated = rated.sort_values("mos", kind="stable", ignore_index=True)
    labels = [subject.label(row) for row in records(rated)]
    names = [subject.label(row, short=True) for row in records(rated)]
    counts = rated[columns].to_numpy(float)
    share = 100 * counts / counts.sum(axis=1, keepdims=True)
    middle = (low + high) / 2
    weight = np.array(
        [1.0 if v < middle else 0.5 if v == middle else 0 for v in values]
    )
    start = -(share * weight).sum(axis=1)
    count = len(rated)
    figure, axes = row_figure(names, legend=True)
    place = np.arange(count)
    colours = matplotlib.colormaps["PuOr"](np.linspace(0.08, 0.92, len(columns)))
    left = start.copy()
    for k, value in enumerate(values):
        axes.barh(
            place, share[:, k], left=left, height=0.78, color=colours[k],
            edgecolor="white", linewidth=0.4, label=str(value),
        )  # fmt: skip
        if count <= MOST_WITH_LABELS:
            for at in place[share[:, k] >= 6]:
                axes.text(
                    left[at] + share[at, k] / 2, at, f"{counts[at, k]:g}",
                    ha="center", va="center", fontsize=6.5,
                    color=readable_on(colours[k]),
                )  # fmt: skip
        left = left + share[:, k]
    axes.axvline(0, color="#444", linewidth=0.8, zorder=0.5)
    axes.set_xlabel("share of ratings, % (numbers: ratings)")
    axes.xaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    axes.grid(axis="y", visible=False)
    row_axis(axes, names, "stimuli by MOS")
    figure.legend(
        *axes.get_legend_handles_labels(), ncols=len(columns),
        loc="outside upper right", title="rating", handlelength=1, columnspacing=1,
    )  # fmt: skip
    return finished(
        chart,
        figure,
        rated[
            [
                "stimulus",
                *(["is_reference"] if references(rated).any() else []),
                *columns,
            ]
        ].assign(label=labels)[::-1],
    )
