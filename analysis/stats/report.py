"""Everything about a study at once: its tables, and where they came from."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.stats import (
    anova,
    contrasts,
    factors,
    flags,
    intervals,
    metrics,
    mixed,
    mos,
    raters,
    recovery,
    reliability,
    screening,
    writing,
)
from analysis.stats.codebook import codebook
from analysis.stats.frame import Ratings, Votes, divide
from analysis.stats.recovery import Recovered
from analysis.stats.reliability import complete_block
from nstlab.core.version import software

SCREENS = ("none", "bt500", "bt500-reference", "p913", "pearson", "spearman")
RESAMPLES = 1999
FRIEDMAN_ITEMS = 200
# Each render's own losses are the first objective metrics, where the frame has them.
METRICS = ("content_loss", "style_loss", "tv_loss")
# Beyond this many ratings whatever takes seconds is done only when asked for by name.
LARGE = 200_000


@dataclass(frozen=True)
class Options:
    """What was asked of a report; all of it ends up in `analysis.json`."""

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
        if self.screen not in SCREENS:
            raise ValueError(f"screen is {', '.join(SCREENS)}: {self.screen!r}")


@dataclass(frozen=True)
class Report:
    """Tables by file name, and the summary that becomes `analysis.json`.

    `beside` names the columns of files that others write, for the codebook.
    """

    tables: dict[str, pd.DataFrame]
    summary: dict[str, Any] = field(default_factory=dict)
    beside: dict[str, Sequence[str]] = field(default_factory=dict)

    def write(self, folder: str | Path) -> list[Path]:
        """Write every table as CSV, `codebook.csv` and `analysis.json`; their paths."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        columns = {name: [*map(str, it)] for name, it in self.tables.items()}
        tables = {**self.tables, "codebook.csv": codebook({**self.beside, **columns})}
        for name, table in tables.items():
            paths.append(folder / name)
            writing.write_csv(table, paths[-1])
        paths.append(folder / "analysis.json")
        writing.write_json(self.summary, paths[-1])
        return paths


def build(ratings: Ratings, options: Options | None = None) -> Report:
    """The whole report on validated ratings.

    Screening decides who is left out of the tables; `raters.csv` judges everyone, and
    ends with those excluded by hand; `screening.csv` shows the MOS under every rule
    side by side. Hidden references have rows of their own there and count as answers
    of their raters; whatever compares stimuli or levels of factors leaves them out.
    Raises ValueError for a factor the ratings do not have.
    """
    options = options or Options()
    rejected = screened_out(ratings, options)
    kept = without(ratings, set(rejected))
    models, refusals = recover(kept, options)
    everyone, _ = recover(ratings, options) if rejected else (models, refusals)
    table = _mos(kept, options, models, refusals)
    rater_table = raters.raters_table(
        ratings,
        {q: named["chosen"] for q, named in everyone.items() if "chosen" in named},
        reading=options.bt500_reading,
        fast_ms=options.fast_ms,
    )
    names = rater_table["participant"].astype(str)
    rater_table["excluded"] = names.isin(list(rejected))
    rater_table["exclusion_reason"] = names.map(rejected)
    by_hand = ratings.of_the_excluded()
    if not by_hand.rows.empty:
        left = _excluded(by_hand, options)
        rater_table = pd.concat([rater_table, left], ignore_index=True)
    compared = kept.without_references
    by, model, notes = _without_constants(compared, options)
    notes = [*ratings.remarks, *notes]
    if kept.references:
        notes.append(
            f"Hidden references ({len(kept.references)}) are in no comparison, factor, "
            "model or objective metric: what they are for is the DMOS."
        )
    tables = {
        "mos_by_stimulus.csv": table,
        "mos_by_condition.csv": _conditions(compared, options, by, notes),
        "raters.csv": rater_table,
    }
    tables["contrasts.csv"] = _contrasts(compared, options, by, notes)
    resamples = _resamples(kept, options.resamples)
    tables["reliability.csv"] = reliability.reliability_table(
        kept, level=options.level, resamples=resamples, seed=options.seed
    )
    tables["screening.csv"] = sensitivity(ratings)
    tables["order_effects.csv"] = factors.order_effects(kept, level=options.level)
    measured = [name for name in options.metrics if name in kept.factors]
    unknown = [name for name in options.metrics if name not in measured]
    if unknown and options.metrics != METRICS:
        raise ValueError(
            f"No metric {', '.join(unknown)}: the columns with one value a stimulus "
            f"are {', '.join(map(str, kept.factors)) or 'none'}."
        )
    if measured:
        theirs = table["stimulus"].astype(str).isin(kept.references)
        figures, differences, refused = metrics.metrics_tables(
            table[~theirs], measured, mapping=options.mapping
        )
        tables |= {"metrics.csv": figures, "metric_differences.csv": differences}
        notes += refused
    if model:
        effects, refused = mixed.factor_effects(compared, model, level=options.level)
        tables["factor_effects.csv"] = effects
        notes += refused
        if len(model) == 2 and len(compared.questions) == 1:
            tables["anova.csv"] = anova.anova_table(compared, *model)
    if not ratings.refused.empty:
        tables["refused.csv"] = ratings.refused
    design = compared.factors.drop(columns=measured)
    notes += factors.confounding(design)
    return Report(
        tables, _summary(ratings, kept, options, rejected, refusals, resamples, notes)
    )


