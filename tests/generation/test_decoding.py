"""Large pictures are decoded apart, one at a time, and the web process stays small."""

from __future__ import annotations

import fcntl
import io
import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from PIL import Image

from generation.engine.errors import ImageRefused
from generation.engine.pictures.files import open_picture, pixel_sha256, png_bytes
from generation.models import SourceImage
from generation.pictures import decoding
from generation.pictures.decoding import decode
from generation.pictures.preparing import Wanted
from nstlab.core.outages import FULL, sentence_of
from survey.models import Study
from survey.refusals import CannotOpen
from survey.studies import copying
from tests.conftest import png, put_on_wall

pytestmark = pytest.mark.django_db

ADD = "/admin/generation/sourceimage/add/"
LARGE = (1100, 1000)
"""More than is decoded in the web process."""


def flat_png(width: int, height: int) -> bytes:
    """One colour everywhere, made row by row."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    packing = zlib.compressobj()
    row = b"\0" + b"\xc8\x3c\x1e" * width
    pixels = b"".join(packing.compress(row) for _ in range(height)) + packing.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", pixels)
        + chunk(b"IEND", b"")
    )


def upload(logged_in: Any, data: bytes, **fields: str) -> Any:
    sent = {"title": "", "credit": "", "licence": "", "consent": "nobody"} | fields
    return logged_in.post(ADD, sent | {"upload": SimpleUploadedFile("photo.png", data)})


@contextmanager
def taken_turn() -> Iterator[None]:
    """Somebody else on this host decodes."""
    with (settings.VAR / decoding.LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def status(line: str, process: int | str = "self") -> int:
    """kB of a process, by the kernel."""
    said = Path(f"/proc/{process}/status").read_text()
    return int(said.split(f"{line}:")[1].split()[0])


def test_forty_million_pixels_hardly_grow_the_web_process(logged_in: Any) -> None:
    data = flat_png(8000, 5000)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what it is
    before = status("VmRSS")
    assert upload(logged_in, data).status_code == 302
    assert status("VmHWM") - before < 40_000  # one copy of the pixels is 160,000
    row = SourceImage.objects.get()
    assert (row.width, row.height) == (8000, 5000)
    with Image.open(row.thumbnail.open()) as small:
        assert small.size == (160, 100)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("data", [png(), png()[:60]], ids=["whole", "cut short"])
def test_no_transaction_is_open_while_a_picture_is_decoded(
    logged_in: Any, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SQLite nobody could answer meanwhile. And it is decoded once."""
    held = []

    def looking(*args: Any, **options: Any) -> Any:
        held.append(connection.in_atomic_block)
        return decode(*args, **options)

    monkeypatch.setattr("generation.pictures.source_images.decode", looking)
    upload(logged_in, data)
    assert held == [False]
    assert SourceImage.objects.count() == (data == png())


@pytest.mark.parametrize(("width", "height"), [(2_500_000, 16), (16, 20_001)])
def test_a_strip_is_no_picture(logged_in: Any, width: int, height: int) -> None:
    page = upload(logged_in, flat_png(width, height)).content.decode()
    assert f"{width} × {height} pixels, each side may have at most 20000" in page
    assert not SourceImage.objects.exists()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP"])
def test_apart_and_here_a_picture_is_the_same(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = io.BytesIO()
    picture = Image.radial_gradient("L").resize((60, 40)).convert("RGB")
    picture.save(file, kind)
    opened = open_picture(file.getvalue())
    monkeypatch.setattr(decoding, "SMALL_PIXELS", 0)
    apart = decode(file.getvalue(), small_side=30)
    assert apart.png.read() == png_bytes(opened.image)
    assert apart.made.pixel_sha256 == pixel_sha256(opened.image)
    assert (apart.made.format, apart.made.notes) == (kind, opened.notes)
    opened.image.thumbnail((30, 30))
    assert apart.small is not None
    assert apart.small.read() == png_bytes(opened.image)
    resized = decode(file.getvalue(), size=(20, 20), resample="lanczos")
    with Image.open(resized.png) as found:
        assert found.size == (20, 20)
    part = decode(file.getvalue(), box=(10, 0, 50, 40))
    with Image.open(part.png) as found:
        whole = open_picture(file.getvalue()).image
        assert pixel_sha256(found) == pixel_sha256(whole.crop((10, 0, 50, 40)))


def test_what_is_no_picture_is_refused_apart_with_the_same_sentence() -> None:
    whole = flat_png(*LARGE)
    with pytest.raises(ImageRefused, match="damaged or cut short"):
        decode(whole[: len(whole) // 2])
    with pytest.raises(ImageRefused, match="not a picture"):
        decode(b"words")


def test_a_picture_that_needs_too_much_memory_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decoding, "MOST_MEMORY", 150_000_000)
    with pytest.raises(ImageRefused, match="memory"):
        decode(flat_png(8000, 5000))


def test_a_full_disk_is_no_fault_of_the_picture() -> None:
    with open("/dev/full", "wb") as full, pytest.raises(OSError) as trouble:
        decoding._apart(io.BytesIO(flat_png(*LARGE)), Wanted(), full, None)
    assert sentence_of(trouble.value) == FULL


LIMITING = """
import resource
from generation.pictures.preparing import limit
resource.setrlimit(resource.RLIMIT_CPU, (20, 30))
for most in (40, 25):
    limit(resource.RLIMIT_CPU, most)
    print(*resource.getrlimit(resource.RLIMIT_CPU))
"""


def test_what_an_operator_allows_is_never_made_more() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITING],
        cwd=settings.BASE_DIR, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "30 30\n25 25\n"


def test_a_picture_that_takes_too_long_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decoding, "DECODE_SECONDS", 0.0)
    with pytest.raises(ImageRefused, match="too long to read"):
        decode(flat_png(*LARGE))
    monkeypatch.undo()
    assert decode(flat_png(*LARGE)).made.width == 1100  # the turn was given back


