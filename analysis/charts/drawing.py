"""The parts that charts share: files, style, axes, whiskers, pictures. matplotlib.

Every chart is SVG and PNG, the same bytes for the same tables, in colours that colour-
blind people can tell apart (Okabe and Ito; viridis) and that a grey printer keeps
apart by shape. What is drawn is in the chart's own small table too; where there is
nothing to draw, a sentence stands in its place.
"""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from PIL import Image

from analysis.charts.subject import Subject
from analysis.stats.writing import csv_text

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
WIDTH = 7.0  # inches: a page of A4 between its margins
DPI = 200
THUMBNAIL_SIDE = 96  # pixels
MOST_WITH_THUMBNAILS = 60
MOST_WITH_LABELS = 120
TALL = 12  # rows
MOST_POINTS = 12  # of a scale
# Characters in the name of a file, which has two factors and a question at most: a row
# holds 100.
OF_A_FACTOR = 24
OF_A_QUESTION = 30
LABEL_LINE = 56  # characters
# Columns of a table of MOS that a chart's own table has too, of hidden references.
BESIDE = ("is_reference", "dmos", "dmos_n", "dmos_ci_low", "dmos_ci_high")
STYLE: Any = {
    "svg.hashsalt": "nstlab",
    "svg.fonttype": "path",
    "font.family": ["DejaVu Sans"],
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#ddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "figure.constrained_layout.w_pad": 0.08,
    "savefig.facecolor": "white",
}


@dataclass(frozen=True)
class DrawnChart:
    """A drawn chart. `table` holds what is drawn; `missing` says why nothing is."""

    name: str  # stem of its files
    title: str
    description: str  # for those who cannot see it, and for the caption
    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    svg: str = ""
    png: bytes = b""
    missing: str = ""
    part: str = ""  # of the report's pages
    question: str = ""  # that it is of; empty where one only was asked

    def files(self) -> dict[str, bytes]:
        """NAME.svg, NAME.png and `chart_NAME.csv`; none if nothing is drawn."""
        if self.missing:
            return {}
        return {
            f"chart_{self.name}.csv": csv_text(self.table).encode(),
            f"{self.name}.svg": self.svg.encode(),
            f"{self.name}.png": self.png,
        }


def thumbnail(picture: Image.Image) -> Image.Image:
    """A small RGB copy for a chart."""
    small = picture.convert("RGB")
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    return small


def file_stem(stem: str, question: str, *factors: str) -> str:
    """The stem of a chart's files: letters, digits, - and _ whatever it is about, and
    short enough for every disk."""
    parts = [stem, *(_file_word(name, OF_A_FACTOR) for name in factors)]
    if plain := re.sub(r"\W+", "_", question).strip("_").lower():
        parts.append(_file_word(plain, OF_A_QUESTION))
    return "_".join(parts)


def _file_word(name: str, most: int) -> str:
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^\w-]+", "-", letters)[:most].strip("-") or "factor"


def titled(title: str, question: str) -> str:
    """The title, with the question where several were asked."""
    return f"{title}: {question}" if question else title


def said(chart: DrawnChart, sentence: str) -> DrawnChart:
    """The chart with one more sentence in its caption; none if it is empty."""
    if not sentence:
        return chart
    return replace(chart, description=f"{chart.description} {sentence}")


def without(chart: DrawnChart, sentence: str) -> DrawnChart:
    """The chart with a sentence in its place."""
    return replace(chart, missing=sentence)


def finished(chart: DrawnChart, figure: Figure, table: pd.DataFrame) -> DrawnChart:
    """The chart with its SVG, its PNG and the small table of what it shows."""
    svg, png = io.StringIO(), io.BytesIO()
    figure.savefig(png, format="png", dpi=DPI, metadata={"Software": None})
    figure.set_layout_engine("none")  # laid out once, alike in both
    figure.savefig(
        svg,
        format="svg",
        metadata={"Date": None, "Creator": None, "Title": chart.title},
    )
    return replace(
        chart,
        svg=svg.getvalue(),
        png=png.getvalue(),
        table=table.reset_index(drop=True),
    )


def row_figure(
    labels: Sequence[str], *, picture: bool = False, legend: bool = False
) -> tuple[Figure, Axes]:
    """A figure of one row a thing, tall enough for them and their labels."""
    count = len(labels)
    each = 0.42 if picture else 0.22 if count <= MOST_WITH_LABELS else 0.03
    if count <= MOST_WITH_LABELS:
        lines = max((wrapped(label).count("\n") + 1 for label in labels), default=1)
        each = max(each, 0.06 + 0.12 * lines)
    height = 1.0 + (0.3 if legend else 0) + each * max(count, 3)
    figure = Figure(figsize=(WIDTH, height), layout="constrained", dpi=DPI)
    return figure, figure.subplots()


