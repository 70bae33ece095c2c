from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from survey.design import (
    DesignError,
    blocked_order,
    neighbours_alike,
    random_order,
    separated_order,
    williams_order,
    williams_rows,
    williams_square,
)

seeds = st.integers(0, 2**62)


@given(st.lists(st.integers(), unique=True, max_size=50), seeds)
def test_an_order_is_a_permutation_that_its_seed_alone_decides(
    stimuli: list[int], seed: int
) -> None:
    order = random_order(stimuli, seed=seed)
    assert sorted(order) == sorted(stimuli)
    assert order == random_order(stimuli, seed=seed)


def test_every_stimulus_comes_first_about_equally_often() -> None:
    draws = random.Random(1)
    counts = dict.fromkeys("abcd", 0)
    for _ in range(4000):
        counts[random_order("abcd", seed=draws.getrandbits(62))[0]] += 1
    # Binomial(4000, 1/4): mean 1000, SD 27.4; five SD keep the seeded draw honest.
    assert all(abs(count - 1000) < 137 for count in counts.values())


# Williams' Latin squares --------------------------------------------------------


@pytest.mark.parametrize("n", range(1, 14))
def test_williams_square_balances_positions_and_neighbours(n: int) -> None:
    square = williams_square(n)
    assert len(square) == williams_rows(n) == (n if n % 2 == 0 or n == 1 else 2 * n)
    assert all(sorted(row) == list(range(n)) for row in square)
    times = len(square) // n
    for column in zip(*square, strict=True):
        assert Counter(column) == dict.fromkeys(range(n), times)
    pairs = Counter(pair for row in square for pair in pairwise(row))
    assert pairs == dict.fromkeys(itertools.permutations(range(n), 2), times)


def test_the_square_of_four_is_williams_own() -> None:
    # Williams (1949): first row 0, 1, n − 1, 2, the others by adding 1 modulo n.
    assert williams_square(4) == [
        [0, 1, 3, 2],
        [1, 2, 0, 3],
        [2, 3, 1, 0],
        [3, 0, 2, 1],
    ]


@given(st.integers(1, 12), st.integers(0, 1000))
def test_rows_beyond_the_last_begin_anew(n: int, row: int) -> None:
    square = williams_square(n)
    assert williams_order(range(n), row=row) == square[row % len(square)]


def test_a_square_of_nothing_and_a_negative_row_are_refused() -> None:
    with pytest.raises(DesignError, match="at least one stimulus"):
        williams_square(0)
    with pytest.raises(DesignError, match="counted from 0"):
        williams_order("abc", row=-1)


# Contents apart -----------------------------------------------------------------


def alike(contents: Sequence[str]) -> int:
    return sum(a == b for a, b in pairwise(contents))


def fewest(blocks: Iterable[Sequence[str]], before: str = "") -> int:
    """By trying every order of every block."""
    orders = (set(itertools.permutations(block)) for block in blocks)
    return min(
        alike([before, *itertools.chain.from_iterable(order)])
        for order in itertools.product(*orders)
    )


def content(stimulus: tuple[int, int, str]) -> str:
    return stimulus[2]


def in_blocks(blocks: Sequence[str]) -> list[tuple[int, int, str]]:
    return [(b, i, c) for b, block in enumerate(blocks) for i, c in enumerate(block)]


@settings(deadline=None)
@given(st.text("abc", max_size=7), st.sampled_from(["", "a", "z"]), seeds)
def test_a_separated_order_has_the_fewest_neighbours_alike(
    contents: str, before: str, seed: int
) -> None:
    stimuli = in_blocks([contents])
    order = separated_order(stimuli, content_of=content, seed=seed, after=before)
    assert sorted(order) == stimuli
    assert alike([before, *map(content, order)]) == fewest([contents], before)
    assert order == separated_order(
        stimuli, content_of=content, seed=seed, after=before
    )


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=8), seeds)
def test_the_fewest_neighbours_alike_follow_from_the_commonest_content(
    sizes: list[int], seed: int
) -> None:
    stimuli = [(c, i) for c, size in enumerate(sizes) for i in range(size)]
    order = separated_order(stimuli, content_of=lambda s: s[0], seed=seed)
    expected = max(0, 2 * max(sizes) - len(stimuli) - 1)
    assert neighbours_alike(order, lambda s: s[0]) == expected


@settings(deadline=None)
@given(st.lists(st.text("abc", min_size=1, max_size=4), max_size=3), seeds)
def test_blocks_in_a_given_order_have_the_fewest_neighbours_alike_in_all(
    blocks: list[str], seed: int
) -> None:
    stimuli = in_blocks(blocks)
    order = blocked_order(
        stimuli,
        block_of=lambda s: s[0],
        seed=seed,
        blocks="given",
        content_of=content,
    )
    assert sorted(order) == stimuli
    assert [s[0] for s in order] == [s[0] for s in stimuli]
    assert neighbours_alike(order, content) == fewest(blocks)


def test_separated_orders_are_drawn_about_evenly() -> None:
    # Contents aaabbcc have 38 orders without neighbours alike.
    orders = Counter(
        "".join(separated_order("aaabbcc", content_of=str, seed=seed))
        for seed in range(1000)
    )
    # Evenly, 1000 / 38 = 26.3 each with an SD of 5.1. Without mixing one order came
    # 1.9 times as often as it should and another 0.4 times.
    assert len(orders) == 38
    assert all(abs(count - 26.3) < 5 * 5.1 for count in orders.values())
    chi2 = sum((count - 26.3) ** 2 / 26.3 for count in orders.values())
    assert chi2 < 85  # 37 degrees of freedom: P = 1e-5


# Blocks -------------------------------------------------------------------------


@given(st.text("abcd", max_size=20), seeds, st.sampled_from(["random", "given"]))
def test_a_block_is_never_left_and_entered_again(
    blocks: str, seed: int, order_of_blocks: str
) -> None:
    stimuli = list(enumerate(blocks))
    order = blocked_order(
        stimuli, block_of=lambda s: s[1], seed=seed, blocks=order_of_blocks
    )
    assert sorted(order) == stimuli
    entered = [name for name, _ in itertools.groupby(s[1] for s in order)]
    assert len(entered) == len(set(blocks))
    if order_of_blocks == "given":
        assert entered == list(dict.fromkeys(blocks))


def test_blocks_and_what_is_in_them_come_in_every_order() -> None:
    orders = {
        "".join(blocked_order("aAbB", block_of=str.lower, seed=seed))
        for seed in range(200)
    }
    assert orders == {"aAbB", "aABb", "AabB", "AaBb", "bBaA", "bBAa", "BbaA", "BbAa"}


def test_whole_blocks_can_follow_williams() -> None:
    stimuli = [b + i for b in "abcd" for i in "12"]
    for row, expected in enumerate(["abdc", "bcad", "cdba", "dacb"]):
        order = blocked_order(
            stimuli, block_of=lambda s: s[0], seed=row, blocks="williams", row=row
        )
        assert "".join(s[0] for s in order[::2]) == expected


def test_an_unknown_order_of_blocks_is_refused() -> None:
    with pytest.raises(DesignError, match="not sorted"):
        blocked_order("ab", block_of=str, seed=1, blocks="sorted")
