"""`manage.py import_ratings FILE --title TITLE`: other people's ratings as a study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from nstlab.commands import owner_of


class Command(BaseCommand):
    help = "Makes a closed study without pictures from a CSV of ratings."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--title", required=True)
        parser.add_argument("--question", default="", help="what people were asked")
        parser.add_argument(
            "--scale-points", type=int, default=5, choices=[5, 9, 11],
            help="5: 1–5, 9: 1–9, 11: 0–10",
        )  # fmt: skip
        parser.add_argument("--owner", help="user name of whom the study belongs to")

    def handle(self, *args: Any, **options: Any) -> None:
        from analysis.imports import BrokenBundle, import_ratings

        path: Path = options["file"]
        if not path.is_file():
            raise CommandError(f"There is no file {path}.")
        try:
            study = import_ratings(
                path,
                title=options["title"],
                scale_points=options["scale_points"],
                question=options["question"],
                owner=owner_of(options["owner"]),
            )
        except BrokenBundle as error:
            raise CommandError(f"Nothing was imported.\n{error}") from error
        self.stdout.write(f"“{study}” is at /s/{study.slug}/, closed.")
