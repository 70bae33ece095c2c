"""The table of factors: one row is enough, and nothing else knows a factor's name."""

from __future__ import annotations

import ast
from dataclasses import fields
from pathlib import Path

from django.conf import settings

from generation.engine.factors import (
    FACTORS,
    choices_of,
    documented,
    setting_names,
)
from generation.engine.settings import RenderSettings
from generation.models import Render


def test_every_setting_of_the_engine_has_a_row() -> None:
    assert set(setting_names()) <= set(FACTORS)
    for name in setting_names():
        factor = FACTORS[name]
        assert factor.help, name
        if factor.default is not None and not factor.is_layers:
            assert type(factor.default) is factor.values, name
        if factor.closed_choices:
            assert factor.default in factor.closed_choices, name
            assert dict(choices_of(name)).keys() == {*factor.closed_choices}


def test_what_is_a_column_of_renders_is_one_of_tables() -> None:
    kept = {each.name for each in Render._meta.concrete_fields}
    table = {name for name, each in FACTORS.items() if each.column}
    assert table <= kept
    assert {each.name for each in fields(RenderSettings)} & kept <= table


def test_the_documented_table_is_the_table() -> None:
    page = Path(settings.BASE_DIR, "docs/reference/factors.md").read_text()
    assert documented() in page, (
        "write it anew: documented() of generation/engine/factors.py"
    )


# Names that mean a factor wherever they stand; `seed`, `size`, `start`, `weights` and
# the like are also a study's, a picture's or a thread's.
DISTINCT = {
    "content_layer", "style_layers", "alpha_beta", "tv_weight", "pooling", "blend",
    "style_scale", "resample", "optimiser", "learning_rate", "pyramid",
}  # fmt: skip
# Where they may stand, and why.
ALLOWED = {
    "generation/engine/": "the table, the settings, and what they do to a picture",
    "generation/models/": "fields of the database",
    "generation/migrations/": "fields of the database",
    "generation/presets.py": "the paper's experiments: data",
    "nstlab/management/commands/demo.py": "the demo's experiment: data",
    "nstlab/core/old_names.py": "what names of before are called now",
    "generation/admin.py": "the two factors by which the list of renders is filtered",
}


def test_nothing_but_the_table_knows_the_names_of_factors() -> None:
    assert set(FACTORS) >= DISTINCT
    root = Path(settings.BASE_DIR)
    found = []
    for app in ("nstlab", "generation", "survey", "analysis"):
        for path in sorted((root / app).rglob("*.py")):
            where = path.relative_to(root).as_posix()
            if any(where.startswith(each) for each in ALLOWED):
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and node.value in DISTINCT:
                    found.append(f"{where}:{node.lineno} {node.value}")
    assert not found, "ask generation.engine.factors instead"
