"""The plan of an analysis: what it may name, what it decides, and its one written form.

No pandas here: the web process freezes it, and a worker computes what it names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from itertools import combinations, pairwise
from typing import Any

from analysis.answer_kinds import kind_of
from analysis.exports import own_factors
from analysis.models import Preregistration
from analysis.stats.rules import RULES
from generation.engine.factors import as_levels, column_names
from nstlab.core import csv_files
from nstlab.core.csv_cells import csv_cell
from survey.methods import METHODS, USUAL, Method
from survey.models import Study
from survey.studies.preflight import NO_FACTORS

FORMAT = 1
LEVEL = 0.95
MOST_LEVELS = 10
"""Of a factor with more levels only neighbours are offered as contrasts."""

SCREENS = {name: rule.meaning for name, rule in RULES.items()}
TESTS = {"t": "paired t", "wilcoxon": "Wilcoxon's signed ranks"}
CORRECTIONS = {
    "holm": "Holm within the contrasts of a factor",
    "holm-all": "Holm over all planned contrasts",
    "none": "none",
}


def canonical(plan: Mapping[str, Any]) -> bytes:
    """The one way to write a plan: keys in order, no spaces, UTF-8."""
    return json.dumps(
        plan, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def sha256_of(plan: Mapping[str, Any]) -> str:
    """The digest that names a plan: of its one written form."""
    return hashlib.sha256(canonical(plan)).hexdigest()


def factors_of(study: Study) -> dict[str, list[str]]:
    """The factors in which the rated pictures differ, each with its levels in order.

    Levels as they stand in a CSV. None where answers of this kind compare no levels.
    """
    if kind_of(study).no_contrasts:
        return {}
    rated = study.stimuli.filter(rated=True, is_reference=False).order_by("pk")
    made = [as_levels(it) for it in rated.values_list("parameters", flat=True)]
    columns = {name: name for name in column_names()} | own_factors(study)
    levels: dict[str, list[str]] = {}
    for name, column in columns.items():
        if name in NO_FACTORS:
            continue
        known = list({it.get(name) for it in made} - {None})
        if len(known) > 1:
            known.sort(key=_place)
            levels[column] = [csv_cell(value) for value in known]
    return levels


def _place(level: Any) -> tuple[bool, float, str]:
    """Numbers in their order, also those that are text; then words by name."""
    number = csv_files.number(str(level))
    return number is None, number or 0.0, str(level)


def possible_pairs(levels: list[str]) -> list[tuple[str, str]]:
    """The contrasts of a factor that can be planned."""
    return list(
        combinations(levels, 2) if len(levels) <= MOST_LEVELS else pairwise(levels)
    )


def options_of(row: Preregistration | None) -> dict[str, Any]:
    """The options of the report that a frozen plan decides."""
    if row is None:
        return {}
    return {
        "level": row.plan["contrasts"]["level"],
        "screen": row.plan["exclusion"]["screening"],
        "fast_ms": float(row.plan["exclusion"]["fast_ms"]),
    }


def pairs_of(row: Preregistration) -> list[tuple[str, str, str]]:
    """The planned contrasts: the factor's column and two levels."""
    columns = own_factors(row.study)
    return [
        (columns.get(pair["factor"], pair["factor"]), pair["a"], pair["b"])
        for pair in row.plan["contrasts"]["pairs"]
    ]


def method_by_plan(row: Preregistration) -> Method:
    """The method that the study had when its plan was frozen, as far as the plan says:
    a draft may have got another one since."""
    said = row.plan.get("study")
    name = str(said.get("method", "")) if isinstance(said, dict) else ""
    return METHODS.get(name, USUAL)