def row_axis(
    axes: Axes, labels: Sequence[str], word: str, *, picture: bool = False
) -> None:
    """Write a label beside each row, or how many there are where they are too many."""
    count = len(labels)
    axes.set_ylim(-0.6, count - 0.4)
    axes.grid(axis="y", visible=False)
    if count > TALL:  # so tall that one end is read without the other
        axes.tick_params(axis="x", labeltop=True)
    if count <= MOST_WITH_LABELS:
        axes.set_yticks(range(count), [wrapped(text) for text in labels], fontsize=7)
        axes.tick_params(axis="y", length=0, pad=32 if picture else 3)
    else:
        axes.set_ylabel(f"{count} {word}")
        axes.set_yticks([])


def wrapped(label: str) -> str:
    """A label in lines of LABEL_LINE at most, broken between its words only."""
    lines = [""]
    for part in label.replace("\n", " · \n").split(" · "):
        joined = f"{lines[-1]} · {part}" if lines[-1] else part
        if part.startswith("\n"):
            lines.append(part.removeprefix("\n"))
        elif len(joined) <= LABEL_LINE or not lines[-1]:
            lines[-1] = joined
        else:
            lines.append(part)
    return "\n".join(lines)


def whole_points(low: float, high: float) -> list[int]:
    """The whole points of a scale; none where they are too many to be told apart."""
    if low % 1 or high % 1 or high - low > MOST_POINTS:
        return []
    return [*range(int(low), int(high) + 1)]


def score_axis(axes: Axes, subject: Subject, word: str) -> None:
    """Make the axis that of the ratings' scale, from end to end."""
    low, high = subject.scale
    axes.set_xlim(low - 0.0125 * (high - low), high + 0.0125 * (high - low))
    if points := whole_points(low, high):
        axes.set_xticks(points)
    axes.set_xlabel(f"{word}, scale {low}–{high}")


def whiskers(axes: Axes, table: pd.DataFrame, place: np.ndarray) -> None:
    """Draw the interval of each row that has one."""
    known = table[["ci_low", "ci_high"]].notna().all(axis=1).to_numpy()
    axes.hlines(
        place[known], table["ci_low"][known], table["ci_high"][known],
        color="#555", linewidth=1.2,
    )  # fmt: skip


def cut_at_the_axis(axes: Axes, table: pd.DataFrame, place: np.ndarray) -> str:
    """Mark by arrows where intervals of rows leave the axis; a sentence that says so,
    empty if none does."""
    left, right = axes.get_xlim()
    cut = 0
    for column, marker, end, beyond in (
        ("ci_low", "<", left, table["ci_low"] < left),
        ("ci_high", ">", right, table["ci_high"] > right),
    ):
        rows = (beyond & table[column].notna()).to_numpy()
        cut += int(rows.sum())
        axes.plot(
            np.full(rows.sum(), end), place[rows], marker, color="#555", markersize=4,
            clip_on=False,
        )  # fmt: skip
    return f"Arrows: {beyond_the_scale(cut)}" if cut else ""


def beyond_the_scale(ends: int) -> str:
    """The sentence on so many ends of intervals that lie beyond the axis."""
    return (
        f"{ends} end{'s' if ends > 1 else ''} of intervals lie beyond the scale and "
        "are cut there; the numbers have them whole."
    )


def picture_beside(axes: Axes, thumbnail: Image.Image | None, at: float) -> None:
    """A thumbnail between the labels and the axis, at row `at`."""
    if thumbnail is None:
        return
    box = AnnotationBbox(
        _offset_image(thumbnail, 27), (0, at), xybox=(-17, 0),
        xycoords=axes.get_yaxis_transform(), boxcoords="offset points", frameon=False,
        pad=0, annotation_clip=False,
    )  # fmt: skip
    box.set_in_layout(False)  # the labels' padding has made room for it
    axes.add_artist(box)


def references(table: pd.DataFrame) -> np.ndarray:
    """Which rows are those of hidden references."""
    if "is_reference" not in table:
        return np.zeros(len(table), bool)
    return table["is_reference"].to_numpy(bool)


def on_references(table: pd.DataFrame) -> str:
    """The sentence of a caption about hidden references, where there are any."""
    marked = references(table).any()
    return " Open squares: the hidden references." if marked else ""


def plot_references(axes: Axes, x: pd.Series, y: np.ndarray) -> None:
    """Mark hidden references by open squares."""
    if len(y):
        axes.plot(
            x, y, "s", markersize=4.5, markerfacecolor="white",
            markeredgecolor=OKABE_ITO[1], label="reference",
        )  # fmt: skip


def picture_at(
    axes: Axes, thumbnail: Image.Image, at: tuple[float, float], points: float
) -> None:
    """Put a picture at a place of the axes, its longer side `points` long."""
    box = AnnotationBbox(_offset_image(thumbnail, points), at, frameon=False, pad=0)
    box.set_in_layout(False)
    axes.add_artist(box)


def _offset_image(thumbnail: Image.Image, points: float) -> OffsetImage:
    """The picture, its longer side `points` long."""
    pixels = np.asarray(thumbnail)
    # An OffsetImage counts its pixels at 72 to the inch where zoom is 1.
    return OffsetImage(pixels, zoom=points / max(pixels.shape[:2]), dpi_cor=True)


def readable_on(colour: Sequence[float]) -> str:
    """Black or white, whichever stands out (WCAG's relative luminance)."""
    r, g, b = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]
    )
    return "#000" if 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 else "#fff"
