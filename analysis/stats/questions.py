"""How far two questions measured the same: correlations, each with its interval.

Three different things, which are often taken for one another: whether pictures that
do well on one question do well on the other (of their MOS, linear and by ranks), and
whether the same person answers both alike about the same picture, whoever they are.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
from scipy import special

from analysis.stats import intervals
from analysis.stats.frame import Ratings, Votes, divide
from analysis.stats.ranks import ranks

FEWEST = 4  # pairs under a correlation with an interval: Fisher's z divides by n - 3
COLUMNS = [
    "a", "b", "statistic", "value", "n", "n_participants", "ci_low", "ci_high",
    "ci_level", "ci_method", "people_low", "people_high", "note",
]  # fmt: skip


def correlations(
    ratings: Ratings, *, level: float = 0.95, resamples: int, seed: int = intervals.SEED
) -> pd.DataFrame:
    """Correlations of every two questions, three rows a pair.

    `pearson_mos` and `spearman_mos` are of the MOS of the stimuli rated on both; their
    intervals Fisher's z over stimuli, Spearman's with the error of Bonett and Wright
    (2000): other pictures, the same people. `people_low` and `people_high` are the
    percentile interval of whole people drawn again: other people, the same pictures.
    `within_people` is the repeated-measures correlation (Bakdash and Marusich 2017) of
    one person's two answers about a stimulus, freed of people's means. Empty with a
    `note` below four pairs, or where nothing varies.
    """
    votes = ratings.votes
    found = []
    for a, b in combinations(ratings.questions, 2):
        first, second = _rated_on_both(votes, str(a), str(b))
        n_people = len(np.unique(votes.rater[np.isin(votes.item, [*first, *second])]))
        n = len(first)
        of_mos = _of_mos(votes, first, second, level, resamples, seed)
        for (name, value, ends, people), method in zip(
            of_mos, ("fisher_z", "fisher_z_bonett_wright"), strict=True
        ):
            found.append(
                (a, b, name, value, n, n_people, *ends, level, method, *people)
            )
        within, pairs, people_behind, ends = _within_people(votes, first, second, level)
        found.append(
            (a, b, "within_people", within, pairs, people_behind, *ends, level,
             "fisher_z", np.nan, np.nan)
        )  # fmt: skip
    table = pd.DataFrame(found, columns=COLUMNS[:-1])
    table["note"] = [
        "Fewer than four pairs, or answers that do not vary: no correlation."
        if np.isnan(value)
        else "The answers lie on one line: no interval."
        if np.isnan(low)
        else ""
        for value, low in zip(table["value"], table["ci_low"], strict=True)
    ]
    return table


def _rated_on_both(votes: Votes, a: str, b: str) -> tuple[np.ndarray, np.ndarray]:
    """The items of question a and those of b that are of the same, rated, stimuli."""
    names = votes.items.get_level_values("stimulus")
    asked = votes.items.get_level_values("question").astype(str)
    rated = votes.n_by_item > 0
    places = [
        pd.Series(np.flatnonzero(mine), names[mine])
        for mine in ((asked == question) & rated for question in (a, b))
    ]
    both = places[0].index.intersection(places[1].index, sort=False)
    return places[0][both].to_numpy(int), places[1][both].to_numpy(int)


def _pearson(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """r of the last axis; NaN where one does not vary."""
    x = x - x.mean(axis=-1, keepdims=True)
    y = y - y.mean(axis=-1, keepdims=True)
    spread = np.sqrt((x**2).sum(axis=-1) * (y**2).sum(axis=-1))
    tiny = 1e-12 * max(1.0, float(np.abs(x).max(initial=0)) ** 2)
    return divide((x * y).sum(axis=-1), np.where(spread > tiny, spread, 0))


def _fisher(r: float, error: float, level: float) -> tuple[float, float]:
    """The interval of r by Fisher's z with this standard error; none of ±1."""
    if np.isnan(r) or abs(r) > 1 - 1e-12:
        return np.nan, np.nan
    z, half = np.arctanh(r), special.ndtri((1 + level) / 2) * error
    return float(np.tanh(z - half)), float(np.tanh(z + half))


def _of_mos(
    votes: Votes,
    first: np.ndarray,
    second: np.ndarray,
    level: float,
    resamples: int,
    seed: int,
) -> list[tuple[str, float, tuple[float, float], tuple[float, float]]]:
    """Pearson's and Spearman's correlation of the MOS: name, value, both intervals."""
    nothing = (np.nan, np.nan)
    n = len(first)
    if n < FEWEST:
        return [(name, np.nan, nothing, nothing) for name in NAMES]
    mean = divide(votes.sum_by_item(votes.rating), votes.n_by_item)
    x, y = mean[first], mean[second]
    r, rho = float(_pearson(x, y)), float(_pearson(ranks(x), ranks(y)))
    errors = 1 / np.sqrt(n - 3), np.sqrt((1 + rho**2 / 2) / (n - 3))
    people: list[tuple[float, float]] = [nothing, nothing]
    if resamples and votes.n_raters > 1:
        sums = intervals.ItemSums(votes)

        def both(drawn: np.ndarray) -> np.ndarray:
            counts, total = sums(drawn, powers=2)
            means = divide(total, counts)
            a, b = means[:, first], means[:, second]
            whole = ~(np.isnan(a) | np.isnan(b)).any(axis=1)
            values = np.full((len(drawn), 2), np.nan)
            a, b = a[whole], b[whole]
            values[whole, 0] = _pearson(a, b)
            values[whole, 1] = _pearson(ranks(a, axis=1), ranks(b, axis=1))
            return values

        drawn_again = intervals.cluster_bootstrap(
            both, votes.raters, resamples=resamples, seed=seed
        )
        low, high = intervals.middle(drawn_again, level)
        people = [
            (low[k], high[k]) if abs(value) < 1 - 1e-12 else nothing  # NaN too
            for k, value in enumerate((r, rho))
        ]
    return [
        (name, value, _fisher(value, error, level), theirs)
        for name, value, error, theirs in zip(
            NAMES, (r, rho), errors, people, strict=True
        )
    ]


NAMES = ("pearson_mos", "spearman_mos")


def _within_people(
    votes: Votes, first: np.ndarray, second: np.ndarray, level: float
) -> tuple[float, int, int, tuple[float, float]]:
    """The repeated-measures correlation, its pairs and people, its interval."""
    x, y = votes.matrix(items=first), votes.matrix(items=second)
    known = ~(np.isnan(x) | np.isnan(y))
    known &= known.sum(axis=1, keepdims=True) > 1  # one pair says nothing within
    n, people = int(known.sum()), int(known.any(axis=1).sum())
    free = n - people - 1
    if free < FEWEST - 2:
        return np.nan, n, people, (np.nan, np.nan)
    within = [
        (values - divide(np.nansum(np.where(known, values, 0), axis=1),
                         known.sum(axis=1))[:, None])[known]
        for values in (x, y)
    ]  # fmt: skip
    spread = np.sqrt((within[0] ** 2).sum() * (within[1] ** 2).sum())
    if spread < 1e-12:
        return np.nan, n, people, (np.nan, np.nan)
    r = float((within[0] * within[1]).sum() / spread)
    return r, n, people, _fisher(r, 1 / np.sqrt(free - 1), level)
