"""Minimisers that are asked for a point and told its value, one per picture.

Nothing here knows pictures or networks: whoever drives a minimiser evaluates the
points, one picture at a time or many together.
"""

from __future__ import annotations

import math
from collections.abc import Generator

import torch
from torch import Tensor

# A trial: step length, value, gradient and slope along the direction.
_Trial = tuple[float, float, Tensor, float]


class Lbfgs:
    """Limited-memory BFGS with a safeguarded strong-Wolfe line search.

    Nocedal & Wright, *Numerical Optimization* (2006), algorithms 3.5, 3.6 and 7.4.
    The two-loop recursion runs on inner products (Chen et al., 2014), so one step
    costs two matrix products over the history and one transfer from the device.

    `ask()` is the point to evaluate, `tell(loss, gradient)` its answer; after the
    telling `finished` may hold the reason why no better point can be asked for.
    A value that is not finite counts as a step too long.
    """

    HISTORY = 10
    SUFFICIENT, CURVATURE = 1e-4, 0.9
    TRIALS = 20
    NOISE = 1e-7  # what float32 losses are worth, relative

    def __init__(self, start: Tensor) -> None:
        self.finished = ""
        self._point = start
        self._run = self._minimise(start.flatten())
        self._asked = next(self._run).view_as(start)

    def ask(self) -> Tensor:
        return self._asked

    def tell(self, loss: float, gradient: Tensor) -> None:
        try:
            self._asked = self._run.send((loss, gradient.flatten())).view_as(
                self._point
            )
        except StopIteration as stop:
            self.finished = stop.value

    def _minimise(self, x: Tensor) -> Generator[Tensor, tuple[float, Tensor], str]:
        loss, gradient = yield x
        if not math.isfinite(loss) or not bool(gradient.isfinite().all()):
            return "the first value is not finite"
        history = _History(self.HISTORY, x)
        # The first step moves a value by 1 in the root mean square: one grey level.
        norm = float(gradient.norm())
        while norm > 0:
            if history.length:
                direction, slope = history.direction(gradient), -math.inf
                slope = float(direction @ gradient)
            if not history.length or not slope < 0:
                history.forget()
                direction = gradient * (-math.sqrt(x.numel()) / norm)
                slope = -norm * math.sqrt(x.numel())
            step = yield from self._search(x, loss, direction, slope)
            if step is None:
                if not history.length:
                    return "no step lowers the loss"
                history.forget()
                continue
            length, loss, new_gradient, _ = step
            move = direction * length
            history.add(move, new_gradient - gradient)
            x, gradient = x + move, new_gradient
            norm = float(gradient.norm())
        return "the gradient is zero"

    def _search(
        self, x: Tensor, loss: float, direction: Tensor, slope: float
    ) -> Generator[Tensor, tuple[float, Tensor], _Trial | None]:
        """Find a step that satisfies the strong Wolfe conditions, or the best one
        that lowers the loss enough, or None."""
        noise = self.NOISE * abs(loss)
        low: _Trial = (0.0, loss, x, slope)
        high: _Trial | None = None
        length = 1.0
        for _ in range(self.TRIALS):
            value, gradient = yield x + direction * length
            along = float(gradient @ direction)
            trial = (length, value, gradient, along)
            if not (math.isfinite(value) and math.isfinite(along)):
                high = (length, math.inf, gradient, math.inf)
            elif (
                value > loss + self.SUFFICIENT * length * slope + noise
                or value > low[1] + noise
            ):
                high = trial
            elif abs(along) <= -self.CURVATURE * slope:
                return trial
            else:
                if along * (math.inf if high is None else high[0] - low[0]) >= 0:
                    high = low
                low = trial
            length = _next_length(low, high)
            if high is not None and abs(high[0] - low[0]) < 1e-9 * max(1.0, length):
                break
        return low if low[0] > 0 else None


def _next_length(low: _Trial, high: _Trial | None) -> float:
    """The minimiser of the cubic through both ends, kept off them by a tenth."""
    if high is None:
        return 4 * low[0] if low[0] else 1.0
    a, b = low[0], high[0]
    guess = (a + b) / 2
    if math.isfinite(high[1]):
        d1 = low[3] + high[3] - 3 * (low[1] - high[1]) / (a - b)
        square = d1 * d1 - low[3] * high[3]
        if square >= 0:
            d2 = math.copysign(math.sqrt(square), b - a)
            below = high[3] - low[3] + 2 * d2
            if below:
                guess = b - (b - a) * (high[3] + d2 - d1) / below
    else:
        guess = a + (b - a) / 10
    margin = abs(b - a) / 10
    return min(max(guess, min(a, b) + margin), max(a, b) - margin)


class _History:
    """The last moves and gradient changes, with all their inner products."""

    def __init__(self, size: int, like: Tensor) -> None:
        self.size = size
        self.length = 0
        self.slots: list[int] = []  # oldest first
        self.rows = like.new_zeros(2 * size, like.numel())  # moves, then changes
        self.products = torch.zeros(2 * size, 2 * size, dtype=torch.float64)

    def forget(self) -> None:
        self.length, self.slots = 0, []

    def add(self, move: Tensor, change: Tensor) -> None:
        slot = self.length if self.length < self.size else self.slots[0]
        s, y = slot, slot + self.size
        self.rows[s], self.rows[y] = move, change
        columns = (self.rows @ self.rows[[s, y]].T).double().cpu()
        curved = columns[s, 1] > 1e-10 * (columns[s, 0] * columns[y, 1]).sqrt()
        if not bool(curved):
            # The slot is spent, so a full history loses its oldest pair with it.
            self.slots = [kept for kept in self.slots if kept != slot]
            if self.length == self.size:
                self.forget()
            return
        self.products[:, [s, y]] = columns
        self.products[[s, y], :] = columns.T
        self.slots = [kept for kept in self.slots if kept != slot] + [slot]
        self.length = len(self.slots)

    def direction(self, gradient: Tensor) -> Tensor:
        """-H g by the two-loop recursion on coefficients of the rows and g."""
        size = self.size
        along = (self.rows @ gradient).double().cpu().numpy()
        products = self.products.numpy()
        weights = torch.zeros(2 * size, dtype=torch.float64).numpy()
        scale = 1.0
        alphas = {}
        for slot in reversed(self.slots):
            s, y = slot, slot + size
            alphas[slot] = (along[s] + products[s] @ weights) / products[s, y]
            weights[y] -= alphas[slot]
        last = self.slots[-1]
        scale = products[last, last + size] / products[last + size, last + size]
        weights *= scale
        for slot in self.slots:
            s, y = slot, slot + size
            beta = (scale * along[y] + products[y] @ weights) / products[s, y]
            weights[s] += alphas[slot] - beta
        coefficients = torch.from_numpy(weights).to(self.rows)
        return -(coefficients @ self.rows + scale * gradient)
