"""What leaves the lab as a file comes back as it was, whatever it is called."""

from __future__ import annotations

import re
import zipfile
from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from django.db.models import F

from analysis.bundle import write
from analysis.bundle.read import differences, import_bundle
from analysis.bundle.write import write_bundle
from analysis.charts import registry
from analysis.charts.drawing import DrawnChart
from analysis.charts.factor_pairs import heat_map
from analysis.charts.subject import Subject
from analysis.columns import RATINGS_LONG
from analysis.exports import csv_lines, own_factors
from analysis.models import Report, ReportFile
from analysis.preregistration import freezing
from analysis.preregistration.plan import factors_of, pairs_of
from analysis.reports import compute
from analysis.stats.case import Options
from analysis.stats.frame import validate
from analysis.stats.reading import read_ratings
from analysis.stats.report import build
from generation.engine.factors import column_names
from nstlab.core.csv_cells import csv_cell, unguarded
from nstlab.core.factor_names import COUNTS, TAKEN, columns_of, refusals, why_not
from survey.methods import method_of
from survey.models import Participant, Rating, Stimulus, Study, Trial

ODD = ["style weight", "größe", "α", "a.b", "alpha/beta", "=x", "../x", "'=x", "x" * 90]
LAB_OWN = ["n", "mos", "sd", "flags", "n_3", "rating", "a,b", "two\nlines", " "]


def make_rated(parameters: list[dict[str, Any]], people: int = 6, **fields: Any) -> Any:
    """A closed study without pictures; everybody rates everything, not alike."""
    study = Study.objects.create(title="Mine", state="closed", **fields)
    shown = Stimulus.objects.bulk_create(
        Stimulus(study=study, code=f"s{k}", width=0, height=0, parameters=each)
        for k, each in enumerate(parameters)
    )
    for number in range(people):
        person = Participant.objects.create(
            study=study, code=f"p{number}", number=number, seed=0, study_version=1,
            token_sha256=f"token {number}", status="finished",
        )  # fmt: skip
        for k, stimulus in enumerate(shown):
            trial = Trial.objects.create(
                participant=person, index=k + 1, stimulus=stimulus,
                answered_at=person.started_at,
            )  # fmt: skip
            Rating.objects.create(
                trial=trial, rating=1 + (number * k + 2 * k + number) % 5,
                response_ms=900 + 7 * k, rated_at=person.started_at,
            )  # fmt: skip
        Participant.objects.filter(pk=person.pk).update(finished_at=person.started_at)
    return study


