"""A contact sheet as a picture for a paper: PNG or PDF. Pillow only, no Django.

Labels are set in DejaVu Sans, which knows Latin, Greek, Cyrillic and Arabic letters and
comes with matplotlib; its file is read, matplotlib itself is not imported.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import IO

from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

MOST_PIXELS = 40_000_000
MOST_PICTURES = 1000
# A figure of 1,600 pixels is 20 cm wide.
DPI = 200
# Small panels stand side by side, up to so many cells.
WIDE = 8
PAPER, INK, QUIET, EMPTY = "#ffffff", "#000000", "#555555", "#d8d8d8"


class FigureTooLarge(ValueError):
    """The figure would not be drawn in a reasonable time; the text says what to do."""


@dataclass(frozen=True)
class Cell:
    """A picture, read only when it is drawn, or what there is instead of one; and a
    note below it."""

    picture: Callable[[], Image.Image] | None
    instead: str = ""
    note: str = ""


@dataclass(frozen=True)
class Panel:
    """One table: `cells` by row and column, None where there is no render."""

    caption: str
    down: str
    across: str
    rows: Sequence[str]
    columns: Sequence[str]
    cells: Sequence[Sequence[Cell | None]]


@lru_cache(maxsize=16)
def font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans. Raises FileNotFoundError without matplotlib's files."""
    found = importlib.util.find_spec("matplotlib")
    if found is None or found.origin is None:
        raise FileNotFoundError("DejaVu Sans comes with matplotlib; install it.")
    folder = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf"
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(folder / name, size)


