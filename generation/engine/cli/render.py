"""`render`: paint one picture."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

from generation.engine.cli.bar import Bar
from generation.engine.cli.files import is_picture, opened, read_start, write
from generation.engine.cli.options import (
    add_pictures,
    add_settings,
    painter_of,
    read_settings,
)
from generation.engine.errors import SettingsError
from generation.engine.settings import USUAL_BALANCE

TEXT = "Paint one picture."
USAGE = "--content C --style S --out PNG"
EXAMPLES = """\
examples:
  python -m generation.engine render --content cat.jpg --style wave.jpg \\
      --out cat.png --balance 0.1 --tv-weight 1 --weights imagenet
  python -m generation.engine render --content cat.jpg --style wave.jpg \\
      --out cat.png --alpha 0.01 --objective notebook --as-published
  without trained weights (colour and texture move, little more):
  python -m generation.engine render --content cat.jpg --style wave.jpg \\
      --out cat.png --weights random:0 --pooling average \\
      --start content --size 128 --evaluations 100
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    add_pictures(parser, required=True)
    parser.add_argument("--out", type=Path, required=True, metavar="PNG")
    parser.add_argument("--last", type=Path, metavar="PNG", help="the last iterate too")
    parser.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="go on from here if it is there"
    )
    parser.add_argument("--checkpoint-seconds", type=float, default=60, metavar="S")
    add_settings(parser, balance=USUAL_BALANCE)


def run(options: argparse.Namespace) -> int:
    seconds = options.checkpoint_seconds
    if not 0 <= seconds < math.inf:
        raise SettingsError(
            "checkpoint_seconds",
            "--checkpoint-seconds must be a finite number of 0 or more; "
            f"got {seconds:g}.",
        )
    painter = painter_of(options)
    start_picture = None
    files = {"content": str(options.content), "style": str(options.style)}
    if options.start and is_picture(options.start):
        files["start"] = options.start
        start_picture, options.start = read_start(Path(options.start))
    settings = read_settings(options, balance=USUAL_BALANCE)
    content = opened(options.content, "content")
    style = opened(options.style, "style")
    with Bar() as bar:
        painted = painter.render(
            settings,
            content,
            style,
            start_picture=start_picture,
            checkpoint=options.checkpoint,
            checkpoint_seconds=seconds,
            on_progress=bar,
        )
    write(options.out, settings, painted, files)
    if options.last:
        write(options.last, settings, painted, files, iterate="last")
    if options.checkpoint:
        options.checkpoint.unlink(missing_ok=True)
    for note in painted.notes:
        print(note, file=sys.stderr)
    return 0
