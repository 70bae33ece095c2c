"""Confidence intervals of means and proportions, by name, never clipped.

Interval ends are on the rating scale (or 0–1), NaN where the data give none: fewer than
two ratings, or no variance, where zero width would pretend to certainty.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import scipy
from scipy import special
from scipy.sparse import csr_array

from analysis.stats.frame import Votes, divide

RESAMPLES = 9999
SEED = 20260101
Ends = tuple[np.ndarray, np.ndarray]


def student(
    mean: np.ndarray, se: np.ndarray, df: np.ndarray | int, level: float
) -> Ends:
    """Student's t interval, the precise form of ITU-T P.1401 (2020) 7.4."""
    df, se = np.asarray(df, float), np.asarray(se, float)
    usable = (df > 0) & (se > 0)
    half = special.stdtrit(np.where(usable, df, np.nan), (1 + level) / 2) * se
    return mean - half, mean + half


def normal(mean: np.ndarray, se: np.ndarray, level: float) -> Ends:
    """The normal interval; ITU-R BT.500-14 A1-2.2.1 prints 1.96 at 95 %."""
    quantile = 1.96 if level == 0.95 else special.ndtri((1 + level) / 2)
    half = quantile * np.where(np.asarray(se) > 0, se, np.nan)
    return mean - half, mean + half


def binomial(
    mean: np.ndarray, n: np.ndarray, scale: tuple[float, float], level: float
) -> Ends:
    """Clopper–Pearson on the scale's steps: bounded by the scale, unanimous or not.

    Hossfeld, Heegaard, Varela and Skorin-Kapov (2018, arXiv 1806.01126): Σ(x - low) are
    successes among n · (high - low) trials. Only honest where the SD is at most the
    binomial one: gate it with `overdispersed`.
    """
    low, high = scale
    trials = np.where(n > 1, n * (high - low), np.nan)
    k = (mean - low) * n
    tail = (1 - level) / 2
    with np.errstate(invalid="ignore"):
        below = np.where(k <= 0, 0.0, scipy.stats.beta.ppf(tail, k, trials - k + 1))
        above = np.where(
            k >= trials, 1.0, scipy.stats.beta.isf(tail, k + 1, trials - k)
        )
    empty = np.where(np.isnan(trials), np.nan, 1.0)
    return low + (high - low) * below * empty, low + (high - low) * above * empty


def overdispersed(
    mean: np.ndarray, variance_n: np.ndarray, scale: tuple[float, float]
) -> np.ndarray:
    """Where the variance (N) exceeds the binomial one: SOS a > 0.25 on 1–5."""
    low, high = scale
    return variance_n > (mean - low) * (high - mean) / (high - low) + 1e-12


def bootstrap(
    votes: Votes,
    level: float,
    *,
    method: str = "bca",
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Ends:
    """Bootstrap intervals of the mean of every item; `method` percentile or bca.

    BCa as Efron (1987); for a mean its acceleration is the skewness in closed form.
    The order of the rows, and so of the items, does not matter.
    """
    rng = np.random.default_rng(seed)
    values, counts = votes.distribution
    ends = np.full((2, votes.n_items), np.nan)
    varied = (counts > 0).sum(axis=1) > 1
    for item in in_order(votes.items):
        if not varied[item]:
            continue
        n = counts[item].sum()
        means = rng.multinomial(n, counts[item] / n, resamples) @ values / n
        observed = counts[item] @ values / n
        tails = np.array([(1 - level) / 2, (1 + level) / 2])
        if method == "bca":
            skew = acceleration(np.repeat(values, counts[item]))
            tails = bca_tails(means, observed, skew, tails)
        ends[:, item] = np.quantile(means, tails)
    return ends[0], ends[1]


def in_order(labels: pd.Index) -> np.ndarray:
    """The codes of labels by their text: the same draws whatever came first."""
    return np.argsort(np.array([str(label) for label in labels], str), kind="stable")


def acceleration(influence: np.ndarray) -> float:
    """BCa's a: Σu³/(6 (Σu²)^1.5), u the centred influence of each unit."""
    u = influence - influence.mean()
    return float((u**3).sum() / (6 * (u**2).sum() ** 1.5))


def bca_tails(
    resampled: np.ndarray, observed: float, skew: float, tails: np.ndarray
) -> np.ndarray:
    """The tails of the bootstrap distribution after BCa's two corrections."""
    tie = 1e-9  # equal means added in another order are equal
    below = np.mean(resampled < observed - tie) + np.mean(resampled <= observed + tie)
    z0 = special.ndtri(below / 2)
    z = z0 + special.ndtri(tails)
    return special.ndtr(z0 + z / (1 - skew * z))


def wilson(k: np.ndarray, n: np.ndarray, level: float) -> Ends:
    """Wilson's score interval of a proportion k/n (Wilson 1927); NaN where n = 0."""
    k, n = np.asarray(k, float), np.asarray(n, float)
    z2 = special.ndtri((1 + level) / 2) ** 2
    p = divide(k, n)
    centre = p + divide(z2, 2 * n)
    spread = np.sqrt(z2 * (divide(p * (1 - p), n) + divide(z2, 4 * n**2)))
    scale = 1 + divide(z2, n)
    # The ends are exactly 0 and 1 at k = 0 and k = n; rounding must not cross them.
    return (
        np.where(k == 0, p, (centre - spread) / scale),
        np.where(k == n, p, (centre + spread) / scale),
    )


def cluster_bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray],
    clusters: pd.Index,
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> np.ndarray:
    """`statistic` recomputed on whole clusters drawn with replacement.

    `clusters` are their names (participants, as a rule): whoever is drawn goes by name
    and not by place. `statistic` gets a (chunk, clusters) matrix of how often each was
    drawn and returns one row a resample; the rows of all chunks come back stacked.
    """
    rng = np.random.default_rng(seed)
    n_clusters = len(clusters)
    order = in_order(clusters)
    chunk = max(1, min(resamples, 4_000_000 // max(n_clusters, 1)))
    even = np.full(n_clusters, 1 / n_clusters)
    rows = []
    for start in range(0, resamples, chunk):
        by_name = rng.multinomial(n_clusters, even, min(chunk, resamples - start))
        drawn = np.empty_like(by_name)
        drawn[:, order] = by_name
        rows.append(statistic(drawn))
    return np.concatenate(rows)


def middle(resampled: np.ndarray, level: float) -> np.ndarray:
    """Both ends of the central share of resampled values, by column; NaN for none."""
    columns = resampled.reshape(len(resampled), -1)
    known = ~np.isnan(columns).all(axis=0)
    ends = np.full((2, columns.shape[1]), np.nan)
    tails = [(1 - level) / 2, (1 + level) / 2]
    ends[:, known] = np.nanquantile(columns[:, known], tails, axis=0)
    return ends.reshape(2, *resampled.shape[1:])


class ItemSums:
    """n, Σx and Σx² by item when rater i counts `drawn[:, i]` times."""

    def __init__(self, votes: Votes) -> None:
        self.votes = votes

    def __call__(self, drawn: np.ndarray, powers: int) -> list[np.ndarray]:
        """The first `powers` sums, (resamples, items) for (resamples, raters)."""
        votes = self.votes
        shape = (votes.n_items, votes.n_raters)
        where = (votes.item, votes.rater)
        return [
            (csr_array((votes.rating**power, where), shape) @ drawn.T).T
            for power in range(powers)
        ]
