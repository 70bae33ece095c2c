from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from analysis.stats import screening
from analysis.stats.frame import validate

READINGS = {
    "reference": (
        "sureal (sigma ddof=0, >=, unanimous counted, denominator=all stimuli)"
    ),
    "recommendation": (
        "BT.500 text (N-1), unanimous skipped, denominator=stimuli the subject rated"
    ),
}


@pytest.mark.parametrize(
    ("reading", "block"),
    [("recommendation", "bt500_text"), ("reference", "ddof0_variant")],
)
def test_it_rejects_others_under_each_reading_of_bt500(
    reading, block, vectors_dir
) -> None:
    votes = validate(pd.read_csv(vectors_dir / "vectors_bt500.csv")).votes
    expected = json.loads((vectors_dir / "vectors_bt500_expected.json").read_text())[
        block
    ]
    table = screening.bt500(votes, reading=reading)
    assert list(table["p"]) == expected["P"]
    assert list(table["q"]) == expected["Q"]
    rejected = [f"R{number:02d}" for number in expected["rejected"]]
    assert list(table.index[table["rejected"]]) == rejected
    np.testing.assert_allclose(table["stat1"], np.array(expected["stat1"], float))
    np.testing.assert_allclose(table["stat2"], np.array(expected["stat2"], float))


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("name", ["nflx_public", "nflx_public_last4outliers"])
def test_it_counts_as_the_two_readings_do_on_public_sets(
    name, reading, rating_sets
) -> None:
    votes = validate(pd.read_csv(rating_sets / f"{name}.csv")).votes
    block = json.loads((rating_sets / "bt500_variants.json").read_text())[name]
    expected = block["variants"][READINGS[reading]]
    table = screening.bt500(votes, reading=reading).loc[block["subjects"]]
    assert list(table["p"]) == expected["P"]
    assert list(table["q"]) == expected["Q"]
    assert list(table.index[table["rejected"]]) == expected["rejected"]


def test_it_rejects_nobody_where_it_would_reject_everybody() -> None:
    # Two people always on opposite sides: under the reference reading each is an
    # extreme of both kinds on the unanimous pictures that make up the test.
    frame = pd.DataFrame(
        {"participant": list("AB") * 20, "stimulus": np.repeat(range(20), 2)}
    ).assign(rating=3)
    table = screening.bt500(validate(frame).votes, reading="reference")
    assert (table["p"] == 20).all()
    assert not table["rejected"].any()


def test_it_skips_unanimous_stimuli_as_the_recommendation_reads() -> None:
    frame = pd.DataFrame({"participant": list("ABC"), "stimulus": "S", "rating": 5})
    table = screening.bt500(validate(frame).votes)
    assert (table[["p", "q"]] == 0).all(axis=None)
    assert table["stat2"].isna().all()


def test_it_knows_no_third_reading(panel) -> None:
    with pytest.raises(ValueError, match="recommendation or reference"):
        screening.bt500(validate(panel).votes, reading="mine")


@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_it_rejects_low_correlations_as_the_reference_does(
    method, panel, vectors
) -> None:
    table = screening.correlation_screen(validate(panel).votes, method=method)
    expected = vectors[f"screen.corr_{method}_sureal"]
    assert table["r"].to_dict() == pytest.approx(expected["r"], rel=1e-9)
    assert table["rejected"].to_dict() == expected["rejected"]


def test_it_correlates_with_the_mean_of_the_others(panel, vectors) -> None:
    table = screening.leave_one_out(validate(panel).votes)
    expected = vectors["screen.corr_leave_one_out"]
    assert table["r_loo"].to_dict() == pytest.approx(expected["pearson"], rel=1e-9)
    assert table["rho_loo"].to_dict() == pytest.approx(expected["spearman"], rel=1e-9)


def test_it_discards_one_at_a_time_worst_first(panel, vectors) -> None:
    table = screening.p913_correlation(validate(panel).votes)
    expected = vectors["screen.p913_r1_iterative"]
    removed = table[table["rejected"]].sort_values("order")
    assert list(removed.index) == [name for name, _ in expected["removed_in_order"]]
    assert list(removed["r"]) == pytest.approx(
        [r for _, r in expected["removed_in_order"]], rel=1e-9
    )
    kept = table[~table["rejected"]]
    assert kept["r"].to_dict() == pytest.approx(expected["r1_final"], rel=1e-9)


def test_it_gives_no_verdict_on_a_constant_rater_or_few_ratings(panel) -> None:
    panel.loc[panel["participant"] == "R11", "rating"] = 4
    panel = panel[(panel["participant"] != "R12") | (panel["trial"] <= 4)]
    table = screening.p913_correlation(validate(panel).votes)
    assert table.loc[["R11", "R12"], "undecided"].all()
    assert not table.loc[["R11", "R12"], "rejected"].any()
    assert np.isnan(table.loc["R11", "r"])


def test_it_finds_straight_lines_and_haste_in_presentation_order(
    panel, vectors
) -> None:
    table = screening.attention(validate(panel.sample(frac=1, random_state=0)))
    for rater, expected in vectors["careless.longstring_irv_rt"].items():
        row = table.loc[rater]
        assert row["longstring"] == expected["longstring"]
        assert row["irv"] == pytest.approx(expected["irv"], rel=1e-9)
        assert row["median_response_ms"] == expected["median_rt_ms"]
        assert row["share_modal"] == pytest.approx(expected["share_modal"])
    hasty = screening.attention(validate(panel), fast_ms=700).loc["R11"]
    assert hasty["share_fast"] == 3 / 8


def test_it_counts_catch_trials_passed_and_repeats_that_differ() -> None:
    rows = [
        ("A", "s", 5, "rating", None),
        ("A", "s", 3, "repeat", None),
        ("A", "c", 1, "catch", 1),
        ("A", "d", 4, "catch", 2),
        ("B", "s", 4, "rating", None),
    ]
    frame = pd.DataFrame(
        rows, columns=["participant", "stimulus", "rating", "kind", "expected"]
    )
    table = screening.attention(validate(frame))
    assert list(table.loc["A", ["traps_passed", "traps_total"]]) == [1, 2]
    assert table.loc["A", "retest_difference"] == 2
    assert table.loc["B", ["traps_total", "retest_difference"]].isna().all()


def test_it_does_not_let_a_correlation_reject_everybody() -> None:
    rows = [("A", s, r) for s, r in enumerate((1, 2, 3, 2, 1))]
    rows += [("B", s, r) for s, r in enumerate((3, 1, 2, 3, 1))]
    frame = pd.DataFrame(rows, columns=["participant", "stimulus", "rating"])
    table = screening.correlation_screen(validate(frame).votes)
    assert not table["rejected"].all()
