"""Which names a factor of one's own can have, beside the lab's own columns.

A factor is a column of its own in the report's tables, and lists of factors are
separated by commas. Uploads and imports refuse what does not go with that; what a study
already has gets another column.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence

LONGEST = 100  # characters
# The columns of the tables in which factors stand too: of ratings_long.csv without what
# makes a render, mos_by_stimulus.csv and mos_by_condition.csv. A test compares them.
TAKEN = frozenset({
    "study", "study_version", "dataset", "participant", "trial", "kind", "stimulus",
    "is_reference", "question", "rating", "scale_min", "scale_max", "response_ms",
    "rated_at", "seconds", "device_class", "simulated", "pilot", "excluded",
    "exclusion_reason", "expected", "instructed", "passed", "second", "side",
    "choice", "displayed_scale", "label", "n", "n_missing", "n_ratings",
    "n_participants", "n_stimuli", "marginal_mos", "marginal_se", "marginal_ci_low",
    "marginal_ci_high", "marginal_over", "mos", "sd", "se", "se_clustered", "ci_level",
    "ci_low", "ci_high", "ci_half_width", "ci_method", "bootstrap_seed",
    "bootstrap_n", "median", "q1", "q3", "mode", "p_top_box", "p_gob", "p_gob_low",
    "p_gob_high", "p_pow", "p_pow_low", "p_pow_high", "consensus", "dmos", "dmos_n",
    "dmos_ci_low", "dmos_ci_high", "mos_mle", "mos_mle_se", "mos_mle_se_raters",
    "mos_bias_removed", "mos_recovered", "mos_recovered_se", "recovery",
    "screening", "flags",
})  # fmt: skip
# Those of pair_scale.csv besides: a study of pairs alone has it.
TAKEN_BY_PAIRS = frozenset({
    "model", "group", "score", "se_bootstrap", "wins", "comparisons", "estimator",
    "prior",
})  # fmt: skip
COUNTS = re.compile(r"n_-?\d+")  # of the categories of a scale


def is_taken(name: str) -> bool:
    """Whether the lab has a column of this name. Readers of CSV ignore capitals."""
    folded = name.casefold()
    return folded in TAKEN or COUNTS.fullmatch(folded) is not None


def why_not(name: str) -> str:
    """Why a factor cannot have this name, as a sentence; empty where it can."""
    if not name.strip():
        return "A column has no name."
    if len(name) > LONGEST:
        return (
            f"The column {name[:40]!r}… has a name of {len(name)} characters; "
            f"{LONGEST} fit."
        )
    if is_taken(name):
        return (
            f"The column {name!r} cannot be a factor: the lab's own tables have one of "
            f"that name. Call it otherwise, such as {f'picture_{name}'!r}."
        )
    if any(map(_breaks_lists, name)):
        return (
            f"The column {name!r} has a comma, a line break or another control "
            "character in its name: leave it out."
        )
    return ""


def refusals(names: Sequence[str]) -> list[str]:
    """Why the columns of a file cannot be factors, a sentence each; also of those whose
    names differ in capitals only."""
    found = [sentence for name in names if (sentence := why_not(name))]
    seen: dict[str, str] = {}
    for name in filter(str.strip, names):
        other = seen.setdefault(name.casefold(), name)
        if other is not name:
            found.append(f"The columns {other!r} and {name!r} have the same name.")
    return found


def columns_of(
    names: Iterable[str], taken: Collection[str] = frozenset()
) -> dict[str, str]:
    """By name the column of each factor that a study already has: the name itself, or
    one that begins with `factor_` where the name is the lab's, or one of `taken`, or
    cannot stand in a list. The same for the same names, in whatever order."""
    names = sorted(set(names))
    renamed = [name for name in names if name in taken or _unsuited(name)]
    columns = {name: name for name in names if name not in set(renamed)}
    used = {name.casefold() for name in columns}
    for name in renamed:
        column = "factor_" + "".join("_" if _breaks_lists(it) else it for it in name)
        while column.casefold() in used:
            column += "_"
        used.add(column.casefold())
        columns[name] = column
    return columns


def notes_of(columns: Mapping[str, str]) -> list[str]:
    """A sentence for each factor whose column has another name."""
    return [
        f"The factor {name!r} is the column {column!r}: its own name is the lab's, or "
        "cannot be one of a column."
        for name, column in columns.items()
        if name != column
    ]


def _unsuited(name: str) -> bool:
    return (
        not name.strip()
        or name in TAKEN
        or COUNTS.fullmatch(name) is not None
        or any(map(_breaks_lists, name))
    )


def _breaks_lists(it: str) -> bool:
    """Whether a character is a comma, a control character or half a character."""
    return it == "," or unicodedata.category(it) in ("Cc", "Cs", "Zl", "Zp")
