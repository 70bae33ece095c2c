from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis.stats import metrics
from analysis.stats.codebook import codebook
from analysis.stats.frame import validate
from analysis.stats.mos import mos_table
from analysis.stats.report import build


@pytest.fixture
def table(panel):
    return mos_table(validate(panel))


@pytest.fixture
def judge(table, vectors):
    def judged(mapping: str) -> metrics.Agreement:
        return metrics.agreement(
            np.array(vectors["p1401.raw"]["pred"]),
            table["mos"].to_numpy(),
            table["ci_half_width"].to_numpy(),
            mapping=mapping,
            minimum=8,
        )

    return judged


def test_it_equals_r_on_raw_correlations(judge, vectors) -> None:
    ours, expected = judge("none"), vectors["p1401.raw"]
    assert [ours.plcc, ours.srocc, ours.krocc, ours.rmse] == pytest.approx(
        [expected[k] for k in ("plcc", "srocc", "krocc_tau_b", "rmse_d1")], rel=1e-9
    )
    assert [ours.plcc_low, ours.plcc_high] == pytest.approx(expected["plcc_ci95"])


@pytest.mark.parametrize(
    ("mapping", "vector", "tolerance"),
    [("linear", "p1401.poly1", 1e-6), ("cubic", "p1401.poly3_monotone", 1e-4)],
)
def test_it_equals_r_and_slsqp_after_a_mapping(
    mapping, vector, tolerance, judge, vectors
) -> None:
    ours, expected = judge(mapping), vectors[vector]
    assert ours.d == expected["d"]
    assert ours.rmse == pytest.approx(expected["rmse"], rel=tolerance)
    assert ours.plcc == pytest.approx(expected["plcc"], rel=tolerance)
    assert ours.coefficients == pytest.approx(
        expected["coef_low_to_high"], rel=10 * tolerance
    )
    assert (ours.rmse_star, ours.outlier_ratio) == (0, 0)


def test_it_equals_scikit_learn_on_isotonic_regression(judge, vectors) -> None:
    expected = vectors["p1401.isotonic"]["fitted"]
    assert judge("isotonic").mapped == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("mapping", ["cubic", "logistic", "isotonic"])
@pytest.mark.parametrize("direction", [1, -1])
def test_it_maps_monotonically_in_the_direction_of_the_data(mapping, direction) -> None:
    rng = np.random.default_rng(2)
    x = rng.uniform(0, 10, 40)
    y = 3 + direction * 1.5 * np.tanh((x - 5) / 2) + rng.normal(0, 0.2, 40)
    ours = metrics.agreement(x, y, np.full(40, 0.3), mapping=mapping)
    steps = np.diff(ours.mapped[np.argsort(x)]) * direction
    assert (steps > -1e-6).all()
    assert ours.plcc > 0.97
    assert np.sign(ours.srocc) == direction


def test_it_counts_only_what_lies_outside_the_interval() -> None:
    x = np.arange(12.0)
    y = x.copy()
    y[[0, 11]] += [1, -1]
    half = np.full(12, 0.4)
    ours = metrics.agreement(x, y, half, mapping="none")
    # P.1401 (7-27), (7-29): Σ max(0, 1 - .4)² over two stimuli, N - d = 11.
    assert ours.rmse_star == pytest.approx(np.sqrt(2 * 0.6**2 / 11))
    assert ours.outlier_ratio == pytest.approx(2 / 12)


def test_it_refuses_below_ten_stimuli(table) -> None:
    with pytest.raises(metrics.TooFewStimuli, match="8 stimuli have both"):
        metrics.agreement(
            np.arange(8.0), table["mos"].to_numpy(), table["sd"].to_numpy()
        )


def test_it_refuses_a_constant_metric() -> None:
    with pytest.raises(metrics.TooFewStimuli, match="do not vary"):
        metrics.agreement(np.ones(12), np.arange(12.0), np.ones(12))


def test_it_compares_correlations_as_p1401_and_meng_do() -> None:
    z, p = metrics.correlation_difference(0.9, 0.8, 103)
    assert z == pytest.approx((np.arctanh(0.9) - np.arctanh(0.8)) / np.sqrt(2 / 100))
    assert 0 < p < 0.05
    # Meng, Rosenthal and Rubin (1992), their example: z = 1.68 with N = 15.
    z, _ = metrics.dependent_correlation_difference(0.63, -0.03, -0.19, 15)
    assert z == pytest.approx(1.68, abs=0.01)


def test_it_takes_the_losses_of_the_renders_as_first_metrics() -> None:
    rng = np.random.default_rng(4)
    rows = []
    for s in range(15):
        loss = rng.uniform(1, 10)
        for p in range(12):
            score = np.clip(np.rint(5 - loss / 3 + rng.normal(0, 0.5)), 1, 5)
            rows.append((f"P{p}", f"S{s}", score, loss, rng.normal(1, 0.0) + s, 0.0))
    frame = pd.DataFrame(
        rows,
        columns=[
            "participant",
            "stimulus",
            "rating",
            "content_loss",
            "style_loss",
            "tv_loss",
        ],
    )
    report = build(validate(frame))
    table = report.tables["metrics.csv"].set_index("metric")
    assert table.loc["content_loss", "srocc"] < -0.9
    assert table.loc["content_loss", "plcc"] > 0.9
    assert len(report.tables["metric_differences.csv"]) == 1
    described = codebook({name: list(it) for name, it in report.tables.items()})
    assert "Factor of the study" not in set(described["description"])
    assert "tv_loss: the values do not vary." in report.summary["notes"]
