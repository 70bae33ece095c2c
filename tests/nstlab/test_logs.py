"""What the web server writes down about the people who ask."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as lab

from nstlab.logs import PLATFORMS_NAMES, Discreet
from nstlab.supervisor import answers_http, gunicorn
from survey.codes import CODE_LENGTH, READABLE, grouped, readable_code
from survey.participant.platforms import PLATFORMS
from tests.e2e.browser import free_port
from tests.elsewhere import database_url

pytestmark = pytest.mark.once

# The whole of 127.0.0.0/8 is this machine, so a peer can have an address of its own.
PARTICIPANT = "127.4.3.2"


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[], tuple[int, Path]]]:
    started = []

    def start() -> tuple[int, Path]:
        port, log = free_port(), tmp_path / "web.log"
        with log.open("wb") as file:
            started.append(
                subprocess.Popen(
                    gunicorn("127.0.0.1", port),
                    cwd=lab.BASE_DIR,
                    env={**os.environ, "DATABASE_URL": database_url()},
                    stderr=file,
                )
            )
        assert answers_http(f"http://127.0.0.1:{port}/health/live")
        return port, log

    yield start
    for server in started:
        server.terminate()
        server.wait()


def send(port: int, request: str) -> str:
    with socket.create_connection(
        ("127.0.0.1", port), timeout=30, source_address=(PARTICIPANT, 0)
    ) as peer:
        peer.sendall(request.encode())
        answer = b""
        while block := peer.recv(65536):
            answer += block
    return answer.decode(errors="replace")


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's 127.0.0.0/8")
@pytest.mark.django_db(transaction=True)
def test_no_address_and_no_token_is_written_down(
    serve: Callable[[], tuple[int, Path]], study: Any
) -> None:
    port, log = serve()
    token = grouped(readable_code(CODE_LENGTH))
    page = f"/s/{study.slug}"
    host = "Host: localhost\r\nConnection: close\r\n"
    assert " 400 " in send(port, "neither this\r\n\r\n")
    assert " 400 " in send(port, f"GET / HTTP/1.1\r\n{host}Bad Header: x\r\n\r\n")
    assert " 400 " in send(port, "GET / HTTP/1.1\r\nHost: evil\r\n\r\n")
    assert " 404 " in send(port, f"GET {page}/{token}/ HTTP/1.1\r\n{host}\r\n")
    cookie = f"Cookie: participant={token}\r\n"
    picture = f"GET {page}/picture/s-no.png HTTP/1.1\r\n{host}{cookie}\r\n"
    assert " 403 " in send(port, picture)
    assert " 403 " in send(port, f"POST {page}/join/ HTTP/1.1\r\n{host}{cookie}\r\n")
    written = log.read_text()
    assert "Invalid request from ip=(hidden)" in written
    assert f"Not Found: {page}/(code)/" in written
    assert PARTICIPANT not in written
    assert token not in written


CODE = "kq4whn7srb2x5tzpmcv9jdfy"  # fixed: tests are named by it
ENCODED = "".join(f"%{ord(sign):02x}" for sign in CODE)
ID = "5f3b9c0a1d"


@pytest.mark.parametrize(
    "line",
    [
        CODE.upper(),
        grouped(CODE).upper(),
        grouped(CODE).title(),
        grouped(CODE).replace("-", " "),
        f"/s/abc/{CODE}-/",
        f"/s/abc/x-{CODE}_y/",
        f"/s/abc/{ENCODED}/",
        f"/s/abc/{ENCODED.upper().replace('%', '%25')}/",
        f"/s/abc/;PROLIFIC_PID={ID}",
        f"/s/abc/&PROLIFIC_PID={ID}",
        f"/s/abc/?a;b;workerid={ID}",
        f"/s/abc/%3Fprolific_pid%3D{ID}",
        f"/s/abc/%3bPROLIFIC%5FPID={ID}",
        f"/s/abc/%253FPROLIFIC_PID%253D{ID}",
        f"/s/abc%3F%50ROLIFIC_PID%3D{ID}%20more",
        f"/s/abc/?PROLIFIC_PID%3D{ID}",
        f"/S/ABC/?WORKERID={ID}",
        f"<QueryDict: {{'PROLIFIC_PID': ['{ID}'], 'a': ['b']}}>",
        f"PROLIFIC_PID={ID} SESSION_ID={ID}",
        f'"workerId": "{ID}"',
    ],
)
def test_neither_case_nor_signs_nor_encoding_let_anybody_through(line: str) -> None:
    assert set(CODE) <= set(READABLE) and len(CODE) == CODE_LENGTH
    record = logging.LogRecord(
        "x", logging.WARNING, "", 0, "Not Found: %s", (line,), None
    )
    written = Discreet("%(message)s").format(record)
    for secret in (CODE, grouped(CODE), grouped(CODE).replace("-", " "), ENCODED, ID):
        assert secret.lower() not in written.lower().replace("%25", "%")
    assert "hidden" in written or "(code)" in written


@pytest.mark.parametrize(
    "line",
    [
        "Not Found: /s/abc/rate/",
        "100 % of 12 renders; content=a style=b",
        "/pictures/render/3.png; /admin/survey/study/a%20b/",
        "What now? Three words here, then more of them that they knew.",
        "0123456789abcdef" * 4,
    ],
)
def test_what_tells_nothing_is_left_alone(line: str) -> None:
    record = logging.LogRecord("x", logging.WARNING, "", 0, "%s", (line,), None)
    assert Discreet("%(message)s").format(record) == line


LONG_LINES = """
import logging, resource
resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
from nstlab.logs import Discreet
for sign in ("%3f", "%253f", "?a", "&a", ";", "%", "PROLIFIC_PID", "abcd"):
    line = "/a" + sign * (60_000 // len(sign))
    record = logging.LogRecord("x", logging.WARNING, "", 0, line, None, None)
    print(len(Discreet("%(message)s").format(record)) == len(line))
"""


def test_a_long_line_keeps_no_server_busy() -> None:
    """It takes a moment; a search from every sign to the end would take a minute."""
    done = subprocess.run(
        [sys.executable, "-c", LONG_LINES],
        cwd=lab.BASE_DIR, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "True\n" * 8), done.stderr


def test_every_name_that_the_survey_reads_is_known_here() -> None:
    assert {name for pair in PLATFORMS.values() for name in pair} <= {*PLATFORMS_NAMES}


@pytest.mark.parametrize("name", ["django.server", "django.request", "gunicorn.error",
                                  "rq.worker", "survey"])  # fmt: skip
def test_no_logger_has_a_handler_that_is_not_discreet(name: str) -> None:
    handlers, logger = [], logging.getLogger(name)
    while True:
        handlers += [
            it for it in logger.handlers if "pytest" not in type(it).__module__
        ]
        if not logger.propagate or logger.parent is None:
            break
        logger = logger.parent
    assert handlers, "without any, Python's own writes"
    for handler in handlers:
        assert isinstance(handler.formatter, Discreet), handler


def test_a_traceback_is_discreet_too_and_hashes_are_left_alone() -> None:
    code, sha256 = readable_code(CODE_LENGTH), "0123456789abcdef" * 4
    try:
        raise ValueError(
            f"{code} {grouped(code)} {sha256} /s/abc/?PROLIFIC_PID=5f3b9c0a1d&a=b"
        )
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "", (), sys.exc_info())
    line = Discreet("%(message)s").format(record)
    assert line.endswith(f"ValueError: (code) (code) {sha256} /s/abc/?(hidden)")
