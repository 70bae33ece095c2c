"""Memory of the web server while large pictures come: `python benchmarks/uploads.py`.

Starts the lab's own gunicorn on an empty lab, posts eight pictures of 40 million pixels
at once as a researcher who is logged in, and sums the proportional set size (PSS) of
gunicorn and all its children, every 20 ms and again a minute later. `--against` a
checkout with its own .venv does the same there, in turns; `--floor` says what Pillow
alone takes to decode that picture. `--archive N` posts a ZIP of N photographs into a
study instead, and says how long the longest request took. Prints figures for docs;
nothing here is a test.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import io
import json
import os
import random
import re
import secrets
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# In the place of this folder, where `queue` would be a file and not Python's own.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.temporary import free_port  # noqa: E402

HERE = Path(__file__).resolve().parent.parent
ADD = "/admin/generation/sourceimage/add/"
WIDTH, HEIGHT = 8000, 5000
PHOTO = (1600, 1200)
STUDY = "/admin/survey/study/1"
PASSWORD = secrets.token_urlsafe(12)
MAKE_ACCOUNT = f"""
import django
django.setup()
from django.contrib.auth import get_user_model
from nstlab.roles import update_group
account = get_user_model().objects.create_user("ada", "", {PASSWORD!r}, is_staff=True)
account.groups.add(update_group("Researcher"))
from survey.models import Study
Study.objects.create(title="Mine", owner=account)
"""
COMMAND = """
import django, json
django.setup()
from nstlab.supervisor import gunicorn
print(json.dumps(gunicorn("127.0.0.1", {port})))
"""
FLOOR = """
import sys
from pathlib import Path
from PIL import Image
def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
before = peak()
Image.open(sys.stdin.buffer).load()
print(before, peak())
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--uploads", type=int, default=8, help="at once")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--later", type=float, default=60, help="seconds")
    parser.add_argument("--floor", action="store_true")
    parser.add_argument("--archive", type=int, default=0, help="photographs in a ZIP")
    options = parser.parse_args()
    if options.archive:
        take_archives(options)
        return
    picture = flat_png(WIDTH, HEIGHT)
    print(f"{WIDTH} × {HEIGHT} pixels in {len(picture) / 1000:.0f} kB", flush=True)
    if options.floor:
        floor(picture)
    places = [*filter(None, [options.against]), HERE]
    print(
        "| checkout | start, MB | peak | s until all were answered | answers | "
        f"{options.later:.0f} s later | load |\n| --- | --- | --- | --- | --- | --- |"
        " --- |"
    )
    peaks: dict[Path, list[float]] = {place: [] for place in places}
    for _ in range(options.rounds):
        for place in places:
            with server(place.resolve()) as (process, port):
                found = measure(process, port, picture, options)
            peaks[place].append(found.peak)
            name = "here" if place == HERE else "against"
            print(f"| {name} | {found}", flush=True)
    if options.against:
        ratios = [
            ours / theirs
            for theirs, ours in zip(peaks[options.against], peaks[HERE], strict=True)
        ]
        print(f"ratio of the peaks: {', '.join(f'{it:.2f}' for it in ratios)}")


def take_archives(options: Any) -> None:
    """Post a ZIP of photographs, and go on as the page does until all are in."""
    photograph = photo()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(options.archive):
            archive.writestr(f"{number}.jpg", photograph)
    print(
        f"{options.archive} JPEGs of {PHOTO[0]} × {PHOTO[1]} pixels, "
        f"{len(photograph) / 1e6:.1f} MB each\n"
        "| checkout | longest request, s | requests | s in all | peak, MB | load |\n"
        "| --- | --- | --- | --- | --- | --- |"
    )
    for place in [*filter(None, [options.against]), HERE]:
        with server(place.resolve()) as (process, port):
            browser = Browser(port)
            browser.log_in()
            times: list[float] = []
            taking = threading.Thread(
                target=browser.take_in, args=(file.getvalue(), times)
            )
            taking.start()
            peak = 0.0
            while taking.is_alive():
                peak = max(peak, pss(process))
                time.sleep(0.05)
        name = "here" if place == HERE else "against"
        print(
            f"| {name} | {max(times):.1f} | {len(times)} | {sum(times):.0f} | "
            f"{peak:.0f} | {os.getloadavg()[0]:.1f} |",
            flush=True,
        )


