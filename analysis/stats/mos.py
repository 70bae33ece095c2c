"""The mean opinion score and what must stand beside it, one row a stimulus.

Mean, SD and Student interval as ITU-T P.800.1, P.910, P.913 and P.1401 (2020) 7.4;
the counts and proportions as in ETSI and P.800 practice (%GoB, %PoW).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.stats import intervals
from analysis.stats.frame import Ratings, Votes, divide
from analysis.stats.meanings import SCORE, SHARE, Meaning
from analysis.stats.ranks import without_dust


def mos_table(
    ratings: Ratings,
    *,
    level: float = 0.95,
    ci_method: str = "t",
    resamples: int = intervals.RESAMPLES,
    seed: int = intervals.SEED,
) -> pd.DataFrame:
    """The MOS of every stimulus (and question), in order of first appearance.

    `ci_method`: t, z, percentile, bca (bootstraps) or binomial (bounded). Columns as in
    `mos_by_stimulus.csv`; proportions 0–1, intervals on the rating scale and not
    clipped to it. Where repeats are averaged, mean, SD and interval are of people's
    means; whatever is about categories (median, quartiles, mode, counts, shares,
    consensus) is of their answers. %GoB and %PoW are of scales of five points. What
    cannot be computed is NaN with its reason in `flags`, words of `flags.MOS` joined by
    ``;``. Raises ValueError for an unknown method or level.
    """
    if ci_method not in CI_METHODS:
        raise ValueError(f"ci_method is one of {', '.join(CI_METHODS)}: {ci_method!r}")
    if not 0 < level < 1:
        raise ValueError(f"A confidence level lies between 0 and 1: {level!r}")
    votes = ratings.votes
    low, high = ratings.scale_min, ratings.scale_max
    n = votes.n_by_item
    mos, sd = mean_and_sd(votes)
    se = divide(sd, np.sqrt(n))
    too_wide = np.zeros(len(n), bool)
    if ci_method == "t":
        ci_low, ci_high = intervals.student(mos, se, n - 1, level)
    elif ci_method == "z":
        ci_low, ci_high = intervals.normal(mos, se, level)
    elif ci_method == "binomial":
        if not ratings.whole_points:
            raise ValueError("The binomial interval is one of scales of whole points.")
        variance = sd**2 * divide(n - 1, n)
        too_wide = intervals.overdispersed(mos, variance, (low, high))
        ci_low, ci_high = (
            np.where(too_wide, np.nan, end)
            for end in intervals.binomial(mos, n, (low, high), level)
        )
    else:
        ci_low, ci_high = intervals.bootstrap(
            votes, level, method=ci_method, resamples=resamples, seed=seed
        )
    answers = ratings.answers
    q1, median, q3 = _quartiles(answers)
    columns: dict[str, Any] = {
        "n": n,
        "n_missing": ratings.n_missing,
        "mos": mos,
        "sd": sd,
        "se": se,
        "ci_level": level,
        "ci_low": ci_low,
        "ci_high": ci_high,
        "ci_half_width": (ci_high - ci_low) / 2,
        "ci_method": ci_method,
        "median": median,
        "q1": q1,
        "q3": q3,
        "mode": _modes(*answers.distribution),
    }
    for statistic in OF_STIMULI:
        columns |= statistic.compute(ratings, level)
    columns["flags"] = join_flags(
        {
            "no_ratings": n == 0,
            "n_too_small": n == 1,
            "zero_variance": (n > 1) & (sd == 0),
            "binomial_refused": too_wide,
            "repeats_averaged": answers.n_by_item > n,
            "not_five_points": np.full(len(n), not has_five_points(ratings)),
        }
    )
    keys = votes.items.to_frame(index=False)
    parts = [keys[["stimulus"]], ratings.factors, keys.iloc[:, 1:]]
    return pd.concat([*parts, pd.DataFrame(columns, index=keys.index)], axis=1)


def has_five_points(ratings: Ratings) -> bool:
    """Tell if %GoB and %PoW are defined: their two and two categories are of five."""
    return ratings.whole_points and ratings.scale_max - ratings.scale_min == 4


CI_METHODS = ("t", "z", "percentile", "bca", "binomial")


def mean_and_sd(votes: Votes) -> tuple[np.ndarray, np.ndarray]:
    """Mean and SD (N - 1) by item; NaN where there are too few votes."""
    n = votes.n_by_item
    mean = divide(votes.sum_by_item(votes.rating), n)
    squares = votes.sum_by_item((votes.rating - mean[votes.item]) ** 2)
    return mean, without_dust(np.sqrt(divide(squares, np.maximum(n - 1, 0))))


def dmos(
    ratings: Ratings, *, level: float = 0.95, crush: bool = False
) -> dict[str, np.ndarray]:
    """Differential MOS against a hidden reference, paired within participants.

    ACR-HR (ITU-T P.910; P.913 7.2.2): rating - own rating of the reference + top of the
    scale, over those who rated both; a reference is a stimulus with `is_reference`, for
    the stimuli of the same `content` if that column exists. Above the top is possible
    and kept; `crush` applies 7·DV/(2 + DV) there (1–5 scales). By item: dmos, dmos_n,
    dmos_ci_low, dmos_ci_high; NaN for references and without a declared one.
    """
    differences = differential(ratings)
    if crush:
        value, top = differences.rating, ratings.scale_max
        crushed = np.where(value > top, 7 * value / (2 + value), value)
        differences = replace(differences, rating=crushed)
    n = differences.n_by_item.astype(float)
    mean, sd = mean_and_sd(differences)
    low, high = intervals.student(mean, divide(sd, np.sqrt(n)), n - 1, level)
    return {
        "dmos": mean,
        "dmos_n": np.where(n > 0, n, np.nan),
        "dmos_ci_low": low,
        "dmos_ci_high": high,
    }


def differential(ratings: Ratings) -> Votes:
    """The differences that a DMOS is the mean of, each as the vote of its rater about
    the stimulus: own rating - own rating of the reference + top of the scale. None
    where somebody did not rate both, and none without a declared reference."""
    votes = ratings.votes
    if not ratings.references or not ratings.rows["is_reference"].any():
        return votes.take(np.zeros(len(votes.rating), bool))
    group, is_reference = reference_groups(ratings)
    own = votes.rater * np.int64(group.max() + 1) + group[votes.item]
    refers = is_reference[votes.item]
    code, cells = pd.factorize(own[refers])
    reference = pd.Series(
        np.bincount(code, votes.rating[refers]) / np.bincount(code), cells
    )
    base = reference.reindex(own).to_numpy()
    paired = ~refers & ~np.isnan(base)
    value = (votes.rating - base + ratings.scale_max)[paired]
    return replace(votes.take(paired), rating=value)


def reference_groups(ratings: Ratings) -> tuple[np.ndarray, np.ndarray]:
    """By item: the group (content and question) it is compared in, and if it refers."""
    rows = ratings.rows
    first = rows.drop_duplicates(ratings.votes.items.names)
    groups = [c for c in ("content", "question") if c in rows]
    grouped = first.groupby(groups, sort=False, dropna=False) if groups else None
    group = np.zeros(len(first), int) if grouped is None else grouped.ngroup()
    return np.asarray(group), first["is_reference"].to_numpy(bool)


def join_flags(words: Mapping[str, np.ndarray | pd.Series]) -> list[str]:
    """One cell a row: the words that hold there, joined by ``;``."""
    rows: list[list[str]] = [[] for _ in next(iter(words.values()))]
    for word, holds in words.items():
        for row in np.flatnonzero(holds):
            rows[row].append(word)
    return [";".join(row) for row in rows]


def _counts(ratings: Ratings) -> np.ndarray:
    """Items × categories: answers, repeats included, in each category of the scale."""
    answers = ratings.answers
    width = round(ratings.scale_max - ratings.scale_min) + 1
    category = np.rint(answers.rating - ratings.scale_min).astype(int)
    cells = np.bincount(
        answers.item * width + category, minlength=answers.n_items * width
    )
    return cells.reshape(answers.n_items, width)


def _quartiles(votes: Votes) -> np.ndarray:
    """First quartile, median and third quartile by item: numpy's type 7."""
    values, counts = votes.distribution
    if len(values) == 0:
        return np.full((3, votes.n_items), np.nan)
    up_to = np.cumsum(counts, axis=1)
    n = up_to[:, -1]
    position = np.multiply.outer([0.25, 0.5, 0.75], np.maximum(n - 1, 0))
    below = np.floor(position)
    lower, upper = (
        values[(up_to <= rank[..., None]).sum(axis=-1).clip(max=len(values) - 1)]
        for rank in (below, np.minimum(below + 1, np.maximum(n - 1, 0)))
    )
    return np.where(n > 0, lower + (position - below) * (upper - lower), np.nan)


