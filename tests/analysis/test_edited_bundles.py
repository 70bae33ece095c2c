"""A bundle that somebody edited becomes a valid study, or a sentence and nothing."""

from __future__ import annotations

import copy
import csv
import hashlib
import io
import json
import random
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage

from analysis.bundle.archive import BrokenBundle
from analysis.bundle.read import import_bundle
from analysis.bundle.write import write_bundle
from analysis.columns import RATINGS_LONG
from analysis.exports import csv_lines, ratings_rows
from analysis.preregistration import freezing
from analysis.preregistration.plan import options_of, pairs_of, sha256_of
from analysis.reports import compute
from generation.engine.pictures.files import open_picture
from survey.models import FormItem, Participant, Question, Stimulus, Study, Trial
from survey.studies.copying import write_picture
from tests.analysis.test_round_trip import gone, make_rated
from tests.conftest import png

pytestmark = pytest.mark.django_db

WRONG: list[Any] = [
    None, True, -1, 0, 0.5, 10**40, 1e300, "", "x", "a\0b", "\ud800", "x" * 5000,
    "../../x", [], [[]], {}, {"a": {"b": []}}, [None], "2026-02-31T00:00:00Z",
]  # fmt: skip

# What is tried at each place, and places: with 19 and 999 it takes minutes.
PER_VALUE, MOST_PLACES = 1, 40

Files = dict[str, bytes]
_small: list[Files] = []
_reported: set[str] = set()  # a report on the same data would be the same


@pytest.fixture
def small(researcher: Any, tmp_path: Path) -> Files:
    """The members of a small bundle with a picture, a further question, a form, a check
    and a pre-registration; without results, which are drawn once for all tests."""
    if not _small:
        study = make_rated([{"blur": k, "weights": "random:0"} for k in range(2)], 2)
        first = study.stimuli.order_by("pk")[0]
        write_picture(first, open_picture(png(size=(16, 18))).image)
        first.save()
        Question.objects.create(study=study, name="style", text="And its style?")
        FormItem.objects.create(study=study, name="age", text="How old?", kind="number")
        Trial.objects.filter(index=2, participant__code="p0").update(
            kind="catch", expected="5", instructed=True
        )
        freezing.write(
            study,
            {
                "hypotheses": "Blur hurts.",
                "exclusion": {"screening": "none", "fast_ms": 300, "by_hand": ""},
                "contrasts": {
                    "pairs": [{"factor": "blur", "a": "0", "b": "1"}],
                    "test": "t", "correction": "holm", "level": 0.95,
                },
            },
        )  # fmt: skip
        freezing.freeze(study, by=researcher)
        path = tmp_path / "whole.zip"
        with path.open("wb") as file:
            write_bundle(study, file, all_pictures=True)
        with zipfile.ZipFile(path) as archive:
            names = [it for it in archive.namelist() if not it.startswith("results/")]
            _small.append({name: archive.read(name) for name in names})
        for stimulus in study.stimuli.all():
            stimulus.picture.delete(save=False)
        gone()
    return dict(_small[0])


