"""Charts of a made-up panel whose numbers are known, without Django."""

from __future__ import annotations

import io
import re
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from analysis.charts import registry
from analysis.charts.drawing import LABEL_LINE, DrawnChart, wrapped
from analysis.charts.factor_pairs import has_order, heat_map, levels_in_order
from analysis.charts.mos import caterpillar
from analysis.charts.subject import Subject
from analysis.stats import report as stats
from analysis.stats.case import Options
from analysis.stats.frame import validate

LAYERS = ("conv1_1", "conv3_1")
ALPHAS = (0.001, 0.02)


def panel(people: int = 8, **constant: Any) -> pd.DataFrame:
    """Four stimuli, one a cell of layer × α, rated 1 to 4 on average."""
    rng = np.random.default_rng(4)
    rows = [
        {
            "participant": f"p{person}",
            "stimulus": f"s{number}",
            "content_layer": layer,
            "alpha": alpha,
            "trial": number,
            "rating": int(np.clip(number + 1 + rng.integers(-1, 2), 1, 5)),
            **constant,
        }
        for person in range(people)
        for number, (layer, alpha) in enumerate(
            (layer, alpha) for layer in LAYERS for alpha in ALPHAS
        )
    ]
    return pd.DataFrame(rows)


def subject(frame: pd.DataFrame, **changes: Any) -> Subject:
    factors = ("content_layer", "alpha")
    options = Options(by=(*factors, "content_layer,alpha"), resamples=50)
    report = stats.build(validate(frame), options)
    thumbnails = {f"s{n}": Image.new("RGB", (9, 6), (60 * n, 0, 0)) for n in range(4)}
    return Subject.of(report, factors=factors, thumbnails=thumbnails, **changes)


def parsed(svg: str) -> Any:
    return ElementTree.fromstring(svg)  # noqa: S314 - our own


@pytest.fixture(scope="module")
def drawn() -> dict[str, DrawnChart]:
    return {chart.name: chart for chart in registry.draw_all(subject(panel()))}


def test_every_chart_of_the_report_is_drawn(drawn: dict[str, DrawnChart]) -> None:
    assert list(drawn) == [
        "mos", "ratings", "heat_content_layer_alpha", "lines_content_layer_alpha",
        "contrasts", "raters", "sos", "screening",
    ]  # fmt: skip
    for chart in drawn.values():
        assert not chart.missing, chart.missing
        assert chart.title and chart.description.endswith(".")
        assert set(chart.files()) == {
            f"{chart.name}.svg", f"{chart.name}.png", f"chart_{chart.name}.csv"
        }  # fmt: skip


def test_an_svg_is_a_picture_and_nothing_else(drawn: dict[str, DrawnChart]) -> None:
    for chart in drawn.values():
        root = parsed(chart.svg)
        assert root.tag.endswith("svg") and root.get("viewBox")
        assert not re.search(r"<script|\son\w+=|<foreignObject", chart.svg)
        links = re.findall(r'href="([^"]*)"', chart.svg)
        assert all(link.startswith(("#", "data:image/png")) for link in links)
        with Image.open(io.BytesIO(chart.png)) as picture:
            assert picture.width >= 1300  # a page's width at 200 dots to the inch


def test_the_same_tables_give_the_same_bytes_and_no_date(
    drawn: dict[str, DrawnChart],
) -> None:
    for again in registry.draw_all(subject(panel())):
        assert again.svg == drawn[again.name].svg
        assert again.png == drawn[again.name].png
        assert "dc:date" not in again.svg
    with Image.open(io.BytesIO(drawn["mos"].png)) as picture:
        assert "Software" not in picture.info


def test_what_is_drawn_is_in_the_charts_own_table(
    drawn: dict[str, DrawnChart],
) -> None:
    frame = panel()
    mos = frame.groupby("stimulus")["rating"].mean()
    table = drawn["mos"].table
    assert list(table["mos"]) == sorted(mos, reverse=True)  # as drawn: best on top
    assert dict(zip(table["stimulus"], table["mos"], strict=True)) == mos.to_dict()
    assert table["label"][0] == "conv3_1 · α 0.02"
    cells = drawn["heat_content_layer_alpha"].table
    pooled = frame.groupby(["content_layer", "alpha"])["rating"].mean()
    for cell in cells.to_dict("records"):
        assert cell["mos"] == pooled[cell["content_layer"], cell["alpha"]]
    variance = frame.groupby("stimulus")["rating"].var()
    for row in drawn["sos"].table.to_dict("records"):
        assert row["variance"] == pytest.approx(variance[row["stimulus"]], rel=1e-12)
    counts = drawn["ratings"].table.set_index("stimulus")
    assert (
        counts.loc["s0", "n_1"] == (frame.query("stimulus == 's0'").rating == 1).sum()
    )


