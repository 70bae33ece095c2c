"""Who may read a lab's files: their owner, pictures also one group, others never."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile

from generation.engine.checkpoint import write_checkpoint
from nstlab.backup import backup
from nstlab.core import file_modes
from nstlab.core.storage import DurableStorage
from tests.elsewhere import Elsewhere, elsewhere

__all__ = ["elsewhere"]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def open_to(whom: int, folder: Path) -> list[str]:
    return [str(path) for path in (folder, *folder.rglob("*"))
            if not path.is_symlink() and mode(path) & whom]  # fmt: skip


@pytest.fixture
def careless() -> Iterator[None]:
    """As in a shell that makes everything for everybody."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.once
def test_a_new_lab_is_its_owners(careless: None, tmp_path: Path) -> None:
    var = tmp_path / "var"
    url = f"sqlite:///{var / 'nstlab.sqlite3'}"
    new = Elsewhere(var, url)
    assert "could be read" not in new.run("migrate", "contenttypes", "zero").stderr
    new.run("shell", "-c", "from django.db import connection as c; c.cursor()")
    for name in ("nstlab.sqlite3", "secret_key"):
        assert mode(var / name) == 0o600, name
    assert open_to(0o007, var) == []


@pytest.mark.once
def test_a_lab_of_before_is_shut_at_its_next_start(
    careless: None, tmp_path: Path
) -> None:
    var = tmp_path / "var"
    for folder in ("checkpoints", "media/picture", "log", "broker", "demo"):
        (var / folder).mkdir(parents=True)
    files = ["secret_key", "checkpoints/1-a.pt", "media/picture/a.png", "log/web.log"]
    for name in files:
        (var / name).write_text("abcdefghijklmnopqrstuvwxyz0123456789")
    sqlite3.connect(var / "nstlab.sqlite3").execute("PRAGMA journal_mode=WAL")
    assert len(open_to(0o004, var)) == 12
    old = Elsewhere(var, f"sqlite:///{var / 'nstlab.sqlite3'}")
    said = old.run("check").stderr
    assert open_to(0o007, var) == []
    assert mode(var / "media/picture/a.png") == 0o660  # its group may go on
    for name in ("nstlab.sqlite3", "secret_key", "checkpoints", "checkpoints/1-a.pt"):
        assert not mode(var / name) & 0o077, name
        if "/" not in name:
            assert f"{var / name} could be read by others" in said
    assert f"{var / 'media'} could be read by others" in said
    assert old.run("check").stderr == "", "once is enough"


@pytest.mark.once
def test_a_folder_that_is_everybodys_on_purpose_is_left_alone(
    careless: None, tmp_path: Path
) -> None:
    shared = tmp_path / "tmp"
    shared.mkdir()
    shared.chmod(0o1777)
    (shared / "anothers").touch(0o666)
    file_modes.tighten(var=shared, owners=[shared], pictures=shared)
    assert mode(shared) == 0o1777
    assert mode(shared / "anothers") == 0o666


@pytest.mark.once
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o027])
def test_a_picture_is_for_one_group(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        store = DurableStorage(location=tmp_path / "media")
        name = store.save("deeper/still/a.png", ContentFile(b"x"))
    finally:
        os.umask(before)
    assert mode(tmp_path / "media" / name) == 0o640
    for folder in ("media", "media/deeper", "media/deeper/still"):
        assert mode(tmp_path / folder) == 0o2750, folder


@pytest.mark.once
@pytest.mark.skipif(os.getuid() != 0, reason="only root starts processes of others")
def test_a_new_folder_of_pictures_keeps_the_group_of_the_one_above() -> None:
    """Also where its owner is not in that group, as docs/how-to/deploy.md has it."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o711)
        above = Path(place, "srv")
        above.mkdir()
        os.chown(above, 65534, 33)
        above.chmod(0o2750)
        top = above / "media"
        if (child := os.fork()) == 0:
            with contextlib.suppress(BaseException):
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
                file_modes.make_folder_of_pictures(top / "render", top)
            os._exit(0)
        os.waitpid(child, 0)
        for folder in (top, top / "render"):
            assert (folder.stat().st_gid, mode(folder)) == (33, 0o2750), folder


@pytest.mark.once
def test_a_checkpoint_is_its_owners(careless: None, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.pt", "it", {}, {})
    assert mode(tmp_path / "a.pt") == 0o600


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_there", [False, True])
def test_a_backup_is_its_owners(
    careless: None, study: Any, tmp_path: Path, is_there: bool
) -> None:
    folder = tmp_path / "backup"
    if is_there:
        folder.mkdir()
    backup(folder)
    assert len(list(folder.rglob("*"))) > 5
    assert open_to(0o077, folder) == []
    assert os.umask(0) == 0  # as it was


@pytest.mark.once
@pytest.mark.skipif(os.getuid() != 0, reason="only root starts processes of others")
def test_who_is_not_in_the_group_does_not_take_it_from_the_pictures(
    careless: None,
) -> None:
    """The kernel drops setgid where such an owner changes a folder's mode."""
    with tempfile.TemporaryDirectory() as place:
        top = Path(place)
        top.chmod(0o711)
        pictures = top / "pictures"
        pictures.mkdir()
        (pictures / "a.png").touch(0o666)
        for path in (pictures, pictures / "a.png"):
            os.chown(path, 65534, 33)
        pictures.chmod(0o2755)
        if (child := os.fork()) == 0:
            with contextlib.suppress(BaseException):
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
                file_modes.tighten(var=top, owners=[], pictures=pictures)
            os._exit(0)
        os.waitpid(child, 0)
        assert mode(pictures) == 0o2755
        assert mode(pictures / "a.png") == 0o660
