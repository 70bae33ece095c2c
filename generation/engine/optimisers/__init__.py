"""The optimisers by name. torch is loaded when one is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from generation.engine.optimisers.minimiser import Minimiser

    # A start of shape (1, 3, height, width), settings, how many evaluations there are,
    # and the state to go on from, if any.
    Build = Callable[[Tensor, Any, int, dict[str, Any] | None], Minimiser]


@dataclass(frozen=True)
class Optimiser:
    """A way to search: where it comes from, and what builds its minimiser.

    One that is `bounded` keeps the range 0-255 itself where the settings ask for it.
    """

    source: str
    build: Build
    bounded: bool = False


def _lbfgs(
    start: Tensor, settings: Any, evaluations: int, state: dict[str, Any] | None
) -> Minimiser:
    from generation.engine.optimisers.lbfgs import Lbfgs, SmoothFirst

    return Lbfgs(start, SmoothFirst(start), state)


def _adam(
    start: Tensor, settings: Any, evaluations: int, state: dict[str, Any] | None
) -> Minimiser:
    from generation.engine.optimisers.adam import Adam

    return Adam(start, settings.learning_rate, state)


def _scipy(
    start: Tensor, settings: Any, evaluations: int, state: dict[str, Any] | None
) -> Minimiser:
    from generation.engine.optimisers.scipy_lbfgsb import ScipyLbfgsb

    rounds = -(-evaluations // ScipyLbfgsb.ROUND)
    return ScipyLbfgsb(start, rounds, state, inside=settings.range == "inside")


OPTIMISERS: dict[str, Optimiser] = {
    "lbfgs": Optimiser("Nocedal & Wright, Numerical Optimization, 2006", _lbfgs),
    "adam": Optimiser("Kingma & Ba, ICLR 2015", _adam),
    "scipy": Optimiser(
        "SciPy's L-BFGS-B, restarted every 20 evaluations", _scipy, bounded=True
    ),
}


def search(
    start: Tensor, settings: Any, evaluations: int, state: dict[str, Any] | None
) -> Minimiser:
    """The minimiser of settings, which asks for pictures in the range they name."""
    from generation.engine.optimisers.inside import Inside

    optimiser = OPTIMISERS[settings.optimiser]

    def build(point: Tensor) -> Minimiser:
        return optimiser.build(point, settings, evaluations, state)

    if settings.range == "inside" and not optimiser.bounded:
        return Inside(build, start)
    return build(start)
