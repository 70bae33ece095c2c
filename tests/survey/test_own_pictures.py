"""A study of pictures of one's own: ZIP and CSV in, stimuli and a report out."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.db import connection
from django.test import Client
from PIL import Image

from generation.pictures.decoding import decode
from survey.models import Study
from survey.refusals import CannotOpen
from survey.studies import uploads
from survey.studies.lifecycle import open_study
from survey.studies.uploads import UploadRefused, take_in
from tests.conftest import png
from tests.survey.test_study_pages import filled

pytestmark = pytest.mark.django_db

REQUIRED = {"controller": "x", "contact": "y", "ethics_reference": "z"}


@pytest.fixture
def own(researcher: Any) -> Study:
    return Study.objects.create(title="Mine", owner=researcher, **REQUIRED)


def packed(**members: bytes) -> io.BytesIO:
    """A ZIP; `a_png` becomes a.png."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("_", "."), data)
    file.seek(0)
    return file


def test_every_picture_of_a_zip_becomes_a_stimulus(own: Study) -> None:
    report = take_in(own, packed(a_png=png(), b_png=png((1, 2, 3))), None)
    assert (report.taken, report.refused) == (2, [])
    open_study(own)
    assert own.items.count() == 2
    assert {s.parameters["file"] for s in own.stimuli.all()} == {"a.png", "b.png"}


def test_the_csv_gives_factors_roles_and_references(own: Study) -> None:
    table = (
        "file,content,strength,reference,rated,training,gold\n"
        "a.png,cat,0.5,o.png,yes,1,\n"
        "b.png,cat,2,o.png,,,5\n"
        "o.png,cat,,,no,,\n"
    )
    report = take_in(
        own, packed(a_png=png(), b_png=png((9, 9, 9)), o_png=png((0, 0, 0))),
        table.encode("utf-8-sig"),
    )  # fmt: skip
    assert report.refused == []
    a, b, o = (own.stimuli.get(parameters__file=f"{n}.png") for n in "abo")
    assert a.parameters == {"file": "a.png", "content": "cat", "strength": "0.5"}
    assert b.parameters["strength"] == "2"
    assert (a.reference, b.reference, o.is_reference, o.rated) == (o, o, True, False)
    assert (a.training_order, b.gold_answer) == (1, 5)


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("a.svg", b"<svg/>", "is no PNG"),
        ("a.png", b"not a picture", ""),
        ("a.png", b"", ""),
        ("a.png", png()[:60], ""),
    ],
)
def test_what_is_no_picture_is_refused_and_the_rest_is_taken(
    own: Study, name: str, data: bytes, why: str
) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, data)
        archive.writestr("good.png", png())
    report = take_in(own, file, None)
    assert report.taken == 1
    [(refused, sentence)] = report.refused
    assert refused == name and why in sentence and sentence


def test_paths_in_an_archive_lead_nowhere(own: Study) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("../../etc/passwd.png", png())
        archive.writestr("/root/x.png", png((3, 4, 5)))
    report = take_in(own, file, None)
    assert report.taken == 2
    for stimulus in own.stimuli.all():
        assert stimulus.picture.name.startswith("stimulus")
        assert stimulus.parameters["file"] in {"passwd.png", "x.png"}


def test_a_bomb_is_refused_before_it_is_unpacked(own: Study) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("big.png", b"\0" * (65 * 1024 * 1024))
        archive.writestr("good.png", png())
    assert file.tell() < 1_000_000
    report = take_in(own, file, None)
    assert report.taken == 1
    assert report.refused == [["big.png", "is larger than 64 MB unpacked"]]


def test_a_picture_of_many_pixels_in_few_bytes_is_refused(own: Study) -> None:
    file = io.BytesIO()
    Image.new("1", (60_000, 60_000)).save(file, "PNG")
    report = take_in(own, packed(a_png=file.getvalue()), None)
    assert report.taken == 0 and "pixels" in report.refused[0][1]


@pytest.mark.parametrize(
    ("table", "what", "why"),
    [
        ("file,x\na.png,1\na.png,2\n", "line 3", "a second time"),
        ("file,x\na.png\n", "line 2", "not as many cells"),
        ("file,x\na.png,1\nz.png,1\n", "z.png", "not in the archive"),
        ("file,x\nz.png,1\n", "a.png", "no row in the CSV"),
        ("file,rated\na.png,perhaps\n", "a.png", "rated is yes or no"),
        ("file,gold\na.png,top\n", "a.png", "gold is a whole number"),
        ("file,reference\na.png,q.png\n", "a.png", "reference q.png is not there"),
    ],
)
def test_a_broken_row_is_reported_by_its_place(
    own: Study, table: str, what: str, why: str
) -> None:
    report = take_in(own, packed(a_png=png()), table.encode())
    assert any(w == what and why in sentence for w, sentence in report.refused)


