"""`losses`: evaluate an objective on a finished picture."""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import replace
from pathlib import Path

from generation.engine.cli.files import opened
from generation.engine.cli.options import (
    add_pictures,
    add_settings,
    painter_of,
    read_settings,
)

TEXT = "Evaluate an objective on a finished picture."
USAGE = "--content C --style S --image G"
EXAMPLES = """\
prints one JSON object: content and style give each layer's value as the objective
defines it, before alpha, beta and w_l, which may be 0; tv is before its weight, null
where the objective has none, as is every value that is not finite. Computed in float64
unless --precision says otherwise.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    add_pictures(parser, required=True)
    parser.add_argument("--image", type=Path, required=True, help="the picture judged")
    parser.add_argument("--json", action="store_true", help="on one line")
    add_settings(parser, alpha=1)


def run(options: argparse.Namespace) -> int:
    import torch

    from generation.engine.balance import alpha_of, ends_of
    from generation.engine.pictures.canvas import grey, prepared, resized, to_tensor

    painter = painter_of(options)
    settings = read_settings(options, alpha=1.0, precision="float64")
    # A weight of 0 would leave the layers out that are to be told.
    every = replace(
        settings.with_alpha(settings.alpha or float(bool(settings.content_layer))),
        beta=settings.beta or float(bool(settings.style_layers)),
    )
    network = painter.network(every)
    content, style = prepared(
        settings, opened(options.content, "content"), opened(options.style, "style")
    )
    if settings.balance is not None:
        ends = ends_of(settings, network, content, style, painter.cell)
        settings = settings.with_alpha(alpha_of(settings, ends) or 0.0)
    cell, seen = painter.cell(every, network, content, style, settings.size)
    size = seen.shape[3], seen.shape[2]
    judged = opened(options.image, "image", min_side=1)  # whatever is painted
    if settings.colour == "luminance":  # its colours are not painted
        judged = grey(judged)
    if judged.size != size:
        print(
            "image {}: resampled from {} × {} to {} × {} pixels.".format(
                options.image.name, *judged.size, *size
            ),
            file=sys.stderr,
        )
    fitting = resized(judged, size, settings.resample)
    pixels = to_tensor(fitting).to(network.device, network.term_dtype)
    method = settings.how
    problem = method.problem([cell], network)
    with torch.no_grad():
        by_layer = problem.by_layer(pixels)
        values = problem.terms(pixels)[0, 1:].tolist()
    losses = dict(zip(method.terms, values, strict=True))
    weights = method.weights_of_terms(settings)
    lacking = method.lacks(settings)

    def shown(term: str) -> dict[str, float | None] | float | None:
        if term in by_layer:
            layers = by_layer[term]
            return {name: _finite(value.item()) for name, value in layers.items()}
        return None if term in lacking else _finite(losses[term])

    printed = {
        "objective": settings.objective,
        **{method.terms[term]: weight for term, weight in weights.items()},
        **{term: shown(term) for term in losses},
        "total": _finite(sum(weights[it] * losses[it] for it in losses if weights[it])),
        "content_layer": dict(settings.content_layer),
        "style_layers": dict(settings.style_layers),
        "weights_sha256": network.weights_sha256,
    }
    print(json.dumps(printed, indent=None if options.json else 1, allow_nan=False))
    return 0


def _finite(value: float) -> float | None:
    """A value as JSON can tell it."""
    return value if math.isfinite(value) else None
