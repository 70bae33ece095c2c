"""`manage.py check_media`: every row has its file, every file its row."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from generation.pictures.media import GRACE, check_media, prune


class Command(BaseCommand):
    help = (
        "Looks for missing files and for files that no row names; fails if there are "
        "any. With --prune the latter are deleted, and renders without their picture "
        "are failed, to be painted again on retry."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--prune", action="store_true")
        parser.add_argument(
            "--grace-minutes",
            type=int,
            default=int(GRACE.total_seconds() // 60),
            help="how old a file without a row must be to count (default %(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        media = check_media(grace=dt.timedelta(minutes=options["grace_minutes"]))
        for missing in media.missing:
            self.stdout.write(f"missing: {missing}")
        for orphan in media.orphans:
            self.stdout.write(f"no row: {orphan}")
        found = (
            f"{media.files:,} files, {len(media.missing):,} missing, "
            f"{len(media.orphans):,} without a row."
        )
        if options["prune"]:
            prune(media)
            self.stdout.write(f"{found} Mended.")
        elif media.missing or media.orphans:
            raise CommandError(f"{found} --prune mends it.")
        else:
            self.stdout.write(found)
