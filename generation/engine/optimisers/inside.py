"""A search within 0-255 by any minimiser: over z, which is folded into the range."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from generation.engine.optimisers.minimiser import Minimiser, Reading

TOP = 255.0


class Inside:
    """A minimiser over z that is asked for pictures: z reflected at 0 and at 255.

    Inside the range the picture is z, so that a start within it is where the search
    starts, and a step is one of as many grey levels; what would lead beyond an end
    leads back from it. (Smooth maps keep the range as well, but are so flat near its
    ends that the darks and lights of a content image hardly move.)
    """

    def __init__(self, build: Callable[[Tensor], Minimiser], start: Tensor) -> None:
        """`build` makes the minimiser over z, from `start` cut to 0-255."""
        self._inner = build(start.clamp(0, TOP))
        self._z: Tensor | None = None
        self._take_over()

    def _take_over(self) -> None:
        self.finished, self.settled = self._inner.finished, self._inner.settled

    def ask(self) -> Tensor:
        z = self._inner.ask()
        if z is not self._z:
            self._z = z
            around = torch.remainder(z, 2 * TOP)
            self._back = around > TOP
            self._asked = torch.where(self._back, 2 * TOP - around, around)
        return self._asked

    def told(self, loss: float, gradient: Tensor) -> Reading:
        self.ask()
        slopes = torch.where(self._back, -gradient, gradient)
        yield from self._inner.told(loss, slopes)
        self._take_over()

    def state(self) -> dict[str, Any]:
        return self._inner.state()

    def carried(self) -> dict[str, Any]:
        return self._inner.carried()

    def close(self) -> None:
        self._inner.close()
