"""The terms that Gatys's objective may have besides content, style and TV. No torch.

None comes with the engine; put one here, and it has a setting for its weight, a column
in the curve and a line in the chart of losses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from generation.engine.registry import Setting

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ExtraTerm:
    """A term by its loss; autograd finds its slope.

    `loss` takes pictures, (batch, 3, height, width), RGB, 0-255, and the features of
    `layers`, (batch, N, height', width') by layer, to (batch,) losses. `weight` is the
    setting that weighs it in the total; where that is 0 it is not computed.
    """

    weight: Setting
    loss: Callable[[Tensor, Mapping[str, Tensor]], Tensor]
    layers: Sequence[str] = ()


EXTRA_TERMS: dict[str, ExtraTerm] = {}
