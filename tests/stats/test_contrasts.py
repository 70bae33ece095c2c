from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analysis.stats import contrasts
from analysis.stats.frame import validate
from analysis.stats.reliability import complete_block


@pytest.fixture
def votes(panel):
    return validate(panel).votes


@pytest.fixture
def table(votes):
    return contrasts.contrasts(votes.matrix(), list(votes.items))


def test_it_equals_scipy_and_r_on_28_pairs(table, vectors) -> None:
    assert len(table) == 28
    for row, expected in zip(
        table.to_dict("records"), vectors["pairwise.raw"], strict=True
    ):
        assert (row["a"], row["b"]) == (expected["a"], expected["b"])
        assert row["n_pairs"] == expected["n"]
        for ours, theirs in {
            "mean_diff": "diff",
            "sd_diff": "sd_diff",
            "t": "t",
            "p": "p_t",
            "p_wilcoxon": "p_pratt",
            "dz": "dz",
            "rank_biserial": "rank_biserial",
        }.items():
            assert row[ours] == pytest.approx(expected[theirs], rel=1e-8), ours
        assert [row["ci_low"], row["ci_high"]] == pytest.approx(
            expected["ci95"], rel=1e-8
        )
        assert row["dz_low"] < row["dz"] < row["dz_high"]


def test_it_adjusts_by_holm_as_r_does(table, vectors) -> None:
    np.testing.assert_allclose(table["p_holm"], vectors["pairwise.holm"]["t"])
    raw = np.array([pair["p_wilcoxon"] for pair in vectors["pairwise.raw"]])
    np.testing.assert_allclose(
        contrasts.holm(raw), vectors["pairwise.holm"]["wilcoxon"], rtol=1e-9
    )


def test_it_leaves_untestable_pairs_out_of_holms_count() -> None:
    adjusted = contrasts.holm(np.array([0.01, np.nan, 0.04]))
    assert adjusted == pytest.approx([0.02, np.nan, 0.04], nan_ok=True)


def test_it_inverts_the_noncentral_t_distribution(table) -> None:
    row = table.iloc[0]
    for end, tail in (("dz_low", 0.975), ("dz_high", 0.025)):
        shift = row[end] * np.sqrt(row["n_pairs"])
        assert stats.nct.cdf(row["t"], row["df"], shift) == pytest.approx(tail)


def test_it_gives_a_reason_and_no_p_where_nothing_varies() -> None:
    matrix = np.array([[3.0, 3, 4, np.nan], [2, 2, 3, np.nan], [5, 5, 5, 1]])
    table = contrasts.contrasts(matrix, list("abcd"), pairs=[(0, 1), (0, 2), (0, 3)])
    assert list(table["flags"]) == ["no_variation", "", "too_few_pairs"]
    untested = table.loc[[0, 2], ["t", "p", "p_holm", "ci_low", "dz", "dz_low"]]
    assert untested.isna().all(axis=None)
    assert np.isnan(table.loc[0, "p_wilcoxon"])


def test_it_refuses_a_family_of_more_than_500_pairs() -> None:
    with pytest.raises(contrasts.TooManyPairs, match="528 pairs in one family"):
        contrasts.contrasts(np.ones((3, 33)), range(33))


def test_it_equals_scipy_on_friedman_and_iman_davenport(votes, vectors) -> None:
    ours = contrasts.friedman(complete_block(votes))
    expected = vectors["friedman.complete"]
    assert ours["chi2"] == pytest.approx(expected["chi2"], rel=1e-9)
    assert ours["p"] == pytest.approx(expected["p"], rel=1e-9)
    assert ours["f"] == pytest.approx(expected["iman_davenport_F"], rel=1e-9)
    assert ours["f_p"] == pytest.approx(expected["iman_davenport_p"], rel=1e-9)
    assert ours["critical_difference"] == pytest.approx(
        vectors["friedman.nemenyi_CD"], rel=1e-5
    )


def test_it_equals_scikit_posthocs_on_nemenyi(votes, vectors) -> None:
    np.testing.assert_allclose(
        contrasts.nemenyi(complete_block(votes)),
        vectors["posthoc.nemenyi_friedman"],
        rtol=1e-6,
    )


def test_it_has_no_friedman_test_for_two_items() -> None:
    assert np.isnan(contrasts.friedman(np.ones((5, 2)))["chi2"])
