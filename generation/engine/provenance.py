"""What made a picture, kept with it: on what machine, from what, by what settings."""

from __future__ import annotations

import io
import json
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import PIL
import scipy
import torch
from PIL import Image, PngImagePlugin

from generation.engine.errors import ImageRefused
from generation.engine.methods.gatys.objectives import OBJECTIVES
from generation.engine.pictures.files import pixel_sha256
from generation.engine.settings import ENGINE_VERSION, RenderSettings
from nstlab.core.version import software

if TYPE_CHECKING:
    from generation.engine.painter import Painted

CHUNK = "nstlab"
# What may differ between two machines that still paint the same pixels.
INCIDENTAL = ("python", "nstlab", "commit")


def story(
    settings: RenderSettings,
    painted: Painted,
    iterate: Literal["best", "last"] = "best",
) -> dict[str, Any]:
    """Everything there is to tell of a render, as JSON has it.

    `rounding` says how the pixels became 8 bits; the picture is the iterate of
    `best_evaluation`, or the last one, clipped to 0-255 first.
    """
    best = iterate == "best"
    return {
        "engine": ENGINE_VERSION,
        "settings": settings.to_dict(),
        "request": settings.digest(),
        "digests": painted.digests,
        "environment": painted.environment,
        "rounding": OBJECTIVES[settings.objective].rounding,
        "iterate": iterate,
        "pixel_sha256": painted.pixel_sha256 if best else pixel_sha256(painted.last),
        "evaluations": painted.evaluations,
        "best_evaluation": painted.best_evaluation,
        "seconds": round(painted.seconds, 3),
        "notes": list(painted.notes),
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


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """The environment fields in which two renders differ, as sentences' parts."""
    names = [name for name in before | now if name not in INCIDENTAL]
    return [
        f"{name}: {before.get(name)} then, {now.get(name)} now"
        for name in names
        if before.get(name) != now.get(name)
    ]


def environment(device: torch.device) -> dict[str, Any]:
    """What the bits of a render depend on besides the request."""
    on_gpu = device.type == "cuda"
    return {
        **software(),
        "engine": ENGINE_VERSION,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "pillow": PIL.__version__,
        "device": torch.cuda.get_device_name(device) if on_gpu else device.type,
        "cuda": torch.version.cuda if on_gpu else None,
        "threads": torch.get_num_threads(),
        "cpu": _cpu(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
