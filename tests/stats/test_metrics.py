from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, special, stats

from analysis.stats import metrics
from analysis.stats.__main__ import main
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


def squares_by_search(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> float:
    """The least squares of a four-parameter logistic from many starts, by Levenberg."""
    sign = np.sign(stats.spearmanr(x, y).statistic)
    least = np.inf
    for _ in range(12):
        start = [
            rng.uniform(y.min(), y.max()),
            rng.normal(0, 2 * np.ptp(y)),
            rng.uniform(x.min(), x.max()),
            np.log(np.ptp(x) * 10 ** rng.uniform(-2, 0.3)),
        ]
        found = optimize.least_squares(
            lambda p: (
                p[0]
                + p[1] * special.expit((x - p[2]) / np.exp(np.clip(p[3], -60, 60)))
                - y
            ),
            start,
            x_scale=[1, 1, np.ptp(x), 1],
            method="lm",
            max_nfev=300,
        )
        if found.x[1] * sign > 0 and np.isfinite(found.cost):
            least = min(least, 2 * found.cost)
    return least


@pytest.mark.parametrize("start", range(0, 24, 8))
def test_no_start_finds_a_better_logistic(start) -> None:
    for seed in range(start, start + 8):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(10, 40))
        x = np.exp(rng.normal(0, 1, n)) * 10 ** rng.uniform(-6, 6)
        place = (x - np.quantile(x, rng.uniform(0.1, 0.9))) / x.std()
        slope = rng.choice([-1, 1]) * 10 ** rng.uniform(-0.3, 1.3)
        y = 1 + 4 * special.expit(slope * place) + rng.normal(0, 0.4, n)
        ours = metrics.agreement(x, y, np.ones(n), mapping="logistic")
        squares = ((y - ours.mapped) ** 2).sum()
        assert squares <= squares_by_search(x, y, rng) * (1 + 1e-6), seed
        low, rise, centre, width = ours.coefficients
        drawn = low + rise * special.expit((x - centre) / width)
        np.testing.assert_allclose(drawn, ours.mapped, rtol=1e-9)


def test_two_metrics_are_compared_on_the_stimuli_of_both() -> None:
    rng = np.random.default_rng(9)
    mos = rng.uniform(1, 5, 30)
    table = pd.DataFrame(
        {
            "mos": mos,
            "ci_half_width": np.where(np.arange(30) % 5, 0.3, np.nan),
            "a": mos + rng.normal(0, 0.4, 30),
            "b": mos + rng.normal(0, 0.6, 30),
            "c": np.where(np.arange(30) < 9, mos, np.nan),
        }
    )
    table.loc[:11, "b"] = np.nan
    figures, differences, refusals = metrics.metrics_tables(
        table, ["a", "b", "c"], mapping="none"
    )
    assert figures.set_index("metric")["n"].to_dict() == {"a": 30, "b": 18}
    assert refusals == [
        "c: 9 stimuli have both a MOS and a value; P.1401's figures are not given "
        "below 10."
    ]
    (row,) = differences.to_dict("records")
    both = table.loc[12:]
    r = both[["mos", "a", "b"]].corr()
    z, _ = metrics.dependent_correlation_difference(
        r.loc["mos", "a"], r.loc["mos", "b"], r.loc["a", "b"], 18
    )
    assert (row["n"], row["z_plcc"]) == (18, pytest.approx(z))
    squared = [((both[m] - both["mos"]) ** 2).sum() for m in "ab"]
    assert row["f_rmse"] == pytest.approx(squared[0] / squared[1])
    assert row["p_rmse"] == pytest.approx(2 * stats.f.cdf(row["f_rmse"], 17, 17))
    judged = both[both["ci_half_width"].notna()]
    outside = [((judged[m] - judged["mos"]).abs() > 0.3).mean() for m in "ab"]
    pooled = np.mean(outside)
    spread = np.sqrt(pooled * (1 - pooled) * 2 / len(judged))
    assert row["z_outliers"] == pytest.approx((outside[0] - outside[1]) / spread)


def test_metrics_without_enough_stimuli_in_common_are_not_compared() -> None:
    rng = np.random.default_rng(10)
    mos = rng.uniform(1, 5, 24)
    place = np.arange(24)
    table = pd.DataFrame(
        {
            "mos": mos,
            "ci_half_width": 0.3,
            "a": np.where(place < 14, mos + rng.normal(0, 0.4, 24), np.nan),
            "b": np.where(place > 8, mos + rng.normal(0, 0.4, 24), np.nan),
        }
    )
    figures, differences, refusals = metrics.metrics_tables(table, ["a", "b"])
    assert list(figures["n"]) == [14, 15]
    assert differences.empty
    assert refusals[0].startswith("a against b: a: 5 stimuli have both")


def test_metrics_are_compared_question_by_question() -> None:
    rng = np.random.default_rng(11)
    mos = rng.uniform(1, 5, (2, 12))
    loss = rng.uniform(0, 1, 12)
    table = pd.DataFrame(
        {
            "stimulus": np.tile(np.arange(12), 2).astype(str),
            "question": np.repeat(["style", "content"], 12),
            "mos": mos.ravel(),
            "ci_half_width": 0.3,
            "loss": np.tile(loss, 2),
            "other": np.tile(rng.uniform(0, 1, 12), 2),
        }
    )
    figures, differences, _ = metrics.metrics_tables(table, ["loss", "other"])
    assert list(figures["question"]) == ["style"] * 2 + ["content"] * 2
    assert set(figures["n"]) == {12}
    ours = figures.set_index(["question", "metric"])["srocc"]
    for question, values in zip(("style", "content"), mos, strict=True):
        rho = stats.spearmanr(values, loss).statistic
        assert ours[(question, "loss")] == pytest.approx(rho)
    assert list(differences["question"]) == ["style", "content"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--metric", "los"], "No metric los: the columns with one value a stimulus"),
        (["--metric", "loss", "--metric", "n"], "No metric n: "),
        (["--metric", "loss", "--mapping", "cubed"], "mapping is none, linear"),
    ],
)
def test_an_unknown_metric_is_refused(options, sentence, tmp_path, capsys) -> None:
    path, out = tmp_path / "ratings.csv", tmp_path / "out"
    rows = [f"P{p},S{s},{1 + (p + s) % 5},{s / 7}" for p in range(3) for s in range(12)]
    path.write_text("\n".join(["participant,stimulus,rating,loss", *rows]))
    assert main(["report", str(path), "--out", str(out), *options]) == 2
    assert sentence in capsys.readouterr().err
    assert not out.exists()


def test_a_loss_and_its_negative_predict_alike_without_a_mapping() -> None:
    rng = np.random.default_rng(8)
    mos = rng.uniform(1, 5, 20)
    loss = -mos + rng.normal(0, 0.3, 20)
    noisy = mos + rng.normal(0, 2, 20)
    table = pd.DataFrame({"mos": mos, "ci_half_width": 0.2, "loss": loss})
    table = table.assign(same=-loss, noisy=noisy)
    names = ["loss", "same", "noisy"]
    _, found, _ = metrics.metrics_tables(table, names, mapping="none")
    z = found.set_index(["a", "b"])["z_plcc"]
    assert not abs(z["loss", "same"]) > 1e-6
    assert z["loss", "noisy"] == pytest.approx(z["same", "noisy"])
    assert z["loss", "noisy"] > 2
