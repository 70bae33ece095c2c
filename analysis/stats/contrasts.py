"""Which differences between stimuli are real: paired tests over a declared family.

Every row gives the difference in rating points with its interval first, then paired t
and Wilcoxon with Holm over the family, then effect sizes with intervals. Overlapping
intervals of two MOS are not a test (ITU-T P.1401 7.6.5 asks for the correction).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
import scipy
from scipy import special

from analysis.stats import intervals
from analysis.stats.frame import divide
from analysis.stats.mos import join_flags
from analysis.stats.ranks import ranks, without_dust

MAX_PAIRS = 500
# The family of stimuli against the hidden references of their contents. A space: no
# column of a file that is read as a factor is called so by chance.
AGAINST_REFERENCES = "hidden reference"


class TooManyPairs(ValueError):
    """The family is larger than a correction can carry; what to do instead."""


def contrasts(
    matrix: np.ndarray,
    names: Sequence[object],
    *,
    pairs: Sequence[tuple[int, int]] | None = None,
    level: float = 0.95,
    family: str = "stimulus",
) -> pd.DataFrame:
    """Paired comparisons of the columns of a raters × items matrix (NaN = unanswered).

    `pairs` declares the family (all pairs if None). Columns as `contrasts.csv`:
    mean_diff (a - b) with a t interval, t, df, p, p_holm, Wilcoxon by Pratt's zeros in
    the normal approximation, Cohen's d_z (noncentral t interval), the matched
    rank-biserial correlation without zeros, and `dominance` Σ sign(d)/n.

    Raises TooManyPairs above 500 pairs.
    """
    if pairs is None:
        pairs = list(combinations(range(matrix.shape[1]), 2))
    if len(pairs) > MAX_PAIRS:
        raise TooManyPairs(
            f"{len(pairs)} pairs in one family leave no power after correction; "
            f"at most {MAX_PAIRS}: name the pairs, or compare the levels of a factor."
        )
    a, b = np.array(pairs, int).reshape(-1, 2).T
    d = without_dust(matrix[:, a] - matrix[:, b])
    n = (~np.isnan(d)).sum(axis=0)
    mean = divide(np.nansum(d, axis=0), n)
    squares = np.nansum((d - mean) ** 2, axis=0)
    sd = without_dust(np.sqrt(divide(squares, np.maximum(n - 1, 0))))
    se = divide(sd, np.sqrt(n))
    low, high = intervals.student(mean, se, n - 1, level)
    t = divide(mean, se)
    p = 2 * special.stdtr(np.maximum(n - 1, 1), -np.abs(t))
    w_plus, p_wilcoxon, rank_biserial, nonzero = signed_ranks(d)
    dz = divide(mean, sd)
    dz_low, dz_high = noncentral_interval(t, n, level)
    rb_low, rb_high = _rank_biserial_interval(rank_biserial, nonzero, level)
    labels = np.asarray(names, object)
    return pd.DataFrame(
        {
            "a": labels[a],
            "b": labels[b],
            "n_pairs": n,
            "mean_diff": mean,
            "sd_diff": sd,
            "ci_low": low,
            "ci_high": high,
            "t": t,
            "df": np.where(n > 1, n - 1, np.nan),
            "p": p,
            "p_holm": holm(p),
            "wilcoxon_w_plus": w_plus,
            "p_wilcoxon": p_wilcoxon,
            "p_wilcoxon_holm": holm(p_wilcoxon),
            "dz": dz,
            "dz_low": dz_low,
            "dz_high": dz_high,
            "rank_biserial": rank_biserial,
            "rank_biserial_low": rb_low,
            "rank_biserial_high": rb_high,
            "dominance": divide(np.nansum(np.sign(d), axis=0), n),
            "family": f"{family}: {len(pairs)} pairs",
            "flags": join_flags(
                {"too_few_pairs": n < 2, "no_variation": (n > 1) & (sd == 0)}
            ),
        }
    )


def signed_ranks(
    d: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Wilcoxon's signed ranks by column, zeros as Pratt (1959) treats them.

    W+ (zeros ranked, then dropped), its two-sided normal p without continuity
    correction (both empty for a single difference), the matched rank-biserial (zeros
    dropped before ranking) and the number of nonzero differences. Under random signs W+
    has mean Σr/2 and variance Σr²/4, which is the textbook formula with its corrections
    for ties and zeros. Differences of averaged ratings are ranked without their dust.
    """
    d = without_dust(d)
    rank = np.nan_to_num(ranks(np.abs(d), axis=0))
    nonzero = (np.nan_to_num(d) != 0).sum(axis=0)
    zeros = (d == 0).sum(axis=0)
    rank = np.where(np.nan_to_num(d) != 0, rank, 0)
    w_plus = np.where(d > 0, rank, 0).sum(axis=0)
    total = np.where((~np.isnan(d)).sum(axis=0) > 1, rank.sum(axis=0), np.nan)
    z = divide(w_plus - total / 2, np.sqrt((rank**2).sum(axis=0)) / 2)
    alone = total - zeros * nonzero
    positive = w_plus - zeros * (d > 0).sum(axis=0)
    return (
        np.where(nonzero > 0, w_plus, np.nan),
        2 * special.ndtr(-np.abs(z)),
        divide(2 * positive - alone, alone),
        nonzero,
    )


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's (1979) step-down adjustment; NaN stays and does not count."""
    p = np.asarray(p, float)
    adjusted = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def noncentral_interval(
    t: np.ndarray, n: np.ndarray, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Interval of Cohen's d_z: the noncentralities that make t just surprising.

    Bisection on the noncentral t distribution (Steiger and Fouladi 1997).
    """
    known = ~np.isnan(t)
    ends = np.full((2, len(t)), np.nan)
    if not known.any():
        return ends[0], ends[1]
    for end, tail in zip(ends, ((1 + level) / 2, (1 - level) / 2), strict=True):
        # |t| + 5 SE beyond t leaves less than 1e-6 of the noncentral distribution.
        reach = 5 + np.abs(t[known])
        low, high = t[known] - reach, t[known] + reach
        for _ in range(50):
            middle = (low + high) / 2
            above = scipy.stats.nct.cdf(t[known], n[known] - 1, middle) > tail
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        end[known] = (low + high) / 2 / np.sqrt(n[known])
    return ends[0], ends[1]


def _rank_biserial_interval(
    r: np.ndarray, n: np.ndarray, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Fisher's z with the null SE of the signed-rank sum (as R's effectsize)."""
    error = divide(np.sqrt((2 * n**3 + 3 * n**2 + n) / 6), (n**2 + n) / 2)
    certain = np.abs(r) >= 1
    z = np.arctanh(np.where(certain, np.nan, r))
    half = special.ndtri((1 + level) / 2) * error
    return np.tanh(z - half), np.tanh(z + half)


def friedman(block: np.ndarray) -> dict[str, float]:
    """Friedman's test of a complete raters × items block, ties corrected.

    With Iman and Davenport's F (1980), Kendall's W and Nemenyi's critical difference
    of mean ranks at 0.05. NaN below two raters or three items.
    """
    n, k = block.shape
    if n < 2 or k < 3:
        names = ("chi2", "p", "f", "f_p", "kendall_w", "critical_difference")
        return {"n_raters": n, "n_items": k, **dict.fromkeys(names, np.nan)}
    rank = ranks(block, axis=1)
    s = ((rank.sum(axis=0) - n * (k + 1) / 2) ** 2).sum()
    w = float(divide(s, n * ((rank - (k + 1) / 2) ** 2).sum()))
    chi2 = n * (k - 1) * w
    f = float(divide((n - 1) * w, without_dust(np.array(1 - w))))
    quantile = scipy.stats.studentized_range.ppf(0.95, k, np.inf)
    return {
        "n_raters": n,
        "n_items": k,
        "chi2": chi2,
        "p": float(scipy.stats.chi2.sf(chi2, k - 1)),
        "f": f,
        "f_p": float(scipy.stats.f.sf(f, k - 1, (k - 1) * (n - 1))),
        "kendall_w": w,
        "critical_difference": float(quantile / np.sqrt(2) * _rank_error(n, k)),
    }


def nemenyi(block: np.ndarray) -> np.ndarray:
    """Items × items p of Nemenyi's test on a complete block (no tie correction)."""
    n, k = block.shape
    mean = ranks(block, axis=1).mean(axis=0)
    q = np.abs(mean[:, None] - mean) / _rank_error(n, k) * np.sqrt(2)
    distinct, where = np.unique(np.round(q, 12), return_inverse=True)
    return scipy.stats.studentized_range.sf(distinct, k, np.inf)[where].reshape(k, k)


def _rank_error(n: int, k: int) -> float:
    return float(np.sqrt(k * (k + 1) / (6 * n)))
