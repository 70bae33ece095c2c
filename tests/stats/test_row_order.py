"""The same rows in another order make the same report."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis.stats import pairs
from analysis.stats.case import Options
from analysis.stats.frame import validate
from analysis.stats.report import build

KEYS = {
    "mos_by_stimulus.csv": ["stimulus"],
    "mos_by_condition.csv": ["style", "size"],
    "raters.csv": ["participant"],
    "reliability.csv": ["statistic"],
}


def rows(question: bool) -> pd.DataFrame:
    """Fourteen people on nine pictures, one answer in five missing."""
    rng = np.random.default_rng(6)
    frame = pd.DataFrame(
        [
            (f"P{p}", f"S{s}", int(np.clip(np.rint(rng.normal(2 + s / 4, 1)), 1, 5)))
            for p in range(14)
            for s in range(9)
            if rng.random() < 0.8
        ],
        columns=["participant", "stimulus", "rating"],
    )
    number = frame["stimulus"].str[1:].astype(int)
    frame = frame.assign(style=number.map(lambda it: "abc"[it % 3]), size=number // 3)
    return frame.assign(question="beauty") if question else frame


@pytest.mark.parametrize("ci", ["percentile", "bca"])
@pytest.mark.parametrize("question", [False, True], ids=["one", "named"])
def test_no_interval_depends_on_the_order_of_rows(ci, question) -> None:
    frame = rows(question)
    options = Options(
        ci_method=ci,
        condition_ci="cluster_bootstrap",
        by=("style", "size"),
        resamples=99,
    )
    first = build(validate(frame), options).tables
    for seed in (1, 2):
        shuffled = frame.sample(frac=1, random_state=seed)
        again = build(validate(shuffled), options).tables
        for name, keys in KEYS.items():
            one, other = (
                tables[name].sort_values(keys, ignore_index=True)
                for tables in (first, again)
            )
            pd.testing.assert_frame_equal(
                one, other[one.columns], check_exact=False, rtol=1e-6, atol=1e-9
            )


def test_no_error_of_a_scale_depends_on_the_order_of_rows() -> None:
    frame = rows(question=False)
    choices = frame.merge(frame, on="participant", suffixes=("", "_b"))
    choices = choices[choices["stimulus"] < choices["stimulus_b"]].rename(
        columns={"stimulus_b": "second"}
    )
    up = choices["rating"] - choices["rating_b"]
    choices["choice"] = np.select([up > 0, up < 0], ["first", "second"], "tie")
    scales = []
    for seed in range(3):
        shuffled = choices.sample(frac=1, random_state=seed)
        table, _ = pairs.scale_tables(shuffled, resamples=30)
        by_ratings = validate(frame.sample(frac=1, random_state=seed)).votes
        scale = pairs.fit(
            pairs.wins_from_ratings(by_ratings), by_ratings.items, resamples=30
        ).table()
        for it in (table, scale):
            scales.append(it.set_index("stimulus").sort_index()["se_bootstrap"])
    for other in scales[1:]:
        # Compared within people, ratings are those same choices.
        np.testing.assert_allclose(other, scales[0], rtol=1e-4)
