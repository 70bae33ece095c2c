"""Decoding pictures for the web process: small ones in it, others one at a time.

40 million pixels take 200 MB at least, and an allocator keeps what threads of a server
once had. So everything but a small PNG or JPEG is decoded by a process of its own, and
one such process at a time on a host: who comes meanwhile waits a little, and is then
told to try again.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import IO, Any, BinaryIO

from django.conf import settings
from django.core.files import File

from generation.engine.errors import ImageRefused
from generation.engine.pictures.files import MIN_SIDE, picture_header
from generation.pictures.preparing import MOST_MEMORY, Made, Wanted, prepare

log = logging.getLogger(__name__)

SMALL_PIXELS = 1024 * 1024
SMALL_FORMATS = {"PNG", "JPEG"}
"""The size in their header tells their memory; of tiles and frames it does not."""
WAIT_SECONDS = 10.0
DECODE_SECONDS = 45.0
"""With the wait before it, less than the minute after which nginx gives up."""
LOCK = "decoding.lock"


class DecoderBusy(Exception):
    """Other pictures are being decoded on this host; nothing is wrong with this one."""

    retry_after = 5
    """Seconds."""

    def __init__(self) -> None:
        super().__init__("Another picture is being read; try again in a moment.")


@dataclass(frozen=True)
class DecodedPicture:
    """A picture ready to be kept: its bare PNG, its small copy if one was wanted."""

    made: Made
    png: File[bytes]
    small: File[bytes] | None
    source_sha256: str


def decode(
    source: bytes | File[bytes],
    *,
    box: tuple[int, int, int, int] | None = None,
    size: tuple[int, int] | None = None,
    resample: str = "bicubic",
    small_side: int = 0,
    min_side: int = MIN_SIDE,
) -> DecodedPicture:
    """Decode a picture of the world, in little memory of this process.

    With `box` a part of it is cut out, with `size` that is resized; with `small_side` a
    PNG of no longer sides is made too. Raises ImageRefused, or DecoderBusy after
    WAIT_SECONDS.
    """
    wanted = Wanted(
        box=box,
        size=size,
        resample=resample,
        small_side=small_side,
        min_side=min_side,
    )
    file = _plain(source)
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    here = _is_small(file, wanted)
    png = _empty(here)
    small = _empty(here) if small_side else None
    made = (
        prepare(file, wanted, png, small) if here else _apart(file, wanted, png, small)
    )
    for written in filter(None, (png, small)):
        written.seek(0)
    return DecodedPicture(
        made=made,
        png=File(png, "picture.png"),
        small=None if small is None else File(small, "small.png"),
        source_sha256=digest,
    )


def small_jpeg(source: File[bytes], side: int) -> bytes:
    """A JPEG of a picture, no longer than `side`. Raises as `decode` does."""
    wanted = Wanted(small_side=side, small_format="JPEG", min_side=1)
    file = _plain(source)
    here = _is_small(file, wanted)
    with _empty(here) as small:
        (prepare if here else _apart)(file, wanted, None, small)
        small.seek(0)
        return small.read()


def _plain(source: bytes | File[bytes]) -> Any:
    """The file that Django's object stands for, which Pillow can seek in."""
    return io.BytesIO(source) if isinstance(source, bytes) else source.file


def _is_small(file: BinaryIO, wanted: Wanted) -> bool:
    """Return whether it may be decoded here. Raises ImageRefused; decodes nothing."""
    name, width, height = picture_header(file, min_side=wanted.min_side)
    pixels = width * height
    if wanted.size is not None:
        pixels = max(pixels, wanted.size[0] * wanted.size[1])
    return name in SMALL_FORMATS and pixels <= SMALL_PIXELS


def _empty(in_memory: bool = False) -> Any:
    return io.BytesIO() if in_memory else tempfile.TemporaryFile(dir=settings.VAR)


def _apart(
    source: BinaryIO, wanted: Wanted, png: IO[bytes] | None, small: IO[bytes] | None
) -> Made:
    """`prepare` in a process of its own, when it is this one's turn. Raises OSError
    where that cannot write."""
    with _turn() as turn, _empty() as file:
        shutil.copyfileobj(source, file)
        file.seek(0)
        out = [None if it is None else it.fileno() for it in (png, small)]
        asked = {
            "parent": os.getpid(),
            "most_memory": MOST_MEMORY,
            "wanted": asdict(wanted),
            "png": out[0],
            "small": out[1],
        }
        # It holds the turn too: until it has ended, its memory is not given back.
        kept = [turn, *(number for number in out if number is not None)]
        child = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "generation.pictures.preparing", json.dumps(asked)],
            cwd=settings.BASE_DIR,
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=kept,
        )
        answer = _answer(child)
    if "refused" in answer:
        raise ImageRefused(answer["refused"])
    if "errno" in answer:
        raise OSError(answer["errno"], os.strerror(answer["errno"]))
    return Made(**answer | {"notes": tuple(answer["notes"])})


def _answer(child: subprocess.Popen[bytes]) -> dict[str, Any]:
    """The child's answer. Raises ImageRefused if it ended before it gave one."""
    try:
        said, complaint = child.communicate(timeout=DECODE_SECONDS)
    except BaseException as error:
        child.kill()
        child.communicate()
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
        raise ImageRefused("The picture takes too long to read.") from error
    if child.returncode or not said:
        said_last = complaint.decode(errors="replace")[-2000:]
        log.warning("Decoding ended with %s: %s", child.returncode, said_last)
        raise ImageRefused(
            "The picture takes more time or memory to read than a picture may."
        )
    found: dict[str, Any] = json.loads(said)
    return found


@contextmanager
def _turn() -> Iterator[int]:
    """Be the one on this host that decodes. Raises DecoderBusy.

    Yields the descriptor that holds the turn: it is over when nobody has that open.
    """
    turn = os.open(settings.VAR / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        end = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise DecoderBusy from None
                time.sleep(0.05)
        yield turn
    finally:
        os.close(turn)
