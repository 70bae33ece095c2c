"""Repeated-measures ANOVA of two factors, plain and on aligned ranks.

For complete panels whose stimuli cross two factors. The mixed models of `mixed` take
any panel; this is the classical check beside them. No sphericity correction.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy

from analysis.stats.frame import Ratings, divide
from analysis.stats.ranks import ranks, without_dust

# Effect → the axes of a raters × a × b block that it keeps.
EFFECTS = {"a": (1,), "b": (2,), "a:b": (1, 2)}


def repeated_measures(block: np.ndarray) -> pd.DataFrame:
    """F, df1, df2 and p of both factors and their interaction, within raters.

    `block` is raters × levels of a × levels of b without gaps; each effect is tested
    against its own interaction with raters. Rows a, b, a:b; NaN where nothing varies.
    """
    rows = []
    for axes in EFFECTS.values():
        effect = _effect(block, axes)
        error = _effect(block, (0, *axes))
        df1 = int(np.prod([block.shape[axis] - 1 for axis in axes]))
        df2 = df1 * (len(block) - 1)
        f = float(divide((effect**2).sum() / df1, (error**2).sum() / df2))
        rows.append(
            {"f": f, "df1": df1, "df2": df2, "p": scipy.stats.f.sf(f, df1, df2)}
        )
    return pd.DataFrame(rows, index=list(EFFECTS))


def aligned_ranks(block: np.ndarray) -> pd.DataFrame:
    """The same by the aligned rank transform (Wobbrock et al. 2011).

    For each effect: residual from the cell mean plus the estimated effect, ranked over
    everything, and only that effect read from the ANOVA of the ranks.
    """
    residual = block - block.mean(axis=0)
    rows = []
    for name, axes in EFFECTS.items():
        aligned = ranks(residual + _effect(block, axes))
        rows.append(repeated_measures(aligned).loc[name])
    return pd.DataFrame(rows)


def _effect(block: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """The part of the block that belongs to these axes alone, as wide as the block."""
    part = block
    for axis in range(3):
        mean = part.mean(axis=axis, keepdims=True)
        part = part - mean if axis in axes else mean
    return np.broadcast_to(without_dust(part), block.shape)


def crossed_block(ratings: Ratings, a: str, b: str) -> np.ndarray:
    """Raters × levels of a × levels of b: the means of those who rated every cell.

    Stimuli without a level of either are in no cell. Asks for one question. Raises
    ValueError for an unknown factor.
    """
    votes = ratings.votes
    table = ratings.checked_factors([a, b])
    codes, shape = [], []
    for name in (a, b):
        code, levels = pd.factorize(table[name])
        codes.append(code)
        shape.append(len(levels))
    votes = votes.take((np.minimum(*codes) >= 0)[votes.item])
    cell = (codes[0] * shape[1] + codes[1])[votes.item]
    size = shape[0] * shape[1]
    place = votes.rater * np.int64(size) + cell
    total = np.bincount(place, votes.rating, votes.n_raters * size)
    n = np.bincount(place, minlength=votes.n_raters * size)
    block = divide(total, n).reshape(votes.n_raters, *shape)
    return block[~np.isnan(block).any(axis=(1, 2))]


def anova_table(ratings: Ratings, a: str, b: str) -> pd.DataFrame:
    """Both analyses of two factors as rows: method, effect, f, df1, df2, p, n_raters.

    No rows with fewer than two complete raters or a factor of one level.
    """
    block = crossed_block(ratings, a, b)
    if min(block.shape) < 2:
        return pd.DataFrame(columns=["method", "effect", "f", "df1", "df2", "p"])
    names = {"a": a, "b": b, "a:b": f"{a}:{b}"}
    tables = [
        run(block)
        .rename_axis("effect")
        .rename(names)
        .reset_index()
        .assign(method=method, n_raters=len(block))
        for method, run in (("rm_anova", repeated_measures), ("art", aligned_ranks))
    ]
    table = pd.concat(tables, ignore_index=True)
    return table[["method", "effect", "f", "df1", "df2", "p", "n_raters"]]
