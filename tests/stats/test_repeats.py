"""People who answer the same more than once: categories are of answers."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, special, stats

from analysis.stats import mixed, reliability
from analysis.stats.frame import Ratings, validate
from analysis.stats.mos import mos_table

PEOPLE, TIMES = 12, 3
ANSWERS = np.random.default_rng(11).binomial(
    4, [[[0.3], [0.5], [0.55], [0.8]]] * PEOPLE, (PEOPLE, 4, TIMES)
)  # people × stimuli × times, 0–4


def panel(question: str | None = None, **options) -> Ratings:
    """Everybody rates four pictures of two styles three times, the last trial first."""
    rows = [
        (f"P{p}", f"S{s}", 1 + ANSWERS[p, s, time], 10 * time + s, "AB"[s // 2])
        for time in reversed(range(TIMES))
        for p in range(PEOPLE)
        for s in range(4)
    ]
    frame = pd.DataFrame(
        rows, columns=["participant", "stimulus", "rating", "trial", "style"]
    )
    return validate(frame if question is None else frame.assign(question=question))


@pytest.mark.parametrize("question", [None, "beauty"])
def test_categories_count_answers_and_means_count_people(question) -> None:
    table = mos_table(panel(question))
    for s, row in table.iterrows():
        given = 1 + ANSWERS[:, s]
        assert row["n"] == PEOPLE
        assert row["mos"] == pytest.approx(given.mean())
        assert row["sd"] == pytest.approx(given.mean(axis=1).std(ddof=1))
        counts = [int((given == k).sum()) for k in range(1, 6)]
        assert [row[f"n_{k}"] for k in range(1, 6)] == counts
        assert row["p_gob"] == pytest.approx(sum(counts[3:]) / 36)
        assert row["p_pow"] == pytest.approx(sum(counts[:2]) / 36)
        assert row["p_top_box"] == pytest.approx(counts[4] / 36)
        quartiles = np.quantile(given.ravel(), [0.25, 0.5, 0.75])
        assert [row["q1"], row["median"], row["q3"]] == pytest.approx(quartiles)
        apart = np.abs(given - given.mean()) / 4
        assert row["consensus"] == pytest.approx(1 + np.log2(1 - apart).mean())
        assert row["flags"] == "repeats_averaged"


def test_a_share_of_answers_has_the_interval_of_so_many_people() -> None:
    row = mos_table(panel()).iloc[1]
    n, p = PEOPLE, (ANSWERS[:, 1] >= 3).mean()
    z = stats.norm.ppf(0.975)
    # Wilson's ends solve |p - π| = z √(π(1 - π)/n).
    for end in (row["p_gob_low"], row["p_gob_high"]):
        assert abs(p - end) == pytest.approx(z * np.sqrt(end * (1 - end) / n))


def coincidences(units: np.ndarray) -> np.ndarray:
    """Krippendorff's coincidence matrix of units × raters, categories 0–4."""
    table = np.zeros((5, 5))
    for unit in units:
        for a, b in permutations(unit, 2):
            table[a, b] += 1 / (len(unit) - 1)
    return table


@pytest.mark.parametrize("question", [None, "beauty"])
def test_alpha_of_categories_is_of_first_answers(question) -> None:
    table = reliability.reliability_table(panel(question), resamples=0)
    table = table.set_index("statistic")
    together = coincidences(ANSWERS[:, :, 0].T)
    n = together.sum(axis=1)
    between = np.cumsum(n) - n / 2
    for metric, distance in {
        "nominal": 1 - np.eye(5),
        "ordinal": (between[:, None] - between) ** 2,
    }.items():
        observed = (together * distance).sum()
        expected = (np.outer(n, n) * distance).sum() / (n.sum() - 1)
        row = table.loc[f"krippendorff_alpha_{metric}"]
        assert row["value"] == pytest.approx(1 - observed / expected)
        assert row["note"].endswith("; first answers")
    note = table.loc["krippendorff_alpha_interval", "note"]
    assert note.endswith("; repeated answers averaged")


def test_alpha_counts_every_answer_only_when_told() -> None:
    frame = panel().frame
    votes = validate(frame, repeats="votes")
    table = reliability.reliability_table(votes, resamples=0).set_index("statistic")
    together = coincidences(ANSWERS.transpose(1, 0, 2).reshape(4, -1))
    n = together.sum(axis=1)
    alpha = 1 - (n.sum() - 1) * (1 - np.trace(together) / n.sum()) * n.sum() / (
        n.sum() ** 2 - (n**2).sum()
    )
    assert table.loc["krippendorff_alpha_nominal", "value"] == pytest.approx(alpha)


def test_the_model_of_categories_takes_every_answer() -> None:
    effects, notes = mixed.factor_effects(panel(), ["style"])
    assert notes == []
    y = ANSWERS.reshape(PEOPLE, -1)
    x = np.repeat([0, 0, 1, 1], TIMES)
    z, weight = np.polynomial.hermite_e.hermegauss(41)
    weight = np.log(weight / np.sqrt(2 * np.pi))

    def minus_loglik(free: np.ndarray) -> float:
        edges = np.concatenate([[-np.inf], np.cumsum([free[0], *np.exp(free[1:4])])])
        edges = np.append(edges, np.inf)
        u = np.exp(free[5]) * z[:, None, None]
        top, bottom = (edges[y + k] - free[4] * x - u for k in (1, 0))
        logs = np.log(special.expit(top) - special.expit(bottom)).sum(axis=2)
        return -special.logsumexp(logs + weight[:, None], axis=0).sum()

    start = [-2.0, 0.0, 0.0, 0.0, 0.0, -1.0]
    best = optimize.minimize(minus_loglik, start, method="BFGS").x
    clmm = effects[effects["model"] == "clmm"].set_index("term")
    assert clmm.loc["style=B", "n_ratings"] == PEOPLE * 4 * TIMES
    assert clmm.loc["style=B", "estimate"] == pytest.approx(best[4], rel=1e-3)
    lmm = effects[effects["model"] == "lmm"].set_index("term")
    assert lmm.loc["style=B", "n_ratings"] == PEOPLE * 4
