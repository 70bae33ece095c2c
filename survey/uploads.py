"""Pictures of one's own: a ZIP and a CSV of factors become the stimuli of a study.

Nothing is unpacked to a disk: members are read one by one in memory, each within its
limits, so that neither paths nor bombs in an archive matter.
"""

from __future__ import annotations

import lzma
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import IO, Any

from django.db import transaction

from generation.decoding import DecoderBusy, decode
from nstlab.core import csv_files
from survey.models import Stimulus, Study
from survey.opening import (
    check_unfrozen,
    discarding_files,
    hold_unfrozen,
    keep_picture,
    keep_with_references,
)

MOST_PICTURES = 5000
MOST_BYTES = 64 * 1024 * 1024
"""Of one picture, unpacked."""
MOST_TOTAL = 2 * 1024 * 1024 * 1024
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
ROLES = ("file", "reference", "rated", "training", "gold")
UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
)
"""What zipfile raises for damaged, encrypted and unknown members."""
TRUE, FALSE = {"1", "true", "yes"}, {"0", "false", "no"}


class UploadRefused(Exception):
    """Nothing was taken in; the text says why."""


@dataclass
class Report:
    """What was taken in, and each thing that was not with its reason."""

    taken: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)


def take_in(study: Study, archive: IO[bytes], table: bytes | None) -> Report:
    """Make stimuli of the pictures in a ZIP. Raises UploadRefused or CannotOpen.

    `table` is a CSV with the column `file` and, as wished, `reference` (another
    file), `rated` (yes or no), `training` (place, 1 the worst), `gold` (known
    answer); all its other columns become factors. Pictures without a row are refused
    if there is a table.
    """
    check_unfrozen(study)
    report = Report()
    rows = None if table is None else _rows(table, report)
    made: dict[str, Stimulus] = {}
    with discarding_files(made):
        with _opened(archive) as opened:
            references = _write(study, opened, rows, report, made)
        _keep(study, made, references)
    return report


def _opened(archive: IO[bytes]) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except UNREADABLE as error:
        raise UploadRefused(f"The archive cannot be read: {error}.") from error


def _rows(table: bytes, report: Report) -> dict[str, dict[str, str]]:
    try:
        read = csv_files.read_table(table)
    except csv_files.BrokenFile as error:
        raise UploadRefused(f"The CSV cannot be read: {error}") from error
    if not read.rows or "file" not in read.header:
        raise UploadRefused("The CSV needs a header with the column file, and rows.")
    rows: dict[str, dict[str, str]] = {}
    for line, cells in read.rows:
        row = dict(zip(read.header, cells, strict=False))
        name = _slashed(row.get("file", ""))
        if len(cells) != len(read.header):
            report.refused.append((f"line {line}", "has not as many cells as columns"))
        elif not name:
            report.refused.append((f"line {line}", "names no file"))
        elif name in rows:
            report.refused.append((f"line {line}", f"names {name} a second time"))
        else:
            rows[name] = row
    return rows


def _write(
    study: Study,
    archive: zipfile.ZipFile,
    rows: dict[str, dict[str, str]] | None,
    report: Report,
    made: dict[str, Stimulus],
) -> dict[str, str]:
    """Write the files of an archive's pictures; no row yet.

    `made` gets the unsaved stimuli by path, also when a later one is refused. Returns
    which of them refer to which.
    """
    members = [
        info
        for info in archive.infolist()
        if not info.is_dir() and not _is_clutter(info.filename)
    ]
    if len(members) > MOST_PICTURES:
        raise UploadRefused(
            f"The archive has {len(members)} files; at most {MOST_PICTURES} fit."
        )
    if sum(info.file_size for info in members) > MOST_TOTAL:
        raise UploadRefused("Unpacked, the archive has more than 2 GB.")
    paths = _Paths(_slashed(info.filename) for info in members)
    row_of = None if rows is None else _by_path(rows, paths, report)
    for info in members:
        path = _slashed(info.filename)
        if path in made:
            report.refused.append((path, "is in the archive a second time"))
            continue
        if row_of is not None and path not in row_of:
            report.refused.append((path, "has no row in the CSV"))
            continue
        row = row_of[path] if row_of is not None else {}
        try:
            made[path] = _stimulus(study, archive, info, row, paths.label(path))
        except ValueError as error:
            report.refused.append((path, str(error)))
            continue
        report.taken += 1
    return _references(made, row_of or {}, paths, report)


