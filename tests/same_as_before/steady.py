"""Runs a program of a checkout with random codes that come out alike in every run.

`python steady.py manage.py migrate`, or `python steady.py -m gunicorn …`. The order of
the rows of many a table follows random codes; with these it is the same on both states
that are compared. Only for that: nothing here is secret. Imports nothing of the lab.
"""

from __future__ import annotations

import random
import runpy
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def make_steady(seed: str) -> None:
    """Let `secrets.choice` and `secrets.randbits` depend on nothing but `seed` and on
    how often they were asked for the same kind of thing."""
    draws: dict[Any, random.Random] = {}

    def of(*kind: Any) -> random.Random:
        return draws.setdefault(kind, random.Random(f"{seed}{kind}"))

    def choice(sequence: Sequence[Any]) -> Any:
        return of("choice", str(sequence)).choice(sequence)

    secrets.choice = choice  # type: ignore[assignment]
    secrets.randbits = lambda k: of("randbits", k).getrandbits(k)


def main() -> None:
    sys.argv = sys.argv[1:]
    sys.path[0] = str(Path.cwd())
    make_steady(" ".join(sys.argv[:3]))
    if sys.argv[0] == "-m":
        sys.argv = sys.argv[1:]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
