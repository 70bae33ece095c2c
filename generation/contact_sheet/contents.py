"""An experiment's renders read from the database into a contact sheet."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, Max, Min
from django.http import QueryDict
from PIL import Image

from generation.contact_sheet.figure import Cell, Figure, Panel
from generation.contact_sheet.layout import (
    PAIR,
    PICTURES,
    Block,
    Layout,
    SheetFactor,
    arrange,
    factors,
    level_text,
)
from generation.engine.factors import FACTORS, RATIO, factor_label, sheet_order
from generation.models import RANDOM_FEATURES, Experiment, Pair, Render, SourceImage
from generation.pictures.source_images import THUMBNAIL_SIDE

CHOICES = ("rows", "columns", "facets")
# What a cell needs of its render; the long columns stay where they are.
SHOWN = (
    "status", "reason", "picture", "preview", "progress", "experiment", "size",
    *(name for name, each in FACTORS.items() if each.listed or each.told),
)  # fmt: skip


@dataclass(frozen=True)
class Sheet:
    """All renders of an experiment by their factors. `fixed` are the columns with one
    level."""

    experiment: Experiment
    found: dict[str, SheetFactor]
    layout: Layout
    fixed: dict[str, Any]

    @property
    def query(self) -> str:
        """The query string that lays the sheet out so again."""
        named = (self.layout.rows, self.layout.columns, *self.layout.facets[:1])
        names = [each.name if each else "" for each in named]
        return urlencode(dict(zip(CHOICES, [*names, ""], strict=False)))


def read_sheet(experiment: Experiment, chosen: QueryDict) -> Sheet:
    """Lay an experiment's renders out as a query string says, in three queries."""
    renders = experiment.renders.order_by()
    columns = [name for name in sheet_order() if Render.lookup(name) == name]
    extremes = renders.aggregate(
        every=Count("pk"),
        balanced=Count("balance"),
        **{f"low_{name}": Min(name) for name in columns},
        **{f"high_{name}": Max(name) for name in columns},
    )
    lows = {name: extremes[f"low_{name}"] for name in columns}
    varied = [name for name in columns if lows[name] != extremes[f"high_{name}"]]
    if extremes["balanced"]:
        # α's column has what a balance came to, its settings only what was typed.
        columns.remove("alpha")
        varied = [name for name in varied if name != "alpha"]
    paths = _paths(experiment, columns, varied)
    if extremes["balanced"]:
        paths.pop("alpha", None)
        if extremes["every"] > extremes["balanced"]:
            paths |= {"balance": "balance", "alpha": "settings__alpha"}
            varied = list(dict.fromkeys([*varied, "balance"]))
    rows = sorted(renders.values_list("pk", *paths.values()), key=itemgetter(0))
    keys, *values = list(zip(*rows, strict=True)) or [()]
    ratio = lows["beta"] == 1 and "beta" not in varied
    found = factors(
        {
            name: [_hashable(value) for value in each] if "__" in paths[name] else each
            for name, each in zip(paths, values, strict=False)
        },
        {"alpha": factor_label(RATIO)} if ratio else {},
    )
    layout = arrange(
        keys,
        found,
        rows=chosen.get("rows"),
        columns=chosen.get("columns"),
        facets=chosen.get("facets", ""),
    )
    fixed = {name: lows[name] for name in columns if name not in varied}
    return Sheet(experiment, found, layout, fixed)


def _paths(
    experiment: Experiment, columns: Sequence[str], varied: Sequence[str]
) -> dict[str, str]:
    """The path by which a query reads each factor: its column, or a place inside the
    settings for what has no column and for layers whose weights are an axis."""
    own = Pair.objects.filter(experiment=experiment).values_list("axes", flat=True)
    axes = [experiment.axes(), *own]
    paths = {name: name for name in varied}
    for each in axes:
        for name, levels in each.items():
            column = FACTORS[name].stands_in or name
            if column not in columns or any("=" in str(level) for level in levels):
                paths[column] = f"settings__{name}"
    order = {name: place for place, name in enumerate(columns)}
    names = sorted(paths, key=lambda name: order.get(name, len(order)))
    return {name: paths[name] for name in names}


def _hashable(value: Any) -> Hashable:
    if isinstance(value, list):
        return tuple(tuple(each) for each in value)
    return value if isinstance(value, Hashable) else str(value)


# Tables -----------------------------------------------------------------------


@dataclass(frozen=True)
class Heading:
    """A level over a column or beside a row, with the pictures it names."""

    text: str
    pictures: list[SourceImage] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """A render in its cell: `label` names it in words, `said` what the headings do
    not say."""

    render: Render
    label: str
    said: str


@dataclass(frozen=True)
class Row:
    heading: Heading
    cells: list[list[Place]]


@dataclass(frozen=True)
class Table:
    """One table of a page, ready to be shown, printed or drawn."""

    caption: Heading
    columns: list[Heading]
    rows: list[Row]


