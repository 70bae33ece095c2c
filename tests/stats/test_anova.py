from __future__ import annotations

import numpy as np
import pytest

from analysis.stats import anova
from analysis.stats.frame import validate


@pytest.fixture
def block(panel):
    return anova.crossed_block(validate(panel), "condition", "content")


@pytest.mark.parametrize(
    ("method", "vector"),
    [
        (anova.repeated_measures, "anova.rm_condition_x_content"),
        (anova.aligned_ranks, "anova.art"),
    ],
)
def test_it_equals_statsmodels_and_r(method, vector, block, vectors) -> None:
    assert block.shape == (8, 4, 2)
    table = method(block)
    for row, expected in zip(
        table.to_dict("records"), vectors[vector].values(), strict=True
    ):
        assert (row["df1"], row["df2"]) == (expected["df1"], expected["df2"])
        assert row["f"] == pytest.approx(expected["F"], rel=1e-6)
        assert row["p"] == pytest.approx(expected["p"], rel=1e-6)


def test_it_has_no_f_where_nothing_varies() -> None:
    assert anova.repeated_measures(np.full((4, 2, 3), 3.0))["f"].isna().all()