def _without_constants(
    compared: Ratings, options: Options
) -> tuple[list[str], list[str], list[str]]:
    """`by` and `model` of the options with factors only, and the words on the others.

    A column of one level compares nothing. Raises ValueError for one that is not there.
    """
    asked = [name for names in options.by for name in names.split(",")]
    asked = list(dict.fromkeys([*asked, *options.model]))
    table = compared.checked_factors(asked)
    constant = set(asked) - set(factors.varying(table))
    notes = [
        f"{name} has fewer than two levels among the stimuli: it is no factor."
        for name in asked
        if name in constant
    ]
    by = [names for names in options.by if constant.isdisjoint(names.split(","))]
    return by, [name for name in options.model if name not in constant], notes


def _excluded(by_hand: Ratings, options: Options) -> pd.DataFrame:
    """Rows of `raters.csv` for those excluded by hand, with the reason."""
    table = raters.raters_table(by_hand, {}, fast_ms=options.fast_ms, compared=False)
    first = by_hand.frame.drop_duplicates("participant")
    reasons = first.get("exclusion_reason", [""] * len(first))
    said = dict(zip(first["participant"].astype(str), reasons, strict=True))
    table["excluded"] = True
    table["exclusion_reason"] = table["participant"].astype(str).map(said)
    return table


def screened_out(ratings: Ratings, options: Options) -> dict[str, str]:
    """Whom the chosen rule rejects on any question, and why."""
    unknown = set(options.exclude) - set(ratings.votes.raters.astype(str))
    if unknown:
        raise ValueError(f"Nobody is called {', '.join(sorted(unknown))}.")
    reasons = dict.fromkeys(options.exclude, "excluded by name")
    for _, votes in ratings.votes_by_question:
        for name in votes.raters[_rejected(votes, options.screen)]:
            reasons.setdefault(str(name), f"screened by {options.screen}")
    return reasons


def _rejected(votes: Votes, screen: str) -> np.ndarray:
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


def sensitivity(ratings: Ratings) -> pd.DataFrame:
    """MOS and n of every stimulus under every screening rule, side by side.

    P.913's rounds and Spearman's ranks are left out above 200,000 ratings.
    """
    tables = []
    for question, votes in ratings.votes_by_question:
        table = votes.items.to_frame(index=False)
        if question is not None:
            table["question"] = question
        for screen in SCREENS:
            if screen in ("p913", "spearman") and len(votes.rating) > LARGE:
                continue
            kept = votes.take(~_rejected(votes, screen)[votes.rater])
            n = kept.n_by_item
            name = screen.replace("-", "_")
            table[f"n_{name}"] = n
            table[f"mos_{name}"] = divide(kept.sum_by_item(kept.rating), n)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _mos(
    ratings: Ratings,
    options: Options,
    models: dict[str | None, dict[str, Recovered]],
    refusals: dict[str | None, str],
) -> pd.DataFrame:
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


def _conditions(
    ratings: Ratings, options: Options, by: Sequence[str], notes: list[str]
) -> pd.DataFrame:
    chosen = by
    if not options.by:
        pooling = factors.worth_pooling(ratings)
        chosen = [name for name in pooling if name not in options.metrics]
    tables = [
        factors.by_factor(
            ratings,
            names.split(","),
            level=options.level,
            ci_method=options.condition_ci,
            resamples=options.resamples or RESAMPLES,
            seed=options.seed,
        )
        for names in chosen
    ]
    for names in chosen:
        notes += factors.imbalance(ratings, names.split(","))
    if not tables:
        return pd.DataFrame(columns=["n_ratings", "n_participants", "n_stimuli", "mos"])
    stacked = pd.concat(tables, ignore_index=True)
    first = list(dict.fromkeys(f for names in chosen for f in names.split(",")))
    return stacked[[*first, *stacked.columns.difference(first, sort=False)]]


