"""A stimulus that has no level of a factor is in none, whatever is computed by it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis.stats import anova, factors, mixed
from analysis.stats.case import Options
from analysis.stats.frame import Ratings, validate
from analysis.stats.report import build

PEOPLE, CONTENTS, MODELS = range(5), ("lake", "moor", "town"), ("a", "b")


def crossed() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "participant": f"p{person}",
            "stimulus": f"{content}-{model}",
            "content": content,
            "model": model,
            "rating": int(rng.integers(1, 6)),
        }
        for person in PEOPLE
        for content in CONTENTS
        for model in MODELS
    )


def with_gaps(place: str) -> pd.DataFrame:
    """The same, and pictures that no model made."""
    more = pd.DataFrame(
        {
            "participant": f"p{person}",
            "stimulus": f"photo of {content}",
            "content": content,
            "model": None,
            "rating": 5,
        }
        for person in PEOPLE
        for content in CONTENTS[1:]
    )
    parts = [more, crossed()] if place == "first" else [crossed(), more]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(params=["first", "last"])
def gaps(request: pytest.FixtureRequest) -> Ratings:
    return validate(with_gaps(request.param))


def test_the_anova_is_that_of_the_crossed_stimuli(gaps: Ratings) -> None:
    whole = anova.anova_table(validate(crossed()), "content", "model")
    found = anova.anova_table(gaps, "content", "model")
    assert found["n_raters"].unique() == [len(PEOPLE)]
    assert found["f"].to_list() == pytest.approx(whole["f"].to_list())


def test_a_gap_is_no_row_of_the_conditions(gaps: Ratings) -> None:
    whole = validate(crossed())
    for names in (["model"], ["model", "content"]):
        keys = [*names, "n_ratings", "n_stimuli", "mos", "se_clustered", "marginal_mos"]
        expected = factors.by_factor(whole, names)[keys].sort_values(names)
        found = factors.by_factor(gaps, names)[keys].sort_values(names)
        assert found["model"].notna().all()
        pd.testing.assert_frame_equal(
            found.reset_index(drop=True),
            expected.reset_index(drop=True),
            check_dtype=False,
        )


def test_the_models_leave_gaps_out_and_say_so(gaps: Ratings) -> None:
    whole, _ = mixed.factor_effects(validate(crossed()), ["content", "model"])
    found, notes = mixed.factor_effects(gaps, ["content", "model"])
    count = ["lmm", "content (all)"]
    for name in ("chi2", "n_ratings"):
        expected, ours = (
            it.set_index(["model", "term"]).loc[tuple(count), name]
            for it in (whole, found)
        )
        assert ours == pytest.approx(expected)
    assert notes == [
        "2 stimuli have no level of content or model: the models are of the others."
    ]


def test_a_report_on_stimuli_with_gaps(gaps: Ratings) -> None:
    report = build(gaps, Options(model=("content", "model"), resamples=20))
    assert len(report.tables["anova.csv"]) == 6
