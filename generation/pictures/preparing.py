"""A picture of the world as the lab keeps it; by itself, a process that makes one.

No Django: `python -m generation.pictures.preparing` starts in a tenth of a second, and
gives all its memory back by ending. `generation.pictures.decoding` starts it.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import BinaryIO

from PIL import Image

from generation.engine.errors import ImageRefused
from generation.engine.pictures.files import (
    MIN_SIDE,
    open_picture,
    pixel_sha256,
    write_png,
)
from nstlab.core.processes import die_with_parent

MOST_MEMORY = 1536 * 1024 * 1024
"""Bytes of address space. The dearest picture of 40 million pixels, a transparent WebP,
takes 700 MB."""
MOST_SECONDS = 40
"""Of processor time; the slowest picture, photographed noise, takes 6."""


@dataclass(frozen=True)
class Wanted:
    """The copies that are made of a picture besides its PNG."""

    box: tuple[int, int, int, int] | None = None
    """Left, top, right and bottom of the part to keep, first of all."""
    size: tuple[int, int] | None = None
    """Width and height to resize it to, by the filter `resample`, then."""
    resample: str = "bicubic"
    small_side: int = 0
    """Longer side of a small copy; 0 makes none."""
    small_format: str = "PNG"
    min_side: int = MIN_SIDE


@dataclass(frozen=True)
class Made:
    """A prepared picture: size in pixels, sha256 of the pixels, what was converted."""

    width: int
    height: int
    pixel_sha256: str
    format: str
    notes: tuple[str, ...]


def prepare(
    source: BinaryIO, wanted: Wanted, png: BinaryIO | None, small: BinaryIO | None
) -> Made:
    """Decode a picture, and write its bare PNG and its small copy where wanted.

    One full copy of the pixels is in memory while it is written. Raises ImageRefused.
    """
    opened = open_picture(source, min_side=wanted.min_side)
    image = opened.image
    if wanted.box is not None:
        image = image.crop(wanted.box)
    if wanted.size is not None and image.size != wanted.size:
        image = image.resize(wanted.size, Image.Resampling[wanted.resample.upper()])
    made = Made(
        *image.size,
        pixel_sha256=pixel_sha256(image) if png is not None else "",
        format=opened.format,
        notes=opened.notes,
    )
    if png is not None:
        write_png(image, png)
    if small is not None:
        image.thumbnail((wanted.small_side, wanted.small_side))
        if wanted.small_format == "PNG":
            write_png(image, small)
        else:
            image.save(small, wanted.small_format, quality=85)
    return made


def limit(kind: int, most: int) -> None:
    """Allow this process so much, or less where whoever started the lab said less."""
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(kind, (most, most))


def main() -> None:
    """Prepare the picture on the standard input as the argument says, answer JSON."""
    asked = json.loads(sys.argv[1])
    die_with_parent()
    if os.getppid() != asked["parent"]:
        return  # it died before it could be asked about
    if sys.platform == "linux":  # macOS gives every process more, and refuses
        limit(resource.RLIMIT_AS, asked["most_memory"])
    limit(resource.RLIMIT_CPU, MOST_SECONDS)
    limit(resource.RLIMIT_CORE, 0)
    box, size = (asked["wanted"].pop(name) for name in ("box", "size"))
    wanted = Wanted(
        box=tuple(box) if box else None,
        size=tuple(size) if size else None,
        **asked["wanted"],
    )
    try:
        with ExitStack() as written:
            png, small = (
                None
                if number is None
                else written.enter_context(os.fdopen(number, "wb"))
                for number in (asked["png"], asked["small"])
            )
            answer = asdict(prepare(sys.stdin.buffer, wanted, png, small))
    except ImageRefused as refused:
        answer = {"refused": str(refused)}
    except OSError as error:  # of the disk: the picture is not to blame
        if error.errno is None:
            raise
        answer = {"errno": error.errno}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
