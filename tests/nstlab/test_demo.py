"""The demo as a process of its own: it ends, it goes on, it leaves nothing running."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from django.conf import settings

pytestmark = [pytest.mark.worker, pytest.mark.broker]

QUICK = ["--size", "32", "--evaluations", "2"]


def environment(var: Path) -> dict[str, str]:
    """A machine without the trained network and without a way to it."""
    return {
        **os.environ,
        "NSTLAB_VAR": str(var),
        "PYTHONUNBUFFERED": "1",
        "TORCH_HOME": str(var / "torch"),
        "https_proxy": "http://127.0.0.1:9",
        "PIP_NO_INDEX": "1",
    }


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(settings.BASE_DIR / "manage.py"), "demo", *arguments]


def run_to_the_end(var: Path) -> str:
    done = subprocess.run(
        command("--no-serve", *QUICK),
        cwd=settings.BASE_DIR,
        env=environment(var),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def left_running(var: Path) -> list[str]:
    """Processes that belong to the lab in `var`, by their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"NSTLAB_VAR={var}".encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().decode())
    return found


def test_without_serving_it_ends_with_a_table_and_a_second_run_changes_nothing(
    tmp_path: Path,
) -> None:
    output = run_to_the_end(tmp_path)
    path = Path(output.strip().splitlines()[-1])
    assert path.name == "ratings_long.csv"
    assert "random features: not the paper's network" in output
    assert "true" in output.lower() or "truth" in output

    frame = pd.read_csv(path)
    assert len(frame) == 12 * 4
    assert not frame.duplicated(["participant", "stimulus", "question"]).any()
    assert frame["participant"].nunique() == 12
    assert frame["simulated"].all()
    assert set(frame["weights"]) == {"random:1"}
    kinds: dict[str, Any] = {
        "rating": "iu", "trial": "iu", "size": "iu", "alpha": "f",
        "beta": "f", "tv_weight": "f",
        "simulated": "b", "pilot": "b", "excluded": "b", "is_reference": "b",
    }  # fmt: skip
    for column, kind in kinds.items():
        assert frame[column].dtype.kind in kind, column
    assert pd.to_datetime(frame["rated_at"]).dt.tz is not None
    assert frame["rating"].between(1, 5).all()

    before = hashlib.sha256(path.read_bytes()).hexdigest()
    pictures = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.png")}
    run_to_the_end(tmp_path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.png")} == (
        pictures
    )
    assert left_running(tmp_path) == []


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Any]:
    started: list[subprocess.Popen[str]] = []

    def start() -> tuple[subprocess.Popen[str], str]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        demo = subprocess.Popen(
            command("--port", str(port), *QUICK),
            cwd=settings.BASE_DIR,
            env=environment(tmp_path),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(demo)
        assert demo.stdout is not None
        lines = []
        for line in demo.stdout:
            lines.append(line)
            if found := re.match(r"Ready: (http\S+)$", line):
                return demo, found[1]
        raise AssertionError("".join(lines))

    yield start
    for demo in started:
        if demo.poll() is None:
            demo.kill()
        demo.wait()
        if demo.stdout is not None:
            demo.stdout.close()


def test_killed_it_starts_again_and_ctrl_c_ends_everything(
    serve: Any, tmp_path: Path
) -> None:
    demo, address = serve()
    with urllib.request.urlopen(address) as page:
        assert b"four painted pictures" in page.read()
    demo.kill()
    demo.wait()

    demo, address = serve()
    with urllib.request.urlopen(address) as page:
        assert page.status == 200
    os.killpg(demo.pid, signal.SIGINT)
    assert demo.wait(30) == 0
    assert left_running(tmp_path) == []


def test_a_taken_port_is_said_in_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            command("--port", str(port)),
            cwd=settings.BASE_DIR,
            env=environment(tmp_path),
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode != 0
    assert f"Port {port} is taken" in done.stderr
    assert "Traceback" not in done.stderr
