from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from analysis.stats import flags, intervals
from analysis.stats.frame import validate
from analysis.stats.mos import dmos, mos_table


def rated(*ratings: float) -> pd.Series:
    """The MOS row of one stimulus with these ratings."""
    frame = pd.DataFrame({"stimulus": "A", "rating": list(ratings)})
    frame["participant"] = [f"P{i}" for i in range(len(frame))]
    return mos_table(validate(frame)).iloc[0]


def test_it_equals_scipy_and_r_on_the_panel(panel, vectors) -> None:
    table = mos_table(validate(panel)).set_index("stimulus")
    for stimulus, expected in vectors["mos.basic"].items():
        row = table.loc[stimulus]
        assert row[["n", "mos", "sd", "se"]].to_list() == pytest.approx(
            [expected[k] for k in ("n", "mos", "sd", "se")], rel=1e-9
        )
        assert row[["ci_low", "ci_high"]].to_list() == pytest.approx(
            vectors["mos.ci95_t"][stimulus], rel=1e-9
        )
    assert table["n_missing"].sum() == 5


@pytest.mark.parametrize(
    "name", ["nflx_public", "nflx_public_last4outliers", "tiny_full"]
)
def test_it_equals_other_libraries_on_public_sets(name, rating_sets) -> None:
    expected = json.loads((rating_sets / f"{name}_independent.json").read_text())
    frame = pd.read_csv(rating_sets / f"{name}.csv")
    table = mos_table(validate(frame)).set_index("stimulus").loc[expected["stimuli"]]
    for ours, theirs in {
        "n": "n",
        "mos": "mos",
        "sd": "sd_ddof1",
        "ci_half_width": "ci95_halfwidth_student_t",
    }.items():
        # A unanimous picture has no interval here, and one of width 0 there.
        known = table[ours].notna().to_numpy()
        assert table[ours][known].to_list() == pytest.approx(
            np.array(expected[theirs])[known].tolist(), rel=1e-9
        )
    counts = table[[f"n_{k}" for k in range(1, 6)]].to_numpy()
    assert counts.tolist() == expected["counts_1_to_5"]


def test_it_gives_bt500_intervals_under_the_name_z(panel, vectors) -> None:
    table = mos_table(validate(panel), ci_method="z").set_index("stimulus")
    for stimulus, ends in vectors["mos.ci95_z196"].items():
        assert table.loc[stimulus, ["ci_low", "ci_high"]].to_list() == pytest.approx(
            ends, rel=1e-9
        )


def test_it_equals_numpy_and_r_on_the_ordinal_summary(panel, vectors) -> None:
    table = mos_table(validate(panel)).set_index("stimulus")
    for stimulus, expected in vectors["ordinal.summary"].items():
        row = table.loc[stimulus]
        assert [row[f"n_{k}"] for k in range(1, 6)] == expected["counts"]
        assert [row[k] for k in ("median", "q1", "q3")] == [
            expected[k] for k in ("median", "q1", "q3")
        ]
        assert row["mode"] == "|".join(map(str, expected["mode"]))
    assert table["consensus"].to_dict() == pytest.approx(
        vectors["ordinal.tastle_wierman_consensus"], rel=1e-9
    )


@pytest.mark.parametrize("name", ["gob", "pow"])
def test_it_equals_statsmodels_and_r_on_proportions(name, panel, vectors) -> None:
    table = mos_table(validate(panel)).set_index("stimulus")
    for stimulus, expected in vectors[f"proportion.{name}"].items():
        row = table.loc[stimulus]
        assert row[f"p_{name}"] == pytest.approx(expected["k"] / expected["n"])
        ends = [row[f"p_{name}_low"], row[f"p_{name}_high"]]
        assert ends == pytest.approx(expected["wilson"], rel=1e-7)


def test_it_leaves_sd_and_interval_empty_for_one_rating() -> None:
    row = rated(4)
    assert row["mos"] == 4
    assert row[["sd", "se", "ci_low", "ci_high", "ci_half_width"]].isna().all()
    assert row["flags"] == "n_too_small"


def test_it_gives_a_unanimous_picture_sd_0_and_no_interval() -> None:
    row = rated(5, 5, 5, 5, 5)
    assert (row["mos"], row["sd"], row["se"]) == (5, 0, 0)
    assert row[["ci_low", "ci_high"]].isna().all()
    assert row["flags"] == "zero_variance"
    assert (row["p_gob"], row["p_gob_high"], row["consensus"]) == (1, 1, 1)


def test_it_computes_nothing_where_nobody_answered() -> None:
    row = rated(np.nan, np.nan)
    assert (row["n"], row["n_missing"], row["flags"]) == (0, 2, "no_ratings")
    computed = row.drop(["stimulus", "ci_level", "ci_method", "flags"])
    assert computed.filter(regex="^(?!n_|n$)").isna().all()


def test_it_does_not_clip_the_interval_to_the_scale() -> None:
    row = rated(3, 5)
    assert [row["ci_low"], row["ci_high"]] == pytest.approx(
        [-8.706204736174694, 16.706204736174694], rel=1e-12
    )


