"""A chart is one entry: added from outside it is seen on the page and in the bundle."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

from analysis.bundle.write import write_bundle
from analysis.charts import registry
from analysis.charts.drawing import DrawnChart, file_stem, finished
from analysis.charts.subject import Subject
from analysis.models import Report
from analysis.reports import compute
from analysis.reports.contents import report_context
from analysis.reports.page_data import Kept
from tests.analysis.test_exports import people_answer

pytestmark = pytest.mark.django_db


def dots(subject: Subject, table: pd.DataFrame, question: str) -> DrawnChart:
    """The MOS of every stimulus as dots."""
    figure = Figure(figsize=(2, 2))
    figure.subplots().plot(table["n"], table["mos"], "o")
    chart = DrawnChart(file_stem("dots", question), "MOS by n", "A dot a stimulus.")
    return finished(chart, figure, table[["stimulus", "n", "mos"]])


def test_a_chart_from_outside_is_on_the_page_and_in_the_bundle(
    make_study: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    study = make_study(pictures=2)
    people_answer(study, 2, 4)
    only = [registry.ChartKind("mos_by_stimulus.csv", dots)]
    monkeypatch.setattr(registry, "KINDS", only)
    report = Report.objects.create(study=study, fingerprint="x")
    assert report.finish(**compute.compute(study, include_simulated=False))
    report.refresh_from_db()
    (shown,) = report_context(Kept(report), "stimuli", study)["charts"]
    assert (shown["name"], shown["title"]) == ("dots", "MOS by n")
    assert shown["table"].header == ["stimulus", "n", "mos"]
    with (tmp_path / "a.zip").open("wb") as file:
        write_bundle(study, file)
    names = zipfile.ZipFile(tmp_path / "a.zip").namelist()
    files = ("dots.svg", "dots.png", "chart_dots.csv")
    assert {f"results/{name}" for name in files} <= set(names)
