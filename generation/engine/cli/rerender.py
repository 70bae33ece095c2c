"""`rerender`: paint a picture again from what it carries, and compare."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from generation.engine.cli.bar import Bar
from generation.engine.cli.files import opened, write
from generation.engine.cli.options import add_pictures, painter_of
from generation.engine.errors import SettingsError
from generation.engine.networks.weights import expects
from generation.engine.pictures.files import pixel_sha256
from generation.engine.settings import STARTS, RenderSettings

TEXT = "Paint a picture again and compare."
USAGE = "PICTURE"
EXAMPLES = """\
The source pictures are looked for where they lay, seen from here and from the
picture's folder, unless --content, --style and --start name them.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("picture", type=Path)
    add_pictures(parser, required=False)
    parser.add_argument("--start", type=Path, help="the picture it started from")
    parser.add_argument("--weights", help="the weights file, if it was one")
    parser.add_argument("--out", type=Path, metavar="PNG")


def run(options: argparse.Namespace) -> int:
    from generation.engine.environment import differences
    from generation.engine.provenance import read_story

    told = read_story(options.picture)
    settings = RenderSettings.from_kept(told["settings"])
    options.weights_input = expects(settings.weights)
    painter = painter_of(options)
    painter.network(settings)
    pictures, files = {}, {}
    wanted = {role: told["digests"][role] for role in ("content", "style")}
    if settings.start not in STARTS:
        wanted["start"] = settings.start.removeprefix("picture:")
    for role, sha256 in wanted.items():
        path = getattr(options, role) or _found(told, role, options.picture.parent)
        pictures[role], files[role] = opened(path, role), str(path)
        if pixel_sha256(pictures[role]) != sha256:
            raise SettingsError(
                role, f"{path} is not the {role} picture this was painted from."
            )
    with Bar() as bar:
        painted = painter.render(
            settings,
            pictures["content"],
            pictures["style"],
            start_picture=pictures.get("start"),
            on_progress=bar,
        )
    iterate = told.get("iterate", "best")
    if options.out:
        write(options.out, settings, painted, files, iterate=iterate)
    picture = painted.last if iterate == "last" else painted.image
    if pixel_sha256(picture) == told["pixel_sha256"]:
        print("The pixels match.")
        return 0
    then = told["environment"] | {"weights": told["digests"]["weights"]}
    now = painted.environment | {"weights": painted.digests["weights"]}
    print("The pixels differ.")
    for difference in differences(then, now) or ["the environment does not differ"]:
        print(f"  {difference}")
    return 1


def _found(told: dict[str, Any], role: str, folder: Path) -> Path:
    name = Path(told.get("files", {}).get(role, ""))
    for path in (name, folder / name, folder / name.name):
        if path.is_file():
            return path
    called = f"{role} picture {name.name}".rstrip()
    raise SettingsError(role, f"The {called} is not here: name it by --{role}.")
