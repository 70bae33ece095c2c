"""A picture's story, kept with it: from what, by what settings, on what machine."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, Literal

from PIL import Image, PngImagePlugin

from generation.engine.errors import ImageRefused
from generation.engine.pictures.files import pixel_sha256
from generation.engine.request import Painted
from generation.engine.settings import ENGINE_VERSION, RenderSettings

CHUNK = "nstlab"


def story(
    settings: RenderSettings,
    painted: Painted,
    iterate: Literal["best", "last"] = "best",
) -> dict[str, Any]:
    """Everything there is to tell of a render, as JSON has it.

    `rounding` says how the pixels became 8 bits; the picture is the iterate of
    `best_evaluation`, or the last one, clipped to 0-255 first. `alpha` is the one it
    was painted with, also where the settings say a balance; the shares are those of
    the best iterate, and null for another.
    """
    best = iterate == "best"
    return {
        "engine": ENGINE_VERSION,
        "settings": settings.to_dict(),
        "request": settings.digest(),
        "digests": painted.digests,
        "environment": painted.environment,
        "rounding": settings.how.rounding(settings),
        "iterate": iterate,
        "pixel_sha256": painted.pixel_sha256 if best else pixel_sha256(painted.last),
        "evaluations": painted.evaluations,
        "best_evaluation": painted.best_evaluation,
        "alpha": painted.alpha,
        "style_share": painted.style_share if best else None,
        "content_share": painted.content_share if best else None,
        "seconds": round(painted.seconds, 3),
        "notes": list(painted.notes),
        **({"losses": painted.losses} if best else {}),
        "curve": painted.curve,
    }


def signed_png(image: Image.Image, told: dict[str, Any]) -> bytes:
    """A lossless sRGB PNG that carries its story in a compressed iTXt chunk."""
    chunks = PngImagePlugin.PngInfo()
    chunks.add(b"sRGB", b"\0")
    chunks.add_itxt(CHUNK, json.dumps(told, allow_nan=False), zip=True)
    file = io.BytesIO()
    image.save(file, "PNG", pnginfo=chunks)
    return file.getvalue()


def read_story(picture: Path) -> dict[str, Any]:
    """The story a PNG carries. Raises `ImageRefused` when it carries none."""
    try:
        with Image.open(picture, formats=("PNG",)) as image:
            image.load()
            match told := json.loads(image.info[CHUNK]):
                case {
                    "settings": dict(),
                    "digests": {"content": str(), "style": str(), "weights": str()},
                    "environment": dict(),
                    "pixel_sha256": str(),
                }:
                    return dict(told)
            raise KeyError(CHUNK)
    except (OSError, SyntaxError, KeyError, ValueError) as error:
        raise ImageRefused(
            f"{picture.name} is not a PNG that this engine has painted."
        ) from error
