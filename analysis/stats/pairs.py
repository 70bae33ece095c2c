"""One scale from comparisons: Bradley–Terry (logit) and Thurstone's case V (probit).

Comparisons are choices between two pictures, or ratings compared within a person. Units
are log odds, or √2 σ of case V; scores are centred to mean 0 in every group of pictures
that comparisons connect. Pairs from one person are not independent: the standard errors
to trust are those of the bootstrap over people.

Where comparisons leave no finite maximum likelihood, Jeffreys' prior takes its place
(Firth 1993, bias-reduced: for Bradley–Terry it adds J - 1 comparisons in all to those
that were made, where half a win for every pair would add J(J - 1)/2 and draw the scores
together the more, the more pictures there are).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special
from scipy.sparse.csgraph import connected_components

from analysis.stats import intervals
from analysis.stats.frame import BrokenRatings, Ratings, Votes
from analysis.stats.mos import join_flags
from analysis.stats.ranks import without_dust

MODELS = ("bradley_terry", "thurstone")
ESTIMATORS = ("auto", "ml", "firth")
CHOICE_COLUMNS = ("participant", "stimulus", "second", "choice")
CHOICES = {"first": 1.0, "stimulus": 1.0, "second": 0.0, "tie": 0.5, "none": 0.5}


class NoComparisons(BrokenRatings):
    """Nobody compared anything."""


class Disconnected(ValueError):
    """Some items cannot be placed against the others; the sentence says which."""


@dataclass(frozen=True)
class PairScale:
    """Scores by item, SE from the Fisher information, and by bootstrap.

    `group` numbers, from 1, the sets of items that comparisons connect; each has a zero
    of its own, and scores of two groups do not compare. `estimator` by item: ml, firth
    or prior. NaN for an item that met no other.
    """

    model: str
    items: pd.Index
    group: np.ndarray
    estimator: np.ndarray
    score: np.ndarray
    se: np.ndarray
    se_bootstrap: np.ndarray
    bootstrap_n: np.ndarray
    wins: np.ndarray
    prior: float
    loglik: float
    flags: list[str]

    def table(self) -> pd.DataFrame:
        """Items by group, from best to worst, with their comparisons."""
        table = pd.DataFrame(
            {
                "stimulus": self.items,
                "model": self.model,
                "group": self.group,
                "score": self.score,
                "se": self.se,
                "se_bootstrap": self.se_bootstrap,
                "bootstrap_n": self.bootstrap_n,
                "wins": self.wins.sum(axis=1),
                "comparisons": (self.wins + self.wins.T).sum(axis=1),
                "estimator": self.estimator,
                "prior": self.prior,
                "flags": self.flags,
            }
        )
        order = ["group", "score"]
        return table.sort_values(order, ascending=[True, False], ignore_index=True)

    def difference(self, a: object, b: object) -> float:
        """Score of item a less that of b; NaN where their groups never met.

        Raises KeyError for an item that is not there.
        """
        i, j = self.items.get_loc(a), self.items.get_loc(b)
        if self.group[i] != self.group[j]:
            return float("nan")
        return float(self.score[i] - self.score[j])


def wins_from_ratings(votes: Votes) -> np.ndarray:
    """Raters × items × items: 1 where a rater put the row above the column, ½ for ties.

    Only items the rater saw both of are compared.
    """
    # Sorted: the bootstrap draws the same people whatever order the rows have.
    matrix = votes.matrix(intervals.in_order(votes.raters))
    difference = without_dust(matrix[:, :, None] - matrix[:, None, :])
    wins = np.where(difference > 0, 1.0, np.where(difference == 0, 0.5, 0.0))
    wins[np.isnan(difference)] = 0
    wins[:, np.arange(votes.n_items), np.arange(votes.n_items)] = 0
    return wins


def wins_from_choices(frame: pd.DataFrame) -> tuple[np.ndarray, pd.Index]:
    """People × items × items from rows (participant, stimulus, second, choice).

    `choice` names the chosen stimulus, or is first, second or tie; rows without a
    choice are skipped. Raises BrokenRatings for a missing column and for a choice that
    is none of these, with the line by a column or an index of that name.
    """
    absent = [c for c in CHOICE_COLUMNS if c not in frame]
    if absent:
        raise BrokenRatings(
            f"The table has no column {', '.join(absent)}; comparisons have "
            f"{', '.join(CHOICE_COLUMNS)}."
        )
    frame = frame[frame["choice"].notna() & (frame["choice"] != "")]
    first, second = frame["stimulus"].astype(str), frame["second"].astype(str)
    choice = frame["choice"].astype(str)
    share = choice.str.lower().map(CHOICES).astype(float)
    share = share.where(choice != first, 1.0).where(choice != second, 0.0)
    wrong = share.isna() | (first == second) | frame["second"].isna()
    if wrong.any():
        row = frame[wrong].iloc[0]
        line = row.name if frame.index.name == "line" else row.get("line")
        where = "" if line is None else f"Line {line}: "
        raise BrokenRatings(
            f"{where}{row['choice']!r} is no choice between {row['stimulus']!r} and "
            f"{row['second']!r}: name one of them, or first, second or tie."
        )
    code, items = pd.factorize(pd.concat([first, second]))
    a, b = np.split(code, 2)
    # Sorted: the bootstrap draws the same people whatever order the rows have.
    person, people = pd.factorize(frame["participant"].astype(str), sort=True)
    wins = np.zeros((len(people), len(items), len(items)))
    np.add.at(wins, (person, a, b), share)
    np.add.at(wins, (person, b, a), 1 - share)
    return wins, pd.Index(items, name="stimulus")


def fit(
    wins: np.ndarray,
    items: pd.Index,
    *,
    model: str = "bradley_terry",
    estimator: str = "ml",
    prior: float = 0.0,
    resamples: int = 0,
    seed: int = intervals.SEED,
) -> PairScale:
    """Scores from a win matrix (items × items), or one a person stacked in front.

    `estimator`: ml, firth (Jeffreys' prior) or auto, which is ml and firth where that
    has no maximum. `prior` > 0 instead adds that many wins each way to every pair of a
    group, declared in the table. `resamples` > 0 bootstraps people (needs a stack);
    resamples in which a group falls apart are left out.

    Raises Disconnected for ml when somebody never lost, never won, or whole groups
    were never compared (Ford 1957), and NoComparisons when nothing was compared at all.
    """
    if model not in MODELS:
        raise ValueError(f"The model is {' or '.join(MODELS)}: {model!r}")
    if estimator not in ESTIMATORS:
        raise ValueError(f"The estimator is {', '.join(ESTIMATORS)}: {estimator!r}")
    by_person = wins if wins.ndim == 3 else wins[None]
    pooled = by_person.sum(axis=0)
    if not pooled.any():
        raise NoComparisons("There are no comparisons: nothing can be placed.")
    by_person = by_person[by_person.any(axis=(1, 2))]  # who compared nothing is no unit
    j = len(items)
    if prior == 0 and estimator == "ml":
        _check_connected(pooled, items)
    count, group = connected_components(pooled > 0, directed=False)
    score, se, spread = (np.full(j, np.nan) for _ in range(3))
    used = np.full(j, "", object)
    kept = np.zeros(j, int)
    alike = np.zeros(j, bool)
    loglik = 0.0
    for members in (np.flatnonzero(group == k) for k in range(count)):
        if len(members) < 2:
            continue
        part = pooled[np.ix_(members, members)]
        how = "prior" if prior > 0 else estimator
        if how == "auto":
            how = "ml" if _strong(part) else "firth"
        pseudo = prior * (1 - np.eye(len(part)))
        found, covariance, theirs = _newton(part + pseudo, model, how == "firth")
        score[members], se[members] = found, np.sqrt(np.diag(covariance))
        used[members] = how
        loglik += theirs
        if resamples and len(by_person) > 1:
            stack = by_person[:, members[:, None], members]
            drawn = _resampled(stack, pseudo, model, how, found, resamples, seed)
            kept[members] = len(drawn)
            if len(drawn) >= max(resamples / 2, 2):
                apart = without_dust(np.std(drawn, axis=0, ddof=1))
                # People who all chose alike would make an error of nothing.
                alike[members] = not apart.any()
                spread[members] = apart if apart.any() else np.nan
    alone = np.isnan(score)
    order = group.argsort(kind="stable")
    place = np.empty(j, int)
    place[order] = np.cumsum(np.diff(group[order], prepend=-1) != 0)
    return PairScale(
        model,
        items,
        place,
        used,
        score,
        se,
        spread,
        kept,
        pooled,
        prior,
        loglik,
        join_flags(
            {
                "never_met": np.full(j, count > 1) & ~alone,
                "never_compared": alone,
                "bias_reduced": used == "firth",
                "people_alike": alike,
                "one_person": ~alone & (bool(resamples) and len(by_person) < 2),
                "few_resamples": ~alone
                & (len(by_person) > 1)
                & (kept < max(resamples / 2, min(resamples, 2))),
            }
        ),
    )


def _resampled(
    stack: np.ndarray,
    pseudo: np.ndarray,
    model: str,
    how: str,
    start: np.ndarray,
    resamples: int,
    seed: int,
) -> np.ndarray:
    """Scores of people drawn with replacement, a row a resample that holds together."""
    rng = np.random.default_rng(seed)
    people, j = stack.shape[:2]
    flat = stack.reshape(people, -1)
    even = np.full(people, 1 / people)
    rows = []
    for _ in range(resamples):
        wins = (rng.multinomial(people, even) @ flat).reshape(j, j)
        if connected_components(wins > 0, directed=False)[0] > 1:
            continue
        firth = how == "firth" or (how == "ml" and not _strong(wins))
        rows.append(_newton(wins + pseudo, model, firth, start, settled=1e-6)[0])
    return np.array(rows).reshape(len(rows), j)


def scale_tables(
    frame: pd.DataFrame,
    *,
    model: str = "bradley_terry",
    estimator: str = "auto",
    prior: float = 0.0,
    resamples: int = intervals.RESAMPLES,
    seed: int = intervals.SEED,
) -> tuple[pd.DataFrame, list[str]]:
    """The scale of choices (rows as for `wins_from_choices`), and notes on it.

    The notes say where the maximum likelihood is not finite, so that Firth's estimate
    took its place, and which pictures never met. Options as for `fit`.
    """
    wins, items = wins_from_choices(frame)
    scale = fit(
        wins,
        items,
        model=model,
        estimator=estimator,
        prior=prior,
        resamples=resamples,
        seed=seed,
    )
    return scale.table(), remarks(scale)


def as_ratings(frame: pd.DataFrame) -> pd.DataFrame:
    """A table of choices as `validate` takes it: lines kept, unrated where it is so."""
    if "choice" not in frame:
        return frame
    lines = {"line": frame.index} if frame.index.name == "line" else {}
    return frame.assign(**lines, rating=frame.get("rating", np.nan))


def scales(
    ratings: Ratings,
    *,
    model: str = "bradley_terry",
    estimator: str = "auto",
    prior: float = 0.0,
    resamples: int = intervals.RESAMPLES,
    seed: int = intervals.SEED,
) -> tuple[pd.DataFrame, list[str]]:
    """One scale a question, of choices if there are any, else of ratings; and notes.

    Only rows that count (kind `rating`, nobody simulated or excluded, as `validate` was
    told) are compared. Raises BrokenRatings when no question has a comparison.
    """
    options: dict[str, Any] = {
        "model": model,
        "estimator": estimator,
        "prior": prior,
        "resamples": resamples,
        "seed": seed,
    }
    if ratings.rows.empty:
        raise NoComparisons("There are no rows that count: nothing can be placed.")
    tables, notes = [], []
    for question in ratings.questions:
        rows = ratings.rows
        if question is not None:
            rows = rows[(rows["question"] == question).to_numpy()]
        try:
            if "choice" in rows:
                table, said = scale_tables(rows, **options)
            else:
                votes = dict(ratings.votes_by_question)[question]
                scale = fit(wins_from_ratings(votes), votes.items, **options)
                table, said = scale.table(), remarks(scale)
        except NoComparisons as refusal:
            notes.append(str(refusal) if question is None else f"{question}: {refusal}")
            continue
        if question is not None:
            table.insert(1, "question", question)
            said = [f"{question}: {sentence}" for sentence in said]
        tables.append(table)
        notes += said
    if not tables:
        raise NoComparisons(*notes)
    return pd.concat(tables, ignore_index=True), notes


def remarks(scale: PairScale) -> list[str]:
    """Sentences to know before reading a scale."""
    notes = []
    groups = [scale.items[scale.group == k] for k in range(1, scale.group.max() + 1)]
    if len(groups) > 1:
        smallest = ", ".join(map(str, min(groups, key=len)[:5]))
        notes.append(
            f"The comparisons leave {len(groups)} groups that never met (one is "
            f"{smallest}): each has a zero of its own, and scores of two groups do not "
            "compare. Collect comparisons between them."
        )
    if (scale.estimator == "firth").any():
        notes.append(
            "Some pictures never lost to the others, or never won, so the maximum "
            "likelihood is not finite: scores are Firth's bias-reduced ones (Jeffreys' "
            "prior)."
        )
    return notes


def _newton(
    wins: np.ndarray,
    model: str,
    firth: bool = False,
    start: np.ndarray | None = None,
    settled: float = 1e-11,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Fisher scoring of connected items; scores centred, their covariance, loglik.

    `firth` maximises the likelihood times Jeffreys' prior √|information|; the pseudo
    comparisons that amount to it (leverages) make the step.
    """
    j = len(wins)
    score = np.zeros(j) if start is None else start.copy()
    n = wins + wins.T

    def at(score: np.ndarray) -> tuple[float, _Terms]:
        terms = _terms(score, wins, n, model)
        value = terms.loglik
        if firth:
            # Singular along (1, …, 1); adding it fixes the mean at 0.
            value += np.linalg.slogdet(terms.information + 1 / j)[1] / 2
        return value, terms

    value, terms = at(score)
    for _ in range(200):
        gradient, information = terms.gradient, terms.information
        if firth:
            inverse = np.linalg.inv(information + 1 / j)
            spread = np.add.outer(np.diag(inverse), np.diag(inverse)) - 2 * inverse
            gradient = gradient + n * terms.slope * spread / 2
            curvature = n * (1 + terms.weight * spread) * terms.weight
            information = np.diag(curvature.sum(axis=1)) - curvature
        step = np.linalg.solve(information + 1 / j, gradient.sum(axis=1))
        size = 1.0
        ahead = at(score + step)
        while size > 1e-6 and ahead[0] < value:
            size /= 2
            ahead = at(score + size * step)
        score = score + size * step
        value, terms = ahead
        if np.abs(size * step).max(initial=0) < settled:
            break
    covariance = np.linalg.inv(terms.information + 1 / j) - 1 / j
    return score - score.mean(), covariance, terms.loglik


@dataclass(frozen=True)
class _Terms:
    """At some scores: the log-likelihood, and by pair what its derivatives need.

    `weight` is the information of one comparison, `slope` its derivative in the
    difference, `gradient` to be summed over the second item.
    """

    loglik: float
    gradient: np.ndarray
    weight: np.ndarray
    slope: np.ndarray
    information: np.ndarray


def _terms(score: np.ndarray, wins: np.ndarray, n: np.ndarray, model: str) -> _Terms:
    d = score[:, None] - score
    if model == "bradley_terry":
        logs, p = special.log_expit(d), special.expit(d)
        weight, gradient = p * (1 - p), wins - n * p
        slope = weight * (1 - 2 * p)
    else:
        logs, p = special.log_ndtr(d), special.ndtr(d)
        density = np.exp(-(d**2) / 2) / np.sqrt(2 * np.pi)
        both = np.maximum(p * (1 - p), 1e-300)
        weight = density**2 / both
        gradient = (wins - n * p) * density / both
        slope = weight * (-2 * d - density * (1 - 2 * p) / both)
    curvature = n * weight
    information = np.diag(curvature.sum(axis=1)) - curvature
    return _Terms(float((wins * logs).sum()), gradient, weight, slope, information)


def _strong(wins: np.ndarray) -> bool:
    """Tell if everybody can be reached from everybody by wins (Ford 1957)."""
    return bool(connected_components(wins > 0, connection="strong")[0] == 1)


def _check_connected(wins: np.ndarray, items: pd.Index) -> None:
    groups, label = connected_components(wins > 0, connection="strong")
    if groups > 1:
        smallest = np.bincount(label).argmin()
        names = ", ".join(map(str, items[label == smallest][:5]))
        raise Disconnected(
            f"The comparisons fall into {groups} groups that never beat each other "
            f"both ways (one is {names}): their distance has no finite estimate. "
            "Collect more comparisons, take Firth's estimate, or declare a prior."
        )
