from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from analysis.stats import reliability
from analysis.stats.frame import Votes, validate


@pytest.fixture
def votes(panel):
    return validate(panel).votes


@pytest.mark.parametrize("metric", reliability.METRICS)
def test_it_equals_krippendorffs_alpha(metric, votes, vectors) -> None:
    value = reliability.krippendorff(votes, metric).value
    assert value == pytest.approx(vectors[f"irr.krippendorff_{metric}"], rel=1e-9)


def test_it_equals_krippendorffs_alpha_without_a_rater(panel, vectors) -> None:
    votes = validate(panel[panel["participant"] != "R12"]).votes
    for metric in ("ordinal", "interval"):
        assert reliability.krippendorff(votes, metric).value == pytest.approx(
            vectors[f"irr.krippendorff_{metric}_without_R12"], rel=1e-9
        )


def test_it_leaves_alpha_empty_without_variation() -> None:
    frame = pd.DataFrame(
        {"participant": list("ABAB"), "stimulus": list("xxyy"), "rating": 3}
    )
    statistic = reliability.krippendorff(validate(frame).votes, resamples=99)
    assert np.isnan(statistic.value)
    assert "no variation" in statistic.note


def test_it_brackets_alpha_with_a_seeded_bootstrap(votes) -> None:
    first, again = (reliability.krippendorff(votes, resamples=499) for _ in range(2))
    assert first == again
    assert first.ci_low < first.value < first.ci_high


def test_it_equals_r_on_six_intraclass_correlations(votes, vectors) -> None:
    table = {s.statistic: s for s in reliability.icc(reliability.complete_block(votes))}
    pingouin = vectors["irr.icc_complete_raters"]
    psych_low = [  # R psych::ICC, lb and ub at full precision
        0.0100004147552376,
        0.0144889572819314,
        0.0132146173169015,
        0.0747692532386216,
        0.105238123522422,
        0.0967658708654467,
    ]
    psych_high = [
        0.570436114482326,
        0.571330699411538,
        0.581622930253287,
        0.913967686182035,
        0.914254390948314,
        0.917502005866973,
    ]
    names = [f"icc_{form}_{unit}" for unit in "1k" for form in (1, 2, 3)]
    for name, entry, low, high in zip(
        names, pingouin, psych_low, psych_high, strict=True
    ):
        assert table[name].value == pytest.approx(entry["icc"], rel=1e-6)
        assert table[name].ci_low == pytest.approx(low, rel=1e-6)
        assert table[name].ci_high == pytest.approx(high, rel=1e-6)
    assert table["icc_3_k"].value == pytest.approx(
        vectors["irr.cronbach_alpha_complete"], rel=1e-8
    )


def test_it_does_not_clip_a_negative_intraclass_correlation(rating_sets) -> None:
    votes = validate(pd.read_csv(rating_sets / "tiny_full.csv")).votes
    expected = json.loads((rating_sets / "tiny_full_independent.json").read_text())
    table = {s.statistic: s for s in reliability.icc(reliability.complete_block(votes))}
    assert table["icc_1_1"].value == pytest.approx(expected["icc"]["ICC(1,1)"])
    assert table["icc_3_k"].value == pytest.approx(expected["icc"]["ICC(C,k)"])


def test_it_equals_other_libraries_on_a_public_set(rating_sets) -> None:
    votes = validate(pd.read_csv(rating_sets / "nflx_public.csv")).votes
    expected = json.loads((rating_sets / "nflx_public_independent.json").read_text())
    block = reliability.complete_block(votes)
    for metric, alpha in expected["krippendorff_alpha"].items():
        ours = reliability.krippendorff(votes, metric).value
        assert ours == pytest.approx(alpha, rel=1e-9)
    table = {s.statistic: s.value for s in reliability.icc(block)}
    assert table["icc_2_k"] == pytest.approx(expected["icc"]["ICC(A,k)"], rel=1e-9)
    assert reliability.kendall_w(block).value == pytest.approx(
        expected["friedman"]["kendall_W"], rel=1e-9
    )
    assert reliability.sos(votes, (1, 5)).value == pytest.approx(
        expected["sos_a_least_squares_var_ddof1"], rel=1e-9
    )


