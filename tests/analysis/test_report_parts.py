"""The pages of a report: the answer first, a page a question, all else behind."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import pytest

from analysis.models import Report
from analysis.preregistration import freezing
from analysis.reports import compute
from analysis.reports.contents import report_context
from analysis.reports.first_page import MOST_TILES, weightiest_first
from analysis.reports.page_data import Kept, level_word
from analysis.reports.parts import NAMES, PARTS
from survey.models import Question, Rating, Study
from tests.analysis.test_exports import people_answer
from tests.analysis.test_methods import compared, hidden, person, study_of

__all__ = ["compared", "hidden"]

pytestmark = pytest.mark.django_db


def reported(study: Study) -> Report:
    """The study's report, computed as a worker does, on its present data."""
    made = compute.compute(study, include_simulated=False, resamples=50)
    report = Report.objects.create(study=study, fingerprint=made["fingerprint"])
    assert report.finish(**made)
    report.refresh_from_db()
    return report


def part_of(study: Study, name: str, question: str = "") -> dict[str, Any]:
    report = study.reports.filter(state="done").first() or reported(study)
    return report_context(Kept(report, question), name, study)


def text_of(client: Any, study: Study, part: str = "", **query: str) -> str:
    base = f"/admin/analysis/report/study/{study.pk}/"
    page = client.get(f"{base}{part}", query).content.decode()
    assert "cannot be shown" not in page
    return re.sub(r"\s+", " ", page)


def test_the_first_page_has_the_pictures_best_to_worst_and_references_marked(
    hidden: Study, admin_client: Any
) -> None:
    tiles = part_of(hidden, "")["best"]
    assert [tile["code"] for tile in tiles] == [
        "moor", "lake", "moor-ink", "lake-ink", "moor-oil", "lake-oil"
    ]  # fmt: skip
    assert [tile["is_reference"] for tile in tiles] == [True, True, *[False] * 4]
    by_code = {tile["code"]: tile for tile in tiles}
    ink = by_code["lake-ink"]
    assert (ink["score"], ink["n"], ink["dmos"]) == ("3.00", "3", "3.33")
    assert ink["at"] == 50  # 3 lies in the middle of 1 to 5
    # 3 ± 4.30 / √3 leaves the scale at both ends, and is cut there.
    assert ink["interval"] == "0.52 to 5.48"
    assert ink["line"] == {"x1": 0, "x2": 100, "cut_low": True, "cut_high": True}
    assert by_code["moor"]["line"] is None and by_code["moor"]["interval"] == ""
    page = text_of(admin_client, hidden)
    assert page.count('class="nst-reference"') == 2
    assert "18 ratings of 4 stimuli and 2 hidden references by 3 participants" in page


def test_the_findings_are_three_at_most_and_what_was_planned_comes_first(
    hidden: Study, researcher: Any
) -> None:
    plain = part_of(hidden, "")["findings"]
    assert len(plain) == 3
    assert plain[0].startswith("Best: moor × ink, MOS 3.67")
    assert "lowest: lake × oil, 1.67" in plain[0]
    assert (
        "3 of 3 others are not told apart from the best (paired t, Holm, 0.05)"
        in (plain[0])
    )
    assert plain[1].startswith("Against its hidden reference the best is moor × ink")
    assert plain[2].startswith("Largest exploratory difference between levels: style")
    assert "+1.17" in plain[2]  # (3, 2, 4, 4, 3, 4) less (2, 1, 2, 3, 2, 3), over 6
    hidden.reports.all().delete()
    plan = {
        "hypotheses": "", "exclusion": {"screening": "none", "fast_ms": 600,
        "by_hand": ""}, "contrasts": {"pairs": [{"factor": "content", "a": "lake",
        "b": "moor"}], "test": "t", "correction": "none", "level": 0.95},
    }  # fmt: skip
    freezing.write(hidden, plan)
    freezing.freeze(hidden, by=researcher)
    found = part_of(hidden, "")["findings"]
    assert len(found) == 3
    assert found[0] == (
        "Planned: content, lake against moor: −0.83 (−1.55 to −0.12), p = 0.038 as "
        "planned, 3 people."
    )
    assert found[1].startswith("Best: moor × ink")


