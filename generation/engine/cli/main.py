"""The command line of the engine: which commands there are, and how one is run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from types import ModuleType

from generation.engine.cli import grid, losses, render, rerender
from generation.engine.cli.files import check_files
from generation.engine.errors import EngineError, SettingsError

DESCRIPTION = """\
Neural style transfer by named conventions, reproducible to the bit on a CPU.

  render    paint one picture
  grid      paint every combination of a specification
  losses    evaluate an objective on a finished picture
  rerender  paint a picture again from what it carries, and compare

Every number that decides a picture is a setting; the ratio alpha/beta alone decides
none, so both are settings. Budgets count evaluations of the objective and its gradient.
"""

MOST_THREADS = 1024
COMMANDS: dict[str, ModuleType] = {
    "render": render,
    "grid": grid,
    "losses": losses,
    "rerender": rerender,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0, or 2 when the engine refused, 1 when pixels differ."""
    options = _parser().parse_args(arguments)
    try:
        check_files(options)
        if options.threads is not None:
            import torch

            if not 1 <= options.threads <= MOST_THREADS:
                raise SettingsError(
                    "threads",
                    f"--threads must be between 1 and {MOST_THREADS}; "
                    f"got {options.threads}.",
                )
            torch.set_num_threads(options.threads)
        result: int = options.run(options)
        return result
    except (EngineError, OSError) as refusal:
        print(f"{options.command}: {refusal}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m generation.engine",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, command in COMMANDS.items():
        added = commands.add_parser(
            name,
            help=command.TEXT,
            description=command.TEXT,
            epilog=command.EXAMPLES,
            usage=f"python -m generation.engine {name} {command.USAGE} [options]",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(run=command.run)
        added.add_argument("--device", help="cpu, cuda, cuda:1, …; a GPU if there is")
        added.add_argument("--threads", type=int, help="CPU threads")
        command.add_options(added)
    return parser