def test_it_equals_r_on_intraclass_correlations_with_missing_ratings(
    votes, vectors
) -> None:
    expected = vectors["irr.icc_all_raters_lmer"]
    table = reliability.icc_from_components(votes, k=12)
    for ours, icc, low, high in zip(
        table, *(expected[key] for key in ("ICC", "lb", "ub")), strict=True
    ):
        assert ours.value == pytest.approx(icc, rel=1e-4)
        assert ours.ci_low == pytest.approx(low, rel=1e-3)
        assert ours.ci_high == pytest.approx(high, rel=1e-3)


def test_it_finds_the_components_of_a_simulated_panel() -> None:
    rng = np.random.default_rng(8)
    people, stimuli = 60, 150
    score = rng.normal(0, 1, stimuli) + rng.normal(0, 0.5, people)[:, None]
    score = score + rng.normal(0, 0.8, score.shape)
    seen = rng.random(score.shape) < 0.5
    rater, item = np.nonzero(seen)
    votes = Votes(
        rater, item, score[seen], pd.RangeIndex(people), pd.RangeIndex(stimuli)
    )
    stimulus, person, noise = reliability.crossed_components(votes)
    assert stimulus == pytest.approx(1, abs=0.25)
    assert person == pytest.approx(0.25, abs=0.12)
    assert noise == pytest.approx(0.64, abs=0.04)


def test_it_says_why_there_is_no_icc_without_complete_raters(panel) -> None:
    sparse = panel[(panel["trial"] + panel["participant"].str[1:].astype(int)) % 2 == 0]
    statistics = reliability.icc(reliability.complete_block(validate(sparse).votes))
    assert all(np.isnan(s.value) and s.note for s in statistics)


def test_it_equals_r_on_kendalls_w_and_the_sos_parameter(votes, vectors) -> None:
    block = reliability.complete_block(votes)
    assert block.shape == (8, 8)
    assert reliability.kendall_w(block).value == pytest.approx(
        vectors["friedman.complete"]["kendall_w"], rel=1e-9
    )
    statistic = reliability.sos(votes, (1, 5), resamples=499)
    assert statistic.value == pytest.approx(vectors["sos.a"]["a"], rel=1e-9)
    assert statistic.ci_low < statistic.value < statistic.ci_high


def test_it_equals_pandas_on_the_mean_pairwise_correlation(votes, vectors) -> None:
    assert reliability.mean_pairwise_pearson(votes).value == pytest.approx(
        vectors["irr.mean_pairwise_pearson"], rel=1e-9
    )


def test_it_finds_halves_of_identical_raters_in_full_agreement() -> None:
    frame = pd.DataFrame(
        [(p, s, 1 + s % 5) for p in range(6) for s in range(10)],
        columns=["participant", "stimulus", "rating"],
    )
    assert reliability.split_half(validate(frame).votes).value == pytest.approx(1)


def test_it_correlates_first_answers_with_repeats() -> None:
    frame = pd.DataFrame(
        [
            ("A", s, r, k)
            for k, rs in (("rating", "123"), ("repeat", "124"))
            for s, r in zip("xyz", rs, strict=True)
        ],
        columns=["participant", "stimulus", "rating", "kind"],
    )
    statistic = reliability.test_retest(validate(frame))
    expected = np.corrcoef([1, 2, 3], [1, 2, 4])[0, 1]
    assert statistic.value == pytest.approx(expected)
    assert statistic.note.startswith("3 repeated trials")


def test_it_tables_every_question(panel) -> None:
    twice = pd.concat([panel.assign(question=q) for q in ("style", "content")])
    table = reliability.reliability_table(validate(twice), resamples=99)
    alpha = table[table["statistic"] == "krippendorff_alpha_ordinal"]
    assert list(alpha["question"]) == ["style", "content"]
    assert alpha["value"].nunique() == 1
