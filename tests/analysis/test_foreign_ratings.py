"""Other people's ratings: imported whole, or refused before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from django.core.management import CommandError, call_command

from analysis import monitor
from analysis.bundle.archive import BrokenBundle
from analysis.bundle.read import differences, import_bundle
from analysis.bundle.write import write_bundle
from analysis.columns import RATINGS_LONG
from analysis.exports import csv_lines, matrix_lines, ratings_rows
from analysis.foreign_ratings import import_ratings
from analysis.models import Import
from analysis.reports import compute, method_text, page_data
from analysis.stats import report as stats
from analysis.stats.frame import validate
from analysis.stats.reading import read_ratings
from survey.models import Rating, Study, Trial
from tests.analysis.test_round_trip import gone

pytestmark = pytest.mark.django_db

Imports = Callable[..., Study]


@pytest.fixture
def imports(tmp_path: Path) -> Imports:
    def make(text: str, **options: Any) -> Study:
        path = tmp_path / "theirs.csv"
        path.write_text(text, encoding="utf-8")
        return import_ratings(path, title="Theirs", **options)

    return make


def refusal(imports: Imports, text: str, **options: Any) -> str:
    with pytest.raises(BrokenBundle) as caught:
        imports(text, **options)
    assert not Study.objects.exists() and not Trial.objects.exists()
    return str(caught.value)


def in_the_lab(study: Study) -> dict[str, pd.DataFrame]:
    return dict(compute.build(study, include_simulated=False)[1].tables)


def agree(study: Study, path: Path, columns: Sequence[str], **options: Any) -> None:
    """The lab's report and the command line's say the same of the same file."""
    theirs = stats.build(validate(read_ratings(path), **options)).tables
    ours = in_the_lab(study)
    labels = {it.code: it.parameters["label"] for it in study.stimuli.all()}
    for name, key in (("mos_by_stimulus.csv", "stimulus"), ("order_effects.csv", "")):
        one, other = ours[name].copy(), theirs[name].copy()
        if not key:  # the lab's tables also name what nobody has, such as times of day
            one = one[one["n_participants"] > 0].reset_index(drop=True)
            assert {*one.pop("question")} <= {"overall"}  # the lab names the only one
            other = other[other["n_participants"] > 0].reset_index(drop=True)
        else:
            one[key] = one[key].astype(str).map(labels)
            one = one.set_index(key).sort_index()[[*columns]]
            other[key] = other[key].astype(str)
            other = other.set_index(key).sort_index()[[*columns]]
        pd.testing.assert_frame_equal(
            one, other, check_dtype=False, check_index_type=False
        )


# Checks, order, who broke off -----------------------------------------------------

CHECKED = """participant,stimulus,rating,trial,kind,expected,passed,response_ms
p1,s1,2,1,rating,,,1500
p1,s2,3,2,rating,,,1400
p1,s1,5,3,catch,5,true,1200
p1,s2,3,4,repeat,,,1300
p2,s2,4,1,rating,,,900
p2,s1,4,3,catch,5,false,800
p2,s1,,4,rating,,,
"""


def test_checks_come_with_what_they_asked_for(imports: Imports, tmp_path: Path) -> None:
    study = imports(CHECKED)
    rows = list(ratings_rows(study))
    checks = [it for it in rows if it["kind"] == "catch"]
    assert [(it["expected"], it["passed"]) for it in checks] == [
        ("5", True),
        ("5", False),
    ]
    raters = in_the_lab(study)["raters.csv"]
    assert raters["traps_total"].tolist() == [1, 1]
    assert raters["traps_passed"].tolist() == [1, 0]
    assert [it["kind"] for it in rows if it["kind"] == "repeat"] == ["repeat"]
    people = study.participants.order_by("pk")
    assert [it.status for it in people] == ["finished", "dropped"]
    assert people[1].finished_at is None
    assert [it["trial"] for it in rows] == [1, 2, 3, 4, 1, 3, 4]
    assert "".join(csv_lines(RATINGS_LONG, rows)).count("\n") == 8


@pytest.mark.parametrize(
    ("line", "cell", "said"),
    [
        ("p1,s1,5,3,catch,5,true", "p1,s1,5,3,catch,,true", "which answer is right"),
        ("p1,s1,5,3,catch,5,true", "p1,s1,1,3,catch,5,true", "cannot have passed"),
        ("p1,s1,5,3,catch,5,true", "p1,s1,5,3,catch,9,true", "9 is not on the scale"),
        ("p1,s2,3,2,rating", "p1,s2,3,1,rating", "leave the column trial out"),
        ("p1,s2,3,2,rating", "p1,s2,3,,rating", "is no place in a session"),
        ("p1,s2,3,2,rating", "p1,s1,3,1,rating", "twice"),
        ("rating,,,1400", "rating,,,-5", "-5 are no milliseconds"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_line(
    imports: Imports, line: str, cell: str, said: str
) -> None:
    assert line in CHECKED
    sentence = refusal(imports, CHECKED.replace(line, cell))
    assert said in sentence and sentence.startswith("Line ")


def test_a_gold_answer_next_to_the_right_one_has_passed(imports: Imports) -> None:
    text = CHECKED.replace("p2,s1,4,3,catch,5,false", "p2,s1,4,3,catch,5,true")
    study = imports(text)
    checks = [it for it in ratings_rows(study) if it["kind"] == "catch"]
    assert [it["passed"] for it in checks] == [True, True]
    assert [it["instructed"] for it in checks] == [True, False]


def test_a_check_that_was_imported_without_its_answer_breaks_nothing(
    imports: Imports,
) -> None:
    """As earlier versions have done; its file was cut off in the middle then."""
    study = imports(CHECKED)
    Trial.objects.filter(kind="catch").update(expected="")
    rows = list(ratings_rows(study))
    assert [it["passed"] for it in rows if it["kind"] == "catch"] == [None, None]
    assert in_the_lab(study)["mos_by_stimulus.csv"]["n"].tolist() == [1, 2]


# Everybody says 4 first and 2 last; by the file's order p2 seems to warm up instead.
ORDERED = """participant,stimulus,rating,trial
p1,s1,4,1
p2,s1,2,2
p1,s2,2,2
p2,s2,4,1
"""


def test_order_is_that_of_the_trials(imports: Imports, tmp_path: Path) -> None:
    study = imports(ORDERED)
    effects = in_the_lab(study)["order_effects.csv"].set_index("effect")
    assert effects.loc["fatigue", "estimate"] == pytest.approx(-20)
    agree(study, tmp_path / "theirs.csv", ["n", "mos", "sd"])


def test_no_order_is_none(imports: Imports, tmp_path: Path) -> None:
    study = imports(ORDERED, leave_out=["trial"])
    assert set(in_the_lab(study)["order_effects.csv"]["effect"]) == {"time_of_day"}
    assert list(Import.objects.values_list("ordered", "timed")) == [(False, False)]
    assert {row["seconds"] for row in ratings_rows(study)} == {None}


def test_two_studies_are_two_files(imports: Imports) -> None:
    text = "study,participant,stimulus,rating\none,a,x,1\ntwo,a,x,2\n"
    assert "2 values of study" in refusal(imports, text)


def test_a_question_of_practice_alone_is_one_too(imports: Imports) -> None:
    study = imports(
        "participant,stimulus,question,kind,rating,expected\na,x,style,training,1,\n"
        "a,x,overall,rating,2,\na,x,really?,catch,2,2\n"
    )
    rows = [it for it in ratings_rows(study) if it["rating"] is not None]
    assert [(it["question"], it["kind"]) for it in rows] == [
        ("style", "training"), ("overall", "rating"), ("overall", "catch"),
    ]  # fmt: skip


def test_people_are_who_they_are_in_every_row(imports: Imports) -> None:
    text = "participant,stimulus,rating,excluded\na,x,1,true\na,y,2,false\n"
    assert "a has another excluded than before" in refusal(imports, text)


# Factors --------------------------------------------------------------------------

SPARSE = """participant,email,stimulus,rating,blur
p1,ada@example.org,s1,2,low
p1,ada@example.org,s2,3,high
p2,bob@example.org,s3,3,low
p2,bob@example.org,s4,5,high
"""


def test_only_named_columns_become_factors(imports: Imports) -> None:
    notes: list[str] = []
    study = imports(SPARSE, factors=["blur"], notes=notes)
    made = [it.parameters for it in study.stimuli.order_by("pk")]
    assert [it["blur"] for it in made] == ["low", "high", "low", "high"]
    assert all(set(it) == {"label", "blur"} for it in made)
    assert notes == [
        "Not imported: email. A column becomes a factor of the pictures only when it "
        "is named as one."
    ]


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("email", ["1", "2"], "about people by its name"),
        ("who", ["ada@example.org", "bob@example.org"], "e-mail addresses"),
        ("key", ["5f3b9c2e1a7d4b6c8e9f0a1b", "5f3b9c2e1a7d4b6c8e9f0a1c"], "ids"),
        ("from", ["192.0.2.1", "192.0.2.2"], "addresses of computers"),
        ("call", ["+31 20 123 4567", "020-1234567"], "telephone numbers"),
        ("why", ["It has " + "such lovely colours " * 4, "dull"], "whole sentences"),
        ("town", ["Delft", "Leiden"], "one value for each person"),
        ("n", ["1", "2"], "tables have one of that name"),
    ],
)
def test_what_is_about_people_is_no_factor(
    imports: Imports, name: str, values: list[str], said: str
) -> None:
    text = SPARSE.replace("email", name)
    for written, value in zip(
        ["ada@example.org", "bob@example.org"], values, strict=True
    ):
        text = text.replace(written, value)
    assert said in refusal(imports, text, factors=[name])


def test_a_single_person_s_address_is_no_factor(imports: Imports) -> None:
    text = "participant,contact,stimulus,rating\n" + "".join(
        f"p1,Main Street 1,s{k},{k}\n" for k in (1, 2, 3)
    )
    assert "one value for each person" in refusal(imports, text, factors=["contact"])


def test_what_some_people_share_is_about_them_too(imports: Imports) -> None:
    text = SPARSE.replace("email", "years").replace("ada@example.org", "30")
    text = text.replace("bob@example.org", "30")
    text += "p3,41,s5,2,low\np3,41,s6,4,high\n"
    assert "one value for each person" in refusal(imports, text, factors=["years"])
    # Groups who see pictures of one kind each: they share the pictures.
    text = "participant,stimulus,rating,kind of\n" + "".join(
        f"p{person},s{person % 2},{rating},k{person % 2}\n"
        for person, rating in enumerate([1, 2, 3, 4])
    )
    study = imports(text, factors=["kind of"])
    assert {it.parameters["kind of"] for it in study.stimuli.all()} == {"k0", "k1"}


def test_a_factor_is_one_of_the_file_and_of_the_pictures(imports: Imports) -> None:
    assert "has email, blur" in refusal(imports, SPARSE, factors=["x"])
    text = SPARSE + "p2,bob@example.org,s1,4,high\n"
    assert "s1 has 'low' in one row and 'high'" in refusal(
        imports, text, factors=["blur"]
    )


def test_the_guard_against_formulas_is_taken_off(imports: Imports) -> None:
    text = "participant,stimulus,rating,'=way\np,'=a,1,'-low\nq,'=a,2,'-low\nq,b,3,x\n"
    study = imports(text, factors=["=way"])
    made = [it.parameters for it in study.stimuli.order_by("pk")]
    assert made == [{"label": "=a", "=way": "-low"}, {"label": "b", "=way": "x"}]


# Questions and scales ---------------------------------------------------------------


def test_a_question_of_any_wording_gets_a_name(imports: Imports) -> None:
    long = "Wie gut ist der Stil getroffen, und warum?"
    text = "participant,stimulus,question,rating\n" + "".join(
        f'{person},{stimulus},"{question}",{rating}\n'
        for person in ("p1", "p2")
        for stimulus in ("s1", "s2")
        for question, rating in (("overall", 4), ("style", 2), (long, 3), ("1?", 5))
    )
    study = imports(text)
    asked = dict(study.further_questions.values_list("name", "text"))
    assert asked == {
        "style": "style",
        "wie_gut_ist_der_stil_getroffen_und_warum": long,
        "question_1": "1?",
    }
    assert Trial.objects.count() == 4  # each with four answers
    table = in_the_lab(study)["mos_by_stimulus.csv"]
    assert table.groupby("question", observed=True)["mos"].first().to_dict() == {
        "overall": 4, "style": 2, "wie_gut_ist_der_stil_getroffen_und_warum": 3,
        "question_1": 5,
    }  # fmt: skip
    assert table["n_missing"].sum() == 0


def test_without_a_main_question_the_first_is_it(imports: Imports) -> None:
    text = "participant,stimulus,question,rating\na,x,Nice?,1\na,x,New?,2\n"
    study = imports(text)
    assert study.question == "Nice?"
    assert list(study.further_questions.values_list("name", "text")) == [
        ("new", "New?")
    ]
    assert in_the_lab(study)["mos_by_stimulus.csv"]["n_missing"].sum() == 0


@pytest.mark.parametrize(
    ("scale", "step", "ratings"),
    [
        ((0, 100), None, ["0", "77", "100", "80"]),
        ((1, 5), 0.5, ["1", "2.5", "4.5", "5"]),
        ((-3, 3), None, ["-3", "0", "2", "3"]),
        ((0, 1), None, ["0.1", "0.37", "1", "0"]),
        ((0, 10), 0, ["3.333", "0.1", "10", "9.9"]),
    ],
)
def test_any_scale_is_kept_exactly(
    imports: Imports, tmp_path: Path, scale: Any, step: Any, ratings: list[str]
) -> None:
    text = "participant,stimulus,rating\n" + "".join(
        f"p{k // 2},s{k % 2},{rating}\n" for k, rating in enumerate(ratings)
    )
    study = imports(text, scale=scale, step=step)
    rows = list(ratings_rows(study))
    assert [row["rating"] for row in rows] == [float(it) for it in ratings]
    assert {(row["scale_min"], row["scale_max"]) for row in rows} == {scale}
    agree(study, tmp_path / "theirs.csv", ["n", "mos", "sd"], scale=scale, step=step)
    means = {it.code: it.mean for it in monitor.watch(study).votes}
    assert means["s0"] == pytest.approx((float(ratings[0]) + float(ratings[2])) / 2)
    cells = "".join(matrix_lines(study)).splitlines()[1].split(",")[1:]
    assert [float(it) for it in cells] == [float(it) for it in ratings[::2]]


def test_a_scale_below_zero_has_its_categories_on_the_page() -> None:
    header = dict.fromkeys(["stimulus", "n", "n_missing", "n_-1", "n_0", "n_1"], "2")
    assert page_data.categories_of([header]) == [-1, 0, 1]
    assert page_data.categories_of([{f"n_{k}": "2" for k in range(101)}]) == []


def test_halves_come_back_from_a_bundle(imports: Imports, tmp_path: Path) -> None:
    text = """participant,stimulus,rating,kind,expected,trial,seconds
