"""Pictures of one's own: a ZIP and a CSV of factors become the stimuli of a study.

`begin` keeps the archive and writes down what is in it; `go_on` takes pictures in for a
moment, each once, whoever calls it and however often it broke off before; after the
last one the archive goes. Nothing is unpacked to a disk: members are read one by one in
memory, each within its limits, so that neither paths nor bombs in an archive matter.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import lzma
import os
import secrets
import shutil
import time
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.files import File
from django.db import transaction
from django.utils import timezone

from generation.pictures.decoding import DecoderBusy, decode
from nstlab.core import csv_files
from nstlab.core.factor_names import refusals
from survey.models import Stimulus, Study, Trial, Upload, UploadedPicture
from survey.refusals import CannotOpen
from survey.studies.copying import (
    MOST_AT_ONCE,
    delete_unused,
    discarding_files,
    is_over,
    keep_picture,
)
from survey.studies.locks import check_unfrozen, hold_unfrozen

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
    UnicodeDecodeError,
    NotImplementedError,
    RuntimeError,
)
"""What zipfile raises for damaged, encrypted and unknown members."""
TRUE, FALSE = {"1", "true", "yes"}, {"0", "false", "no"}
KEPT_FOR = dt.timedelta(days=1)
"""How long an upload waits for somebody to go on with it."""
LONGEST_PATH = 500


class UploadRefused(Exception):
    """Nothing was imported; the text says why."""


# Taking in --------------------------------------------------------------------


def under_way(study: Study) -> Upload | None:
    """The archive that is being imported, if there is one."""
    return study.uploads.filter(finished_at=None).first()


def take_in(study: Study, archive: IO[bytes], table: bytes | None) -> Upload:
    """Take in a whole archive at once: `begin`, and `go_on` until nothing is left.

    Raises UploadRefused or CannotOpen.
    """
    upload = begin(study, archive, table)
    while go_on(upload):
        pass
    if upload.error:
        raise UploadRefused(upload.error)
    return upload


def begin(
    study: Study, archive: IO[bytes], table: bytes | None, *, form: str = ""
) -> Upload:
    """Keep an archive and write down its pictures; no picture is taken in yet.

    `table` is a CSV with the column `file` and, as wished, `reference` (another
    file), `rated` (yes or no), `training` (place, 1 the worst), `gold` (known
    answer); all its other columns become factors. Pictures without a row are refused
    if there is a table. The same files from the same `form` are the same upload. Raises
    UploadRefused or CannotOpen.
    """
    check_unfrozen(study)
    key = _key(archive, table, form or secrets.token_urlsafe(16))
    upload = Upload(study=study, key=key)
    rows = None if table is None else _rows(table, upload)
    with _opened(archive) as opened:
        pictures = _planned(opened, rows, upload)
    upload.archive.save("", File(archive), save=False)
    kept = False
    try:
        _keep_private(upload)
        with transaction.atomic():
            hold_unfrozen(study)
            if known := study.uploads.filter(key=key).first():
                return known
            if under_way(study) is not None:
                raise UploadRefused(
                    "Pictures of another archive are being imported: let that end, or "
                    "cancel it."
                )
            upload.save(force_insert=True)
            UploadedPicture.objects.bulk_create(pictures, batch_size=500)
        kept = True
    finally:
        if not kept:
            upload.archive.delete(save=False)
    return upload


def _key(archive: IO[bytes], table: bytes | None, form: str) -> str:
    archive.seek(0)
    digest = hashlib.sha256(f"{form}\n".encode())
    while part := archive.read(1024 * 1024):
        digest.update(part)
    digest.update(table or b"")
    archive.seek(0)
    return digest.hexdigest()


def go_on(upload: Upload, seconds: float | None = None) -> int:
    """Take pictures in; with `seconds` for about so long, one at least.

    The next call goes on there, beside others if need be. Returns how many are left;
    after the last one, or when the archive turns out damaged, `upload` says what came
    of it. Raises CannotOpen for a study that is frozen.
    """
    end = None if seconds is None else time.monotonic() + seconds
    try:
        with _archive(upload) as archive:
            members = _members(archive)
            while batch := list(upload.waiting()[:MOST_AT_ONCE]):
                if not _take_some(upload, archive, members, batch, end) or is_over(end):
                    break
    except UploadRefused as refused:
        _give_up(upload, str(refused))
        return 0
    left = upload.waiting().count()
    if not left:
        _finish(upload)
    return left


def cancel(upload: Upload) -> bool:
    """Remove an upload and every picture that it has brought.

    False if it was finished or cancelled before. Raises CannotOpen if the pilot has
    shown one of them.
    """
    with transaction.atomic():
        hold_unfrozen(upload.study)
        held = _held(upload)
        if held is None:
            return False
        _remove(held)
        held.delete()
    return True


def purge(now: dt.datetime | None = None) -> int:
    """Give up what nobody has gone on with for a day; returns how many uploads."""
    before = (now or timezone.now()) - KEPT_FOR
    forgotten = Upload.objects.filter(finished_at=None, touched_at__lt=before)
    given_up = 0
    for upload in forgotten.select_related("study"):
        with suppress(CannotOpen):  # the study's page says what is to be done
            _give_up(
                upload,
                "It was not finished within a day, so its archive and its pictures "
                "were removed; upload it again.",
            )
            given_up += 1
    for path in _copies().glob("*"):
        with suppress(FileNotFoundError):  # forgotten meanwhile
            if path.stat().st_mtime < before.timestamp():
                path.unlink()
    return given_up


def _held(upload: Upload) -> Upload | None:
    """The upload as it stands now, held until the transaction ends; None if it is
    finished or gone. The study is held before."""
    held = Upload.objects.select_for_update(of=("self",))
    return held.filter(pk=upload.pk, finished_at=None).first()


def _take_some(
    upload: Upload,
    archive: zipfile.ZipFile,
    members: Mapping[str, zipfile.ZipInfo],
    batch: Sequence[UploadedPicture],
    end: float | None,
) -> int:
    """Take a few pictures in and write their rows; how many are done with."""
    made: dict[int, Stimulus] = {}
    refused: dict[int, tuple[str, str]] = {}
    with discarding_files(made):
        for picture in batch:
            try:
                info = members[picture.path]
                made[picture.pk] = _stimulus(upload.study, archive, info, picture)
            except DecoderBusy:
                break  # its turn comes
            except ValueError as error:
                refused[picture.pk] = picture.path, str(error)
            if is_over(end):
                break
        _keep(upload, made, refused)
    return len(made) + len(refused)


def _keep(
    upload: Upload,
    made: Mapping[int, Stimulus],
    refused: Mapping[int, tuple[str, str]],
) -> None:
    """Write the rows, but of those that somebody else has dealt with since.

    The files were written before: the database is held for a moment only, for others
    write ratings meanwhile. Raises CannotOpen if the study was opened meanwhile.
    """
    state = UploadedPicture.State
    with transaction.atomic():
        hold_unfrozen(upload.study)
        held = _held(upload)
        waiting: set[int] = set()
        if held is not None:
            both = [*made, *refused]
            found = held.waiting().filter(pk__in=both)
            waiting = set(found.values_list("pk", flat=True))
        kept = {pk: it for pk, it in made.items() if pk in waiting}
        Stimulus.objects.bulk_create(kept.values(), batch_size=500)
        UploadedPicture.objects.bulk_update(
            [
                UploadedPicture(pk=pk, stimulus=it, state=state.TAKEN)
                for pk, it in kept.items()
            ],
            ["stimulus", "state"],
            batch_size=500,
        )
        if held is not None:
            new = {pk: it for pk, it in refused.items() if pk in waiting}
            held.waiting().filter(pk__in=new).update(state=state.REFUSED)
            for what, why in new.values():
                held.refuse(what, why)
            held.touched_at = timezone.now()
            held.save(update_fields=["refused", "refused_count", "touched_at"])
        lost = [it.picture.name for pk, it in made.items() if pk not in waiting]
        transaction.on_commit(partial(delete_unused, lost))


def _finish(upload: Upload) -> None:
    """Say which picture refers to which, count, and let the archive go."""
    with transaction.atomic():
        hold_unfrozen(upload.study)
        held = _held(upload)
        if held is not None and not held.waiting().exists():
            _refer(held)
            taken = held.pictures.filter(state=UploadedPicture.State.TAKEN)
            held.taken = taken.count()
            held.pictures.all().delete()
            _close(held)
    _refresh(upload)


def _refer(held: Upload) -> None:
    taken = held.pictures.filter(stimulus__isnull=False).select_related("stimulus")
    there = {picture.path: picture.stimulus for picture in taken}
    wanting = [it for it in taken if it.reference]
    referring: list[Stimulus] = []
    for picture in wanting:
        stimulus, reference = there[picture.path], there.get(picture.reference)
        if stimulus is None or reference is None:
            named = picture.row["reference"]
            held.refuse(picture.path, f"its reference {named} is not there")
            continue
        stimulus.reference = reference
        referring.append(stimulus)
    keys = [it.reference_id for it in referring if it.reference_id is not None]
    Stimulus.objects.filter(pk__in=keys).update(is_reference=True)
    Stimulus.objects.bulk_update(referring, ["reference"], batch_size=500)


def _give_up(upload: Upload, why: str) -> None:
    """Remove everything an upload has brought, and keep the reason."""
    with transaction.atomic():
        hold_unfrozen(upload.study)
        held = _held(upload)
        if held is not None:
            _remove(held)
            held.pictures.all().delete()
            held.error = why
            _close(held)
    _refresh(upload)


def _remove(held: Upload) -> None:
    """Delete an upload's pictures, and after the transaction its files."""
    brought = Stimulus.objects.filter(uploaded__upload=held)
    if Trial.objects.filter(stimulus__in=brought).exists() or (
        Trial.objects.filter(second__in=brought).exists()
    ):
        raise CannotOpen(
            f"The pilot of “{held.study}” has shown pictures of this archive: throw "
            "the pilot away first."
        )
    names = list(brought.values_list("picture", flat=True))
    brought.delete()
    transaction.on_commit(partial(delete_unused, names))
    transaction.on_commit(partial(forget_archive, held.archive.name or ""))


