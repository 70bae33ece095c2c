"""Equal on paper is equal: rankings of averaged ratings against whole numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.stats import anova, contrasts, metrics, pairs, reliability
from analysis.stats.factors import level_matrix
from analysis.stats.frame import Ratings, validate

# 5.3 added up in three orders of ratings in tenths: one number, two floats.
TENTHS = np.array([[1.1, 1.9, 2.3], [2.3, 1.9, 1.1], [1.9, 2.3, 1.1]])


def panel(pictures: int, seed: int) -> Ratings:
    """24 people who rated so many pictures of each of two styles."""
    rng = np.random.default_rng(seed)
    rows = [
        (f"P{p}", f"{style}{k}", int(rng.integers(1, 6 - (style == "B"))), style)
        for p in range(24)
        for style in "AB"
        for k in range(pictures)
    ]
    return validate(
        pd.DataFrame(rows, columns=["participant", "stimulus", "rating", "style"])
    )


@pytest.mark.parametrize("pictures", [3, 5, 6, 7])
@pytest.mark.parametrize("seed", range(5))
def test_wilcoxon_of_means_equals_scipys_of_sums(pictures, seed) -> None:
    ratings = panel(pictures, seed)
    matrix, levels = level_matrix(ratings.votes, ratings, "style")
    row = contrasts.contrasts(matrix, levels).iloc[0]
    sums = np.rint(matrix * pictures)
    d = sums[:, 0] - sums[:, 1]
    reference = stats.wilcoxon(
        d, zero_method="pratt", correction=False, method="asymptotic"
    )
    assert row["p_wilcoxon"] == pytest.approx(reference.pvalue, rel=1e-12)
    rank = stats.rankdata(np.abs(d))
    assert row["wilcoxon_w_plus"] == rank[d > 0].sum()
    alone = stats.rankdata(np.abs(d[d != 0]))
    expected = (alone * np.sign(d[d != 0])).sum() / alone.sum()
    assert row["rank_biserial"] == pytest.approx(expected, rel=1e-12)


def test_equal_differences_have_no_variation_and_no_test() -> None:
    # Every person is a third above: 3 - 8/3 and 2 - 5/3 are two floats.
    matrix = np.array([[3.0, 8 / 3], [2.0, 5 / 3], [10 / 3, 3.0], [4 / 3, 1.0]])
    row = contrasts.contrasts(matrix, ["a", "b"]).iloc[0]
    assert row["flags"] == "no_variation"
    assert np.isnan([row["t"], row["p"], row["ci_low"], row["dz"]]).all()
    same = contrasts.contrasts(np.array([[0.1 + 0.2, 0.3]] * 4), ["a", "b"]).iloc[0]
    assert same["dominance"] == 0
    assert np.isnan(same["p_wilcoxon"])


def test_ranks_of_blocks_see_ties_of_means() -> None:
    rng = np.random.default_rng(3)
    whole = rng.integers(3, 9, (9, 4))
    averaged = np.nextafter(whole / 3, rng.choice([-9.0, 9.0], whole.shape))
    expected = stats.friedmanchisquare(*whole.T)
    assert contrasts.friedman(averaged)["chi2"] == pytest.approx(expected.statistic)
    w = expected.statistic / (9 * 3)
    assert reliability.kendall_w(averaged).value == pytest.approx(w)
    np.testing.assert_allclose(
        contrasts.nemenyi(averaged), contrasts.nemenyi(whole.astype(float))
    )
    pd.testing.assert_frame_equal(
        anova.aligned_ranks(averaged.reshape(9, 2, 2)),
        anova.aligned_ranks(3 * averaged.reshape(9, 2, 2)),
    )


def test_a_metric_of_any_unit_keeps_its_ranks_and_its_ties() -> None:
    mos = TENTHS.sum(axis=1) / 3
    assert len(set(mos)) > 1
    y = np.concatenate([mos, np.arange(1, 10) / 4])
    for unit in (1e-15, 1.0, 1e12):
        x = unit * np.concatenate([TENTHS.sum(axis=1), np.arange(1, 10)])
        found = metrics.agreement(x, y, np.ones(12), mapping="none")
        tidy = np.concatenate([[53] * 3, 10 * np.arange(1, 10)])
        rho = stats.spearmanr(tidy, np.concatenate([[53 / 30] * 3, y[3:]]))
        assert found.srocc == pytest.approx(rho.statistic, rel=1e-12)


def test_ratings_compared_within_a_person_tie_on_paper() -> None:
    rows = [
        ("P", stimulus, value)
        for stimulus, values in zip("abc", TENTHS, strict=True)
        for value in values
    ]
    frame = pd.DataFrame(rows, columns=["participant", "stimulus", "rating"])
    tenfold = frame.assign(rating=(frame["rating"] * 10).round())
    whole = validate(tenfold, scale=(1, 50), repeats="votes").votes
    votes = replace(whole, rating=frame["rating"].to_numpy())
    averaged = [votes.rating[votes.item == k].sum() / 3 for k in range(3)]
    assert len(set(averaged)) > 1
    assert (pairs.wins_from_ratings(votes)[0] == 0.5 * (1 - np.eye(3))).all()
