"""A contact sheet: renders laid out in rows, columns and tables by their factors.

Pure: no Django. A factor is whatever has more than one level among the renders: a
picture, the pair of both, or a setting. Every render has its place in exactly one cell;
what two chosen factors do not tell apart becomes a table for each of its levels.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from generation.engine.factors import FACTORS, factor_label
from generation.engine.networks.weights import readable

PAIR = "pair"
PICTURES = ("content", "style", PAIR)
# A table is cut after so many columns, a page after so many cells.
MOST_COLUMNS = 12
MOST_ALONE = 6
MOST_CELLS = 120


@dataclass(frozen=True, eq=False)
class SheetFactor:
    """One thing that varies: its levels in the sheet's order, and every render's own,
    in the order of the renders."""

    name: str
    label: str
    levels: tuple[Hashable, ...]
    values: tuple[Hashable, ...]


def level_text(level: Any) -> str:
    """A level that is no picture, as the lab's pages and figures write it."""
    if isinstance(level, float):
        return f"{level:.10g}"
    if isinstance(level, list | tuple):  # layers with weights
        plain = all(weight == 1 for _, weight in level)
        said = (layer if plain else f"{layer} {weight:.4g}" for layer, weight in level)
        return ", ".join(said) or "none"
    return readable(str(level)).replace("|", ", ") or "none"


def factors(
    columns: Mapping[str, Sequence[Hashable]], labels: Mapping[str, str] | None = None
) -> dict[str, SheetFactor]:
    """The factors that vary among renders, of columns with a value for each render.

    Numbers and layers are put in order; everything else stays as it came. Content and
    style make a pair where both vary.
    """
    labels = labels or {}
    found = {}
    for name, values in columns.items():
        levels = tuple(dict.fromkeys(values))
        if len(levels) > 1:
            if name not in PICTURES and (
                (name in FACTORS and FACTORS[name].is_layers)
                or all(isinstance(it, int | float) for it in levels)
            ):
                levels = tuple(sorted(levels, key=_key))
            label = labels.get(name) or factor_label(name)
            found[name] = SheetFactor(name, label, levels, tuple(values))
    if {"content", "style"} <= found.keys():
        both = tuple(zip(found["content"].values, found["style"].values, strict=True))
        levels = tuple(dict.fromkeys(both))
        found[PAIR] = SheetFactor(PAIR, factor_label(PAIR), levels, both)
    return found


def _key(level: Any) -> Any:
    return str(level) if isinstance(level, str | tuple) else level


def _together(*some: SheetFactor | None) -> int:
    """The number of different renders that these factors tell apart."""
    return len(set(zip(*(each.values for each in some if each), strict=True)))


def usual(found: Mapping[str, SheetFactor]) -> tuple[str, str]:
    """The rows and columns that show a grid best; an empty name for neither.

    Two settings are the paper's Figure 4.1; one meets the pictures; none leaves
    content × style, or the pairs where those are not crossed. A setting that each pair
    has for itself, as in Experiment 3, is left out: it is said in the cell.
    """
    content, style, pair = (found.get(name) for name in PICTURES)
    crossed = (
        content is not None
        and style is not None
        and pair is not None
        and len(pair.levels) == len(content.levels) * len(style.levels)
    )
    both = pair or content or style
    alone = both if not crossed else content
    varied = [
        each
        for name, each in found.items()
        if name not in PICTURES
        and (both is None or _together(both, each) > len(both.levels))
    ]
    if len(varied) >= 2:
        return varied[0].name, varied[1].name
    if varied:
        return alone.name if alone else "", varied[0].name
    if crossed:
        return "content", "style"
    return "", both.name if both else ""


@dataclass(frozen=True)
class Block:
    """A table that fits on a page: levels of the facets, of the rows and columns."""

    facet: tuple[Hashable, ...]
    rows: tuple[Hashable, ...]
    columns: tuple[Hashable, ...]

    @property
    def cells(self) -> int:
        return len(self.rows) * len(self.columns)


