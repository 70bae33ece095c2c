"""`manage.py simulate_participants STUDY`: let simulated people answer a study."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from survey.commands import study_of
from survey.simulation import BIAS_SD, NOISE_SD, simulate, true_values


class Command(BaseCommand):
    help = (
        "Lets simulated participants answer an open study through its own pages. They "
        "are marked as simulated on every row and never count in the study's tables."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("study", help="its address after /s/, or its page's number")
        parser.add_argument("--participants", type=int, default=12)
        parser.add_argument("--seed", type=int, default=0)

    def handle(self, *args: Any, **options: Any) -> None:
        study = study_of(options["study"])
        if not study.accepts_answers:
            raise CommandError(f"“{study}” is {study.state_in_words}; open it first.")
        wanted = options["participants"]
        with tqdm(total=wanted, desc="simulated participants", unit="person") as bar:
            added = simulate(
                study,
                participants=wanted,
                seed=options["seed"],
                on_finished=bar.update,
            )
        self.stdout.write(
            f"{added} added. Truth + bias (SD {BIAS_SD}) + noise (SD {NOISE_SD}), "
            f"seed {options['seed']}; true values:"
        )
        for code, value in true_values(study, seed=options["seed"]).items():
            self.stdout.write(f"  {code}  {value:.3f}")
