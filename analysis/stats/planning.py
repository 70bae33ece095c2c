"""How many participants a study needs, and what a planned panel can resolve.

Half-widths by Student's t; paired differences by the noncentral t at a given power,
with the smallest p of a Holm family as the hurdle (α/m). Brunnström and Barkowsky (JEI
2018): fifteen people are too few once many comparisons are corrected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import scipy

MOST = 10_000_000


def half_width(n: int | np.ndarray, sd: float, level: float = 0.95) -> np.ndarray:
    """Half of the t interval of a MOS from n ratings with this SD; NaN below two."""
    n = np.asarray(n, float)
    quantile = scipy.stats.t.ppf((1 + level) / 2, np.where(n > 1, n - 1, np.nan))
    return quantile * sd / np.sqrt(n)


def n_for_half_width(sd: float, half: float, level: float = 0.95) -> int:
    """The fewest participants for an interval of at most ± `half` rating points."""
    _check(sd=sd, half_width=half)
    return _smallest(lambda n: bool(half_width(n, sd, level) <= half))


def power_paired(n: int, dz: float, alpha: float = 0.05) -> float:
    """Power of the two-sided paired t test for a mean difference of dz SDs."""
    df = n - 1
    critical = scipy.stats.t.isf(alpha / 2, df)
    shift = dz * np.sqrt(n)
    upper = scipy.stats.nct.sf(critical, df, shift)
    lower = scipy.stats.nct.cdf(-critical, df, shift)
    return float(upper + np.nan_to_num(lower))


def power_unpaired(n: int, d: float, alpha: float = 0.05) -> float:
    """Power of the two-sided two-sample t test with n people in each group."""
    df = 2 * n - 2
    critical = scipy.stats.t.isf(alpha / 2, df)
    shift = d * np.sqrt(n / 2)
    lower = scipy.stats.nct.cdf(-critical, df, shift)
    return float(scipy.stats.nct.sf(critical, df, shift) + np.nan_to_num(lower))


def sd_of_difference(sd: float, correlation: float) -> float:
    """SD of the paired difference of two ratings of equal SD: √(2 SD² (1 - ρ))."""
    return float(np.sqrt(2 * sd**2 * (1 - correlation)))


def n_for_difference(
    difference: float,
    sd_diff: float,
    *,
    power: float = 0.8,
    alpha: float = 0.05,
    comparisons: int = 1,
    paired: bool = True,
) -> int:
    """The fewest participants (a group, if not paired) to find a MOS difference.

    `sd_diff` is the SD of the paired differences (of one rating, if not paired);
    `comparisons` the size of the Holm family, whose smallest p must pass α/m.
    """
    _check(difference=abs(difference), sd_diff=sd_diff, comparisons=comparisons)
    effect = abs(difference) / sd_diff
    find = power_paired if paired else power_unpaired
    hurdle = alpha / comparisons
    return _smallest(lambda n: find(n, effect, hurdle) >= power)


def resolvable_difference(
    n: int,
    sd_diff: float,
    *,
    power: float = 0.8,
    alpha: float = 0.05,
    comparisons: int = 1,
) -> float:
    """The smallest paired MOS difference that n people find with this power."""
    if n < 2:
        return float("nan")
    _check(sd_diff=sd_diff, comparisons=comparisons)
    low, high = 0.0, 1.0
    while power_paired(n, high, alpha / comparisons) < power:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        if power_paired(n, middle, alpha / comparisons) < power:
            low = middle
        else:
            high = middle
    return high * sd_diff


def plan_table(
    sds: Sequence[float] = (0.7, 0.8, 1.0, 1.2),
    half_widths: Sequence[float] = (0.2, 0.25, 0.3, 0.4, 0.5),
    level: float = 0.95,
) -> pd.DataFrame:
    """Participants for every SD and half-width: sd, half_width, ci_level, n."""
    return pd.DataFrame(
        [
            {
                "sd": sd,
                "half_width": half,
                "ci_level": level,
                "n": n_for_half_width(sd, half, level),
            }
            for sd in sds
            for half in half_widths
        ]
    )


def difference_table(
    sd: float = 1.0,
    correlation: float = 0.5,
    differences: Sequence[float] = (0.25, 0.3, 0.4, 0.5, 0.75, 1.0),
    comparisons: Sequence[int] = (1, 6, 21, 100),
    *,
    power: float = 0.8,
    alpha: float = 0.05,
) -> pd.DataFrame:
    """Participants to find a paired difference, by the size of the Holm family."""
    sd_diff = sd_of_difference(sd, correlation)
    return pd.DataFrame(
        [
            {
                "difference": difference,
                "sd_diff": sd_diff,
                "comparisons": m,
                "power": power,
                "alpha": alpha,
                "n": n_for_difference(
                    difference, sd_diff, power=power, alpha=alpha, comparisons=m
                ),
            }
            for difference in differences
            for m in comparisons
        ]
    )


def resolution(
    n: int, sd: float = 1.0, correlation: float = 0.5, comparisons: int = 1
) -> dict[str, float]:
    """Tabulate what n people resolve: half-width, and paired difference at 80 %."""
    sd_diff = sd_of_difference(sd, correlation)
    return {
        "n": n,
        "sd": sd,
        "correlation": correlation,
        "comparisons": comparisons,
        "half_width": float(half_width(n, sd)),
        "difference": resolvable_difference(n, sd_diff, comparisons=comparisons),
    }


def _smallest(enough: Callable[[int], bool]) -> int:
    """The smallest n ≥ 2 that is enough, by doubling and halving."""
    high = 2
    while not enough(high):
        high *= 2
        if high > MOST:
            raise ValueError(f"More than {MOST:,} participants: not a study.")
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _check(**positive: float) -> None:
    for name, value in positive.items():
        if not value > 0:
            raise ValueError(f"{name} must be greater than 0, not {value}.")
