from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from analysis.stats import recovery
from analysis.stats.frame import Votes, validate

SETS = [
    "nflx_public",
    "nflx_public_last4outliers",
    "itu_demo_small_p910",
    "itu_demo_small_bt500",
    "tiny_full",
    "tiny_repetitions",
]
MODELS = {
    "MOS": recovery.mean_opinion,
    "BT500_SR_MOS": lambda v: recovery.bt500_mean(v, reading="reference"),
    "P913_12.4_BR_only": recovery.p913,
    "P913_12.4_BR_SR_MOS": lambda v: recovery.p913(v, reject=True, reading="reference"),
    "P910_AnnexE_MLE_AP": recovery.p910,
}
BY_ITEM = {"quality_scores": "quality", "quality_scores_std": "se"}
BY_RATER = {
    "observer_bias": "bias",
    "observer_bias_std": "bias_se",
    "observer_inconsistency": "inconsistency",
}


def votes_of(path) -> Votes:
    return validate(pd.read_csv(path), repeats="votes").votes


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", SETS)
def test_it_equals_the_reference_on_every_public_set(name, model, rating_sets) -> None:
    votes = votes_of(rating_sets / f"{name}.csv")
    reference = json.loads((rating_sets / f"{name}_sureal.json").read_text())
    expected = reference["models"][model]
    ours = MODELS[model](votes)
    compared = 0
    for names, order in (
        (BY_ITEM, votes.items.get_indexer(reference["stimuli"])),
        (BY_RATER, votes.raters.get_indexer(expected["observers"])),
    ):
        for key, attribute in names.items():
            if key in expected:
                np.testing.assert_allclose(
                    getattr(ours, attribute)[order],
                    np.array(expected[key], float),  # null becomes NaN
                    rtol=1e-6,
                    atol=1e-6,
                )
                compared += 1
    assert compared >= 2
    if "observer_rejected" in expected:
        assert list(ours.rejected[order]) == expected["observer_rejected"]
    if model.startswith("P910"):
        assert ours.iterations == expected["num_iter"]
        variant = reference["models"]["MLE_AP_variant1_std_from_subject_sigma"]
        np.testing.assert_allclose(
            ours.se_from_raters[votes.items.get_indexer(reference["stimuli"])],
            variant["quality_scores_std"],
            atol=1e-6,
        )


def test_it_equals_the_reference_on_a_regular_made_up_panel(vectors_dir) -> None:
    expected = json.loads((vectors_dir / "vectors_ap_expected.json").read_text())
    votes = votes_of(vectors_dir / "vectors_bt500.csv")
    ours = recovery.p910(votes)
    assert ours.iterations == expected["iterations"]
    for attribute, key in {
        "quality": "mos",
        "se": "se_P910",
        "se_from_raters": "se_paper",
        "bias": "bias",
        "inconsistency": "inconsistency",
    }.items():
        np.testing.assert_allclose(getattr(ours, attribute), expected[key], rtol=1e-6)
    shifted = recovery.p913(votes)
    np.testing.assert_allclose(shifted.quality, expected["p913_mos"], rtol=1e-9)
    np.testing.assert_allclose(shifted.bias, expected["p913_bias"], rtol=1e-9)
    assert not ours.collapsed


def test_it_equals_the_reference_and_flags_the_collapse_onto_one_rater(
    panel, vectors
) -> None:
    votes = validate(panel, repeats="votes").votes
    expected = vectors["sureal.P910_AP_MLE"]
    ours = recovery.p910(votes)
    assert pd.Series(ours.quality, votes.items).to_dict() == pytest.approx(
        expected["mos"], rel=1e-6
    )
    assert pd.Series(ours.se, votes.items).to_dict() == pytest.approx(
        expected["se_P910"], rel=1e-6
    )
    assert ours.collapsed
    assert ours.weight_share.sum() == pytest.approx(1)
    assert not recovery.p910(votes, shrink=2).collapsed


def test_it_removes_bias_as_p913_does(panel, vectors) -> None:
    votes = validate(panel, repeats="votes").votes
    ours, expected = recovery.p913(votes), vectors["sureal.P913_bias_removed"]
    assert pd.Series(ours.quality, votes.items).to_dict() == pytest.approx(
        expected["mos"]
    )
    assert pd.Series(ours.se, votes.items).to_dict() == pytest.approx(expected["se"])
    assert pd.Series(ours.bias, votes.raters).to_dict() == pytest.approx(
        expected["bias"]
    )


def test_it_refuses_groups_without_a_rating_between_them() -> None:
    frame = pd.DataFrame(
        {"participant": list("AABB"), "stimulus": list("abcd"), "rating": [1, 2, 3, 4]}
    )
    with pytest.raises(recovery.NotIdentifiable, match="2 groups without a rating"):
        recovery.p910(validate(frame).votes)


def test_it_refuses_no_ratings_at_all(panel) -> None:
    with pytest.raises(recovery.NotIdentifiable, match="no ratings"):
        recovery.p910(validate(panel.iloc[:0]).votes)


def test_it_says_so_when_the_likelihood_does_not_settle(panel, monkeypatch) -> None:
    monkeypatch.setattr(recovery, "MAX_ITERATIONS", 3)
    with pytest.raises(recovery.NotIdentifiable, match="did not settle in 3 rounds"):
        recovery.p910(validate(panel).votes)


def test_it_gives_no_quality_to_a_stimulus_nobody_rated(panel) -> None:
    panel.loc[panel["stimulus"] == "S03", "rating"] = np.nan
    for method in recovery.METHODS.values():
        ours = method(validate(panel).votes)
        assert np.isnan(ours.quality[2])
        assert np.isfinite(np.delete(ours.quality, 2)).all()
