"""`manage.py weights`: which network weights are here, and how to bring some."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from generation.engine.errors import EngineError
from generation.engine.networks.weights import (
    add_file,
    imagenet_at_hand,
    named_with_input,
    state_dict,
)


class Command(BaseCommand):
    help = "Lists network weights, adds a file by its hash, or downloads ImageNet's."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        add = actions.add_parser("add", help="keep a VGG state dict (a .pth file)")
        add.add_argument("file", type=Path)
        actions.add_parser("list", help="what is on this machine")
        actions.add_parser("download", help="fetch torchvision's ImageNet weights")

    def handle(self, *args: Any, **options: Any) -> None:
        folder: Path = settings.NSTLAB_WEIGHTS
        try:
            match options["action"]:
                case "add":
                    kept = add_file(options["file"], folder)
                    name, sentence = named_with_input(kept)
                    if sentence:
                        self.stdout.write(sentence)
                    self.stdout.write(f"Kept. Use it as weights {name}")
                case "download":
                    state_dict("imagenet", network="vgg16", folder=folder)
                    self.stdout.write("The ImageNet weights are on this machine.")
                case _:
                    here = imagenet_at_hand(try_download=False)
                    self.stdout.write(f"imagenet: {'here' if here else 'not here'}")
                    for path in sorted(folder.glob("*.pth")):
                        self.stdout.write(named_with_input(f"file:{path.stem}")[0])
        except EngineError as refused:
            raise CommandError(str(refused)) from refused
