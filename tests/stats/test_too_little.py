"""What too few or too equal ratings cannot say is empty, and says why."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest

from analysis.stats import mixed, recovery, reliability
from analysis.stats.anova import repeated_measures
from analysis.stats.case import Options
from analysis.stats.frame import Ratings, validate
from analysis.stats.mos import mean_and_sd
from analysis.stats.report import Results, build

ERRORS = ("se", "mos_mle_se", "mos_mle_se_raters", "mos_recovered_se", "bias_se")


def panel(people: dict[str, list[float | None]]) -> Ratings:
    """Ratings of stimuli s0, s1, … by each person; None is planned and unanswered."""
    rows = [
        (name, f"s{k}", value)
        for name, values in people.items()
        for k, value in enumerate(values)
    ]
    return validate(pd.DataFrame(rows, columns=["participant", "stimulus", "rating"]))


def report(people: dict[str, list[float | None]], **options) -> Results:
    return build(panel(people), Options(resamples=99, **options))


def errors(made: Results) -> pd.Series:
    """Every standard error of the tables of people and stimuli."""
    tables = [made.tables[name] for name in ("mos_by_stimulus.csv", "raters.csv")]
    return pd.concat([t[name] for t in tables for name in ERRORS if name in t])


@pytest.mark.parametrize("method", recovery.METHODS)
@pytest.mark.parametrize(
    "people",
    [
        {"only": [3, 4, 2]},
        {f"P{k}": [value] for k, value in enumerate([1, 2, 3, 4, 5, 1])},
        {"A": [1, 5], "B": [2, None], "C": [None, 3]},
    ],
    ids=["one rater", "one stimulus", "one rating each"],
)
def test_no_error_is_nothing(people, method) -> None:
    made = report(people, recovery=method)
    found = errors(made).dropna()
    assert (found > 0.01).all(), found
    mos = made.tables["mos_by_stimulus.csv"]
    empty = mos[mos["mos_recovered_se"].isna()]
    assert (empty["flags"] != "").all()
    raters = made.tables["raters.csv"]
    once = raters["n"] == 1
    assert raters.loc[once, "flags"].str.contains("one_rating").all()
    if method == "p910":
        assert raters.loc[once, ["inconsistency", "bias_se"]].isna().all(axis=None)
        assert raters.loc[once, "flags"].str.contains("dominates_mle").all()


def test_an_error_from_people_is_empty_where_one_is_fitted_perfectly() -> None:
    # Few stimuli: the likelihood grows without bound on one person's ratings.
    people = {
        "A": [3, 3, 3, 3],
        "B": [2, 3, 4, 4],
        "C": [2, 3, 5, 5],
        "D": [2, 4, 5, 5],
        "E": [2, 2, 4, 5],
        "F": [1, 2, 3, 5],
    }
    made = report(people)
    raters = made.tables["raters.csv"].set_index("participant")
    perfect = raters["inconsistency"] < 1e-3
    assert perfect.any()
    assert raters.loc[perfect, "bias_se"].isna().all()
    assert (raters.loc[~perfect, "bias_se"] > 0).all()
    mos = made.tables["mos_by_stimulus.csv"]
    assert mos["mos_mle_se_raters"].isna().all()
    assert mos["flags"].str.contains("mle_collapsed").all()


def test_one_pair_of_ratings_is_no_test() -> None:
    table = report({"only": [3, 4, 2]}).tables["contrasts.csv"]
    tests = ["t", "p", "p_wilcoxon", "p_wilcoxon_holm", "rank_biserial"]
    assert table[tests].isna().all(axis=None)
    assert (table["flags"] == "too_few_pairs").all()


def test_equal_ratings_have_no_agreement() -> None:
    made = report({name: [3, 3, 3] for name in "ABC"})
    table = made.tables["reliability.csv"].set_index("statistic")
    assert table.loc[table.index.str.startswith("icc"), "value"].isna().all()
    alike = table[table["value"].isna()]
    assert (alike["note"] != "").all()
    assert table[["ci_low", "ci_high"]].isna().all(axis=None)
    assert errors(made).dropna().loc[lambda it: it > 0].empty  # SE of a MOS: SD is 0


def test_perfect_agreement_is_one_without_an_interval() -> None:
    made = report({name: [3, 4, 5, 1] for name in "ABC"})
    table = made.tables["reliability.csv"].set_index("statistic")
    ones = [f"icc_{form}_{unit}" for form in (1, 2, 3) for unit in "1k"]
    ones += [f"krippendorff_alpha_{metric}" for metric in reliability.METRICS]
    assert table.loc[[*ones, "split_half"], "value"].to_list() == pytest.approx(
        [1] * 11
    )
    assert table[["ci_low", "ci_high"]].isna().all(axis=None)
    components = table[table.index.str.endswith("components")]
    assert components["value"].isna().all()
    assert components["note"].str.contains("no noise").all()


def test_alpha_of_one_stimulus_is_empty() -> None:
    votes = panel({name: [k] for k, name in enumerate("ABCDE", 1)}).votes
    for metric in reliability.METRICS:
        alpha = reliability.krippendorff(votes, metric)
        assert np.isnan(alpha.value)
        assert alpha.note == "needs two stimuli with two ratings each"


def test_an_interval_of_the_icc_lies_around_it_or_is_empty_with_a_reason() -> None:
    rng = np.random.default_rng(7)
    empty = 0
    for _ in range(300):
        k, n = 2, int(rng.integers(3, 9))
        block = rng.integers(1, 6, (k, n)).astype(float)
        means, raters = block.mean(axis=0), block.mean(axis=1)
        msr = k * means.var(ddof=1)
        msc = n * raters.var(ddof=1)
        left = block - means - raters[:, None] + block.mean()
        mse = (left**2).sum() / ((n - 1) * (k - 1))
        for found in reliability.icc(block):
            if np.isnan(found.ci_low):
                assert np.isnan(found.ci_high) and found.note
                empty += 1
            else:
                assert found.ci_low <= found.value <= found.ci_high
                assert found.note == ""
            variance = msr + (msc - mse) / n  # of a mean of k
            if found.statistic == "icc_2_k" and abs(variance) > 1e-6:
                expected = (msr - mse) / variance
                assert found.value == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert empty


def test_no_degrees_of_freedom_are_no_overflow() -> None:
    """There the quantiles of F lie beyond all floats; the suite fails on a warning."""
    block = np.array([[0.0, 77], [100, 43]])
    found = {it.statistic: it for it in reliability.icc(block)}
    assert len(found) == 6
    for it in found.values():
        assert np.isnan(it.ci_low) or it.ci_low <= it.value <= it.ci_high <= 1


def test_people_who_never_answered_are_in_no_half_and_no_count() -> None:
    rng = np.random.default_rng(4)
    quality = np.array([1.5, 2.5, 3, 4, 4.5])
    answers = np.clip(np.rint(quality + rng.normal(0, 0.8, (8, 5))), 1, 5)
    people = {f"P{k}": list(row) for k, row in enumerate(answers)}
    absent = {f"Q{k}": [None] * 5 for k in range(8)}
    votes, same = panel(people | absent).votes, panel(people).votes
    for statistic in (reliability.split_half, reliability.mean_pairwise_pearson):
        with_them, without = asdict(statistic(votes)), asdict(statistic(same))
        assert with_them.pop("note") == without.pop("note")
        assert with_them.pop("statistic") == without.pop("statistic")
        assert with_them == pytest.approx(without, rel=1e-12, nan_ok=True)
        assert with_them["n_raters"] == 8


def test_ratings_explained_exactly_have_no_model_and_no_f() -> None:
    y = np.array([2.0, 3, 4, 3, 4, 5, 1, 2, 3])  # person + level, nothing else
    x = np.column_stack([np.ones(9), np.tile([0.0, 1, 2], 3)])
    with pytest.raises(mixed.NotEstimable, match="explain every rating exactly"):
        mixed.linear_mixed(y, x, np.repeat([0, 1, 2], 3))
    thirds = np.array([[[1, 2], [2, 3]], [[2, 3], [3, 4]], [[4, 5], [5, 6]]]) / 3
    assert repeated_measures(thirds)["f"].isna().all()


def test_a_unanimous_mean_of_thirds_has_no_spread() -> None:
    votes = panel({f"P{k}": [3] for k in range(7)}).votes
    thirds = replace(votes, rating=np.full(7, 7 / 3))
    assert mean_and_sd(thirds)[1].tolist() == [0]
