"""The design of a session: which stimuli, in which order. Pure: no Django."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def random_order(stimuli: Sequence[T], *, seed: int) -> list[T]:
    """The stimuli in an order that `seed` alone decides (Fisher–Yates).

    The same stimuli in the same sequence and the same seed give the same order, on
    every machine and Python since 3.2.
    """
    order = list(stimuli)
    random.Random(seed).shuffle(order)  # noqa: S311 - a design, not a secret
    return order
