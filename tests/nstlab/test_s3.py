"""Pictures in an S3-compatible store: moto's server, real requests over a socket."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from django.conf import settings as lab
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.utils import timezone
from moto.server import ThreadedMotoServer

from generation.engine.pictures.files import open_picture, pixel_sha256
from generation.models import Batch
from generation.pictures.media import check_media, prune
from generation.queueing.batches import queue_experiment
from generation.queueing.tasks import render_batch
from nstlab.core.storage import read_stored
from nstlab.settings import pictures
from nstlab.supervisor import answers_http, gunicorn
from survey.client import OverSockets, take_part
from survey.models import Study
from survey.studies import uploads
from tests.conftest import png, put_on_wall
from tests.e2e.browser import free_port
from tests.elsewhere import Elsewhere, database_url
from tests.survey.test_own_pictures import zipped

pytestmark = pytest.mark.once

BUCKET = "nstlab-pictures"
AT_ONCE = dt.timedelta(0)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty private bucket, and the keys to it as boto3 reads them."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "lab",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    bucket = boto3.resource("s3", endpoint_url=endpoint).Bucket(BUCKET)
    bucket.create()
    yield bucket
    bucket.objects.all().delete()
    bucket.delete()


@pytest.fixture
def store(bucket: Any, endpoint: str, settings: Any) -> Any:
    """This process keeps its pictures in `bucket`, as NSTLAB_S3_BUCKET would say."""
    settings.STORAGES = {**lab.STORAGES, "default": pictures(BUCKET, endpoint)}
    return bucket


class Away:
    """moto's server, which can be away for a while; what it holds it keeps."""

    def __init__(self) -> None:
        self.port = free_port()
        self.back()

    def back(self) -> None:
        self.server = ThreadedMotoServer("127.0.0.1", self.port, verbose=False)
        self.server.start()

    def leave(self) -> None:
        self.server.stop()


@pytest.fixture
def away(bucket: Any, settings: Any) -> Iterator[Away]:
    """A store of this process that can be away; it holds the same as `bucket`."""
    store = Away()
    endpoint = f"http://127.0.0.1:{store.port}"
    settings.STORAGES = {**lab.STORAGES, "default": pictures(BUCKET, endpoint)}
    yield store
    store.leave()


def objects(bucket: Any) -> set[str]:
    return {each.key for each in bucket.objects.all()}


def test_a_render_s_picture_is_saved_and_read_back(
    store: Any, experiment: Any, logged_in: Any
) -> None:
    render = put_on_wall(experiment)[0]
    assert render.picture.name in objects(store)
    response = logged_in.get(f"/pictures/render/{render.pk}.png")
    assert response["Content-Type"] == "image/png"
    data = response.getvalue()
    assert pixel_sha256(open_picture(data).image) == render.pixel_sha256
    assert store.Object(render.picture.name).content_type == "image/png"


def test_a_picture_that_is_gone_is_not_found(
    store: Any, experiment: Any, logged_in: Any
) -> None:
    render = put_on_wall(experiment)[0]
    default_storage.delete(render.picture.name)
    assert render.picture.name not in objects(store)
    assert logged_in.get(f"/pictures/render/{render.pk}.png").status_code == 404


def test_any_machine_goes_on_with_an_archive_in_the_bucket(
    store: Any,
    researcher: Any,
    django_capture_on_commit_callbacks: Any,
    settings: Any,
    tmp_path: Path,
) -> None:
    study = Study.objects.create(title="Mine", owner=researcher)
    colours = {f"{n}.png": png((40 * n, 10, 200)) for n in range(3)}
    upload = uploads.begin(study, zipped(colours), None)
    key = upload.archive.name
    assert key in objects(store)
    for turn, machine in enumerate(("a", "b", "c"), start=1):
        settings.VAR = tmp_path / machine
        settings.VAR.mkdir()
        with django_capture_on_commit_callbacks(execute=True):
            assert uploads.go_on(upload, 0.0) == 3 - turn
        copies = list((settings.VAR / "archives").glob("*"))
        assert len(copies) == (turn < 3)  # the last one tidies up
        for path in copies:
            assert path.stat().st_mode & 0o777 == 0o600
    assert study.stimuli.count() == 3 and key not in objects(store)
    # Copies that other machines keep go with the next day's purge.
    settings.VAR = tmp_path / "a"
    [copy] = (settings.VAR / "archives").glob("*")
    uploads.purge(timezone.now() + dt.timedelta(hours=1))
    assert copy.exists()
    uploads.purge(timezone.now() + dt.timedelta(hours=25))
    assert not copy.exists()


def test_files_of_one_name_do_not_overwrite_each_other(store: Any, db: None) -> None:
    first = default_storage.save("render/a.png", ContentFile(b"first"))
    second = default_storage.save("render/a.png", ContentFile(b"second"))
    assert first != second
    with default_storage.open(first) as file:
        assert file.read() == b"first"


