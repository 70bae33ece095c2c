"""The contents of each part of a report's page."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from analysis.reports.first_page import overview, weightiest_first
from analysis.reports.method_text import method_sentences
from analysis.reports.page_data import (
    AGAINST_REFERENCES,
    MOST_ROWS,
    Kept,
    Notes,
    between,
    categories_of,
    condition_row,
    contrast_row,
    fixed,
    mos_row,
    pictured_in,
    planned_row,
    rater_row,
    reliability_row,
    rounded,
    score_row,
)
from analysis.reports.parts import parts_of
from analysis.sample import sample
from nstlab.core import csv_files
from survey.models import Study

# Which statistic of agreement a table of MOS asks for, the first that there is.
RECOMMENDED = {
    "icc_2_k_components": "It says how alike these MOS would come out with as many "
    "other people: the share of their variance that is the pictures' own. Of variance "
    "components (REML), which take every rating, also those of people with gaps.",
    "icc_2_k": "It says how alike these MOS would come out with as many other people: "
    "the share of their variance that is the pictures' own.",
    "krippendorff_alpha_ordinal": "It is of single ratings and of their order alone; "
    "for the MOS an ICC could not be computed.",
}
CORRELATIONS = {
    "pearson_mos": "Pearson r of the MOS",
    "spearman_mos": "Spearman ρ of the MOS",
    "within_people": "Within people",
}
COLUMNS_OF_CONDITIONS = (
    "question", "is_reference", "n_ratings", "n_participants", "n_stimuli", "mos",
    "se_clustered", "ci_level", "ci_low", "ci_high", "ci_method", "marginal_mos",
    "marginal_se", "marginal_ci_low", "marginal_ci_high", "marginal_over", "dmos",
    "dmos_n", "dmos_ci_low", "dmos_ci_high", "bootstrap_seed", "bootstrap_n", "flags",
)  # fmt: skip


def stimuli(kept: Kept, notes: Notes, study: Study) -> dict[str, Any]:
    """Every stimulus with all that is known of its ratings."""
    mos = kept.rows("mos_by_stimulus.csv")
    pictured = pictured_in(study)
    has_dmos = any(row.get("dmos") for row in mos)
    return {
        "rows": [mos_row(row, pictured, has_dmos, notes) for row in mos[:MOST_ROWS]],
        "more_rows": max(0, len(mos) - MOST_ROWS),
        "categories": categories_of(mos),
        "has_dmos": has_dmos,
        "scores": [
            score_row(row, pictured, notes)
            for row in kept.rows("pair_scale.csv")[:MOST_ROWS]
        ],
    }


def levels(kept: Kept, notes: Notes, study: Study) -> dict[str, Any]:
    """The levels of the factors, and their planned and other differences."""
    conditions = kept.rows("mos_by_condition.csv")
    known = set(COLUMNS_OF_CONDITIONS)
    factors = [
        name for name in (conditions[0] if conditions else ()) if name not in known
    ]
    single = [row for row in conditions if sum(bool(row[it]) for it in factors) <= 1]
    single.sort(key=lambda row: _place_of_level(row, factors))
    compared = [
        row
        for row in kept.rows("contrasts.csv")
        if not row["family"].startswith(("stimulus:", f"{AGAINST_REFERENCES}:"))
    ]
    return {
        "planned": [
            planned_row(row, notes) for row in kept.rows("planned_contrasts.csv")
        ],
        "conditions": [
            condition_row(row, factors, notes) for row in single[:MOST_ROWS]
        ],
        "more_conditions": len(conditions) - len(single[:MOST_ROWS]),
        "has_dmos": any(row.get("dmos") for row in single),
        "compared": [contrast_row(row, notes) for row in compared[:MOST_ROWS]],
        "more_compared": max(0, len(compared) - MOST_ROWS),
    }


def _place_of_level(
    row: Mapping[str, str], factors: Sequence[str]
) -> tuple[bool, int, float, str]:
    """Where a level stands in its table: references last, numbers in their order."""
    at = next((k for k, name in enumerate(factors) if row[name]), -1)
    level = row[factors[at]] if at >= 0 else ""
    number = csv_files.number(level)
    number = math.inf if number is None else number
    return row.get("is_reference") == "true", at, number, level


def people(kept: Kept, notes: Notes, study: Study) -> dict[str, Any]:
    """Every rater."""
    raters = kept.rows("raters.csv")
    return {
        "raters": [rater_row(row, notes) for row in raters[:MOST_ROWS]],
        "more_raters": max(0, len(raters) - MOST_ROWS),
    }


def agreement(kept: Kept, notes: Notes, study: Study) -> dict[str, Any]:
    """The one coefficient that a table of MOS asks for, and all the others."""
    rows = {row["statistic"]: row for row in kept.rows("reliability.csv")}
    chosen = next((it for it in RECOMMENDED if rows.get(it, {}).get("value")), None)
    shown = {name: reliability_row(row) for name, row in rows.items()}
    return {
        "recommended": shown.pop(chosen) if chosen else None,
        "why": RECOMMENDED[chosen] if chosen else "",
        "reliability": list(shown.values()),
    }


def between_questions(kept: Kept, notes: Notes, study: Study) -> dict[str, Any]:
    """How far the questions measured the same."""
    return {
        "correlations": [
            {
                **row,
                "name": CORRELATIONS.get(row["statistic"], row["statistic"]),
                "value": fixed(row["value"]),
                "interval": between(row["ci_low"], row["ci_high"]),
                "people": between(row["people_low"], row["people_high"]),
            }
            for row in kept.every_row("question_correlations.csv")
        ]
    }


def of_people(kept: Kept, notes: Notes, study: Study) -> dict[str, Any]:
    """Who took part, as it stands now, and whom the report's rule left out."""
    summary = json.loads(kept.report.text("analysis.json") or "{}")
    return sample(
        study,
        include_simulated=kept.report.include_simulated,
        screened_out=set(summary.get("screened_out", {})),
    )


