"""`manage.py restore DIR`: make this empty lab the one of a backup."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from nstlab.backup import BackupRefused, restore


class Command(BaseCommand):
    help = (
        "Checks every file of a backup, then restores pictures and database into an "
        "empty lab and brings the database to this version. Never overwrites anything."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, metavar="DIR")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            restored = restore(options["folder"])
        except BackupRefused as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Restored: {restored}. Unfinished renders: manage.py reap.")