@pytest.mark.parametrize(
    "encoded",
    [
        lambda text: text.encode(),
        lambda text: text.replace("\n", "\r\n").encode("utf-16"),
        lambda text: b"sep=;\r" + text.replace("\n", "\r").encode(),
        lambda text: text.replace(";", "\t").encode("utf-8-sig"),
        lambda text: text.replace(";", " ; ").encode(),
    ],
    ids=["plain", "utf-16", "cr and sep", "tabs", "spaces"],
)
def test_levels_and_names_stay_as_they_are_written(own: Study, encoded: Any) -> None:
    """Whatever program wrote the table; nothing becomes a number on its way."""
    table = "file;layer;content;alpha;version\na.png;2_1;007;0,50;1.10\n"
    report = take_in(own, packed(a_png=png()), encoded(table))
    assert report.refused == []
    assert own.stimuli.get().parameters == {
        "file": "a.png",
        "layer": "2_1",
        "content": "007",
        "alpha": "0,50",
        "version": "1.10",
    }


def test_a_name_is_found_however_its_accent_is_written(own: Study) -> None:
    """Archives from a Mac hold e and an accent where a CSV holds é."""
    decomposed, composed = "cafe\u0301.png", "caf\u00e9.png"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr(decomposed, png())
    archive.seek(0)
    report = take_in(own, archive, f"file,content\n{composed},cup\n".encode())
    assert report.refused == []
    assert own.stimuli.get().parameters == {"file": composed, "content": "cup"}


@pytest.mark.parametrize(
    ("table", "sentence"),
    [(b"name\nx\n", "column file"), (b"\xff\xfe", "cannot be read"), (b"", "is empty")],
)
def test_a_csv_that_is_none_takes_nothing_in(
    own: Study, table: bytes, sentence: str
) -> None:
    with pytest.raises(UploadRefused, match=sentence):
        take_in(own, packed(a_png=png()), table)
    assert not own.stimuli.exists()


def test_a_factor_cannot_be_called_like_a_column_of_the_report(own: Study) -> None:
    table = "file,n,Grain,grain,style weight\na.png,1,2,3,4\n"
    with pytest.raises(UploadRefused) as refused:
        take_in(own, packed(a_png=png()), table.encode())
    assert "'n' cannot be a factor" in str(refused.value)
    assert "'Grain' and 'grain' have the same name" in str(refused.value)
    assert not own.stimuli.exists()


def test_an_archive_that_is_none_is_refused(own: Study) -> None:
    with pytest.raises(UploadRefused, match="cannot be read"):
        take_in(own, io.BytesIO(b"PK not really"), None)


