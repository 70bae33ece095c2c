"""The first page of a report: the answer, from the files that a worker computed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from analysis.reports.method_text import counts_sentence
from analysis.reports.page_data import (
    AGAINST_REFERENCES,
    COUNT,
    Kept,
    Notes,
    between,
    factor_word,
    fixed,
    level_word,
    made,
    p_value,
    pictured_in,
    signed,
)
from survey.models import Study

MOST_TILES = 32  # pictures of the first page; of more its best and its worst half
MOST_FINDINGS = 3
# Words of notes that say how things were done, and warn of nothing.
NO_WARNINGS = ("are in no comparison", "it is no factor")
# Words of notes, those of the weightiest first.
WEIGHTY = (
    "could not be used",
    "Planned and not",
    "are unbalanced",
    "refused",
    "likelihood",
    "is no factor",
    "Hidden references",
    "confounded",
    "combinations were shown",
    "One factor at a time",
)


def overview(kept: Kept, notes: Notes, study: Study) -> dict[str, Any]:
    """The answer first: pictures best to worst, findings, the weightiest warning."""
    pictures = ranked(kept, study)
    ends, between_ends = pictures, 0
    if len(pictures) > MOST_TILES:
        half = MOST_TILES // 2
        ends, between_ends = pictures[:half], len(pictures) - 2 * half
    return {
        "best": ends,
        "between_ends": between_ends,
        "first_of_worst": len(pictures) - MOST_TILES // 2 + 1,
        "worst": pictures[-(MOST_TILES // 2) :] if between_ends else [],
        "findings": findings(kept)[:MOST_FINDINGS],
        "more_planned": max(0, len(kept.rows("planned_contrasts.csv")) - MOST_FINDINGS),
        "warnings": [
            sentence
            for sentence in weightiest_first(kept.report.method.get("notes", []))
            if not any(words in sentence for words in NO_WARNINGS)
        ],
        "counts": _counted(kept),
        "answered": kept.report.method.get("answered", []),
        "by_pairs": "pair_scale.csv" in kept.names,
    }


def _counted(kept: Kept) -> str:
    """How many answers about how many stimuli, by how many people: on the question."""
    method = kept.report.method
    if not method:
        return ""
    if not kept.questions:
        return counts_sentence(method)
    rows = kept.rows("mos_by_stimulus.csv")
    raters = [row for row in kept.rows("raters.csv") if row.get("excluded") != "true"]
    if not rows:  # of choices nothing is counted question by question
        return f"All questions together: {counts_sentence(method)}"
    return counts_sentence(
        method
        | {
            "n_ratings": sum(int(float(row["n"])) for row in rows),
            "n_participants": sum(float(row["n"] or 0) > 0 for row in raters),
        }
    )


def ranked(kept: Kept, study: Study) -> list[dict[str, Any]]:
    """The stimuli best to worst, each with its interval as a picture draws it."""
    rows = kept.rows("mos_by_stimulus.csv")
    score = "mos"
    if not rows and (rows := kept.rows("pair_scale.csv")):
        score = "score"
        for row in rows:
            error = row.get("se_bootstrap") or row.get("se", "")
            value = row["score"]
            if value and error:
                half = 1.96 * float(error)
                row["ci_low"] = str(float(value) - half)
                row["ci_high"] = str(float(value) + half)
    if score == "mos":
        scale = _scale(rows)
    else:
        ends = [
            float(row[end])
            for row in rows
            for end in ("ci_low", "ci_high", "score")
            if row.get(end)
        ]
        scale = (min(ends, default=0), max(ends, default=1))
    pictured = pictured_in(study)
    # Scores compare within a group only: groups that never met have a zero each.
    rows = sorted(
        rows,
        key=lambda row: (int(row.get("group") or 0), -float(row[score] or "-inf")),
    )
    several_groups = len({row.get("group") for row in rows}) > 1
    return [
        _tile(row, score, scale, kept.labels, pictured, several_groups) for row in rows
    ]


def _tile(
    row: Mapping[str, str],
    score: str,
    scale: tuple[float, float],
    labels: Mapping[str, str],
    pictured: Collection[str],
    several_groups: bool,
) -> dict[str, Any]:
    low, high = scale
    width = (high - low) or 1

    def at(cell: str) -> float:
        """Its place on the drawn axis, 0–100, the ends where it lies beyond."""
        return round(100 * min(max((float(cell) - low) / width, 0), 1), 1)

    ends = (row.get("ci_low", ""), row.get("ci_high", ""))
    line = None
    if all(ends):
        line = {
            "x1": at(ends[0]),
            "x2": at(ends[1]),
            "cut_low": float(ends[0]) < low,
            "cut_high": float(ends[1]) > high,
        }
    code = row["stimulus"]
    return {
        "code": code,
        "pictured": code in pictured,
        "label": labels.get(code) or made(row) or code,
        "group": row.get("group", "") if several_groups else "",
        "is_reference": row.get("is_reference") == "true",
        "score": fixed(row[score]),
        "n": row.get("n") or row.get("comparisons", ""),
        "at": at(row[score]) if row[score] else None,
        "from": at(row[score]) - 3 if row[score] else None,  # a square's left side
        "line": line,
        "interval": between(*ends),
        "dmos": fixed(row.get("dmos", "")),
        "dmos_interval": between(
            row.get("dmos_ci_low", ""), row.get("dmos_ci_high", "")
        ),
    }


def _scale(rows: list[dict[str, str]]) -> tuple[float, float]:
    """The scale's ends by its categories; else those of what was found."""
    numbers = (COUNT.fullmatch(name) for name in (rows[0] if rows else ()))
    points = sorted(int(number[1]) for number in numbers if number)
    if points:
        return points[0], points[-1]
    found = [float(row[end]) for row in rows for end in ("ci_low", "ci_high", "mos")
             if row.get(end)]  # fmt: skip
    return min(found, default=1), max(found, default=5)


