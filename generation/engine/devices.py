"""What keeps a GPU busy: uploads nobody waits for, evaluations as CUDA graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

WARM_UPS = 3  # torch's own advice: cuDNN chooses, constants are uploaded


def upload(values: Tensor, device: torch.device) -> Tensor:
    """`values` of the CPU on the device, through pinned memory where that is a GPU."""
    if device.type != "cuda":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


def has_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bf16 numbers in its own instructions.

    Where a processor has none, torch computes in float32 and rounds, which is slower
    than float32 alone.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    able = torch.cpu.get_capabilities()
    return any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def precision_refused(precision: str, device: torch.device) -> str:
    """Why a device cannot compute in a precision, as a sentence, or nothing."""
    if device.type == "cuda" and precision != "mixed":
        return ""
    able = ["float32", "float64", *(["mixed"] if has_bf16(device) else [])]
    if precision in able:
        return ""
    needed = (
        "instructions for bf16 (on a processor AVX-512 BF16 or AMX)"
        if precision == "mixed"
        else "a GPU"
    )
    names = f"{', '.join(able[:-1])} or {able[-1]}"
    return (
        f"precision must be {names} on this {device.type}: {precision} needs {needed}."
    )


class Evaluation:
    """A function of a batch of points, always in the same memory.

    `function` takes (batch, ...) points to (terms, gradients), touching the host
    nowhere. On a GPU it is captured once as a CUDA graph and replayed from then on;
    `how` says so, or why not: it is part of a picture's story.
    """

    def __init__(
        self,
        function: Callable[[Tensor], tuple[Tensor, Tensor]],
        *,
        batch: int,
        like: Tensor,
        pool: Any = None,
    ) -> None:
        """`like` is one point, (1, ...); graphs of one `pool` share their memory."""
        self._function = function
        self._points = like.new_empty((batch, *like.shape[1:]))
        self._pool = pool
        self._graph: torch.cuda.CUDAGraph | None = None
        self.how = "" if like.device.type == "cuda" else "eager"

    def __call__(self, points: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Terms and gradients of `points`, (1, ...) each; the terms only until the
        next call."""
        torch.cat(list(points), out=self._points)
        if not self.how:
            self.how = self._capture()
        if self._graph is None:
            return self._function(self._points)
        self._graph.replay()
        terms, gradients = self._results
        return terms, gradients.clone()

    def _capture(self) -> str:
        """Warm up on a side stream and capture, as torch's notes on graphs have it."""
        # Streams are of the current device, which need not be the points' own.
        with torch.cuda.device(self._points.device):
            side, current = torch.cuda.Stream(), torch.cuda.current_stream()
            side.wait_stream(current)
            with torch.cuda.stream(side):
                for _ in range(WARM_UPS):
                    self._function(self._points)
            current.wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            try:
                # Without a stream it takes one of the device that captured first.
                with torch.cuda.graph(graph, pool=self._pool, stream=side):
                    self._results = self._function(self._points)
            except RuntimeError as error:
                reason = str(error).splitlines()[0]
                return f"eager, as no graph could be captured: {reason}"
        self._graph = graph
        return "CUDA graph"