def test_who_comes_while_another_picture_is_read_is_told_so(
    logged_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "WAIT_SECONDS", 0.0)
    large = flat_png(*LARGE)
    with taken_turn():
        answer = upload(logged_in, large, title="Sunflowers")
        page = answer.content.decode()
        assert "Another picture is being read; try again in a moment." in page
        assert 'value="Sunflowers"' in page and not SourceImage.objects.exists()
        assert upload(logged_in, png()).status_code == 302  # a small one need not wait
    assert upload(logged_in, large).status_code == 302


def test_large_pictures_are_decoded_one_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decoding, "WAIT_SECONDS", 600.0)
    data = flat_png(3000, 2000)
    most = 0
    with ThreadPoolExecutor() as pool:
        waiting = [pool.submit(decode, data) for _ in range(4)]
        while not all(each.done() for each in waiting):
            most = max(most, len(children()))
            time.sleep(0.01)
        assert [each.result().made.width for each in waiting] == [3000] * 4
    assert most == 1


def children(parent: int | None = None) -> list[int]:
    """Processes that decode for a process of ours."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            above = int((path / "stat").read_text().rsplit(") ", 1)[1].split()[1])
            command = (path / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it has just ended
        ours = above == (parent or os.getpid())
        if ours and b"generation.pictures.preparing" in command:
            found.append(int(path.name))
    return found


PARENT = """
import django, sys
django.setup()
from generation.pictures.decoding import decode
decode(sys.stdin.buffer.read())
"""


def test_it_dies_with_the_process_that_asked_and_gives_its_turn_back() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        cwd=settings.BASE_DIR,
        env=os.environ
        | {"DJANGO_SETTINGS_MODULE": "nstlab.settings", "NSTLAB_VAR": settings.VAR},
        stdin=subprocess.PIPE,
    )
    assert parent.stdin is not None
    parent.stdin.write(flat_png(8000, 5000))
    parent.stdin.close()
    while not (found := children(parent.pid)) or status("VmRSS", found[0]) < 60_000:
        assert parent.poll() is None
        time.sleep(0.01)
    [child] = found  # it is among its pixels
    os.kill(child, signal.SIGSTOP)  # by itself it would never end now
    parent.kill()
    parent.wait()
    for _ in range(1000):
        stat = Path(f"/proc/{child}/stat")
        if not stat.exists() or stat.read_text().rsplit(") ", 1)[1][0] == "Z":
            break  # ended, or so and not fetched by whoever inherited it
        time.sleep(0.01)
    else:
        os.kill(child, signal.SIGKILL)
        pytest.fail("it outlived its parent")
    assert decode(flat_png(*LARGE)).made.width == 1100


def test_a_cell_of_a_sheet_that_cannot_be_read_now_says_when(
    logged_in: Any, experiment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "WAIT_SECONDS", 0.0)
    render = put_on_wall(experiment)[0]
    Path(render.picture.path).write_bytes(flat_png(*LARGE))
    address = f"/pictures/render/{render.pk}/thumbnail.jpg"
    with taken_turn():
        answer = logged_in.get(address)
        assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    with Image.open(io.BytesIO(logged_in.get(address).content)) as small:
        assert (small.format, small.size) == ("JPEG", (320, 291))
    Path(render.picture.path).write_bytes(flat_png(*LARGE)[:300])
    assert logged_in.get(address).status_code == 404


def test_a_content_image_waits_its_turn_to_become_a_reference(
    experiment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "WAIT_SECONDS", 0.0)
    put_on_wall(experiment)
    content = experiment.pairs.get().content
    Path(content.picture.path).write_bytes(flat_png(*LARGE))
    study = Study.objects.create(title="S", experiment=experiment, method="dcr")
    with taken_turn(), pytest.raises(CannotOpen, match="Another picture is being read"):
        copying.copy_pictures(study)
    assert copying.copy_pictures(study) == 0
    reference = study.stimuli.get(is_reference=True)
    assert (reference.width, reference.height) == (32, 32)
    with Image.open(reference.picture.open()) as picture:
        assert pixel_sha256(picture.convert("RGB")) == reference.pixel_sha256


def test_who_decodes_imports_nothing_of_the_lab_but_the_engine() -> None:
    listing = (
        "import generation.pictures.preparing, sys; print('\\n'.join(sys.modules))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", listing],
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not {"django", "numpy", "torch"} & set(loaded)
    engine = {it for it in loaded if it.startswith("generation.engine.")}
    # Importing the engine makes its methods known: names and sums, nothing heavy.
    known = ("checks", "methods", "networks", "registry")
    assert {it for it in engine if it.split(".")[2] not in known} == {
        "generation.engine.errors",
        "generation.engine.pictures",
        "generation.engine.pictures.files",
    }
