"""What the commands of several apps look up and show."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError
from tqdm import tqdm

MOST_NAMED = 10
"""Accounts that a sentence names."""


def owner_of(username: str | None) -> Any:
    """Whose a command's things will be: of the account with this name.

    Without a name somebody at a terminal is asked for one; None where the lab has no
    account yet, so that nobody can be meant. Raises CommandError.
    """
    accounts = get_user_model().objects.order_by("username")
    names = list(accounts.values_list("username", flat=True)[: MOST_NAMED + 1])
    if username is None and not names:
        return None
    known = ", ".join(names[:MOST_NAMED]) + (", …" if names[MOST_NAMED:] else "")
    if username is None and sys.stdin is not None and sys.stdin.isatty():
        username = input(f"Whose will it be ({known})? ").strip()
    if username is None:
        raise CommandError(
            f"Say whose it will be, with --owner: {known}. What is nobody's only those "
            "see who see everything."
        )
    user = accounts.filter(username=username).first()
    if user is None:
        raise CommandError(f"Nobody is called {username!r}; there is {known}.")
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
