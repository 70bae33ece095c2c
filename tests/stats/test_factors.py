from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis.stats import factors
from analysis.stats.frame import validate


@pytest.fixture
def ratings(panel):
    return validate(panel.assign(group=np.where(panel["is_reference"], "ref", "rest")))


def test_it_equals_statsmodels_on_the_clustered_interval(ratings, vectors) -> None:
    row = factors.by_factor(ratings, ["group"]).set_index("group").loc["rest"]
    expected = vectors["pooled.cluster_robust_se"]
    assert row["mos"] == pytest.approx(expected["mean"], rel=1e-12)
    # statsmodels multiplies by (N - 1)/(N - 1) = 1 for one coefficient.
    assert row["se_clustered"] == pytest.approx(expected["se_cluster"], rel=1e-9)
    assert (row["n_ratings"], row["n_participants"], row["n_stimuli"]) == (68, 12, 6)


def test_it_agrees_with_scipy_and_r_on_the_cluster_bootstrap(ratings, vectors) -> None:
    table = factors.by_factor(ratings, ["group"], ci_method="cluster_bootstrap")
    row = table.set_index("group").loc["rest"]
    assert [row["ci_low"], row["ci_high"]] == pytest.approx(
        vectors["pooled.cluster_bootstrap"]["percentile"], abs=0.02
    )
    assert row["bootstrap_n"] == 9999


def test_it_crosses_two_factors(ratings) -> None:
    table = factors.by_factor(ratings, ["content", "condition"])
    assert len(table) == 8
    assert table["n_stimuli"].tolist() == [1] * 8


def test_it_gives_no_interval_to_a_single_participant(panel) -> None:
    alone = validate(panel[panel["participant"] == "R01"])
    table = factors.by_factor(alone, ["content"])
    assert set(table["flags"]) == {"one_participant"}
    assert table[["se_clustered", "ci_low"]].isna().all(axis=None)


def test_it_names_the_factors_there_are(ratings) -> None:
    with pytest.raises(ValueError, match="No factor colour; the stimuli have content"):
        factors.by_factor(ratings, ["colour"])


def test_it_says_which_factors_are_confounded() -> None:
    design = pd.DataFrame(
        {"layer": list("aabb"), "depth": [1, 1, 2, 2], "style": list("xyxy")}
    )
    sentences = factors.confounding(design)
    assert len(sentences) == 1
    assert sentences[0].startswith("layer and depth are confounded")


def test_it_says_when_one_factor_was_changed_at_a_time() -> None:
    design = pd.DataFrame({"layer": list("abcaa"), "alpha": [1, 1, 1, 10, 100]})
    sentences = factors.confounding(design)
    assert "5 of 9 combinations" in sentences[0]
    assert sentences[1].startswith("One factor at a time: every stimulus differs from")


def test_it_finds_a_full_grid_in_order() -> None:
    grid = pd.MultiIndex.from_product([range(3), range(4)], names=["a", "b"])
    assert factors.confounding(grid.to_frame(index=False)) == []


def test_it_finds_fatigue_that_is_there() -> None:
    rng = np.random.default_rng(3)
    rows = [
        (f"P{p}", f"S{s}", t, int(np.clip(np.rint(4.4 - 0.1 * t), 1, 5)))
        for p in range(20)
        for t, s in enumerate(rng.permutation(30))
    ]
    frame = pd.DataFrame(rows, columns=["participant", "stimulus", "trial", "rating"])
    table = factors.order_effects(validate(frame)).set_index("effect")
    fatigue = table.loc["fatigue"]
    steps = np.arange(30)
    rounded = np.rint(4.4 - 0.1 * steps)
    # Stimulus means over 20 people keep a twentieth of the trend for themselves.
    slope = np.polyfit(steps / 10, rounded, 1)[0] * 19 / 20
    assert fatigue["estimate"] == pytest.approx(slope, abs=0.05)
    assert fatigue["p"] < 1e-6
    quarters = table.loc["position", "estimate"].tolist()
    assert quarters == sorted(quarters, reverse=True)


def test_it_groups_by_six_hours_of_the_day(panel) -> None:
    hours = panel.assign(rated_at="2026-01-01T07:30:00Z")
    table = factors.order_effects(validate(hours))
    day = table[table["effect"] == "time_of_day"].set_index("level")
    assert day["n_participants"].to_dict() == {
        "00–06 UTC": 0,
        "06–12 UTC": 12,
        "12–18 UTC": 0,
        "18–24 UTC": 0,
    }


def test_what_is_nothing_but_rounding_has_no_p(panel) -> None:
    """Where all answers are of one time of day its residuals are nought on paper."""
    table = factors.order_effects(validate(panel.assign(rated_at="2026-01-01T07:30Z")))
    day = table.query("effect == 'time_of_day' and n_participants > 0")
    assert day["estimate"].tolist() == [0] and day["p"].isna().all()
