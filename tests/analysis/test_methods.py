"""Reports of the other methods: several questions, hidden references, pairs."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from analysis import reports
from analysis.bundle import write_bundle
from analysis.exports import RATINGS_LONG, csv_lines, matrix_lines, ratings_rows
from analysis.imports import differences, import_bundle
from analysis.monitor import watch
from analysis.stats.reading import read_ratings
from survey.models import Participant, Question, Rating, Stimulus, Study, Trial
from tests.analysis.test_exports import exported

pytestmark = pytest.mark.django_db


def study_of(method: str, pictures: int = 3, **fields: Any) -> Study:
    """A closed study of made-up stimuli without pictures."""
    study = Study.objects.create(title=method, method=method, state="closed", **fields)
    for number in range(pictures):
        Stimulus.objects.create(
            study=study, code=f"s{number}", width=8, height=8, pixel_sha256="",
            parameters={"content": f"c{number}", "style": "s", "alpha": 0.1},
        )  # fmt: skip
    return study


def person(study: Study, code: str) -> Participant:
    return Participant.objects.create(
        study=study, code=code, token_sha256=code, study_version=1, seed=0,
        consent_sha256="", status="finished",
    )  # fmt: skip


def test_a_question_that_was_not_answered_is_a_row_of_its_own() -> None:
    study = study_of("acr", pictures=1)
    Question.objects.create(study=study, name="style", text="How well …?")
    trial = Trial.objects.create(
        participant=person(study, "p1"), index=1, stimulus=study.stimuli.get()
    )
    Rating.objects.create(trial=trial, question="overall", rating=4)
    assert [(row["question"], row["rating"]) for row in exported(study)] == [
        ("overall", "4"), ("style", "")
    ]  # fmt: skip
    Rating.objects.create(trial=trial, question="style", rating=2)
    Trial.objects.create(
        participant=person(study, "p2"), index=1, stimulus=study.stimuli.get()
    )
    assert [(row["question"], row["rating"]) for row in exported(study)] == [
        ("overall", "4"), ("style", "2"), ("overall", ""), ("style", "")
    ]  # fmt: skip
    _, report = reports.build(study, include_simulated=False)
    table = report.tables["mos_by_stimulus.csv"].set_index("question")
    assert table["mos"].astype(float).to_dict() == {"overall": 4, "style": 2}
    assert table["n_missing"].to_dict() == {"overall": 1, "style": 1}
    assert [(each.question, each.n) for each in watch(study).votes] == [
        ("overall", 1), ("style", 1)
    ]  # fmt: skip


def test_a_hidden_reference_gives_dmos_and_is_marked() -> None:
    study = study_of("acr-hr", pictures=2)
    Stimulus.objects.filter(code="s1").update(
        is_reference=True, parameters={"content": "c0"}
    )
    for number, (rendering, reference) in enumerate([(3, 5), (4, 5), (2, 4)]):
        someone = person(study, f"p{number}")
        for index, (code, rating) in enumerate((("s0", rendering), ("s1", reference))):
            trial = Trial.objects.create(
                participant=someone, index=index + 1,
                stimulus=study.stimuli.get(code=code),
            )  # fmt: skip
            Rating.objects.create(trial=trial, rating=rating)
    assert [row["is_reference"] for row in exported(study)] == ["false", "true"] * 3
    _, report = reports.build(study, include_simulated=False)
    table = report.tables["mos_by_stimulus.csv"].set_index("stimulus")
    # Differences -2, -1, -2 and the top of the scale, 5.
    assert table.loc["s0", "dmos"] == pytest.approx(5 - 5 / 3)
    assert table.loc["s1", "dmos"] != table.loc["s1", "dmos"]  # empty
    assert [each.code for each in watch(study).votes] == ["s0", "s1"]


def test_other_scales_have_other_categories() -> None:
    study = study_of("acr", pictures=1, scale_points=11)
    for number, rating in enumerate((0, 10, 5)):
        trial = Trial.objects.create(
            participant=person(study, f"p{number}"), index=1,
            stimulus=study.stimuli.get(),
        )  # fmt: skip
        Rating.objects.create(trial=trial, rating=rating, scale_min=0, scale_max=10)
    _, report = reports.build(study, include_simulated=False)
    table = report.tables["mos_by_stimulus.csv"]
    assert table["mos"].tolist() == [5]
    assert table[["n_0", "n_5", "n_10"]].to_numpy().tolist() == [[1, 1, 1]]
    assert "0 to 10" in reports.scale_sentence(study)


def test_checks_say_whether_they_were_passed() -> None:
    study = study_of("acr", pictures=1)
    stimulus = study.stimuli.get()
    for index, (expected, instructed, rating) in enumerate(
        [("2", True, 2), ("2", True, 3), ("2", False, 3), ("2", False, 4)], start=1
    ):
        trial = Trial.objects.create(
            participant=person(study, f"p{index}"), index=1, kind="catch",
            stimulus=stimulus, expected=expected, instructed=instructed,
        )  # fmt: skip
        Rating.objects.create(trial=trial, rating=rating)
    # An instructed answer is exact; a known one may be a step off.
    assert [row["passed"] for row in exported(study)] == [
        "true", "false", "true", "false"
    ]  # fmt: skip


@pytest.fixture
def compared(db: None) -> Study:
    """Three pictures, s0 the best, compared by six people, one choice each pair."""
    study = study_of("pairs")
    stimuli = {it.code: it for it in study.stimuli.all()}
    chosen = ["first", "first", "first", "second", "first", "tie"]
    for number, choice in enumerate(chosen):
        someone = person(study, f"p{number}")
        for index, (a, b) in enumerate((("s0", "s1"), ("s0", "s2"), ("s1", "s2"))):
            trial = Trial.objects.create(
                participant=someone, index=index + 1, stimulus=stimuli[a],
                second=stimuli[b], side="left", answered_at=timezone.now(),
            )  # fmt: skip
            Rating.objects.create(
                trial=trial, choice=choice, rating=None, scale_min=0, scale_max=1
            )
    return study


def test_pairs_give_one_scale(compared: Study) -> None:
    """4½ of 6 first: with the same share for every pair the scores are even."""
    computed = reports.compute(compared, include_simulated=False, resamples=50)
    rows = list(
        csv.DictReader(io.StringIO(computed["files"]["pair_scale.csv"].decode()))
    )
    assert [row["stimulus"] for row in rows] == ["s0", "s1", "s2"]
    scores = [float(row["score"]) for row in rows]
    assert scores[1] == pytest.approx(0, abs=1e-9)
    assert scores[0] == pytest.approx(-scores[2])
    assert {row["content"] for row in rows} == {"c0", "c1", "c2"}
    (chart,) = computed["charts"]
    assert chart["name"] == "pair_scale" and not chart["missing"]
    assert "paired comparison" in computed["method"]["scale"]
    assert computed["method"]["n_ratings"] == 18
    assert [(each.code, each.n) for each in watch(compared).votes] == [
        ("s0", 12), ("s1", 12), ("s2", 12)
    ]  # fmt: skip


def test_pairs_are_exported_with_their_choice(compared: Study) -> None:
    row = exported(compared)[3]
    assert (row["stimulus"], row["second"], row["side"], row["choice"]) == (
        "s0", "s1", "left", "first"
    )  # fmt: skip
    assert row["rating"] == ""


def test_pairs_come_back_from_a_bundle(compared: Study, tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with path.open("wb") as file:
        write_bundle(compared, file)
    before = "".join(csv_lines(RATINGS_LONG, ratings_rows(compared, shared=True)))
    study = import_bundle(path)
    assert study.pk != compared.pk  # its codes are its own: both fit into one lab
    assert "".join(csv_lines(RATINGS_LONG, ratings_rows(study))) == before
    assert differences(path, study) == []


def test_a_matrix_has_a_row_a_stimulus_and_a_column_a_person() -> None:
    study = study_of("acr")
    given = {"p1": (1, 2, 3), "p2": (4, None, 5), "p3": (2, 2, 2)}
    for code, ratings in given.items():
        someone = person(study, code)
        for index, (stimulus, rating) in enumerate(
            zip(study.stimuli.all(), ratings, strict=True), start=1
        ):
            trial = Trial.objects.create(
                participant=someone, index=index, stimulus=stimulus
            )
            if rating is not None:
                Rating.objects.create(trial=trial, rating=rating)
    Participant.objects.filter(code="p3").update(excluded=True)
    assert list(csv.reader("".join(matrix_lines(study)).splitlines())) == [
        ["stimulus", "p1", "p2"], ["s0", "1", "4"], ["s1", "2", ""], ["s2", "3", "5"]
    ]  # fmt: skip
    plain = "".join(matrix_lines(study, labels=False))
    assert plain == "1,4\n2,\n3,5\n"


def test_no_code_in_a_matrix_runs_as_a_formula(tmp_path: Path) -> None:
    """Codes of an imported study may begin with a sign."""
    study = study_of("acr", pictures=1)
    study.stimuli.update(code="-A1")
    trial = Trial.objects.create(
        participant=person(study, "-1-2"), index=1, stimulus=study.stimuli.get()
    )
    Rating.objects.create(trial=trial, rating=4)
    lines = list(matrix_lines(study))
    assert lines == ["stimulus,'-1-2\n", "'-A1,4\n"]
    path = tmp_path / "ratings_matrix.csv"
    path.write_text("".join(lines), encoding="utf-8")
    (read,) = read_ratings(path).to_dict("records")
    (row,) = exported(study)
    assert (read["participant"], read["stimulus"], read["rating"]) == (
        row["participant"], row["stimulus"], 4
    )  # fmt: skip
    assert "".join(matrix_lines(study, labels=False)) == "4\n"
