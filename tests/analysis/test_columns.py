"""One table of columns: whatever has a column of the ratings derives it from there."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from analysis.bundle.archive import BrokenBundle
from analysis.bundle.fields import SHARED
from analysis.bundle.read import import_bundle
from analysis.charts import registry
from analysis.columns import (
    COLUMNS,
    RATINGS_LONG,
    SHARED_RATINGS,
    Column,
    documented,
    every_column,
    read_number,
)
from analysis.exports import csv_lines, ratings_rows
from analysis.foreign_ratings import import_ratings
from analysis.reports import compute
from nstlab.core import old_names
from survey.models import Study, Trial
from tests.analysis.test_bundle import members, rated, rewritten, written

__all__ = ["rated"]  # a fixture
ROOT = Path(__file__).parents[2]

# A column that the lab does not have, of a field that it keeps to itself.
FAILURES = Column(
    name="load_failures",
    type="integer",
    unit="times",
    meaning="How often the picture could not be loaded",
    about="trial",
    field="load_failures",
    imported=lambda cell: read_number(cell, int, least=0),
)


@pytest.fixture
def one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COLUMNS, FAILURES.name, FAILURES)
    monkeypatch.setattr(registry, "KINDS", [])  # they take seconds


@pytest.mark.django_db
def test_a_column_from_outside_is_seen_everywhere(
    one_more: None, rated: Study, tmp_path: Path
) -> None:
    last = Trial.objects.filter(participant__study=rated, participant__pilot=False)
    Trial.objects.filter(pk=last.order_by("pk")[3].pk).update(load_failures=3)
    text = "".join(csv_lines(RATINGS_LONG, ratings_rows(rated)))
    exported = list(csv.DictReader(io.StringIO(text)))
    assert sorted(row["load_failures"] for row in exported)[-2:] == ["0", "3"]

    files = compute.compute(rated, include_simulated=False)["files"]
    book = list(csv.DictReader(io.StringIO(files["codebook.csv"].decode())))
    described = {
        "file": "ratings_long.csv",
        "column": "load_failures",
        "type": "integer",
        "unit": "times",
        "description": FAILURES.meaning,
    }
    assert described in book

    path = written(rated, tmp_path / "a.zip")
    packed = members(path)
    assert described | {"file": "data, ratings"} in csv.DictReader(
        io.StringIO(packed["documentation/codebook.csv"].decode())
    )
    variables = json.loads(packed["dataset_description.json"])["variableMeasured"]
    assert FAILURES.meaning in [it["description"] for it in variables]
    imported = import_bundle(path)
    kept = Trial.objects.filter(participant__study=imported)
    assert sorted(kept.values_list("load_failures", flat=True))[-2:] == [0, 3]

    other = rewritten(
        path,
        tmp_path / "b.zip",
        **{"table-ratings": lambda it: it.replace(b",0\n", b",often\n", 1)},
    )
    with pytest.raises(BrokenBundle, match="'often' is not a number"):
        import_bundle(other)


@pytest.mark.django_db
def test_a_column_from_outside_is_no_factor_of_other_peoples_ratings(
    one_more: None, tmp_path: Path
) -> None:
    path = tmp_path / "theirs.csv"
    path.write_text("participant,stimulus,rating,load_failures\na,x,4,0\na,y,5,2\n")
    notes: list[str] = []
    import_ratings(path, title="Theirs", notes=notes)
    assert not [it for it in notes if "load_failures" in it]
    del COLUMNS["load_failures"]
    import_ratings(path, title="Again", notes=notes)
    assert [it for it in notes if it.startswith("Not imported: load_failures.")]


@pytest.mark.django_db
def test_a_bundle_with_an_old_name_of_a_column_is_read(
    rated: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "KINDS", [])
    path = written(rated, tmp_path / "a.zip")
    old = rewritten(
        path,
        tmp_path / "b.zip",
        **{"table-ratings": lambda it: it.replace(b"response_ms", b"reaction", 1)},
    )
    with pytest.raises(BrokenBundle, match="has no column response_ms"):
        import_bundle(old)
    monkeypatch.setitem(old_names.COLUMNS, "reaction", "response_ms")
    assert import_bundle(old).participants.exists()


def test_every_column_stands_once_and_what_dates_a_person_stays() -> None:
    names = [column.name for column in every_column()]
    assert len(names) == len(set(names))
    apart = {*RATINGS_LONG} ^ {*SHARED_RATINGS}
    assert apart == {"rated_at", "seconds", "pilot", "device_class"}
    assert "token_sha256" not in SHARED["participant"]


def test_the_documents_have_the_table() -> None:
    page = ROOT / "docs/reference/ratings-long.md"
    assert documented() in page.read_text(encoding="utf-8")
