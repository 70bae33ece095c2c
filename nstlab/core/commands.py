"""What the commands of several apps look up and show."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError
from tqdm import tqdm


def owner_of(username: str | None) -> Any:
    """Who is called so; None for no name. Raises CommandError."""
    if username is None:
        return None
    user = get_user_model().objects.filter(username=username).first()
    if user is None:
        raise CommandError(f"Nobody is called {username!r}.")
    return user


def progress_bar(total: int, what: str, unit: str) -> tqdm[Any]:
    """A bar in a terminal; in a log file a line every ten seconds.

    A total of 0 is not known yet; bytes (`B`) are shown as kB and MB.
    """
    every = 0.2 if sys.stderr.isatty() else 10
    return tqdm(
        total=total or None,
        desc=what,
        unit=unit,
        unit_scale=unit == "B",
        mininterval=every,
    )


def shown_by(bar: tqdm[Any]) -> Callable[[int, int], None]:
    """A function of what is done by now and of the total (0: not known) that moves
    the bar there."""

    def show(done: int, total: int) -> None:
        bar.total = total or None
        bar.update(done - bar.n)

    return show