def with_originals() -> pd.DataFrame:
    """The panel with a hidden reference that nearly everybody rates best."""
    frame = panel().assign(is_reference=False)
    original = frame[frame["stimulus"] == "s3"].assign(
        stimulus="s9", content_layer=None, alpha=np.nan, is_reference=True, trial=9
    )
    original["rating"] = [5, 5, 5, 4, 5, 5, 5, 5]
    return pd.concat([frame, original])


def test_hidden_references_are_on_every_chart_of_a_mos_with_the_dmos() -> None:
    of = subject(with_originals())
    charts = {chart.name: chart for chart in registry.draw_all(of)}
    mos = of.table("mos_by_stimulus.csv").set_index("stimulus")
    for name in ("mos", "ratings", "sos", "screening"):
        shown = charts[name].table.set_index("stimulus")
        assert shown.index[shown["is_reference"]].tolist() == ["s9"]
    shown = charts["mos"].table.set_index("stimulus")["dmos"]
    assert shown.to_dict() == pytest.approx(mos["dmos"].to_dict(), nan_ok=True)
    for name in ("heat_content_layer_alpha", "lines_content_layer_alpha"):
        assert "Hidden references: MOS 4.88 (95 % interval" in charts[name].description
        cells = charts[name].table
        assert len(cells) == 4 and "s9" not in cells
        assert cells["dmos"].tolist() == pytest.approx(mos["dmos"].dropna().tolist())
    families = charts["contrasts"].table["family"].str.split(":").str[0].tolist()
    assert families[2:6] == ["hidden reference"] * 4
    assert charts["screening"].table["dmos_none"].notna().sum() == 4


def test_a_chart_says_which_intervals_leave_its_axis(
    drawn: dict[str, DrawnChart],
) -> None:
    assert "beyond the scale" not in drawn["mos"].description
    ends = panel(people=2).assign(rating=lambda rows: 4 + (rows.index % 8 < 4))
    found = {chart.name: chart for chart in registry.draw_all(subject(ends))}
    table = found["mos"].table
    beyond = (table["ci_low"] < 1).sum() + (table["ci_high"] > 5).sum()
    assert beyond == 8
    assert "Arrows: 8 ends of intervals lie beyond" in found["mos"].description
    lines = found["lines_content_layer_alpha"]
    table = lines.table
    beyond = (table["ci_low"] < 0.9).sum() + (table["ci_high"] > 5.1).sum()
    assert beyond and f"{beyond} ends of intervals lie beyond" in lines.description


def test_levels_of_factors_come_before_the_many_pairs_of_stimuli(
    drawn: dict[str, DrawnChart],
) -> None:
    families = [text.split(":")[0] for text in drawn["contrasts"].table["family"]]
    assert families == ["alpha", "content_layer", *["stimulus"] * 6] or families == [
        "content_layer", "alpha", *["stimulus"] * 6
    ]  # fmt: skip


@pytest.mark.parametrize("several", [False, True])
def test_a_cell_holds_its_picture_or_one_of_several(several: bool) -> None:
    frame = panel()
    if several:
        again = frame.assign(stimulus=frame["stimulus"] + "x", trial=frame["trial"] + 4)
        frame = pd.concat([frame, again])
    with_pictures = subject(frame)
    table = with_pictures.table("mos_by_condition.csv")
    chart = heat_map(with_pictures, table, LAYER_ALPHA)
    bare = heat_map(
        Subject(with_pictures.tables, factors=with_pictures.factors, thumbnails={}),
        table,
        LAYER_ALPHA,
    )
    # The heat map itself and its colour bar are pictures too.
    assert chart.svg.count("<image") == bare.svg.count("<image") + 4


