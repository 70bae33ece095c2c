"""`manage.py export_bundle STUDY --out FILE`: a study as a ZIP for everybody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from survey.commands import study_of


class Command(BaseCommand):
    help = "Writes the open-science bundle: data, pictures, report, codebook."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("study", help="its address after /s/, or its page's number")
        parser.add_argument(
            "--study-version", type=int, help="else the newest, no draft"
        )
        parser.add_argument("--out", type=Path, required=True, metavar="FILE")
        parser.add_argument(
            "--simulated", action="store_true", help="count simulated participants too"
        )
        parser.add_argument(
            "--all-pictures",
            action="store_true",
            help="publish every picture, whatever its licence: you hold the rights",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        from analysis.bundle.write import write_bundle

        study = study_of(options["study"], options["study_version"])
        with options["out"].open("wb") as file:
            write_bundle(
                study,
                file,
                include_simulated=options["simulated"],
                all_pictures=options["all_pictures"],
            )
        self.stdout.write(str(options["out"]))
