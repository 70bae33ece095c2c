"""A view of the file system that only one command has: a unit's, a full disk."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache

import pytest


def with_mounts(script: str) -> list[str]:
    """The command that runs a shell script which may mount; nobody else sees it.

    Skips where the kernel or a container does not let this user do so.
    """
    if not _permitted():
        pytest.skip("this user may not make mount namespaces (unshare --mount)")
    return [*_unshare(), "sh", "-ec", script]


def _unshare() -> list[str]:
    own_user = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *own_user, "--mount", "--propagation", "private"]


@cache
def _permitted() -> bool:
    if shutil.which("unshare") is None:
        return False
    trial = [*_unshare(), "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(trial, capture_output=True).returncode == 0
