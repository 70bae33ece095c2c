from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from analysis.stats import pairs
from analysis.stats.__main__ import main
from analysis.stats.frame import BrokenRatings, validate


@pytest.fixture
def wins(panel):
    return pairs.wins_from_ratings(validate(panel).votes)


@pytest.fixture
def items(panel):
    return validate(panel).votes.items


def test_it_counts_wins_within_people(wins, vectors) -> None:
    np.testing.assert_array_equal(wins.sum(axis=0), vectors["bt.win_matrix"])


@pytest.mark.parametrize(
    ("model", "vector", "tolerance"),
    [
        ("bradley_terry", "bt.bradley_terry", 1e-4),
        ("thurstone", "bt.thurstone_v", 1e-5),
    ],
)
def test_it_equals_choix_and_r(model, vector, tolerance, wins, items, vectors) -> None:
    scale = pairs.fit(wins, items, model=model)
    expected = vectors[vector]
    ours = dict(zip(scale.items, scale.score, strict=True))
    assert ours == pytest.approx(expected, rel=tolerance)
    assert scale.score.mean() == pytest.approx(0, abs=1e-12)


def test_it_equals_the_textbook_example(rating_sets) -> None:
    case = json.loads((rating_sets / "small_expected_cases.json").read_text())
    case = case["bradley_terry_wikipedia"]
    names = pd.Index(list("ABCD"))
    wins = np.zeros((4, 4))
    for winner, loser, count in case["games"]:
        wins[names.get_loc(winner), names.get_loc(loser)] = count
    score = pairs.fit(wins, names).score
    expected = case["expected_power_scores_geometric_mean_1"]
    assert np.exp(score) == pytest.approx([expected[n] for n in names], rel=1e-2)


def test_it_takes_the_closed_form_for_two_items() -> None:
    wins = np.array([[0.0, 30], [10, 0]])
    scale = pairs.fit(wins, pd.Index(list("ab")))
    assert scale.score[0] - scale.score[1] == pytest.approx(np.log(3))
    # Information of a difference of log odds is n p (1 - p); centring halves the SE.
    assert scale.se == pytest.approx([1 / np.sqrt(40 * 0.75 * 0.25) / 2] * 2)


def test_it_refuses_an_unbeaten_item_and_accepts_a_declared_prior() -> None:
    wins = np.array([[0.0, 5, 5], [0, 0, 3], [0, 2, 0]])
    names = pd.Index(["best", "b", "c"])
    with pytest.raises(pairs.Disconnected, match=r"one is best.*declare a prior"):
        pairs.fit(wins, names)
    scale = pairs.fit(wins, names, prior=0.1)
    assert np.isfinite(scale.score).all()
    assert scale.table()["prior"].tolist() == [0.1] * 3
    assert scale.table()["stimulus"][0] == "best"


def test_it_reads_choices_by_name_or_side() -> None:
    frame = pd.DataFrame(
        [
            ("P", "a", "b", "a"),
            ("P", "a", "b", "second"),
            ("Q", "b", "a", "tie"),
            ("Q", "b", "a", None),
        ],
        columns=["participant", "stimulus", "second", "choice"],
    )
    wins, items = pairs.wins_from_choices(frame)
    assert list(items) == ["a", "b"]
    assert wins.sum(axis=0).tolist() == [[0, 1.5], [1.5, 0]]


def test_it_says_which_choice_it_cannot_read() -> None:
    frame = pd.DataFrame(
        [("P", "a", "b", "c")],
        columns=["participant", "stimulus", "second", "choice"],
        index=pd.Index([2], name="line"),
    )
    with pytest.raises(BrokenRatings, match="Line 2: 'c' is no choice between 'a'"):
        pairs.wins_from_choices(frame)


def test_it_widens_errors_when_people_are_the_unit(wins, items) -> None:
    first, again = (pairs.fit(wins, items, resamples=200) for _ in range(2))
    np.testing.assert_array_equal(first.se_bootstrap, again.se_bootstrap)
    assert first.se_bootstrap.mean() > first.se.mean()


def test_it_recovers_a_known_scale() -> None:
    rng = np.random.default_rng(5)
    truth = np.linspace(-1.5, 1.5, 6)
    p = 1 / (1 + np.exp(truth[None, :] - truth[:, None]))
    upper = np.triu(rng.binomial(2000, p), 1)
    wins = (upper + np.triu(2000 - upper, 1).T).astype(float)
    scale = pairs.fit(wins, pd.RangeIndex(6))
    assert np.abs(scale.score - truth).max() < 4 * scale.se.max()


def test_it_writes_a_scale_from_the_command_line(vectors_dir, tmp_path) -> None:
    path = str(vectors_dir / "vectors_ratings.csv")
    out = tmp_path / "scale.csv"
    assert main(["pairs", path, "--resamples", "50", "--out", str(out)]) == 0
    assert pd.read_csv(out)["stimulus"][0] == "S05"