def findings(kept: Kept) -> list[str]:
    """Sentences on what was found: what was planned first, then the ends of the order,
    the references, the largest difference between levels."""
    return [
        *(_planned_sentence(row) for row in kept.rows("planned_contrasts.csv")),
        *_ends_of_the_order(kept),
        *_against_references(kept),
        *_largest_difference(kept),
    ]


def _planned_sentence(row: Mapping[str, str]) -> str:
    said = f"Planned: {row['factor']}, {row['a']} against {row['b']}: "
    if not row["mean_diff"]:
        return f"{said}no difference to be had."
    return (
        f"{said}{signed(row['mean_diff'])}{_interval_of(row)}, "
        f"p {_p(row['p_planned'])} as planned, {row['n_pairs']} people."
    )


def _ends_of_the_order(kept: Kept) -> Iterator[str]:
    """The best and the worst picture, and how many are not told apart from the best."""
    rows = [row for row in kept.rows("mos_by_stimulus.csv")
            if row["mos"] and row.get("is_reference") != "true"]  # fmt: skip
    if len(rows) < 2:
        return
    order = sorted(rows, key=lambda row: -float(row["mos"]))
    best, worst = order[0], order[-1]
    said = (
        f"Best: {_named(kept, best)}, MOS {fixed(best['mos'])}{_interval_of(best)}; "
        f"lowest: {_named(kept, worst)}, {fixed(worst['mos'])}{_interval_of(worst)}."
    )
    compared = [
        row
        for row in kept.rows("contrasts.csv")
        if row["family"].startswith("stimulus:")
        and best["stimulus"] in (row["a"], row["b"])
    ]
    if compared:
        alpha = round(1 - float(best["ci_level"]), 6)
        # Whom no test could tell apart, as where all differ alike, is not told apart.
        alike = sum(
            not row["p_holm"] or float(row["p_holm"]) >= alpha for row in compared
        )
        said += (
            f" {alike} of {len(compared)} others are not told apart from the best "
            f"(paired t, Holm, {alpha:g})."
        )
    yield said


def _against_references(kept: Kept) -> Iterator[str]:
    rows = [row for row in kept.rows("mos_by_stimulus.csv") if row.get("dmos")]
    family = [
        row
        for row in kept.rows("contrasts.csv")
        if row["family"].startswith(f"{AGAINST_REFERENCES}:")
    ]
    if not rows:
        return
    best = max(rows, key=lambda row: float(row["dmos"]))
    ends = between(best["dmos_ci_low"], best["dmos_ci_high"])
    said = (
        f"Against its hidden reference the best is {_named(kept, best)}: DMOS "
        f"{fixed(best['dmos'])}{f' ({ends})' if ends else ''}."
    )
    if family:
        alpha = round(1 - float(best["ci_level"]), 6)
        below = sum(
            float(row["p_holm"]) < alpha and float(row["mean_diff"]) < 0
            for row in family
            if row["p_holm"]
        )
        said += (
            f" {below} of {len(family)} are rated below their reference (Holm, "
            f"{alpha:g})."
        )
    yield said


def _largest_difference(kept: Kept) -> Iterator[str]:
    """The largest difference between levels that was not planned, and its p."""
    rows = [
        row
        for row in kept.rows("contrasts.csv")
        if not row["family"].startswith(("stimulus:", f"{AGAINST_REFERENCES}:"))
        and row.get("planned") != "true"
        and row["p_holm"]
    ]
    if not rows:
        return
    largest = max(rows, key=lambda row: abs(float(row["mean_diff"])))
    factor = largest["family"].rpartition(":")[0]
    yield (
        f"Largest exploratory difference between levels: {factor_word(factor)}, "
        f"{level_word(factor, largest['a'])} against "
        f"{level_word(factor, largest['b'])}: "
        f"{signed(largest['mean_diff'])}{_interval_of(largest)}, "
        f"Holm p {_p(largest['p_holm'])}."
    )


def _named(kept: Kept, row: Mapping[str, str]) -> str:
    return kept.labels.get(row["stimulus"]) or row["stimulus"]


def _interval_of(row: Mapping[str, str]) -> str:
    ends = between(row["ci_low"], row["ci_high"])
    return f" ({ends})" if ends else ""


def _p(cell: str) -> str:
    said = p_value(cell)
    return said if said.startswith("<") else f"= {said}"


def weightiest_first(sentences: Iterable[str]) -> list[str]:
    """Notes of a report, those that touch every number first; as they came else."""

    def weight(sentence: str) -> int:
        found = (k for k, words in enumerate(WEIGHTY) if words in sentence)
        return next(found, len(WEIGHTY))

    return sorted(sentences, key=weight)