LAYER_ALPHA = ("content_layer", "alpha")


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(panel(people=1), id="one person"),
        pytest.param(panel().assign(rating=3), id="unanimous"),
        pytest.param(panel().query("stimulus == 's0'"), id="one stimulus"),
        pytest.param(
            panel().assign(rating=lambda rows: rows["rating"].where(rows.index == 0)),
            id="one rating",
        ),
    ],
)
def test_what_cannot_be_drawn_is_a_sentence(frame: pd.DataFrame) -> None:
    for chart in registry.draw_all(subject(frame)):
        if chart.missing:
            assert chart.missing.endswith(".") and not chart.files()
        else:
            parsed(chart.svg)


def test_no_ratings_at_all_are_sentences_throughout() -> None:
    empty = {"mos_by_stimulus.csv": pd.DataFrame(columns=["stimulus", "n", "mos"])}
    found = registry.draw_all(Subject(empty))
    assert found and all(chart.missing for chart in found)


def test_several_questions_have_a_chart_each() -> None:
    frame = pd.concat(
        [panel(question="How well is the style kept?"), panel(question="overall")]
    )
    names = [chart.name for chart in registry.draw_all(subject(frame))]
    assert "mos_overall" in names
    assert "mos_how_well_is_the_style_kept" in names
    assert len(set(names)) == len(names)


def test_many_stimuli_still_make_one_page() -> None:
    frame = pd.concat(
        panel(people=2).assign(stimulus=lambda rows, k=k: rows["stimulus"] + f"-{k}")
        for k in range(60)
    )
    tables = {"mos_by_stimulus.csv": stats.build(validate(frame)).tables[
        "mos_by_stimulus.csv"]}  # fmt: skip
    chart = caterpillar(Subject(tables), tables["mos_by_stimulus.csv"])
    height = float(parsed(chart.svg).get("height", "").removesuffix("pt"))
    assert height < 297 / 25.4 * 72  # A4
    assert len(chart.table) == 240


def test_a_label_keeps_every_setting_and_both_ends_of_a_title() -> None:
    factors = ("content", "style", "content_layer", "alpha", "style_layers")
    of = Subject({}, factors=factors)
    row = {
        "content": "Portrait of a woman in red, 1", "style": "Waves", "alpha": 0.0005,
        "content_layer": "conv4_1", "style_layers": "conv1_1 conv2_1 conv3_1 conv4_1",
    }  # fmt: skip
    whole, short = of.label(row), of.label(row, short=True)
    assert short.startswith("Portrait") and "ed, 1 × Waves · " in short
    assert short.endswith(whole.split(" × Waves")[1])
    assert short != of.label(
        {**row, "content": "Portrait of a woman in red, 2"}, short=True
    )
    lines = wrapped(f"{short}\n−  {short}").split("\n")
    assert " · ".join(lines[:2]) == short
    assert " · ".join(lines[2:]) == f"−  {short}"
    assert max(map(len, lines)) <= LABEL_LINE


def test_lines_run_along_the_factor_whose_levels_have_an_order() -> None:
    frame = panel()
    frame["style"] = frame["content_layer"].map(dict(zip(LAYERS, "AB", strict=True)))
    extra = frame.assign(
        stimulus=frame["stimulus"] + "x",
        style="C",
        trial=frame["trial"] + 4,
    )
    both = pd.concat([frame, extra]).drop(columns="content_layer")
    both["stimulus"] = both["style"] + both["alpha"].astype(str)
    both = both.drop_duplicates(["participant", "stimulus"])
    options = Options(by=("style,alpha",), resamples=50)
    report = stats.build(validate(both), options)
    of = Subject.of(report, factors=("style", "alpha"), thumbnails={})
    (drawn,) = [it for it in registry.draw_all(of) if it.name == "lines_alpha_style"]
    # Of styles there are more, but a line from one to the next would mean nothing.
    assert drawn.title == "Interplay of style and α"


def test_levels_that_are_text_stand_in_the_order_of_their_numbers() -> None:
    """Levels of own pictures and of files are text, as they were written."""
    levels = levels_in_order(pd.Series(["10", "2", "0.50", "many", "2_1"]))
    assert levels == ["0.50", "2", "10", "2_1", "many"]
    table = pd.DataFrame({"strength": ["10", "2"], "content": ["10", "2"]})
    assert has_order(table, "strength")
    assert not has_order(table, "content")
