"""One scale from comparisons: Bradley–Terry (logit) and Thurstone's case V (probit).

Comparisons are choices between two pictures, or ratings compared within a person. Units
are log odds, or √2 σ of case V; scores are centred to mean 0. Pairs from one person are
not independent: the standard errors to trust are those of the bootstrap over people.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special
from scipy.sparse.csgraph import connected_components

from analysis.stats import intervals
from analysis.stats.frame import BrokenRatings, Votes
from analysis.stats.ranks import without_dust

MODELS = ("bradley_terry", "thurstone")
CHOICES = {"first": 1.0, "stimulus": 1.0, "second": 0.0, "tie": 0.5, "none": 0.5}


class Disconnected(ValueError):
    """Some items cannot be placed against the others; the sentence says which."""


@dataclass(frozen=True)
class Scale:
    """Scores by item (centred), SE from the Fisher information, and by bootstrap."""

    model: str
    items: pd.Index
    score: np.ndarray
    se: np.ndarray
    se_bootstrap: np.ndarray
    wins: np.ndarray
    prior: float
    loglik: float

    def table(self) -> pd.DataFrame:
        """Items from best to worst, with their rank and comparisons."""
        table = pd.DataFrame(
            {
                "stimulus": self.items,
                "model": self.model,
                "score": self.score,
                "se": self.se,
                "se_bootstrap": self.se_bootstrap,
                "wins": self.wins.sum(axis=1),
                "comparisons": (self.wins + self.wins.T).sum(axis=1),
                "prior": self.prior,
            }
        )
        return table.sort_values("score", ascending=False, ignore_index=True)


def wins_from_ratings(votes: Votes) -> np.ndarray:
    """Raters × items × items: 1 where a rater put the row above the column, ½ for ties.

    Only items the rater saw both of are compared.
    """
    matrix = votes.matrix()
    difference = without_dust(matrix[:, :, None] - matrix[:, None, :])
    wins = np.where(difference > 0, 1.0, np.where(difference == 0, 0.5, 0.0))
    wins[np.isnan(difference)] = 0
    wins[:, np.arange(votes.n_items), np.arange(votes.n_items)] = 0
    return wins


def wins_from_choices(frame: pd.DataFrame) -> tuple[np.ndarray, pd.Index]:
    """People × items × items from rows (participant, stimulus, second, choice).

    `choice` names the chosen stimulus, or is first, second or tie; rows without a
    choice are skipped. Raises BrokenRatings for a choice that is none of these.
    """
    frame = frame[frame["choice"].notna() & (frame["choice"] != "")]
    first, second = frame["stimulus"].astype(str), frame["second"].astype(str)
    choice = frame["choice"].astype(str)
    share = choice.str.lower().map(CHOICES)
    share = share.where(choice != first, 1.0).where(choice != second, 0.0)
    wrong = share.isna() | (first == second)
    if wrong.any():
        row = frame[wrong].iloc[0]
        where = f"Line {row.name}: " if frame.index.name == "line" else ""
        raise BrokenRatings(
            f"{where}{row['choice']!r} is no choice between {row['stimulus']!r} and "
            f"{row['second']!r}: name one of them, or first, second or tie."
        )
    code, items = pd.factorize(pd.concat([first, second]))
    a, b = np.split(code, 2)
    person, people = pd.factorize(frame["participant"])
    wins = np.zeros((len(people), len(items), len(items)))
    np.add.at(wins, (person, a, b), share)
    np.add.at(wins, (person, b, a), 1 - share)
    return wins, pd.Index(items, name="stimulus")


def fit(
    wins: np.ndarray,
    items: pd.Index,
    *,
    model: str = "bradley_terry",
    prior: float = 0.0,
    resamples: int = 0,
    seed: int = intervals.SEED,
) -> Scale:
    """Scores from a win matrix (items × items), or one a person stacked in front.

    `prior` adds that many wins each way to every pair, which is our regularisation and
    is declared in the table. `resamples` > 0 bootstraps people (needs a stack).

    Raises Disconnected when, without a prior, somebody never lost, never won, or whole
    groups were never compared (Ford 1957): the likelihood then has no maximum.
    """
    if model not in MODELS:
        raise ValueError(f"The model is {' or '.join(MODELS)}: {model!r}")
    by_person = wins if wins.ndim == 3 else wins[None]
    pooled = by_person.sum(axis=0)
    j = len(items)
    pseudo = prior * (1 - np.eye(j))
    if prior == 0:
        _check_connected(pooled, items)
    score, covariance, loglik = _newton(pooled + pseudo, model)
    spread = np.full(j, np.nan)
    if resamples and len(by_person) > 1:
        rng = np.random.default_rng(seed)
        flat = by_person.reshape(len(by_person), -1)
        even = np.full(len(by_person), 1 / len(by_person))
        # A resample may disconnect the items: half a pseudo-win keeps it finite.
        slight = max(prior, 0.5 / max(j, 1)) * (1 - np.eye(j))
        drawn = [
            _newton(
                (rng.multinomial(len(flat), even) @ flat).reshape(j, j) + slight,
                model,
                score,
            )[0]
            for _ in range(resamples)
        ]
        spread = np.std(drawn, axis=0, ddof=1)
    return Scale(
        model,
        items,
        score,
        np.sqrt(np.diag(covariance)),
        spread,
        pooled,
        prior,
        loglik,
    )


def scale_tables(
    frame: pd.DataFrame,
    *,
    resamples: int = intervals.RESAMPLES,
    seed: int = intervals.SEED,
) -> tuple[pd.DataFrame, list[str]]:
    """The Bradley–Terry scale of choices (rows as for `wins_from_choices`) and notes.

    Where the comparisons leave a picture without a finite place, half a win each way is
    added to every pair, and a note says so.
    """
    wins, items = wins_from_choices(frame)
    notes = []
    try:
        scale = fit(wins, items, resamples=resamples, seed=seed)
    except Disconnected as refusal:
        notes.append(f"{refusal} Here half a win each way was added to every pair.")
        scale = fit(wins, items, prior=0.5, resamples=resamples, seed=seed)
    return scale.table(), notes


def _newton(
    wins: np.ndarray, model: str, start: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, float]:
    """Maximum likelihood by Fisher scoring; scores centred, their covariance."""
    j = len(wins)
    score = np.zeros(j) if start is None else start.copy()
    n = wins + wins.T
    loglik = _loglik(score, wins, model)
    information = np.eye(j)
    for _ in range(200):
        d = score[:, None] - score
        if model == "bradley_terry":
            p = special.expit(d)
            weight, gradient = p * (1 - p), wins - n * p
        else:
            p = special.ndtr(d)
            density = np.exp(-(d**2) / 2) / np.sqrt(2 * np.pi)
            weight = density**2 / np.maximum(p * (1 - p), 1e-300)
            gradient = (wins - n * p) * density / np.maximum(p * (1 - p), 1e-300)
        curvature = n * weight
        information = np.diag(curvature.sum(axis=1)) - curvature
        # The information is singular along (1, …, 1); adding it fixes the mean at 0.
        step = np.linalg.solve(information + 1 / j, gradient.sum(axis=1))
        size = 1.0
        while size > 1e-6 and _loglik(score + size * step, wins, model) < loglik:
            size /= 2
        score = score + size * step
        loglik = _loglik(score, wins, model)
        if np.abs(size * step).max(initial=0) < 1e-11:
            break
    covariance = np.linalg.pinv(information, hermitian=True)
    return score - score.mean(), covariance, loglik


def _loglik(score: np.ndarray, wins: np.ndarray, model: str) -> float:
    d = score[:, None] - score
    logs = special.log_expit(d) if model == "bradley_terry" else special.log_ndtr(d)
    return float((wins * logs).sum())


def _check_connected(wins: np.ndarray, items: pd.Index) -> None:
    groups, label = connected_components(wins > 0, connection="strong")
    if groups > 1:
        smallest = np.bincount(label).argmin()
        names = ", ".join(map(str, items[label == smallest][:5]))
        raise Disconnected(
            f"The comparisons fall into {groups} groups that never beat each other "
            f"both ways (one is {names}): their distance has no finite estimate. "
            "Collect more comparisons, or declare a prior."
        )