def zipped(files: dict[str, bytes]) -> io.BytesIO:
    """A ZIP with paths."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files.items():
            archive.writestr(path, data)
    return file


TWO_FOLDERS = {
    "a/ref.png": png((1, 1, 1)),
    "b/ref.png": png((200, 1, 1)),
    "a/x.png": png((1, 100, 1)),
    "b/x.png": png((1, 200, 1)),
}


def test_files_of_the_same_name_in_two_folders_are_told_apart(own: Study) -> None:
    table = (
        "file,content,reference\na/ref.png,a,\nb/ref.png,b,\n"
        "a/x.png,a,a/ref.png\nb/x.png,b,b/ref.png\n"
    )
    report = take_in(own, zipped(TWO_FOLDERS), table.encode())
    assert (report.taken, report.refused) == (4, [])
    for folder in "ab":
        picture = own.stimuli.get(parameters__file=f"{folder}/x.png")
        assert picture.parameters["content"] == folder
        assert picture.reference is not None and picture.reference.is_reference
        assert picture.reference.parameters["file"] == f"{folder}/ref.png"


def test_a_name_that_fits_two_files_is_refused_with_both(own: Study) -> None:
    table = "file,reference\na/x.png,ref.png\nx.png,\na/ref.png,\nb/ref.png,\n"
    report = take_in(own, zipped(TWO_FOLDERS), table.encode())
    why = "a/{0} or b/{0}: write it with its folder"
    assert {(what, sentence) for what, sentence in report.refused} == {
        ("a/x.png", f"its reference ref.png may be {why.format('ref.png')}"),
        ("x.png", f"may be {why.format('x.png')}"),
        ("b/x.png", "has no row in the CSV"),
    }
    assert own.stimuli.get(parameters__file="a/x.png").reference is None


def test_the_csv_may_leave_out_folders_that_all_files_are_in(own: Study) -> None:
    files = {f"mine/{path}": data for path, data in TWO_FOLDERS.items()}
    table = "file,reference\na/x.png,a/ref.png\na\\ref.png,\n"
    report = take_in(own, zipped(files), table.encode())
    assert report.taken == 2
    assert own.stimuli.get(parameters__file="mine/a/x.png").reference is not None


def test_a_damaged_member_is_named_and_nothing_is_kept(own: Study) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("good.png", png())
        archive.writestr("bad.png", png() * 20)
        start = archive.infolist()[1].header_offset + 30 + len("bad.png")
    data = bytearray(file.getvalue())
    data[start : start + 20] = bytes(byte ^ 0xFF for byte in data[start : start + 20])
    before = files_there()
    with pytest.raises(UploadRefused, match=r"bad\.png in the archive cannot be read"):
        take_in(own, io.BytesIO(bytes(data)), None)
    assert not own.stimuli.exists() and files_there() == before


def files_there() -> set[str]:
    return {path.name for path in Path(default_storage.path("stimulus")).glob("*")}


def test_rows_that_cannot_be_written_leave_no_file(
    own: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else opens the study while the pictures are being decoded."""

    def opening_meanwhile(data: bytes) -> Any:
        Study.objects.filter(pk=own.pk).update(state=Study.State.OPEN)
        return decode(data)

    monkeypatch.setattr(uploads, "decode", opening_meanwhile)
    before = files_there()
    with pytest.raises(CannotOpen, match="frozen"):
        take_in(own, packed(a_png=png(), b_png=png((1, 2, 3))), None)
    assert not own.stimuli.exists() and files_there() == before


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_pictures_are_decoded(
    own: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SQLite nobody could answer meanwhile."""
    held = []

    def looking(data: bytes) -> Any:
        held.append(connection.in_atomic_block)
        return decode(data)

    monkeypatch.setattr(uploads, "decode", looking)
    take_in(own, packed(a_png=png(), b_png=png((1, 2, 3))), None)
    assert held == [False, False] and own.stimuli.count() == 2


def test_an_open_study_takes_no_more_pictures(study: Study) -> None:
    with pytest.raises(CannotOpen, match="frozen"):
        take_in(study, packed(a_png=png()), None)


def test_the_desk_takes_an_archive_and_says_what_it_refused(
    logged_in: Any, own: Study
) -> None:
    archive = packed(a_png=png(), b_svg=b"<svg/>")
    archive.name = "mine.zip"
    page = logged_in.post(
        f"/admin/survey/study/{own.pk}/upload/", {"archive": archive}, follow=True
    ).content.decode()
    assert "1 picture imported" in page and "b.svg" in page
    opened = logged_in.post(
        f"/admin/survey/study/{own.pk}/change/",
        filled(logged_in.get(f"/admin/survey/study/{own.pk}/change/")) | {"_open": "1"},
        follow=True,
    )
    assert "is open" in opened.content.decode()


@pytest.mark.parametrize("use", ["training", "gold"])
def test_dcr_opens_with_no_picture_that_has_nothing_to_be_compared_with(
    own: Study, use: str
) -> None:
    """Also where that picture is shown for practice or as a check only."""
    files = {f"{name}.png": png((n, 2, 3)) for n, name in enumerate("abcd")}
    table = f"file,reference,rated,{use}\na.png,b.png,yes,\nb.png,,no,\nc.png,,no,1\n"
    table += "d.png,b.png,yes,\n"
    take_in(own, zipped(files), table.encode())
    Study.objects.filter(pk=own.pk).update(method="dcr")
    own.refresh_from_db()
    with pytest.raises(CannotOpen, match="1 of 3 have none"):
        open_study(own)
    alone = own.stimuli.get(parameters__file="c.png")
    alone.reference = own.stimuli.get(parameters__file="b.png")
    alone.save()
    open_study(own)
    client = Client()
    client.post(f"/s/{own.slug}/join/", {"consent": "on"})
    assert client.get(f"/s/{own.slug}/rate/").status_code == 200
