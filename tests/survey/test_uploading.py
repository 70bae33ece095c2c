"""An archive is taken in piece by piece: each picture once, whatever breaks off."""

from __future__ import annotations

import datetime as dt
import io
import re
import stat
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.db import connection
from django.utils import timezone
from PIL import Image

from generation.engine.pictures.files import pixel_sha256
from generation.pictures.decoding import DecoderBusy, decode
from survey import housekeeping
from survey.models import Stimulus, Study, Upload
from survey.refusals import CannotOpen
from survey.studies import lifecycle, preflight, uploads, versions
from survey.studies.pages import upload as upload_pages
from survey.studies.uploads import UploadRefused, begin, go_on
from tests.conftest import png
from tests.survey.test_own_pictures import REQUIRED, files_there, zipped
from tests.survey.test_racing import race

pytestmark = pytest.mark.django_db(transaction=True)

COLOURS = {f"{n}.png": (40 * n, 10, 200) for n in range(5)}
TABLE = b"file,strength,reference\n0.png,0,\n1.png,1,0.png\n2.png,2,0.png\n" + (
    b"3.png,3,4.png\n4.png,4,\n"
)


@pytest.fixture
def own(researcher: Any) -> Study:
    return Study.objects.create(title="Mine", owner=researcher, **REQUIRED)


@cache
def _bytes(*others: str) -> bytes:
    """Made once: a ZIP says when it was made."""
    files = {name: png(colour) for name, colour in COLOURS.items()}
    return zipped(files | dict.fromkeys(others, b"<svg/>")).getvalue()


def archive(*others: str) -> Any:
    """A ZIP of five pictures of one colour each, and of files that are none."""
    file = io.BytesIO(_bytes(*others))
    file.name = "mine.zip"
    return file


def archives_there() -> set[str]:
    return {path.name for path in Path(default_storage.path("archive")).glob("*")}


def is_whole(study: Study) -> bool:
    """Each picture is there once, with its own pixels, factor and reference."""
    shown = {it.parameters["file"]: it for it in study.stimuli.all()}
    assert study.stimuli.count() == len(shown) == 5
    for name, colour in COLOURS.items():
        pixels = Image.open(shown[name].picture.open()).convert("RGB")
        given = Image.open(io.BytesIO(png(colour))).convert("RGB")
        assert pixels.tobytes() == given.tobytes()
        assert shown[name].pixel_sha256 == pixel_sha256(given)
        assert shown[name].parameters["strength"] == name[0]
    assert {name for name, it in shown.items() if it.is_reference} == {"0.png", "4.png"}
    assert shown["1.png"].reference == shown["2.png"].reference == shown["0.png"]
    assert shown["3.png"].reference == shown["4.png"]
    return files_there() >= {Path(it.picture.name).name for it in shown.values()}


def test_it_is_taken_in_a_picture_at_a_time(own: Study) -> None:
    before = archives_there()
    upload = begin(own, archive(), TABLE)
    assert own.stimuli.count() == 0
    assert [go_on(upload, 0.0) for _ in range(5)] == [4, 3, 2, 1, 0]
    assert is_whole(own)
    assert (upload.taken, upload.refused_count, upload.error) == (5, 0, "")
    assert upload.finished_at is not None
    assert archives_there() == before and not upload.pictures.exists()
    assert go_on(upload) == 0 and is_whole(own)


