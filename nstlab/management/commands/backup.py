"""`manage.py backup DIR`: database and pictures, consistent, while the lab goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from nstlab.backup import BackupRefused, backup


class Command(BaseCommand):
    help = (
        "Writes database, pictures and a manifest of their sha256 into a new folder. "
        "Keep it safe: it holds every rating and everybody's password hash. Not in it: "
        "the secret key, the files of weights and the queue, which reap fills again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, metavar="DIR")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            made = backup(options["folder"])
        except BackupRefused as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{options['folder']}: {made}.")
        if made.lost:
            raise CommandError(
                f"The backup is whole, but the store has lost {len(made.lost):,} "
                f"files that rows name, as {made.lost[0]}: manage.py check_media."
            )
