"""Confidence intervals of means and proportions, by name, never clipped."""

from __future__ import annotations

import numpy as np
from scipy import stats

from analysis.stats.frame import divide


def t_half_width(sd: np.ndarray, n: np.ndarray, level: float) -> np.ndarray:
    """Half of Student's interval of a mean, t with n - 1 degrees of freedom.

    The precise form of ITU-T P.1401 (2020) 7.4. NaN for n < 2 or no variance, where
    an interval of zero width would pretend to certainty.
    """
    n = np.asarray(n, float)
    quantile = stats.t.ppf((1 + level) / 2, np.where(n > 1, n - 1, np.nan))
    return _half_width(quantile, sd, n)


def z_half_width(sd: np.ndarray, n: np.ndarray, level: float) -> np.ndarray:
    """Half of the normal interval (ITU-R BT.500-14 A1-2.2.1 prints 1.96 at 95 %)."""
    quantile = 1.96 if level == 0.95 else stats.norm.ppf((1 + level) / 2)
    return _half_width(quantile, sd, np.asarray(n, float))


def _half_width(
    quantile: np.ndarray | float, sd: np.ndarray, n: np.ndarray
) -> np.ndarray:
    sd = np.where((n > 1) & (np.asarray(sd) > 0), sd, np.nan)
    return quantile * sd / np.sqrt(np.where(n > 0, n, np.nan))


def wilson(k: np.ndarray, n: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's score interval of a proportion k/n; NaN where n = 0 (Wilson 1927)."""
    k, n = np.asarray(k, float), np.asarray(n, float)
    z2 = stats.norm.ppf((1 + level) / 2) ** 2
    p = divide(k, n)
    centre = p + divide(z2, 2 * n)
    spread = np.sqrt(z2 * (divide(p * (1 - p), n) + divide(z2, 4 * n**2)))
    scale = 1 + divide(z2, n)
    # The ends are exactly 0 and 1 at k = 0 and k = n; rounding must not cross them.
    low = np.where(k == 0, 0.0 * p, (centre - spread) / scale)
    high = np.where(k == n, p, (centre + spread) / scale)
    return low, high