def _contrasts(
    ratings: Ratings, options: Options, by: Sequence[str], notes: list[str]
) -> pd.DataFrame:
    """Families: all stimuli, then the levels of every single factor asked for."""
    tables = []
    for question, votes in ratings.votes_by_question:
        families: list[tuple[str, np.ndarray, list[object], np.ndarray | None]] = []
        if votes.n_items * (votes.n_items - 1) // 2 <= contrasts.MAX_PAIRS:
            block = complete_block(votes)
            full = block.shape[1] == votes.n_items and min(block.shape) > 1
            nemenyi = contrasts.nemenyi(block) if full else None
            families.append(("stimulus", votes.matrix(), list(votes.items), nemenyi))
        else:
            notes.append(
                f"{votes.n_items} stimuli make more than {contrasts.MAX_PAIRS} pairs: "
                "contrasts.csv compares the levels of factors only."
            )
        for factor in (name for name in by if name in ratings.factors):
            matrix, levels = factors.level_matrix(votes, ratings, factor)
            families.append((factor, matrix, levels, None))
        for family, matrix, names, nemenyi in families:
            try:
                table = contrasts.contrasts(
                    matrix, names, level=options.level, family=family
                )
            except contrasts.TooManyPairs as refusal:
                notes.append(f"{family}: {refusal}")
                continue
            a, b = np.triu_indices(len(names), 1)
            table["p_nemenyi"] = np.nan if nemenyi is None else nemenyi[a, b]
            if question is not None:
                table.insert(0, "question", question)
            tables.append(table)
    if not tables:
        return contrasts.contrasts(np.empty((0, 0)), [])
    return pd.concat(tables, ignore_index=True)


def _resamples(ratings: Ratings, asked: int | None) -> int:
    """As many as asked for; else enough for the size, and none for a large panel."""
    if asked is not None:
        return asked
    return RESAMPLES if len(ratings.votes.rating) <= LARGE else 0


def _summary(
    ratings: Ratings,
    kept: Ratings,
    options: Options,
    rejected: dict[str, str],
    refusals: dict[str | None, str],
    resamples: int,
    notes: list[str],
) -> dict[str, Any]:
    per_stimulus = kept.votes.n_by_item
    shown = set(ratings.rows["stimulus"].astype(str))
    return {
        "versions": {
            **software(),
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "scipy", "pandas")},
        },
        "options": asdict(options),
        "scale": [ratings.scale_min, ratings.scale_max],
        "scale_step": ratings.step,
        "factor_kinds": ratings.kinds,
        "repeats": ratings.repeats,
        "bootstrap_resamples": resamples,
        "accepted_rows_sha256": fingerprint(ratings),
        "counts": {
            "participants": ratings.votes.n_raters,
            "participants_kept": kept.votes.n_raters,
            "stimuli": len(shown - ratings.references),
            "references": len(shown & ratings.references),
            "ratings": len(ratings.answers.rating),
            "ratings_kept": len(kept.answers.rating),
            "missing": int(ratings.n_missing.sum()),
            "refused": len(ratings.refused),
            "left_out": ratings.left_out,
            "ratings_per_stimulus": {
                "min": min(per_stimulus, default=None),
                "median": np.median(per_stimulus) if len(per_stimulus) else None,
                "max": max(per_stimulus, default=None),
            },
        },
        "screened_out": rejected,
        "recovery_refused": {q or "": text for q, text in refusals.items()},
        "friedman": {
            question or "": contrasts.friedman(complete_block(votes))
            for question, votes in kept.without_references.votes_by_question
            if votes.n_items <= FRIEDMAN_ITEMS
        },
        "notes": notes,
        "flags": flags.MEANINGS,
    }


def fingerprint(ratings: Ratings) -> str:
    """sha256 of the accepted rows, the same whatever order they came in."""
    rows = ratings.frame
    hashes: np.ndarray = np.zeros(len(rows), np.uint64)
    for name in ("participant", "stimulus", "question", "trial", "kind", "rating"):
        if name in rows:
            column = pd.util.hash_pandas_object(rows[name], index=False)
            hashes = hashes * np.uint64(1_000_003) + column.to_numpy()
    return hashlib.sha256(np.sort(hashes).tobytes()).hexdigest()
