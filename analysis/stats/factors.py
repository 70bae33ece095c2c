"""Means by factor with participant-clustered intervals, and what order did to them.

Ratings of one person are not independent: pooling over stimuli as if they were makes
intervals too short, so everything here clusters by participant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import scipy

from analysis.stats import intervals
from analysis.stats.frame import Ratings, Votes, divide
from analysis.stats.marginal import marginal
from analysis.stats.mos import mean_and_sd
from analysis.stats.ranks import without_dust

FEW_CLUSTERS = 10


def by_factor(
    ratings: Ratings,
    factors: Sequence[str],
    *,
    level: float = 0.95,
    ci_method: str = "cluster_t",
    resamples: int = intervals.RESAMPLES,
    seed: int = intervals.SEED,
    differences: Votes | None = None,
) -> pd.DataFrame:
    """Pooled MOS of every combination of the factors' levels, in order of appearance.

    Stimuli without a level of one of them are in no row. `ci_method` cluster_t
    (sandwich SE, t with participants - 1) or cluster_bootstrap (percentile, whole
    participants). Columns as `mos_by_condition.csv`; `marginal_mos` weights the
    combinations of the crossed factors in `marginal_over` equally, empty where none is
    crossed. `differences` from hidden references, as `mos.differential` gives them, add
    the columns of a DMOS pooled and clustered alike, its `dmos_n` that of people. No
    factors: one row of all. Raises ValueError for a factor that the ratings do not
    have.
    """
    if ci_method not in ("cluster_t", "cluster_bootstrap"):
        raise ValueError(f"cluster_t or cluster_bootstrap, not {ci_method!r}")
    table = ratings.checked_factors(factors)
    levels, group, votes = _grouped(ratings, factors)
    # Items × groups of the same shape as items × stimuli: the sums then do the rest.
    pooled = replace(votes, item=group[votes.item], items=levels.index)
    n = pooled.n_by_item
    mos = divide(pooled.sum_by_item(pooled.rating), n)
    se, clusters = clustered_se(pooled, mos)
    if ci_method == "cluster_t" or votes.n_raters < 2:
        low, high = intervals.student(mos, se, clusters - 1, level)
    else:
        low, high = _bootstrap(pooled, level, resamples, seed)
        low, high = (np.where(clusters > 1, end, np.nan) for end in (low, high))
    equal = marginal(votes, group, table.drop(columns=list(factors)))
    ends = intervals.student(equal.mos, equal.se, clusters - 1, level)
    bootstrapped = ci_method == "cluster_bootstrap"
    dmos = {}
    if differences is not None and len(differences.rating):
        dmos = _pooled_dmos(differences, ratings.votes.items, group, levels, level)
    return levels.assign(
        n_ratings=n,
        n_participants=clusters,
        n_stimuli=np.bincount(group[group >= 0], minlength=len(levels)),
        mos=mos,
        se_clustered=se,
        ci_level=level,
        ci_low=low,
        ci_high=high,
        ci_method=ci_method,
        marginal_mos=equal.mos,
        marginal_se=equal.se,
        marginal_ci_low=ends[0],
        marginal_ci_high=ends[1],
        marginal_over="|".join(equal.over),
        **dmos,
        bootstrap_seed=seed if bootstrapped else None,
        bootstrap_n=resamples if bootstrapped else None,
        flags=np.select(
            [clusters < 2, clusters < FEW_CLUSTERS],
            ["one_participant", "few_participants"],
            "",
        ),
    )


def _pooled_dmos(
    differences: Votes,
    items: pd.Index,
    group: np.ndarray,
    levels: pd.DataFrame,
    level: float,
) -> dict[str, np.ndarray]:
    """The columns of the DMOS by level; `group` is that of each of the `items`."""
    place = items.get_indexer(differences.items)
    of_item = np.where(place >= 0, group[place], -1)[differences.item]
    known = differences.take(of_item >= 0)
    pooled = replace(known, item=of_item[of_item >= 0], items=levels.index)
    mean = divide(pooled.sum_by_item(pooled.rating), pooled.n_by_item)
    se, people = clustered_se(pooled, mean)
    low, high = intervals.student(mean, se, people - 1, level)
    return {
        "dmos": mean,
        "dmos_n": np.where(people > 0, people, np.nan),
        "dmos_ci_low": low,
        "dmos_ci_high": high,
    }


def _grouped(
    ratings: Ratings, factors: Sequence[str]
) -> tuple[pd.DataFrame, np.ndarray, Votes]:
    """The combinations of levels (and question), which of them an item has, the votes.

    An item without a level of some factor has none (-1), and its votes are left out.
    """
    keys = ratings.votes.items.to_frame(index=False)
    table = ratings.factors[list(factors)]
    chosen = pd.concat([keys.drop(columns="stimulus"), table], axis=1)
    if not len(chosen.columns):
        everything = pd.DataFrame(index=range(min(len(chosen), 1)))
        return everything, np.zeros(len(chosen), int), ratings.votes
    known = table.notna().all(axis=1).to_numpy()
    grouped = chosen[known].groupby(list(chosen.columns), sort=False, dropna=False)
    levels = chosen[known].drop_duplicates().reset_index(drop=True)
    group = np.full(len(chosen), -1)
    group[known] = grouped.ngroup()
    return levels, group, ratings.votes.take(known[ratings.votes.item])


def imbalance(ratings: Ratings, factors: Sequence[str]) -> list[str]:
    """A sentence if levels met the other factors in unequal shares, else nothing.

    Their means then differ by what was shown, whatever the levels do.
    """
    levels, group, votes = _grouped(ratings, factors)
    others = ratings.factors.drop(columns=list(factors))
    equal = marginal(votes, group, others)
    if not equal.unequal:
        return []
    widest = int(np.ptp(equal.shares, axis=0).argmax())
    ends = [int(pick(equal.shares[:, widest])) for pick in (np.argmax, np.argmin)]
    shown = " and ".join(
        f"{equal.shares[k, widest]:.0%} of the ratings of "
        f"{', '.join(f'{name}={levels[name].iloc[k]}' for name in factors)}"
        for k in ends
    )
    return [
        f"{' × '.join(factors)} and {' × '.join(equal.over)} are unbalanced: "
        f"{equal.cells[widest]} has {shown}. Their plain means (mos, contrasts.csv) "
        "differ by that alone; marginal_mos gives every combination the same weight."
    ]


def clustered_se(votes: Votes, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sandwich SE of each item's mean and its number of participants (clusters).

    √(G/(G - 1) Σ_g (Σ residuals of g)²)/N, what OLS on a constant with clustered
    covariance gives (Liang and Zeger 1986).
    """
    residual = votes.rating - mean[votes.item]
    code, cells = pd.factorize(votes.rater * np.int64(votes.n_items) + votes.item)
    sums = np.bincount(code, residual)
    item = cells % max(votes.n_items, 1)
    clusters = np.bincount(item, minlength=votes.n_items)
    meat = np.bincount(item, sums**2, votes.n_items)
    correction = divide(clusters, np.maximum(clusters - 1, 0))
    se = np.sqrt(divide(meat * correction, votes.n_by_item**2))
    return without_dust(se), clusters


