"""`manage.py report STUDY --out DIR`: every table of a study as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from analysis.columns import RATINGS_LONG
from analysis.exports import csv_lines, ratings_rows
from survey.commands import study_of


class Command(BaseCommand):
    help = "Writes the report on a study's present data: tables, charts, analysis.json."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("study", help="its address after /s/, or its page's number")
        parser.add_argument(
            "--study-version", type=int, help="else the newest, no draft"
        )
        parser.add_argument("--out", type=Path, required=True, metavar="DIR")
        parser.add_argument(
            "--simulated", action="store_true", help="count simulated participants too"
        )
        # The same words as `python -m analysis.stats report`, which explains them.
        parser.add_argument("--level", type=float)
        parser.add_argument("--ci", dest="ci_method")
        parser.add_argument("--recovery")
        parser.add_argument("--screen")
        parser.add_argument("--by", action="append", metavar="FACTOR[,FACTOR]")
        parser.add_argument("--exclude", action="append", metavar="PARTICIPANT")

    def handle(self, *args: Any, **options: Any) -> None:
        from analysis.reports.compute import compute

        study = study_of(options["study"], options["study_version"])
        folder: Path = options["out"]
        names = ("level", "ci_method", "recovery", "screen", "by", "exclude")
        chosen = {name: options[name] for name in names if options[name] is not None}
        for name in {"by", "exclude"} & set(chosen):
            chosen[name] = tuple(chosen[name])
        try:
            report = compute(study, include_simulated=options["simulated"], **chosen)
        except ValueError as refused:
            raise CommandError(str(refused)) from refused
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / name for name in report["files"]]
        for path in paths:
            path.write_bytes(report["files"][path.name])
        paths.append(folder / "ratings_long.csv")
        with paths[-1].open("w", encoding="utf-8", newline="") as file:
            file.writelines(csv_lines(RATINGS_LONG, ratings_rows(study)))
        for path in paths:
            self.stdout.write(str(path))