def _by_path(
    rows: dict[str, dict[str, str]], paths: _Paths, report: Report
) -> dict[str, dict[str, str]]:
    """The rows by the path of the file they are about."""
    found: dict[str, dict[str, str]] = {}
    for name, row in rows.items():
        match paths.like(name):
            case []:
                report.refused.append((name, "is in the CSV and not in the archive"))
            case [path] if path in found:
                report.refused.append((name, f"is a second row for {path}"))
            case [path]:
                found[path] = row
            case several:
                report.refused.append((name, _ambiguous(several)))
    return found


def _references(
    made: dict[str, Stimulus],
    rows: dict[str, dict[str, str]],
    paths: _Paths,
    report: Report,
) -> dict[str, str]:
    """Path → path of its reference, where both were taken in."""
    references: dict[str, str] = {}
    for path in made:
        if not (reference := rows.get(path, {}).get("reference")):
            continue
        match paths.like(reference):
            case [one] if one in made:
                references[path] = one
            case [] | [_]:
                report.refused.append((path, f"its reference {reference} is not there"))
            case several:
                why = f"its reference {reference} {_ambiguous(several)}"
                report.refused.append((path, why))
    return references


def _keep(study: Study, made: dict[str, Stimulus], references: dict[str, str]) -> None:
    """Write the rows. Raises CannotOpen if the study was opened meanwhile.

    The files were written before: the database is held for a moment only, for others
    write ratings meanwhile.
    """
    for reference in references.values():
        made[reference].is_reference = True
    with transaction.atomic():
        hold_unfrozen(study)
        keep_with_references(made, references)


class _Paths:
    """The files of an archive. A name may leave out folders if one file fits only."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._by_base: dict[str, list[str]] = {}
        for path in dict.fromkeys(paths):
            self._by_base.setdefault(_base(path), []).append(path)

    def like(self, name: str) -> list[str]:
        """The path itself if it is there, else all that end in this name."""
        name = _slashed(name)
        same = self._by_base.get(_base(name), [])
        if name in same:
            return [name]
        return [path for path in same if path.endswith(f"/{name}")]

    def label(self, path: str) -> str:
        """The bare name, or the path where others have the same name."""
        return _base(path) if len(self._by_base[_base(path)]) == 1 else path


def _ambiguous(paths: list[str]) -> str:
    return f"may be {' or '.join(sorted(paths)[:5])}: write it with its folder"


def _slashed(name: str) -> str:
    """A path as CSV files have it; archives from a Mac spell é in two characters."""
    return unicodedata.normalize("NFC", name.replace("\\", "/"))


def _base(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _is_clutter(name: str) -> bool:
    """What systems put into archives beside the pictures."""
    base = _base(_slashed(name))
    return name.startswith("__MACOSX/") or base in {".DS_Store", "Thumbs.db"}


def _stimulus(
    study: Study,
    archive: zipfile.ZipFile,
    info: zipfile.ZipInfo,
    row: dict[str, str],
    label: str,
) -> Stimulus:
    """An unsaved stimulus whose file is written, of one picture and its row.

    Raises ValueError with what is wrong with it.
    """
    if not info.filename.lower().endswith(ENDINGS):
        raise ValueError("is no PNG, JPEG, WebP, TIFF or BMP")
    if info.file_size > MOST_BYTES:
        raise ValueError(f"is larger than {MOST_BYTES >> 20} MB unpacked")
    try:
        with archive.open(info) as member:
            data = member.read(MOST_BYTES + 1)
    except UNREADABLE as error:
        raise UploadRefused(
            f"{info.filename} in the archive cannot be read: {error}."
        ) from error
    if len(data) > MOST_BYTES:
        raise ValueError("is larger than the archive says")
    try:
        decoded = decode(data)
    except DecoderBusy as busy:
        raise UploadRefused(str(busy)) from busy
    roles: dict[str, Any] = {"rated": _yes(row.get("rated", ""), "rated")}
    for column, name in (("training", "training_order"), ("gold", "gold_answer")):
        if text := row.get(column, ""):
            if not text.isdecimal() or int(text) > 1000:
                raise ValueError(f"{column} is a whole number, not {text}")
            roles[name] = int(text)
    # As written: 2_1 is a layer and 007 a name, and which are numbers is asked later.
    factors = {key: value for key, value in row.items() if key not in ROLES}
    stimulus = Stimulus(
        study=study,
        parameters={"file": label, **factors},
        **roles,
    )
    keep_picture(stimulus, decoded)
    return stimulus


def _yes(text: str, column: str) -> bool:
    if not text or text.lower() in TRUE:
        return True
    if text.lower() in FALSE:
        return False
    raise ValueError(f"{column} is yes or no, not {text}")