def test_of_many_pictures_the_first_page_has_both_ends() -> None:
    study = study_of("acr", pictures=MOST_TILES + 6)
    someone = person(study, "p1")
    for index, stimulus in enumerate(study.stimuli.order_by("pk"), start=1):
        trial = someone.trials.create(index=index, stimulus=stimulus)
        Rating.objects.create(trial=trial, rating=1 + index % 5)
    page = part_of(study, "")
    assert page["between_ends"] == 6
    assert len(page["best"]) == len(page["worst"]) == MOST_TILES // 2
    assert page["first_of_worst"] == MOST_TILES + 6 - MOST_TILES // 2 + 1
    assert {tile["score"] for tile in page["best"][:6]} == {"5.00"}
    assert page["worst"][-1]["score"] == "1.00"


def test_a_level_that_is_text_stays_as_it_was_written() -> None:
    assert level_word("alpha", "0.0100") == "0.01"
    for text in ("007", "1.10", "2_1", "3e5"):
        assert level_word("strength", text) == level_word("style", text) == text


def test_warnings_are_counted_and_the_weightiest_is_named(admin_client: Any) -> None:
    confounded = [f"a{k} and b are confounded: every level …" for k in range(90)]
    unbalanced = "style and content are unbalanced: …"
    refused = "3 of 40 rows could not be used and count nowhere; …"
    found = weightiest_first([*confounded, unbalanced, refused])
    assert found == [refused, unbalanced, *confounded]
    study = study_of("acr", pictures=2)
    for code, values in (("p1", (2, 4)), ("p2", (3, 3))):
        someone = person(study, code)
        for index, stimulus in enumerate(study.stimuli.order_by("pk")):
            trial = someone.trials.create(index=index + 1, stimulus=stimulus)
            Rating.objects.create(trial=trial, rating=values[index])
    report = reported(study)
    Report.objects.update(method=report.method | {"notes": [*confounded, unbalanced]})
    page = text_of(admin_client, study)
    assert f"91 notes on design and data, the weightiest: {unbalanced}" in page
    assert page.count("are confounded") == 5
    assert text_of(admin_client, study, "checks/").count("are confounded") == 90


@pytest.fixture
def asked(db: None) -> Study:
    """Two pictures rated by four people on two questions that disagree."""
    study = study_of("acr", pictures=4)
    Question.objects.create(study=study, name="style", text="How well …?")
    for number in range(4):
        someone = person(study, f"p{number}")
        for index, stimulus in enumerate(study.stimuli.order_by("pk")):
            trial = someone.trials.create(index=index + 1, stimulus=stimulus)
            rating = 1 + (index + number % 2)
            Rating.objects.create(trial=trial, question="overall", rating=rating)
            Rating.objects.create(trial=trial, question="style", rating=6 - rating)
    return study


def test_a_question_is_a_page_and_nothing_mixes_two(
    asked: Study, admin_client: Any
) -> None:
    first, second = (part_of(asked, "", it) for it in ("overall", "style"))
    assert [tile["code"] for tile in first["best"]] == ["s3", "s2", "s1", "s0"]
    assert [tile["code"] for tile in second["best"]] == ["s0", "s1", "s2", "s3"]
    for part in NAMES:
        for question in ("overall", "style"):
            page = text_of(admin_client, asked, f"{part}/", question=question)
            # How two correlate is of no question.
            assert (f"“{question}”</a>" in page) == (part != "questions")
            charts = part_of(asked, part, question)["charts"]
            assert {chart["question"] for chart in charts} <= {question}
    assert len(part_of(asked, "stimuli", "style")["rows"]) == 4
    assert len(part_of(asked, "raters", "style")["raters"]) == 4
    assert part_of(asked, "stimuli", "nothing like it")["question"] == "overall"