p1,s1,2.5,rating,,1,-3.5
p1,s2,4,rating,,2,8.25
p1,s2,4.5,catch,4.5,3,9
p2,s1,1,rating,,1,2
p2,s2,,rating,,2,
"""
    study = imports(text, step=0.5)
    before = list(ratings_rows(study, shared=True))
    assert [row["seconds"] for row in before] == [-3.5, 8.25, 9, 2, None]
    path = tmp_path / "a.zip"
    with path.open("wb") as file:
        write_bundle(study, file)
    gone()
    again = import_bundle(path)
    assert list(ratings_rows(again, shared=True)) == before
    assert Rating.objects.order_by("pk").first().rating == 3  # type: ignore[union-attr]
    assert differences(path, again) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scale": (0, 100)}, "Round the ratings"),
        ({"scale": (5, 1)}, "has no width"),
        ({"scale": (0, 2), "step": 0.3}, "steps of 0.3"),
    ],
)
def test_a_scale_that_cannot_be_kept_is_refused(
    imports: Imports, options: dict[str, Any], said: str
) -> None:
    text = "participant,stimulus,rating\na,x,1.2345\nb,x,1.3\n"
    assert said in refusal(imports, text, **options)


# Files of other programs ------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "participant;stimulus;rating\r\n007;s1;2,0\r\n7;s1;4,0\r\n08;s1;3,0\r\n",
        "sep=;\nparticipant;stimulus;rating\n007;s1;2\n7;s1;4\n08;s1;3\n",
        "participant,s1\n007,2\n7,4\n08,3\n",
        'participant,stimulus,rating,"How old\nare you?"\n'
        "007,s1,2,30\n7,s1,4,30\n08,s1,3,30\n",
        'participant;stimulus;rating;"quality, overall, 1-5"\n'
        "007;s1;2;x\n7;s1;4;x\n08;s1;3;x\n",
    ],
)
def test_files_are_read_as_people_make_them(imports: Imports, text: str) -> None:
    study = imports(text)
    assert study.participants.count() == 3
    (row,) = in_the_lab(study)["mos_by_stimulus.csv"].to_dict("records")
    assert (row["n"], row["mos"]) == (3, 3)


def test_the_command_says_what_was_done_and_what_cannot_be(
    tmp_path: Path, capsys: Any
) -> None:
    path = tmp_path / "theirs.csv"
    path.write_text(SPARSE, encoding="utf-8")
    with pytest.raises(CommandError, match="about people by its name"):
        call_command("import_ratings", path, title="Theirs", factor=["email"])
    call_command(
        "import_ratings", path, "--title=Theirs", "--factor=blur", "--scale=0-10",
        "--step=0.5",
    )  # fmt: skip
    assert "Not imported: email." in capsys.readouterr().out
    assert method_text.scale_sentence(Study.objects.get()).startswith(
        "0–10 in steps of 0.5"
    )
