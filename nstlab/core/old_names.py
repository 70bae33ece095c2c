"""Names that stored things were written with before, and what they are called now.

Pictures, checkpoints, grids, bundles and waiting jobs outlive the names in them: who
reads one asks here, and nowhere else is an old name known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

Value = TypeVar("Value")

# Settings of a render, until engine version 6.
SETTINGS = {"content_layers": "content_layer"}
# Settings that things were painted with before there was a name for them.
SETTINGS_BEFORE = {"range": "free"}
# Columns of the tables in bundles: none was renamed yet.
COLUMNS: dict[str, str] = {}
# Tasks, as jobs that wait in the broker may name them.
TASKS = {
    "generation.tasks.render_batch": "generation.queueing.tasks.render_batch",
    "generation.tasks.reproduce_render": "generation.queueing.tasks.reproduce_render",
    "analysis.tasks.compute_report": "analysis.reports.tasks.compute_report",
    "analysis.tasks.make_bundle": "analysis.bundle.tasks.make_bundle",
}


def renamed(values: Mapping[str, Value], names: Mapping[str, str]) -> dict[str, Value]:
    """`values` under today's names, in their order."""
    return {names.get(name, name): value for name, value in values.items()}