def test_only_the_lab_may_read_an_archive_that_waits(own: Study) -> None:
    path = Path(begin(own, archive(), None).archive.path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("breaks", ["decode", "_keep", "_finish"])
def test_whatever_breaks_off_is_gone_on_with(
    own: Study, breaks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files_there()
    upload = begin(own, archive(), TABLE)
    assert go_on(upload, 0.0) == 4

    def gone(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(uploads, breaks, gone)
    with pytest.raises(KeyboardInterrupt):
        go_on(upload)
    monkeypatch.undo()
    assert go_on(Upload.objects.get(pk=upload.pk)) == 0
    assert is_whole(own)
    assert len(files_there() - before) == 5


def test_a_new_version_waits_until_all_is_taken_in(own: Study) -> None:
    """Before that, what refers to what is not known."""
    upload = begin(own, archive(), TABLE)
    assert go_on(upload, 0.0) == 4
    with pytest.raises(CannotOpen, match="are being imported"):
        versions.new_version(own)
    assert Study.objects.get() == own
    assert go_on(upload) == 0
    Study.objects.filter(pk=own.pk).update(state=Study.State.OPEN)
    assert is_whole(versions.new_version(own))


def test_what_no_database_can_keep_is_refused_by_name(own: Study) -> None:
    path = f"{'a' * 250}/{'b' * 250}.png"
    table = f"file,reference\nshort.png,{path}\n".encode()
    files = {"short.png": png((1, 2, 3)), path: png((3, 2, 1))}
    upload = uploads.take_in(own, zipped(files), table)
    assert upload.taken == 1
    longer = "has a path of more than 500 characters"
    assert ["short.png", f"its reference {longer}"] in upload.refused


def test_a_name_in_no_encoding_is_a_damaged_archive(own: Study) -> None:
    whole = zipped({"é.png": png((1, 2, 3))}).getvalue()
    damaged = io.BytesIO(whole.replace("é".encode(), b"\xff\xfe"))
    with pytest.raises(UploadRefused, match="cannot be read"):
        begin(own, damaged, None)


def test_several_that_go_on_at_once_take_each_picture_once(own: Study) -> None:
    before = files_there()
    upload = begin(own, archive(), TABLE)

    def run() -> None:
        mine = Upload.objects.get(pk=upload.pk)
        while go_on(mine, 0.0):
            pass

    assert race(*[run] * 4) == [None] * 4
    assert is_whole(own)
    assert len(files_there() - before) == 5
    upload.refresh_from_db()
    assert upload.taken == 5


def test_a_form_that_comes_twice_is_one_upload(own: Study) -> None:
    before = archives_there()

    def run() -> int:
        study = Study.objects.get(pk=own.pk)
        return begin(study, archive(), TABLE, form="a form").pk

    first, *others = race(run, run, run)
    assert isinstance(first, int) and others == [first, first]
    assert len(archives_there() - before) == 1
    upload = Upload.objects.get()
    assert go_on(upload) == 0
    again = begin(own, archive(), TABLE, form="a form")
    assert again.pk == upload.pk and go_on(again) == 0
    assert is_whole(own) and archives_there() == before
    # Gone back to, the form may bring other files.
    other = begin(own, zipped({"more.png": png((1, 2, 3))}), None, form="a form")
    assert go_on(other) == 0 and own.stimuli.count() == 6


def test_one_archive_at_a_time(own: Study) -> None:
    upload = begin(own, archive(), TABLE)
    before = archives_there()
    with pytest.raises(UploadRefused, match="another archive are being imported"):
        begin(own, archive(), TABLE)
    assert archives_there() == before
    assert go_on(upload) == 0 and is_whole(own)


def test_nothing_opens_before_all_is_in(own: Study) -> None:
    upload = begin(own, archive(), None)
    go_on(upload, 0.0)
    for act in (lifecycle.open_study, lifecycle.pilot_study):
        with pytest.raises(CannotOpen, match="are being imported"):
            act(own)
    own.refresh_from_db()
    assert own.state == "draft"
    [remark] = [it for it in preflight.remarks(own) if "archive" in it.text]
    assert remark.stops and "4 are left" in remark.text
    assert go_on(upload) == 0
    lifecycle.open_study(own)
    assert own.items.count() == 5


def test_what_is_opened_all_the_same_gets_no_more(own: Study) -> None:
    upload = begin(own, archive(), None)
    go_on(upload, 0.0)
    before = files_there()
    Study.objects.filter(pk=own.pk).update(state=Study.State.OPEN)
    with pytest.raises(CannotOpen, match="frozen"):
        go_on(upload)
    with pytest.raises(CannotOpen, match="frozen"):
        uploads.cancel(upload)
    assert own.stimuli.count() == 1 and files_there() == before


def test_cancelling_removes_what_the_archive_brought_and_nothing_else(
    own: Study,
) -> None:
    uploads.take_in(own, zipped({"mine.png": png((1, 2, 3))}), None)
    files, archives = files_there(), archives_there()
    upload = begin(own, archive(), TABLE)
    for _ in range(2):
        go_on(upload, 0.0)
    assert uploads.cancel(upload)
    assert not uploads.cancel(upload) and go_on(upload) == 0
    assert [it.parameters["file"] for it in own.stimuli.all()] == ["mine.png"]
    assert (files_there(), archives_there()) == (files, archives)
    uploads.take_in(own, archive(), TABLE)
    assert own.stimuli.count() == 6


def test_an_archive_that_is_damaged_further_on_leaves_nothing(own: Study) -> None:
    file = archive()
    data = bytearray(file.getvalue())
    at = data.index(b"4.png") + len("4.png")
    data[at : at + 20] = bytes(byte ^ 0xFF for byte in data[at : at + 20])
    files, archives = files_there(), archives_there()
    upload = begin(own, type(file)(bytes(data)), None)
    assert [go_on(upload, 0.0) for _ in range(5)] == [4, 3, 2, 1, 0]
    assert "4.png in the archive cannot be read" in upload.error
    assert not own.stimuli.exists()
    assert (files_there(), archives_there()) == (files, archives)


def test_an_archive_that_is_gone_is_said_to_be(own: Study) -> None:
    upload = begin(own, archive(), None)
    go_on(upload, 0.0)
    Path(upload.archive.path).unlink()
    assert go_on(Upload.objects.get()) == 0
    assert "upload it again" in Upload.objects.get().error
    assert not own.stimuli.exists()


def test_what_nobody_goes_on_with_is_removed_after_a_day(own: Study) -> None:
    files, archives = files_there(), archives_there()
    upload = begin(own, archive(), None)
    go_on(upload, 0.0)
    later = timezone.now() + dt.timedelta(hours=23)
    assert uploads.purge(later) == 0 and own.stimuli.count() == 1
    Upload.objects.update(touched_at=timezone.now() - dt.timedelta(hours=25))
    housekeeping.purge_due()
    upload.refresh_from_db()
    assert "within a day" in upload.error and upload.finished_at is not None
    assert not own.stimuli.exists()
    assert (files_there(), archives_there()) == (files, archives)


def test_a_study_takes_its_archive_along_when_it_is_deleted(own: Study) -> None:
    files, archives = files_there(), archives_there()
    go_on(begin(own, archive(), None), 0.0)
    lifecycle.delete_study(own)
    assert not Upload.objects.exists() and not Stimulus.objects.exists()
    assert (files_there(), archives_there()) == (files, archives)


def test_another_picture_that_is_being_read_costs_nothing(
    own: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = begin(own, archive(), TABLE)
    free = iter([True, False, False])

    def busy(data: bytes) -> Any:
        if next(free, True):
            return decode(data)
        raise DecoderBusy

    monkeypatch.setattr(uploads, "decode", busy)
    assert [go_on(upload, 60.0), go_on(upload, 60.0)] == [4, 0]
    assert is_whole(own) and upload.refused_count == 0


def test_no_transaction_is_open_while_an_archive_is_read(
    own: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = []

    def looking(data: bytes) -> Any:
        held.append(connection.in_atomic_block)
        return decode(data)

    monkeypatch.setattr(uploads, "decode", looking)
    upload = begin(own, archive(), TABLE)
    while go_on(upload, 0.0):
        pass
    assert held == [False] * 5


# The pages --------------------------------------------------------------------


def key_of(page: str) -> str:
    found = re.search(r'name="key" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def test_the_desk_shows_how_far_it_is_and_goes_on(
    logged_in: Any, own: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_pages, "COPY_SECONDS", 0.0)
    form = f"/admin/survey/study/{own.pk}/upload/"
    progress = f"/admin/survey/study/{own.pk}/uploading/"
    change = f"/admin/survey/study/{own.pk}/change/"
    key = key_of(logged_in.get(form).content.decode())
    sent = {"archive": archive("b.svg"), "key": key}
    assert logged_in.post(form, sent)["Location"] == progress
    # The same again, as browsers and proxies do it; it only goes on.
    sent["archive"] = archive("b.svg")
    assert logged_in.post(form, sent)["Location"] == progress
    assert own.stimuli.count() == 2
    # Without a script: a button. Whoever left finds the way back.
    page = logged_in.get(form, follow=True).content.decode()
    assert "2 of 6 pictures are read." in page and "Go on" in page
    assert "being imported" in logged_in.get(change).content.decode()
    page = logged_in.post(progress).content.decode()
    assert "3 of 6 pictures are read." in page
    # With one: a part of the page, in the end where to go.
    parts = [logged_in.post(progress, headers={"HX-Request": "true"}) for _ in range(3)]
    assert "5 of 6" in parts[1].content.decode()
    assert "<html" not in parts[1].content.decode()
    assert parts[2]["HX-Redirect"] == form
    page = logged_in.get(form).content.decode()
    assert "5 pictures imported" in page and "is no PNG" in page
    assert "being imported" not in logged_in.get(change).content.decode()
    assert own.stimuli.count() == 5
    # And the same once more, after all was in.
    sent["archive"] = archive("b.svg")
    assert logged_in.post(form, sent)["Location"] == form
    assert own.stimuli.count() == 5


def test_the_desk_cancels(
    logged_in: Any, own: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_pages, "COPY_SECONDS", 0.0)
    form = f"/admin/survey/study/{own.pk}/upload/"
    page = logged_in.post(form, {"archive": archive()}, follow=True).content.decode()
    assert "Cancel, and remove" in page
    other = logged_in.post(
        form, {"archive": archive(), "key": "another"}
    ).content.decode()
    assert "Pictures of another archive are being imported" in other
    page = logged_in.post(
        f"/admin/survey/study/{own.pk}/uploading/", {"act": "cancel"}, follow=True
    ).content.decode()
    assert "The archive and its pictures are gone." in page
    assert not own.stimuli.exists() and not Upload.objects.exists()


def test_of_very_many_refused_rows_the_first_hundred_are_shown(
    logged_in: Any, own: Study
) -> None:
    rows = "".join(f"none-{n}.png\n" for n in range(3000))
    table = zipped({})
    table.write(f"file\n{rows}0.png\n".encode())
    table.seek(0)
    table.truncate()
    table.name = "table.csv"
    table.write(f"file\n{rows}0.png\n".encode())
    table.seek(0)
    page = logged_in.post(
        f"/admin/survey/study/{own.pk}/upload/",
        {"archive": archive(), "table": table},
        follow=True,
    ).content.decode()
    assert "1 picture imported" in page
    # 3,000 rows without a picture, and 4 pictures without a row.
    assert "3004 rows or files in all; these are the first 100." in page
    assert page.count("is in the CSV and not in the archive") == 100
    assert "none-99.png" in page and "none-100.png" not in page
