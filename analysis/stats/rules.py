"""The rules that can leave people out of the tables, with the words for each.

Data only, for the web process offers them; `analysis.stats.case.rejected_by` applies
them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """A rule: what it means to who chooses it, and its name on a chart.

    A rule that is not `quick` is left out of `screening.csv` above 200,000 ratings.
    """

    meaning: str
    label: str
    quick: bool = True


RULES: dict[str, Rule] = {
    "none": Rule("nobody by a rule", "nobody left out"),
    "bt500": Rule("BT.500-14, as the recommendation reads", "BT.500"),
    "bt500-reference": Rule(
        "BT.500, as the ITU's reference code computes", "BT.500, reference code"
    ),
    "p913": Rule(
        "P.913 Annex A: correlation below 0.75, one by one", "P.913", quick=False
    ),
    "pearson": Rule("correlation with the MOS (BT.1788), Pearson", "Pearson, one pass"),
    "spearman": Rule(
        "correlation with the MOS (BT.1788), Spearman",
        "Spearman, one pass",
        quick=False,
    ),
}


def column_part(rule: str) -> str:
    """The part of a column's name that says the rule."""
    return rule.replace("-", "_")
