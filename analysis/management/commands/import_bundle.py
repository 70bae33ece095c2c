"""`manage.py import_bundle FILE`: a study from its bundle, and the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from nstlab.core.commands import owner_of


class Command(BaseCommand):
    help = "Makes a study from a bundle and computes its tables anew, to compare them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--owner", help="user name of whom the study belongs to")

    def handle(self, *args: Any, **options: Any) -> None:
        from analysis.bundle.archive import BrokenBundle
        from analysis.bundle.read import differences, import_bundle

        path: Path = options["file"]
        if not path.is_file():
            raise CommandError(f"There is no file {path}.")
        try:
            study = import_bundle(path, owner=owner_of(options["owner"]))
        except BrokenBundle as error:
            raise CommandError(f"Nothing was imported.\n{error}") from error
        self.stdout.write(f"“{study}” is at /s/{study.slug}/, closed.")
        if unlike := differences(path, study):
            raise CommandError(
                f"It is imported, but these tables differ here: {', '.join(unlike)}. "
                "The versions in study.json say what computed them."
            )
        self.stdout.write("Every table of its report is the same here.")
