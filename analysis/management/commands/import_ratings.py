"""`manage.py import_ratings FILE --title TITLE`: other people's ratings as a study."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from nstlab.core.commands import owner_of
from survey.methods import USUAL


def _scale(text: str) -> tuple[float, float]:
    number = r"-?\d+(?:\.\d+)?"
    if (found := re.fullmatch(f"({number})-({number})", text)) is None:
        raise ArgumentTypeError(f"a scale is written as 0-100, not {text}")
    return float(found[1]), float(found[2])


def _step(text: str) -> float:
    if text != "any" and not re.fullmatch(r"\d+(\.\d+)?", text):
        raise ArgumentTypeError(f"a step is a number such as 0.5, or any, not {text}")
    return 0.0 if text == "any" else float(text)


class Command(BaseCommand):
    help = "Makes a closed study without pictures from a CSV of ratings."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--title", required=True)
        parser.add_argument("--question", default="", help="what people were asked")
        parser.add_argument(
            "--factor", action="append", default=[], metavar="COLUMN",
            help="a column that says how a picture was made; no other is taken, for "
            "factors are published",
        )  # fmt: skip
        # The same words as `python -m analysis.stats report`, which explains them.
        scale = parser.add_mutually_exclusive_group()
        scale.add_argument(
            "--scale", type=_scale, metavar="LOW-HIGH",
            help="else the columns scale_min and scale_max, else 1-5",
        )  # fmt: skip
        scale.add_argument(
            "--scale-points", type=int, choices=sorted(USUAL.scales),
            help="5: 1–5, 9: 1–9, 11: 0–10",
        )  # fmt: skip
        parser.add_argument(
            "--step", type=_step, help="such as 0.5, or any; else found by the ratings"
        )
        parser.add_argument("--rows", choices=("people", "stimuli"))
        parser.add_argument(
            "--leave-out", action="append", default=[], metavar="COLUMN"
        )
        parser.add_argument("--owner", help="user name of whom the study belongs to")

    def handle(self, *args: Any, **options: Any) -> None:
        from analysis.bundle.archive import BrokenBundle
        from analysis.foreign_ratings import import_ratings

        path: Path = options["file"]
        if not path.is_file():
            raise CommandError(f"There is no file {path}.")
        notes: list[str] = []
        try:
            study = import_ratings(
                path,
                title=options["title"],
                scale_points=options["scale_points"],
                scale=options["scale"],
                step=options["step"],
                question=options["question"],
                factors=options["factor"],
                leave_out=options["leave_out"],
                rows=options["rows"],
                owner=owner_of(options["owner"]),
                notes=notes,
            )
        except BrokenBundle as error:
            raise CommandError(f"Nothing was imported.\n{error}") from error
        self.stdout.write(f"“{study}” is at /s/{study.slug}/, closed.")
        for note in notes:
            self.stdout.write(note)
