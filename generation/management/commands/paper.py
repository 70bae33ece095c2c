"""`manage.py paper`: an experiment of the paper from a folder of its pictures."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from generation.engine.errors import EngineError
from generation.engine.grid import ImpossibleGrid
from generation.engine.networks.weights import describe, is_random, names_at_hand
from generation.experiments.forecast import forecast
from generation.experiments.making import PresetRefused, experiment_from_preset
from generation.experiments.weights import full_name
from generation.models import Experiment, SourceImage, WeightsAtHost
from generation.models.weights_at_hosts import is_among
from generation.pictures.source_images import add_source_image
from generation.presets import PRESET_OBJECTIVES, PRESETS, picture_title
from generation.queueing.batches import queue_experiment
from nstlab.core.commands import owner_of


class Command(BaseCommand):
    help = (
        "Makes an experiment of Patel & Krishnan (2017) from pictures named as in "
        "the presets, content/portrait.jpg and so on."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        titles = ", ".join(f"{name} ({each.title})" for name, each in PRESETS.items())
        parser.add_argument("experiment", choices=PRESETS, help=titles)
        parser.add_argument("--images", type=Path, required=True, metavar="DIR")
        parser.add_argument("--objective", choices=PRESET_OBJECTIVES, default="paper")
        parser.add_argument(
            "--balances",
            action="store_true",
            help="in place of the printed ratios α/β, which belong to the objective "
            "notebook at 300 pixels",
        )
        parser.add_argument(
            "--weights",
            default="imagenet",
            help="imagenet, random:SEED, or the name of a file as `manage.py weights "
            "list` has it",
        )
        parser.add_argument("--size", type=int, help="instead of 300 pixels")
        parser.add_argument("--evaluations", type=int, help="instead of 240")
        parser.add_argument("--name", help="of the experiment; else the paper's")
        parser.add_argument("--owner", help="user name of whom it belongs to")
        parser.add_argument("--queue", action="store_true", help="queue its renders")

    def handle(self, *args: Any, **options: Any) -> None:
        preset = PRESETS[options["experiment"]]
        if options["balances"]:
            preset = preset.with_balances()
        owner = owner_of(options["owner"])
        instead = {
            name: options[name]
            for name in ("size", "evaluations", "name")
            if options[name] is not None
        }
        try:
            with transaction.atomic():
                experiment = experiment_from_preset(
                    preset=preset,
                    objective=options["objective"],
                    pictures=_pictures(preset.files, options["images"], owner),
                    weights=full_name(options["weights"], _names_here),
                    owner=owner,
                    **instead,
                )
                planned = forecast(experiment)
                if options["queue"] and planned.missing:
                    raise PresetRefused(f"{planned.missing} Nothing was made.")
        except (PresetRefused, ImpossibleGrid, EngineError) as refused:
            raise CommandError(str(refused)) from refused
        self.stdout.write(f"{experiment}: {planned}")
        if about := preset.about_ratios(options["objective"]):
            self.stdout.write(f"{about} Give --balances to paint these.")
        if not WeightsAtHost.objects.exists():
            self._say_missing_here(experiment)
        if options["queue"]:
            try:
                queue_experiment(experiment)
            except ImpossibleGrid as refused:
                raise CommandError(str(refused)) from refused
            self.stdout.write("They are queued.")

    def _say_missing_here(self, experiment: Experiment) -> None:
        """Say what this machine lacks, while no render worker has told what it has."""
        names = {cell.settings.weights for cell in experiment.cells()}
        had = _names_here() if names else []
        for name in sorted(names):
            if not is_random(name) and not is_among(name, had):
                self.stdout.write(
                    f"This machine does not have {describe(name)}, and no render "
                    "worker has told what its host has. `manage.py weights get` or "
                    "`manage.py weights add FILE` on the host of a worker brings it."
                )


def _names_here() -> list[str]:
    return list(names_at_hand(settings.NSTLAB_WEIGHTS))


def _pictures(
    files: tuple[str, ...], folder: Path, owner: Any
) -> dict[str, SourceImage]:
    """Source images of files in `folder`; a file brought before is not kept twice."""
    pictures = {}
    for file in files:
        if not (folder / file).is_file():
            continue
        data = (folder / file).read_bytes()
        known = SourceImage.objects.filter(sha256=hashlib.sha256(data).hexdigest())
        pictures[file] = (
            known.first()
            or add_source_image(data=data, title=picture_title(file), owner=owner)[0]
        )
    return pictures