def packed(files: Files, path: Path, *, again: str = "") -> Path:
    """The members as a ZIP with right checksums; `again` goes in twice."""
    files = {name: files[name] for name in files if name != "checksums.sha256"}
    sums = [f"{hashlib.sha256(files[it]).hexdigest()}  {it}\n" for it in files]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {**files, "checksums.sha256": "".join(sums)}.items():
            archive.writestr(name, data)
        if again:
            with pytest.warns(UserWarning, match="Duplicate"):
                archive.writestr(again, files.get(again, b""))
    return path


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to everything inside a JSON value."""
    parts: Any = ()
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, list):
        parts = enumerate(value)
    for key, part in parts:
        yield (*at, key)
        yield from places(part, (*at, key))


def changed(value: Any, at: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:
    value = copy.deepcopy(value)
    inside = value
    for key in at[:-1]:
        inside = inside[key]
    change(inside, at[-1])
    return value


def ends_well(path: Path) -> str:
    """Imports a file; the sentence it is refused with, empty for a valid study.

    A study that came of it is exported, reported on, and taken away again."""
    pictures = set(default_storage.listdir("stimulus")[1])
    try:
        study = import_bundle(path)
    except BrokenBundle as broken:
        for model in (Study, Stimulus, Participant, Trial):
            assert not model.objects.exists(), path
        assert set(default_storage.listdir("stimulus")[1]) == pictures, path
        sentence = str(broken)
        assert sentence.endswith((".", "\n")) or sentence.strip(), path
        for word in ("KeyError", "TypeError", "NoneType", "Traceback", "object at 0x"):
            assert word not in sentence, sentence
        return sentence
    study.refresh_from_db()
    study.full_clean()
    data = "".join(csv_lines(RATINGS_LONG, ratings_rows(study)))
    made = [*study.stimuli.order_by("pk").values_list("code", "parameters")]
    plan = freezing.of(study)
    planned = plan and (
        options_of(plan),
        pairs_of(plan),
    )
    if (about := repr((data, made, planned))) not in _reported:
        _reported.add(about)
        compute.build(study, include_simulated=False)
    for stimulus in study.stimuli.all():
        stimulus.picture.delete(save=False)
    gone()
    return ""


def test_what_was_not_edited_is_a_study(small: Files, tmp_path: Path) -> None:
    assert ends_well(packed(small, tmp_path / "a.zip")) == ""


def test_every_member_may_be_missing_emptied_cut_or_there_twice(
    small: Files, tmp_path: Path
) -> None:
    refused = {}
    for name, data in small.items():
        without = {it: small[it] for it in small if it != name}
        for number, files in enumerate(
            [without, {**small, name: b""}, {**small, name: data[: len(data) // 2]}]
        ):
            refused[name, number] = ends_well(packed(files, tmp_path / "a.zip"))
        twice = packed(small, tmp_path / "a.zip", again=name)
        assert "there twice" in ends_well(twice), name
    for name in ("study.json", "materials/stimuli/s0.png"):
        assert all(refused[name, number] for number in range(3)), name
    assert refused["preregistration.json", 0] == ""


@pytest.mark.parametrize("name", ["study.json", "preregistration.json"])
def test_every_value_may_be_another_or_missing(
    small: Files, tmp_path: Path, name: str
) -> None:
    value = json.loads(small[name])
    if name == "study.json":  # what is not read back
        for unread in ("software", "method"):
            del value[unread]
    draw = random.Random(7)
    outcomes = set()

    def try_out(other: Any) -> None:
        if name == "preregistration.json" and isinstance(other.get("plan"), dict):
            with suppress(ValueError):  # what cannot be canonical JSON has no sum
                other["sha256"] = sha256_of(other["plan"])
        files = {**small, name: as_json(other)}
        outcomes.add(bool(ends_well(packed(files, tmp_path / "a.zip"))))

    def remove(inside: Any, key: Any) -> None:
        del inside[key]

    def put(wrong: Any, inside: Any, key: Any) -> None:
        inside[key] = wrong

    every = list(places(value))
    for at in draw.sample(every, min(len(every), MOST_PLACES)):
        try_out(changed(value, at, remove))
        for wrong in draw.sample(WRONG, PER_VALUE):
            try_out(changed(value, at, partial(put, wrong)))
    assert outcomes == {True, False}


@pytest.mark.parametrize(
    "imported",
    [
        {}, [], {"ordered": 1, "timed": True}, {"ordered": True}, *(
            {"ordered": True, "timed": True, "scale": scale}
            for scale in ("1–5", [1, 5, 1], ["1", "5"], ["5", "1", "1"],
                          ["1", "1e999", "1"], ["1", "5", "1e-999"],
                          ["1", "5", "0"], ["1", "5", "0.3"], ["2", "3", "1"],
                          ["0", "100", "0.0001"])
        ),
    ],
)  # fmt: skip
def test_what_is_said_of_an_imported_scale_must_be_one(
    small: Files, tmp_path: Path, imported: Any
) -> None:
    settings = json.loads(small["study.json"]) | {"imported": imported}
    files = {**small, "study.json": as_json(settings)}
    assert ends_well(packed(files, tmp_path / "a.zip"))


@pytest.mark.parametrize("kind", ["ratings", "participants"])
def test_every_cell_may_be_another(small: Files, tmp_path: Path, kind: str) -> None:
    (name,) = [it for it in small if f"table-{kind}_" in it]
    rows = list(csv.reader(io.StringIO(small[name].decode())))
    draw = random.Random(11)
    texts = [
        "", "-1", "1e999", "NaN", "2_1", "9" * 30, "0x1", "\u0663", "x", "p1", "s1",
        "true", "first", "left", "catch", "withdrawn", "'=1", "a\0b", "1.5", "-7.25",
    ]  # fmt: skip
    outcomes = set()

    def try_out(other: list[list[str]]) -> None:
        file = io.StringIO()
        csv.writer(file, lineterminator="\n").writerows(other)
        files = {**small, name: file.getvalue().encode()}
        outcomes.add(bool(ends_well(packed(files, tmp_path / "a.zip"))))

    for column in range(len(rows[0])):
        for text in draw.sample(texts, PER_VALUE):
            other = copy.deepcopy(rows)
            other[draw.randrange(1, len(rows))][column] = text
            try_out(other)
    column = draw.randrange(len(rows[0]))
    try_out([row[:column] + row[column + 1 :] for row in rows])
    for place in draw.sample(range(len(rows)), 2):
        try_out(rows[:place] + rows[place + 1 :])
        try_out([*rows, rows[place]])
        try_out([*rows[:place], rows[place][:-1], *rows[place + 1 :]])
    try_out([rows[0], *draw.sample(rows[1:], len(rows) - 1)])
    assert outcomes == {True, False}
