"""Pictures of one's own: a ZIP and a CSV of factors become the stimuli of a study.

Nothing is unpacked to a disk: members are read one by one in memory, each within its
limits, so that neither paths nor bombs in an archive matter.
"""

from __future__ import annotations

import csv
import io
import zipfile
from dataclasses import dataclass, field
from typing import IO, Any

from django.db import transaction
from PIL import Image

from generation.engine.images import open_picture
from survey.models import Stimulus, Study
from survey.opening import UNFROZEN, keep_picture
from survey.refusals import CannotOpen

MOST_PICTURES = 5000
MOST_BYTES = 64 * 1024 * 1024
"""Of one picture, unpacked."""
MOST_TOTAL = 2 * 1024 * 1024 * 1024
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
ROLES = ("file", "reference", "rated", "training", "gold")
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
    if study.state not in UNFROZEN:
        raise CannotOpen(
            f"“{study}” is {study.state_in_words}; its pictures are frozen."
        )
    report = Report()
    rows = None if table is None else _rows(table, report)
    try:
        with zipfile.ZipFile(archive) as opened, transaction.atomic():
            _take(study, opened, rows, report)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise UploadRefused(f"The archive cannot be read: {error}.") from error
    return report


def _rows(table: bytes, report: Report) -> dict[str, dict[str, str]]:
    try:
        text = table.decode("utf-8-sig")
        read = list(csv.DictReader(io.StringIO(text), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UploadRefused(f"The CSV cannot be read: {error}.") from error
    if not read or "file" not in read[0]:
        raise UploadRefused("The CSV needs a header with the column file, and rows.")
    rows: dict[str, dict[str, str]] = {}
    for line, row in enumerate(read, start=2):
        name = (row.get("file") or "").strip()
        if None in row or None in row.values():
            report.refused.append((f"line {line}", "has not as many cells as columns"))
        elif not name:
            report.refused.append((f"line {line}", "names no file"))
        elif name in rows:
            report.refused.append((f"line {line}", f"names {name} a second time"))
        else:
            rows[name] = {key.strip(): value.strip() for key, value in row.items()}
    return rows


def _take(
    study: Study,
    archive: zipfile.ZipFile,
    rows: dict[str, dict[str, str]] | None,
    report: Report,
) -> None:
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
    made: dict[str, Stimulus] = {}
    pending: dict[str, str] = {}
    for info in members:
        name = info.filename
        row = None if rows is None else rows.get(name) or rows.get(_base(name))
        if rows is not None and row is None:
            report.refused.append((name, "has no row in the CSV"))
            continue
        try:
            stimulus = _stimulus(study, archive, info, row or {})
        except ValueError as error:
            report.refused.append((name, str(error)))
            continue
        made[_base(name)] = stimulus
        if row and row.get("reference"):
            pending[_base(name)] = row["reference"]
        report.taken += 1
    for name, reference in pending.items():
        if _base(reference) in made:
            made[name].reference = made[_base(reference)]
            made[name].save(update_fields=["reference"])
            Stimulus.objects.filter(pk=made[_base(reference)].pk).update(
                is_reference=True
            )
        else:
            report.refused.append((name, f"its reference {reference} is not there"))
    for name in rows or {}:
        if _base(name) not in made and not any(n == name for n, _ in report.refused):
            report.refused.append((name, "is in the CSV and not in the archive"))


def _base(name: str) -> str:
    return name.replace("\\", "/").rsplit("/", 1)[-1]


def _is_clutter(name: str) -> bool:
    """What systems put into archives beside the pictures."""
    return name.startswith("__MACOSX/") or _base(name) in {".DS_Store", "Thumbs.db"}


def _stimulus(
    study: Study, archive: zipfile.ZipFile, info: zipfile.ZipInfo, row: dict[str, str]
) -> Stimulus:
    """One picture and its row. Raises ValueError with what is wrong with it."""
    if not info.filename.lower().endswith(ENDINGS):
        raise ValueError("is no PNG, JPEG, WebP, TIFF or BMP")
    if info.file_size > MOST_BYTES:
        raise ValueError(f"is larger than {MOST_BYTES >> 20} MB unpacked")
    with archive.open(info) as member:
        data = member.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError("is larger than the archive says")
    pixels: Image.Image = open_picture(data).image
    roles: dict[str, Any] = {"rated": _yes(row.get("rated", ""), "rated")}
    for column, name in (("training", "training_order"), ("gold", "gold_answer")):
        if text := row.get(column, ""):
            if not text.isdecimal() or int(text) > 1000:
                raise ValueError(f"{column} is a whole number, not {text}")
            roles[name] = int(text)
    factors = {key: _value(value) for key, value in row.items() if key not in ROLES}
    stimulus = Stimulus(
        study=study,
        parameters={"file": _base(info.filename), **factors},
        **roles,
    )
    keep_picture(stimulus, pixels)
    return stimulus


def _yes(text: str, column: str) -> bool:
    if not text or text.lower() in TRUE:
        return True
    if text.lower() in FALSE:
        return False
    raise ValueError(f"{column} is yes or no, not {text}")


def _value(text: str) -> str | int | float:
    """A factor's level: a number where the cell is one."""
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        return number if number == number and abs(number) < 1e300 else text
    return text
