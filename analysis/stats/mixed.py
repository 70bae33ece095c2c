"""Effects of factors on ratings with a random intercept a participant.

A linear model in rating points (profile likelihood, as lme4) and a cumulative-link
model on the ordered categories (adaptive Gauss–Hermite, as R's ordinal::clmm). One
random intercept has closed forms, so neither needs a library. Crossed random effects
for the stimuli are for R: `ratings_long.csv` is made for that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy
from scipy import optimize, special

from analysis.stats.frame import Ratings, as_numbers, divide, proposed_kind
from analysis.stats.ranks import DUST

TINY = 1e-100  # the least probability of a rating: its square is still a number
MAX_CLMM_RATINGS = 20_000  # above this the cumulative-link model takes minutes


class NotEstimable(ValueError):
    """The design or the ratings do not determine the model; the sentence says why."""


@dataclass(frozen=True)
class Fit:
    """Coefficients in the order of the design's columns, their covariance and more.

    `variance` is that of the random intercept, `residual` of the noise (π²/3 or 1 on
    the latent scale of a cumulative-link model, whose `thresholds` are given).
    """

    coef: np.ndarray
    covariance: np.ndarray
    variance: float
    residual: float
    loglik: float
    df: np.ndarray
    n: int
    thresholds: np.ndarray
    thresholds_se: np.ndarray

    @property
    def se(self) -> np.ndarray:
        return np.sqrt(np.diag(self.covariance))


def linear_mixed(
    y: np.ndarray, x: np.ndarray, group: np.ndarray, *, reml: bool = True
) -> Fit:
    """y = x b + u[group] + e by REML or ML, profiled down to λ = var(u)/var(e).

    For given λ the weighted least squares have a closed form; λ is searched on its
    logarithm and at the boundary 0. `df` are Satterthwaite's. Raises NotEstimable when
    columns of `x` are linearly dependent, there are no degrees of freedom, all ratings
    are equal, or `x` and `group` explain every one exactly.
    """
    _check_design(x, y)
    if np.ptp(y) == 0:
        raise NotEstimable("All ratings are equal: there is nothing to explain.")
    code = _codes(group)
    n_group = np.bincount(code)
    sums = [np.bincount(code, column) for column in (y, *x.T)]
    means = np.stack(sums, axis=1) / n_group[:, None]
    data = np.column_stack([y, x])
    within = data - means[code]
    left = (
        within[:, 0] - within[:, 1:] @ np.linalg.lstsq(within[:, 1:], within[:, 0])[0]
    )
    if len(y) > x.shape[1] + len(n_group) and np.abs(left).max() < DUST:
        raise NotEstimable(
            "The factors and the participants explain every rating exactly: no noise "
            "is left to tell an error by."
        )

    def solve(ratio: float) -> tuple[float, np.ndarray, np.ndarray, float]:
        """Deviance, coefficients, (X'V⁻¹X)⁻¹ and residual variance at λ."""
        shrunk = 1 - 1 / np.sqrt(1 + ratio * n_group)
        white = data - (shrunk[:, None] * means)[code]
        q, r = np.linalg.qr(white[:, 1:])
        coef = np.linalg.solve(r, q.T @ white[:, 0])
        left = white[:, 0] - white[:, 1:] @ coef
        inverse = np.linalg.inv(r)
        df = len(y) - (x.shape[1] if reml else 0)
        noise = float(left @ left) / df
        logdet = np.log1p(ratio * n_group).sum()
        if reml:
            logdet += 2 * np.log(np.abs(np.diag(r))).sum()
        deviance = df * (np.log(2 * np.pi * noise) + 1) + logdet
        return deviance, coef, inverse @ inverse.T, noise

    best = optimize.minimize_scalar(
        lambda log_ratio: solve(np.exp(log_ratio))[0],
        bounds=(-12, 8),
        method="bounded",
        options={"xatol": 1e-9},
    )
    ratio = float(np.exp(best.x))
    if solve(0)[0] <= best.fun:
        ratio = 0.0
    deviance, coef, unscaled, noise = solve(ratio)
    covariance = unscaled * noise
    df = np.full(len(coef), float(len(y) - x.shape[1]))
    if reml and ratio > 0:
        df = _satterthwaite(x, y, code, n_group, means, ratio * noise, noise)
    return Fit(
        coef,
        covariance,
        ratio * noise,
        noise,
        -deviance / 2,
        df,
        len(y),
        np.empty(0),
        np.empty(0),
    )


def _satterthwaite(
    x: np.ndarray,
    y: np.ndarray,
    code: np.ndarray,
    n_group: np.ndarray,
    means: np.ndarray,
    variance: float,
    noise: float,
) -> np.ndarray:
    """Satterthwaite's df of each coefficient: 2 v²/(g' A g) (as lmerTest).

    v is the coefficient's variance, g its gradient in (var u, var e) and A twice the
    inverse Hessian of the REML deviance there; derivatives by central differences.
    """
    data = np.column_stack([y, x])

    def at(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        u, e = parameters
        shrunk = 1 - 1 / np.sqrt(1 + u / e * n_group)
        white = data - (shrunk[:, None] * means)[code]
        q, r = np.linalg.qr(white[:, 1:])
        left = white[:, 0] - q @ (q.T @ white[:, 0])
        logdet = np.log1p(u / e * n_group).sum()
        logdet += 2 * np.log(np.abs(np.diag(r))).sum()
        free = len(y) - x.shape[1]
        inverse = np.linalg.inv(r)
        deviance = free * np.log(e) + logdet + left @ left / e
        return deviance, e * (inverse**2).sum(axis=1)

    point = np.array([variance, noise])
    step = np.diag(point * 1e-3)
    hessian = np.empty((2, 2))
    for i in range(2):
        for j in range(2):
            corners = [
                a * b * at(point + a * step[i] + b * step[j])[0]
                for a in (1, -1)
                for b in (1, -1)
            ]
            hessian[i, j] = sum(corners) / (4 * step[i, i] * step[j, j])
    gradient = np.array(
        [(at(point + h)[1] - at(point - h)[1]) / (2 * h.sum()) for h in step]
    )
    spread = np.einsum("ik,ij,jk->k", gradient, 2 * np.linalg.inv(hessian), gradient)
    return 2 * divide(at(point)[1] ** 2, spread)


def likelihood_ratio(full: Fit, reduced: Fit) -> tuple[float, int, float]:
    """χ², its degrees of freedom and p of two nested ML fits."""
    df = len(full.coef) - len(reduced.coef)
    chi2 = max(2 * (full.loglik - reduced.loglik), 0.0)
    return chi2, df, float(scipy.stats.chi2.sf(chi2, df))


def clustered_least_squares(y: np.ndarray, x: np.ndarray, group: np.ndarray) -> Fit:
    """Ordinary least squares, covariance clustered by group (CR1, as statsmodels)."""
    _check_design(x, y)
    code = np.unique(group, return_inverse=True)[1]
    n, p = x.shape
    clusters = code.max() + 1
    bread = np.linalg.inv(x.T @ x)
    coef = bread @ x.T @ y
    left = y - x @ coef
    scores = np.stack([np.bincount(code, left * c) for c in x.T], axis=1)
    factor = clusters / max(clusters - 1, 1) * (n - 1) / (n - p)
    return Fit(
        coef,
        factor * bread @ scores.T @ scores @ bread,
        np.nan,
        float(left @ left / (n - p)),
        np.nan,
        np.full(p, clusters - 1.0),
        n,
        np.empty(0),
        np.empty(0),
    )


# Distribution, density and slope of the density of the latent noise.
LINKS: dict[str, tuple[Callable, Callable, Callable, float]] = {
    "logit": (
        special.expit,
        lambda z: special.expit(z) * special.expit(-z),
        lambda z: special.expit(z) * special.expit(-z) * (1 - 2 * special.expit(z)),
        np.pi**2 / 3,
    ),
    "probit": (
        special.ndtr,
        lambda z: np.exp(-z * z / 2) / np.sqrt(2 * np.pi),
        lambda z: -np.nan_to_num(z) * np.exp(-z * z / 2) / np.sqrt(2 * np.pi),
        1.0,
    ),
}


def cumulative_link_mixed(
    y: np.ndarray,
    x: np.ndarray,
    group: np.ndarray,
    *,
    link: str = "logit",
    nodes: int = 10,
) -> Fit:
    """P(y ≤ k) = F(threshold_k - x b - u[group]) by maximum likelihood.

    u is integrated out by adaptive Gauss–Hermite quadrature with `nodes` points (1 is
    Laplace). `x` has no intercept; the thresholds are between the categories that
    occur. Standard errors from the observed information. Raises NotEstimable when a
    single category occurs, columns are dependent, or the search fails.
    """
    categories, level = np.unique(y, return_inverse=True)
    k = len(categories) - 1
    if k < 1:
        raise NotEstimable("All ratings are the same category.")
    _check_design(np.column_stack([np.ones(len(y)), x]), y)
    code = _codes(group)
    p = x.shape[1]
    model = _Quadrature(level, x, code, link, nodes)
    share = np.cumsum(np.bincount(level))[:-1] / len(level)
    start = np.concatenate([special.logit(share), np.zeros(p), [np.log(0.5)]])
    start[1:k] = np.log(np.diff(start[:k]))

    def unpack(free: np.ndarray) -> np.ndarray:
        """Increasing thresholds from a first one and log steps; SD from its log."""
        steps = np.exp(np.clip(free[1:k], -30, 30))
        full = free.copy()
        full[1:k] = free[0] + np.cumsum(steps)
        full[-1] = np.exp(np.clip(free[-1], -12, 5))
        return full

    found = optimize.minimize(
        lambda free: -model.loglik(unpack(free)),
        start,
        method="BFGS",
        options={"gtol": 1e-5, "maxiter": 500},
    )
    if not np.isfinite(found.fun) or np.abs(found.x[:-1]).max() > 25:
        raise NotEstimable(
            "The cumulative-link model has no finite answer: a factor separates the "
            "ratings completely."
        )
    estimate = unpack(found.x)
    # Thresholds and coefficients as they are, the SD by its logarithm.
    point = np.append(estimate[:-1], np.log(estimate[-1]))
    information = _hessian(
        lambda v: -model.loglik(np.append(v[:-1], np.exp(v[-1]))), point
    )
    on_boundary = estimate[-1] < 1e-3
    inner = information[:-1, :-1] if on_boundary else information
    covariance = np.linalg.pinv(inner)[: k + p, : k + p]
    return Fit(
        estimate[k : k + p],
        covariance[k:, k:],
        0.0 if on_boundary else float(estimate[-1] ** 2),
        LINKS[link][3],
        float(-found.fun),
        np.full(p, np.inf),
        len(y),
        estimate[:k],
        np.sqrt(np.diag(covariance)[:k]),
    )


class _Quadrature:
    """The marginal likelihood of a cumulative-link model, groups side by side."""

    def __init__(
        self, level: np.ndarray, x: np.ndarray, code: np.ndarray, link: str, nodes: int
    ) -> None:
        self.level, self.x, self.code = level, x, code
        self.groups = code.max() + 1
        self.cdf, self.pdf, self.slope, _ = LINKS[link]
        self.z, weight = np.polynomial.hermite_e.hermegauss(nodes)
        # ∫h = Σ w exp(z²/2) h(z): the rule's own density is divided out.
        self.log_weight = np.log(weight) + self.z**2 / 2
        self.mode = np.zeros(self.groups)

    def loglik(self, parameters: np.ndarray) -> float:
        k = self.level.max()
        edges = np.concatenate([[-np.inf], parameters[:k], [np.inf]])
        eta = self.x @ parameters[k:-1]
        upper = edges[self.level + 1] - eta
        lower = edges[self.level] - eta
        sd = parameters[-1]
        mode, curvature = self._modes(upper, lower, sd)
        width = 1 / np.sqrt(curvature)
        total = np.empty((len(self.z), self.groups))
        for row, z, weight in zip(total, self.z, self.log_weight, strict=True):
            u = mode + width * z
            share = self.cdf(upper - sd * u[self.code]) - self.cdf(
                lower - sd * u[self.code]
            )
            logs = np.log(np.maximum(share, TINY))
            row[:] = np.bincount(self.code, logs, self.groups) - u**2 / 2 + weight
        marginal = special.logsumexp(total, axis=0) + np.log(width)
        return float(marginal.sum() - self.groups * np.log(2 * np.pi) / 2)

    def _modes(
        self, upper: np.ndarray, lower: np.ndarray, sd: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where each group's integrand peaks, and minus its second derivative there."""
        u = self.mode
        for _ in range(50):
            a, b = upper - sd * u[self.code], lower - sd * u[self.code]
            share = np.maximum(self.cdf(a) - self.cdf(b), TINY)
            first = -(self.pdf(a) - self.pdf(b)) / share
            second = (self.slope(a) - self.slope(b)) / share - first**2
            gradient = sd * np.bincount(self.code, first, self.groups) - u
            curvature = 1 - sd**2 * np.bincount(self.code, second, self.groups)
            curvature = np.maximum(curvature, 1e-6)  # both links are log-concave
            step = gradient / curvature
            if np.abs(step).max() < 1e-10:
                break
            u = u + np.clip(step, -2, 2)
        self.mode = u
        return u, curvature


def _hessian(f: Callable[[np.ndarray], float], point: np.ndarray) -> np.ndarray:
    n = len(point)
    steps = np.diag(1e-3 * np.maximum(np.abs(point), 0.1))
    hessian = np.empty((n, n))
    for i in range(n):
        for j in range(i + 1):
            corners = [
                a * b * f(point + a * steps[i] + b * steps[j])
                for a in (1, -1)
                for b in (1, -1)
            ]
            hessian[i, j] = sum(corners) / (4 * steps[i, i] * steps[j, j])
            hessian[j, i] = hessian[i, j]
    return hessian


def _codes(group: np.ndarray) -> np.ndarray:
    code = np.unique(group, return_inverse=True)[1]
    if code.max() < 1:
        raise NotEstimable("One participant only: nothing says how people differ.")
    return code


def _check_design(x: np.ndarray, y: np.ndarray) -> None:
    if len(y) <= x.shape[1]:
        raise NotEstimable(
            f"{len(y)} ratings cannot determine {x.shape[1]} coefficients."
        )
    if np.linalg.matrix_rank(x) < x.shape[1]:
        raise NotEstimable(
            "The factors are confounded: their columns are linearly dependent, so no "
            "effect can be told apart. Leave one of them out."
        )


def design_columns(
    levels: pd.DataFrame,
    factors: Sequence[str],
    kinds: Mapping[str, str] | None = None,
) -> dict[str, dict[str, np.ndarray]]:
    """Design columns by factor: {factor: {term: (rows,) values}}, no intercept.

    By its kind, as in `kinds` or as proposed. Numeric: `alpha` with `beta` become one
    number log10(alpha/beta); other numbers spanning a decade or more become log10 (plus
    a declared small number if zero occurs), the rest stay as they are. Ordered: layers
    by depth with orthogonal polynomials (.L, .Q, …). Nominal: against the first level.
    Raises NotEstimable for a numeric factor with a level that is no number.
    """
    kinds = {name: proposed_kind(name, levels[name]) for name in levels} | {
        **(kinds or {})
    }
    names = [name for name in factors if levels[name].nunique() > 1]
    both = {"alpha", "beta"}
    if both & set(names) and all(kinds.get(name) == "numeric" for name in both):
        ratio = as_numbers(levels["alpha"]) / as_numbers(levels["beta"])
        levels = levels.assign(**{"alpha/beta": ratio})
        kinds["alpha/beta"] = "numeric"
        names = ["alpha/beta", *(n for n in names if n not in ("alpha", "beta"))]
    return {name: _coded(name, levels[name], kinds[name]) for name in names}


def _coded(name: str, column: pd.Series, kind: str) -> dict[str, np.ndarray]:
    if kind == "numeric":
        values = as_numbers(column)
        if np.isnan(values).any():
            level = column[np.isnan(values)].iloc[0]
            raise NotEstimable(
                f"{name} is numeric, and its level {level!r} is no number."
            )
        positive = values[values > 0]
        if values.min() >= 0 and len(positive) and values.max() >= 10 * positive.min():
            if len(positive) == len(values):
                return {f"log10({name})": np.log10(values)}
            small = positive.min() / 10
            return {f"log10({name} + {small:g})": np.log10(values + small)}
        return {name: values}
    if kind == "ordered":
        depth = sorted(column.unique(), key=_depth)
        place = column.map({level: k for k, level in enumerate(depth)}).to_numpy(int)
        powers = np.vander(np.arange(len(depth)), increasing=True).astype(float)
        q, r = np.linalg.qr(powers)
        contrasts = (q * np.sign(np.diag(r)))[place, 1:]
        suffixes = ["L", "Q", "C", *(f"^{k}" for k in range(4, len(depth)))]
        return {
            f"{name}.{suffix}": column
            for suffix, column in zip(suffixes, contrasts.T, strict=False)
        }
    return {
        f"{name}={level}": (column == level).to_numpy(float)
        for level in column.unique()[1:]
    }


def _depth(layer: object) -> list[tuple[int, object]]:
    """conv2_10 after conv2_9: numbers in a name compare as numbers."""
    parts: list[tuple[int, object]] = []
    for digits, word in re.findall(r"(\d+)|(\D+)", str(layer)):
        parts.append((0, int(digits)) if digits else (1, word))
    return parts


def factor_effects(
    ratings: Ratings, factors: Sequence[str], *, level: float = 0.95
) -> tuple[pd.DataFrame, list[str]]:
    """Both models on the factors: a row a term, and a χ² row a factor (ML, dropped).

    Columns: question (if asked), model (lmm in rating points, clmm in log odds), term,
    estimate, se, ci_low, ci_high, df, p, chi2, n_ratings, factor_kind. Repeats that are
    averaged are so in the linear model; the cumulative-link model has categories and
    takes every answer. Stimuli without a level of some factor are left out. Also the
    sentences on these, of models that could not be fitted, and of factors that were
    taken as numbers though they are text.
    """
    table = ratings.checked_factors(factors)
    stimuli = ratings.votes.items.get_level_values("stimulus")
    table = table[~stimuli.duplicated()].set_axis(stimuli[~stimuli.duplicated()])
    rows: list[dict[str, object]] = []
    notes: list[str] = []
    gaps = table[list(factors)].isna().any(axis=1)
    if gaps.any():
        notes.append(
            f"{gaps.sum()} stimuli have no level of {' or '.join(factors)}: the models "
            "are of the others."
        )
    kinds = dict(ratings.kinds)
    columns = ["model", "term", "estimate", "se", "ci_low", "ci_high", "df", "p"]
    for (question, averages), (_, answers) in zip(
        ratings.votes_by_question, ratings.answers_by_question, strict=True
    ):
        for model, given in (("lmm", averages), ("clmm", answers)):
            known = ~gaps.reindex(given.items).to_numpy(bool)
            votes = given.take(known[given.item])
            levels = table.loc[votes.items[votes.item]].reset_index(drop=True)
            try:
                coded = design_columns(levels, factors, kinds)
            except NotEstimable as refusal:
                return pd.DataFrame(columns=columns), [*notes, str(refusal)]
            if not coded:
                continue
            if model == "clmm" and len(votes.rating) > MAX_CLMM_RATINGS:
                notes.append(
                    f"clmm: left out above {MAX_CLMM_RATINGS} ratings; fit it in R."
                )
                continue
            try:
                fitted = _effects(model, votes.rating, coded, votes.rater, level)
            except NotEstimable as refusal:
                notes.append(f"{model}: {refusal}")
                continue
            factor_of = {term: name for name in coded for term in coded[name]}
            factor_of |= {f"{name} (all)": name for name in coded}
            for row in fitted:
                name = factor_of.get(str(row["term"]), "")
                row["factor_kind"] = (kinds | {"alpha/beta": "numeric"}).get(name, "")
                rows.append(row if question is None else {"question": question, **row})
    notes += [
        f"{name} was taken as numbers (a slope), for every level is one; if they are "
        f"names, say so: --nominal {name}."
        for name in factors
        if kinds[name] == "numeric"
        and name not in ratings.declared
        and all(isinstance(level, str) for level in table[name].dropna())
    ]
    return pd.DataFrame(rows, columns=None if rows else columns), notes


def _effects(
    model: str,
    y: np.ndarray,
    coded: dict[str, dict[str, np.ndarray]],
    group: np.ndarray,
    level: float,
) -> list[dict[str, object]]:
    def fit(factors: Sequence[str], reml: bool) -> tuple[list[str], Fit]:
        columns = {t: v for name in factors for t, v in coded[name].items()}
        x = np.column_stack([*columns.values()]) if columns else np.empty((len(y), 0))
        if model == "clmm":
            return [*columns], cumulative_link_mixed(y, x, group)
        x = np.column_stack([np.ones(len(y)), x])
        return ["(intercept)", *columns], linear_mixed(y, x, group, reml=reml)

    terms, best = fit([*coded], reml=True)
    quantile = scipy.stats.t.ppf((1 + level) / 2, best.df)
    rows: list[dict[str, object]] = [
        {
            "model": model,
            "term": term,
            "estimate": estimate,
            "se": se,
            "ci_low": estimate - q * se,
            "ci_high": estimate + q * se,
            "df": df,
            "p": 2 * scipy.stats.t.sf(abs(estimate / se), df),
            "chi2": np.nan,
            "n_ratings": best.n,
        }
        for term, estimate, se, q, df in zip(
            terms, best.coef, best.se, quantile, best.df, strict=True
        )
    ]
    full = best if model == "clmm" else fit([*coded], reml=False)[1]
    for name in coded:
        reduced = fit([other for other in coded if other != name], reml=False)[1]
        chi2, df, p = likelihood_ratio(full, reduced)
        rows.append(
            {
                "model": model,
                "term": f"{name} (all)",
                "df": df,
                "p": p,
                "chi2": chi2,
                "n_ratings": best.n,
            }
        )
    rows.append(
        {
            "model": model,
            "term": "SD of participants",
            "estimate": np.sqrt(best.variance),
            "n_ratings": best.n,
        }
    )
    return rows
