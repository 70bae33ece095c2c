"""`manage.py reap`: reconcile rows with the queue, once."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from generation.queueing.reap import reap


class Command(BaseCommand):
    help = (
        "Queues again what a dead worker or a lost broker left undone. `dev` and "
        "`demo` do it every few seconds; elsewhere let a timer run it."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{reap()} batches queued again.")
