"""The mean opinion score and what must stand beside it, one row a stimulus.

Mean, SD and Student interval as ITU-T P.800.1, P.910, P.913 and P.1401 (2020) 7.4;
the counts and proportions as in ETSI and P.800 practice (%GoB, %PoW).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.stats import intervals
from analysis.stats.frame import KNOWN_COLUMNS, Ratings, Votes, divide

FLAGS = {
    "no_ratings": "Nobody has rated this stimulus: nothing can be computed.",
    "n_too_small": "One rating only: no SD and no interval.",
    "zero_variance": "All ratings are equal: SD 0, and no interval can be given.",
    "repeats_averaged": (
        "Participants rated this stimulus more than once and their mean was taken: "
        "n counts participants, n_1 … count answers."
    ),
}


def mos_table(
    ratings: Ratings, *, level: float = 0.95, ci_method: str = "t"
) -> pd.DataFrame:
    """The MOS of every stimulus (and question), in order of first appearance.

    Columns as in `mos_by_stimulus.csv`; proportions 0–1, intervals on the rating scale
    and not clipped to it. What cannot be computed is NaN with its reason in `flags`,
    words of FLAGS joined by ``;``.
    """
    votes = ratings.votes
    low, high = ratings.scale_min, ratings.scale_max
    n = votes.sum_by_item()
    mos, sd = mean_and_sd(votes)
    half = HALF_WIDTHS[ci_method](sd, n, level)
    counts = _counts(ratings)
    answers = counts.sum(axis=1)
    q1, median, q3 = _quartiles(votes)
    table = pd.concat(
        [ratings.votes.items.to_frame(index=False), _factors(ratings)], axis=1
    ).assign(
        n=n,
        n_missing=ratings.n_missing,
        mos=mos,
        sd=sd,
        se=divide(sd, np.sqrt(n)),
        ci_level=level,
        ci_low=mos - half,
        ci_high=mos + half,
        ci_half_width=half,
        ci_method=ci_method,
        median=median,
        q1=q1,
        q3=q3,
        mode=_modes(counts, low),
    )
    for k in range(low, high + 1):
        table[f"n_{k}"] = counts[:, k - low]
    table["p_top_box"] = _share(votes, votes.rating >= high)
    for name, chosen in (
        ("p_gob", votes.rating >= high - 1),
        ("p_pow", votes.rating <= low + 1),
    ):
        table[name] = _share(votes, chosen)
        ends = intervals.wilson(votes.sum_by_item(chosen), n, level)
        table[f"{name}_low"], table[f"{name}_high"] = ends
    table["consensus"] = _consensus(votes, mos, high - low)
    table["flags"] = join_flags(
        {
            "no_ratings": n == 0,
            "n_too_small": n == 1,
            "zero_variance": (n > 1) & (sd == 0),
            "repeats_averaged": answers > n,
        }
    )
    return table


HALF_WIDTHS = {"t": intervals.t_half_width, "z": intervals.z_half_width}


def mean_and_sd(votes: Votes) -> tuple[np.ndarray, np.ndarray]:
    """Mean and SD (N - 1) by item; NaN where there are too few votes."""
    n = votes.sum_by_item()
    mean = divide(votes.sum_by_item(votes.rating), n)
    deviation = votes.rating - mean[votes.item]
    return mean, np.sqrt(
        divide(votes.sum_by_item(deviation**2), np.where(n > 1, n - 1, 0))
    )


def join_flags(words: dict[str, np.ndarray]) -> list[str]:
    """One cell a row: the words that hold there, joined by ``;``."""
    rows: list[list[str]] = [[] for _ in next(iter(words.values()))]
    for word, holds in words.items():
        for row in np.flatnonzero(holds):
            rows[row].append(word)
    return [";".join(row) for row in rows]


def _factors(ratings: Ratings) -> pd.DataFrame:
    """The factor columns that do not vary within any stimulus."""
    rows = ratings.rows
    codes, _ = pd.factorize(rows["stimulus"])
    first = np.flatnonzero(~pd.Series(codes).duplicated())
    of_item = ratings.votes.items.get_level_values("stimulus")
    factors = {}
    for column in rows.columns.difference(KNOWN_COLUMNS, sort=False):
        levels, _ = pd.factorize(rows[column])
        if np.array_equal(levels, levels[first][codes]):
            by_stimulus = (
                rows[column].iloc[first].set_axis(rows["stimulus"].iloc[first])
            )
            factors[column] = by_stimulus.reindex(of_item).to_numpy()
    return pd.DataFrame(factors, index=range(len(of_item)))


def _counts(ratings: Ratings) -> np.ndarray:
    """Items × categories: answers, repeats included, in each category of the scale."""
    answers = ratings.answers
    width = ratings.scale_max - ratings.scale_min + 1
    category = answers.rating.astype(int) - ratings.scale_min
    cells = np.bincount(
        answers.item * width + category, minlength=answers.n_items * width
    )
    return cells.reshape(answers.n_items, width)


def _quartiles(votes: Votes) -> np.ndarray:
    """First quartile, median and third quartile by item: numpy's type 7."""
    order = np.lexsort((votes.rating, votes.item))
    ordered = votes.rating[order]
    n = votes.sum_by_item()
    start = np.cumsum(n) - n
    position = np.multiply.outer([0.25, 0.5, 0.75], np.maximum(n - 1, 0))
    below = np.floor(position).astype(int)
    above = np.minimum(below + 1, np.maximum(n - 1, 0))
    if len(ordered) == 0:
        return np.full(position.shape, np.nan)
    last = len(ordered) - 1
    lower = ordered[np.minimum(start + below, last)]
    upper = ordered[np.minimum(start + above, last)]
    return np.where(n > 0, lower + (position - below) * (upper - lower), np.nan)


def _modes(counts: np.ndarray, low: int) -> pd.Series:
    top = (counts == counts.max(axis=1, keepdims=True)) & (counts > 0)
    cells = ["|".join(str(low + k) for k in np.flatnonzero(row)) for row in top]
    return pd.Series([cell or None for cell in cells], dtype=object)


def _share(votes: Votes, chosen: np.ndarray) -> np.ndarray:
    return divide(votes.sum_by_item(chosen), votes.sum_by_item())


def _consensus(votes: Votes, mos: np.ndarray, width: int) -> np.ndarray:
    """Tastle and Wierman (2007): 1 when unanimous, 0 when split at the ends."""
    distance = np.abs(votes.rating - mos[votes.item]) / width
    return 1 + divide(votes.sum_by_item(np.log2(1 - distance)), votes.sum_by_item())
