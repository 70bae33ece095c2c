"""The bundle: what is in it and what is not, and the same numbers from it elsewhere."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.db import connection

from analysis.bundle import read, write
from analysis.bundle.archive import BrokenBundle
from analysis.bundle.fields import PRIVATE, SHARED
from analysis.bundle.licences import left_out, objections
from analysis.bundle.read import differences, import_bundle
from analysis.bundle.tasks import make_bundle
from analysis.bundle.write import FEWEST, linkable, merge_small, write_bundle
from analysis.columns import RATINGS_LONG
from analysis.exports import csv_lines, ratings_rows
from analysis.foreign_ratings import import_ratings
from analysis.models import Bundle, Import
from analysis.reports import compute
from generation.engine.pictures.files import open_picture
from generation.models import Render, SourceImage
from generation.pictures.source_images import add_source_image
from survey import models
from survey.models import FormAnswer, FormItem, Participant, Rating, Study, Trial
from survey.participant.leaving import withdraw
from survey.studies.preflight import remarks
from tests.analysis.test_exports import people_answer
from tests.analysis.test_report import work_off
from tests.conftest import png
from tests.survey.test_racing import race

pytestmark = pytest.mark.django_db

DATA_FILE = re.compile(r"([a-z]+-[a-zA-Z0-9]+)(_[a-z]+-[a-zA-Z0-9]+)*_data\.csv")
"""The names that Psych-DS allows: its schema's fileRegex of a data file."""


@pytest.fixture
def rated(make_study: Any) -> Study:
    """Seven people, one of them excluded, one left half-way, one who withdrew, one
    pilot; free pictures."""
    SourceImage.objects.all().update(licence="CC0 1.0")
    study: Study = make_study(pictures=3, title="=1+1")
    SourceImage.objects.all().update(licence="CC BY 4.0", credit="Ada")
    people_answer(study, 2, 4, 5, 3, 1, 4)
    people_answer(study, 3, most_trials=1)
    people_answer(study, 1, 5)
    people = list(Participant.objects.order_by("pk"))
    Participant.objects.filter(pk=people[0].pk).update(
        excluded=True, exclusion_reason="- clicked, “through”\nit"
    )
    withdraw(people[-1])
    Participant.objects.filter(pk=people[-2].pk).update(pilot=True)
    for place, rating in enumerate(Rating.objects.order_by("pk")):
        values = 1 + (rating.rating + 3 * place) % 5, 700 + 13 * place
        Rating.objects.filter(pk=rating.pk).update(
            rating=values[0], response_ms=values[1]
        )
    return study


def written(study: Study, path: Path, **options: Any) -> Path:
    with path.open("wb") as file:
        write_bundle(study, file, **options)
    return path


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(path: Path, target: Path, **changes: Any) -> Path:
    """The bundle with other contents, its checksums right again.

    `changes` maps a part of a name to a function of the member's bytes.
    """
    files = members(path)
    for part, change in changes.items():
        (name,) = [it for it in files if part in it.replace(".", "_")]
        files[name] = change(files[name])
    files.pop("checksums.sha256")
    sums = "".join(f"{hashlib.sha256(files[it]).hexdigest()}  {it}\n" for it in files)
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in {**files, "checksums.sha256": sums.encode()}.items():
            archive.writestr(name, data)
    return target


_packed: list[bytes] = []


@pytest.fixture
def packed(request: Any, tmp_path: Path, db: None) -> Path:
    """A bundle in an empty lab. Drawn once: its charts take seconds."""
    path = tmp_path / "packed.zip"
    if not _packed:
        _packed.append(written(request.getfixturevalue("rated"), path).read_bytes())
        everything_away()
    path.write_bytes(_packed[0])
    return path


def everything_away() -> None:
    """An empty lab."""
    for model in (models.Trial, models.Participant, models.Item, models.Study):
        model.objects.all().delete()


# There and back ----------------------------------------------------------------


