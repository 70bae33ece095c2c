"""Differences between stimuli and between levels, with their intervals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.charts.drawing import (
    OKABE_ITO,
    DrawnChart,
    file_stem,
    finished,
    row_axis,
    row_figure,
    titled,
    whiskers,
    without,
)
from analysis.charts.subject import Subject, factor_word, level, records
from analysis.stats.contrasts import AGAINST_REFERENCES

MOST_CONTRASTS = 40


def contrasts(subject: Subject, table: pd.DataFrame, question: str = "") -> DrawnChart:
    """Differences with their intervals; which ones last after Holm."""
    chart = DrawnChart(
        file_stem("contrasts", question),
        titled("Differences", question),
        f"Mean difference a − b of people who rated both, with its {subject.interval}. "
        "Filled: Holm-corrected p below "
        f"{1 - subject.level:.2g} in its family; open: not.",
    )
    known = table.dropna(subset=["mean_diff"]) if "mean_diff" in table else table
    if known.empty:
        return without(chart, "Nobody has rated two stimuli, so nothing is compared.")
    # Levels of factors first: they are few, and what was asked.
    order = pd.DataFrame(
        {
            "stimuli": known["family"].str.startswith("stimulus:") * 2
            + known["family"].str.startswith(f"{AGAINST_REFERENCES}:"),
            "size": -known["mean_diff"].abs(),
        }
    ).sort_values(["stimuli", "size"], kind="stable")
    kept = known.loc[order.index]
    left = len(kept) - MOST_CONTRASTS
    kept = kept.head(MOST_CONTRASTS)[::-1].reset_index(drop=True)
    if left > 0:
        chart = replace(
            chart,
            description=f"{chart.description} The levels of factors, then the "
            f"hidden references, then the largest: {MOST_CONTRASTS} of {len(known)}; "
            "contrasts.csv has all.",
        )
    by_code = {
        str(row["stimulus"]): subject.label(row, short=True)
        for row in records(subject.table("mos_by_stimulus.csv"))
    }
    names = []
    for a, b, family in zip(kept["a"], kept["b"], kept["family"], strict=True):
        factor = family.split(":")[0]
        if factor in ("stimulus", AGAINST_REFERENCES):
            names.append(f"{by_code.get(str(a), a)}\n−  {by_code.get(str(b), b)}")
        else:
            names.append(f"{factor_word(factor)}: {level(a)}  −  {level(b)}")
    figure, axes = row_figure(names)
    place = np.arange(len(kept))
    whiskers(axes, kept, place)
    lasting = (kept["p_holm"] < 1 - subject.level).to_numpy()
    for chosen, fill, text in (
        (lasting, OKABE_ITO[1], "lasts"),
        (~lasting, "white", ""),
    ):
        axes.plot(
            kept["mean_diff"][chosen], place[chosen], "o", markersize=4.5,
            markerfacecolor=fill, markeredgecolor=OKABE_ITO[1], label=text,
        )  # fmt: skip
    axes.axvline(0, color="#444", linewidth=0.8)
    axes.set_xlabel("mean difference, rating points")
    row_axis(axes, names, "pairs")
    columns = [
        "a",
        "b",
        "n_pairs",
        "mean_diff",
        "ci_low",
        "ci_high",
        "p_holm",
        "family",
    ]
    return finished(chart, figure, kept[columns][::-1])
