"""The sheet taken along: a PNG and a PDF whose sizes follow from the layout."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from django.http import QueryDict
from PIL import Image
from PIL.PdfParser import PdfParser

from generation.contact_sheet import figure
from generation.contact_sheet.contents import read_sheet, sheet_figures
from generation.contact_sheet.figure import (
    Cell,
    Figure,
    FigureTooLarge,
    Panel,
    font,
    wrapped,
)
from generation.models import Experiment
from tests.conftest import put_on_wall
from tests.generation.test_sheet import address, pretend_done

RED = (200, 30, 60)


def plain(rows: int, columns: int, *, side: int = 100, **options: Any) -> Figure:
    cells = [
        [Cell(lambda: Image.new("RGB", (side, side), RED)) for _ in range(columns)]
        for _ in range(rows)
    ]
    panel = Panel(
        caption="", down="", across="", rows=[""] * rows, columns=[""] * columns,
        cells=cells,
    )  # fmt: skip
    return Figure(title="T", note="", panels=[panel], side=side, **options)


def test_a_page_is_as_large_as_its_cells() -> None:
    small, large = plain(2, 30), plain(3, 31)
    step = small.side + small.gap
    assert large.size[0] - small.size[0] == step
    assert large.size[1] - small.size[1] == step
    assert small.draw().size == small.size


def test_pictures_are_drawn_pixel_by_pixel_where_they_belong() -> None:
    page = plain(1, 2)
    image = page.draw()
    red = [
        (x, y)
        for x in range(image.width)
        for y in range(image.height)
        if image.getpixel((x, y)) == RED
    ]
    assert len(red) == 2 * 100 * 100
    left, right = min(x for x, _ in red), max(x for x, _ in red)
    assert right - left == 2 * 100 + page.gap - 1


def test_small_panels_stand_side_by_side_and_wide_ones_below_each_other() -> None:
    def sizes(columns: int) -> list[tuple[int, int]]:
        one = plain(1, columns).panels[0]
        return [
            Figure(title="T", note="", panels=[one] * count, side=100).size
            for count in (1, 2)
        ]

    (narrow, first), (wide, second) = sizes(3)
    assert wide > narrow
    assert first == second
    (narrow, first), (wide, second) = sizes(9)
    assert wide == narrow
    assert second > first


def test_missing_pictures_and_notes_have_their_place() -> None:
    cells = [[Cell(None, "failed", "α/β 0.1"), None]]
    panel = Panel("Red × Blue", "layer", "α/β", ["conv1_1"], ["0.1", "0.2"], cells)
    page = Figure(title="A title", note="A note", panels=[panel], side=64)
    image = page.draw()
    assert image.size == page.size
    grey = image.getcolors(maxcolors=2**24)
    assert grey is not None
    assert (0xD8, 0xD8, 0xD8) in {color for _, color in grey}


@pytest.mark.parametrize("letter", "αβ×·éλдλ…–")
def test_the_font_has_the_fields_letters(letter: str) -> None:
    face = font(20)
    unknown = bytes(face.getmask("\uffff"))
    assert bytes(face.getmask(letter)) != unknown


def test_lines_are_broken_at_words_and_long_words_are_cut() -> None:
    face = font(20)
    text = "one two three " + "x" * 100
    lines = wrapped(text, face, 120)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(face.getlength(line) <= 120 for line in lines)
    assert wrapped("", face, 120) == []


def test_an_absurd_size_is_refused_before_anything_is_drawn() -> None:
    def never() -> Image.Image:
        raise AssertionError("drawn")

    panel = Panel("", "", "", [""], [""] * 12, [[Cell(never)] * 12])
    with pytest.raises(FigureTooLarge, match="at most 40,000,000"):
        figure.write_png(
            Figure(title="", note="", panels=[panel], side=4096), io.BytesIO()
        )


# From its page ----------------------------------------------------------------


@pytest.fixture
def experiment(make_experiment: Callable[..., Any], broker: None) -> Any:
    made = make_experiment(
        name="Fig. 4.1", content_layer=["conv1_1", "conv2_1"], alpha_beta=[0.1, 0.2, 1]
    )
    put_on_wall(made)
    return made


def body(answer: Any) -> bytes:
    assert answer.status_code == 200
    return b"".join(answer.streaming_content)


@pytest.mark.django_db
@pytest.mark.broker
def test_the_sheet_is_taken_along_as_png(
    logged_in: Any, experiment: Experiment
) -> None:
    answer = logged_in.get(address(experiment, "sheet.png"))
    assert answer["Content-Type"] == "image/png"
    assert 'filename="fig-41.png"' in answer["Content-Disposition"]
    image = Image.open(io.BytesIO(body(answer)))
    image.load()
    assert image.info["Title"] == "Fig. 4.1"
    said = image.info["Description"]
    assert "random features: not the paper's network" in said
    assert "content image Red" in said
    chosen = QueryDict("rows=alpha&columns=content_layer&side=native")
    other = Image.open(
        io.BytesIO(body(logged_in.get(address(experiment, "sheet.png"), chosen.dict())))
    )
    read = read_sheet(experiment, chosen)
    (page,) = sheet_figures(read, read.layout.pages, native=True)
    assert other.size == page.size
    assert [len(row) for row in page.panels[0].cells] == [2, 2, 2]


@pytest.mark.django_db
@pytest.mark.broker
def test_the_pdf_has_a_page_for_each_page_of_the_sheet(
    logged_in: Any, experiment: Experiment, make_experiment: Callable[..., Any]
) -> None:
    data = body(logged_in.get(address(experiment, "sheet.pdf")))
    assert data.startswith(b"%PDF")
    assert len(PdfParser(buf=data).pages) == 1
    many = make_experiment(name="Many", alpha_beta=[n / 100 for n in range(1, 251)])
    pretend_done(many)
    data = body(logged_in.get(address(many, "sheet.pdf"), {"side": "native"}))
    assert len(PdfParser(buf=data).pages) == 3
    png = logged_in.get(address(many, "sheet.png"), {"page": 3})
    assert 'filename="many-3.png"' in png["Content-Disposition"]


@pytest.mark.django_db
@pytest.mark.broker
def test_what_is_too_large_is_refused_on_the_sheet(
    logged_in: Any, experiment: Experiment, monkeypatch: Any
) -> None:
    monkeypatch.setattr(figure, "MOST_PICTURES", 5)
    page = logged_in.get(address(experiment, "sheet.pdf"), follow=True)
    assert "6 pictures; at most 5 go into one file" in page.content.decode()
    experiment.renders.update(size=4000)
    page = logged_in.get(
        address(experiment, "sheet.png"), {"side": "native"}, follow=True
    )
    monkeypatch.setattr(figure, "MOST_PICTURES", 500)
    page = logged_in.get(
        address(experiment, "sheet.png"), {"side": "native"}, follow=True
    )
    assert "at most 40,000,000 are possible" in page.content.decode()
    assert logged_in.get(address(experiment, "sheet.gif")).status_code == 404


@pytest.mark.django_db
@pytest.mark.broker
def test_an_unpainted_experiment_has_no_figure(
    logged_in: Any, make_experiment: Any
) -> None:
    empty = make_experiment(name="Empty")
    page = logged_in.get(address(empty, "sheet.png"), follow=True)
    assert "There is no render yet." in page.content.decode()