def photo() -> bytes:
    """A JPEG with the detail of a photograph."""
    from PIL import Image

    noise = random.Random(0).randbytes(PHOTO[0] * PHOTO[1] * 3 // 16)
    coarse = Image.frombytes("RGB", (PHOTO[0] // 4, PHOTO[1] // 4), noise)
    file = io.BytesIO()
    coarse.resize(PHOTO, Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


@dataclass
class Found:
    start: float
    peak: float
    seconds: float
    answers: Counter[str]
    later: float

    def __str__(self) -> str:
        answers = ", ".join(f"{n} {what}" for what, n in self.answers.most_common())
        return (
            f"{self.start:.0f} | {self.peak:.0f} | {self.seconds:.1f} | {answers} | "
            f"{self.later:.0f} | {os.getloadavg()[0]:.1f} |"
        )


def measure(process: int, port: int, picture: bytes, options: Any) -> Found:
    browsers = [Browser(port) for _ in range(options.uploads)]
    for browser in browsers:
        browser.log_in()
        browser.upload(flat_png(32, 32))  # every thread has done it once
    start = pss(process)
    answers: Counter[str] = Counter()
    posting = [
        threading.Thread(target=lambda it=it: answers.update([it.upload(picture)]))
        for it in browsers
    ]
    begun = time.monotonic()
    for thread in posting:
        thread.start()
    peak = start
    while any(thread.is_alive() for thread in posting):
        peak = max(peak, pss(process))
        time.sleep(0.02)
    seconds = time.monotonic() - begun
    time.sleep(options.later)
    return Found(start, peak, seconds, answers, pss(process))


def pss(process: int) -> float:
    """MB of a process and of all below it; what they share is counted once."""
    below: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it may have ended
            parent = (path / "stat").read_text().rsplit(") ", 1)[1].split()[1]
            below.setdefault(int(parent), []).append(int(path.name))
    total, looking = 0, [process]
    while looking:
        one = looking.pop()
        looking += below.get(one, [])
        with contextlib.suppress(OSError, IndexError):
            said = Path(f"/proc/{one}/smaps_rollup").read_text()
            total += int(said.split("Pss:")[1].split()[0])
    return total * 1024 / 1e6


@contextlib.contextmanager
def server(place: Path) -> Iterator[tuple[int, int]]:
    """The lab's own gunicorn of a checkout on an empty lab: process and port."""
    python = str(place / ".venv/bin/python")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="nstlab-benchmark-") as folder:
        kept = {k: v for k, v in os.environ.items() if "PYTHON" not in k}
        environment = kept | {
            "NSTLAB_VAR": folder,
            "NSTLAB_HTTPS": "0",
            "NSTLAB_HOSTS": "localhost,127.0.0.1",
            "DJANGO_SETTINGS_MODULE": "nstlab.settings",
        }
        environment.pop("DATABASE_URL", None)

        def run(*command: str) -> str:
            return subprocess.run(
                [python, *command],
                cwd=place,
                env=environment,
                check=True,
                capture_output=True,
                text=True,
            ).stdout

        run("manage.py", "migrate", "--verbosity=0")
        run("manage.py", "collectstatic", "--no-input", "--verbosity=0")
        run("-c", MAKE_ACCOUNT)
        command = json.loads(run("-c", COMMAND.format(port=port)))
        running = subprocess.Popen(
            command, cwd=place, env=environment, stderr=subprocess.DEVNULL
        )
        try:
            until_answering(port)
            yield running.pid, port
        finally:
            running.terminate()
            running.wait()


def until_answering(port: int) -> None:
    while True:
        try:
            http.client.HTTPConnection("127.0.0.1", port).request("GET", "/")
        except OSError:
            time.sleep(0.1)
        else:
            return


class Browser:
    """A researcher's, with its cookies."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookies: dict[str, str] = {}

    def log_in(self) -> None:
        token = self._token("/admin/login/")
        fields = {"csrfmiddlewaretoken": token, "username": "ada"}
        status, _ = self._post("/admin/login/", fields | {"password": PASSWORD})
        assert status == 302, status

    def upload(self, picture: bytes) -> str:
        """What came of it, in a word."""
        fields = {"csrfmiddlewaretoken": self._token(ADD), "consent": "nobody"}
        status, page = self._post(ADD, fields, ("upload", picture))
        if status == 302:
            return "taken"
        return "told to wait" if "try again in a moment" in page else f"{status}"

    def take_in(self, archive: bytes, times: list[float]) -> None:
        """Until all pictures are in the study; `times` gets each request's seconds."""
        fields = {"csrfmiddlewaretoken": self._token(f"{STUDY}/upload/")}
        begun = time.monotonic()
        status, _ = self._post(f"{STUDY}/upload/", fields, ("archive", archive))
        times.append(time.monotonic() - begun)
        if status != 302:
            return  # as it was before: all in one request
        while status != 302 or len(times) == 1:
            begun = time.monotonic()
            status, _ = self._post(f"{STUDY}/uploading/", fields)
            times.append(time.monotonic() - begun)

    def _token(self, address: str) -> str:
        _, page = self._ask("GET", address)
        found = re.search(r'csrfmiddlewaretoken" value="(\w+)"', page)
        assert found is not None, address
        return found[1]

    def _post(
        self,
        address: str,
        fields: dict[str, str],
        file: tuple[str, bytes] | None = None,
    ) -> tuple[int, str]:
        edge = secrets.token_hex(16)
        parts = [
            f'--{edge}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
            f"{value}\r\n".encode()
            for name, value in fields.items()
        ]
        if file is not None:
            head = (
                f'--{edge}\r\nContent-Disposition: form-data; name="{file[0]}"; '
                'filename="file"\r\nContent-Type: application/octet-stream\r\n\r\n'
            )
            parts += [head.encode(), file[1], b"\r\n"]
        body = b"".join([*parts, f"--{edge}--\r\n".encode()])
        kind = {"Content-Type": f"multipart/form-data; boundary={edge}"}
        return self._ask("POST", address, body, kind)

    def _ask(
        self, how: str, address: str, body: bytes = b"", headers: Any = None
    ) -> tuple[int, str]:
        sent = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1200)
        line.request(how, address, body, {**(headers or {}), "Cookie": sent})
        answer = line.getresponse()
        for header in answer.headers.get_all("Set-Cookie", []):
            name, _, value = header.split(";")[0].partition("=")
            self.cookies[name] = value
        page = answer.read().decode(errors="replace")
        line.close()
        return answer.status, page


def floor(picture: bytes) -> None:
    """What nothing but Pillow takes: its process before, and at the peak."""
    said = subprocess.run(
        [sys.executable, "-c", FLOOR], input=picture, check=True, capture_output=True
    ).stdout.split()
    before, peak = (int(it) * 1024 / 1e6 for it in said)
    print(f"Pillow alone: {before:.0f} MB before, {peak:.0f} MB at the peak")


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


if __name__ == "__main__":
    main()
