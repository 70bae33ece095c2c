"""Means of levels whose other factors are unequally mixed: a Simpson's paradox."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from analysis.stats.__main__ import main
from analysis.stats.factors import by_factor, imbalance
from analysis.stats.frame import Ratings, validate


def frame_of(pictures: dict[tuple[str, str], int], people: int = 6) -> pd.DataFrame:
    """`pictures` of each model and content; the content alone decides the rating."""
    rows = [
        (f"P{p}", f"{model}{content}{k}", model, content, base + (p + k) % 2)
        for (model, content), n in pictures.items()
        for k in range(n)
        for p in range(people)
        for base in [4 if content == "easy" else 1]
    ]
    columns = ["participant", "stimulus", "model", "content", "rating"]
    return pd.DataFrame(rows, columns=columns)


UNEQUAL = {("A", "easy"): 6, ("A", "hard"): 2, ("B", "easy"): 2, ("B", "hard"): 6}
EQUAL = dict.fromkeys(UNEQUAL, 2)


def test_equal_models_have_equal_marginal_means_whatever_they_were_shown_with() -> None:
    frame = frame_of(UNEQUAL)
    table = by_factor(validate(frame), ["model"]).set_index("model")
    cells = frame.groupby(["model", "content"])["rating"].mean().groupby("model").mean()
    assert table["mos"].to_list() == [3.75, 2.25]
    assert table["marginal_mos"].to_list() == cells.to_list() == [3.0, 3.0]
    assert table["marginal_over"].to_list() == ["content"] * 2
    (note,) = imbalance(validate(frame), ["model"])
    assert "content=easy has 75% of the ratings of model=A and 25%" in note


def test_in_a_balanced_design_they_are_the_plain_means_and_nothing_is_said() -> None:
    ratings = validate(frame_of(EQUAL))
    table = by_factor(ratings, ["model"])
    for plain, equal in (
        ("mos", "marginal_mos"),
        ("se_clustered", "marginal_se"),
        ("ci_low", "marginal_ci_low"),
        ("ci_high", "marginal_ci_high"),
    ):
        np.testing.assert_allclose(table[equal], table[plain], atol=1e-12)
    assert imbalance(ratings, ["model"]) == []


def test_its_standard_error_is_that_of_clustered_least_squares() -> None:
    """Cells as dummies, their mean as a contrast, the sandwich by hand."""
    frame = frame_of(UNEQUAL)
    rng = np.random.default_rng(2)
    frame["rating"] = np.clip(frame["rating"] + rng.integers(-1, 2, len(frame)), 1, 5)
    frame = frame.sample(frac=0.8, random_state=3)
    row = by_factor(validate(frame), ["model"]).set_index("model").loc["A"]
    own = frame[frame["model"] == "A"]
    x = np.stack([own["content"] == c for c in ("easy", "hard")], axis=1).astype(float)
    y = own["rating"].to_numpy(float)
    inverse = np.linalg.inv(x.T @ x)
    residual = y - x @ (inverse @ x.T @ y)
    people = own["participant"].unique()
    meat = np.zeros((2, 2))
    for name in people:
        part = (own["participant"] == name).to_numpy()
        score = x[part].T @ residual[part]
        meat += np.outer(score, score)
    g = len(people)
    covariance = inverse @ meat @ inverse * g / (g - 1)
    assert row["marginal_se"] == pytest.approx(np.sqrt(covariance.sum() / 4), abs=1e-12)


def marginals(ratings: Ratings) -> list[tuple[str, float]]:
    table = by_factor(ratings, ["model"])
    return list(zip(table["marginal_over"], table["marginal_mos"], strict=True))


def test_what_is_not_crossed_is_not_averaged_over() -> None:
    """A content of one model only, and the name of the file, are no cells of both."""
    frame = frame_of({**EQUAL, ("A", "odd"): 1})
    assert {over for over, _ in marginals(validate(frame))} == {""}
    assert all(np.isnan(mean) for _, mean in marginals(validate(frame)))
    named = frame_of(EQUAL)
    named.insert(3, "file", named["stimulus"])
    assert {over for over, _ in marginals(validate(named))} == {"content"}


def test_without_ratings_there_are_none() -> None:
    table = by_factor(validate(frame_of(EQUAL).iloc[:0]), ["model"])
    assert table.empty


def test_the_report_says_that_a_design_is_unbalanced(tmp_path) -> None:
    frame_of(UNEQUAL).to_csv(tmp_path / "ratings.csv", index=False)
    out = tmp_path / "out"
    file = str(tmp_path / "ratings.csv")
    assert main(["report", file, "--by", "model", "--out", str(out)]) == 0
    table = pd.read_csv(out / "mos_by_condition.csv")
    assert table["marginal_mos"].to_list() == [3.0, 3.0]
    notes = json.loads((out / "analysis.json").read_text())["notes"]
    assert any("model and content are unbalanced" in note for note in notes)
