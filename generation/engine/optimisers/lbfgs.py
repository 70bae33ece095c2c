"""L-BFGS for pictures: broad changes first, and no number asked for twice."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from generation.engine.devices import upload
from generation.engine.optimisers.minimiser import NOT_FINITE, Reading

# A trial: step length, value, gradient and slope along the direction.
_Trial = tuple[float, float, Tensor, float]


class Lbfgs:
    """Limited-memory BFGS with a safeguarded strong-Wolfe line search.

    Nocedal & Wright, *Numerical Optimization* (2006), algorithms 3.5, 3.6 and 7.4.
    The two-loop recursion runs on inner products (Chen et al., 2014), so a step
    costs two products over the history. A value that is not finite counts as
    a step too long.
    """

    HISTORY = 10
    SUFFICIENT, CURVATURE = 1e-4, 0.9
    TRIALS = 20
    NOISE = 1e-7  # what float32 losses are worth, relative

    def __init__(
        self,
        start: Tensor,
        metric: Callable[[Tensor], Tensor] | None = None,
        state: dict[str, Any] | None = None,
    ) -> None:
        """`metric` is a symmetric linear A: the search goes over z in start + A z."""
        self.finished = ""
        self.settled = self._told = 0
        self._origin = start
        self._metric = metric
        self._x = torch.zeros_like(start).flatten()
        self._loss = self._norm = math.inf
        self._gradient: Tensor | None = None
        self._history = _History(self.HISTORY, self._x)
        if state is not None:
            self._origin, self._x, self._loss, self._gradient, self._norm = (
                state[name] for name in ("origin", "x", "loss", "gradient", "norm")
            )
            self._history.restore(state["history"])
        self._run = self._minimise()
        try:
            want = next(self._run)
            while want is not None:  # it goes on from a state
                want = self._run.send(want.tolist())
        except StopIteration as stop:  # from one in which nothing is left to do
            self.finished = stop.value

    def ask(self) -> Tensor:
        return self._asked

    def told(self, loss: float, gradient: Tensor) -> Reading:
        self._told += 1
        try:
            want = self._run.send((loss, self._through(gradient).flatten()))
            while want is not None:
                want = self._run.send((yield want))
        except StopIteration as stop:
            self.finished = stop.value

    def _ask(self, x: Tensor) -> None:
        self._asked = self._origin + self._through(x.view_as(self._origin))

    def _through(self, values: Tensor) -> Tensor:
        return values if self._metric is None else self._metric(values)

    def state(self) -> dict[str, Any]:
        return {
            "origin": self._origin,
            "x": self._x,
            "loss": self._loss,
            "gradient": self._gradient,
            "norm": self._norm,
            "history": self._history.state(),
        }

    def carried(self) -> dict[str, Any]:
        return self.state() | {"loss": math.inf, "gradient": None, "norm": math.inf}

    def close(self) -> None:
        self._run.close()

    def _minimise(self) -> Generator[Tensor | None, Any, str]:
        """Yields None for the answer to what is asked, or a tensor for its values."""
        history = self._history
        if self._gradient is None:
            self._ask(self._x)
            loss, gradient = yield None
            norm, largest = yield torch.stack([gradient.norm(), gradient.abs().max()])
            if not (math.isfinite(loss) and math.isfinite(largest)):
                return NOT_FINITE
            self._loss, self._gradient, self._norm = loss, gradient, norm
            if history.slots:  # carried over from a like objective
                yield from history.turn(gradient)
            self.settled = self._told
        while self._norm > 0:
            slope = 0.0
            if history.slots:
                direction = history.direction(self._gradient)
                (slope,) = yield (direction @ self._gradient).view(1)
            if not slope < 0:
                # Downhill, moving values by 1 (one grey level) in the mean square.
                history.forget()
                root = math.sqrt(self._x.numel())
                direction = self._gradient * (-root / self._norm)
                slope = -root * self._norm
            step = yield from self._search(self._x, self._loss, direction, slope)
            if step is not None:
                length, self._loss, gradient, _ = step
                move = direction * length
                change = gradient - self._gradient
                self._x, self._gradient = self._x + move, gradient
                self._norm = yield from history.add(move, change, gradient)
            elif history.slots:
                history.forget()
            else:
                return "no step lowers the loss"
            self.settled = self._told
        return NOT_FINITE if math.isnan(self._norm) else "the gradient is zero"

    def _search(
        self, x: Tensor, loss: float, direction: Tensor, slope: float
    ) -> Generator[Tensor | None, Any, _Trial | None]:
        """Find a step that satisfies the strong Wolfe conditions, or the best one
        that lowers the loss enough, or None."""
        noise = self.NOISE * abs(loss)
        low: _Trial = (0.0, loss, x, slope)
        high: _Trial | None = None
        length = 1.0
        for _ in range(self.TRIALS):
            self._ask(x + direction * length)
            value, gradient = yield None
            (along,) = yield (gradient @ direction).view(1)
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


class SmoothFirst:
    """A metric for pictures that lets broad changes come before fine grain.

    Amplitudes of f cycles per pixel are scaled by (f^2 + 0.3^2)^-0.35, one on
    average. It moves no minimum, but a search that starts from it instead of from
    the identity spends its first evaluations better, as image gradients are mostly
    grain (Olah et al., *Feature Visualization*, Distill 2017, on preconditioning).
    """

    CORNER, POWER = 0.3, 0.35

    def __init__(self, like: Tensor) -> None:
        self._sides = like.shape[-2:]
        height, width = self._sides
        device, dtype = like.device, like.dtype
        rows = torch.fft.fftfreq(height, device=device, dtype=dtype)
        columns = torch.fft.rfftfreq(width, device=device, dtype=dtype)
        squares = rows.square()[:, None] + columns.square() + self.CORNER**2
        scales = squares**-self.POWER
        self._scales = scales / scales.mean()

    def __call__(self, pictures: Tensor) -> Tensor:
        spectrum = torch.fft.rfft2(pictures) * self._scales
        return torch.fft.irfft2(spectrum, s=self._sides)


class _History:
    """The last moves and gradient changes, with all their inner products and those
    with the latest gradient."""

    def __init__(self, size: int, like: Tensor) -> None:
        self.size = size
        self.slots: list[int] = []  # oldest first
        self.rows = like.new_zeros(2 * size, like.numel())  # moves, then changes
        self.products = np.zeros((2 * size, 2 * size))
        self.along = np.zeros(2 * size)

    def forget(self) -> None:
        self.slots = []

    def state(self) -> dict[str, Any]:
        return {
            "slots": list(self.slots),
            "rows": self.rows,
            "products": torch.from_numpy(self.products),
            "along": torch.from_numpy(self.along),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.slots = list(state["slots"])
        self.rows.copy_(state["rows"])
        self.products[:] = state["products"].cpu().numpy()
        self.along[:] = state["along"].cpu().numpy()

    def turn(self, gradient: Tensor) -> Generator[Tensor, list[float], None]:
        """Take another gradient as the latest."""
        self.along = np.array((yield self.rows @ gradient))

    def add(
        self, move: Tensor, change: Tensor, gradient: Tensor
    ) -> Generator[Tensor, list[float], float]:
        """Take a pair in, over the oldest when full, unless it has no curvature.

        `gradient` is where it led; returns its norm."""
        three = torch.stack([move, change, gradient])
        numbers = yield torch.cat([three @ self.rows.T, three @ three.T], 1).flatten()
        table = np.array(numbers).reshape(3, -1)
        others, own = table[:, :-3], table[:, -3:]
        self.along = others[2].copy()
        if own[0, 1] > 1e-10 * math.sqrt(own[0, 0] * own[1, 1]):
            full = len(self.slots) == self.size
            slot = self.slots.pop(0) if full else len(self.slots)
            self.slots.append(slot)
            rows = [slot, slot + self.size]
            for at, row in enumerate(rows):
                self.rows[row] = three[at]
                self.products[row, :] = self.products[:, row] = others[at]
                self.along[row] = own[2, at]
            self.products[np.ix_(rows, rows)] = own[:2, :2]
        return math.sqrt(own[2, 2])

    def direction(self, gradient: Tensor) -> Tensor:
        """-H g: the two-loop recursion on coefficients of the rows and of g, which is
        the gradient that `add` saw last."""
        along = self.along
        weights = np.zeros(2 * self.size)
        pairs = [(slot, slot + self.size) for slot in self.slots]
        alphas = {}
        for s, y in reversed(pairs):
            alphas[s] = (along[s] + self.products[s] @ weights) / self.products[s, y]
            weights[y] -= alphas[s]
        s, y = pairs[-1]
        scale = self.products[s, y] / self.products[y, y]
        weights *= scale
        for s, y in pairs:
            beta = scale * along[y] + self.products[y] @ weights
            weights[s] += alphas[s] - beta / self.products[s, y]
        coefficients = torch.from_numpy(weights).to(self.rows.dtype)
        return -(upload(coefficients, self.rows.device) @ self.rows + scale * gradient)
