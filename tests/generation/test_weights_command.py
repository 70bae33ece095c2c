from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from django.core.management import CommandError, call_command

from generation.engine.networks.weights import state_dict


def test_a_file_is_kept_by_its_hash_and_listed(
    tmp_path: Path, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.NSTLAB_WEIGHTS = tmp_path / "weights"
    torch.save(state_dict("random:3", network="vgg16", folder=None), tmp_path / "v.pth")
    call_command("weights", "add", str(tmp_path / "v.pth"))
    name = capsys.readouterr().out.split()[-1]
    assert name.startswith("file:") and len(name) == 5 + 64
    call_command("weights", "list")
    assert name in capsys.readouterr().out
    kept = state_dict(name, network="vgg16", folder=settings.NSTLAB_WEIGHTS)
    expected = state_dict("random:3", network="vgg16", folder=None)
    assert all(torch.equal(kept[key], expected[key]) for key in expected)


def test_a_published_file_is_offered_with_the_input_that_it_expects(
    tmp_path: Path,
    settings: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.NSTLAB_WEIGHTS = tmp_path / "weights"
    torch.save(state_dict("random:3", network="vgg16", folder=None), tmp_path / "v.pth")
    sha256 = hashlib.sha256((tmp_path / "v.pth").read_bytes()).hexdigest()
    known = {sha256[:8]: ("torchvision's own", "v1")}
    monkeypatch.setattr("generation.engine.networks.weights.PUBLISHED_FILES", known)
    call_command("weights", "add", str(tmp_path / "v.pth"))
    said = capsys.readouterr().out
    assert "The file is torchvision's own" in said
    assert said.split()[-1] == f"file:{sha256}:v1"
    call_command("weights", "list")
    assert f"file:{sha256}:v1" in capsys.readouterr().out.split()


@pytest.mark.parametrize("content", [b"no weights at all", b""])
def test_something_else_is_refused_with_a_sentence(
    tmp_path: Path, settings: Any, content: bytes
) -> None:
    settings.NSTLAB_WEIGHTS = tmp_path / "weights"
    (tmp_path / "v.pth").write_bytes(content)
    with pytest.raises(CommandError, match=r"not a file of weights"):
        call_command("weights", "add", str(tmp_path / "v.pth"))
    assert not list((tmp_path / "weights").glob("*"))


def test_weights_of_another_network_are_refused(tmp_path: Path, settings: Any) -> None:
    settings.NSTLAB_WEIGHTS = tmp_path / "weights"
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "v.pth")
    with pytest.raises(CommandError, match="not the weights of a vgg"):
        call_command("weights", "add", str(tmp_path / "v.pth"))
