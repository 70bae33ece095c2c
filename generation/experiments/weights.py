"""Weights to choose from: what render hosts have, in words, and names cut short."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from generation.engine.grid import ImpossibleGrid
from generation.engine.networks.weights import IMAGENET, describe
from generation.models import WeightsAtHost

UNTRAINED = "random:0"


class UnknownWeights(ImpossibleGrid):
    """A name that is none of weights, or cut too short; the text says what there is."""


def weights_choices(now: str = "") -> list[tuple[str, str]]:
    """Names of weights, each in words: ImageNet's, what else render hosts have, random
    ones, and `now`, what is chosen. Said is also which of them no host has."""
    had = {
        name: told
        for row in WeightsAtHost.objects.counted()
        for name, told in row.weights.items()
    }
    kinds = [name.partition(":")[0] for name in had]
    choices = {IMAGENET: describe(IMAGENET)}
    of_imagenet = set()
    for name, told in had.items():
        kind, _, values = name.partition(":")
        if kind == "file":
            continue
        of_imagenet.add(told["words"])
        choices.setdefault(kind, describe(kind))
        if kinds.count(kind) > 1:  # several copies, or of several networks
            network = told["network"].replace("vgg", "VGG-")
            choices[name] = f"{describe(kind)}, {network}, values {values[:8]}…"
    for name, told in had.items():
        if name.startswith("file:") and told["words"] not in of_imagenet:
            choices[name] = f"{told['words']} ({name[5:13]}…)"
    choices[UNTRAINED] = describe(UNTRAINED)
    if now:
        choices.setdefault(now, describe(now))
    missing = set(WeightsAtHost.objects.missing(choices))
    return [
        (name, f"missing: {words}" if name in missing else words)
        for name, words in choices.items()
    ]


def network_of(name: str) -> str:
    """The network that a file of weights is of, as a host told; else nothing."""
    rows = WeightsAtHost.objects.all() if name.startswith("file:") else []
    told = [row.weights[name]["network"] for row in rows if name in row.weights]
    return told[0] if told else ""


def full_name(word: str, also: Callable[[], Collection[str]] = tuple) -> str:
    """The name of weights of which `word` may be only the beginning, as file:25d244c5:
    8 digits or more, of one file that a host has, or that is among `also`, which is
    asked for such words only. Raises UnknownWeights."""
    short = r"((?:file|imagenet|imagenet-v1):[0-9a-f]{8,63})(:[\w-]+)?"
    if (cut := re.fullmatch(short, word)) is None:
        return word
    begins, ends = cut[1], cut[2] or ""
    told = [name for row in WeightsAtHost.objects.all() for name in row.weights]
    known = [*told, *also()]
    names = {it for it in known if it.startswith(begins) and it.endswith(ends)}
    if len(names) == 1:
        return names.pop()
    there = dict.fromkeys(map(describe, known))
    raise UnknownWeights(
        f"{word} is not the beginning of the name of one file that a render host has; "
        f"they have: {'; '.join(there) or 'none'}."
    )