@dataclass(frozen=True)
class Layout:
    """The place of each render.

    `keys` are the renders as the factors' values have them; `rest` are factors that
    tell none apart here, to be said in the cells.
    """

    keys: Sequence[int]
    rows: SheetFactor | None
    columns: SheetFactor | None
    facets: tuple[SheetFactor, ...]
    rest: tuple[SheetFactor, ...]

    @cached_property
    def _cells(self) -> dict[tuple[Hashable, ...], dict[Any, list[int]]]:
        alone = [None] * len(self.keys)
        down = self.rows.values if self.rows else alone
        across = self.columns.values if self.columns else alone
        where: Iterable[tuple[Hashable, ...]] = (
            zip(*(each.values for each in self.facets), strict=True)
            if self.facets
            else [()] * len(self.keys)
        )
        cells: dict[tuple[Hashable, ...], dict[Any, list[int]]] = {}
        for key, facet, row, column in zip(self.keys, where, down, across, strict=True):
            cells.setdefault(facet, {}).setdefault((row, column), []).append(key)
        places = [
            {level: n for n, level in enumerate(each.levels)} for each in self.facets
        ]
        order = sorted(
            cells, key=lambda it: [at[lv] for at, lv in zip(places, it, strict=True)]
        )
        return {facet: cells[facet] for facet in order}

    def cell(self, block: Block, row: Hashable, column: Hashable) -> list[int]:
        """The renders of a cell: none, one, or several that only differ in something
        that is no factor of the grid any more."""
        return self._cells[block.facet].get((row, column), [])

    @cached_property
    def blocks(self) -> list[Block]:
        """All tables in order, each with those rows and columns that it has."""
        found = []
        for facet, cells in self._cells.items():
            rows = _present(self.rows, {row for row, _ in cells})
            columns = _present(self.columns, {column for _, column in cells})
            most = MOST_COLUMNS if len(rows) > 1 else MOST_ALONE
            for across in _cut(columns, most):
                for down in _cut(rows, max(1, MOST_CELLS // len(across))):
                    found.append(Block(facet, down, across))
        return found

    @cached_property
    def pages(self) -> list[list[Block]]:
        """The tables by page, as many as MOST_CELLS allows."""
        pages: list[list[Block]] = []
        room = 0
        for block in self.blocks:
            if block.cells > room:
                pages.append([])
                room = MOST_CELLS
            pages[-1].append(block)
            room -= block.cells
        return pages

    def shown(self, blocks: Iterable[Block]) -> list[int]:
        """The renders of some tables, as one reads them."""
        return [
            key
            for block in blocks
            for row in block.rows
            for column in block.columns
            for key in self.cell(block, row, column)
        ]

    def around(self, key: int) -> tuple[int | None, int | None]:
        """The renders before and after one, as one reads the whole sheet."""
        order = self.shown(self.blocks)
        place = order.index(key)
        before = order[place - 1] if place else None
        return before, order[place + 1] if place + 1 < len(order) else None


def _present(factor: SheetFactor | None, levels: set[Any]) -> tuple[Hashable, ...]:
    if factor is None:
        return (None,)
    return tuple(level for level in factor.levels if level in levels)


def _cut(levels: tuple[Hashable, ...], most: int) -> list[tuple[Hashable, ...]]:
    """Into parts of at most `most`, as equal as they go."""
    parts = -(-len(levels) // most)
    size = -(-len(levels) // parts)
    return [levels[first : first + size] for first in range(0, len(levels), size)]


def arrange(
    keys: Sequence[int],
    found: Mapping[str, SheetFactor],
    *,
    rows: str | None = None,
    columns: str | None = None,
    facets: str = "",
) -> Layout:
    """Lay renders out. None is the usual choice, "" no factor; a name that varies
    nothing here, or is taken already, counts as not chosen."""
    usual_rows, usual_columns = usual(found)
    down = _named(found, usual_rows if rows is None else rows)
    across = _named(found, usual_columns if columns is None else columns, down)
    if across is None and columns is None:
        across = _named(found, usual_rows, down)
    first = _named(found, facets, down, across)
    chosen = [each for each in (down, across, first) if each]
    by = [first] if first else []
    apart = _together(*chosen) if chosen else 1
    # The pair stands for both of its pictures, and so comes first.
    others = sorted(found.values(), key=lambda it: it.name != PAIR)
    for each in others:
        if apart == len(keys):
            break
        if each not in chosen and (more := _together(*chosen, each)) > apart:
            chosen.append(each)
            by.append(each)
            apart = more
    said = {each.name for each in chosen}
    if PAIR in said:
        said |= {"content", "style"}
    if {"content", "style"} <= said:
        said.add(PAIR)
    rest = [each for each in found.values() if each.name not in said]
    if any(each.name == PAIR for each in rest):
        rest = [each for each in rest if each.name not in ("content", "style")]
    return Layout(keys, down, across, tuple(by), tuple(rest))


def _named(
    found: Mapping[str, SheetFactor], name: str, *taken: SheetFactor | None
) -> SheetFactor | None:
    factor = found.get(name)
    return None if factor in taken else factor
