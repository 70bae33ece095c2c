"""Minimisers that are asked for a point and told its value, one per picture.

Nothing here knows pictures or networks: whoever drives a minimiser evaluates the
points, one picture at a time or many together. A minimiser asks for the numbers it
decides by, so that those of a whole batch come from the device in one go.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import suppress
from typing import Any, Protocol

import torch
from torch import Tensor

# What yields tensors (of one axis) and is sent their values.
Reading = Generator[Tensor, list[float], None]

NOT_FINITE = "the objective is not finite"


class Minimiser(Protocol):
    """One minimisation, driven from outside.

    `ask()` is the point to evaluate, `told(loss, gradient)` takes its answer, for
    which it reads numbers; after that `finished` may hold the reason why no other
    point will be asked for. `state()` and `settled` are where a new minimiser can
    take over: it asks again for what was asked after the first `settled` evaluations.
    `carried()` is a state for another objective much like this one: the point reached
    and what is known of the curvature there, but no value and no gradient.
    """

    finished: str
    settled: int

    def ask(self) -> Tensor: ...
    def told(self, loss: float, gradient: Tensor) -> Reading: ...
    def state(self) -> dict[str, Any]: ...
    def carried(self) -> dict[str, Any]: ...
    def close(self) -> None: ...


def tell(answers: Iterable[tuple[Minimiser, float, Tensor]]) -> None:
    """Give minimisers their losses and gradients, all reading at the same time."""
    readings = [who.told(loss, gradient) for who, loss, gradient in answers]
    wanted = [(reading, next(reading, None)) for reading in readings]
    while waiting := [(reading, want) for reading, want in wanted if want is not None]:
        numbers = torch.cat([want for _, want in waiting]).tolist()
        wanted = []
        for reading, want in waiting:
            mine, numbers = numbers[: len(want)], numbers[len(want) :]
            with suppress(StopIteration):
                wanted.append((reading, reading.send(mine)))


class Once:
    """No search: one point, evaluated for its terms."""

    settled = 0

    def __init__(self, point: Tensor) -> None:
        self.finished = ""
        self._point = point

    def ask(self) -> Tensor:
        return self._point

    def told(self, loss: float, gradient: Tensor) -> Reading:
        self.finished = "painted in one pass"
        yield from ()

    def state(self) -> dict[str, Any]:
        return {}

    carried = state

    def close(self) -> None:
        pass
