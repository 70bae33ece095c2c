"""A small storm: processes and browsers are killed; no answer is lost or doubled."""

from __future__ import annotations

import os
import subprocess
import sys

from django.conf import settings


def test_rows_are_the_answers_that_were_confirmed_whatever_was_killed() -> None:
    # In a process, a folder and, on PostgreSQL, a database of its own: it kills the
    # broker too, which the other tests of this run share.
    command = ["benchmarks/survey_chaos.py", "--participants=12", "--kills=4",
               "--trials-each=5", "--seed=1"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, *command],
        cwd=settings.BASE_DIR,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "web killed: 3" in done.stdout
    assert "broker killed: 1" in done.stdout
    assert "lost 0, never confirmed 0" in done.stdout
