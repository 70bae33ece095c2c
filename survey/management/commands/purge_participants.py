"""`manage.py purge_participants`: delete what was promised to be deleted."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from survey.housekeeping import purge_due
from survey.models import Study


class Command(BaseCommand):
    help = (
        "Deletes recruiting platforms' ids past their date and all sessions of studies "
        "past their “delete on”. A number of sessions is all that stays. Archives of "
        "pictures that nobody has gone on with for a day go too. `dev` and `demo` do "
        "it every hour; elsewhere let a timer run it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--study", help="only this address, the part after /s/")
        parser.add_argument(
            "--today",
            type=dt.date.fromisoformat,
            help="another day than today (YYYY-MM-DD)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        studies: list[Study | None] = [None]
        if options["study"]:
            studies = list(Study.objects.filter(slug=options["study"]))
            if not studies:
                raise CommandError(f"There is no study at /s/{options['study']}/.")
        ids, sessions = purge_due(options["today"], studies)
        self.stdout.write(f"Deleted: {ids} platform ids, {sessions} sessions.")
