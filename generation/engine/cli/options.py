"""Options that several commands have, and what they mean."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generation.engine.errors import SettingsError
from generation.engine.factors import FACTORS, setting_names
from generation.engine.grid import read_layers
from generation.engine.methods.gatys.objectives import CAFFE_VGG19
from generation.engine.networks.weights import INPUTS
from generation.engine.registry import METHODS
from generation.engine.settings import (
    LAYERS,
    RenderSettings,
    settings_of,
    weighed_as,
)

if TYPE_CHECKING:
    from generation.engine.painter import Painter


def add_pictures(parser: argparse.ArgumentParser, *, required: bool) -> None:
    for role in ("content", "style"):
        parser.add_argument(
            f"--{role}", type=Path, required=required, metavar="PICTURE"
        )


def add_weights_input(parser: Any) -> None:
    parser.add_argument(
        "--weights-input",
        choices=INPUTS,
        help="what a weights file expects: IMAGENET1K_FEATURES's input, torchvision's "
        "usual one, or blue, green, red in 0-255 minus Caffe's means [features, but "
        "what a published file is known to expect]",
    )


def add_settings(parser: argparse.ArgumentParser, **defaults: object) -> None:
    """Add an option for each setting; `defaults` are this command's own."""
    group = parser.add_argument_group("settings")
    for name in setting_names():
        factor = FACTORS[name]
        flag = "--" + name.replace("_", "-")
        flags = [flag.rstrip("s") + "s", flag.rstrip("s")] if name in LAYERS else [flag]
        default = defaults.get(name, factor.default)
        group.add_argument(
            *flags,
            dest=name,
            type=factor.level_type,
            choices=factor.closed_choices,
            # Asked for twice, layers are asked for together.
            action="append" if name in LAYERS else "store",
            help=factor.help
            if default is None
            else f"{factor.help} [{_shown(default)}]",
        )
    add_weights_input(group)
    group.add_argument(
        "--as-published",
        action="store_true",
        help="take settings left out from the objective's source where it fixes them",
    )


def _shown(default: object) -> str:
    if isinstance(default, tuple):
        return ",".join(f"{layer}={weight:g}" for layer, weight in default)
    return f"{default:g}" if isinstance(default, float) else str(default)


def read_settings(options: argparse.Namespace, **defaults: Any) -> RenderSettings:
    """Settings from options, then defaults; `--weights` and `--start` may be files."""
    given = {name: getattr(options, name) for name in setting_names()}
    values = {name: value for name, value in given.items() if value is not None}
    method = METHODS[values.get("method", RenderSettings.method)]
    defaults = {
        name: value
        for name, value in defaults.items()
        if name in settings_of(method) and name not in method.defaults
    }
    if options.as_published:
        published = _as_published(values)
        defaults = weighed_as(published, defaults) | dict(published)
    defaults = weighed_as(values, defaults)
    for name in LAYERS:
        if name in values:
            values[name] = ",".join(values[name])
    settings = RenderSettings.from_dict(defaults | read_layers(values, layer_weight))
    told = options.weights_input not in (None, "features")
    if told and not settings.weights.startswith("file:"):
        raise SettingsError(
            "weights",
            f"--weights-input is for a weights file; {settings.weights} is none.",
        )
    return settings


def _as_published(values: Mapping[str, Any]) -> Mapping[str, object]:
    """The settings with which a convention's source ran."""
    published = METHODS[values.get("method", RenderSettings.method)].published
    objective = values.get("objective", RenderSettings.objective)
    if objective not in published:
        raise SettingsError(
            "objective",
            f"--as-published knows no settings of {objective}: "
            f"--objective must be one of {', '.join(published)} with it.",
        )
    weights = values.get("weights", "")
    fits = weights.startswith("file:") and not weights.endswith(":v1")
    fits = fits and values.get("network") == "vgg19"
    if published[objective].get("network") == "vgg19" and not fits:
        raise SettingsError(
            "weights",
            f"--as-published needs --weights FILE for {objective}, whose source "
            f"ran a VGG-19 of Caffe's scale: {CAFFE_VGG19}, with --weights-input "
            "caffe-bgr.",
        )
    return published[objective]


def layer_weight(field: str, part: str) -> float:
    """The weight in `LAYER=WEIGHT`; `field` names the setting in a refusal."""
    try:
        return float(part.partition("=")[2])
    except ValueError:
        raise SettingsError(
            field, f"{field}: {part!r} is not LAYER or LAYER=WEIGHT."
        ) from None


def painter_of(options: argparse.Namespace) -> Painter:
    """A painter on the device asked for. A path in `--weights` is read, and replaced
    by the name of the file that lies there."""
    from generation.engine.painter import Painter

    painter = Painter(device=_device(options.device))
    if options.weights and is_path(options.weights):
        spec, network = read_weights(painter, Path(options.weights), options)
        check_network(getattr(options, "network", None), network, options.weights)
        options.weights, options.network = spec, network
    return painter


def _device(named: str | None) -> str:
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if named is None:
        return "cuda" if count else "cpu"
    here = ["cpu", *["cuda"][:count], *(f"cuda:{index}" for index in range(count))]
    if named not in here:
        raise SettingsError(
            "device",
            f"--device must be one of {', '.join(here)} on this machine; "
            f"got {named!r}.",
        )
    return named


def is_path(weights: str) -> bool:
    return weights.split(":")[0] not in ("imagenet", "imagenet-v1", "random", "file")


def read_weights(
    painter: Painter, path: Path, options: argparse.Namespace
) -> tuple[str, str]:
    """Give the painter a file's weights; their name and their network."""
    from generation.engine.networks.state_dicts import open_file
    from generation.engine.networks.weights import named_with_input

    spec, network, state = open_file(path)
    if options.weights_input is None:
        spec, sentence = named_with_input(spec)
        if sentence:
            print(f"weights {path.name}: {sentence}", file=sys.stderr)
    elif options.weights_input != "features":
        spec += f":{options.weights_input}"
    painter.states[spec] = state
    return spec, network


def check_network(asked: str | None, held: str, weights: str) -> None:
    if asked not in (None, held):
        raise SettingsError(
            "network", f"network must be {held}: {weights} holds the weights of one."
        )
