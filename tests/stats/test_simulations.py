"""Known truth: do intervals cover it, and do the models find it?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis.stats import factors, mixed, recovery, screening
from analysis.stats.frame import Votes, validate
from analysis.stats.mos import mos_table

STUDIES = 3000
MIDDLE = (0.05, 0.2, 0.4, 0.25, 0.1)
GOOD = (0.02, 0.05, 0.13, 0.4, 0.4)
SPLIT = (0.4, 0.1, 0.0, 0.1, 0.4)


def coverage(shares: tuple[float, ...], n: int, method: str, **options) -> float:
    """Share of simulated stimuli whose interval covers the true mean."""
    rng = np.random.default_rng(n)
    frame = pd.DataFrame(
        {
            "participant": np.tile(np.arange(n).astype(str), STUDIES),
            "stimulus": np.repeat(np.arange(STUDIES).astype(str), n),
            "rating": rng.choice(5, n * STUDIES, p=shares) + 1,
        }
    )
    table = mos_table(validate(frame), ci_method=method, **options)
    truth = np.dot(shares, np.arange(1, 6))
    held = table[table["ci_low"].notna()]
    return float(((held["ci_low"] <= truth) & (truth <= held["ci_high"])).mean())


@pytest.mark.parametrize(
    ("shares", "n", "method", "published"),
    [  # ci_coverage_simulation.json: another program, 3,000 studies a cell
        (MIDDLE, 8, "t", 0.939),
        (MIDDLE, 15, "t", 0.946),
        (MIDDLE, 30, "t", 0.950),
        (MIDDLE, 45, "t", 0.951),
        (GOOD, 8, "t", 0.933),
        (GOOD, 15, "t", 0.918),
        (MIDDLE, 15, "z", 0.925),
        (MIDDLE, 15, "binomial", 0.956),
    ],
)
def test_it_covers_as_published(shares, n, method, published) -> None:
    # Two Monte-Carlo errors of .0045 each; unanimous and refused rows drop out here.
    assert coverage(shares, n, method) == pytest.approx(published, abs=0.02)


def test_it_refuses_the_binomial_interval_where_it_would_not_cover() -> None:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "participant": np.tile(np.arange(45).astype(str), 200),
            "stimulus": np.repeat(np.arange(200).astype(str), 45),
            "rating": rng.choice(5, 45 * 200, p=SPLIT) + 1,
        }
    )
    table = mos_table(validate(frame), ci_method="binomial")
    assert (table["flags"] == "binomial_refused").all()


def panel(
    rng: np.random.Generator, people: int, stimuli: int, *, spammers: float = 0.1
) -> tuple[Votes, np.ndarray, np.ndarray, np.ndarray]:
    """A complete panel on 1–5 with bias SD .4, noise SD .5–1.3, some at random."""
    quality = rng.uniform(1.5, 4.5, stimuli)
    bias, noise = rng.normal(0, 0.4, people), rng.uniform(0.5, 1.3, people)
    score = (
        quality + bias[:, None] + noise[:, None] * rng.normal(size=(people, stimuli))
    )
    rating = np.clip(np.rint(score), 1, 5)
    lost = rng.random(people) < spammers
    rating[lost] = rng.integers(1, 6, (lost.sum(), stimuli))
    rater, item = np.divmod(np.arange(people * stimuli), stimuli)
    votes = Votes(
        rater, item, rating.ravel(), pd.RangeIndex(people), pd.RangeIndex(stimuli)
    )
    return votes, quality, bias, lost


def error(recovered: recovery.Recovered, truth: np.ndarray) -> float:
    """RMSE after centring both: a common shift is not identified."""
    off = recovered.quality - truth
    return float(np.sqrt(((off - off.mean()) ** 2).mean()))


def mean_errors(people: int, stimuli: int, studies: int, **methods) -> dict[str, float]:
    rng = np.random.default_rng(people * stimuli)
    rows = []
    for _ in range(studies):
        votes, truth, _, _ = panel(rng, people, stimuli)
        rows.append({name: error(run(votes), truth) for name, run in methods.items()})
    return pd.DataFrame(rows).mean().to_dict()


def test_it_recovers_better_than_the_mean_from_a_regular_panel() -> None:
    errors = mean_errors(24, 20, 60, mos=recovery.mean_opinion, mle=recovery.p910)
    assert errors["mle"] < errors["mos"]


def test_it_shrinks_the_collapse_of_a_small_panel() -> None:
    errors = mean_errors(
        15,
        7,
        100,
        mos=recovery.mean_opinion,
        mle=recovery.p910,
        shrunk=lambda votes: recovery.p910(votes, shrink=2),
    )
    assert errors["mle"] > errors["mos"]  # the collapse costs more than it gives
    assert errors["shrunk"] < errors["mos"]


def test_it_flags_the_collapse_in_the_designs_where_it_happens() -> None:
    rng = np.random.default_rng(7)
    small, large = (
        np.mean(
            [recovery.p910(panel(rng, people, stimuli)[0]).collapsed for _ in range(40)]
        )
        for people, stimuli in ((15, 7), (24, 20))
    )
    assert small > 0.25
    assert large < 0.05


def test_it_finds_biases_and_the_people_who_answer_at_random() -> None:
    rng = np.random.default_rng(11)
    votes, _, bias, lost = panel(rng, 40, 60, spammers=0.15)
    model = recovery.p910(votes)
    honest = ~lost
    off = (model.bias - bias)[honest]
    assert np.corrcoef(model.bias[honest], bias[honest])[0, 1] > 0.9
    assert np.abs(off - off.mean()).max() < 4 * model.bias_se[honest].max()
    assert model.inconsistency[lost].min() > np.median(model.inconsistency[honest])
    rejected = screening.p913_correlation(votes, threshold=0.4)["rejected"].to_numpy()
    assert rejected[lost].all()


def test_it_covers_inconsistency_as_its_interval_says() -> None:
    rng = np.random.default_rng(12)
    people, stimuli = 60, 80
    quality, noise = rng.uniform(2, 4, stimuli), rng.uniform(0.4, 1.2, people)
    score = quality + noise[:, None] * rng.normal(size=(people, stimuli))
    rater, item = np.divmod(np.arange(people * stimuli), stimuli)
    votes = Votes(
        rater, item, score.ravel(), pd.RangeIndex(people), pd.RangeIndex(stimuli)
    )
    model = recovery.p910(votes)
    held = (model.inconsistency_low <= noise) & (noise <= model.inconsistency_high)
    assert held.mean() > 0.85


def test_it_covers_a_pooled_mean_only_with_clusters() -> None:
    rng = np.random.default_rng(13)
    people, stimuli, studies = 15, 10, 400
    clustered = naive = 0
    for _ in range(studies):
        bias = rng.normal(0, 0.5, people)
        score = 3 + bias[:, None] + rng.normal(0, 0.5, (people, stimuli))
        rater, item = np.divmod(np.arange(people * stimuli), stimuli)
        votes = Votes(
            rater,
            np.zeros_like(item),
            score.ravel(),
            pd.RangeIndex(people),
            pd.RangeIndex(1),
        )
        mean = np.array([score.mean()])
        se, _ = factors.clustered_se(votes, mean)
        clustered += abs(mean[0] - 3) <= 2.145 * se[0]  # t with 14 df
        naive += abs(mean[0] - 3) <= 1.96 * score.std(ddof=1) / np.sqrt(score.size)
    assert clustered / studies == pytest.approx(0.95, abs=0.035)
    assert naive / studies < 0.7


def test_it_finds_the_effects_behind_both_mixed_models() -> None:
    rng = np.random.default_rng(14)
    people, trials = 80, 20
    group = np.repeat(np.arange(people), trials)
    x = rng.normal(size=(people * trials, 1))
    latent = 1.2 * x[:, 0] + rng.normal(0, 0.8, people)[group]
    linear = mixed.linear_mixed(
        3 + latent + rng.normal(0, 1, len(group)),
        np.column_stack([np.ones(len(group)), x]),
        group,
    )
    assert abs(linear.coef[1] - 1.2) < 3 * linear.se[1]
    assert linear.variance == pytest.approx(0.64, abs=0.25)
    assert linear.residual == pytest.approx(1, abs=0.1)
    noisy = latent + rng.logistic(size=len(group))
    ordinal = mixed.cumulative_link_mixed(
        np.digitize(noisy, [-2, -0.7, 0.7, 2]), x, group
    )
    assert abs(ordinal.coef[0] - 1.2) < 3 * ordinal.se[0]
    assert np.abs(ordinal.thresholds - [-2, -0.7, 0.7, 2]).max() < 0.4
    assert ordinal.variance == pytest.approx(0.64, abs=0.3)