def _close(held: Upload) -> None:
    transaction.on_commit(partial(forget_archive, held.archive.name or ""))
    held.archive = ""
    held.finished_at = timezone.now()
    held.save()


def _refresh(upload: Upload) -> None:
    """Read what came of an upload; nothing if it was cancelled meanwhile."""
    if Upload.objects.filter(pk=upload.pk).exists():
        upload.refresh_from_db()


# The archive ------------------------------------------------------------------


def _keep_private(upload: Upload) -> None:
    """Only the lab's own user may read an archive on a disk; a bucket is private."""
    try:
        path = Path(upload.archive.path)
    except NotImplementedError:
        return
    path.parent.chmod(0o700)
    path.chmod(0o600)


def _copies() -> Path:
    """The folder for archives that lie in a bucket, while this host reads them."""
    return Path(settings.VAR) / "archives"


def forget_archive(name: str) -> None:
    """Delete an archive, and this host's copy of it."""
    if name:
        Upload.archive.field.storage.delete(name)
        (_copies() / Path(name).name).unlink(missing_ok=True)


def _near(upload: Upload) -> Path:
    """The archive on this host. Raises FileNotFoundError."""
    try:
        return Path(upload.archive.path)
    except NotImplementedError:
        pass
    name = str(upload.archive.name)
    near = _copies() / Path(name).name
    if not near.exists():
        near.parent.mkdir(mode=0o700, exist_ok=True)
        part = near.with_name(f"{near.name}.{secrets.token_hex(4)}")
        with (
            upload.archive.storage.open(name) as there,
            os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as here,
        ):
            shutil.copyfileobj(there, here)
        part.rename(near)
    return near


