"""Which NSTLab this is: its version, and the commit it was made from.

Only the standard library, for pure code names both in what it makes.
"""

from __future__ import annotations

import os
import re
import subprocess
from functools import cache
from pathlib import Path

VERSION = "0.1.0.dev0"
UNKNOWN = "unknown"
HASH = re.compile(r"[0-9a-f]{7,64}(-dirty)?")
ROOT = Path(__file__).resolve().parents[2]
ARCHIVED = Path(__file__).with_name("COMMIT")


class BadCommit(ValueError):
    """NSTLAB_COMMIT is no commit; the sentence says what it must be."""


@cache
def commit() -> str:
    """The commit's hash, with `-dirty` where tracked files differ from it.

    From NSTLAB_COMMIT, which a build without a checkout sets; else from the file that
    `git archive` writes it into; else from git, where this is a checkout. "unknown"
    where none of them says. Asked once a process. Raises BadCommit.
    """
    return _named() or _archived(ARCHIVED) or _checked_out(ROOT) or UNKNOWN


def software() -> dict[str, str]:
    """Version and commit as they stand among the versions of whatever was made."""
    return {"nstlab": VERSION, "commit": commit()}


def _named() -> str:
    text = os.environ.get("NSTLAB_COMMIT", "").strip()
    if text and not HASH.fullmatch(text):
        raise BadCommit(
            "NSTLAB_COMMIT must be a commit's hash, 7 to 64 of 0-9 and a-f, "
            f"with -dirty or without, not {text!r}."
        )
    return text


def _archived(file: Path) -> str:
    """What stands in the file; in a checkout that is no hash yet."""
    try:
        text = file.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
    return text if HASH.fullmatch(text) else ""


def _checked_out(root: Path) -> str:
    """HEAD of the checkout at `root`; of a checkout around it, nothing."""
    where = (_git(root, "rev-parse", "--show-toplevel", "HEAD") or "").splitlines()
    if len(where) != 2 or Path(where[0]).resolve() != root.resolve():
        return ""
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    if changed is None:
        return ""
    return f"{where[1]}-dirty" if changed else where[1]


def _git(root: Path, *arguments: str) -> str | None:
    """What git says; None where it cannot."""
    # A hook or an outer command may have pointed git at another repository. And a lab
    # need not own the code that it runs.
    asked = ["git", "--no-optional-locks", "-c", f"safe.directory={root}"]
    ours = {name: it for name, it in os.environ.items() if not name.startswith("GIT_")}
    try:
        return subprocess.run(  # noqa: S603 - our own words
            [*asked, "-C", str(root), *arguments],
            env=ours,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
