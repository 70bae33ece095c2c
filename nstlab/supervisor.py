"""A whole lab on one machine: broker, workers and web server, kept alive.

`manage.py dev`, `manage.py demo` and the tests run it. On several machines each
part is a service of its own: docs/how-to/deploy.md.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from django.conf import settings

from nstlab.core import broker
from nstlab.core.outages import going_on
from nstlab.core.processes import Process

MANAGE = settings.BASE_DIR / "manage.py"
REAP_EVERY_SECONDS = 3.0
PURGE_EVERY_SECONDS = 3600.0


class Lab:
    """Broker, one `render` worker, one `report` worker and, if asked, the web server.

    Used as a context manager, and only from the main thread: it starts processes
    that die with it.
    """

    def __init__(
        self,
        *,
        web_command: list[str] | None = None,
        environment: Mapping[str, str] | None = None,
        reap: Callable[[], object] | None = None,
        purge: Callable[[], object] | None = None,
    ) -> None:
        self.broker = (
            broker.EmbeddedBroker(settings.VAR)
            if "UNIX_SOCKET_PATH" in settings.BROKER
            else None
        )
        surroundings = {**os.environ, **(environment or {})}
        self.web = (
            self._process("web", web_command, surroundings, signal.SIGTERM)
            if web_command
            else None
        )
        self.workers = [
            self._process(
                f"worker-{queue}",
                [sys.executable, str(MANAGE), "rqworker", queue],
                surroundings,
                signal.SIGKILL,
            )
            for queue in ("render", "report")
        ]
        chores = ((reap, REAP_EVERY_SECONDS), (purge, PURGE_EVERY_SECONDS))
        self._chores = [(chore, every) for chore, every in chores if chore is not None]
        self._due = dict.fromkeys(range(len(self._chores)), 0.0)

    def _process(
        self,
        name: str,
        command: list[str],
        environment: Mapping[str, str],
        death_signal: signal.Signals,
    ) -> Process:
        logs: Path = settings.VAR / "log"
        return Process(
            name=name,
            command=command,
            environment=environment,
            folder=settings.BASE_DIR,
            log_file=logs / f"{name}.log",
            death_signal=death_signal,
            # A worker's first SIGTERM lets it finish its job, the second ends it now;
            # what it was painting is begun again at the next start.
            stop_signals=(signal.SIGTERM, signal.SIGTERM),
        )

    def __enter__(self) -> Lab:
        try:
            self.keep_broker()
            for process in self.processes():
                process.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def processes(self) -> list[Process]:
        return [*self.workers, *([self.web] if self.web else [])]

    def keep_broker(self) -> None:
        """Start the embedded broker, also when it was killed.

        Raises BrokerUnavailable.
        """
        if self.broker is not None:
            if not self.broker.owned or not broker.answers(self.broker.connection):
                self.broker.start()
        elif not broker.answers(settings.BROKER):
            raise broker.BrokerUnavailable(
                "The broker at NSTLAB_REDIS_URL does not answer."
            )

    def keep(self) -> None:
        """Mend what has died since the last call; call it at least every second."""
        if self.broker is not None:
            self.keep_broker()
        for process in self.processes():
            process.keep()
        self.tidy()

    def tidy(self) -> None:
        """Reap and purge, each if it is time again, and again if they could not."""
        for place, (chore, every) in enumerate(self._chores):
            if time.monotonic() >= self._due[place]:
                with going_on("Tidying up"):
                    chore()
                self._due[place] = time.monotonic() + every

    def stop(self) -> None:
        """End everything that was started here, the broker last."""
        for process in reversed(self.processes()):
            process.stop()
        if self.broker is not None:
            self.broker.stop()


def gunicorn(host: str, port: int) -> list[str]:
    """The command that serves the lab: one process, a few threads, under 120 MB."""
    return [
        sys.executable,
        "-m",
        "gunicorn",
        "nstlab.wsgi",
        f"--bind={host}:{port}",
        "--workers=1",
        "--threads=4",
        "--access-logfile=/dev/null",  # no addresses of participants in a log
        "--graceful-timeout=5",
    ]


def answers_http(address: str, seconds: float = 30.0) -> bool:
    """Whether the web server answers at `address` within `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(address, timeout=5):  # noqa: S310
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            time.sleep(0.1)
    return False
