"""Where each render is on a contact sheet: every one in exactly one cell."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence
from typing import Any

import pytest

from generation.contact_sheet.layout import (
    MOST_ALONE,
    MOST_CELLS,
    Layout,
    arrange,
    factors,
    usual,
)

LAYERS = ["conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1"]
RATIOS = [0.5, 0.001, 0.01, 0.1, 0.25]


def grid(**levels: Sequence[Hashable]) -> dict[str, list[Hashable]]:
    """The columns of a full grid; the last one varies fastest."""
    rows = list(itertools.product(*levels.values()))
    return {name: [row[n] for row in rows] for n, name in enumerate(levels)}


def lay_out(renders: dict[str, list[Hashable]], **chosen: Any) -> Layout:
    count = len(next(iter(renders.values())))
    return arrange(list(range(100, 100 + count)), factors(renders), **chosen)


def names(layout: Layout) -> tuple[str, str, list[str]]:
    rows, columns = layout.rows, layout.columns
    return (
        rows.name if rows else "",
        columns.name if columns else "",
        [each.name for each in layout.facets],
    )


def test_the_papers_first_experiment_is_figure_4_1() -> None:
    layout = lay_out(grid(content=[1], style=[2], content_layer=LAYERS, alpha=RATIOS))
    assert names(layout) == ("content_layer", "alpha", [])
    (block,) = layout.blocks
    assert block.rows == tuple(LAYERS)
    assert block.columns == (0.001, 0.01, 0.1, 0.25, 0.5), "numbers are put in order"
    # Row by row: conv1_1 with 0.001, which the grid has second.
    assert layout.shown([block])[:5] == [101, 102, 103, 104, 100]


def test_pairs_with_a_condition_each_are_not_torn_apart() -> None:
    columns: dict[str, list[Hashable]] = {
        "content": [1, 2, 3, 4],
        "style": [5, 6, 7, 8],
        "content_layer": ["conv3_1", "conv2_1", "conv3_1", "conv2_1"],
        "alpha": [0.01, 0.05, 0.01, 0.1],
    }
    layout = lay_out(columns)
    assert names(layout) == ("", "pair", [])
    assert [each.name for each in layout.rest] == ["content_layer", "alpha"]
    assert len(layout.blocks) == 1


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (grid(content=[1, 2], style=[3, 4]), ("content", "style")),
        (grid(content=[1, 2], style=[3, 4], alpha=[1.0, 2.0]), ("content", "alpha")),
        (grid(content=[1, 2], style=[3], alpha=[1.0, 2.0]), ("content", "alpha")),
        (grid(content=[1], style=[2], seed=[0, 1]), ("", "seed")),
        (grid(content=[1, 2], style=[3]), ("", "content")),
        (grid(content=[1], style=[2]), ("", "")),
    ],
)
def test_what_is_shown_unless_something_else_is_chosen(
    columns: dict[str, list[Hashable]], expected: tuple[str, str]
) -> None:
    assert usual(factors(columns)) == expected


@pytest.mark.parametrize("rows", [None, "", "content", "alpha", "seed", "no such"])
@pytest.mark.parametrize("across", [None, "", "style", "alpha", "pair"])
@pytest.mark.parametrize("facets", ["", "seed", "tv_weight"])
def test_every_render_is_in_one_cell_however_it_is_laid_out(
    rows: str | None, across: str | None, facets: str
) -> None:
    columns = grid(
        content=[1, 2, 3], style=[4, 5], alpha=[0.1, 0.2, 0.3, 0.4], seed=[0, 1],
        tv_weight=[0.0, 1.0],
    )  # fmt: skip
    layout = lay_out(columns, rows=rows, columns=across, facets=facets)
    assert sorted(layout.shown(layout.blocks)) == list(layout.keys)
    assert [block for page in layout.pages for block in page] == layout.blocks
    for page in layout.pages:
        assert sum(block.cells for block in page) <= MOST_CELLS
    for block in layout.blocks:
        for row, column in itertools.product(block.rows, block.columns):
            assert len(layout.cell(block, row, column)) <= 1


def test_a_setting_that_is_no_factor_any_more_shares_the_cell() -> None:
    columns: dict[str, list[Hashable]] = {"alpha": [0.1, 0.1, 0.2]}
    layout = lay_out(columns)
    (block,) = layout.blocks
    assert layout.cell(block, None, 0.1) == [100, 101]
    assert layout.shown([block]) == [100, 101, 102]


def test_thousands_of_levels_are_cut_into_tables_and_pages() -> None:
    layout = lay_out(grid(alpha=[n / 1000 for n in range(1, 3001)]))
    assert max(len(block.columns) for block in layout.blocks) <= MOST_ALONE
    assert len(layout.pages) == 3000 // MOST_CELLS
    wide = lay_out(grid(content=list(range(50)), style=list(range(100, 200))))
    assert sorted(wide.shown(wide.blocks)) == list(wide.keys)
    for page in wide.pages:
        assert sum(block.cells for block in page) <= MOST_CELLS


def test_before_and_after_follow_the_eye() -> None:
    layout = lay_out(grid(content_layer=LAYERS[:2], alpha=[0.2, 0.1]))
    # Seen: 101 100 / 103 102
    assert layout.around(101) == (None, 100)
    assert layout.around(100) == (101, 103)
    assert layout.around(102) == (103, None)


def test_no_render_makes_no_page() -> None:
    layout = arrange([], factors({}))
    assert layout.pages == []
