"""The web process in its real server, measured after it has served whole sessions."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from nstlab.supervisor import answers_http, gunicorn
from survey.client import OverSockets, take_part
from tests.elsewhere import database_url
from tests.generation.test_worker import children

pytestmark = pytest.mark.django_db(transaction=True)

MOST_RESIDENT_MB = 120


def resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


@pytest.fixture
def server(study: Any) -> Any:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        gunicorn("127.0.0.1", port),
        cwd=settings.BASE_DIR,
        env={**os.environ, "DATABASE_URL": database_url()},
        stderr=subprocess.DEVNULL,
    )
    base = f"http://127.0.0.1:{port}"
    assert answers_http(f"{base}/health/live")
    yield process, base
    process.terminate()
    process.wait()


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="needs Linux's /proc"
)
def test_it_stays_under_120_mb_and_serves_whole_sessions(
    server: Any, study: Any
) -> None:
    process, base = server
    for rating in (1, 2, 3, 4, 5):
        given = take_part(
            OverSockets(),
            base + study.get_absolute_url(),
            choose=lambda code, rating=rating: rating,  # type: ignore[misc]
        )
        assert given == 3
    with urllib.request.urlopen(f"{base}/admin/") as page:
        assert page.status == 200
    (worker,) = children(process.pid)
    print(f"web process: {resident_mb(worker):.0f} MB resident")
    assert resident_mb(worker) < MOST_RESIDENT_MB
