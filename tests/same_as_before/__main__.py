"""Shows that nothing differs from another state of the lab but how it is built.

    python -m tests.same_as_before --before CHECKOUT [--kept FOLDER]

CHECKOUT is another worktree, with its own `.venv`. A small lab is made from each of the
two: experiments, renders, a study of every method, participants, reports, bundles, an
import. Every page, table, file and picture is written down and compared; what differs
is printed as a short diff, and then the exit status is 1. It takes some minutes for
each state; `--kept` keeps what was written down in FOLDER, and takes it from there
again for the state before.
"""

from __future__ import annotations

import argparse
import csv
import difflib
import io
import json
import re
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from PIL import Image

from tests.same_as_before.masks import masked
from tests.same_as_before.pages import lines_of, spaces_of
from tests.same_as_before.record import record

ROOT = Path(__file__).resolve().parents[2]
MOST_LINES = 40  # of one diff


@dataclass
class State:
    """What one state said: files by name, those inside of bundles as well."""

    files: dict[str, bytes]
    places: Mapping[str, str]
    pixels: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, folder: Path) -> State:
        about = json.loads((folder / "index.json").read_text())
        files: dict[str, bytes] = {}
        for name, file in _named(folder, about["files"]):
            files |= dict(_unpacked(name, (folder / file).read_bytes()))
        slugs = {f"SLUG-{label}": slug for label, slug in about["slugs"].items()}
        # The longest path first: one may lie in another.
        paths = sorted(about["places"].items(), key=lambda it: -len(it[1]))
        state = cls(files, {**slugs, **dict(paths)})
        for name, data in files.items():
            if name.endswith(".png"):
                state.pixels.add(_pixel_sha256(data))
        return state


def _named(folder: Path, files: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Files by name; those of a grid, which are called after digests, by settings."""
    for name, file in files.items():
        if found := re.fullmatch(r"(engine grid\|)([0-9a-f]{16})(\..*)", name):
            told = json.loads(
                (folder / files[f"{found[1]}{found[2]}.json"]).read_text()
            )
            chosen = told["settings"]
            called = f"{chosen['objective']} {chosen['optimiser']}"
            yield f"{found[1]}{called}{found[3]}", file
        else:
            yield name, file


def _unpacked(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    if not name.endswith(".zip"):
        yield name, data
        return
    with zipfile.ZipFile(io.BytesIO(data)) as bundle:
        yield f"{name} members.txt", "\n".join(bundle.namelist()).encode()
        for member in bundle.namelist():
            called = re.sub(r"/study-[0-9a-f]{10}_", "/study_", member)
            yield from _unpacked(f"{name} {called}", bundle.read(member))


def _pixel_sha256(png: bytes) -> str:
    """As the lab computes it, of mode, size and values."""
    image = Image.open(io.BytesIO(png))
    head = f"{image.mode} {image.width} {image.height}\n"
    return sha256(head.encode() + image.tobytes()).hexdigest()


def lines(name: str, data: bytes, state: State) -> list[str]:
    """What counts of one file, as lines."""
    ending = name.rpartition(".")[2]
    if ending in ("png", "jpg"):
        image = Image.open(io.BytesIO(data))
        text = [
            f"{key}: {line}"
            for key, value in sorted(image.info.items())
            for line in _text_lines(str(value), state)
        ]
        pixels = sha256(image.tobytes()).hexdigest()
        return [f"{image.format} {image.mode} {image.size} {pixels}", *text]
    if data.startswith(b"%PDF"):
        dated = masked(data.decode("latin-1"), {})
        return [sha256(dated.encode()).hexdigest()]
    if ending == "bin":
        return [sha256(data).hexdigest()]
    text_of_file = data.decode("utf-8", "backslashreplace")
    if ending == "csv":
        text_of_file = _without_times(text_of_file)
    if ending == "html":
        return lines_of(masked(text_of_file, state.places, state.pixels))
    return _text_lines(text_of_file, state)


def _without_times(table: str) -> str:
    """A CSV whose columns of measured seconds say only whether there is a number."""
    rows = list(csv.reader(io.StringIO(table)))
    for place in [n for n, it in enumerate(rows[0]) if it == "seconds"] if rows else []:
        for row in rows[1:]:
            if len(row) > place and row[place]:
                row[place] = "SECONDS"
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _text_lines(text: str, state: State) -> list[str]:
    try:
        found = json.loads(text)
    except ValueError:
        pass
    else:
        if isinstance(found, dict | list):
            text = json.dumps(found, indent=1, ensure_ascii=False)
    return masked(text, state.places, state.pixels).splitlines()


def diff(before: list[str], now: list[str]) -> list[str]:
    """A short one, without the heading that says nothing."""
    found = list(difflib.unified_diff(before, now, lineterm="", n=1))[2:]
    if len(found) > MOST_LINES:
        found = [*found[:MOST_LINES], f"… and {len(found) - MOST_LINES} lines more"]
    return [line[:400] for line in found]


def compare(before: State, now: State) -> tuple[dict[str, list[str]], ...]:
    """By file: diffs of what it says, and diffs of white space that shows."""
    differ: dict[str, list[str]] = {}
    spaces: dict[str, list[str]] = {}
    for name in [*before.files, *(it for it in now.files if it not in before.files)]:
        if name not in now.files:
            differ[name] = ["it is not there any more"]
        elif name not in before.files:
            differ[name] = ["it is new"]
        else:
            old, new = before.files[name], now.files[name]
            if found := diff(lines(name, old, before), lines(name, new, now)):
                differ[name] = found
            elif name.endswith(".html"):
                was, is_ = (
                    spaces_of(masked(data.decode(), state.places, state.pixels))
                    for data, state in ((old, before), (new, now))
                )
                if found := diff(was, is_):
                    spaces[name] = found
    return differ, spaces


def _say(heading: str, found: dict[str, list[str]]) -> None:
    """Each diff once, with the names of all files that have it."""
    if not found:
        return
    print(f"\n## {heading}: {len(found)}")
    named: dict[tuple[str, ...], list[str]] = {}
    for name, each in found.items():
        bare = tuple(line for line in each if not line.startswith("@@"))
        named.setdefault(bare, []).append(name)
    for said, names in named.items():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        print(f"\n--- {'; '.join(names[:3])}{more}")
        print("\n".join(said))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.same_as_before",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--before", type=Path, required=True, metavar="CHECKOUT")
    parser.add_argument("--now", type=Path, default=ROOT, metavar="CHECKOUT")
    parser.add_argument("--kept", type=Path, metavar="FOLDER")
    parser.add_argument(
        "--compare-only", action="store_true", help="of what is in --kept"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nstlab-same-") as folder:
        kept = options.kept or Path(folder)
        if not (kept / "before" / "index.json").exists():
            record(options.before, kept / "before")
        if not options.compare_only:
            record(options.now, kept / "now")
        before, now = State.read(kept / "before"), State.read(kept / "now")
    differ, spaces = compare(before, now)
    kinds = Counter(name.rpartition(".")[2] for name in before.files)
    print("compared:", ", ".join(f"{n} {kind}" for kind, n in kinds.most_common()))
    _say("What is said differs", differ)
    _say("Only white space that shows differs", spaces)
    if not differ and not spaces:
        print("Nothing differs.")
    return 1 if differ or spaces else 0


if __name__ == "__main__":
    sys.exit(main())
