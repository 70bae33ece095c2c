"""Adam, as published."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from generation.engine.optimisers.minimiser import NOT_FINITE, Reading


class Adam:
    """Kingma & Ba, ICLR 2015, algorithm 1; `rate` is in the units of the point."""

    DECAYS = 0.9, 0.999
    EPSILON = 1e-8

    def __init__(
        self, start: Tensor, rate: float, state: dict[str, Any] | None = None
    ) -> None:
        self.finished = ""
        self._rate = rate
        self._x = start
        self._mean = torch.zeros_like(start)
        self._square = torch.zeros_like(start)
        self._steps = 0
        if state is not None:
            self._x, self._mean, self._square, self._steps = (
                state[name] for name in ("x", "mean", "square", "steps")
            )
        self.settled = 0

    def ask(self) -> Tensor:
        return self._x

    def told(self, loss: float, gradient: Tensor) -> Reading:
        (largest,) = yield gradient.abs().max().view(1)
        if not (math.isfinite(loss) and math.isfinite(largest)):
            self.finished = NOT_FINITE
            return
        self._steps += 1
        self.settled += 1
        first, second = self.DECAYS
        self._mean = first * self._mean + (1 - first) * gradient
        self._square = second * self._square + (1 - second) * gradient.square()
        mean = self._mean / (1 - first**self._steps)
        square = self._square / (1 - second**self._steps)
        self._x = self._x - self._rate * mean / (square.sqrt() + self.EPSILON)

    def state(self) -> dict[str, Any]:
        return {
            "x": self._x,
            "mean": self._mean,
            "square": self._square,
            "steps": self._steps,
        }

    carried = state

    def close(self) -> None:
        pass
