"""Several questions: nothing mixes two, and how far they measured the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from analysis.stats import factors
from analysis.stats.case import Options
from analysis.stats.frame import validate
from analysis.stats.questions import correlations
from analysis.stats.report import build

KEYS = ["participant", "stimulus"]


def rows(people: int = 12, stimuli: int = 10) -> pd.DataFrame:
    """Two questions of one picture that have the picture in common, and noise."""
    rng = np.random.default_rng(5)
    good = rng.uniform(1.5, 4.5, stimuli)
    found: list[dict[str, Any]] = []
    for person in range(people):
        for k in range(stimuli):
            shared = rng.normal(0, 0.5)
            for question in ("style", "content"):
                told = good[k] + shared + rng.normal(0, 0.6)
                found.append(
                    {
                        "participant": f"p{person}", "stimulus": f"s{k}",
                        "question": question, "trial": k + 1, "layer": k % 2,
                        "alpha": k % 5, "rating": int(np.clip(np.rint(told), 1, 5)),
                    }
                )  # fmt: skip
    return pd.DataFrame(found)


def test_correlations_of_the_mos_are_those_of_the_plain_means() -> None:
    """And SciPy's own interval; Spearman's with the error of Bonett and Wright."""
    frame = rows()
    table = correlations(validate(frame), resamples=200).set_index("statistic")
    means = frame.groupby(["question", "stimulus"])["rating"].mean().unstack(0)
    pearson = scipy.stats.pearsonr(means["style"], means["content"])
    row = table.loc["pearson_mos"]
    assert (row["a"], row["b"], row["n"], row["n_participants"]) == (
        "style", "content", 10, 12
    )  # fmt: skip
    assert row["value"] == pytest.approx(pearson.statistic)
    ends = pearson.confidence_interval(0.95)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((ends.low, ends.high))
    assert row["people_low"] < row["value"]
    rho = scipy.stats.spearmanr(means["style"], means["content"]).statistic
    row = table.loc["spearman_mos"]
    assert row["value"] == pytest.approx(rho)
    half = scipy.stats.norm.ppf(0.975) * ((1 + rho**2 / 2) / 7) ** 0.5
    assert row["ci_high"] == pytest.approx(np.tanh(np.arctanh(rho) + half))


def test_the_correlation_within_people_is_that_of_an_analysis_of_covariance() -> None:
    """Its definition: √(SS of the slope / (SS of the slope + SS of the error)), people
    as a factor (Bakdash and Marusich 2017)."""
    frame = rows()
    wide = frame.pivot(index=KEYS, columns="question", values="rating").reset_index()
    dummies = pd.get_dummies(wide["participant"]).to_numpy(float)
    y = wide["content"].to_numpy(float)
    whole = np.column_stack([dummies, wide["style"].to_numpy(float)])
    slope, *_ = np.linalg.lstsq(whole, y, rcond=None)
    error = ((y - whole @ slope) ** 2).sum()
    alone, *_ = np.linalg.lstsq(dummies, y, rcond=None)
    explained = ((y - dummies @ alone) ** 2).sum() - error
    expected = np.sqrt(explained / (explained + error)) * np.sign(slope[-1])
    row = correlations(validate(frame), resamples=0).set_index("statistic").loc[
        "within_people"
    ]  # fmt: skip
    assert row["value"] == pytest.approx(expected)
    assert row["n"] == 120
    free = 120 - 12 - 1
    half = scipy.stats.norm.ppf(0.975) / (free - 1) ** 0.5
    assert row["ci_low"] == pytest.approx(np.tanh(np.arctanh(expected) - half))


def test_what_does_not_vary_or_is_too_little_has_a_note_and_no_number() -> None:
    alike = rows()
    alike.loc[alike["question"] == "style", "rating"] = 3
    one = rows(people=3, stimuli=1)
    for frame in (alike, one):
        table = correlations(validate(frame), resamples=20)
        assert table[["value", "ci_low", "people_low"]].isna().all().all()
        assert (table["note"] != "").all()
    same = rows()
    same["rating"] = same.groupby(KEYS)["rating"].transform("first")
    table = correlations(validate(same), resamples=20)
    assert table["value"].tolist() == pytest.approx([1, 1, 1])
    assert table[["ci_low", "people_low"]].isna().all().all()
    assert table["note"].str.contains("line").all()


def test_every_table_has_the_same_rows_as_if_each_question_were_asked_alone() -> None:
    frame = rows()
    asked = Options(by=("layer", "alpha"), model=("layer", "alpha"), resamples=30)
    both = build(validate(frame), asked).tables
    alone = {
        question: build(validate(part.drop(columns="question")), asked).tables
        for question, part in frame.groupby("question")
    }
    assert set(both) - {"question_correlations.csv"} == set(alone["style"])
    for name in set(alone["style"]):
        assert both[name]["question"].nunique() == 2, name
        for question, tables in alone.items():
            part = both[name][both[name]["question"] == question]
            pd.testing.assert_frame_equal(
                part.drop(columns="question").reset_index(drop=True),
                tables[name],
                check_dtype=False,
                check_exact=False,
                rtol=1e-9,
                obj=name,
            )


def test_order_effects_of_a_question_know_nothing_of_the_other() -> None:
    """Tiring on one question must not be seen in the other."""
    frame = rows(people=20)
    tired = frame["question"] == "style"
    frame.loc[tired, "rating"] = np.clip(6 - frame["trial"], 1, 5)
    fatigue = build(validate(frame), Options(resamples=20)).tables["order_effects.csv"]
    fatigue = fatigue.query("effect == 'fatigue'").set_index("question")["estimate"]
    part = frame[~tired].drop(columns="question")
    alone = factors.order_effects(validate(part)).set_index("effect")["estimate"]
    assert fatigue["content"] == pytest.approx(alone["fatigue"])


def test_references_are_in_no_correlation_and_one_question_has_none() -> None:
    frame = rows()
    plain = build(validate(frame), Options(resamples=20)).tables
    original = frame[frame["stimulus"] == "s0"].assign(stimulus="s99", rating=5)
    hidden = pd.concat([frame, original]).assign(
        is_reference=lambda it: it["stimulus"] == "s99"
    )
    found = build(validate(hidden), Options(resamples=20)).tables
    pd.testing.assert_frame_equal(
        found["question_correlations.csv"], plain["question_correlations.csv"]
    )
    one = build(validate(frame[frame["question"] == "style"]), Options(resamples=20))
    assert "question_correlations.csv" not in one.tables