def odd_parameters(varying: list[str]) -> list[dict[str, Any]]:
    """Six pictures with factors of all names above, some of them varying, with levels
    of all kinds."""
    levels = ["=1+1", "'=1", "- rough"], [1, 2, 3], [0.5, 1.5, 0.5], ["ü", "ü", "/"]
    return [
        {
            name: levels[place % 4][(k + place // 4) % 3 if name in varying else 0]
            for place, name in enumerate([*ODD, *LAB_OWN])
        }
        for k in range(6)
    ]


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def written(study: Study, path: Path) -> Path:
    with path.open("wb") as file:
        write_bundle(study, file)
    return path


def gone() -> None:
    for model in (Trial, Participant, Study):
        model.objects.all().delete()


# There and back ----------------------------------------------------------------------


@pytest.mark.django_db
def test_names_and_times_of_every_kind_come_back_identical(tmp_path: Path) -> None:
    made = odd_parameters(["../x", "n", "größe"])
    study = make_rated(made)
    people = study.participants.order_by("pk")
    # One clock was set back by an hour between joining and the answers.
    people.filter(code="p1").update(started_at=F("started_at") + timedelta(hours=1))
    # One left after two pictures, and one failed a check.
    Rating.objects.filter(trial__participant__code="p2", trial__index__gt=2).delete()
    Trial.objects.filter(participant__code="p2", index__gt=2).update(answered_at=None)
    people.filter(code="p2").update(status="dropped", finished_at=None)
    Trial.objects.filter(participant__code="p3", index=3).update(
        kind="catch", expected="5", instructed=True
    )
    people.filter(code="p3").update(excluded=True, exclusion_reason="'=missed it")

    first = written(study, tmp_path / "a.zip")
    before = members(first)
    gone()
    imported = import_bundle(first)
    assert differences(first, imported) == []
    for kind, (columns, rows) in write._tables(imported).items():
        (name,) = [it for it in before if f"_table-{kind}_" in it]
        assert before[name].decode() == "".join(csv_lines(columns, rows)), name
    stimuli = imported.stimuli.order_by("pk")
    assert [it.parameters for it in stimuli] == made
    assert imported.participants.get(code="p2").status == "dropped"
    assert imported.participants.get(code="p3").exclusion_reason == "'=missed it"
    late = imported.participants.get(code="p1")
    assert late.finished_at is not None
    assert late.finished_at - late.started_at == timedelta(hours=-1)


@pytest.mark.django_db
def test_factors_of_every_name_are_in_the_tables() -> None:
    study = make_rated(odd_parameters([*ODD, *LAB_OWN]))
    _, report = compute.build(study, include_simulated=False)
    columns = {*own_factors(study).values()}
    assert len(columns) == len([*ODD, *LAB_OWN])
    for name in ("mos_by_stimulus.csv", "mos_by_condition.csv"):
        assert columns <= set(report.tables[name].columns), name
    drawn = Subject.of(report, factors=[*columns], thumbnails={})
    for pair in permutations(columns, 2):
        chart = heat_map(replace(drawn, tables={}), pd.DataFrame(), pair)
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,60}", chart.name)


def test_two_charts_never_have_one_file() -> None:
    """Not on a disk either that ignores capitals."""
    names = ["heat_a_b", "heat_A_b", "heat_a_b"]
    apart = registry.with_names_apart([DrawnChart(it, "", "") for it in names])
    assert [it.name for it in apart] == ["heat_a_b", "heat_A_b_2", "heat_a_b_3"]


@pytest.mark.django_db
def test_the_lab_s_own_names_get_a_column_and_a_note() -> None:
    study = make_rated(
        [{"n": k % 2, "=x": k // 2, "factor_n": k % 3} for k in range(6)]
    )
    _, report = compute.build(study, include_simulated=False)
    columns = report.tables["mos_by_condition.csv"].columns
    assert {"factor_n_", "=x", "factor_n"} <= set(columns) and "n" not in columns
    notes = "\n".join(report.summary["notes"])
    assert "The factor 'n' is the column 'factor_n_'" in notes
    freezing.write(study, {"contrasts": {"pairs": []}})
    plan = freezing.of(study)
    assert plan is not None and "factor_n_" in factors_of(study)
    pair = {"factor": "n", "a": "0", "b": "1"}  # planned before columns had prefixes
    plan.plan = {"contrasts": {"pairs": [pair]}}
    assert pairs_of(plan) == [("factor_n_", "0", "1")]


def test_so_do_the_names_in_a_file_of_others(tmp_path: Path) -> None:
    path = tmp_path / "theirs.csv"
    rows = (
        f"p{k % 3},s{k // 3},{1 + k % 5},{k // 6},x{k // 3},y{k // 3}"
        for k in range(12)
    )
    path.write_text('participant,stimulus,rating,n,flags,"a,b"\n' + "\n".join(rows))
    ratings = validate(read_ratings(path), kinds={"n": "nominal"})
    report = build(ratings, Options(by=("factor_n", "factor_a_b")))
    columns = set(report.tables["mos_by_stimulus.csv"].columns)
    assert {"factor_n", "factor_flags", "factor_a_b", "n", "flags"} <= columns
    assert ratings.kinds["factor_n"] == "nominal"
    assert "The factor 'n' is the column 'factor_n'" in "\n".join(ratings.notes)


@pytest.mark.django_db
def test_a_pair_s_model_is_not_that_of_the_comparisons() -> None:
    study = make_rated([{"model": k} for k in range(3)], people=0, method="pairs")
    person = Participant.objects.create(study=study, seed=0, study_version=1)
    a, b, c = study.stimuli.order_by("pk")
    for index, (one, other) in enumerate([(a, b), (b, c), (c, a)]):
        trial = Trial.objects.create(
            participant=person, index=index, stimulus=one, second=other
        )
        low, high = method_of(study).scale(study).bounds
        Rating.objects.create(
            trial=trial, choice="first", scale_min=low, scale_max=high
        )
    _, report = compute.build(study, include_simulated=False)
    table = report.tables["pair_scale.csv"]
    assert set(table["factor_model"]) == {0, 1, 2}
    assert set(table["model"]) == {"bradley_terry"}


@pytest.mark.django_db
def test_databases_that_keep_no_order_of_names_make_the_same_tables() -> None:
    one, other = {"b": 1, "aa": 2, "c": 3}, {"c": 3, "aa": 2, "b": 1}
    study = make_rated([one, other], people=0)
    assert [*own_factors(study)] == ["aa", "b", "c"]


@pytest.mark.parametrize(
    "text",
    [
        "=x",
        "'=x",
        "''=x",
        "'",
        "''",
        "it's",
        "'s",
        "",
        "-1x",
        "\tx",
        "\nx",
        "'\nx",
        "@",
    ],
)
def test_the_guard_against_formulas_comes_off_again(text: str) -> None:
    cell = csv_cell(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t"))
    assert unguarded(cell) == text


@pytest.mark.parametrize("level", ["-1", "-0.50", "+2"])
def test_a_level_that_is_a_number_needs_no_guard(level: str) -> None:
    assert csv_cell(level) == unguarded(level) == level
    assert unguarded(csv_cell(f"'{level}")) == f"'{level}"


# Names -------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_names_that_are_taken_are_those_of_the_tables() -> None:
    study = make_rated([{"mine": k, "other": k % 2} for k in range(4)])
    _, report = compute.build(study, include_simulated=False)
    columns = {*RATINGS_LONG}
    for name in ("mos_by_stimulus.csv", "mos_by_condition.csv"):
        columns |= set(report.tables[name].columns)
    columns -= {*column_names(), "mine", "other"}
    assert {it for it in columns if not COUNTS.fullmatch(it)} <= TAKEN
    # Besides: what public data sets and bundles have, and what pictures are called.
    assert TAKEN - columns == {"dataset", "seconds", "label"}


@pytest.mark.parametrize(
    "name", ["n", "MOS", "n_12", "n_-3", "a,b", "a\nb", "x" * 101, " ", ""]
)
def test_a_name_that_cannot_be_a_factor_s_is_refused_with_a_sentence(name: str) -> None:
    assert why_not(name).endswith(".")


@pytest.mark.parametrize("name", [*ODD, "model", "method", "n_colours", "mos_theirs"])
def test_any_other_name_is_taken(name: str) -> None:
    assert why_not(name) == "" and columns_of([name]) == {name: name}


def test_two_columns_of_one_name_are_refused() -> None:
    assert refusals(["Grain", "size", "grain"]) == [
        "The columns 'Grain' and 'grain' have the same name."
    ]


@pytest.mark.django_db
def test_a_chart_of_an_older_report_may_be_called_after_any_factor(
    logged_in: Any,
) -> None:
    study = make_rated([{}], people=0, owner=None)
    study.shared_with.add(logged_in.session["_auth_user_id"])
    report = Report.objects.create(study=study, fingerprint="x", state="done")
    for name in ('heat_alpha/beta_"x"_größe.csv', "heat_../x_a.svg"):
        ReportFile.objects.create(report=report, name=name, data=b"here")
        answer = logged_in.get(f"/admin/analysis/report/file/{report.pk}/{name}")
        assert (answer.status_code, answer.content) == (200, b"here")
