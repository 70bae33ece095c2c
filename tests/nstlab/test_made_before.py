"""What an earlier lab wrote is read; `tests/made_before/README.md` says what it is."""

from __future__ import annotations

import csv
import io
import json
import runpy
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.utils.module_loading import import_string

from generation.engine.settings import RenderSettings

MADE_BEFORE = Path(__file__).resolve().parents[1] / "made_before"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the files, to work in."""
    shutil.copytree(MADE_BEFORE, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    yield tmp_path


def engine(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    """`python -m generation.engine` in this process; its exit status."""
    monkeypatch.setattr("sys.argv", ["generation.engine", *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("generation.engine", run_name="__main__")
    return ended.value.code


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["acr", "pairs"])
def test_a_bundle_gives_its_study_and_every_answer(method: str) -> None:
    from analysis.bundle.read import import_bundle
    from analysis.exports import csv_lines, ratings_rows

    path = MADE_BEFORE / f"{method}.zip"
    with zipfile.ZipFile(path) as bundle:
        (name,) = (it for it in bundle.namelist() if "ratings_data" in it)
        before = list(csv.DictReader(io.StringIO(bundle.read(name).decode())))
    study = import_bundle(path)

    assert study.method == method
    lines = csv_lines(before[0], ratings_rows(study, shared=True))
    assert list(csv.DictReader(io.StringIO("".join(lines)))) == before
    assert {it.parameters["content_layer"] for it in study.stimuli.all()} == {"conv3_1"}


@pytest.mark.once
def test_the_engine_reads_a_picture_and_paints_it_again(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ("--device", "cpu", "--threads", "1", "--out", "again.png")
    status = engine(monkeypatch, "rerender", "picture.png", *options)

    said = capsys.readouterr()
    # 1 on another kind of processor, which the command says.
    assert status == 0 or "environment" in said.out + said.err, said
    told = _story(folder / "again.png")
    before = _story(folder / "picture.png")
    assert "content_layers" in before["settings"]
    assert told["settings"]["content_layer"] == [["conv2_1", 2], ["conv3_1:pre", 1]]
    assert RenderSettings.from_dict(told["settings"]) == RenderSettings.from_kept(
        before["settings"]
    )


def _story(path: Path) -> dict[str, Any]:
    from PIL import Image

    with Image.open(path) as image:
        found: dict[str, Any] = json.loads(image.info["nstlab"])
    return found


@pytest.mark.once
def test_a_checkpoint_of_another_engine_is_known_and_not_gone_on_with(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pictures = ("--content", "content.png", "--style", "style.png", "--out", "new.png")
    layers = ("--content-layers", "conv1_1", "--style-layers", "conv1_1")
    budget = ("--size", "16", "--optimiser", "adam", "--evaluations", "300")
    kept = ("--weights", "random:0", "--device", "cpu", "--checkpoint", "half.pt")
    status = engine(monkeypatch, "render", *pictures, *layers, *budget, *kept)

    assert status == 2
    assert "belongs to another request: remove it" in capsys.readouterr().err
    assert not (folder / "new.png").exists()


@pytest.mark.broker
def test_a_waiting_job_finds_the_function_that_does_it_today(queues: None) -> None:
    import django_rq
    from rq.job import Job
    from rq.serializers import JSONSerializer

    from nstlab.core.workers import give_new_name

    connection = django_rq.get_connection("render")
    for job_id, stored in json.loads((MADE_BEFORE / "jobs.json").read_text()).items():
        fields = stored | {"data": bytes.fromhex(stored["data"])}
        connection.hset(f"rq:job:{job_id}", mapping=fields)
        job = Job.fetch(job_id, connection=connection, serializer=JSONSerializer)
        arguments = list(job.args)
        give_new_name(job)
        again = Job.fetch(job_id, connection=connection, serializer=JSONSerializer)
        assert callable(import_string(again.func_name)), again.func_name
        assert list(again.args) == arguments
