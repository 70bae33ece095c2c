"""A folder that holds a whole lab: its database and every picture that a row names.

The database is copied in one consistent state while the lab goes on, then the pictures
which that state names. Both fit, because a file is there before its row says so and is
never written again. The manifest comes last: a folder without one is no backup.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core.files.base import File
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db import connection, models, transaction
from django.db.backends.postgresql.client import DatabaseClient
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone
from tqdm import tqdm

from generation.pictures.media import stored_files
from nstlab.core.file_modes import for_the_owner_only

FORMAT = 1
MANIFEST = "manifest.json"
MEDIA = "media/"
DATABASE_FILES = {"sqlite": "database.sqlite3", "postgresql": "database.pgdump"}


class BackupRefused(Exception):
    """The backup cannot be made or restored; the text says why and what to do."""


@dataclass(frozen=True)
class Backup:
    """What a backup holds: bytes of the database, pictures and their bytes, and the
    names of files that rows name but the store has lost."""

    database_bytes: int
    pictures: int
    picture_bytes: int
    lost: list[str]

    def __str__(self) -> str:
        return (
            f"database {self.database_bytes / 1e6:,.1f} MB, {self.pictures:,} pictures "
            f"of {self.picture_bytes / 1e6:,.1f} MB"
        )


# Making one -------------------------------------------------------------------


@for_the_owner_only()
def backup(folder: Path) -> Backup:
    """Write the lab into `folder`, which is new or empty. The lab may go on working.

    Raises BackupRefused.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BackupRefused(f"{folder} is not empty; name a new folder.")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)  # it may have been there, empty and open
    database = folder / DATABASE_FILES[connection.vendor]
    names = _dump(database)
    files = {database.name: _fingerprint(database.open("rb"))}
    missing = []
    with _bar(len(names), "pictures", "file") as bar:
        for name in names:
            try:
                files[MEDIA + name] = _fetch(name, folder / MEDIA / name)
            except FileNotFoundError:
                missing.append(name)
            bar.update()
    # The preview of a render that is being painted may go while this copies others.
    lost = set(missing).intersection(_named_files(_rows)) if missing else set()
    manifest = {
        "format": FORMAT,
        "made_at": timezone.now().astimezone(dt.UTC).isoformat(timespec="seconds"),
        "database": connection.vendor,
        "migrations": sorted(
            f"{app}.{name}"
            for app, name in MigrationRecorder(connection).applied_migrations()
        ),
        "files": files,
        "missing": missing,
        "lost": sorted(lost),
    }
    os.sync()  # the manifest must not outlive a power cut that the pictures do not
    draft = folder / f"{MANIFEST}.part"
    draft.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    draft.rename(folder / MANIFEST)
    os.sync()
    return _described(manifest)


def _dump(path: Path) -> list[str]:
    """Copy the database to `path`; the files that its rows name in that state."""
    if connection.vendor == "sqlite":
        connection.ensure_connection()
        copy = sqlite3.connect(path)
        try:
            connection.connection.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
            (verdict,) = copy.execute("PRAGMA integrity_check").fetchone()
            if verdict != "ok":
                raise BackupRefused(f"The database is damaged: {verdict}")
            return _named_files(lambda query: copy.execute(query).fetchall())
        finally:
            copy.close()
    with transaction.atomic():
        # pg_dump joins this transaction's view of the data.
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        ((snapshot,),) = _rows("SELECT pg_export_snapshot()")
        _postgresql("pg_dump", "--format=custom", "--no-owner", "--no-acl",
                    f"--snapshot={snapshot}", f"--file={path}", "--dbname")  # fmt: skip
        return _named_files(_rows)


