"""Pictures and stories that commands read and write."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from PIL import Image

from generation.engine.errors import ImageRefused, SettingsError
from generation.engine.pictures.files import MIN_SIDE, open_picture, pixel_sha256
from generation.engine.settings import STARTS, RenderSettings

if TYPE_CHECKING:
    from generation.engine.request import Painted


def opened(path: Path, role: str, *, min_side: int = MIN_SIDE) -> Image.Image:
    try:
        opened = open_picture(path, min_side=min_side)
    except ImageRefused as refusal:
        raise ImageRefused(f"{role} {path}: {refusal}") from None
    for note in opened.notes:
        print(f"{role} {path.name}: {note}", file=sys.stderr)
    return opened.image


def check_files(options: argparse.Namespace) -> None:
    """Refuse before painting what could not be written after it."""
    asked = {
        name: path
        for name in ("out", "last", "checkpoint")
        if isinstance(path := getattr(options, name, None), Path)
    }
    read = {
        Path(path).resolve()
        for name in ("content", "style", "picture", "start", "weights")
        if (path := getattr(options, name, None))
    }
    for name, path in asked.items():
        is_folder = (options.command, name) == ("grid", "out")
        if path.exists() and path.is_dir() != is_folder:
            kind = "folder" if is_folder else "file"
            raise SettingsError(name, f"--{name} must name a {kind}; {path} is none.")
        if any(above.exists() and not above.is_dir() for above in path.parents):
            raise SettingsError(name, f"--{name}: {path.parent} is no folder.")
        if name == "checkpoint" and not path.parent.is_dir():
            raise SettingsError(name, f"--{name}: there is no folder {path.parent}.")
        if path.resolve() in read:
            raise SettingsError(name, f"--{name} would overwrite {path}.")
        is_png = path.suffix.lower() == ".png"
        if name == "checkpoint" and (is_png or path.suffix.lower() == ".json"):
            raise SettingsError(name, f"--{name} is no picture: {path} names one.")
        if name == "checkpoint" or is_folder:
            continue
        if not is_png:
            raise SettingsError(name, f"--{name} must end in .png; got {path}.")
        beside = path.with_suffix(".json")
        if beside.exists() and not _is_story(beside):
            raise SettingsError(
                name,
                f"--{name} would overwrite {beside}, where the picture's story is "
                "written: it is something else.",
            )
    if {"out", "last"} <= set(asked):
        out, last = (asked[name].with_suffix("").resolve() for name in ("out", "last"))
        if out == last:
            raise SettingsError("last", "--last must have another name than --out.")


def _is_story(path: Path) -> bool:
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(told, dict) and "pixel_sha256" in told


def is_picture(start: str) -> bool:
    """Whether a start is a picture's path."""
    return start not in STARTS and not start.startswith("picture:")


def read_start(path: Path) -> tuple[Image.Image, str]:
    """The picture that a render starts from, and the start that names it."""
    try:
        picture = opened(path, "start")
    except ImageRefused as refusal:
        names = ", ".join(STARTS[:-1])
        raise ImageRefused(f"{refusal} start is {names} or a picture.") from None
    return picture, f"picture:{pixel_sha256(picture)}"


def write(
    out: Path,
    settings: RenderSettings,
    painted: Painted,
    files: Mapping[str, str],
    *,
    iterate: Literal["best", "last"] = "best",
) -> None:
    """The picture with its story inside, and before it the story beside it, so that
    where a picture is, everything is."""
    from generation.engine.provenance import signed_png, story

    told = {**story(settings, painted, iterate), "files": dict(files)}
    picture = painted.last if iterate == "last" else painted.image
    out.parent.mkdir(parents=True, exist_ok=True)
    _replace(out.with_suffix(".json"), (json.dumps(told, indent=1) + "\n").encode())
    _replace(out, signed_png(picture, told))


def _replace(path: Path, data: bytes) -> None:
    """Write a file at once: a reader sees the old one or the new one."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)


def is_painted(out: Path) -> bool:
    """Whether a picture is there whole and tells its story."""
    from generation.engine.provenance import read_story

    try:
        told = read_story(out)
    except ImageRefused:
        return False
    with Image.open(out) as picture:
        return bool(told.get("pixel_sha256") == pixel_sha256(picture))