def wrapped(text: str, face: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """Lines no wider than `width`; a longer word is cut."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        joined = f"{line} {word}".strip()
        if face.getlength(joined) <= width:
            line = joined
            continue
        lines += [line] if line else []
        line = word
        while face.getlength(line) > width and len(line) > 1:
            fits = next(
                n for n in range(len(line) - 1, 0, -1)
                if n == 1 or face.getlength(line[:n]) <= width
            )  # fmt: skip
            lines.append(line[:fits])
            line = line[fits:]
    return [*lines, line] if line else lines


class Figure:
    """One page: a title, a line of settings and panels of cells of `side` pixels."""

    def __init__(
        self, *, title: str, note: str, panels: Sequence[Panel], side: int
    ) -> None:
        self.title, self.note, self.panels, self.side = title, note, panels, side
        size = min(48, max(12, side // 10))
        self.face, self.bold = font(size), font(size, bold=True)
        self.line = round(size * 1.35)
        self.gap = max(3, side // 40)
        self.margin = size

    @cached_property
    def heading_width(self) -> int:
        """The column of row headings: as wide as its texts, two pictures at most."""
        widths = [
            self.face.getlength(text)
            for panel in self.panels
            for text in (panel.down, *panel.rows)
            if text
        ]
        return min(2 * self.side, round(max(widths)) + 2 * self.gap) if widths else 0

    def _across(self, panel: Panel) -> int:
        """A panel's width, with the space that parts it from the next."""
        cells = len(panel.columns) * (self.side + self.gap)
        return self.heading_width + cells + self.margin

    @cached_property
    def _shelves(self) -> list[list[Panel]]:
        """Panels side by side, as many as are together no wider than WIDE columns."""
        widest = max((self._across(panel) for panel in self.panels), default=0)
        room = max(widest, self.heading_width + WIDE * (self.side + self.gap))
        shelves: list[list[Panel]] = []
        left = 0
        for panel in self.panels:
            if self._across(panel) > left:
                shelves.append([])
                left = room
            shelves[-1].append(panel)
            left -= self._across(panel)
        return shelves

    def _tall(self, panel: Panel) -> int:
        rows = range(len(panel.rows))
        return self._above(panel) + sum(self._row(panel, number) for number in rows)

    @cached_property
    def width(self) -> int:
        shelves = (sum(map(self._across, shelf)) for shelf in self._shelves)
        return 2 * self.margin + max([*shelves, 24 * self.line])

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, before anything is drawn."""
        shelves = (max(map(self._tall, shelf)) for shelf in self._shelves)
        head = self.line * self._head_lines
        return self.width, 2 * self.margin + head + sum(shelves)

    @property
    def _head_lines(self) -> int:
        return len(self._title) + len(self._note)

    @cached_property
    def _title(self) -> list[str]:
        return wrapped(self.title, self.bold, self.width - 2 * self.margin)

    @cached_property
    def _note(self) -> list[str]:
        return wrapped(self.note, self.face, self.width - 2 * self.margin)

    def _labels(self, texts: Iterable[str]) -> list[list[str]]:
        return [wrapped(text, self.face, self.side) for text in texts]

    def _caption(self, panel: Panel) -> list[str]:
        return wrapped(panel.caption, self.bold, self._across(panel) - self.margin)

    def _above(self, panel: Panel) -> int:
        """Pixels of caption, name of the columns' factor and column headings."""
        lines = 1 + len(self._caption(panel)) + bool(panel.across)
        return self.line * (
            lines + max((len(it) for it in self._labels(panel.columns)), default=0)
        )

    def _row(self, panel: Panel, number: int) -> int:
        notes = self._labels(cell.note for cell in panel.cells[number] if cell)
        lines = max((len(it) for it in notes), default=0)
        return self.side + self.gap + lines * self.line

    def draw(self) -> Image.Image:
        """The page, white, in RGB."""
        image = Image.new("RGB", self.size, PAPER)
        pen = ImageDraw.Draw(image)
        y = self.margin
        for lines, face in ((self._title, self.bold), (self._note, self.face)):
            for text in lines:
                pen.text((self.margin, y), text, INK, face)
                y += self.line
        for shelf in self._shelves:
            x = self.margin
            for panel in shelf:
                self._draw_panel(image, pen, panel, x, y)
                x += self._across(panel)
            y += max(map(self._tall, shelf))
        return image

    def _draw_panel(
        self, image: Image.Image, pen: ImageDraw.ImageDraw, panel: Panel, x: int, y: int
    ) -> None:
        left = x + self.heading_width
        step = self.side + self.gap
        y += self.line
        for text in self._caption(panel):
            pen.text((x, y), text, INK, self.bold)
            y += self.line
        if panel.across:
            middle = left + (len(panel.columns) * step - self.gap) / 2
            pen.text((middle, y), panel.across, QUIET, self.face, anchor="ma")
            y += self.line
        labels = self._labels(panel.columns)
        most = max((len(it) for it in labels), default=0)
        if panel.down:
            at = (x, y + (most - 1) * self.line)
            pen.text(at, panel.down, QUIET, self.face)
        for number, lines in enumerate(labels):
            for index, text in enumerate(lines, start=most - len(lines)):
                at_x = left + number * step + self.side / 2
                pen.text((at_x, y + index * self.line), text, INK, self.face, "ma")
        y += most * self.line
        for number, text in enumerate(panel.rows):
            lines = wrapped(text, self.face, self.heading_width)
            top = y + (self.side - len(lines) * self.line) // 2
            for index, part in enumerate(lines):
                pen.text((x, top + index * self.line), part, INK, self.face)
            for column, cell in enumerate(panel.cells[number]):
                if cell is not None:
                    self._draw_cell(image, pen, cell, left + column * step, y)
            y += self._row(panel, number)

    def _draw_cell(
        self, image: Image.Image, pen: ImageDraw.ImageDraw, cell: Cell, x: int, y: int
    ) -> None:
        side = self.side
        if cell.picture is None:
            pen.rectangle((x, y, x + side - 1, y + side - 1), EMPTY)
            middle = (x + side / 2, y + side / 2)
            pen.text(middle, cell.instead, INK, self.face, anchor="mm")
        else:
            picture = cell.picture()
            picture.thumbnail((side, side), Image.Resampling.LANCZOS)
            free = (side - picture.width) // 2, (side - picture.height) // 2
            image.paste(picture, (x + free[0], y + free[1]))
        for index, text in enumerate(wrapped(cell.note, self.face, side)):
            at = (x + side / 2, y + side + index * self.line)
            pen.text(at, text, QUIET, self.face, anchor="ma")


def check_number(pictures: int) -> None:
    """Refuse more pictures than one file takes. Raises FigureTooLarge."""
    if pictures > MOST_PICTURES:
        raise FigureTooLarge(
            f"The sheet has {pictures:,} pictures; at most {MOST_PICTURES:,} go into "
            "one file. Take single pages as PNG."
        )


def check_size(figures: Sequence[Figure]) -> None:
    """Refuse a page that would take too much memory. Raises FigureTooLarge."""
    for width, height in (figure.size for figure in figures):
        if width * height > MOST_PIXELS:
            raise FigureTooLarge(
                f"A page would have {width:,} × {height:,} pixels; at most "
                f"{MOST_PIXELS:,} are possible. Take the small pictures, or lay the "
                "sheet out with fewer levels a table."
            )


def write_png(figure: Figure, file: IO[bytes]) -> None:
    """One page, lossless. Raises FigureTooLarge."""
    check_size([figure])
    said = PngImagePlugin.PngInfo()
    said.add_itxt("Title", figure.title)
    said.add_itxt("Description", figure.note)
    figure.draw().save(file, "PNG", pnginfo=said, dpi=(DPI, DPI))


def write_pdf(figures: Sequence[Figure], file: IO[bytes]) -> None:
    """A page for each figure; one is in memory at a time. Raises FigureTooLarge.

    Pillow's PDF holds JPEG: of the best quality, without subsampled colour.
    """
    check_size(figures)
    for number, figure in enumerate(figures):
        figure.draw().save(
            file,
            "PDF",
            append=number > 0,
            resolution=DPI,
            quality=95,
            subsampling=0,
            title=figures[0].title,
            subject=figures[0].note,
            creator="NSTLab",
        )
