"""How well an objective metric predicts the MOS, as ITU-T P.1401 (2020) asks.

Rank correlations on raw values; PLCC, RMSE, RMSE* and the outlier ratio after a
declared monotone mapping. A loss falls as quality rises: mappings may decrease. Refused
below ten stimuli, where a mapping of four coefficients leaves nothing to judge by.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
import scipy
from scipy import optimize, special

from analysis.stats.contrasts import holm
from analysis.stats.frame import as_numbers, divide
from analysis.stats.ranks import ranks, settled

MAPPINGS = ("none", "linear", "cubic", "logistic", "isotonic")
MIN_STIMULI = 10
STARTS = 4  # of the logistic's search, beside the best one of every width


class TooFewStimuli(ValueError):
    """Not enough stimuli with a MOS and a metric; the sentence says how many."""


@dataclass(frozen=True)
class Agreement:
    """One metric against the MOS, in the order of P.1401 section 7.

    `d` is the number of fitted coefficients (1 without a mapping), which the errors
    lose as degrees of freedom; `rmse_star` counts only what lies outside each MOS'
    interval (7.7), `outlier_ratio` the share that does (7.5.2.2), both among the
    `n_intervals` stimuli whose MOS has one. `mapped` is the prediction on the rating
    scale, NaN for stimuli left out.
    """

    metric: str
    mapping: str
    n: int
    n_intervals: int
    d: int
    plcc: float
    plcc_low: float
    plcc_high: float
    srocc: float
    srocc_p: float
    krocc: float
    rmse: float
    rmse_star: float
    outlier_ratio: float
    coefficients: tuple[float, ...]
    mapped: np.ndarray


def agreement(
    metric: np.ndarray,
    mos: np.ndarray,
    half_width: np.ndarray,
    *,
    mapping: str = "cubic",
    name: str = "metric",
    level: float = 0.95,
    minimum: int = MIN_STIMULI,
) -> Agreement:
    """Compare a metric with the MOS and its interval half-widths, one value a stimulus.

    `mapping`: none, linear (d = 2), cubic (monotone on the data's range, d = 4),
    logistic (four parameters, d = 4) or isotonic (exploration only: d counts its
    levels). Raises TooFewStimuli below `minimum` complete stimuli.
    """
    if mapping not in MAPPINGS:
        raise ValueError(f"mapping is {', '.join(MAPPINGS)}: {mapping!r}")
    known = np.isfinite(metric) & np.isfinite(mos)
    x, y, half = metric[known], mos[known], half_width[known]
    n = len(x)
    if n < minimum:
        raise TooFewStimuli(
            f"{name}: {n} stimuli have both a MOS and a value; P.1401's figures are "
            f"not given below {minimum}."
        )
    if np.ptp(x) == 0 or np.ptp(settled(y)) == 0:
        raise TooFewStimuli(f"{name}: the values do not vary.")
    of_metric, of_mos = ranks(x, relative=True), ranks(y)
    rank = scipy.stats.spearmanr(of_metric, of_mos)
    fitted, coefficients, d = _FITS[mapping](x, y, np.sign(rank.statistic) or 1.0)
    error = y - fitted
    outside = np.maximum(np.abs(error) - half, 0)
    judged = ~np.isnan(outside)
    plcc = np.corrcoef(fitted, y)[0, 1] if np.ptp(fitted) > 0 else np.nan
    reach = scipy.stats.norm.ppf((1 + level) / 2) / np.sqrt(max(n - 3, 1))
    fisher = np.arctanh(np.clip(plcc, -1 + 1e-15, 1 - 1e-15))
    low, high = np.tanh(fisher - reach), np.tanh(fisher + reach)
    mapped = np.full(len(metric), np.nan)
    mapped[known] = fitted
    return Agreement(
        name,
        mapping,
        n,
        int(judged.sum()),
        d,
        float(plcc),
        float(low),
        float(high),
        float(rank.statistic),
        float(rank.pvalue),
        float(scipy.stats.kendalltau(of_metric, of_mos).statistic),
        float(np.sqrt(divide((error**2).sum(), max(n - d, 0)))),
        float(np.sqrt(divide((outside[judged] ** 2).sum(), max(judged.sum() - d, 0)))),
        float(divide((outside[judged] > 0).sum(), judged.sum())),
        tuple(map(float, coefficients)),
        mapped,
    )


def _none(
    x: np.ndarray, y: np.ndarray, sign: float
) -> tuple[np.ndarray, np.ndarray, int]:
    return x, np.empty(0), 1


def _linear(
    x: np.ndarray, y: np.ndarray, sign: float
) -> tuple[np.ndarray, np.ndarray, int]:
    coefficients = np.polynomial.polynomial.polyfit(x, y, 1)
    return np.polynomial.polynomial.polyval(x, coefficients), coefficients, 2


def _cubic(
    x: np.ndarray, y: np.ndarray, sign: float
) -> tuple[np.ndarray, np.ndarray, int]:
    """Third-order polynomial, least squares, monotone between the extreme values."""
    centre, half = (x.max() + x.min()) / 2, np.ptp(x) / 2
    basis = np.vander((x - centre) / half, 4, increasing=True)
    grid = np.linspace(-1, 1, 201)
    slope = sign * np.vander(grid, 3, increasing=True) * [1, 2, 3]
    free = np.linalg.lstsq(basis, y, rcond=None)[0]
    if (slope @ free[1:]).min() < 0:
        line = np.linalg.lstsq(basis[:, :2], y, rcond=None)[0]
        free = optimize.minimize(
            lambda c: ((basis @ c - y) ** 2).sum(),
            np.append(line, [0, 0]),
            jac=lambda c: 2 * basis.T @ (basis @ c - y),
            method="SLSQP",
            constraints={
                "type": "ineq",
                "fun": lambda c: slope @ c[1:],
                "jac": lambda c: np.column_stack([np.zeros(len(grid)), slope]),
            },
            options={"ftol": 1e-12, "maxiter": 500},
        ).x
    shifted = np.polynomial.Polynomial(free, [x.min(), x.max()], [-1, 1])
    return basis @ free, shifted.convert().coef, 4


def _logistic(
    x: np.ndarray, y: np.ndarray, sign: float
) -> tuple[np.ndarray, np.ndarray, int]:
    """Four parameters (VQEG): low + (high - low)/(1 + exp(-(x - centre)/width)).

    For a centre and a width the other two are a straight line, so that only these two
    are searched: on a lattice, then from its best few points, since the squares have
    several minima. Curves that run against `sign` are out.
    """
    middle, half = (x.max() + x.min()) / 2, np.ptp(x) / 2
    u = (x - middle) / half

    def fit(place: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ends and fitted values for rows of (centre, log width), and their squares."""
        width = np.exp(np.clip(place[:, 1:], -9, 9))
        z = special.expit((u - place[:, :1]) / width)
        mean = z.mean(axis=1, keepdims=True)
        spread = ((z - mean) ** 2).sum(axis=1)
        rise = ((z - mean) @ y) / np.where(spread > 1e-18, spread, np.inf)
        rise = np.where(rise * sign > 0, rise, 0.0)
        low = y.mean() - rise * mean[:, 0]
        fitted = low[:, None] + rise[:, None] * z
        return np.column_stack([low, rise]), fitted, ((fitted - y) ** 2).sum(axis=1)

    values = np.unique(u)
    steps = (values[1:] + values[:-1]) / 2
    centres = np.concatenate(
        [np.quantile(steps, np.linspace(0, 1, 31)), [-20, -6, -3, -1.5, 1.5, 3, 6, 20]]
    )
    widths = np.log([0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 4])
    lattice = np.array([(c, w) for c in centres for w in widths])
    squares = fit(lattice)[2]
    starts = lattice[np.argsort(squares, kind="stable")[:STARTS]]
    # The best of every width as well: minima of steep and flat curves lie far apart.
    by_width = squares.reshape(len(centres), -1).argmin(axis=0) * len(widths)
    starts = np.concatenate([starts, lattice[by_width + np.arange(len(widths))]])
    found = [
        optimize.least_squares(
            lambda p: fit(p[None])[1][0] - y,
            start,
            x_scale=[0.1, 0.5],
            ftol=1e-10,
            xtol=1e-10,
            gtol=1e-12,
            max_nfev=300,
        ).x
        for start in np.unique(starts, axis=0)
    ]
    every = np.concatenate([found, starts])
    ends, fitted, squares = fit(every)
    best = int(squares.argmin())
    centre = middle + half * every[best, 0]
    width = half * np.exp(np.clip(every[best, 1], -9, 9))
    return fitted[best], np.append(ends[best], [centre, width]), 4


def _isotonic(
    x: np.ndarray, y: np.ndarray, sign: float
) -> tuple[np.ndarray, np.ndarray, int]:
    code = np.unique(x, return_inverse=True)[1]
    weight = np.bincount(code)
    means = np.bincount(code, y) / weight
    levels = optimize.isotonic_regression(
        means, weights=weight, increasing=bool(sign > 0)
    ).x
    return levels[code], np.empty(0), len(np.unique(levels))


_FITS: dict[str, Callable[..., tuple[np.ndarray, np.ndarray, int]]] = {
    "none": _none,
    "linear": _linear,
    "cubic": _cubic,
    "logistic": _logistic,
    "isotonic": _isotonic,
}


def correlation_difference(r1: float, r2: float, n: int) -> tuple[float, float]:
    """z and p for two correlations of independent sets of n (P.1401 7.6.1)."""
    z = float((np.arctanh(r1) - np.arctanh(r2)) / np.sqrt(2 / (n - 3)))
    return z, float(2 * scipy.stats.norm.sf(abs(z)))


def dependent_correlation_difference(
    r1: float, r2: float, r12: float, n: int
) -> tuple[float, float]:
    """z and p for two metrics on the same n stimuli (Meng, Rosenthal and Rubin 1992).

    `r12` is the correlation of the two metrics; all signs oriented alike.
    """
    mean = (r1**2 + r2**2) / 2
    f = min(float(divide(1 - r12, 2 * (1 - mean))), 1.0)
    h = float(divide(1 - f * mean, 1 - mean))
    spread = np.sqrt(2 * (1 - r12) * h / (n - 3))
    z = float(divide(np.arctanh(r1) - np.arctanh(r2), spread))
    return z, float(2 * scipy.stats.norm.sf(abs(z)))


def rmse_difference(a: Agreement, b: Agreement) -> tuple[float, float]:
    """F and two-sided p for two RMSEs (P.1401 7.6.4), as if independent."""
    f = float(divide(a.rmse**2, b.rmse**2))
    tail = scipy.stats.f.sf(f, a.n - a.d, b.n - b.d)
    return f, float(2 * min(tail, 1 - tail))


def outlier_difference(a: Agreement, b: Agreement) -> tuple[float, float]:
    """z and two-sided p for two outlier ratios (P.1401 7.6.2)."""
    n_a, n_b = a.n_intervals, b.n_intervals
    p = divide(a.outlier_ratio * n_a + b.outlier_ratio * n_b, n_a + n_b)
    spread = np.sqrt(p * (1 - p) * (divide(1, n_a) + divide(1, n_b)))
    z = float(divide(a.outlier_ratio - b.outlier_ratio, spread))
    return z, float(2 * scipy.stats.norm.sf(abs(z)))


def metrics_tables(
    table: pd.DataFrame,
    metrics: Sequence[str],
    *,
    mapping: str = "cubic",
    minimum: int = MIN_STIMULI,
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Metric columns of a MOS table against its MOS: figures, differences, refusals.

    One set a question, where the table has several. Differences compare every two
    metrics on the stimuli that have both, fitted anew to these: PLCC as dependent
    correlations (without a mapping, of a metric that falls as quality rises, turned
    round), RMSE and outlier ratio as P.1401, Holm over the pairs; `n` is theirs.
    """
    if "question" not in table:
        return _tables(table, metrics, mapping, minimum)
    parts = []
    for question, part in table.groupby("question", sort=False, observed=True):
        figures, differences, refusals = _tables(part, metrics, mapping, minimum)
        for found in (figures, differences):
            if len(found):
                found.insert(0, "question", question)
        parts.append((figures, differences, [f"{question}: {it}" for it in refusals]))
    return (
        pd.concat([figures for figures, _, _ in parts], ignore_index=True),
        pd.concat([differences for _, differences, _ in parts], ignore_index=True),
        [refusal for _, _, refusals in parts for refusal in refusals],
    )


def _tables(
    table: pd.DataFrame, metrics: Sequence[str], mapping: str, minimum: int
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    mos = table["mos"].to_numpy(float)
    half = table["ci_half_width"].to_numpy(float)

    def judged(name: str, among: np.ndarray) -> Agreement:
        values = np.where(among, as_numbers(table[name]), np.nan)
        return agreement(values, mos, half, mapping=mapping, name=name, minimum=minimum)

    found: list[Agreement] = []
    refusals = []
    for name in dict.fromkeys(metrics):
        try:
            found.append(judged(name, np.ones(len(table), bool)))
        except TooFewStimuli as refusal:
            refusals.append(str(refusal))
    figures = pd.DataFrame(
        [
            {
                key: "|".join(map(repr, value)) if key == "coefficients" else value
                for key, value in vars(a).items()
                if key != "mapped"
            }
            for a in found
        ]
    )
    rows = []
    for a, b in combinations(found, 2):
        both = np.isfinite(a.mapped) & np.isfinite(b.mapped)
        try:
            if both.sum() < max(a.n, b.n):
                a, b = judged(a.metric, both), judged(b.metric, both)
        except TooFewStimuli as refusal:
            refusals.append(f"{a.metric} against {b.metric}: {refusal}")
            continue
        r12 = np.corrcoef(a.mapped[both], b.mapped[both])[0, 1]
        turn_a, turn_b = (
            -1 if mapping == "none" and it.srocc < 0 else 1 for it in (a, b)
        )
        z, p = dependent_correlation_difference(
            turn_a * a.plcc, turn_b * b.plcc, turn_a * turn_b * r12, a.n
        )
        f, p_rmse = rmse_difference(a, b)
        z_or, p_or = outlier_difference(a, b)
        rows.append(
            {
                "a": a.metric,
                "b": b.metric,
                "n": a.n,
                "z_plcc": z,
                "p_plcc": p,
                "f_rmse": f,
                "p_rmse": p_rmse,
                "z_outliers": z_or,
                "p_outliers": p_or,
            }
        )
    differences = pd.DataFrame(rows)
    for name in ("plcc", "rmse", "outliers") if rows else ():
        differences[f"p_{name}_holm"] = holm(differences[f"p_{name}"].to_numpy())
    return figures, differences, refusals
