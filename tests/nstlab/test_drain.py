"""A worker that is asked to stop finishes what it has begun, and begins nothing."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from generation.models import Batch
from generation.queueing.batches import queue_experiment
from tests.generation.test_worker import (
    PATIENCE,
    running,
    start_worker,
    until,
)

__all__ = ["start_worker"]

pytestmark = [
    pytest.mark.worker,
    pytest.mark.broker,
    pytest.mark.django_db(transaction=True),
]


def test_sigterm_lets_the_batch_at_hand_finish_and_leaves_the_next(
    make_experiment: Callable[..., Any],
    start_worker: Callable[[], subprocess.Popen[bytes]],
) -> None:
    # Long enough to be asked in the middle of it.
    first = make_experiment(name="First", evaluations=250, alpha_beta=[0.01])
    second = make_experiment(name="Second", evaluations=250, alpha_beta=[0.02])
    queue_experiment(first)
    queue_experiment(second)
    worker = start_worker()
    begun = until(running)
    worker.terminate()
    assert worker.wait(PATIENCE) == 0
    begun.refresh_from_db()
    assert (begun.status, begun.attempt) == ("done", 1)
    other = (second if begun.experiment_id == first.pk else first).renders.get()
    assert (other.status, other.attempt) == ("queued", 0)
    assert set(Batch.objects.values_list("attempt", flat=True)) == {1}
