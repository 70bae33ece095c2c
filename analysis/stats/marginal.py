"""Means of levels that met other factors in unequal shares, with the shares made equal.

Two models that are the same, one of which was rated on the easy contents more often,
have different means. The mean of the means of its cells, one a combination of the other
factors, has each count once: what linear-model books call least-squares or estimated
marginal means of the saturated model (Searle, Speed and Milliken 1980).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.stats.frame import Votes, divide
from analysis.stats.ranks import without_dust

UNEQUAL = 0.05  # total variation between a level's mix of cells and that of all


@dataclass(frozen=True)
class Marginal:
    """By level: mean of its cells' means, SE clustered by participant, and its mix."""

    over: list[str]  # the other factors; empty if none is crossed with the levels
    mos: np.ndarray  # (levels,)
    se: np.ndarray  # (levels,)
    shares: np.ndarray  # levels × cells: of the level's ratings, rows sum to 1
    cells: list[str]  # what the cells are called, as content=cat

    @property
    def unequal(self) -> bool:
        """True where some level met the cells in clearly other shares than all did."""
        if self.shares.shape[1] < 2:
            return False
        overall = self.shares.mean(axis=0)
        return bool((np.abs(self.shares - overall).sum(axis=1) / 2).max() > UNEQUAL)


def marginal(votes: Votes, level: np.ndarray, others: pd.DataFrame) -> Marginal:
    """Marginal means of the levels (items' codes 0 … levels - 1) over other factors.

    `others` has a row an item, -1 is the level of items without votes. Only factors
    whose combinations all levels have are averaged over, taken in their order: a cell
    without ratings has no mean, and what belongs to one level (the name of a file) is
    no other factor.
    """
    n_levels = int(level.max(initial=-1)) + 1
    rated = votes.n_by_item > 0
    over, cell, n_cells = [], np.zeros(len(level), int), 1
    for name in others if n_levels > 1 else ():
        codes = pd.factorize(others[name], use_na_sentinel=False)[0]
        joint, found = pd.factorize(cell * (codes.max(initial=0) + 1) + codes)
        every = np.unique((level * len(found) + joint)[rated])
        varies = len(np.unique(codes[rated])) > 1
        if varies and len(every) == n_levels * len(np.unique(joint[rated])):
            over.append(str(name))
            cell, n_cells = joint, len(found)
    mean_of = np.full(n_levels, np.nan)
    if not over:
        empty = np.empty((n_levels, 0))
        return Marginal([], mean_of, mean_of.copy(), empty, [])
    group = level * n_cells + cell
    of_vote = group[votes.item]
    size = n_levels * n_cells
    n = np.bincount(of_vote, minlength=size)
    mean = divide(np.bincount(of_vote, votes.rating, size), n)
    table = n.reshape(n_levels, n_cells)
    used = table.any(axis=0)
    k = int(used.sum())
    # How far each vote moves its level's mean, by person: the sandwich of the mean.
    moved = (votes.rating - mean[of_vote]) / (k * n[of_vote])
    of_level = level[votes.item]
    person, found = pd.factorize(votes.rater * np.int64(n_levels) + of_level)
    sums = np.bincount(person, moved)
    whose = found % n_levels
    clusters = np.bincount(whose, minlength=n_levels)
    meat = np.bincount(whose, sums**2, n_levels)
    se = np.sqrt(meat * divide(clusters, np.maximum(clusters - 1, 0)))
    first = pd.Series(cell).drop_duplicates().index
    names = {
        int(cell[row]): ", ".join(f"{name}={others[name].iloc[row]}" for name in over)
        for row in first
    }
    shares = divide(table, table.sum(axis=1, keepdims=True))[:, used]
    return Marginal(
        over,
        mean.reshape(n_levels, n_cells)[:, used].mean(axis=1),
        without_dust(se),
        shares,
        [names[int(place)] for place in np.flatnonzero(used)],
    )
