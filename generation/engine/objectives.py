"""The objectives by name: each convention as a small table of choices. No torch.

All of them are sums of the same three terms,
``total = alpha * content + beta * style + tv_weight * tv``,
and differ in the choices an `Objective` lists.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Objective:
    """One convention.

    With F the N x M matrix of a layer's N feature maps of M = height * width
    values, a Gram matrix is G = F F^T / divisor, and a layer's style loss is
    ``style_factor(N, S) * sum((G_style - G_generated)**2)``, S being the number
    of pixels of the generated picture. Each Gram uses its own M, so the style
    picture may have another size.
    """

    source: str
    gram: Literal["raw", "area"]  # divisor 1 or M
    style_factor: Callable[[int, int], float]
    content: Literal["half-sum", "mean"]
    tv: Literal["l1-sum"]
    # What is subtracted from R, G, B (0-255); None takes the mean that the
    # weights were trained with.
    means: tuple[float, float, float] | None = None


OBJECTIVES: dict[str, Objective] = {
    "paper": Objective(
        source="Patel & Krishnan, ICIME 2017, Eq. 1-7",
        gram="area",
        style_factor=lambda n, s: 1 / (4 * n**2),  # Eq. 5: M is in the Grams
        content="half-sum",
        tv="l1-sum",
    ),
}
