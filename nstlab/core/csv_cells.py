"""One value as it stands in a CSV cell. No pandas: the web process uses it."""

from __future__ import annotations

import math
from typing import Any

from nstlab.core import csv_files

# A spreadsheet would run a text that begins with one of these as a formula; a line end
# stands for the "\r" that it may have been.
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\n")


def csv_cell(value: Any) -> str:
    """Empty for None and NaN, true/false, shortest repr of numbers, harmless text.

    A text that a spreadsheet would take for a formula gets an apostrophe before it, and
    so does one that looks like that already: `unguarded` takes it off again. Numbers
    never do, nor texts that are one, such as the level -0.5. Line ends become "\\n": a
    lone "\\r" breaks readers of CSV.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        return (
            str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
        )
    text = str(value)
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    if _looks_like_a_formula(lines) and csv_files.number(lines) is None:
        return f"'{lines}"
    return lines


def unguarded(cell: str) -> str:
    """The text that `csv_cell` has made a cell of, its line ends apart."""
    return cell[1:] if cell[:1] == "'" and _looks_like_a_formula(cell) else cell


def _looks_like_a_formula(text: str) -> bool:
    """With or without the apostrophes of the guard."""
    return text.lstrip("'").startswith(FORMULA_SIGNS)
