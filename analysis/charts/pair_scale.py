"""The scale that paired comparisons give."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.charts.drawing import (
    MOST_WITH_THUMBNAILS,
    OKABE_ITO,
    DrawnChart,
    file_stem,
    finished,
    picture_beside,
    row_axis,
    row_figure,
    titled,
    whiskers,
    without,
)
from analysis.charts.subject import Subject, records


def pair_scale(subject: Subject, table: pd.DataFrame, question: str = "") -> DrawnChart:
    """The scale that comparisons give, with intervals from resampled people."""
    chart = DrawnChart(
        file_stem("pair_scale", question),
        titled("Scale from the comparisons", question),
        "Bradley–Terry score in log odds, centred, ± 1.96 standard errors from "
        "resampling people (from the Fisher information where there are none).",
    )
    table = table[table["score"].notna()]
    if table.empty:
        return without(chart, "The comparisons do not give a scale yet.")
    table = table.sort_values(
        ["group", "score"], ascending=[False, True], kind="stable", ignore_index=True
    )
    labels = [subject.label(row) for row in records(table)]
    names = [subject.label(row, short=True) for row in records(table)]
    if table["group"].nunique() > 1:
        apart = "Groups that never met have a zero each: compare within a group only."
        chart = replace(chart, description=f"{chart.description} {apart}")
        names = [
            f"{name} (group {group})"
            for name, group in zip(names, table["group"], strict=True)
        ]
    count = len(table)
    pictures = count <= MOST_WITH_THUMBNAILS and bool(subject.thumbnails)
    figure, axes = row_figure(names, picture=pictures)
    place = np.arange(count)
    half = 1.96 * table["se_bootstrap"].fillna(table["se"])
    drawn = table.assign(ci_low=table["score"] - half, ci_high=table["score"] + half)
    whiskers(axes, drawn, place)
    axes.plot(table["score"], place, "o", color=OKABE_ITO[0], markersize=4)
    axes.axvline(0, color="#444", linewidth=0.8)
    axes.set_xlabel("score, log odds")
    row_axis(axes, names, "stimuli by score", picture=pictures)
    if pictures:
        for at, stimulus in zip(place, table["stimulus"], strict=True):
            picture_beside(axes, subject.thumbnails.get(str(stimulus)), float(at))
    columns = ["stimulus", "group", "score", "ci_low", "ci_high", "comparisons"]
    return finished(chart, figure, drawn[columns].assign(label=labels)[::-1])
