"""A real lab around a test: gunicorn and RQ workers on the test's own database."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Any

from nstlab.core.processes import Process
from nstlab.supervisor import Lab, answers_http, gunicorn
from tests.e2e.browser import free_port
from tests.elsewhere import database_url


class LiveLab:
    """The processes of one lab, started only when a test needs them."""

    def __init__(self) -> None:
        port = free_port()
        self.base = f"http://127.0.0.1:{port}"
        self._lab = Lab(
            web_command=gunicorn("127.0.0.1", port),
            environment={"DATABASE_URL": database_url()},
        )
        # The run has one broker for all its tests; it is not this lab's to stop.
        self._lab.broker = None

    @property
    def web(self) -> Process:
        assert self._lab.web is not None
        return self._lab.web

    def start_web(self) -> None:
        self.web.start()
        answers = answers_http(f"{self.base}/health/live", seconds=60)
        assert answers, self.web.log_file.read_text()

    def kill_web(self) -> None:
        """As `kill -9` or the kernel would: nobody gets to say goodbye."""
        assert self.web.running is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.web.running.pid, signal.SIGKILL)
        self.web.running.wait()

    def restart_web(self) -> None:
        """A process that remembers nothing of the tests before."""
        self.web.stop()
        self.start_web()

    def start_workers(self) -> None:
        for worker in self._lab.workers:
            worker.start()

    def stop_workers(self) -> None:
        for worker in self._lab.workers:
            worker.stop(seconds=2)

    def stop(self) -> None:
        self._lab.stop()

    def survey(self, study: Any) -> str:
        return f"{self.base}{study.get_absolute_url()}"