def _modes(values: np.ndarray, counts: np.ndarray) -> pd.Series:
    most = counts.max(axis=1, keepdims=True, initial=0)
    top = (counts == most) & (counts > 0)
    patterns, where = np.unique(top, axis=0, return_inverse=True)
    names = ["|".join(f"{it:g}" for it in values[p]) or None for p in patterns]
    return pd.Series(np.array([*names, None], object)[where.ravel()], dtype=object)


def _consensus(votes: Votes, width: float) -> np.ndarray:
    """Tastle and Wierman (2007): 1 when unanimous, 0 when split at the ends."""
    mean = divide(votes.sum_by_item(votes.rating), votes.n_by_item)
    distance = np.abs(votes.rating - mean[votes.item]) / width
    return 1 + divide(votes.sum_by_item(np.log2(1 - distance)), votes.n_by_item)


# Statistics of each stimulus --------------------------------------------------


def _categories(ratings: Ratings, _level: float) -> dict[str, Any]:
    """The answers in each category; none on a scale without whole points."""
    if not ratings.whole_points:
        return {}
    counts = _counts(ratings)
    low = ratings.scale_min
    return {f"n_{low + k:g}": counts[:, k] for k in range(counts.shape[1])}


def _top_box(ratings: Ratings, _level: float) -> dict[str, Any]:
    answers = ratings.answers
    best = answers.sum_by_item(answers.rating >= ratings.scale_max)
    return {"p_top_box": divide(best, answers.n_by_item)}


