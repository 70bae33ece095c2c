"""The contrasts that were named before anybody rated, and nothing beside them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from analysis.stats import contrasts, factors
from analysis.stats.frame import Ratings
from nstlab.core.csv_cells import csv_cell

TESTS = {"t": ("p", "p_holm"), "wilcoxon": ("p_wilcoxon", "p_wilcoxon_holm")}
"""By test the columns of its p, alone and after Holm over the family."""

CORRECTIONS = ("holm", "holm-all", "none")

Pair = tuple[str, str, str]
"""A factor and two of its levels, as they stand in a CSV."""


def planned_contrasts(
    ratings: Ratings,
    pairs: Sequence[Pair],
    *,
    test: str = "t",
    correction: str = "holm",
    level: float = 0.95,
) -> tuple[pd.DataFrame, list[str]]:
    """The planned rows of `contrasts`, one family a factor, and what could not be.

    `p_planned` is the p that decides: of `test` (t, wilcoxon), corrected as planned:
    holm within each factor, holm-all over all pairs of a question, or none. Raises
    ValueError for other words.
    """
    if test not in TESTS or correction not in CORRECTIONS:
        raise ValueError(f"No test {test!r} with correction {correction!r}.")
    alone, within = TESTS[test]
    tables = []
    notes: dict[str, None] = {}
    by_factor: dict[str, list[tuple[str, str]]] = {}
    for factor, a, b in pairs:
        by_factor.setdefault(factor, []).append((a, b))
    for question, votes in ratings.votes_by_question:
        found = []
        for factor, wanted in by_factor.items():
            known: list[str] = []
            if factor in ratings.factors:
                matrix, levels = factors.level_matrix(votes, ratings, factor)
                known = [csv_cell(each) for each in levels]
            there = [(a, b) for a, b in wanted if a in known and b in known]
            for a, b in wanted:
                if (a, b) not in there:
                    notes[f"Planned and not to be had: {factor} {a} against {b}."] = (
                        None
                    )
            if not there:
                continue
            table = contrasts.contrasts(
                matrix,
                known,
                pairs=[(known.index(a), known.index(b)) for a, b in there],
                level=level,
                family=f"planned, {factor}",
            )
            table.insert(0, "factor", factor)
            found.append(table)
        if not found:
            continue
        asked = pd.concat(found, ignore_index=True)
        if question is not None:
            asked.insert(0, "question", question)
        p = asked[within if correction == "holm" else alone].to_numpy()
        asked["p_planned"] = contrasts.holm(p) if correction == "holm-all" else p
        tables.append(asked)
    if tables:
        return pd.concat(tables, ignore_index=True), list(notes)
    nothing = contrasts.contrasts(np.empty((0, 0)), [])
    nothing.insert(0, "factor", [])
    return nothing.assign(p_planned=[]), list(notes)


def is_planned(table: pd.DataFrame, pairs: Collection[Pair]) -> list[bool]:
    """For each row of `contrasts.csv` whether its two levels were named beforehand."""
    wanted = {(factor, frozenset(names)) for factor, *names in pairs}
    rows = zip(table["family"], table["a"], table["b"], strict=True)
    return [
        (family.rpartition(":")[0], frozenset((csv_cell(a), csv_cell(b)))) in wanted
        for family, a, b in rows
    ]
