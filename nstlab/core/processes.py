"""Starting, watching and ending the processes of a lab on one machine."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

log = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1
# Looked up before any fork: between fork and exec only a system call is safe.
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(death_signal: signal.Signals = signal.SIGKILL) -> None:
    """Ask the kernel to signal this process when its parent dies (Linux only).

    Elsewhere it does nothing, and an orphan's work is refused by its lease.
    """
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)


@dataclass
class Process:
    """A child that is started again whenever it ends by itself."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    log_file: Path
    # What the kernel sends it when its parent is killed.
    death_signal: signal.Signals = signal.SIGKILL
    # Sent one after the other until it ends; then it is killed.
    stop_signals: Sequence[signal.Signals] = (signal.SIGTERM,)
    running: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    started_at: float = 0.0
    restarts: int = 0

    def start(self) -> None:
        self.log_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.log_file.open("ab") as log_file:
            self.running = subprocess.Popen(  # noqa: S603 - our own commands
                list(self.command),
                cwd=self.folder,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=subprocess.STDOUT,
                # Its own group: Ctrl-C reaches the owner only, which ends all in order.
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(self.death_signal),
            )
        self.started_at = time.monotonic()

    def alive(self) -> bool:
        return self.running is not None and self.running.poll() is None

    def keep(self) -> bool:
        """Start it again if it ended, at most once in two seconds; True if it did."""
        if self.alive() or time.monotonic() - self.started_at < 2:
            return False
        code = self.running.returncode if self.running else None
        log.warning(
            "%s ended (%s) and is started again; its log: %s",
            self.name,
            code,
            self.log_file,
        )
        self.restarts += 1
        self.start()
        return True

    def stop(self, seconds: float = 5.0) -> None:
        """End it and everything in its group."""
        if self.running is None:
            return
        for stop_signal in self.stop_signals:
            if not self.alive():
                break
            self.running.send_signal(stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.running.wait(seconds / len(self.stop_signals))
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.running.pid, signal.SIGKILL)
        self.running.wait()
        self.running = None
