"""The options of a report, and what its tables share: who is kept, what recovered."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from analysis.columns import LOSSES
from analysis.stats import (
    factors,
    flags,
    intervals,
    metrics,
    mos,
    recovery,
    screening,
)
from analysis.stats.frame import Ratings, Votes
from analysis.stats.recovery import Recovered
from analysis.stats.rules import RULES

RESAMPLES = 1999
# Each render's own losses are the first objective metrics, where the frame has them.
METRICS = tuple(LOSSES)
# Beyond this many ratings whatever takes seconds is done only when asked for by name.
LARGE = 200_000


@dataclass(frozen=True)
class Options:
    """The options of a report; all of them end up in `analysis.json`."""

    level: float = 0.95
    ci_method: str = "t"
    recovery: str = "p910"
    screen: str = "none"
    exclude: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    metrics: tuple[str, ...] = METRICS
    mapping: str = "cubic"
    bt500_reading: str = "recommendation"
    condition_ci: str = "cluster_t"
    fast_ms: float = flags.FAST_MS
    resamples: int | None = None
    seed: int = intervals.SEED

    @property
    def screening(self) -> str:
        """The word in the `screening` column: the rule, or custom for named people."""
        return "custom" if self.exclude else self.screen

    def __post_init__(self) -> None:
        if self.recovery not in ("none", *recovery.METHODS):
            raise ValueError(
                f"recovery is none, {', '.join(recovery.METHODS)}: {self.recovery!r}"
            )
        if self.mapping not in metrics.MAPPINGS:
            raise ValueError(
                f"mapping is {', '.join(metrics.MAPPINGS)}: {self.mapping!r}"
            )
        if self.screen not in RULES:
            raise ValueError(f"screen is {', '.join(RULES)}: {self.screen!r}")


def screened_out(ratings: Ratings, options: Options) -> dict[str, str]:
    """Whom the chosen rule rejects on any question, and why."""
    unknown = set(options.exclude) - set(ratings.votes.raters.astype(str))
    if unknown:
        raise ValueError(f"Nobody is called {', '.join(sorted(unknown))}.")
    reasons = dict.fromkeys(options.exclude, "excluded by name")
    for _, votes in ratings.votes_by_question:
        for name in votes.raters[rejected_by(votes, options.screen)]:
            reasons.setdefault(str(name), f"screened by {options.screen}")
    return reasons


def rejected_by(votes: Votes, screen: str) -> np.ndarray:
    """The raters (bool, one each) whom a rule of RULES rejects."""
    match screen:
        case "bt500":
            table = screening.bt500(votes)
        case "bt500-reference":
            table = screening.bt500(votes, reading="reference")
        case "p913":
            table = screening.p913_correlation(votes)
        case "pearson" | "spearman":
            table = screening.correlation_screen(votes, method=screen)
        case _:
            return np.zeros(votes.n_raters, bool)
    return table["rejected"].to_numpy()


def without(ratings: Ratings, participants: set[str]) -> Ratings:
    """The ratings without those of these participants."""
    if not participants:
        return ratings
    out = ratings.frame["participant"].astype(str).isin(participants).to_numpy()
    return replace(ratings, frame=ratings.frame[~out].reset_index(drop=True))


def recover(
    ratings: Ratings, options: Options
) -> tuple[dict[str | None, dict[str, Recovered]], dict[str | None, str]]:
    """By question: the models p913, mle and chosen; and the sentence of a refusal."""
    models: dict[str | None, dict[str, Recovered]] = {}
    refusals: dict[str | None, str] = {}
    chosen = options.recovery
    method = recovery.METHODS.get(chosen)
    if chosen.startswith("p910"):
        how: dict[str, Any] = {"level": options.level}
    else:
        screens = chosen in ("bt500", "p913_reject")
        how = {"reading": options.bt500_reading} if screens else {}
    for question, votes in ratings.votes_by_question:
        named = {"p913": recovery.p913(votes)}
        try:
            if method:
                named["chosen"] = method(votes, **how)
        except recovery.NotIdentifiable as refusal:
            refusals[question] = str(refusal)
        if chosen.startswith("p910") and "chosen" in named:
            named["mle"] = named["chosen"]
        models[question] = named
    return models, refusals


@dataclass
class Case:
    """The things that the tables of one report are computed from, each once.

    `notes` collects what the tables have to say, in their order.
    """

    ratings: Ratings
    options: Options
    notes: list[str] = field(default_factory=list)

    @cached_property
    def rejected(self) -> dict[str, str]:
        """The people left out of the tables, each with the reason."""
        return screened_out(self.ratings, self.options)

    @cached_property
    def kept(self) -> Ratings:
        """The ratings of everybody else."""
        return without(self.ratings, set(self.rejected))

    @cached_property
    def compared(self) -> Ratings:
        """The same without hidden references: what factors are compared on."""
        return self.kept.without_references

    @cached_property
    def differences(self) -> Votes:
        """Differences from hidden references, of those who are kept; maybe none."""
        return mos.differential(self.kept)

    @cached_property
    def recovered(self) -> tuple[dict[str | None, dict[str, Recovered]],
                                 dict[str | None, str]]:  # fmt: skip
        """The models of those who are kept, and the refusals, by question."""
        return recover(self.kept, self.options)

    @cached_property
    def recovered_of_all(self) -> dict[str | None, dict[str, Recovered]]:
        """The models of everybody, for the judgement of those left out too."""
        if not self.rejected:
            return self.recovered[0]
        return recover(self.ratings, self.options)[0]

    @cached_property
    def asked_factors(self) -> list[str]:
        """The names in `by` and `model`. Raises ValueError for one that nobody has."""
        options = self.options
        asked = [name for names in options.by for name in names.split(",")]
        asked = list(dict.fromkeys([*asked, *options.model]))
        self.compared.checked_factors(asked)
        return asked

    @cached_property
    def constants(self) -> list[str]:
        """Those of them with one level: a column that compares nothing."""
        table = self.compared.checked_factors(self.asked_factors)
        varying = factors.varying(table)
        return [name for name in self.asked_factors if name not in varying]

    @property
    def by(self) -> list[str]:
        """The factors to pool and compare by, or several joined by commas."""
        constant = set(self.constants)
        return [it for it in self.options.by if constant.isdisjoint(it.split(","))]

    @property
    def model(self) -> list[str]:
        """The factors of the mixed models."""
        return [name for name in self.options.model if name not in self.constants]

    @cached_property
    def measured(self) -> list[str]:
        """The objective metrics that the ratings have.

        Raises ValueError for one that was asked for by name and is not there.
        """
        there = self.kept.factors
        measured = [name for name in self.options.metrics if name in there]
        unknown = [name for name in self.options.metrics if name not in measured]
        if unknown and self.options.metrics != METRICS:
            raise ValueError(
                f"No metric {', '.join(unknown)}: the columns with one value a "
                f"stimulus are {', '.join(map(str, there)) or 'none'}."
            )
        return measured

    @cached_property
    def mos_by_stimulus(self) -> pd.DataFrame:
        """The MOS of every stimulus by every recovery, before it is written."""
        return recovered_mos(self)

    @cached_property
    def judged_metrics(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Every metric against the MOS, and two against each other."""
        table = self.mos_by_stimulus
        theirs = table["stimulus"].astype(str).isin(self.kept.references)
        figures, differences, refused = metrics.metrics_tables(
            table[~theirs], self.measured, mapping=self.options.mapping
        )
        self.notes += refused
        return figures, differences

    @cached_property
    def resamples(self) -> int:
        """Those asked for; else enough for the size, and none for a large panel."""
        if self.options.resamples is not None:
            return self.options.resamples
        return RESAMPLES if len(self.kept.votes.rating) <= LARGE else 0


