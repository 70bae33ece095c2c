"""Tiny wheels and package indexes of our own, in the layout of the pinned one."""

from __future__ import annotations

import hashlib
import http.server
import io
import threading
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

Pair = tuple[Any, Any]
NAME = "tiny_net-1.0-py3-none-any.whl"
MEMBER = "tiny_net/model.onnx"


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def tensor(name: str, array: Any, *, kind: int = 1, packed: bool = False) -> bytes:
    sides = b"".join(varint(side) for side in array.shape)
    shape = field(1, sides) if packed else b"".join(field(1, n) for n in array.shape)
    return shape + field(2, kind) + field(8, name) + field(9, array.tobytes())


def node(kind: str, *inputs: str) -> bytes:
    return b"".join(field(1, name) for name in inputs) + field(4, kind)


def model(pairs: Sequence[Pair], tensors: Sequence[bytes] | None = None) -> bytes:
    """An ONNX model of convolutions and ReLUs, in order."""
    graph = b""
    for n in range(len(pairs)):
        graph += field(1, node("Conv", f"x{n}", f"w{n}", f"b{n}"))
        graph += field(1, node("Relu", f"y{n}"))
    if tensors is None:
        tensors = [
            tensor(f"{letter}{n}", array, packed=letter == "b")
            for n, pair in enumerate(pairs)
            for letter, array in zip("wb", pair, strict=True)
        ]
    for each in reversed(tensors):
        graph += field(5, each)
    return field(1, 7) + field(7, graph)


def wheel(content: bytes) -> bytes:
    """A wheel that pip takes, with one member besides its metadata."""
    info = "tiny_net-1.0.dist-info"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(MEMBER, content)
        for name, text in (
            ("METADATA", "Metadata-Version: 2.1\nName: tiny-net\nVersion: 1.0\n"),
            ("WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n"),
            ("RECORD", ""),
        ):
            archive.writestr(f"{info}/{name}", text)
    return file.getvalue()


def digest(pairs: Sequence[Pair]) -> str:
    """Of the values, the first layer's channels exchanged as its wheel says."""
    total = hashlib.sha256()
    for n, (weight, bias) in enumerate(pairs):
        total.update(np.ascontiguousarray(weight[:, ::-1] if n == 0 else weight))
        total.update(bias)
    return total.hexdigest()


class Index:
    """A package index on this machine: what it sends, and what it was asked for."""

    def __init__(self, address: str, sent: bytes) -> None:
        self.address = address
        self.sent = sent
        self.asked: list[str] = []
        self.page: bytes | None = None  # instead of everything, as a proxy does
        self.go_on = threading.Event()  # cleared: the file stops half way
        self.go_on.set()
        self.answers = threading.Event()  # cleared: no answer at all
        self.answers.set()


@contextmanager
def index(sent: bytes) -> Iterator[Index]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append(self.path)
            served.answers.wait(60)
            link = f'<a href="/files/{NAME}">{NAME}</a>'.encode()
            body = served.sent if self.path.endswith(".whl") else link
            page = served.page is not None
            body = served.page if served.page is not None else body
            self.send_response(200)
            kind = "application/zip" if body is served.sent else "text/html"
            self.send_header("Content-Type", "text/html" if page else kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            is_file = self.path.endswith(".whl")
            half = len(body) // 2 if is_file else 0
            try:
                self.wfile.write(body[:half])
                self.wfile.flush()
                if is_file:
                    served.go_on.wait(60)
                self.wfile.write(body[half:])
            except OSError:
                pass  # who asked has gone

        def do_HEAD(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served = Index(f"http://127.0.0.1:{server.server_port}/simple", sent)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        served.answers.set()
        served.go_on.set()
        server.shutdown()
        server.server_close()
