"""The tests that touch database or broker, on PostgreSQL and Redis of their own.

    python -m tests.servers [pytest's arguments]

starts Debian's PostgreSQL and Redis in a temporary folder, on free ports, runs pytest
with this module as a plugin and ends both. Each of xdist's processes has a database and
a numbered Redis database of its own. Nothing may be skipped here, but for want of the
trained network: a run without the servers would prove nothing.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
USER = "nstlab"
HOW = "apt-get install postgresql redis-server"


# The run ----------------------------------------------------------------------


def main(arguments: list[str]) -> int:
    """Start both servers, run pytest on them and return its exit status."""
    with tempfile.TemporaryDirectory(prefix="nstlab-servers-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL's own user must get to its folder
        with postgresql(folder) as database, redis(folder) as broker:
            return subprocess.run(
                [sys.executable, "-m", "pytest", "-p", "tests.servers", *arguments],
                cwd=ROOT,
                env={
                    **os.environ,
                    "DATABASE_URL": database,
                    "NSTLAB_TEST_BROKER": broker,
                },
                check=False,
            ).returncode


@contextlib.contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """A cluster in `folder`; yields its DATABASE_URL."""
    folders = Path("/usr/lib/postgresql").glob("*/bin")
    programs = max(folders, default=None, key=_version)
    if programs is None:
        sys.exit(f"PostgreSQL is missing: {HOW}")
    # PostgreSQL refuses to run as root; Debian has a user for it.
    user = "postgres" if os.getuid() == 0 else None
    data, password = folder / "postgresql", secrets.token_urlsafe(16)
    data.mkdir(mode=0o700)
    given = folder / "password"
    given.write_text(password)
    if user:
        shutil.chown(data, user)
        shutil.chown(given, user)
    port = free_port()
    initdb = [programs / "initdb", "--pgdata", data, "--username", USER, "--no-sync",
              "--auth=scram-sha-256", "--pwfile", given, "--encoding=UTF8",
              "--locale=C.UTF-8"]  # fmt: skip
    subprocess.run(initdb, user=user, check=True, stdout=subprocess.DEVNULL, cwd="/")
    # A crash loses only what a test made, so nothing waits for the disk.
    settings = {"port": port, "listen_addresses": "127.0.0.1", "fsync": "off",
                "unix_socket_directories": data}  # fmt: skip
    options = [
        word for key, value in settings.items() for word in ("-c", f"{key}={value}")
    ]
    log = (data / "log").open("wb")
    server = subprocess.Popen(
        [programs / "postgres", "-D", data, *options],
        user=user, stderr=log, stdout=log, cwd="/",
    )  # fmt: skip
    try:
        ready = [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
        _until(lambda: subprocess.run(ready, check=False).returncode == 0, data / "log")
        yield f"postgresql://{USER}:{password}@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGINT)  # end the sessions, then stop
        server.wait()
        log.close()


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[str]:
    """A Redis that keeps nothing; yields its URL without a database's number."""
    program = shutil.which("redis-server")
    if program is None:
        sys.exit(f"Redis is missing: {HOW}")
    port, password = free_port(), secrets.token_urlsafe(16)
    log = folder / "redis.log"
    with log.open("wb") as file:
        server = subprocess.Popen(
            [program, "-"], stdin=subprocess.PIPE, stdout=file, stderr=file, cwd=folder
        )
    assert server.stdin is not None
    server.stdin.write(
        f"bind 127.0.0.1\nport {port}\nrequirepass {password}\n"
        'save ""\nappendonly no\n'.encode()
    )
    server.stdin.close()
    try:
        _until(lambda: _listens(port), log)
        yield f"redis://:{password}@127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _until(condition: Callable[[], bool], log: Path, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"A server did not start:\n{log.read_text()}")
        time.sleep(0.1)


def _version(programs: Path) -> int:
    return int(programs.parent.name)


# The plugin -------------------------------------------------------------------


def touches_servers(item: pytest.Item) -> bool:
    """Whether a test needs the run's database or the run's broker."""
    if item.get_closest_marker("once"):
        return False
    fixtures = set(getattr(item, "fixturenames", ()))
    return item.get_closest_marker("django_db") is not None or not fixtures.isdisjoint(
        {"db", "transactional_db", "broker"}
    )


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    from django.conf import settings
    from django.db import connection

    assert connection.vendor == "postgresql"
    assert "URL" in settings.BROKER
    wanted = [item for item in items if touches_servers(item)]
    config.hook.pytest_deselected(items=[it for it in items if it not in set(wanted)])
    items[:] = wanted


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    terminalreporter.line(f"On PostgreSQL and Redis; {len(skipped)} skipped.")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:  # one of xdist's processes
        return
    from tests.conftest import UNTRAINED

    skipped = reporter.stats.get("skipped", [])
    if any(
        UNTRAINED not in str(it.longrepr) for it in skipped
    ) or not reporter.stats.get("passed"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
