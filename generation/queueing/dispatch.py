"""Dispatch: sending waiting batches to the broker, a few of each researcher."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from generation.models import Batch, Render
from nstlab.core import jobs

# The queues of renders, in the order in which workers empty them.
RENDER_QUEUES = ("render-high", "render")


def dispatch() -> int:
    """Send waiting batches to the broker, a few of each researcher; return how many.

    The broker works first come, first served. Fairness is that a researcher's next
    batch gets there only when an earlier one has left: grids of two people are painted
    by turns, however large the first was. Small orders have a queue of their own,
    which workers empty first.
    """
    waiting = Batch.objects.waiting()
    lines = list(
        waiting.order_by().values_list("experiment__owner", "urgent").distinct()
    )
    if not lines:
        return 0
    sent = Batch.objects.sent().values_list("experiment__owner", "urgent")
    there = Counter(sent)
    # Enough that no worker waits for the next call, which comes after each batch.
    window = 4 + 2 * jobs.workers_of("render")
    room = {line: window - there[line] for line in lines if there[line] < window}
    if not room:
        return 0
    queued = Render.objects.queued().filter(batch=OuterRef("pk"))
    with transaction.atomic():
        taken = [
            list(
                waiting.filter(Exists(queued), experiment__owner=owner, urgent=urgent)
                # What another host left comes after what nobody has tried.
                .order_by("attempt", "pk")
                .select_related("experiment")
                .select_for_update(skip_locked=True, of=("self",))[:places]
            )
            for (owner, urgent), places in room.items()
        ]
        by_turns = [it for turn in zip_longest(*taken) for it in turn if it is not None]
        Batch.objects.filter(pk__in=[batch.pk for batch in by_turns]).update(
            sent_at=timezone.now()
        )
    if by_turns:
        send(by_turns)
    return len(by_turns)


def send(batches: Sequence[Batch]) -> None:
    """Hand batches to the broker; if it is away they wait for the next `dispatch`."""
    orders = [
        jobs.Order(
            batch,
            task="generation.queueing.tasks.render_batch",
            args=(batch.pk, batch.attempt),
            timeout=batch.timeout_seconds,
            description=f"{batch.experiment}: {batch.job_id}",
        )
        for batch in sorted(batches, key=lambda it: RENDER_QUEUES.index(it.queue))
    ]
    if not jobs.send(orders):
        Batch.objects.filter(pk__in=[batch.pk for batch in batches], token=None).update(
            sent_at=None
        )
