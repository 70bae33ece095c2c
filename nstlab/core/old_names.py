"""Names that stored things were written with before, and what they are called now.

Pictures, checkpoints, grids and bundles outlive the names in them: whoever reads one
asks here, and nowhere else is an old name known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

Value = TypeVar("Value")

# Settings of a render, until engine version 6.
SETTINGS = {"content_layers": "content_layer"}


def renamed(values: Mapping[str, Value], names: Mapping[str, str]) -> dict[str, Value]:
    """`values` under today's names, in their order."""
    return {names.get(name, name): value for name, value in values.items()}