def test_an_empty_lab_computes_the_identical_tables(
    rated: Study, tmp_path: Path, capsys: Any
) -> None:
    def rows(study: Study) -> list[dict[str, Any]]:
        return [
            {key: row[key] for key in row if key not in ("rated_at", "device_class")}
            for row in ratings_rows(study, shared=True)
        ]

    _, report = compute.build(rated, include_simulated=False)
    here, before = compute.report_files(report), rows(rated)
    path = tmp_path / "a.zip"
    call_command("export_bundle", rated.slug, out=path)
    inside = members(path)
    everything_away()

    call_command("import_bundle", path, owner="ada")
    assert "Every table of its report is the same here." in capsys.readouterr().out
    study = Study.objects.get()
    assert (study.state, study.title, study.withdrawn_count) == ("closed", "=1+1", 1)
    _, report = compute.build(study, include_simulated=False)
    there = compute.report_files(report)
    tables = {name for name in here if name.endswith(".csv")}
    assert tables == {name for name in there if name.endswith(".csv")}
    for name in tables:
        if name == "order_effects.csv":  # times of day stay where they were
            known = [it for it in here[name].splitlines() if b"time_of_day" not in it]
            again = [it for it in there[name].splitlines() if b"time_of_day" not in it]
            assert known == again and len(known) > 3
        else:
            assert here[name] == there[name], name
        if name != "codebook.csv":
            assert inside[f"results/{name}"] == there[name], name

    assert rows(study) == before
    assert study.stimuli.filter(picture="").count() == 0
    assert study.random_weights  # its pages say so, without the experiment
    excluded = study.participants.get(excluded=True)
    assert excluded.exclusion_reason == "- clicked, “through”\nit"
    assert Import.objects.get().study == study
    assert {row["rated_at"] for row in ratings_rows(study)} == {None}

    second = members(written(study, tmp_path / "b.zip", all_pictures=True))
    for name, data in inside.items():  # what was imported makes the same bundle again
        if name.startswith(("data/", "results/", "materials/")):
            assert second[name] == data, name


def test_tables_that_differ_are_named(packed: Path, tmp_path: Path) -> None:
    def other(data: bytes) -> bytes:
        return data.replace(b"cluster_t", b"cluster_u")

    changed = rewritten(
        packed, tmp_path / "b.zip", **{"results/mos_by_condition": other}
    )
    assert differences(changed, import_bundle(changed)) == ["mos_by_condition.csv"]
    with pytest.raises(CommandError, match="no file"):
        call_command("import_bundle", tmp_path / "y.zip")