def method_and_checks(kept: Kept, notes: Notes, study: Study) -> dict[str, Any]:
    """What a paper must say about the numbers, and what the design allows."""
    return {
        "method": list(method_sentences(kept.report.method)),
        "warnings": weightiest_first(kept.report.method.get("notes", [])),
        "order_effects": [
            {
                **row,
                "effect": row["effect"].replace("_", " "),
                "estimate": fixed(row["estimate"], 3),
                "interval": between(row["ci_low"], row["ci_high"], 3),
                "p": rounded(row["p"]),
            }
            for row in kept.rows("order_effects.csv")
            if int(row["n_participants"] or 0)
        ],
    }


def files(kept: Kept, notes: Notes, study: Study) -> dict[str, Any]:
    """Everything to take along: of the question, and of all questions in one."""
    tables = [name for name in kept.names if not name.startswith("chart_")]
    return {
        "tables": [name for name in tables if name.endswith((".csv", ".json"))],
        "by_question": [
            name
            for name in tables
            if name.endswith(".csv")
            and kept.questions
            and "question" in next(iter(kept.every_row(name)), {})
        ],
    }


CONTENTS: dict[str, Callable[[Kept, Notes, Study], dict[str, Any]]] = {
    "": overview,
    "stimuli": stimuli,
    "factors": levels,
    "raters": people,
    "agreement": agreement,
    "questions": between_questions,
    "sample": of_people,
    "checks": method_and_checks,
    "files": files,
}


def report_context(kept: Kept, part: str, study: Study) -> dict[str, Any]:
    """The contents of one part of a computed report, for its template."""
    notes = Notes()
    contents = CONTENTS[part](kept, notes, study)
    return {
        "parts": parts_of(kept.names),
        "question": kept.question,
        "charts": kept.charts(part),
        **contents,
        "notes": list(notes),
    }
