"""Who may read the lab's files: their owner, and pictures the web server's group too.

Others never. What a lab of before made for everybody is shut at the next start.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

OTHERS = 0o007
ALL_BUT_THE_OWNER = 0o077
PICTURE = 0o640
FOLDER_OF_PICTURES = 0o750  # and setgid, which a folder takes from the one above it


def shut_out_others() -> None:
    """Nothing that this process or its children make is for others."""
    os.umask(os.umask(OTHERS) | 0o027)


@contextmanager
def for_the_owner_only() -> Iterator[None]:
    """Whatever is made inside has no group either. For commands: a process has one
    umask for all its threads."""
    before = os.umask(ALL_BUT_THE_OWNER)
    try:
        yield
    finally:
        os.umask(before)


def make_folder_of_pictures(folder: Path, top: Path) -> None:
    """Make `folder` and what is missing above it; `top` is that of all pictures."""
    if folder.is_dir():
        return
    make_folder_of_pictures(folder.parent, top)
    try:
        folder.mkdir(FOLDER_OF_PICTURES)
    except FileExistsError:
        return
    # Made in a folder with that bit it has it already, and chmod would take it away
    # from who is not in the group; macOS refuses it then, and needs no bit.
    if folder == top and _keeps_its_group(stat.S_ISGID, folder.stat().st_gid):
        folder.chmod(stat.S_ISGID | FOLDER_OF_PICTURES)


def owners_database(connection: Any, **_: Any) -> None:
    """A receiver of `connection_created`: SQLite makes its files as the umask says."""
    if connection.vendor == "sqlite":
        for path in sqlite_files(connection.settings_dict["NAME"]):
            _shut(path, ALL_BUT_THE_OWNER)


def sqlite_files(name: str | Path) -> list[Path]:
    """A database's file and those beside it, as far as they are there."""
    every = (Path(f"{name}{end}") for end in ("", "-wal", "-shm", "-journal"))
    return [path for path in every if path.is_file()]


def tighten(*, var: Path, owners: Iterable[Path], pictures: Path | None) -> None:
    """Shut what others may read: `owners`, files and folders, for the owner alone;
    `var` and the `pictures` for all but the group. Says so in the log."""
    opened = [path for path in owners if _shut_with_all(path, ALL_BUT_THE_OWNER)]
    if pictures is not None and _shut_with_all(pictures, OTHERS):
        opened.append(pictures)
    if _shut(var, OTHERS):
        opened.append(var)
    for path in opened:
        log.warning("%s could be read by others on this machine; it is shut now.", path)


def _shut_with_all(path: Path, whom: int) -> bool:
    """What is below an open folder is shut first: once it is shut, nobody looks."""
    path = path.resolve()
    if path.is_dir() and _mode(path) & whom and not _mode(path) & stat.S_ISVTX:
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                _shut(Path(folder, name), whom)
    return _shut(path, whom)


def _shut(path: Path, whom: int) -> bool:
    """Take the bits of `whom` away; whether there were any and they are gone."""
    if path.is_symlink():
        return False
    try:
        found = path.stat()
        mode = stat.S_IMODE(found.st_mode)
        # A folder with the sticky bit, as /tmp, is everybody's on purpose.
        if not mode & whom or mode & stat.S_ISVTX:
            return False
        if stat.S_ISDIR(found.st_mode) and not _keeps_its_group(mode, found.st_gid):
            log.warning("Others may read %s: as root, chmod o-rwx it.", path)
            return False
        path.chmod(mode & ~whom)
    except FileNotFoundError:
        return False
    except OSError as error:
        log.warning("Others may read %s, and it could not be shut: %s", path, error)
        return False
    return True


def _keeps_its_group(mode: int, group: int) -> bool:
    """Whether setgid survives chmod: for who is not in the group the kernel drops it,
    and new pictures would not be the web server's to read."""
    if not mode & stat.S_ISGID or os.geteuid() == 0:
        return True
    return group in {os.getegid(), *os.getgroups()}


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
