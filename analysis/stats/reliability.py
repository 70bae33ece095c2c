"""How far raters agree, and how repeatable the means are.

Low agreement is not bad data where taste is asked: say what was measured, and read the
ICC(2,k) for the mean. What cannot be computed is NaN with a note.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import scipy
from scipy import optimize

from analysis.stats import intervals
from analysis.stats.frame import Ratings, Votes, divide
from analysis.stats.mos import mean_and_sd
from analysis.stats.ranks import DUST, ranks, settled, without_dust
from analysis.stats.screening import retest_pairs

METRICS = ("ordinal", "interval", "nominal", "ratio")
# Of categories, which an average is not: these take everyone's first answer instead. A
# second one is no second rater, whose agreement with himself would count.
CATEGORICAL = ("ordinal", "nominal")
NO_VARIANCE = "the ratings do not vary: no correlation is defined"
NO_RELIABILITY = "one rater's correlation is at -1/(k - 1): the mean has no variance"
NO_INTERVAL = "no interval: the bounds of F do not lie around the value"
NO_NOISE = "stimuli or raters explain every rating: no noise to compare with"
MAX_CROSSED = 400  # the smaller of stimuli and raters, for crossed components
LARGEST_LOG = 8.0  # of a variance over that of the noise: there is none beyond
MAX_PAIRWISE = 1_000_000  # cells of the matrix behind all pairs of raters
SPLITS = 200
SPLIT_VISITS = 20_000_000  # ratings × splits worth visiting in a table


@dataclass(frozen=True)
class Statistic:
    """One number with its interval and its n; a row of `reliability.csv`."""

    statistic: str
    value: float
    ci_low: float = np.nan
    ci_high: float = np.nan
    n_raters: int = 0
    n_stimuli: int = 0
    note: str = ""


def krippendorff(
    votes: Votes,
    metric: str = "ordinal",
    *,
    level: float = 0.95,
    resamples: int = 0,
    seed: int = intervals.SEED,
) -> Statistic:
    """Krippendorff's α over the stimuli with two ratings or more.

    `metric` ordinal, interval, nominal or ratio (Krippendorff 2011). The interval, when
    `resamples` > 0, is a percentile bootstrap over stimuli. NaN where all ratings are
    equal: no disagreement was possible.
    """
    if metric not in METRICS:
        raise ValueError(f"α knows {', '.join(METRICS)}: {metric!r}")
    values, counts = votes.distribution
    several = counts.sum(axis=1) > 1
    units = counts[several].astype(float)
    alphas = _Alphas(units, values, metric)
    value = float(alphas(np.ones((1, len(units))))[0])
    reason = "no variation: agreement is not defined"
    if len(units) < 2:
        value, reason = np.nan, "needs two stimuli with two ratings each"
    ends = np.full(2, np.nan)
    if resamples and not np.isnan(value):
        resampled = intervals.cluster_bootstrap(
            alphas, votes.items[several], resamples=resamples, seed=seed
        )
        ends = intervals.middle(resampled, level)
    return Statistic(
        f"krippendorff_alpha_{metric}",
        value,
        *_wide(ends),
        int((votes.n_by_rater > 0).sum()),
        len(units),
        _note(value, ends, resamples, reason),
    )


class _Alphas:
    """α for each row of `times`, resamples × units: unit u counts times[:, u] times.

    Krippendorff's coincidences are pairs of ratings within a unit over its m - 1, and
    their sum by value, the marginal, is how often a value was given. Disagreement is
    summed unit by unit, so no matrix of coincidences is needed.
    """

    def __init__(self, units: np.ndarray, values: np.ndarray, metric: str) -> None:
        """`units`, units × values: how often each value was given, twice at least."""
        self.units, self.metric = units, metric
        self.m = units.sum(axis=1)
        if metric == "ordinal":
            return
        if metric == "nominal":
            self.distance = 1 - np.eye(len(values))
        else:
            self.distance = (values[:, None] - values) ** 2
        if metric == "ratio":
            total = (values[:, None] + values) ** 2
            self.distance = np.nan_to_num(divide(self.distance, total))

    def __call__(self, times: np.ndarray) -> np.ndarray:
        marginal = times @ self.units
        total = marginal.sum(axis=1)
        if self.metric == "ordinal":
            # The ordinal distance is the interval one between the marginals' mid-ranks,
            # here from their mean, so that unanimous ratings are exactly nothing apart.
            place = np.cumsum(marginal, axis=1) - marginal / 2
            place -= divide((marginal * place).sum(axis=1), total)[:, None]
            sums, squares = place @ self.units.T, place**2 @ self.units.T
            apart = 2 * (self.m * squares - sums**2)
            observed = (times * apart / (self.m - 1)).sum(axis=1)
            expected = 2 * total * (marginal * place**2).sum(axis=1)
        else:
            apart = ((self.units @ self.distance) * self.units).sum(axis=1)
            observed = times @ (apart / (self.m - 1))
            expected = ((marginal @ self.distance) * marginal).sum(axis=1)
        return 1 - divide(observed * (total - 1), expected)


def _wide(ends: np.ndarray) -> tuple[float, float]:
    """Both ends; empty where they are one, which would pretend to certainty."""
    low, high = map(float, ends)
    return (low, high) if high - low > DUST else (np.nan, np.nan)


def _note(
    value: float | np.ndarray, ends: np.ndarray, resamples: int, reason: str
) -> str:
    if np.isnan(value):
        return reason
    if not resamples:
        return "no bootstrap asked for"
    if np.isnan(_wide(ends)).all():
        return f"{resamples} resamples, all alike: no interval"
    return f"{resamples} resamples"


def complete_block(votes: Votes) -> np.ndarray:
    """The ratings of those who rated every rated stimulus, raters × stimuli."""
    items = np.flatnonzero(votes.n_by_item)
    most = votes.take((votes.n_by_rater >= len(items))[votes.rater])
    matrix = most.matrix(np.flatnonzero(most.n_by_rater), items)
    return matrix[~np.isnan(matrix).any(axis=1)]


def icc(block: np.ndarray, *, level: float = 0.95) -> list[Statistic]:
    """The six intraclass correlations of a complete raters × stimuli block.

    Shrout and Fleiss (1979): 1 = raters at random by stimulus, 2 = the same random
    raters (absolute agreement), 3 = these raters (consistency; (3,k) is Cronbach's α);
    (·,1) for one rater, (·,k) for the mean of all. Negative values are not clipped.
    """
    k, n = block.shape
    names = [f"icc_{form}_{unit}" for unit in ("1", "k") for form in (1, 2, 3)]
    note = ""
    if k < 2 or n < 2:
        note = "needs two people who rated every stimulus, and two stimuli"
    elif np.ptp(settled(block)) == 0:
        note = NO_VARIANCE
    if note:
        return [
            Statistic(name, np.nan, n_raters=k, n_stimuli=n, note=note)
            for name in names
        ]
    grand = block.mean()
    of_row = without_dust(block.mean(axis=0) - grand)
    of_rater = without_dust(block.mean(axis=1) - grand)
    noise = without_dust(block - grand - of_row - of_rater[:, None])
    ss_raters = n * (of_rater**2).sum()
    msr = k * (of_row**2).sum() / (n - 1)
    msc = ss_raters / (k - 1)
    mse = (noise**2).sum() / ((n - 1) * (k - 1))
    msw = ((noise**2).sum() + ss_raters) / (n * (k - 1))
    return icc_from_mean_squares(msr, msc, mse, msw, n, k, level=level)


def icc_from_mean_squares(
    msr: float, msc: float, mse: float, msw: float, n: int, k: float, *, level: float
) -> list[Statistic]:
    """The six ICCs of n stimuli × k raters from their mean squares, F intervals.

    Empty with a note: an interval where nothing disagrees, and one whose end lies
    beyond the pole of Spearman and Brown's formula at -1/(k - 1), on the other side of
    which it would come out above the value.
    """
    top = (1 + level) / 2

    def one_way(error: float, df: float) -> np.ndarray:
        ratio = divide(msr, error)
        ends = (
            ratio / scipy.stats.f.ppf(top, n - 1, df),
            ratio * scipy.stats.f.ppf(top, df, n - 1),
        )
        value = divide(msr - error, msr + (k - 1) * error)
        return np.array([value, *(divide(f - 1, f + k - 1) for f in ends)])

    icc1 = one_way(msw, n * (k - 1))
    icc3 = one_way(mse, (n - 1) * (k - 1))
    agreement = divide(msr - mse, msr + (k - 1) * mse + k * (msc - mse) / n)
    ratio = divide(msc, mse)
    a = k * agreement * ratio
    b = n * (1 + (k - 1) * agreement) - k * agreement
    df = divide((k - 1) * (n - 1) * (a + b) ** 2, (n - 1) * a**2 + b**2)
    upper, lower = scipy.stats.f.ppf(top, n - 1, df), scipy.stats.f.ppf(top, df, n - 1)
    rest = k * msc + (k * n - k - n) * mse
    icc2 = np.array(
        [
            agreement,
            # Divided by the quantile, which nearly no degrees of freedom make endless.
            divide(n * (divide(msr, upper) - mse), rest + n * divide(msr, upper)),
            divide(n * (msr - divide(mse, lower)), divide(rest, lower) + n * msr),
        ]
    )
    single = [icc1, icc2, icc3]
    # Spearman–Brown
    mean = [divide(k * x, without_dust(1 + (k - 1) * x)) for x in single]
    found = []
    for unit, forms in (("1", single), ("k", mean)):
        for form, (value, low, high) in enumerate(forms, start=1):
            note = ""
            if np.isnan(value):
                note = NO_RELIABILITY if unit == "k" else NO_VARIANCE
                low = high = np.nan
            elif not low <= value <= high:
                note = "no interval: nothing disagrees" if mse == 0 else NO_INTERVAL
                low = high = np.nan
            found.append(
                Statistic(
                    f"icc_{form}_{unit}",
                    float(value),
                    float(low),
                    float(high),
                    int(k),
                    n,
                    note,
                )
            )
    return found


def icc_from_components(
    votes: Votes, *, k: float | None = None, level: float = 0.95
) -> list[Statistic]:
    """The six ICCs from everyone's ratings, missing ones and all.

    Variance components of stimuli, raters and noise by REML with crossed random
    effects (as psych::ICC with lmer). `k` is the number of ratings a mean rests on,
    their harmonic mean by stimulus if None. NaN above 400 stimuli and raters.
    """
    n = int((votes.n_by_item > 0).sum())
    raters = int((votes.n_by_rater > 0).sum())
    names = [
        f"icc_{form}_{unit}_components" for unit in ("1", "k") for form in (1, 2, 3)
    ]
    note = ""
    if min(n, raters) > MAX_CROSSED:
        note = "too many people and stimuli"
    elif n < 2 or raters < 2 or len(votes.rating) < n + raters:
        note = "too few ratings"
    elif np.ptp(settled(votes.rating)) == 0:
        note = NO_VARIANCE
    else:
        stimulus, rater, noise = crossed_components(votes)
        if max(stimulus, rater) >= noise * np.exp(LARGEST_LOG) * 0.999:
            note = NO_NOISE
    if note:
        return [
            Statistic(name, np.nan, n_raters=raters, n_stimuli=n, note=note)
            for name in names
        ]
    if k is None:
        k = float(scipy.stats.hmean(votes.n_by_item[votes.n_by_item > 0]))
    found = icc_from_mean_squares(
        k * stimulus + noise,
        n * rater + noise,
        noise,
        noise + rater,
        n,
        k,
        level=level,
    )
    note = f"REML, k = {k:.3g} ratings a stimulus"
    return [
        replace(
            statistic,
            statistic=name,
            n_raters=raters,
            note="; ".join(filter(None, (note, statistic.note))),
        )
        for name, statistic in zip(names, found, strict=True)
    ]


def crossed_components(votes: Votes) -> tuple[float, float, float]:
    """Variances of stimuli, raters and noise by REML, both effects random and crossed.

    Henderson's equations with the larger effect eliminated (its block is diagonal), so
    that only a system of the smaller effect's size is factorised.
    """
    items, item = np.unique(votes.item, return_inverse=True)
    raters, rater = np.unique(votes.rater, return_inverse=True)
    swap = len(items) > len(raters)
    large, small = (item, rater) if swap else (rater, item)
    y = votes.rating - votes.rating.mean()
    n_large, n_small = np.bincount(large), np.bincount(small)
    shape = (len(n_large), len(n_small))
    cross = np.zeros(shape)
    np.add.at(cross, (large, small), 1)
    cross = np.column_stack([cross, n_large])  # the intercept joins the small block
    sum_large = np.bincount(large, y)
    sum_small = np.append(np.bincount(small, y), y.sum())
    inner = np.diag(np.append(n_small, len(y)).astype(float))
    inner[-1, :-1] = inner[:-1, -1] = n_small
    df = len(y) - 1

    def solve(logs: np.ndarray) -> tuple[float, float]:
        """REML deviance and noise at log(variance/noise) of the large and the small."""
        large_ratio, small_ratio = np.exp(logs)
        pivot = n_large + 1 / large_ratio
        ridge = np.append(np.full(shape[1], 1 / small_ratio), 0)
        reduced = inner + np.diag(ridge) - cross.T @ (cross / pivot[:, None])
        right = sum_small - cross.T @ (sum_large / pivot)
        factor = np.linalg.cholesky(reduced)
        half = np.linalg.solve(factor, right)
        explained = (sum_large**2 / pivot).sum() + half @ half
        noise = max(float(y @ y - explained), 1e-12) / df
        logdet = np.log(pivot).sum() + 2 * np.log(np.diag(factor)).sum()
        logdet += shape[0] * logs[0] + shape[1] * logs[1]
        return df * np.log(noise) + logdet, noise

    best = optimize.minimize(
        lambda logs: solve(logs)[0],
        [0.0, 0.0],
        method="L-BFGS-B",
        bounds=[(-14, LARGEST_LOG)] * 2,
        options={"ftol": 1e-14, "gtol": 1e-8},
    ).x
    noise = solve(best)[1]
    first, second = (noise * np.exp(best)).tolist()
    return (first, second, noise) if swap else (second, first, noise)


def kendall_w(block: np.ndarray) -> Statistic:
    """Kendall's W, corrected for ties, of a complete raters × stimuli block."""
    n, k = block.shape
    value = np.nan
    if n > 1 and k > 1:
        rank = ranks(block, axis=1)
        s = ((rank.sum(axis=0) - n * (k + 1) / 2) ** 2).sum()
        # Σ(ranks - mean)² falls by Σ(t³ - t)/12 for every tied rater.
        value = float(divide(s, n * ((rank - (k + 1) / 2) ** 2).sum()))
    note = "" if not np.isnan(value) else "needs two complete raters who differ"
    return Statistic("kendall_w", value, n_raters=n, n_stimuli=k, note=note)


def sos(
    votes: Votes,
    scale: tuple[float, float],
    *,
    level: float = 0.95,
    resamples: int = 0,
    seed: int = intervals.SEED,
) -> Statistic:
    """The SOS parameter a of S²(m) = a (m - low)(high - m), by least squares.

    Hossfeld, Schatz and Egger (QoMEX 2011), with S² over N - 1. About 0.25 for a
    binomial panel of a 1–5 scale; above 0.3–0.4 a confusing scale or mixed tastes.
    Percentile interval over participants when `resamples` > 0.
    """
    mean, sd = mean_and_sd(votes)
    value = _sos(mean, sd**2, scale)
    ends = np.full(2, np.nan)
    if resamples and not np.isnan(value):
        sums = intervals.ItemSums(votes)

        def refit(drawn: np.ndarray) -> np.ndarray:
            n, total, squares = sums(drawn, powers=3)
            mean = divide(total, n)
            return _sos(mean, divide(squares - n * mean**2, n - 1), scale)

        resampled = intervals.cluster_bootstrap(
            refit, votes.raters, resamples=resamples, seed=seed
        )
        ends = intervals.middle(resampled, level)
    residual = _sos_residual(mean, sd**2, value, scale)
    return Statistic(
        "sos_a",
        float(value),
        *_wide(ends),
        int((votes.n_by_rater > 0).sum()),
        int((~np.isnan(sd)).sum()),
        _note(value, ends, resamples, "no stimulus with two ratings off the ends")
        + ("" if np.isnan(residual) else f"; residual SD of the fit {residual:.3g}"),
    )


def _sos(
    mean: np.ndarray, variance: np.ndarray, scale: tuple[float, float]
) -> np.ndarray:
    g = np.where(np.isnan(variance), 0, (mean - scale[0]) * (scale[1] - mean))
    g = np.nan_to_num(g)
    return divide((g * np.nan_to_num(variance)).sum(axis=-1), (g**2).sum(axis=-1))


def _sos_residual(
    mean: np.ndarray, variance: np.ndarray, a: np.ndarray, scale: tuple[float, float]
) -> float:
    off = variance - a * (mean - scale[0]) * (scale[1] - mean)
    known = off[~np.isnan(off)]
    return float(np.sqrt(divide((known**2).sum(), max(len(known) - 1, 0))))


def split_half(
    votes: Votes, *, splits: int = SPLITS, seed: int = intervals.SEED
) -> Statistic:
    """Mean correlation of the MOS of random halves, Spearman–Brown corrected.

    The interval spans the middle 95 % of the splits: spread of the halving, not a
    confidence interval of the panel.
    """
    rng = np.random.default_rng(seed)
    answered = intervals.in_order(votes.raters)
    answered = answered[votes.n_by_rater[answered] > 0]
    order = rng.random((splits, len(answered))).argsort(axis=1)
    first = np.zeros((splits, votes.n_raters))
    first[:, answered] = order < len(answered) // 2
    n, total = intervals.ItemSums(votes)(first, powers=2)
    halves = (
        divide(total, n),
        divide(votes.sum_by_item(votes.rating) - total, votes.n_by_item - n),
    )
    both = ~np.isnan(halves[0]) & ~np.isnan(halves[1])
    x, y = (np.where(both, half, 0) for half in halves)
    n = both.sum(axis=1)
    x, y = (np.where(both, v - divide(v.sum(axis=1), n)[:, None], 0) for v in (x, y))
    spread = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    r = divide((x * y).sum(axis=1), np.where((n > 2) & (spread > 1e-12), spread, 0))
    corrected = divide(2 * r, 1 + r)
    known = corrected[~np.isnan(corrected)]
    if len(known) == 0:
        note = "needs two raters and three stimuli that differ"
        return Statistic("split_half", np.nan, n_raters=len(answered), note=note)
    limits = _wide(np.quantile(known, [0.025, 0.975]))
    spread_of = "all alike" if np.isnan(limits).all() else "limits are their spread"
    return Statistic(
        "split_half",
        float(known.mean()),
        *limits,
        len(answered),
        int(n.max()),
        f"{len(known)} random halves, Spearman–Brown; {spread_of}",
    )


def retest(ratings: Ratings) -> Statistic:
    """Pearson's r between first and repeated answers of the same person."""
    first, again = retest_pairs(ratings)
    n = len(first)
    known = n > 2 and first.nunique() > 1 and again.nunique() > 1
    difference = (first - again).abs().mean()
    return Statistic(
        "test_retest",
        float(np.corrcoef(first, again)[0, 1]) if known else np.nan,
        n_raters=first.index.get_level_values("participant").nunique(),
        n_stimuli=first.index.get_level_values("stimulus").nunique(),
        note=f"{n} repeated trials"
        + (f", mean absolute difference {difference:.3g}" if n else ""),
    )


def mean_pairwise_pearson(votes: Votes) -> Statistic:
    """Mean correlation of all pairs of raters over what both rated."""
    correlations = (
        pd.DataFrame(settled(votes.matrix().T)).corr(min_periods=3).to_numpy()
    )
    pairs = correlations[np.triu_indices_from(correlations, 1)]
    value = np.nanmean(pairs) if (~np.isnan(pairs)).any() else np.nan
    return Statistic(
        "mean_pairwise_pearson",
        float(value),
        n_raters=int((votes.n_by_rater > 0).sum()),
        n_stimuli=int((votes.n_by_item > 0).sum()),
        note=f"{int((~np.isnan(pairs)).sum())} pairs of people",
    )


# The table ---------------------------------------------------------------------


@dataclass(frozen=True)
class Panel:
    """The answers to one question and how they are to be judged.

    `first` are everyone's first answers where repeats are averaged (`averages`), else
    the same votes; `block` is people × stimuli without a gap.
    """

    votes: Votes
    first: Votes
    block: np.ndarray
    scale: tuple[float, float]
    averages: bool
    level: float
    resamples: int
    seed: int


def _alphas(panel: Panel) -> list[Statistic]:
    """Krippendorff's α by every metric; categories take first answers."""
    rows = []
    for metric in METRICS:
        by_category = panel.averages and metric in CATEGORICAL
        alpha = krippendorff(
            panel.first if by_category else panel.votes,
            metric,
            level=panel.level,
            resamples=panel.resamples,
            seed=panel.seed,
        )
        rule = "first answers" if by_category else "repeated answers averaged"
        note = f"{alpha.note}; {rule}" if panel.averages else alpha.note
        rows.append(replace(alpha, note=note))
    return rows


def _pearson(panel: Panel) -> list[Statistic]:
    """The mean correlation of two people; none of a panel too large for it."""
    if panel.votes.n_raters * panel.votes.n_items > MAX_PAIRWISE:
        return []
    return [mean_pairwise_pearson(panel.votes)]


def _sos_of(panel: Panel) -> list[Statistic]:
    return [
        sos(
            panel.votes,
            panel.scale,
            level=panel.level,
            resamples=panel.resamples,
            seed=panel.seed,
        )
    ]


def _halves(panel: Panel) -> list[Statistic]:
    n = max(len(panel.votes.rating), 1)
    splits = min(SPLITS, max(20, SPLIT_VISITS // n))
    return [split_half(panel.votes, splits=splits, seed=panel.seed)]


# In the order of the rows of `reliability.csv`, before the test–retest.
OF_PANELS: list[Callable[[Panel], list[Statistic]]] = [
    _alphas,
    lambda panel: icc(panel.block, level=panel.level),
    lambda panel: icc_from_components(panel.votes, level=panel.level),
    lambda panel: [kendall_w(panel.block)],
    _pearson,
    _sos_of,
    _halves,
]


def reliability_table(
    ratings: Ratings,
    *,
    level: float = 0.95,
    resamples: int = 1999,
    seed: int = intervals.SEED,
) -> pd.DataFrame:
    """Every agreement statistic of each question, a tidy row each.

    Where repeats are averaged, α nominal and ordinal take first answers, the others
    means; the note says so.
    """
    averages = ratings.repeats == "mean" and ratings.has_repeats
    tables = []
    for (_, votes), (_, first) in zip(
        ratings.votes_by_question, ratings.first_answers_by_question, strict=True
    ):
        panel = Panel(
            votes=votes,
            first=first,
            block=complete_block(votes),
            scale=(ratings.scale_min, ratings.scale_max),
            averages=averages,
            level=level,
            resamples=resamples,
            seed=seed,
        )
        table = pd.DataFrame([row for rows in OF_PANELS for row in rows(panel)])
        tables.append(table)
    again = []
    for (question, asked), table in zip(ratings.by_question, tables, strict=True):
        row = pd.DataFrame([retest(asked)])
        for each in (table, row):
            if question is not None:
                each.insert(0, "question", question)
        again.append(row)
    return pd.concat([*tables, *again], ignore_index=True)