def test_the_files_of_a_questions_page_are_of_that_question(
    asked: Study, admin_client: Any
) -> None:
    report = reported(asked)
    page = text_of(admin_client, asked, "stimuli/", question="style")
    [link] = re.findall(r'href="([^"]+mos_by_stimulus.csv\?question=style)"', page)
    answer = admin_client.get(link)
    assert "mos_by_stimulus_style.csv" in answer["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert [row["question"] for row in rows] == ["style"] * 4
    whole = list(csv.DictReader(io.StringIO(report.text("mos_by_stimulus.csv"))))
    assert rows == [row for row in whole if row["question"] == "style"]
    kept = f"/admin/analysis/report/file/{report.pk}"
    for wrong in ("mos_by_stimulus.csv?question=x", "codebook.csv?question=style",
                  "mos_style.svg?question=style"):  # fmt: skip
        assert admin_client.get(f"{kept}/{wrong}").status_code == 404
    files = text_of(admin_client, asked, "files/", question="style")
    assert "Of “style” alone" in files and "raters.csv?question=style" in files


def test_correlations_between_questions_have_a_page_where_there_are_several(
    asked: Study, study: Study, admin_client: Any
) -> None:
    rows = part_of(asked, "questions")["correlations"]
    assert [row["value"] for row in rows] == ["−1.00", "−1.00", "−1.00"] or [
        row["value"] for row in rows
    ] == ["-1.00", "-1.00", "-1.00"]
    assert "Within people" in text_of(admin_client, asked, "questions/")
    people_answer(study, 2, 4)
    parts = [part.name for part in part_of(study, "")["parts"]]
    assert parts == [part.name for part in PARTS if part.name != "questions"]


def test_agreement_recommends_one_coefficient_and_says_why(hidden: Study) -> None:
    page = part_of(hidden, "agreement")
    assert page["recommended"]["statistic"] == "icc_2_k_components"
    assert "as many other people" in page["why"]
    others = [row["statistic"] for row in page["reliability"]]
    assert "icc_2_k_components" not in others and "icc_2_k" in others


def test_pairs_have_a_first_page_of_scores(compared: Study, admin_client: Any) -> None:
    tiles = part_of(compared, "")["best"]
    scores = [float(tile["score"].replace("−", "-")) for tile in tiles]
    assert len(scores) == 3 and scores == sorted(scores, reverse=True)
    parts = [part.name for part in part_of(compared, "")["parts"]]
    assert parts == ["", "stimuli", "sample", "checks", "files"]
    for part in ("", "stimuli/", "checks/", "files/"):
        assert "log odds" in text_of(admin_client, compared) or part
        text_of(admin_client, compared, part)


@pytest.mark.parametrize("ratings", [(), (5,)], ids=["nobody", "one person"])
def test_every_page_says_what_it_can_of_almost_nothing(
    make_study: Any, admin_client: Any, queues: None, ratings: tuple[int, ...]
) -> None:
    study = make_study(pictures=1)
    people_answer(study, *ratings)
    reported(study)
    for part in PARTS:
        page = text_of(admin_client, study, f"{part.name}/" if part.name else "")
        assert ("Nobody has rated anything yet" in page) == (not ratings)
        assert "ratings_long.csv" in page or ratings
    if ratings:
        [tile] = part_of(study, "")["best"]
        assert (tile["score"], tile["interval"]) == ("5.00", "")


def test_a_report_kept_from_before_the_parts_still_opens(
    hidden: Study, admin_client: Any
) -> None:
    """Its charts say neither part nor question, its method no days."""
    report = reported(hidden)
    charts = [
        {name: chart[name] for name in ("name", "title", "description", "missing")}
        for chart in report.charts
    ]
    method = {k: v for k, v in report.method.items() if k != "answered"}
    Report.objects.update(charts=charts, method=method)
    for part in PARTS[:5]:
        text_of(admin_client, hidden, f"{part.name}/" if part.name else "")
