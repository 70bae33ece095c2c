"""Who sees which stimuli, so that all of them fill evenly."""

from __future__ import annotations

import random
from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import gcd
from typing import Generic, TypeVar

from survey.design.errors import DesignError, refuse_doubles

T = TypeVar("T")
H = TypeVar("H", bound=Hashable)


def balanced_subset(
    stimuli: Sequence[H], size: int, *, number: int, seed: int
) -> list[H]:
    """The `size` stimuli of participant `number` (0, 1, …), without looking at votes.

    After any number of participants the stimuli have been given out equally often,
    give or take one; which of them go together is drawn. It knows nothing of
    drop-outs: where votes are counted, `allocate` keeps balance better.

    Raises DesignError unless 1 ≤ size ≤ len(stimuli) and number ≥ 0, and for
    stimuli listed twice.
    """
    refuse_doubles(stimuli)
    n = len(stimuli)
    if not 1 <= size <= n:
        raise DesignError(f"A participant can see 1 to {n} stimuli, not {size}.")
    if number < 0:
        raise DesignError("Participants are counted from 0.")
    # Hands of `size` are dealt from one shuffled deck after another. Every
    # n / gcd(n, size) participants a deck is used up with the last hand: begin anew.
    group, place = divmod(number, n // gcd(n, size))
    draw = random.Random(f"{seed}/subset/{group}")  # noqa: S311 - a design
    deck: list[H] = []
    hand: list[H] = []
    for _ in range(place + 1):
        hand, deck = deck[:size], deck[size:]
        if missing := size - len(hand):
            held = set(hand)
            top = draw.sample([s for s in stimuli if s not in held], missing)
            rest = [s for s in stimuli if s not in set(top)]
            hand, deck = hand + top, draw.sample(rest, len(rest))
    return hand


@dataclass(frozen=True, slots=True)
class Tally(Generic[T]):
    """How full a stimulus is.

    `completed` counts its stored ratings, `reserved_since` has one moment for every
    planned and unanswered trial: the last sign of life of its participant.
    """

    stimulus: T
    completed: int = 0
    reserved_since: tuple[datetime, ...] = ()

    def __post_init__(self) -> None:
        if self.completed < 0:
            raise DesignError(f"{self.stimulus!r} has {self.completed} ratings.")

    def load(self, *, now: datetime, free_after: timedelta) -> int:
        """Ratings there and still expected: a silent reservation is freed in time."""
        return self.completed + sum(
            now - since < free_after for since in self.reserved_since
        )


def allocate(
    tallies: Iterable[Tally[T]],
    size: int,
    *,
    now: datetime,
    free_after: timedelta,
    seed: int,
    seen: Collection[T] = (),
    quota: int | None = None,
) -> list[T]:
    """Up to `size` stimuli with the fewest completed ratings and live reservations.

    A reservation counts until `free_after` has passed since its participant's last
    sign of life; freeing one too early costs a rating too many at most, so a few
    minutes will do. Of equally full stimuli those come first that rest more on
    reservations, for some will not be kept; what is still equal is drawn by `seed`.
    Stimuli in `seen` (this participant's own) and those that have reached `quota`
    are left out, so there may be fewer than `size`, or none.

    Called once per session, it leaves the holes of the last drop-outs for nobody to
    fill. Called again for every trial, with `seen`, it keeps all stimuli within two
    ratings of each other; `benchmarks/allocation.py` measures both.

    Raises DesignError for size < 1, quota < 1, or a stimulus that is listed twice.
    """
    if quota is not None and quota < 1:
        raise DesignError("A quota is at least one rating per stimulus.")
    open_ones = []
    for tally in _unseen(tallies, size, seen):
        load = tally.load(now=now, free_after=free_after)
        if quota is None or load < quota:
            open_ones.append(((load, tally.completed), tally.stimulus))
    return least(open_ones, size, seed)


def _unseen(
    tallies: Iterable[Tally[T]], size: int, seen: Collection[T]
) -> list[Tally[T]]:
    if size < 1:
        raise DesignError(f"A participant sees at least one stimulus, not {size}.")
    every = list(tallies)
    refuse_doubles([tally.stimulus for tally in every])
    return [tally for tally in every if tally.stimulus not in seen]


def least(ranked: Iterable[tuple[object, T]], size: int, seed: int) -> list[T]:
    """The `size` stimuli of the least rank, least first, ties drawn by `seed`."""
    draw = random.Random(seed)  # noqa: S311 - a design, not a secret
    keyed = [(rank, draw.random(), stimulus) for rank, stimulus in ranked]
    keyed.sort(key=lambda row: row[:2])
    return [stimulus for _, _, stimulus in keyed[:size]]