def tables(sheet: Sheet, blocks: Sequence[Block]) -> list[Table]:
    """The tables of these blocks, in two queries."""
    layout = sheet.layout
    keys = layout.shown(blocks)
    renders = {
        render.pk: render for render in Render.objects.filter(pk__in=keys).only(*SHOWN)
    }
    names = Names(sheet.found, renders.values())
    at = {key: place for place, key in enumerate(layout.keys)}

    def place(key: int) -> Place:
        render, index = renders[key], at[key]
        label = names.of(sheet.found.values(), index)
        return Place(render, label or names.pair(render), names.of(layout.rest, index))

    found = []
    for block in blocks:
        caption = [
            names.heading(factor, level, named=True)
            for factor, level in zip(layout.facets, block.facet, strict=True)
        ]
        rows = [
            Row(
                names.heading(layout.rows, row),
                [
                    [place(key) for key in layout.cell(block, row, column)]
                    for column in block.columns
                ],
            )
            for row in block.rows
        ]
        found.append(
            Table(
                Heading(
                    " · ".join(each.text for each in caption),
                    [picture for each in caption for picture in each.pictures],
                ),
                [names.heading(layout.columns, level) for level in block.columns],
                rows,
            )
        )
    return found


class Names:
    """Levels in words; pictures by their titles, read for these renders only."""

    def __init__(
        self, found: Mapping[str, SheetFactor], renders: Iterable[Render]
    ) -> None:
        wanted = {key for each in renders for key in (each.content_id, each.style_id)}
        self.pictures = SourceImage.objects.only("title").in_bulk(wanted)

    def pair(self, render: Render) -> str:
        both = self.pictures[render.content_id], self.pictures[render.style_id]
        return " × ".join(map(str, both))

    def heading(
        self, factor: SheetFactor | None, level: Any, *, named: bool = False
    ) -> Heading:
        if factor is None:
            return Heading("")
        if factor.name in PICTURES:
            keys = level if factor.name == PAIR else (level,)
            shown = [self.pictures[key] for key in keys]
            return Heading(" × ".join(map(str, shown)), shown)
        text = level_text(level)
        return Heading(f"{factor.label} {text}" if named else text)

    def of(self, some: Iterable[SheetFactor], index: int) -> str:
        """A render's levels of some factors in words, its pictures first."""
        by_name = {factor.name: factor for factor in some}
        if pair := by_name.pop(PAIR, None):
            kept = [it for name, it in by_name.items() if name not in PICTURES]
            by_name = {it.name: it for it in (pair, *kept)}
        return " · ".join(
            self.heading(factor, factor.values[index], named=True).text
            for factor in by_name.values()
        )


# Figures ----------------------------------------------------------------------


def sheet_figures(
    sheet: Sheet, pages: Iterable[Sequence[Block]], *, native: bool
) -> list[Figure]:
    """Pages of a sheet as figures for a paper; their pictures are read when drawn."""
    note = settings_text(sheet)
    if sheet.experiment.random_weights:
        note = f"{RANDOM_FEATURES}. {note}"
    layout = sheet.layout
    figures = []
    for blocks in pages:
        shown = tables(sheet, blocks)
        places = [it for table in shown for row in table.rows
                  for cell in row.cells for it in cell]  # fmt: skip
        largest = max(place.render.size for place in places)
        panels = [
            Panel(
                caption=table.caption.text,
                down=layout.rows.label if layout.rows else "",
                across=layout.columns.label if layout.columns else "",
                rows=[row.heading.text for row in table.rows],
                columns=[heading.text for heading in table.columns],
                cells=[[_drawn(cell) for cell in row.cells] for row in table.rows],
            )
            for table in shown
        ]
        side = largest if native else min(largest, THUMBNAIL_SIDE)
        title = str(sheet.experiment)
        figures.append(Figure(title=title, note=note, panels=panels, side=side))
    return figures


def _drawn(cell: list[Place]) -> Cell | None:
    """A cell of a figure: its first render, saying so if there are several."""
    if not cell:
        return None
    render, note = cell[0].render, cell[0].said
    if len(cell) > 1:
        note = f"{note} (one of {len(cell)})".strip()
    if not render.picture:
        return Cell(None, render.status, note)

    def read() -> Image.Image:
        with render.picture.open() as file, Image.open(file, formats=["PNG"]) as image:
            return image.convert("RGB")

    return Cell(read, note=note)


def settings_text(sheet: Sheet) -> str:
    """The settings that all renders of a sheet have in common, in one line."""
    fixed = dict(sheet.fixed)
    pictures = SourceImage.objects.only("title").in_bulk(
        [fixed[name] for name in ("content", "style") if fixed.get(name)]
    )
    if fixed.get("beta") == 1:
        fixed[RATIO] = fixed.pop("alpha", None)
    said = []
    for name, value in fixed.items():
        if value is None:
            continue
        if name in ("content", "style"):
            said.append(f"{factor_label(name)} {pictures[value]}")
        elif FACTORS[name].suffix:
            said.append(f"{value} {FACTORS[name].suffix}")
        else:
            said.append(f"{factor_label(name)} {level_text(value)}")
    return " · ".join(said)
