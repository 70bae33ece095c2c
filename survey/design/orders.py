"""Orders of presentation: random, Williams' Latin squares, blocks, contents apart.

ITU-T P.910 and P.913 ask for an order of its own per participant, in which the same
content does not come twice in a row. Where a small set is shown whole to everybody,
the squares of Williams (1949, Australian Journal of Scientific Research A2, 149–168)
balance positions and first-order carry-over exactly instead of on average.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TypeVar

from survey.design.errors import DesignError

T = TypeVar("T")

BLOCK_ORDERS = ("random", "williams", "given")
"""How whole blocks follow one another."""

MIXING = 20
"""Swaps tried per stimulus; beyond that the draw gets no more even."""

NOTHING: Hashable = object()
"""The content of what nobody has seen: before the first stimulus there is none."""


def random_order(stimuli: Sequence[T], *, seed: int) -> list[T]:
    """The stimuli in an order that `seed` alone decides (Fisher–Yates).

    The same stimuli in the same sequence and the same seed give the same order, on
    every machine and Python since 3.2.
    """
    order = list(stimuli)
    random.Random(seed).shuffle(order)  # noqa: S311 - a design, not a secret
    return order


# Williams' Latin squares --------------------------------------------------------


def williams_rows(n: int) -> int:
    """How many participants make `n` stimuli balanced: n if even, 2 n if odd.

    Raises DesignError for n < 1.
    """
    if n < 1:
        raise DesignError("A Latin square needs at least one stimulus.")
    return 2 * n if n % 2 and n > 1 else n


def williams_order(stimuli: Sequence[T], *, row: int) -> list[T]:
    """The order of the participant in `row` of Williams' design (Williams 1949).

    Over any `williams_rows(n)` consecutive rows every stimulus is equally often at
    every position, and follows every other one equally often (once for an even
    number of stimuli, twice for an odd one, which takes a square and its mirror).
    `row` is 0 or more and wraps. So that drop-outs leave no holes, give the next
    participant the least-filled row: `allocate` takes rows as well as stimuli.

    Raises DesignError without stimuli or for a negative row.
    """
    n = len(stimuli)
    rows = williams_rows(n)
    if row < 0:
        raise DesignError("Rows are counted from 0.")
    square, start = divmod(row % rows, n)
    # 0, 1, n − 1, 2, n − 2, …: neighbours differ by every step exactly once.
    zigzag = [(place + 1) // 2 * (1 if place % 2 else -1) for place in range(n)]
    order = [stimuli[(start + step) % n] for step in zigzag]
    return order[::-1] if square else order


def williams_square(n: int) -> list[list[int]]:
    """Every row of the design for `n` ≥ 1 stimuli, as indices 0 … n − 1."""
    return [williams_order(range(n), row=row) for row in range(williams_rows(n))]


# Contents apart -----------------------------------------------------------------


def neighbours_alike(order: Iterable[T], content_of: Callable[[T], Hashable]) -> int:
    """How many neighbours in `order` share their content."""
    return sum(a == b for a, b in pairwise(map(content_of, order)))


def separated_order(
    stimuli: Sequence[T],
    *,
    content_of: Callable[[T], Hashable],
    seed: int,
    after: Hashable = NOTHING,
) -> list[T]:
    """A random order with as few neighbours of the same content as there can be.

    With c stimuli of the commonest content among n that is max(0, 2 c − n − 1), so
    none wherever they can be avoided. `after` is the content shown just before, if
    any. The draw is close to uniform over all such orders.
    """
    draw = random.Random(seed)  # noqa: S311 - a design, not a secret
    return _separated([list(stimuli)], content_of, draw, after)


def blocked_order(
    stimuli: Sequence[T],
    *,
    block_of: Callable[[T], Hashable],
    seed: int,
    blocks: str = "random",
    row: int = 0,
    content_of: Callable[[T], Hashable] | None = None,
) -> list[T]:
    """Block after block, each in random order inside.

    `blocks` says how the blocks follow one another: `random`; `williams`, by `row`
    of the square of blocks; or `given`, as they first appear in `stimuli`. With
    `content_of`, neighbours of the same content are as few as this order of blocks
    allows, across the borders of blocks too.

    Raises DesignError for an unknown `blocks` or a negative row.
    """
    if blocks not in BLOCK_ORDERS:
        known = ", ".join(BLOCK_ORDERS)
        raise DesignError(f"Blocks can follow in these orders: {known}; not {blocks}.")
    members: dict[Hashable, list[T]] = {}
    for stimulus in stimuli:
        members.setdefault(block_of(stimulus), []).append(stimulus)
    draw = random.Random(seed)  # noqa: S311 - a design, not a secret
    names = list(members)
    if blocks == "random":
        draw.shuffle(names)
    elif blocks == "williams" and names:
        names = williams_order(names, row=row)
    chosen = [members[name] for name in names]
    if content_of is not None:
        return _separated(chosen, content_of, draw, NOTHING)
    for block in chosen:
        draw.shuffle(block)
    return [stimulus for block in chosen for stimulus in block]


def _separated(
    blocks: Sequence[list[T]],
    content_of: Callable[[T], Hashable],
    draw: random.Random,
    after: Hashable,
) -> list[T]:
    """The blocks in turn, shuffled inside, with the fewest neighbours alike."""
    blocks = [block for block in blocks if block]
    counts: list[Counter[Hashable]] = [
        Counter(map(content_of, block)) for block in blocks
    ]
    sequence: list[Hashable] = [after]
    for count, end in zip(counts, _ends(counts, draw, after), strict=True):
        sequence += _fill(count, draw, sequence[-1], end)
    sequence.append(NOTHING)
    _mix(sequence, [len(block) for block in blocks], draw)
    order: list[T] = []
    for block in blocks:
        waiting: dict[Hashable, list[T]] = {}
        for stimulus in draw.sample(block, len(block)):
            waiting.setdefault(content_of(stimulus), []).append(stimulus)
        start = len(order) + 1
        contents = sequence[start : start + len(block)]
        order += [waiting[content].pop() for content in contents]
    return order


def _mix(sequence: list[Hashable], sizes: Sequence[int], draw: random.Random) -> None:
    """Swap inside blocks wherever that makes no more neighbours alike.

    `_fill` reaches every best sequence but prefers some; as a swap is as likely as
    its reverse, many of them even that out. The first and the last entry stay.
    """
    start = 1
    for size in sizes:
        for _ in range(MIXING * size if size > 1 else 0):
            i, j = sorted(draw.sample(range(start, start + size), 2))
            before = _alike_around(sequence, i, j)
            sequence[i], sequence[j] = sequence[j], sequence[i]
            if _alike_around(sequence, i, j) > before:
                sequence[i], sequence[j] = sequence[j], sequence[i]
        start += size


def _alike_around(sequence: Sequence[Hashable], i: int, j: int) -> int:
    """How many of the neighbours of places i < j are alike."""
    return sum(sequence[place - 1] == sequence[place] for place in {i, i + 1, j, j + 1})


def _least(
    counts: Mapping[Hashable, int],
    n: int,
    before: Hashable,
    following: Hashable,
    suspects: Iterable[Hashable],
) -> int:
    """The fewest neighbours alike among `n` stimuli between two given contents.

    A content that fills c of n places has the n − c others to keep its members
    apart, hence n − c + 1 places; one fewer for each end that it borders on.
    """
    least = 0
    for content in (*suspects, before, following):
        c = counts.get(content, 0)
        places = n - c + 1 - (content == before) - (content == following)
        least = max(least, c - places)
    return least


def _suspects(counts: Mapping[Hashable, int], n: int) -> list[Hashable]:
    """The few contents common enough to meet themselves, should one place go."""
    return [content for content, c in counts.items() if 2 * c > n - 3]


def _ends(
    counts: Sequence[Counter[Hashable]], draw: random.Random, after: Hashable
) -> list[Hashable]:
    """The content that ends each block, so that the whole has the fewest alike."""

    def costs(index: int, before: Hashable) -> dict[Hashable, int]:
        """The fewest alike from block `index` on, by the content that ends it."""
        count = counts[index]
        n = count.total() - 1
        suspects = _suspects(count, n)
        found = {}
        for end in list(count):
            count[end] -= 1
            least = _least(count, n, before, end, suspects)
            found[end] = least + later[index + 1].get(end, 0)
            count[end] += 1
        return found

    # later[i][content]: the fewest alike from block i on, after that content.
    later: list[dict[Hashable, int]] = [{} for _ in range(len(counts) + 1)]
    for index in range(len(counts) - 1, 0, -1):
        later[index] = {
            end: min(costs(index, end).values()) for end in counts[index - 1]
        }
    ends = []
    for index, count in enumerate(counts):
        cost = costs(index, after)
        best = [end for end in count if cost[end] == min(cost.values())]
        after = draw.choices(best, [count[end] for end in best])[0]
        ends.append(after)
    return ends


def _fill(
    count: Counter[Hashable], draw: random.Random, before: Hashable, end: Hashable
) -> list[Hashable]:
    """The contents of a block in turn, the last one being `end`."""
    left = Counter(count)
    left[end] -= 1
    contents = []
    for n in range(left.total(), 0, -1):
        suspects = _suspects(left, n)
        budget = _least(left, n, before, end, suspects)
        possible = []
        for content in [content for content, c in left.items() if c]:
            left[content] -= 1
            least = _least(left, n - 1, content, end, suspects)
            left[content] += 1
            if (content == before) + least == budget:
                possible.append(content)
        before = draw.choices(possible, [left[content] for content in possible])[0]
        left[before] -= 1
        contents.append(before)
    return [*contents, end]
