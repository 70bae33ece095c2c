"""The folder of weights: files by their sha256, each beside a note of what it holds."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from generation.engine.errors import WeightsMissing, WeightsRefused
from generation.engine.networks.state_dicts import (
    checked,
    open_file,
    read,
    values_sha256,
)


@dataclass(frozen=True)
class Kept:
    """A file in the folder: its sha256, its network, the sha256 of its values, and
    where it comes from under which licence, empty where nobody said."""

    sha256: str
    network: str
    values_sha256: str
    source: str = ""
    licence: str = ""

    def path(self, folder: Path) -> Path:
        """Where the file lies in `folder`."""
        return folder / f"{self.sha256}.pth"


def keep(path: Path, folder: Path, *, source: str = "", licence: str = "") -> Kept:
    """Check a VGG state dict and keep it in `folder`, whole or not at all.

    Raises `WeightsRefused` for anything else, `WeightsMissing` without space.
    """
    spec, network, state = open_file(path)
    kept = Kept(spec[5:], network, values_sha256(state, network), source, licence)
    if not source and (before := _note(folder / f"{kept.sha256}.json")):
        kept = before if before.sha256 == kept.sha256 else kept
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("rb") as file:
            write_whole(
                folder / f"{kept.sha256}.pth", lambda target: _copy(file, target)
            )
        _write_note(kept, folder)
    except OSError as error:
        raise WeightsMissing(
            f"The weights cannot be kept in {folder}: {error.strerror or error}."
        ) from error
    return kept


def kept_in(folder: Path) -> list[Kept]:
    """What the folder holds, by name. A file without a note, from before there were
    notes, is read once; one that cannot be read is left out."""
    found = []
    for path in sorted(folder.glob("*.pth")):
        note = _note(path.with_suffix(".json"))
        if note is None or note.sha256 != path.stem:
            try:
                spec, network, state = open_file(path)
            except WeightsRefused:
                continue
            if spec[5:] != path.stem:
                continue
            note = Kept(path.stem, network, values_sha256(state, network))
            with contextlib.suppress(OSError):  # the folder may be only readable
                _write_note(note, folder)
        found.append(note)
    return found


def values_of(path: Path, folder: Path, network: str) -> str:
    """The sha256 of the values in a file that lies elsewhere, noted down in `folder`
    for as long as the file is not touched. Raises `WeightsRefused`."""
    note, stamp = folder / f"{path.name}.values.json", path.stat()
    told = {"size": stamp.st_size, "changed": stamp.st_mtime_ns}
    with contextlib.suppress(OSError, ValueError, TypeError):
        known = json.loads(note.read_text(encoding="utf-8"))
        if {name: known[name] for name in told} == told:
            return str(known["values_sha256"])
    values = values_sha256(checked(read(path), network), network)
    text = json.dumps(told | {"values_sha256": values}, indent=1) + "\n"
    with contextlib.suppress(OSError):  # the folder may be only readable
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(note, lambda target: target.write(text.encode()))
    return values


def remove(sha256: str, folder: Path) -> None:
    """Take a file and its note out of the folder. Raises `WeightsMissing`."""
    try:
        (folder / f"{sha256}.pth").unlink()
    except FileNotFoundError:
        raise WeightsMissing(f"No file:{sha256} is kept on this machine.") from None
    (folder / f"{sha256}.json").unlink(missing_ok=True)


def _note(path: Path) -> Kept | None:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        note = Kept(**told)
    except (OSError, ValueError, TypeError):
        return None
    return (
        note if all(isinstance(each, str) for each in asdict(note).values()) else None
    )


def _write_note(kept: Kept, folder: Path) -> None:
    text = json.dumps(asdict(kept), indent=1, sort_keys=True) + "\n"
    path = folder / f"{kept.sha256}.json"
    write_whole(path, lambda target: target.write(text.encode()))


def _copy(source: IO[bytes], target: IO[bytes]) -> None:
    while block := source.read(1 << 20):
        target.write(block)


def write_whole(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    """Write a file that is whole under its name, or not there if `fill` raises."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as target:
            fill(target)
            target.flush()
            os.fsync(target.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
