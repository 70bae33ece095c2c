"""Ranks of computed values: float dust must neither break ties nor make differences.

Means of whole ratings that are equal on paper differ by 1e-16 when they were summed or
divided in another order. Every ranking of the package goes through here.
"""

from __future__ import annotations

import numpy as np
import scipy

# Rating points. Two different means of a panel are further apart, rounding is not.
DUST = 1e-9
DIGITS = 12  # of a value whose unit nobody knows


def without_dust(values: np.ndarray) -> np.ndarray:
    """The values as they are, exactly 0 where they are nothing but rounding."""
    return np.where(np.abs(values) < DUST, 0.0, values)


def settled(values: np.ndarray) -> np.ndarray:
    """Rating points to a multiple of `DUST`: equal on paper is equal."""
    return np.round(values, 9) + 0.0


def ranks(
    values: np.ndarray, *, axis: int | None = None, relative: bool = False
) -> np.ndarray:
    """Ranks from 1, ties at their mean rank; NaN stays NaN and takes no rank.

    `values` are rating points, equal to within `DUST`; with `relative` they may have
    any unit and are equal in their first 12 digits. `axis` None ranks everything.
    """
    values = np.asarray(values, float)
    rounded = _digits(values) if relative else settled(values)
    found = scipy.stats.rankdata(rounded, axis=axis, nan_policy="omit")
    return found.reshape(values.shape)


def ranks_within(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Mean ranks within each group (codes from 0), up to a constant a group."""
    step = np.rint((values - values.min(initial=0)) / DUST).astype(np.int64)
    key = group * (step.max(initial=0) + 1) + step  # one integer to sort by
    order = key.argsort()
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    run = np.diff(np.append(starts, len(key)))
    found = np.empty(len(key))
    found[order] = np.repeat(starts + (run - 1) / 2, run)
    return found


def _digits(values: np.ndarray) -> np.ndarray:
    size = np.abs(values)
    some = np.isfinite(values) & (size > 0)
    unit = 10.0 ** (np.floor(np.log10(np.where(some, size, 1.0))) - DIGITS + 1)
    return np.where(some, np.round(values / unit) * unit, values)
