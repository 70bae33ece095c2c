"""What typed αs come to as balances: asked of a worker in passing, never waited for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import suppress

from django.db.models import Q
from django.utils import timezone

from generation.engine.grid import Cell
from generation.engine.settings import request_digest
from generation.engine.weighing import (
    balance_in_words,
    has_balance,
    key_of_ends,
    settings_of_ends,
)
from generation.models import SourceImage, Weighing
from nstlab.core import jobs
from nstlab.core.transitions import move

TASK = "generation.queueing.tasks.weigh_pair"
NOT_YET = "not measured yet"
KILLED = "Its worker process was killed, perhaps because memory ran out."
MOST_SAID = 8
# A form is typed into: of what nobody waits for any more there is no end.
MOST_OF_A_FORM = 24
MOST_WAITING = 100  # of a day, for a broker may lose what nobody asks for again
MOST_ATTEMPTS = 3
SECONDS = 300
# So long after it was asked for, its job may still be on its way.
PATIENCE = dt.timedelta(minutes=1)
# What stood against it may be mended by then, as weights that were missing.
ANEW_AFTER = dt.timedelta(minutes=10)


def typed_alphas(cells: Iterable[Cell]) -> tuple[list[tuple[str, str]], bool]:
    """Say of every α/β among the cells which balance it comes to: names and sentences,
    those of one sentence together, and whether something is still to be measured.

    A worker is asked for what has not been measured, of 24 pairs and settings at most;
    nothing is waited for.
    """
    typed: dict[float, dict[Hashable, Cell]] = {}
    for cell in cells:
        settings = cell.settings
        if has_balance(settings):
            key = cell.content, cell.style, key_of_ends(settings)
            ratio = (settings.alpha or 0.0) / settings.beta
            typed.setdefault(ratio, {}).setdefault(key, cell)
    if not typed:
        return [], False
    every = {key: cell for of in typed.values() for key, cell in of.items()}
    rows = _rows(dict(list(every.items())[:MOST_OF_A_FORM]))
    told: dict[str, list[str]] = {}
    for ratio, of in typed.items():
        text = _in_words(ratio, [rows.get(key) for key in of])
        told.setdefault(text, []).append(f"{ratio:g}")
    sentences = [
        (
            f"α/β {', '.join(ratios[:MOST_SAID])}{', …' * (len(ratios) > MOST_SAID)}",
            text,
        )
        for text, ratios in told.items()
    ]
    measuring = any(row.measured_at is None for row in rows.values())
    return sentences[:MOST_SAID], measuring


def _in_words(ratio: float, rows: Sequence[Weighing | None]) -> str:
    """A sentence on what a ratio comes to for pairs and settings; None: not asked."""
    alphas = [row.alpha for row in rows if row is not None and row.alpha]
    if not alphas:
        reasons = [row.reason for row in rows if row is not None and row.reason]
        return reasons[0] if reasons else NOT_YET
    low, high = ratio / max(alphas), ratio / min(alphas)
    words = [balance_in_words(low), balance_in_words(high)]
    text = f"balance about {low:.1g}"
    if f"{low:.1g}" != f"{high:.1g}":
        text += f" to {high:.1g}"
    text += f": {' to '.join(dict.fromkeys(words))}"
    if len(alphas) < len(rows):
        text += f" ({len(alphas)} of {len(rows)} pairs and layers measured)"
    return text


def _rows(cells: Mapping[Hashable, Cell]) -> dict[Hashable, Weighing]:
    """The rows of cells; those that are missing are made and their jobs sent."""
    pictures = SourceImage.objects.in_bulk(
        {pk for cell in cells.values() for pk in (cell.content, cell.style)}
    )
    named = {}
    for key, cell in cells.items():
        if not {cell.content, cell.style} <= pictures.keys():
            continue  # deleted this very moment
        ends = settings_of_ends(cell.settings)
        digest = request_digest(
            ends,
            content_sha256=pictures[cell.content].pixel_sha256,
            style_sha256=pictures[cell.style].pixel_sha256,
        )
        named[key] = (
            digest,
            Weighing(
                digest=digest,
                content=pictures[cell.content],
                style=pictures[cell.style],
                settings=ends.to_dict(),
            ),
        )
    here = _by_digest(named)
    missing = [row for digest, row in named.values() if digest not in here]
    today = timezone.now() - dt.timedelta(days=1)
    waiting = Weighing.objects.filter(measured_at=None, asked_at__gt=today)
    room = MOST_WAITING - waiting.count()
    if missing and room > 0:
        Weighing.objects.bulk_create(missing[:room], ignore_conflicts=True)
        made = {row.digest for row in missing[:room]}
        here = _by_digest(named)
        _send([row for digest, row in here.items() if digest in made])
    _send_again(here.values())
    return {key: here[it] for key, (it, _) in named.items() if it in here}


def _by_digest(named: Mapping[Hashable, tuple[str, Weighing]]) -> dict[str, Weighing]:
    digests = {digest for digest, _ in named.values()}
    return {row.digest: row for row in Weighing.objects.filter(digest__in=digests)}


def _send(rows: Sequence[Weighing]) -> None:
    for row in rows:
        jobs.send_after_commit(
            jobs.Order(
                row,
                task=TASK,
                args=(row.pk,),
                timeout=SECONDS,
                description=f"What α comes to: {row}",
            )
        )


def _send_again(rows: Iterable[Weighing]) -> None:
    """Send what no job carries any more, and what could not be measured a while ago."""
    now = timezone.now()
    waiting, failed = list[Weighing](), list[Weighing]()
    for row in rows:
        if row.reason and row.asked_at < now - ANEW_AFTER:
            failed.append(row)
        elif not row.measured_at and row.asked_at < now - PATIENCE:
            waiting.append(row)
    with suppress(*jobs.AWAY):
        lost = jobs.lost([row for row in waiting if row.attempt < MOST_ATTEMPTS])
        for row in (*lost, *failed):
            if move(
                row,
                Q(attempt=row.attempt, alpha=None),
                attempt=row.attempt + 1,
                asked_at=now,
                measured_at=None,
                reason="",
            ):
                _send([row])
