"""SciPy's L-BFGS-B, the way of the notebook that was published with the paper."""

from __future__ import annotations

import math
import queue
import threading
from typing import Any

import numpy as np
import torch
from torch import Tensor

from generation.engine.optimisers.minimiser import NOT_FINITE, Reading


class ScipyLbfgsb:
    """SciPy's L-BFGS-B as the notebook ran it: rounds of `maxfun=20` without bounds,
    each from where the last one ended and without its history; `inside`, with the
    bounds 0 and 255.

    SciPy looks at `maxfun` between its line searches, so that a round may take a few
    evaluations more. It calls and is not called: it runs in a thread of its own.
    """

    ROUND = 20

    def __init__(
        self,
        start: Tensor,
        rounds: int,
        state: dict[str, Any] | None = None,
        *,
        inside: bool = False,
    ) -> None:
        self.finished = ""
        self._bounds = [(0.0, 255.0)] * start.numel() if inside else None
        self.settled = self._told = 0
        self._like = start
        self._state = state or {
            "x": (start.clamp(0, 255) if inside else start).flatten(),
            "round": 0,
        }
        self._points: queue.Queue[Tensor | str | BaseException] = queue.Queue()
        self._answers: queue.Queue[tuple[float, Any] | None] = queue.Queue()
        thread = threading.Thread(target=self._work, args=(rounds,), daemon=True)
        thread.start()
        self._take()

    def ask(self) -> Tensor:
        return self._asked

    def told(self, loss: float, gradient: Tensor) -> Reading:
        self._told += 1
        slopes = gradient.flatten().double().cpu().numpy()
        if math.isfinite(loss) and np.isfinite(slopes).all():
            self._answers.put((loss, slopes))
            self._take()
        else:
            self.finished = NOT_FINITE
        yield from ()  # SciPy wants the whole gradient, not numbers

    def state(self) -> dict[str, Any]:
        return self._state

    carried = state

    def close(self) -> None:
        self._answers.put(None)

    def _take(self) -> None:
        point = self._points.get()
        if isinstance(point, BaseException):
            raise point
        if isinstance(point, str):
            self.finished = point
        else:
            self._asked = point

    def _work(self, rounds: int) -> None:
        from scipy.optimize import fmin_l_bfgs_b

        x = self._state["x"].double().cpu().numpy()
        try:
            for done in range(self._state["round"], rounds):
                x, _, _ = fmin_l_bfgs_b(
                    self._evaluate, x, bounds=self._bounds, maxfun=self.ROUND
                )
                self._state = {"x": torch.from_numpy(x), "round": done + 1}
                self.settled = self._told
        except _Closed:
            return
        except BaseException as error:  # it belongs to whoever drives
            self._points.put(error)
        else:
            self._points.put("all its rounds are spent")

    def _evaluate(self, x: Any) -> tuple[float, Any]:
        self._points.put(torch.from_numpy(x).to(self._like).view_as(self._like))
        answer = self._answers.get()
        if answer is None:
            raise _Closed
        return answer


class _Closed(Exception):
    """Nobody waits for another point."""