def _good_and_poor(ratings: Ratings, level: float) -> dict[str, Any]:
    """%GoB and %PoW with their intervals; empty but on scales of five points."""
    answers, n = ratings.answers, ratings.votes.n_by_item
    five = has_five_points(ratings)
    columns: dict[str, Any] = {}
    for name, chosen in (
        ("p_gob", answers.rating >= ratings.scale_max - 1),
        ("p_pow", answers.rating <= ratings.scale_min + 1),
    ):
        share = divide(answers.sum_by_item(chosen), answers.n_by_item)
        columns[name] = share if five else np.nan
        # A person's answers to one stimulus are not independent: n people, not answers.
        columns[f"{name}_low"], columns[f"{name}_high"] = (
            end if five else np.nan for end in intervals.wilson(share * n, n, level)
        )
    return columns


@dataclass(frozen=True)
class StimulusStatistic:
    """A statistic of the answers about each stimulus, in one column or several.

    `compute` gives their values by item for ratings and a confidence level; `columns`
    and `patterns` say what they mean.
    """

    compute: Callable[[Ratings, float], Mapping[str, Any]]
    columns: Mapping[str, Meaning] = field(default_factory=dict)
    patterns: Mapping[str, Meaning] = field(default_factory=dict)


# In the order of the columns of `mos_by_stimulus.csv`, behind MOS and quartiles.
OF_STIMULI: list[StimulusStatistic] = [
    StimulusStatistic(
        _categories,
        patterns={
            r"n_-?\d+": ("integer", "ratings", "Ratings in this category of the scale")
        },
    ),
    StimulusStatistic(
        _top_box,
        {"p_top_box": ("number", SHARE, "Share of answers in the best category")},
    ),
    StimulusStatistic(
        _good_and_poor,
        {
            "p_gob": (
                "number",
                SHARE,
                "Share of answers in the two best of five (%GoB)",
            ),
            "p_gob_low": ("number", SHARE, "Lower end of its Wilson interval"),
            "p_gob_high": ("number", SHARE, "Upper end of its Wilson interval"),
            "p_pow": (
                "number",
                SHARE,
                "Share of answers in the two worst of five (%PoW)",
            ),
            "p_pow_low": ("number", SHARE, "Lower end of its Wilson interval"),
            "p_pow_high": ("number", SHARE, "Upper end of its Wilson interval"),
        },
    ),
    StimulusStatistic(
        lambda ratings, _: {
            "consensus": _consensus(
                ratings.answers, ratings.scale_max - ratings.scale_min
            )
        },
        {
            "consensus": (
                "number",
                SHARE,
                "Tastle–Wierman: 1 unanimous, 0 split at the ends",
            )
        },
    ),
    StimulusStatistic(
        lambda ratings, level: dmos(ratings, level=level),
        {
            "dmos": (
                "number",
                SCORE,
                "Mean of own rating - own rating of the reference + top",
            ),
            "dmos_n": ("integer", "people", "People who rated stimulus and reference"),
            "dmos_ci_low": ("number", SCORE, "Lower end of the t interval of dmos"),
            "dmos_ci_high": ("number", SCORE, "Upper end of the t interval of dmos"),
        },
    ),
]
