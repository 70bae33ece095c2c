"""Recovering quality from raters who differ in bias and consistency.

MOS, BT.500 rejection, bias removal (ITU-T P.913 12.4, with or without rejection) and
maximum likelihood by alternating projection (ITU-T P.910 2023 Annex E; Li, Bampis,
Krasula, Janowski and Katsavounidis, HVEI 2020). All work on flat `Votes`; none imputes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import special
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from analysis.stats.frame import Votes, divide
from analysis.stats.ranks import without_dust
from analysis.stats.screening import bt500

MAX_SHARE = 0.5  # our guard, in no standard
EPSILON = 1e-8  # P.910's own guard against a division by zero
MAX_ITERATIONS = 1000
SETTLED = 1e-6  # rating points a round; collapsed fits creep on for ever below this
PERFECT = 1e-3  # an inconsistency below this is a fit to one person's ratings


class NotIdentifiable(ValueError):
    """The model has no answer on these ratings; the sentence says why."""


@dataclass(frozen=True)
class Recovered:
    """The quantities a method recovers from votes; NaN for those it says nothing about.

    Arrays by item: quality and se in rating points. By rater: bias and inconsistency
    (SD) in rating points with their errors, weight_share 0–1, rejected, and perfect:
    fitted to every rating, so that nothing is left to estimate an error by.
    """

    method: str
    quality: np.ndarray
    se: np.ndarray
    bias: np.ndarray
    bias_se: np.ndarray
    inconsistency: np.ndarray
    inconsistency_low: np.ndarray
    inconsistency_high: np.ndarray
    weight_share: np.ndarray
    rejected: np.ndarray
    se_from_raters: np.ndarray
    perfect: np.ndarray
    iterations: int = 0

    @property
    def collapsed(self) -> bool:
        """Someone carries more than half of all weight, or is fitted perfectly."""
        return bool(self.dominant.any())

    @property
    def dominant(self) -> np.ndarray:
        """Raters on whom the likelihood has collapsed."""
        return (self.weight_share > MAX_SHARE) | self.perfect


def judged_perfectly(votes: Votes, model: Recovered) -> np.ndarray:
    """The items (bool) rated by somebody whom the model fits perfectly."""
    return votes.sum_by_item(model.perfect[votes.rater].astype(float)) > 0


def mean_opinion(
    votes: Votes, *, method: str = "mos", **known: np.ndarray
) -> Recovered:
    """The plain mean with SE = SD (N - 1)/√n."""
    n = votes.n_by_item
    quality = divide(votes.sum_by_item(votes.rating), n)
    squares = votes.sum_by_item((votes.rating - quality[votes.item]) ** 2)
    return _recovered(
        votes,
        method,
        quality=quality,
        se=without_dust(np.sqrt(divide(squares, n * np.maximum(n - 1, 0)))),
        **known,
    )


def bt500_mean(votes: Votes, *, reading: str = "recommendation") -> Recovered:
    """The mean without those whom BT.500 rejects (`reading` as in screening.bt500)."""
    rejected = bt500(votes, reading=reading)["rejected"].to_numpy()
    kept = votes.take(~rejected[votes.rater])
    return mean_opinion(kept, method="bt500", rejected=rejected)


def p913(
    votes: Votes, *, reject: bool = False, reading: str = "recommendation"
) -> Recovered:
    """P.913 12.4: the mean after taking each rater's bias off.

    The bias is the mean of x - MOS over what the rater saw, not centred when votes are
    missing. With `reject` BT.500 then judges the shifted ratings of all. The error is
    empty where biases explain ratings that differ: they came from too few of them.
    """
    bias = _bias(votes)
    shifted = replace(votes, rating=votes.rating - bias[votes.rater])
    rejected = np.zeros(votes.n_raters, bool)
    if reject:
        rejected = bt500(shifted, reading=reading)["rejected"].to_numpy()
    kept = ~rejected[votes.rater]
    method = "p913_reject" if reject else "p913"
    result = mean_opinion(
        shifted.take(kept), method=method, bias=bias, rejected=rejected
    )
    explained = (result.se == 0) & (mean_opinion(votes.take(kept)).se > 0)
    return replace(result, se=np.where(explained, np.nan, result.se))


def p910(votes: Votes, *, shrink: float = 0.0, level: float = 0.95) -> Recovered:
    """P.910 Annex E: x = quality + bias + inconsistency · noise, by maximum likelihood.

    Alternates weighted means, biases and residual SDs until the quality moves by less
    than 1e-8, then centres the biases. `se` comes from each stimulus' residuals (as
    P.910), `se_from_raters` from the weights (HVEI 2020). `shrink` = ν > 0 pulls every
    inconsistency to the pooled one as ν ratings would; that is ours and in no standard,
    ν = 0 is P.910 to the letter. Empty are an inconsistency from one rating, which
    would be 0, and whatever error would be 0 because somebody is fitted perfectly.

    Raises NotIdentifiable when there are no votes, when people and stimuli fall into
    groups without a rating between them, or when the iteration does not settle.
    """
    _check_connected(votes)
    n = votes.n_by_rater
    quality = divide(votes.sum_by_item(votes.rating), votes.n_by_item)
    bias, noise = _residuals(votes, quality)
    prior = shrink * noise @ noise / len(noise)
    iterations = 0
    for _ in range(MAX_ITERATIONS):
        variance = divide(votes.sum_by_rater(noise**2) + prior, (n > 0) * (n + shrink))
        weight = (1 / (variance + EPSILON))[votes.rater]
        # Σw(x - bias)/Σw, written as a step from the present quality.
        step = divide(votes.sum_by_item(weight * noise), votes.sum_by_item(weight))
        quality = quality + step
        bias, noise = _residuals(votes, quality)
        iterations += 1
        if np.sqrt(np.nansum(step**2)) < EPSILON:
            break
    if not np.nanmax(np.abs(step)) < SETTLED:
        raise NotIdentifiable(
            f"The maximum likelihood did not settle in {MAX_ITERATIONS} rounds: "
            "these ratings do not determine it."
        )
    spread = without_dust(np.sqrt(variance))
    perfect = spread < PERFECT
    weight = divide(1, variance + EPSILON)
    n_item = votes.n_by_item
    noise = noise - divide(votes.sum_by_item(noise), n_item)[votes.item]
    residual = np.sqrt(votes.sum_by_item(noise**2))
    measured = np.where(spread > 0, spread, np.nan)
    inconsistency = np.where((n > 1) | (shrink > 0), spread, np.nan)
    centre = np.nanmean(bias)
    tails = (1 + np.array([[-level], [level]])) / 2
    low, high = inconsistency * np.sqrt(
        n / special.chdtri(np.where(n, n, np.nan), tails)
    )
    return _recovered(
        votes,
        "p910" if shrink == 0 else "p910_shrunk",
        quality=quality + centre,
        se=divide(
            np.where((n_item > 1) & (residual > SETTLED), residual, np.nan), n_item
        ),
        se_from_raters=np.sqrt(
            divide(1, votes.sum_by_item(1 / measured[votes.rater] ** 2))
        ),
        bias=bias - centre,
        bias_se=divide(np.where(spread > 0, inconsistency, np.nan), np.sqrt(n)),
        inconsistency=inconsistency,
        inconsistency_low=low,
        inconsistency_high=high,
        weight_share=weight / np.nansum(weight),
        perfect=perfect,
        iterations=iterations,
    )


METHODS: dict[str, Callable[..., Recovered]] = {
    "mos": mean_opinion,
    "bt500": bt500_mean,
    "p913": p913,
    "p913_reject": lambda votes, **options: p913(votes, reject=True, **options),
    "p910": p910,
    "p910_shrunk": lambda votes, **options: p910(votes, **{"shrink": 2.0, **options}),
}


def _recovered(votes: Votes, method: str, **known: Any) -> Recovered:
    """A result in which everything that is not known is empty."""
    by_rater = dict.fromkeys(
        (
            "bias",
            "bias_se",
            "inconsistency",
            "inconsistency_low",
            "inconsistency_high",
            "weight_share",
        ),
        np.full(votes.n_raters, np.nan),
    )
    unknown = {
        **by_rater,
        "rejected": np.zeros(votes.n_raters, bool),
        "perfect": np.zeros(votes.n_raters, bool),
        "se_from_raters": np.full(votes.n_items, np.nan),
    }
    return Recovered(method=method, **(unknown | known))


def _bias(votes: Votes) -> np.ndarray:
    quality = divide(votes.sum_by_item(votes.rating), votes.n_by_item)
    return _residuals(votes, quality)[0]


def _residuals(votes: Votes, quality: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bias by rater given the quality, and what is left of each vote."""
    left = votes.rating - quality[votes.item]
    bias = divide(votes.sum_by_rater(left), votes.n_by_rater)
    return bias, left - bias[votes.rater]


def _check_connected(votes: Votes) -> None:
    if len(votes.rating) == 0:
        raise NotIdentifiable("There are no ratings.")
    n_raters = votes.n_raters
    size = n_raters + votes.n_items
    edges = (np.ones(len(votes.rating)), (votes.rater, votes.item + n_raters))
    graph = coo_array(edges, (size, size))
    component = connected_components(graph, directed=False)[1]
    groups = len(np.unique(component[:n_raters][votes.n_by_rater > 0]))
    if groups > 1:
        raise NotIdentifiable(
            f"People and stimuli fall into {groups} groups without a rating between "
            "them: the biases of one cannot be told from the quality of another."
        )
