"""A grid survives twenty kills of workers, jobs, broker and web server."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from django.conf import settings


@pytest.mark.worker
@pytest.mark.broker
def test_after_twenty_kills_every_render_is_done_once_and_nothing_is_left() -> None:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("NSTLAB_") and name != "DATABASE_URL"
    }
    run = subprocess.run(
        [sys.executable, "benchmarks/chaos.py", "--kills", "20", "--renders", "60"],
        cwd=settings.BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr
    found = json.loads(run.stdout)
    assert found["wrong"] == []
    assert found["kills"] == 20
    assert found["horse killed"] and found["worker killed"] and found["web killed"]
    assert found["done"] == found["renders"] == 60 * found["grids"]