def _bootstrap(
    votes: Votes, level: float, resamples: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    sums = intervals.ItemSums(votes)

    def means(drawn: np.ndarray) -> np.ndarray:
        n, total = sums(drawn, powers=2)
        return divide(total, n)

    resampled = intervals.cluster_bootstrap(
        means, votes.raters, resamples=resamples, seed=seed
    )
    low, high = intervals.middle(resampled, level)
    return low, high


def varying(table: pd.DataFrame) -> list[str]:
    """The columns that are factors: of two levels or more. Having none is no level."""
    return [str(name) for name in table if table[name].nunique() > 1]


def worth_pooling(ratings: Ratings) -> list[str]:
    """The factors that vary and put several stimuli together at some level."""
    table = ratings.factors
    n = ratings.votes.items.get_level_values("stimulus").nunique()
    return [name for name in varying(table) if table[name].nunique() < n]


def level_matrix(
    votes: Votes, ratings: Ratings, factor: str
) -> tuple[np.ndarray, list[object]]:
    """Participants × levels: each person's mean over the stimuli of a level."""
    stimuli = ratings.votes.items.get_level_values("stimulus")
    of_item = pd.Series(ratings.factors[factor].to_numpy(), stimuli)
    of_item = of_item[~of_item.index.duplicated()].reindex(votes.items)
    code, levels = pd.factorize(of_item)
    known = votes.take(code[votes.item] >= 0)
    by_level = replace(known, item=code[known.item], items=pd.Index(levels))
    return by_level.matrix(), list(levels)


def confounding(factors: pd.DataFrame) -> list[str]:
    """Sentences on factors whose effects this set of stimuli cannot tell apart.

    `factors` has a row a stimulus. Says which factor determines which, where
    combinations are missing, and when the design changes one factor at a time.
    """
    design = factors[varying(factors)]
    sentences = []
    for a, b in combinations(design.columns, 2):
        cells = len(design[[a, b]].drop_duplicates())
        levels = design[a].nunique(dropna=False), design[b].nunique(dropna=False)
        if cells == max(levels):
            inner, outer = (a, b) if levels[0] >= levels[1] else (b, a)
            sentences.append(
                f"{inner} and {outer} are confounded: every level of {inner} comes "
                f"with one level of {outer}, so their effects cannot be told apart."
            )
        elif cells < levels[0] * levels[1]:
            sentences.append(
                f"{a} × {b}: {cells} of {levels[0] * levels[1]} combinations were "
                "shown; differences along one are partly differences along the other."
            )
    base = _one_at_a_time(design)
    if base is not None:
        sentences.append(
            "One factor at a time: every stimulus differs from "
            f"{', '.join(f'{k}={v}' for k, v in base.items())} in one factor at most, "
            "so no interaction can be seen and effects hold at that setting only."
        )
    return sentences


def _one_at_a_time(design: pd.DataFrame) -> dict[str, object] | None:
    if design.shape[1] < 2 or len(design) > 1000:
        return None
    codes = design.apply(lambda column: pd.factorize(column)[0]).to_numpy()
    differing = (codes[:, None, :] != codes[None, :, :]).sum(axis=2)
    centre = np.flatnonzero(differing.max(axis=1) <= 1)
    if len(centre) == 0:
        return None
    return dict(design.iloc[centre[0]])


def order_effects(ratings: Ratings, *, level: float = 0.95) -> pd.DataFrame:
    """Order, fatigue and time of day, on ratings freed of stimulus and person means.

    Rows: `position` (mean residual by quarter of the session), `fatigue` (slope of the
    residual per ten trials), `speed` (slope of log response time per ten trials),
    `time_of_day` (mean residual by six hours, UTC). Estimates are means over
    participants of their own value, with Student intervals; rating points except speed.
    """
    votes = ratings.answers
    rows = ratings.rows[ratings.rows["rating"].notna()]
    mean = mean_and_sd(votes)[0]
    residual = votes.rating - mean[votes.item]
    residual -= divide(votes.sum_by_rater(residual), votes.n_by_rater)[votes.rater]
    parts = []
    if "trial" in rows:
        trial = pd.to_numeric(rows["trial"], errors="coerce").to_numpy(float)
        last = pd.Series(trial).groupby(votes.rater).transform("max").to_numpy()
        first = pd.Series(trial).groupby(votes.rater).transform("min").to_numpy()
        share = divide(trial - first, last - first)
        quarter = np.where(np.isnan(share), np.nan, np.minimum(share * 4, 3) // 1 + 1)
        for k in (1, 2, 3, 4):
            parts.append(
                ("position", f"quarter {k}", _means(votes, residual, quarter == k))
            )
        parts.append(("fatigue", "per 10 trials", _slopes(votes, trial, residual)))
        if "response_ms" in rows:
            ms = pd.to_numeric(rows["response_ms"], errors="coerce").to_numpy(float)
            log_ms = np.log(np.where(ms > 0, ms, np.nan))
            parts.append(("speed", "per 10 trials", _slopes(votes, trial, log_ms)))
    if "rated_at" in rows:
        time = pd.to_datetime(rows["rated_at"], utc=True, errors="coerce")
        block = (time.dt.hour // 6).to_numpy(float)
        for k in range(4):
            name = f"{6 * k:02d}–{6 * k + 6:02d} UTC"
            parts.append(("time_of_day", name, _means(votes, residual, block == k)))
    return pd.DataFrame(
        [_summary(effect, name, values, level) for effect, name, values in parts],
        columns=[
            "effect",
            "level",
            "n_participants",
            "estimate",
            "se",
            "ci_low",
            "ci_high",
            "p",
        ],
    )


def _means(votes: Votes, values: np.ndarray, where: np.ndarray) -> np.ndarray:
    rater = votes.rater[where]
    n = np.bincount(rater, minlength=votes.n_raters)
    return divide(np.bincount(rater, values[where], votes.n_raters), n)


def _slopes(votes: Votes, trial: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Each rater's least-squares slope of the values on the trial, per ten trials."""
    known = ~np.isnan(trial) & ~np.isnan(values)
    part = replace(votes.take(known), rating=values[known])
    n = part.n_by_rater
    x = trial[known] / 10
    x = x - divide(part.sum_by_rater(x), n)[part.rater]
    return divide(part.sum_by_rater(x * part.rating), part.sum_by_rater(x * x))


def _summary(
    effect: str, name: str, values: np.ndarray, level: float
) -> dict[str, object]:
    values = without_dust(values[~np.isnan(values)])
    n = len(values)
    mean = values.mean() if n else np.nan
    se = values.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
    low, high = intervals.student(np.array(mean), np.array(se), n - 1, level)
    t = divide(mean, se)
    return {
        "effect": effect,
        "level": name,
        "n_participants": n,
        "estimate": float(mean),
        "se": float(se),
        "ci_low": float(low),
        "ci_high": float(high),
        "p": float(2 * scipy.stats.t.sf(np.abs(t), max(n - 1, 1))),
    }