def recovered_mos(case: Case) -> pd.DataFrame:
    """The columns of `mos_by_stimulus.csv`: those of `mos.mos_table`, and of the
    recoveries."""
    ratings, options = case.kept, case.options
    models, refusals = case.recovered
    table = mos.mos_table(
        ratings,
        level=options.level,
        ci_method=options.ci_method,
        resamples=options.resamples or RESAMPLES,
        seed=options.seed,
    )
    theirs = table.pop("flags")
    added = {
        "mos_mle": ("mle", "quality"),
        "mos_mle_se": ("mle", "se"),
        "mos_mle_se_raters": ("mle", "se_from_raters"),
        "mos_bias_removed": ("p913", "quality"),
        "mos_recovered": ("chosen", "quality"),
        "mos_recovered_se": ("chosen", "se"),
    }
    values = {name: np.full(len(table), np.nan) for name in added}
    words = {word: np.zeros(len(table), bool) for word in flags.RECOVERY}
    by_question = dict(ratings.votes_by_question)
    for question, named in models.items():
        where = np.ones(len(table), bool)
        if question is not None:
            where = (table["question"] == question).to_numpy()
        for name, (model, attribute) in added.items():
            if model in named:
                values[name][where] = getattr(named[model], attribute)
        if "mle" in named:
            empty = recovery.judged_perfectly(by_question[question], named["mle"])
            values["mos_mle_se_raters"][np.flatnonzero(where)[empty]] = np.nan
        words["mle_collapsed"] |= where & ("mle" in named and named["mle"].collapsed)
        words["mle_refused"] |= where & (question in refusals)
    unknown = np.isnan(values["mos_recovered_se"]) & ~np.isnan(values["mos_recovered"])
    words["no_noise_left"] = unknown & (table["n"].to_numpy() > 1)
    ours = mos.join_flags(words)
    joined = [";".join(filter(None, pair)) for pair in zip(theirs, ours, strict=True)]
    if ratings.references:
        marked = table["stimulus"].astype(str).isin(ratings.references)
        table.insert(table.columns.get_loc("n"), "is_reference", marked)
    return table.assign(
        **values, recovery=options.recovery, screening=options.screening, flags=joined
    )