@pytest.mark.django_db(transaction=True)
def test_a_bundle_is_of_one_moment_while_people_answer(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody joins after the people are read, somebody after the tables; nobody
    waits for the bundle."""
    people_answer(study, 2, 4)
    came = []

    def first_somebody(answers: int, then: Any) -> Any:
        def wrapped(*args: Any, **options: Any) -> Any:
            came.extend(race(lambda: people_answer(study, answers)))
            return then(*args, **options)

        return wrapped

    monkeypatch.setattr(write, "_answers", first_somebody(5, write._answers))
    monkeypatch.setattr(compute, "compute", first_somebody(1, compute.compute))
    path = written(study, tmp_path / "a.zip", all_pictures=True)
    assert came == [None, None]  # neither was refused
    assert study.participants.filter(status="finished").count() == 4
    monkeypatch.undo()
    imported = import_bundle(path)
    assert imported.participants.count() == 2
    assert differences(path, imported) == []


# What is in it -----------------------------------------------------------------


def test_every_field_was_thought_about() -> None:
    """A new field of these models is neither shared nor forgotten by accident."""
    for name in SHARED:
        fields = {it.name for it in getattr(models, name.title())._meta.concrete_fields}
        assert not set(SHARED[name]) & set(PRIVATE[name])
        assert set(SHARED[name]) | set(PRIVATE[name]) == fields, name


def test_nothing_in_it_names_or_dates_a_person(rated: Study, tmp_path: Path) -> None:
    item = FormItem.objects.create(
        study=rated, name="remark", text="Anything?", kind=FormItem.Kind.TEXT
    )
    for person in rated.participants.all():
        FormAnswer.objects.create(
            participant=person, name=item.name, answer="I live in Amsterdam"
        )
        FormAnswer.objects.create(participant=person, name="comment", answer="nice")
    withdrawn = rated.participants.get(status="withdrawn")
    pilot = rated.participants.get(pilot=True)
    files = members(written(rated, tmp_path / "a.zip"))
    whole = "\n".join(
        data.decode() for name, data in files.items() if not name.endswith(".png")
    )
    for person in rated.participants.all():
        assert person.token_sha256 not in whole
    for secret in (rated.slug, withdrawn.code, pilot.code, "Amsterdam"):
        assert secret not in whole, secret
    assert not re.search(rf"\b{rated.created_at.year}-\d\d-\d\d", whole)

    (name,) = [it for it in files if "table-ratings" in it]
    rows = list(csv.DictReader(io.StringIO(files[name].decode())))
    given = [row for row in rows if row["rating"]]
    assert len(given) == 19 and len(rows) == 21
    for row in given:  # times are seconds since the person's own start
        rating = Rating.objects.select_related("trial__participant").get(
            trial__participant__code=row["participant"], trial__index=row["trial"]
        )
        took = rating.rated_at - rating.trial.participant.started_at
        assert float(row["seconds"]) == round(took.total_seconds(), 3)


def test_it_is_a_psych_ds_data_set_with_right_checksums(packed: Path) -> None:
    files = members(packed)
    about = json.loads(files["dataset_description.json"])
    assert about["@type"] == "Dataset" and "schema.org" in about["@context"]
    assert about["name"] and about["description"]
    variables = {each["name"] for each in about["variableMeasured"]}
    assert all(each["description"] for each in about["variableMeasured"])
    data = [name for name in files if name.startswith("data/")]
    assert len(data) == 3
    for name in data:
        assert DATA_FILE.fullmatch(name.removeprefix("data/")), name
        header = next(csv.reader(io.StringIO(files[name].decode())))
        assert set(header) <= variables
    for line in files["checksums.sha256"].decode().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256(files.pop(name)).hexdigest() == digest
    assert set(files) == {"checksums.sha256"}


@pytest.mark.parametrize(
    ("licence", "consent", "goes"),
    [
        ("CC0 1.0", "nobody", True),
        ("CC BY 4.0", "given", True),
        ("CC BY-SA 4.0", "nobody", True),
        ("Public domain", "nobody", True),
        ("CC BY-ND 4.0", "nobody", False),
        ("All rights reserved", "nobody", False),
        ("Not in the public domain", "nobody", False),
        ("", "nobody", False),
        ("CC0 1.0", "unknown", False),
    ],
)
def test_only_pictures_whose_rights_allow_it_go_in(
    study: Study, licence: str, consent: str, goes: bool
) -> None:
    SourceImage.objects.update(licence=licence, consent=consent)
    for stimulus in study.stimuli.all():
        assert bool(objections(stimulus)) != goes


def test_the_picture_a_render_starts_from_is_a_source(
    study: Study, researcher: Any, tmp_path: Path
) -> None:
    SourceImage.objects.update(licence="CC0 1.0", consent="nobody")
    start, _ = add_source_image(
        data=png((9, 9, 99)), title="Third", owner=researcher, consent="unknown"
    )
    named = f"picture:{start.pixel_sha256}"
    first = study.stimuli.order_by("pk").first()
    Render.objects.filter(stimuli=first).update(start=named)

    def against() -> list[str]:
        return [why for _, why in left_out(study)]

    def remarked() -> bool:
        return any("“Third” has" in remark.text for remark in remarks(study))

    assert against() == ["the consent of the people in 'Third' is not known"]
    assert remarked()
    SourceImage.objects.filter(pk=start.pk).update(licence="CC0 1.0", consent="given")
    assert against() == [] and not remarked()

    again = SourceImage.objects.get(pk=start.pk)
    again.pk, again.licence = None, ""  # the same pixels once more
    again.save()
    assert against() == ["'Third' has no licence, which does not allow it"]
    assert remarked()
    SourceImage.objects.filter(pixel_sha256=start.pixel_sha256).delete()
    assert against() == [
        f"the consent of the people in '{named}, no longer in the lab' is not known"
    ]
    settings = json.loads(members(written(study, tmp_path / "a.zip"))["study.json"])
    sources = [[it["role"] for it in each["sources"]] for each in settings["stimuli"]]
    assert sources == [["content", "style", "start"]] + [["content", "style"]] * 2


def test_a_picture_that_is_left_out_is_named_and_in_no_chart(
    study: Study, tmp_path: Path
) -> None:
    people_answer(study, 2, 4)
    files = members(written(study, tmp_path / "a.zip"))
    code = study.stimuli.first().code
    assert not [name for name in files if name.startswith("materials/")]
    readme = files["README.md"].decode()
    assert f"- {code}: 'Red' has no licence" in readme
    assert "`random:0`: random weights, seed 0 (not trained)" in readme
    assert files["results/mos.svg"].count(b"<image") == 0
    whole = members(written(study, tmp_path / "b.zip", all_pictures=True))
    assert len([name for name in whole if name.startswith("materials/")]) == 3
    assert whole["results/mos.svg"].count(b"<image") == 3
    imported = import_bundle(tmp_path / "a.zip")
    assert imported.stimuli.filter(picture="").count() == 3
    assert differences(tmp_path / "a.zip", imported) == []


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (["a"] * 5 + ["b"] * 6, ["a"] * 5 + ["b"] * 6),
        (["a"] * 6 + ["b"] * 3 + ["c"] * 2, ["a"] * 6 + ["merged"] * 5),
        # Two are too few to be merged alone: the next smallest joins them.
        (["a"] * 7 + ["b"] * 5 + ["c"] * 2, ["a"] * 7 + ["merged"] * 7),
        (["a", "b", "c"], ["", "", ""]),
        ([], []),
    ],
)
def test_groups_of_fewer_than_five_are_merged(
    answers: list[str], expected: list[str]
) -> None:
    assert merge_small(answers) == expected


def test_what_is_said_about_a_person_is_said_about_five() -> None:
    age = ["20–29"] * 6 + ["30–39"] * 6
    eyes = (["good"] * 5 + ["weak"]) * 2
    both = linkable({"age": age, "sight": merge_small(eyes), "odd": eyes})
    groups = [
        sum(other == one for other in zip(age, eyes, strict=True))
        for one in zip(age, eyes, strict=True)
    ]
    assert min(groups) < FEWEST  # together they would tell people apart
    assert both == ["age"]


def test_simulated_people_hide_nobody(study: Study, tmp_path: Path) -> None:
    """They are marked: whoever reads the table can subtract them."""

    def join(n: int, device: str, language: str, *, simulated: bool = False) -> None:
        first = study.participants.count()
        for number in range(first, first + n):
            Participant.objects.create(
                study=study, number=number, seed=0, code=f"p-{number:04d}",
                token_sha256=f"{number}", study_version=1, device_class=device,
                language=language, simulated=simulated,
            )  # fmt: skip

    join(6, "phone", "en", simulated=True)
    join(1, "phone", "en")
    join(4, "desktop", "en")
    join(5, "desktop", "nl")
    files = members(written(study, tmp_path / "a.zip"))

    def table(name: str) -> list[dict[str, str]]:
        (data,) = [files[it] for it in files if f"table-{name}" in it]
        return list(csv.DictReader(io.StringIO(data.decode())))

    counts = {
        (it["variable"], it["answer"]): it["n_participants"]
        for it in table("demographics")
    }
    assert counts == {
        ("device_class", "merged"): "10", ("language", "en"): "5",
        ("language", "nl"): "5",
    }  # fmt: skip
    people = table("participants")
    assert "device_class" not in people[0]
    assert [it["language"] for it in people] == [""] * 6 + ["en"] * 5 + ["nl"] * 5


# What is refused ---------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["../evil.py", "/etc/passwd", "data/../../x", "study.json/", "C:\\x", "x.sh",
     "materials/stimuli/../../x.png"],
)  # fmt: skip
def test_a_name_that_does_not_belong_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, b"{}")
    with pytest.raises(BrokenBundle, match="does not belong"):
        import_bundle(path)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("study.json", "w", force_zip64=True) as file,
    ):
        for _ in range(513):
            file.write(b"0" * 1024**2)
    assert path.stat().st_size < 2 * 1024**2
    with pytest.raises(BrokenBundle, match="unpacks to"):
        import_bundle(path)


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(b"no zip at all")
    with pytest.raises(BrokenBundle, match="no ZIP"):
        import_bundle(path)


def test_a_changed_byte_is_noticed(packed: Path, tmp_path: Path) -> None:
    path = tmp_path / "b.zip"
    files = members(packed)
    files["study.json"] += b" "
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    with pytest.raises(BrokenBundle, match=r"study\.json is not the file"):
        import_bundle(path)


def test_broken_rows_are_named_by_line_and_nothing_is_half_imported(
    packed: Path, tmp_path: Path
) -> None:

    def broken(data: bytes) -> bytes:
        rows = list(csv.reader(io.StringIO(data.decode())))
        rating, stimulus = rows[0].index("rating"), rows[0].index("stimulus")
        rows[2][rating] = "9"
        rows[3][stimulus] = "s-nobody"
        rows[5][rating] = "often"
        file = io.StringIO()
        csv.writer(file, lineterminator="\n").writerows(rows)
        return file.getvalue().encode()

    changed = rewritten(packed, tmp_path / "b.zip", **{"table-ratings": broken})
    files = default_storage.listdir("stimulus")[1]
    with pytest.raises(BrokenBundle) as caught:
        import_bundle(changed)
    assert default_storage.listdir("stimulus")[1] == files
    text = str(caught.value)
    assert "9 is not on the scale 1–5" in text
    assert "there is no stimulus 's-nobody'" in text
    assert "'often' is not a number" in text
    assert not Study.objects.exists() and not Trial.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_pictures_are_decoded(
    packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SQLite nobody could answer meanwhile."""
    held = []

    def looking(data: bytes) -> Any:
        held.append(connection.in_atomic_block)
        return open_picture(data)

    monkeypatch.setattr(read, "open_picture", looking)
    import_bundle(packed)
    assert held and not any(held)


@pytest.mark.parametrize(
    "change",
    [
        lambda settings: settings.pop("stimuli"),
        lambda settings: settings["study"].update(method="magic"),
        lambda settings: settings["study"].update(title="x" * 500),
        lambda settings: settings["stimuli"][0].update(code="../../x"),
        lambda settings: settings["stimuli"][0].update(width=-1),
        lambda settings: settings["stimuli"][0].update(pixel_sha256="0" * 64),
        lambda settings: settings.update(format_version=99),
        lambda settings: settings.update(questions=3),
    ],
)
def test_settings_that_make_no_study_are_refused(
    packed: Path, tmp_path: Path, change: Any
) -> None:

    def changed(data: bytes) -> bytes:
        settings = json.loads(data)
        change(settings)
        return json.dumps(settings).encode()

    with pytest.raises(BrokenBundle):
        import_bundle(rewritten(packed, tmp_path / "b.zip", study_json=changed))
    assert not Study.objects.exists()


# On its page -------------------------------------------------------------------


@pytest.mark.broker
def test_a_researcher_asks_for_a_bundle_and_takes_it(
    study: Study, logged_in: Any, queues: None, django_capture_on_commit_callbacks: Any
) -> None:
    people_answer(study, 2, 4)
    address = f"/admin/analysis/report/study/{study.pk}/share/"
    page = logged_in.get(address).content.decode()
    assert "has no licence" in page and "We may publish every picture" in page
    with django_capture_on_commit_callbacks(execute=True):
        logged_in.post(address, {"all_pictures": "on"})
    waiting = logged_in.get(address).content.decode()
    assert "being made" in waiting and "hx-get" in waiting
    work_off("report")
    bundle = Bundle.objects.get()
    assert (bundle.state, bundle.all_pictures) == ("done", True), bundle.traceback
    done = logged_in.get(address).content.decode()
    assert "hx-get" not in done and bundle.sha256 in done
    response = logged_in.get(f"{address}{bundle.pk}.zip")
    data = b"".join(response.streaming_content)
    assert hashlib.sha256(data).hexdigest() == bundle.sha256
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None


def test_bundles_are_for_those_with_the_right(
    client: Any, study: Study, stranger: Any
) -> None:
    address = f"/admin/analysis/report/study/{study.pk}/share/"
    client.force_login(stranger)
    assert client.get(address).status_code == 403
    assert client.get(f"{address}1.zip").status_code == 403
    assert client.post(address).status_code == 403
    assert not Bundle.objects.exists()


def test_a_crash_is_kept_with_its_reason(study: Study) -> None:
    people_answer(study, 2)
    Study.objects.update(scale_points=7)  # no such scale
    bundle = Bundle.objects.create(study=study)
    with pytest.raises(KeyError):
        make_bundle(bundle.pk)
    bundle.refresh_from_db()
    assert bundle.state == "failed" and "KeyError" in bundle.reason
    assert "Traceback" in bundle.traceback and not bundle.file


# Other people's ratings --------------------------------------------------------

RATINGS = """participant,stimulus,rating,condition,response_ms
anna@example.org,cat on a very long line of names.png,4,low,800
anna@example.org,s2,2,high,900
bert,cat on a very long line of names.png,5,low,
bert,s2,,high,
carl,cat on a very long line of names.png,3,low,700
carl,s2,1,high,650
"""


def test_a_csv_of_ratings_becomes_a_study(researcher: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(RATINGS, encoding="utf-8")
    study = import_ratings(
        path,
        title="Theirs",
        question="How nice?",
        factors=["condition"],
        owner=researcher,
    )
    said = LogEntry.objects.get(object_id=str(study.pk))
    assert said.user == researcher and "Imported from a file" in said.change_message
    assert (study.title, study.question, study.state) == (
        "Theirs", "How nice?", "closed"
    )  # fmt: skip
    labels = {it.parameters["label"]: it for it in study.stimuli.all()}
    assert labels["s2"].code == "s2"
    long = labels["cat on a very long line of names.png"]
    assert re.fullmatch(r"s-\w{8}", long.code)
    _, report = compute.build(study, include_simulated=False)
    table = report.tables["mos_by_stimulus.csv"].set_index("stimulus")
    assert table.loc[long.code, ["n", "mos", "n_missing"]].tolist() == [3, 4, 0]
    assert table.loc["s2", ["n", "mos", "n_missing"]].tolist() == [2, 1.5, 1]
    pooled = report.tables["mos_by_condition.csv"].set_index("condition")
    assert pooled["mos"].to_dict() == {"low": 4, "high": 1.5}
    whole = "".join(csv_lines(RATINGS_LONG, ratings_rows(study)))
    assert "anna" not in whole
    assert [it.finished_at for it in study.participants.all()] != [None] * 3


def test_broken_ratings_are_named_line_by_line(db: None, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(RATINGS.replace(",5,low", ",7,low").replace(",1,high", ",x,high"))
    with pytest.raises(CommandError) as caught:
        call_command("import_ratings", path, title="Theirs")
    assert "Line 4: rating is outside 1–5: '7'." in str(caught.value)
    assert "Line 7: rating is not a number: 'x'." in str(caught.value)
    assert not Study.objects.exists()


def test_other_scales_are_imported_as_such(db: None, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("participant,stimulus,rating\na,x,0\nb,x,10\n")
    with pytest.raises(BrokenBundle, match="outside 1–5"):
        import_ratings(path, title="Theirs")
    study = import_ratings(path, title="Theirs", scale_points=11)
    _, report = compute.build(study, include_simulated=False)
    assert report.tables["mos_by_stimulus.csv"]["mos"].tolist() == [5]
