"""`manage.py rqworker QUEUE`: an RQ worker with the lab's serializer and class.

Replaces django-rq's command, where a forgotten `--serializer json` would make a
worker unpickle whatever is in the broker.
"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django_rq.management.commands import rqworker

from nstlab.core.version import BadCommit, commit

WORKER_CLASSES = {
    "render": "generation.queueing.workers.RenderWorker",
    "report": "analysis.workers.ReportWorker",
}
# A worker of renders takes small orders, which somebody waits for, before grids.
OVERTAKING = {"render": ["render-high"]}


class Command(rqworker.Command):
    help = "Works on one queue: render (style transfer) or report (statistics)."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(serializer="rq.serializers.JSONSerializer")

    def handle(self, *args: str, **options: Any) -> None:
        if len(args) != 1 or args[0] not in WORKER_CLASSES:
            raise CommandError("Name one queue to work on: render or report.")
        try:
            commit()  # once, before horses are forked: they all say the same
        except BadCommit as error:
            raise CommandError(str(error)) from error
        options["serializer"] = "rq.serializers.JSONSerializer"
        options["worker_class"] = options["worker_class"] or WORKER_CLASSES[args[0]]
        super().handle(*OVERTAKING.get(args[0], []), *args, **options)
