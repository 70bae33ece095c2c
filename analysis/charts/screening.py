"""The MOS under every screening rule."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.charts.drawing import (
    MARKERS,
    OKABE_ITO,
    DrawnChart,
    file_stem,
    finished,
    row_axis,
    row_figure,
    score_axis,
    titled,
    without,
)
from analysis.charts.subject import Subject, records
from analysis.stats.rules import RULES, column_part

LABELS = {column_part(name): rule.label for name, rule in RULES.items()}


def screening(subject: Subject, table: pd.DataFrame, question: str = "") -> DrawnChart:
    """The MOS before and after each screening rule."""
    chart = DrawnChart(
        file_stem("screening", question),
        titled("MOS before and after screening", question),
        "What each rule would change if it left out whom it rejects. Nobody is left "
        "out by this chart.",
    )
    rules = [
        name.removeprefix("mos_") for name in table.columns if name.startswith("mos_")
    ]
    if table.empty or not rules or table["mos_none"].isna().all():
        return without(chart, "No stimulus has a rating yet.")
    sorted_table = table.sort_values("mos_none", kind="stable", ignore_index=True)
    sorted_table = sorted_table.dropna(subset=["mos_none"])
    stimuli = records(subject.table("mos_by_stimulus.csv"))
    by_code = {str(row["stimulus"]): subject.label(row, short=True) for row in stimuli}
    names = [by_code.get(str(code), str(code)) for code in sorted_table["stimulus"]]
    figure, axes = row_figure(names, legend=True)
    place = np.arange(len(names))
    for k, rule in enumerate(rules):
        shift = 0.5 * ((k + 0.5) / len(rules) - 0.5)
        axes.plot(
            sorted_table[f"mos_{rule}"], place + shift, MARKERS[k % len(MARKERS)],
            color=OKABE_ITO[k % len(OKABE_ITO)], markersize=3.5,
            label=LABELS.get(rule, rule),
        )  # fmt: skip
    score_axis(axes, subject, "MOS")
    row_axis(axes, names, "stimuli by MOS")
    figure.legend(
        *axes.get_legend_handles_labels(), ncols=min(3, len(rules)),
        loc="outside upper right", handlelength=1,
    )  # fmt: skip
    return finished(chart, figure, sorted_table[::-1])
