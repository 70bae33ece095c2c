"""The progress bar on the terminal."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from generation.engine.request import Progress


class Bar:
    """A progress bar on the terminal; nothing where standard error is none."""

    def __init__(self) -> None:
        self.shown = 0.0

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self.shown:
            print(file=sys.stderr)

    def __call__(self, step: Progress, label: str = "") -> None:
        now = time.monotonic()
        last = step.evaluations == step.budget
        if not sys.stderr.isatty() or (now - self.shown < 0.1 and not last):
            return
        self.shown = now
        done = round(30 * step.evaluations / step.budget)
        print(
            f"\r{label}[{'#' * done}{'.' * (30 - done)}] "
            f"{step.evaluations}/{step.budget} loss {step.total:.4g} "
            f"{step.seconds:.0f} s ",
            end="",
            file=sys.stderr,
        )
