"""How the codebook says what a column is: its type, its unit and a phrase."""

from __future__ import annotations

from typing import TypeAlias

from analysis.columns import SCORE

__all__ = ["SCORE", "SHARE", "Meaning"]

Meaning: TypeAlias = tuple[str, str, str]
"""Type (text, integer, number or boolean), unit and description."""
SHARE = "0–1"
