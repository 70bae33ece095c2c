"""Everything about a study at once: its tables, and where they came from."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.stats import contrasts, factors, flags, writing
from analysis.stats.case import RESAMPLES, Case, Options
from analysis.stats.codebook import codebook
from analysis.stats.frame import Ratings
from analysis.stats.reliability import complete_block
from analysis.stats.tables import TABLES, Answers
from nstlab.core.version import software

FRIEDMAN_ITEMS = 200


@dataclass(frozen=True)
class Results:
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


def build(ratings: Ratings, options: Options | None = None) -> Results:
    """The whole report on validated ratings.

    Screening decides who is left out of the tables; `raters.csv` judges everyone, and
    ends with those excluded by hand; `screening.csv` shows the MOS under every rule
    side by side. Hidden references have rows of their own there and count as answers
    of their raters; whatever compares stimuli or levels of factors leaves them out.
    Raises ValueError for a factor the ratings do not have.
    """
    case = Case(ratings, options or Options())
    case.notes += ratings.remarks
    case.notes += [
        f"{name} has fewer than two levels among the stimuli: it is no factor."
        for name in case.constants
    ]
    if case.kept.references:
        case.notes.append(
            f"Hidden references ({len(case.kept.references)}) are in no comparison, "
            "factor, model or objective metric: what they are for is the DMOS."
        )
    tables = tables_of(case, "ratings")
    design = case.compared.factors.drop(columns=case.measured)
    case.notes += factors.confounding(design)
    return Results(tables, _summary(case))


def build_of_choices(ratings: Ratings, options: Options) -> Results:
    """The report on choices between two pictures: what tables they allow."""
    case = Case(ratings, options)
    tables = tables_of(case, "choices")
    rows = ratings.choices
    resamples = RESAMPLES if options.resamples is None else options.resamples
    summary = {
        "versions": versions(),
        "options": {"level": options.level, "seed": options.seed},
        "bootstrap_resamples": resamples,
        "counts": {
            "participants": int(rows["participant"].nunique()),
            "stimuli": len(ratings.shown),
            "choices": len(rows),
            "left_out": ratings.left_out,
        },
        "notes": case.notes,
    }
    return Results(tables, summary)


def tables_of(case: Case, answers: Answers) -> dict[str, pd.DataFrame]:
    """The tables of TABLES that such answers allow and this case has."""
    computed = (
        (name, table.compute(case))
        for name, table in TABLES.items()
        if table.answers == answers and table.compute is not None
    )
    return {name: table for name, table in computed if table is not None}


def versions() -> dict[str, str]:
    """The versions of the programs that compute the numbers."""
    names = ("numpy", "scipy", "pandas")
    return {
        **software(),
        "python": platform.python_version(),
        **{name: version(name) for name in names},
    }


def _summary(case: Case) -> dict[str, Any]:
    ratings, kept, options = case.ratings, case.kept, case.options
    per_stimulus = kept.votes.n_by_item
    shown = set(ratings.rows["stimulus"].astype(str))
    return {
        "versions": versions(),
        "options": asdict(options),
        "scale": [ratings.scale_min, ratings.scale_max],
        "scale_step": ratings.step,
        "factor_kinds": ratings.kinds,
        "repeats": ratings.repeats,
        "bootstrap_resamples": case.resamples,
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
        "screened_out": case.rejected,
        "recovery_refused": {q or "": text for q, text in case.recovered[1].items()},
        "friedman": {
            question or "": contrasts.friedman(complete_block(votes))
            for question, votes in kept.without_references.votes_by_question
            if votes.n_items <= FRIEDMAN_ITEMS
        },
        "notes": case.notes,
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