@contextmanager
def _archive(upload: Upload) -> Iterator[zipfile.ZipFile]:
    """An archive that was kept. Raises UploadRefused if it is not there any more."""
    try:
        file = _near(upload).open("rb")
    except (FileNotFoundError, ValueError) as error:
        raise UploadRefused(
            "The archive is not there any more; upload it again."
        ) from error
    with file, _opened(file) as opened:
        yield opened


def _opened(archive: IO[bytes]) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except UNREADABLE as error:
        raise UploadRefused(f"The archive cannot be read: {error}.") from error


def _listed(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    return [
        info
        for info in archive.infolist()
        if not info.is_dir() and not _is_clutter(info.filename)
    ]


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Members by path, of several the first."""
    return {_slashed(info.filename): info for info in reversed(_listed(archive))}


# What the archive and the table say -------------------------------------------


def _rows(table: bytes, upload: Upload) -> dict[str, dict[str, str]]:
    try:
        read = csv_files.read_table(table)
    except csv_files.BrokenFile as error:
        raise UploadRefused(f"The CSV cannot be read: {error}") from error
    if not read.rows or "file" not in read.header:
        raise UploadRefused("The CSV needs a header with the column file, and rows.")
    if wrong := refusals([name for name in read.header if name not in ROLES]):
        raise UploadRefused(" ".join(wrong))
    rows: dict[str, dict[str, str]] = {}
    for line, cells in read.rows:
        row = dict(zip(read.header, cells, strict=False))
        name = _slashed(row.get("file", ""))
        if len(cells) != len(read.header):
            upload.refuse(f"line {line}", "has not as many cells as columns")
        elif not name:
            upload.refuse(f"line {line}", "names no file")
        elif name in rows:
            upload.refuse(f"line {line}", f"names {name} a second time")
        else:
            rows[name] = row
    return rows


def _planned(
    archive: zipfile.ZipFile, rows: dict[str, dict[str, str]] | None, upload: Upload
) -> list[UploadedPicture]:
    """The unsaved rows of an archive's pictures; what cannot be is refused."""
    members = _listed(archive)
    if len(members) > MOST_PICTURES:
        raise UploadRefused(
            f"The archive has {len(members)} files; at most {MOST_PICTURES} fit."
        )
    if sum(info.file_size for info in members) > MOST_TOTAL:
        raise UploadRefused("Unpacked, the archive has more than 2 GB.")
    paths = _Paths(_slashed(info.filename) for info in members)
    row_of = None if rows is None else _by_path(rows, paths, upload)
    planned: dict[str, UploadedPicture] = {}
    for info in members:
        path = _slashed(info.filename)
        if path in planned:
            upload.refuse(path, "is in the archive a second time")
        elif row_of is not None and path not in row_of:
            upload.refuse(path, "has no row in the CSV")
        elif len(path) > LONGEST_PATH:
            upload.refuse(path, f"has a path of more than {LONGEST_PATH} characters")
        else:
            row = row_of[path] if row_of is not None else {}
            planned[path] = UploadedPicture(
                upload=upload,
                path=path,
                label=paths.label(path),
                row=row,
                reference=_reference(path, row, paths, upload),
            )
    return list(planned.values())


def _by_path(
    rows: dict[str, dict[str, str]], paths: _Paths, upload: Upload
) -> dict[str, dict[str, str]]:
    """The rows by the path of the file they are about."""
    found: dict[str, dict[str, str]] = {}
    for name, row in rows.items():
        match paths.like(name):
            case []:
                upload.refuse(name, "is in the CSV and not in the archive")
            case [path] if path in found:
                upload.refuse(name, f"is a second row for {path}")
            case [path]:
                found[path] = row
            case several:
                upload.refuse(name, _ambiguous(several))
    return found


def _reference(path: str, row: dict[str, str], paths: _Paths, upload: Upload) -> str:
    """The path that a picture's row means by its reference, "" for none."""
    if not (named := row.get("reference")):
        return ""
    match paths.like(named):
        case [one] if len(one) <= LONGEST_PATH:
            return one
        case [_]:
            why = f"has a path of more than {LONGEST_PATH} characters"
            upload.refuse(path, f"its reference {why}")
        case []:
            upload.refuse(path, f"its reference {named} is not there")
        case several:
            upload.refuse(path, f"its reference {named} {_ambiguous(several)}")
    return ""


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
    """Tell what systems put into archives beside the pictures."""
    base = _base(_slashed(name))
    return name.startswith("__MACOSX/") or base in {".DS_Store", "Thumbs.db"}


def _stimulus(
    study: Study,
    archive: zipfile.ZipFile,
    info: zipfile.ZipInfo,
    picture: UploadedPicture,
) -> Stimulus:
    """An unsaved stimulus whose file is written, of one picture and its row.

    Raises ValueError with what is wrong with it, UploadRefused if the archive is
    damaged there, or DecoderBusy.
    """
    row = picture.row
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
    decoded = decode(data)
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
        parameters={"file": picture.label, **factors},
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