def test_it_gives_one_row_per_stimulus_and_question_in_order_of_appearance() -> None:
    frame = pd.DataFrame(
        {
            "participant": ["P1"] * 4,
            "stimulus": ["B", "B", "A", "A"],
            "question": ["style", "content", "style", "content"],
            "rating": [1, 2, 3, 4],
            "alpha": [1.0, 1.0, 2.0, 2.0],
            "mood": ["x", "y", "x", "x"],
        }
    )
    table = mos_table(validate(frame))
    assert table[["stimulus", "question", "alpha", "mos"]].values.tolist() == [
        ["B", "style", 1.0, 1],
        ["B", "content", 1.0, 2],
        ["A", "style", 2.0, 3],
        ["A", "content", 2.0, 4],
    ]
    assert "mood" not in table  # it varies within B: no factor of the stimulus


def test_it_says_when_repeats_were_averaged() -> None:
    frame = pd.DataFrame(
        {"participant": ["P", "P", "Q"], "stimulus": "A", "rating": [4, 5, 3]}
    )
    row = mos_table(validate(frame)).iloc[0]
    assert (row["n"], row["mos"], row["n_4"] + row["n_5"]) == (2, 3.75, 2)
    assert row["flags"] == "repeats_averaged"


def test_it_explains_every_flag_in_a_sentence(panel) -> None:
    assert all(sentence.endswith(".") for sentence in flags.MEANINGS.values())
    assert len(mos_table(validate(panel.iloc[:0]))) == 0


def ends(table: pd.DataFrame, stimulus: str) -> list[float]:
    return table.loc[stimulus, ["ci_low", "ci_high"]].to_list()


def test_it_gives_the_bounded_binomial_interval_or_refuses_it(panel, vectors) -> None:
    table = mos_table(validate(panel), ci_method="binomial").set_index("stimulus")
    basic = vectors["mos.basic"]
    for stimulus, expected in vectors["mos.ci95_binomial_hossfeld_cp"].items():
        n, mos, sd = (basic[stimulus][k] for k in ("n", "mos", "sd"))
        if sd**2 * (n - 1) / n <= (mos - 1) * (5 - mos) / 4:  # SOS a ≤ 0.25
            assert ends(table, stimulus) == pytest.approx(expected, rel=1e-7)
        else:
            assert np.isnan(ends(table, stimulus)).all()
            assert table.loc[stimulus, "flags"] == "binomial_refused"
    assert 0 < (table["flags"] == "binomial_refused").sum() < len(table)


def test_it_bounds_a_unanimous_picture_by_the_binomial_interval() -> None:
    frame = pd.DataFrame(
        {"participant": list("ABCDE"), "stimulus": "S", "rating": [5] * 5}
    )
    row = mos_table(validate(frame), ci_method="binomial").iloc[0]
    assert row["ci_low"] == pytest.approx(4.326266116067659, rel=1e-9)
    assert row["ci_high"] == 5


def test_it_agrees_with_scipy_on_bca_up_to_one_lattice_step(panel, vectors) -> None:
    table = mos_table(validate(panel), ci_method="bca").set_index("stimulus")
    for stimulus, expected in vectors["mos.ci95_bootstrap_bca"].items():
        assert ends(table, stimulus) == pytest.approx(expected, abs=0.1)


def test_it_equals_the_closed_form_of_the_bca_acceleration(panel, vectors) -> None:
    for stimulus, expected in vectors["mos.bca_acceleration"].items():
        x = panel.loc[panel["stimulus"] == stimulus, "rating"].dropna().to_numpy()
        assert intervals.acceleration(x) == pytest.approx(expected, rel=1e-9)


def test_it_gives_the_same_bootstrap_for_the_same_seed(panel) -> None:
    first, again, other = (
        mos_table(validate(panel), ci_method="percentile", resamples=200, seed=seed)
        for seed in (1, 1, 2)
    )
    pd.testing.assert_frame_equal(first, again)
    assert not first["ci_low"].equals(other["ci_low"])


def test_it_refuses_an_unknown_interval_or_level(panel) -> None:
    with pytest.raises(ValueError, match="ci_method is one of t, z"):
        mos_table(validate(panel), ci_method="magic")
    with pytest.raises(ValueError, match="between 0 and 1"):
        mos_table(validate(panel), level=95)


def test_it_pairs_dmos_within_participants(panel, vectors) -> None:
    table = mos_table(validate(panel)).set_index("stimulus")
    for stimulus, expected in vectors["dmos.p910_per_subject"].items():
        row = table.loc[stimulus]
        assert row["dmos_n"] == expected["n"]
        assert [row["dmos"], row["dmos_ci_low"], row["dmos_ci_high"]] == pytest.approx(
            [expected["dmos"], *expected["ci95"]], rel=1e-9
        )
    assert table.loc[["S01", "S05"], "dmos"].isna().all()  # 5 by construction: omitted


def test_it_crushes_dmos_above_the_scale_when_told(panel, vectors) -> None:
    ratings = validate(panel)
    crushed = pd.Series(dmos(ratings, crush=True)["dmos"], ratings.votes.items)
    for stimulus, expected in vectors["dmos.p910_crushed"].items():
        assert crushed[stimulus] == pytest.approx(expected, rel=1e-9)


def test_it_leaves_dmos_empty_without_a_declared_reference(panel) -> None:
    table = mos_table(validate(panel.drop(columns="is_reference")))
    assert table[["dmos", "dmos_n", "dmos_ci_low"]].isna().all(axis=None)


def test_it_takes_a_scale_of_a_hundred_and_one_steps() -> None:
    frame = pd.DataFrame(
        {"participant": list("ABCD"), "stimulus": "S", "rating": [0, 70, 70, 100]}
    )
    row = mos_table(validate(frame, scale=(0, 100))).iloc[0]
    assert (row["mos"], row["mode"], row["n_70"], row["n_1"]) == (60, "70", 2, 0)