def _rows(query: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def _named_files(rows: Callable[[str], Iterable[Any]]) -> list[str]:
    names: set[str] = set()
    quote = connection.ops.quote_name
    for model in apps.get_models():
        for field in model._meta.fields:
            if isinstance(field, models.FileField):
                column, table = quote(str(field.column)), quote(model._meta.db_table)
                query = f"SELECT DISTINCT {column} FROM {table}"  # noqa: S608
                names |= {name for (name,) in rows(query) if name}
    return sorted(names)


def _fetch(name: str, path: Path) -> dict[str, Any]:
    with default_storage.open(name) as source:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as target:
            shutil.copyfileobj(source, target)
    return _fingerprint(path.open("rb"))


# Restoring one ----------------------------------------------------------------


def restore(folder: Path) -> Backup:
    """Make this empty lab the one that `folder` holds.

    Every file is checked before anything is written, the pictures come before the
    database, and a restore that broke off can be run again. Raises BackupRefused.
    """
    manifest = _read_manifest(folder)
    files: dict[str, dict[str, Any]] = manifest["files"]
    pictures = [name for name in files if name.startswith(MEDIA)]
    _refuse_other_database(manifest)
    _refuse_lab_in_use({name.removeprefix(MEDIA) for name in pictures})
    with _bar(len(files), "checking", "file") as bar:
        for name, expected in files.items():
            _check(folder / name, expected)
            bar.update()
    with _bar(len(pictures), "pictures", "file") as bar:
        for name in pictures:
            _put(folder / name, name.removeprefix(MEDIA))
            bar.update()
    _load(folder / DATABASE_FILES[connection.vendor])
    connection.close()
    call_command("migrate", verbosity=0)
    return _described(manifest)


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text("utf-8"))
    except FileNotFoundError:
        raise BackupRefused(
            f"{folder} has no {MANIFEST}: it is no backup, or one that broke off."
        ) from None
    if manifest.get("format") != FORMAT:
        raise BackupRefused(f"{folder} is of another format: {manifest.get('format')}.")
    return manifest


def _refuse_other_database(manifest: dict[str, Any]) -> None:
    if manifest["database"] != connection.vendor:
        raise BackupRefused(
            f"The backup is of {manifest['database']}, this lab's database is "
            f"{connection.vendor}; set DATABASE_URL."
        )
    known = {f"{app}.{name}" for app, name in MigrationLoader(None).disk_migrations}
    if unknown := [name for name in manifest["migrations"] if name not in known]:
        raise BackupRefused(
            f"The backup was made by a newer lab (migration {unknown[0]}); install "
            "that version first."
        )


def _refuse_lab_in_use(restored: set[str]) -> None:
    if connection.introspection.table_names():
        raise BackupRefused(
            f"The database {connection.settings_dict['NAME']} is not empty. A backup "
            "is restored into a new one only: name it in DATABASE_URL or NSTLAB_VAR."
        )
    for name in stored_files(default_storage):
        if name not in restored:
            raise BackupRefused(
                f"The store of pictures is not empty ({name}). A backup is restored "
                "into a new one only: NSTLAB_MEDIA or NSTLAB_S3_BUCKET names it."
            )


def _check(path: Path, expected: dict[str, Any]) -> None:
    try:
        found = _fingerprint(path.open("rb"))
    except FileNotFoundError:
        raise BackupRefused(f"The backup is incomplete: {path} is missing.") from None
    if found != expected:
        raise BackupRefused(f"The backup is damaged: {path} is not what was saved.")


def _put(path: Path, name: str) -> None:
    if default_storage.exists(name):  # from a restore that broke off
        default_storage.delete(name)
    with path.open("rb") as file:
        saved = default_storage.save(name, File(file))
    if saved != name:
        raise BackupRefused(f"The store of pictures does not take the name {name}.")


def _load(path: Path) -> None:
    if connection.vendor == "sqlite":
        connection.ensure_connection()
        source = sqlite3.connect(path)
        try:
            source.backup(connection.connection)
        finally:
            source.close()
    else:
        _postgresql("pg_restore", "--no-owner", "--no-acl", "--single-transaction",
                    "--exit-on-error", str(path), "--dbname")  # fmt: skip


# Both -------------------------------------------------------------------------


def _described(manifest: dict[str, Any]) -> Backup:
    sizes = {name: each["bytes"] for name, each in manifest["files"].items()}
    database = sizes.pop(DATABASE_FILES[manifest["database"]])
    return Backup(database, len(sizes), sum(sizes.values()), manifest["lost"])


def _fingerprint(file: BufferedReader) -> dict[str, Any]:
    """Bytes and sha256 of an open file, which is closed."""
    with file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"bytes": file.tell(), "sha256": digest}


def _postgresql(program: str, *arguments: str) -> None:
    """Run a client program on the lab's database; its name follows `arguments`."""
    if shutil.which(program) is None:
        raise BackupRefused(
            f"{program} is missing: install PostgreSQL's client programs, of the "
            "server's version or newer (Debian: postgresql-client)."
        )
    command, environment = DatabaseClient.settings_to_cmd_args_env(
        connection.settings_dict, list(arguments)
    )
    done = subprocess.run(  # noqa: S603 - our own commands
        [program, *command[1:]],
        env={**os.environ, **(environment or {})},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BackupRefused(f"{program} failed: {done.stderr.strip()}")


def _bar(total: int, what: str, unit: str) -> tqdm[Any]:
    """A bar in a terminal, if it takes longer than a second."""
    return tqdm(total=total, desc=what, unit=unit, delay=1, disable=None)