def test_orphans_and_missing_files_are_found_and_mended(store: Any, study: Any) -> None:
    assert check_media(grace=AT_ONCE).files == len(objects(store)) == 2 * 2 + 3 + 3
    render = study.experiment.renders.first()
    default_storage.delete(render.picture.name)
    default_storage.save("render/nobody.png", ContentFile(b"x"))
    found = check_media(grace=AT_ONCE)
    assert [str(each.row.pk) for each in found.missing] == [str(render.pk)]
    assert found.orphans == ["render/nobody.png"]
    prune(found)
    render.refresh_from_db()
    assert render.status == "failed"
    assert "render/nobody.png" not in objects(store)


def test_a_store_has_no_end_of_room(store: Any, db: None) -> None:
    from generation.experiments.forecast import free_bytes

    assert free_bytes() is None


@pytest.fixture
def environment(bucket: Any, endpoint: str) -> dict[str, str]:
    """A lab process that is told by its environment alone."""
    return {
        **os.environ,
        "NSTLAB_S3_BUCKET": BUCKET,
        "NSTLAB_S3_ENDPOINT": endpoint,
    }


@pytest.mark.django_db(transaction=True)
def test_a_web_process_shows_participants_what_is_in_the_bucket(
    store: Any, environment: dict[str, str], study: Any
) -> None:
    port = free_port()
    server = subprocess.Popen(
        gunicorn("127.0.0.1", port),
        cwd=lab.BASE_DIR,
        env={**environment, "DATABASE_URL": database_url()},
        stderr=subprocess.DEVNULL,
    )
    base = f"http://127.0.0.1:{port}"
    try:
        assert answers_http(f"{base}/health/live")
        person, seen = OverSockets(), {}

        def choose(code: str) -> int:
            address = f"{base}{study.get_absolute_url()}picture/{code}.png"
            with person._opener.open(address) as response:
                seen[code] = response.read()
                assert response.headers["Content-Type"] == "image/png"
                assert "immutable" in response.headers["Cache-Control"]
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(address)
            return 3

        assert take_part(person, base + study.get_absolute_url(), choose=choose) == 3
    finally:
        server.terminate()
        server.wait()
    for stimulus in study.stimuli.all():
        kept = store.Object(stimulus.picture.name).get()["Body"].read()
        assert hashlib.sha256(seen[stimulus.code]).digest() == (
            hashlib.sha256(kept).digest()
        )


@pytest.mark.django_db(transaction=True)
def test_commands_check_the_bucket_too(
    store: Any, environment: dict[str, str], study: Any
) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "check_media", "--grace-minutes", "0"],
        cwd=lab.BASE_DIR,
        env={**environment, "DATABASE_URL": database_url()},
        capture_output=True,
        text=True,
    )
    assert re.match(r"10 files, 0 missing, 0 without a row", done.stdout), done.stderr


@pytest.mark.django_db(transaction=True)
def test_a_bucket_is_backed_up_and_another_one_restored(
    store: Any, endpoint: str, study: Any, tmp_path: Path, elsewhere: Elsewhere
) -> None:
    call_command("backup", tmp_path / "backup", verbosity=0)
    other = boto3.resource("s3", endpoint_url=endpoint).Bucket("nstlab-other")
    other.create()
    into = {"NSTLAB_S3_BUCKET": other.name, "NSTLAB_S3_ENDPOINT": endpoint}
    elsewhere.says("restore", str(tmp_path / "backup"), **into)
    assert objects(other) == objects(store)
    for name in objects(store):
        assert (
            other.Object(name).get()["Body"].read()
            == store.Object(name).get()["Body"].read()
        )


def test_pictures_in_s3_are_not_nginx_s_to_send(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import nstlab.settings"],
        cwd=lab.BASE_DIR,
        env={**environment, "NSTLAB_ACCEL": "/_pictures/"},
        capture_output=True,
        text=True,
    )
    assert "NSTLAB_ACCEL is for pictures on a disk" in done.stderr


@pytest.mark.django_db(transaction=True)
def test_a_render_waits_for_a_store_that_is_away_for_a_while(
    away: Away, experiment: Any
) -> None:
    queue_experiment(experiment)
    batch = Batch.objects.get()
    away.leave()
    back = threading.Timer(1, away.back)
    back.start()
    assert render_batch(batch.pk, 1) == "2 painted"
    back.join()
    for render in experiment.renders.all():
        assert (render.status, render.attempt) == ("done", 1)
        assert read_stored(render.picture).read()[:4] == b"\x89PNG"


@pytest.mark.django_db(transaction=True)
def test_a_store_that_stays_away_gives_the_batch_back_and_says_so(
    away: Away, experiment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nstlab.core.storage.PATIENCE_SECONDS", ())
    queue_experiment(experiment)
    batch = Batch.objects.get()
    away.leave()
    assert render_batch(batch.pk, 1) == "given back"
    states = experiment.renders.values_list("status", "traceback")
    assert set(states) == {("queued", "")}
    reasons = "".join(experiment.renders.values_list("reason", flat=True))
    assert reasons.startswith("The store of the pictures did not answer")
    away.back()
    batch.refresh_from_db()
    assert render_batch(batch.pk, batch.attempt) == "2 painted"
