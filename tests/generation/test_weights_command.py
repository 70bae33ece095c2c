from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from django.core.management import CommandError, call_command

from generation.engine.networks.weights import state_dict
from generation.models import Render
from generation.queueing.batches import queue_experiment

pytestmark = pytest.mark.django_db


def test_a_file_is_kept_by_its_hash_and_listed(
    tmp_path: Path, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.NSTLAB_WEIGHTS = tmp_path / "weights"
    torch.save(state_dict("random:3", network="vgg16", folder=None), tmp_path / "v.pth")
    call_command("weights", "add", str(tmp_path / "v.pth"))
    short = capsys.readouterr().out.split()[-1]
    assert short.startswith("file:") and len(short) == 5 + 12
    call_command("weights", "list")
    assert f"{short}  VGG-16 · a file of weights" in capsys.readouterr().out
    call_command("weights", "list", verbosity=2)
    (name,) = re.findall(rf"{short}[0-9a-f]{{52}}", capsys.readouterr().out)
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
    assert said.split()[-1] == f"file:{sha256[:12]}:v1"
    call_command("weights", "list")
    assert f"file:{sha256[:12]}:v1" in capsys.readouterr().out.split()


def test_a_kept_file_is_removed_by_the_first_digits_of_its_name_unless_it_is_needed(
    tmp_path: Path,
    settings: Any,
    capsys: pytest.CaptureFixture[str],
    make_experiment: Any,
) -> None:
    settings.NSTLAB_WEIGHTS = tmp_path / "weights"
    torch.save(state_dict("random:3", network="vgg16", folder=None), tmp_path / "v.pth")
    call_command("weights", "add", str(tmp_path / "v.pth"), verbosity=2)
    name = capsys.readouterr().out.split()[-1]
    with pytest.raises(CommandError, match="not the name of one kept file"):
        call_command("weights", "remove", name[5:9])
    queue_experiment(make_experiment(name="Needs them", weights=name))
    with pytest.raises(CommandError, match="renders that are queued or running"):
        call_command("weights", "remove", name)
    assert name in weights_listed(capsys)
    Render.objects.update(status=Render.Status.CANCELLED)
    call_command("weights", "remove", name[5:15])
    assert name not in weights_listed(capsys)
    assert not list((tmp_path / "weights").iterdir())


def weights_listed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    call_command("weights", "list", verbosity=2)
    return capsys.readouterr().out.split()


def test_without_a_network_fetching_says_why_and_what_else_there_is(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.NSTLAB_WEIGHTS = tmp_path / "weights"
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    with pytest.raises(CommandError, match=r"cannot be fetched .*weights add FILE"):
        call_command("weights", "get")
    with pytest.raises(CommandError, match="of VGG-19 there is imagenet-v1"):
        call_command("weights", "get", "--network", "vgg19")


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
