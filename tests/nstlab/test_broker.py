from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from nstlab.core.broker import (
    EmbeddedBroker,
    answers,
    client,
    connection_settings,
    socket_path,
)

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.broker


@pytest.fixture
def var(tmp_path: Path) -> Iterator[Path]:
    """A `var/` whose broker is gone when the test is over."""
    yield tmp_path
    leftover = EmbeddedBroker(tmp_path)
    if answers(leftover.connection):
        client(leftover.connection).shutdown(nosave=True)


def test_what_is_queued_survives_a_restart(var: Path) -> None:
    first = EmbeddedBroker(var)
    first.start()
    client(first.connection).rpush("queue", "job")
    first.stop()
    assert not answers(first.connection)

    second = EmbeddedBroker(var)
    second.start()
    assert client(second.connection).lrange("queue", 0, -1) == [b"job"]
    second.stop()


def start_in_another_process(var: Path) -> subprocess.Popen[str]:
    """A process that owns the broker of `var` until it is killed."""
    code = f"""
        import sys, time
        from pathlib import Path
        from nstlab.core.broker import EmbeddedBroker
        EmbeddedBroker(Path({str(var)!r})).start()
        print("started", flush=True)
        time.sleep(600)
    """
    owner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == "started\n"
    return owner


def test_it_shares_the_broker_of_a_living_process(var: Path) -> None:
    owner = start_in_another_process(var)
    second = EmbeddedBroker(var)
    second.start()
    assert not second.owned
    second.stop()
    assert answers(second.connection), "the owner's broker must go on"
    owner.terminate()
    owner.wait()


def test_it_adopts_the_broker_of_a_killed_process_and_ends_it(var: Path) -> None:
    owner = start_in_another_process(var)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    heir = EmbeddedBroker(var)
    assert answers(heir.connection), "valkey outlives its owner"
    heir.start()
    assert heir.owned
    heir.stop()
    assert not answers(heir.connection)


def test_it_starts_again_after_the_server_was_killed(var: Path) -> None:
    broker = EmbeddedBroker(var)
    broker.start()
    pid = client(broker.connection).info("server")["process_id"]
    client(broker.connection).rpush("queue", "job")
    client(broker.connection).config_set("appendfsync", "always")
    client(broker.connection).rpush("queue", "second")
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    broker.start()
    assert client(broker.connection).llen("queue") == 2
    broker.stop()


def test_a_checkout_too_deep_for_a_socket_gets_a_short_one(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    assert len(str(socket_path(deep))) < 108
    assert socket_path(deep) != socket_path(deep / "f")


def test_a_given_url_is_used_as_it_is(tmp_path: Path) -> None:
    url = "redis://:secret@queue.example:6379/3"
    assert connection_settings(url, tmp_path) == {"URL": url}
