"""Which NSTLab made a thing, asked in processes and repositories of the test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from django.conf import settings

from nstlab.core import version

pytestmark = pytest.mark.once

ROOT: Path = settings.BASE_DIR
ATTRIBUTES = ".gitattributes"
ASKING = "from nstlab.core.version import commit; print(commit())"


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    return subprocess.run(
        ["git", "-C", str(folder), *who, *arguments],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip


def place(folder: Path) -> Path:
    """A folder with nothing of NSTLab but what says its version."""
    (folder / "nstlab/core").mkdir(parents=True)
    rooms = [f"nstlab/{name}" for name in ("__init__.py", "core/__init__.py")]
    for name in (*rooms, "nstlab/core/version.py", "nstlab/core/COMMIT", ATTRIBUTES):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = place(tmp_path / "lab")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "One")
    return folder


def said(folder: Path, **variables: str) -> str:
    """The commit as a process of its own finds it there."""
    quiet = {"NSTLAB_COMMIT": "", "PYTHONDONTWRITEBYTECODE": "1"}
    environment = {**os.environ, **quiet, **variables}
    return subprocess.run(
        [sys.executable, "-c", ASKING],
        cwd=folder, env=environment, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip


def test_a_checkout_says_its_commit_and_whether_it_was_changed(checkout: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    assert said(checkout) == head
    (checkout / "notes.txt").write_text("Nobody's but mine.")
    assert said(checkout) == head
    with (checkout / "nstlab/core/version.py").open("a") as file:
        file.write("# tried something\n")
    assert said(checkout) == f"{head}-dirty"


def test_another_repository_is_not_asked(checkout: Path, tmp_path: Path) -> None:
    """Neither the one around a copy nor the one that a hook works in."""
    inside = place(checkout / "vendor")
    assert said(inside) == "unknown"
    outside = place(tmp_path / "copy")
    assert said(outside, GIT_DIR=str(checkout / ".git")) == "unknown"


def test_an_archive_of_a_commit_says_which(checkout: Path, tmp_path: Path) -> None:
    target = tmp_path / "unpacked"
    target.mkdir()
    git(checkout, "archive", "--output", str(tmp_path / "lab.tar"), "HEAD")
    shutil.unpack_archive(tmp_path / "lab.tar", target, filter="data")
    assert said(target) == git(checkout, "rev-parse", "HEAD")


def test_a_build_names_its_commit_and_nothing_else(checkout: Path) -> None:
    assert said(checkout, NSTLAB_COMMIT="0123abc") == "0123abc"
    with pytest.raises(subprocess.CalledProcessError) as broken:
        said(checkout, NSTLAB_COMMIT="v1.2")
    assert "NSTLAB_COMMIT must be a commit's hash" in broken.value.stderr


def test_nothing_that_says_it_is_said(tmp_path: Path) -> None:
    assert said(place(tmp_path / "lab"), PATH="") == "unknown"


def test_it_is_asked_once_a_process() -> None:
    version.commit()
    asked = version.commit.cache_info().misses
    assert version.software()["commit"] == version.commit()
    assert version.commit.cache_info().misses == asked <= 1


def test_the_version_stands_in_one_place() -> None:
    said = [version.VERSION, version.VERSION.partition(".dev")[0]]
    tracked = git(ROOT, "ls-files", "-z").split("\0")
    elsewhere = {"constraints.txt", "nstlab/core/version.py"}
    for name in filter(None, tracked):
        if name in elsewhere or not (ROOT / name).is_file():
            continue
        content = (ROOT / name).read_bytes()
        assert not any(f"nstlab {it}".encode() in content.lower() for it in said), name
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "version" not in cited
    assert "version" in project["dynamic"]


def test_a_wheel_holds_every_file_that_the_lab_reads(tmp_path: Path) -> None:
    """Built from what git knows, so that nothing untracked helps it."""
    names = [name for name in git(ROOT, "ls-files", "-z").split("\0") if name]
    source = tmp_path / "source"
    for name in names:
        if (ROOT / name).is_file() and not name.startswith(("tests/", "docs/")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    subprocess.run(
        [*build, "--no-build-isolation", "--wheel-dir", str(tmp_path), str(source)],
        check=True,
    )
    (wheel,) = tmp_path.glob("nstlab-*.whl")
    assert wheel.name.startswith(f"nstlab-{version.VERSION}-")
    held = set(zipfile.ZipFile(wheel).namelist())
    apps = ("nstlab/", "generation/", "survey/", "analysis/")
    wanted = {name for name in names if name.startswith(apps) and name[-3:] != ".po"}
    assert wanted - held == set()
