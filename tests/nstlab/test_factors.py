"""The table of factors: one row is enough, and nothing else knows a factor's name."""

from __future__ import annotations

import ast
import csv
import io
import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from analysis.bundle.write import write_bundle
from analysis.charts import registry
from analysis.charts.mos import caterpillar
from analysis.columns import RATINGS_LONG
from analysis.exports import csv_lines, ratings_rows
from generation.engine.cli.main import main
from generation.engine.factors import (
    FACTORS,
    choices_of,
    documented,
    setting_names,
)
from generation.engine.methods.gatys import Gatys
from generation.engine.registry import METHODS, Setting
from generation.engine.settings import COMMON
from generation.models import Experiment, Render, SourceImage
from survey.models import Study
from survey.studies.lifecycle import open_study
from tests.analysis.test_exports import people_answer
from tests.conftest import put_on_wall


class Brush(Gatys):
    """As Gatys's, with a setting that no file knows."""

    name = "brush"

    @property
    def settings(self) -> Sequence[Setting]:  # type: ignore[override]
        return [
            Setting(
                name="brush_width", default=3, low=1, high=100, unit="px", column=True,
                help="how wide the brush is",
            )
        ]  # fmt: skip


@pytest.fixture
def brush_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """A factor from outside, which a method brings."""
    monkeypatch.setitem(METHODS, "brush", Brush())


@pytest.mark.django_db
@pytest.mark.broker
def test_a_row_is_enough_for_a_factor_to_be_everywhere(
    brush_width: None,
    logged_in: Any,
    make_experiment: Callable[..., Any],
    queues: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one_chart = [kind for kind in registry.KINDS if kind.draw is caterpillar]
    monkeypatch.setattr(registry, "KINDS", one_chart)  # the others take seconds
    experiment: Experiment = make_experiment(
        alpha_beta=[0.01], more_axes={"method": ["brush"], "brush_width": [10, 2]}
    )
    put_on_wall(experiment)
    assert {row.settings["brush_width"] for row in experiment.renders.all()} == {2, 10}

    form = f"/admin/generation/experiment/{experiment.pk}/"
    assert "range, brush_width." in logged_in.get(f"{form}change/").content.decode()

    sheet = logged_in.get(f"{form}sheet/", {"rows": "brush_width"}).content.decode()
    assert "brush width ↓" in sheet
    rows_of = re.findall(r'<th scope="row">\s*(\d+)\s*</th>', sheet)
    assert rows_of == ["2", "10"]

    picker = logged_in.get("/admin/survey/study/wizard/", {"experiment": experiment.pk})
    assert "brush width 10" in picker.content.decode()

    study = Study.objects.create(
        title="Brushes", experiment=experiment, owner=experiment.owner,
        controller="The lab", contact="ada@lab.example", ethics_reference="1",
    )  # fmt: skip
    open_study(study)
    people_answer(study, 2, 4, 5)
    text = "".join(csv_lines(RATINGS_LONG, ratings_rows(study)))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {row["brush_width"] for row in rows} == {"2", "10"}

    SourceImage.objects.update(licence="CC0 1.0")
    archive = io.BytesIO()
    write_bundle(study, archive)
    with zipfile.ZipFile(archive) as bundle:
        (ratings,) = [it for it in bundle.namelist() if "_table-ratings_" in it]
        assert ",brush_width," in bundle.read(ratings).decode().partition("\n")[0]
        codebook = bundle.read("documentation/codebook.csv").decode()
        assert ",brush_width,integer,px,How wide the brush is\n" in codebook
        drawn = bundle.read("results/chart_mos.csv").decode()
        assert "brush width 10" in drawn


def test_the_command_line_knows_it_too(
    brush_width: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["render", "--help"])
    assert "how wide the brush is [3]" in capsys.readouterr().out


def test_every_setting_of_the_engine_has_a_row() -> None:
    assert set(setting_names()) <= set(FACTORS)
    for name in setting_names():
        factor = FACTORS[name]
        assert factor.help, name
        if factor.default is not None and not factor.is_layers:
            assert type(factor.default) is factor.level_type, name
        if factor.closed_choices:
            assert factor.default in factor.closed_choices, name
            assert dict(choices_of(name)).keys() == {*factor.closed_choices}


def test_what_is_a_column_of_renders_is_one_of_tables() -> None:
    kept = {each.name for each in Render._meta.concrete_fields}
    table = {name for name, each in FACTORS.items() if each.column}
    assert table <= kept
    assert {*COMMON} & kept - {"method"} <= table


def test_the_documented_table_is_the_table() -> None:
    page = Path(settings.BASE_DIR, "docs/reference/factors.md").read_text()
    assert documented() in page, "write it anew: `documented` of the factors"


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
