"""Reports of the other methods: several questions, hidden references, pairs."""

from __future__ import annotations

import csv
import io
import json
import math
import zipfile
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from analysis.bundle.read import differences, import_bundle
from analysis.bundle.write import write_bundle
from analysis.columns import RATINGS_LONG
from analysis.exports import csv_lines, matrix_lines, ratings_rows
from analysis.models import Report
from analysis.monitor import people, suspicious, watch, words
from analysis.preregistration import freezing
from analysis.preregistration.form import PlanForm
from analysis.reports import compute, method_text
from analysis.reports.contents import report_context
from analysis.reports.method_text import method_sentences
from analysis.reports.page_data import Kept
from analysis.stats.reading import read_ratings
from nstlab.core.version import VERSION, commit, software
from survey.models import Item, Participant, Question, Rating, Stimulus, Study, Trial
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
    _, report = compute.build(study, include_simulated=False)
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
    _, report = compute.build(study, include_simulated=False)
    table = report.tables["mos_by_stimulus.csv"].set_index("stimulus")
    # Differences -2, -1, -2 and the top of the scale, 5.
    assert table.loc["s0", "dmos"] == pytest.approx(5 - 5 / 3)
    assert table.loc["s1", "dmos"] != table.loc["s1", "dmos"]  # empty
    assert [each.code for each in watch(study).votes] == ["s0", "s1"]


# By code: content, style and three people's ratings; the same as in
# tests/stats/test_references.py.
HIDDEN: dict[str, tuple[str, str, tuple[int, int, int]]] = {
    "lake-ink": ("lake", "ink", (3, 2, 4)),
    "lake-oil": ("lake", "oil", (2, 1, 2)),
    "moor-ink": ("moor", "ink", (4, 3, 4)),
    "moor-oil": ("moor", "oil", (3, 2, 3)),
    "lake": ("lake", "", (5, 5, 4)),
    "moor": ("moor", "", (5, 5, 5)),
}


@pytest.fixture
def hidden(db: None) -> Study:
    """Two originals among pictures of theirs in two styles, rated by three people."""
    study = study_of("acr-hr", pictures=0)
    made = {"alpha": 0.1, "beta": 1.0, "network": "vgg19", "size": 256}
    painted = {style: {"style": style, **made} for style in ("ink", "oil")}
    stimuli = {
        code: Stimulus.objects.create(
            study=study, code=code, width=8, height=8, pixel_sha256="",
            is_reference=not style,
            parameters={"content": content} | painted.get(style, {}),
        )
        for code, (content, style, _) in HIDDEN.items()
    }  # fmt: skip
    for number in range(3):
        someone = person(study, f"p{number}")
        for index, (code, (_, _, ratings)) in enumerate(HIDDEN.items(), start=1):
            trial = Trial.objects.create(
                participant=someone, index=index, stimulus=stimuli[code],
                answered_at=timezone.now(),
            )  # fmt: skip
            Rating.objects.create(trial=trial, rating=ratings[number])
    return study


def test_hidden_references_are_no_level_in_the_lab(hidden: Study) -> None:
    """The means by hand: with the originals lake would be 28/9."""
    _, report = compute.build(hidden, include_simulated=False, resamples=50)
    pooled = report.tables["mos_by_condition.csv"]
    assert set(pooled.columns[:2]) == {"content", "style"}  # constants are no factors
    levels = pooled[~pooled["is_reference"].astype(bool)]
    by_content = levels[levels["style"].isna()].set_index("content")
    assert by_content["mos"].to_dict() == pytest.approx(
        {"lake": 14 / 6, "moor": 19 / 6}
    )
    contrasts = report.tables["contrasts.csv"]
    assert set(contrasts["family"]) == {
        "stimulus: 6 pairs", "content: 1 pairs", "style: 1 pairs",
        "hidden reference: 4 pairs",
    }  # fmt: skip
    content = contrasts[contrasts["family"] == "content: 1 pairs"]
    assert content["mean_diff"].tolist() == pytest.approx([-5 / 6])
    [note] = report.summary["notes"]
    assert note.startswith("Hidden references (2)")


def test_references_are_named_wherever_they_are_shown(
    hidden: Study, admin_client: Any
) -> None:
    computed = compute.compute(hidden, include_simulated=False, resamples=50)
    said = list(method_sentences(computed["method"]))
    assert "18 ratings of 4 stimuli and 2 hidden references by 3 participants." in said
    files = {name: data.decode(errors="replace") for name, data in
             computed["files"].items()}  # fmt: skip
    for chart in ("mos", "ratings"):
        rows = csv.DictReader(io.StringIO(files[f"chart_{chart}.csv"]))
        labels = {row["stimulus"]: row["label"] for row in rows}
        assert labels["lake"] == "lake · reference"
        assert labels["lake-ink"] == "lake × ink"
    charts = {chart["name"]: chart for chart in computed["charts"]}
    for name in ("mos", "sos"):
        assert "the hidden references" in charts[name]["description"]
    assert {"heat_content_style", "lines_content_style"} <= set(charts)
    rows = csv.DictReader(io.StringIO(files["chart_heat_content_style.csv"]))
    assert len(list(rows)) == 4
    done = Report.objects.create(study=hidden, fingerprint="x")
    assert done.finish(**computed)
    base = f"/admin/analysis/report/study/{hidden.pk}/"
    page = report_context(Kept(done), "stimuli", hidden)
    assert [row["code"] for row in page["rows"] if row["is_reference"]] == [
        "lake", "moor"
    ]  # fmt: skip
    watched = admin_client.get(f"{base}monitor/").content.decode()
    assert watched.count("(reference)</th>") == 2


def test_a_planned_contrast_is_of_pictures_without_their_originals(
    hidden: Study, researcher: Any
) -> None:
    plan = {
        "hypotheses": "", "exclusion": {"screening": "none", "fast_ms": 600,
        "by_hand": ""}, "contrasts": {"pairs": [{"factor": "content", "a": "lake",
        "b": "moor"}], "test": "t", "correction": "none", "level": 0.95},
    }  # fmt: skip
    freezing.write(hidden, plan)
    freezing.freeze(hidden, by=researcher)
    _, report = compute.build(hidden, include_simulated=False, resamples=50)
    planned = report.tables["planned_contrasts.csv"]
    assert planned["mean_diff"].tolist() == pytest.approx([-5 / 6])


def test_other_scales_have_other_categories() -> None:
    study = study_of("acr", pictures=1, scale_points=11)
    for number, rating in enumerate((0, 10, 5)):
        trial = Trial.objects.create(
            participant=person(study, f"p{number}"), index=1,
            stimulus=study.stimuli.get(),
        )  # fmt: skip
        Rating.objects.create(trial=trial, rating=rating, scale_min=0, scale_max=10)
    _, report = compute.build(study, include_simulated=False)
    table = report.tables["mos_by_stimulus.csv"]
    assert table["mos"].tolist() == [5]
    assert table[["n_0", "n_5", "n_10"]].to_numpy().tolist() == [[1, 1, 1]]
    assert "0 to 10" in method_text.scale_sentence(study)


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


def test_a_factor_may_be_called_as_any_column_of_the_scale(compared: Study) -> None:
    _, plain = compute.build(compared, include_simulated=False, resamples=0)
    columns = list(plain.tables["pair_scale.csv"])
    assert columns[:2] == ["stimulus", "question"] and "key_0" not in columns
    assert plain.tables["pair_scale.csv"]["content"].to_list() == ["c0", "c1", "c2"]
    for number, stimulus in enumerate(compared.stimuli.all()):
        stimulus.parameters = dict.fromkeys(columns, f"level {number}")
        stimulus.save()
    _, report = compute.build(compared, include_simulated=False, resamples=0)
    table = report.tables["pair_scale.csv"]
    taken = [name for name in columns if name != "content"]
    assert {f"factor_{name}" for name in taken} <= set(table)
    assert set(table["factor_group"]) == {"level 0", "level 1", "level 2"}


def test_pairs_give_one_scale(compared: Study) -> None:
    """4½ of 6 first: with the same share for every pair the scores are even."""
    computed = compute.compute(compared, include_simulated=False, resamples=50)
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


def test_pictures_that_never_met_have_a_scale_each() -> None:
    """s0 beat s1 twice in three, s2 beat s3 always; nothing lies between the two."""
    study = study_of("pairs", pictures=4)
    stimuli = {it.code: it for it in study.stimuli.all()}
    for number, choice in enumerate(["first", "first", "second"]):
        someone = person(study, f"p{number}")
        for index, (a, b, answer) in enumerate(
            (("s0", "s1", choice), ("s2", "s3", "first"))
        ):
            trial = Trial.objects.create(
                participant=someone, index=index + 1, stimulus=stimuli[a],
                second=stimuli[b], side="left", answered_at=timezone.now(),
            )  # fmt: skip
            Rating.objects.create(
                trial=trial, choice=answer, rating=None, scale_min=0, scale_max=1
            )
    computed = compute.compute(study, include_simulated=False, resamples=20)
    text = computed["files"]["pair_scale.csv"].decode()
    rows = {row["stimulus"]: row for row in csv.DictReader(io.StringIO(text))}
    assert [rows[code]["group"] for code in sorted(rows)] == ["1", "1", "2", "2"]
    scores = {code: float(row["score"]) for code, row in rows.items()}
    assert scores["s0"] - scores["s1"] == pytest.approx(math.log(2))
    # Firth's estimate of 3 in 3: half a comparison more on either side.
    assert scores["s2"] - scores["s3"] == pytest.approx(math.log(3.5 / 0.5))
    assert rows["s0"]["flags"] == "never_met"
    assert rows["s2"]["flags"] == "never_met;bias_reduced;people_alike"
    (chart,) = computed["charts"]
    assert "Groups that never met have a zero each" in chart["description"]
    notes = json.loads(computed["files"]["analysis.json"])["notes"]
    assert any("2 groups that never met" in note for note in notes)


def test_a_comparison_without_people_is_a_note(compared: Study) -> None:
    everybody = tuple(compared.participants.values_list("code", flat=True))
    _, report = compute.build(compared, include_simulated=False, exclude=everybody)
    assert report.tables["pair_scale.csv"].empty
    assert any("no comparisons" in note for note in report.summary["notes"])


def test_every_picture_of_a_pair_counts_and_has_its_settings(compared: Study) -> None:
    """Of three pictures s2 is always the second one."""
    Stimulus.objects.filter(code="s2").update(
        parameters={"content": "c0", "style": "t", "alpha": 0.1}
    )
    Stimulus.objects.exclude(code="s2").update(
        parameters={"content": "c0", "style": "s", "alpha": 0.1}
    )
    computed = compute.compute(compared, include_simulated=False, resamples=50)
    said = list(method_sentences(computed["method"]))
    assert "18 choices of 3 stimuli by 6 participants." in said
    text = computed["files"]["pair_scale.csv"].decode()
    styles = {
        row["stimulus"]: row["style"] for row in csv.DictReader(io.StringIO(text))
    }
    assert styles == {"s0": "s", "s1": "s", "s2": "t"}


def test_pairs_have_a_chart_for_each_question(compared: Study) -> None:
    Question.objects.create(study=compared, name="style", text="Which is bolder?")
    flipped = {"first": "second", "second": "first", "tie": "tie"}
    for rating in Rating.objects.select_related("trial"):
        Rating.objects.create(
            trial=rating.trial, question="style", choice=flipped[rating.choice],
            rating=None, scale_min=0, scale_max=1,
        )  # fmt: skip
    computed = compute.compute(compared, include_simulated=False, resamples=50)
    names = [chart["name"] for chart in computed["charts"]]
    assert names == ["pair_scale_overall", "pair_scale_style"]
    best = {}
    for name in names:
        text = computed["files"][f"chart_{name}.csv"].decode()
        rows = list(csv.DictReader(io.StringIO(text)))
        assert len(rows) == 3
        best[name] = rows[0]["stimulus"]
    assert best == {"pair_scale_overall": "s0", "pair_scale_style": "s2"}


def test_pairs_announce_no_screening(compared: Study, researcher: Any) -> None:
    """A plan made before pairs lost the choice may still name a rule."""
    plan = {
        "hypotheses": "s0 wins.", "exclusion": {"screening": "bt500", "fast_ms": 600,
        "by_hand": ""}, "contrasts": {"pairs": [], "test": "t", "correction": "holm",
        "level": 0.95},
    }  # fmt: skip
    freezing.write(compared, plan)
    freezing.freeze(compared, by=researcher)
    computed = compute.compute(compared, include_simulated=False, resamples=50)
    assert "Screening: none." in list(method_sentences(computed["method"]))
    assert any("Planned and not applied" in it for it in computed["method"]["notes"])
    with pytest.raises(ValueError, match="judge ratings"):
        compute.build(compared, include_simulated=False, screen="p913")
    form = PlanForm(study=compared, plan={})
    assert list(form.fields) == ["hypotheses", "by_hand"]
    sent = PlanForm({"hypotheses": "s0 wins.", "by_hand": ""}, study=compared, plan={})
    assert sent.is_valid() and [head for head, _, _ in sent.sections()]
    assert sent.plan()["exclusion"]["screening"] == "none"


def test_pairs_offer_no_matrix_of_ratings(compared: Study, admin_client: Any) -> None:
    computed = compute.compute(compared, include_simulated=False, resamples=50)
    done = Report.objects.create(study=compared, fingerprint=computed["fingerprint"])
    assert done.finish(**computed)
    base = f"/admin/analysis/report/study/{compared.pk}/"
    page = admin_client.get(f"{base}files/").content.decode()
    assert "ratings_long.csv" in page and "ratings_matrix" not in page
    assert admin_client.get(f"{base}ratings_matrix.csv").status_code == 404


def test_the_monitor_counts_choices_of_pairs(
    compared: Study, admin_client: Any
) -> None:
    """Each of two more people owes three choices, which are six votes."""
    compared.items.bulk_create(
        Item(study=compared, stimulus=a, second=b)
        for a, b in combinations(compared.stimuli.order_by("pk"), 2)
    )
    Study.objects.filter(pk=compared.pk).update(max_participants=8)
    compared.refresh_from_db()
    watched = watch(compared)
    assert (watched.answers, watched.ratings, watched.missing) == ("choices", 18, 6)
    page = f"/admin/analysis/report/study/{compared.pk}/monitor/"
    assert "6 choices are missing" in admin_client.get(page).content.decode()


def test_who_always_chooses_is_not_called_constant(compared: Study) -> None:
    """Choices have no number that could always be the same."""
    for number in range(3):
        for index in (4, 5):
            trial = Trial.objects.create(
                participant=compared.participants.get(code=f"p{number}"), index=index,
                stimulus=compared.stimuli.get(code="s0"), answered_at=timezone.now(),
                second=compared.stimuli.get(code="s1"), side="left",
            )  # fmt: skip
            Rating.objects.create(
                trial=trial, choice="first", rating=None, response_ms=100
            )
    seen = {each["code"]: words(each) for each in people(compared)}
    assert seen["p0"] == ("fast",)
    assert [each.words for each in suspicious(compared)] == [("fast",)] * 3


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
    with zipfile.ZipFile(path) as archive:
        made = json.loads(archive.read("study.json"))
    assert software().items() <= made["software"].items()
    assert (
        f"nstlab {VERSION}, commit {commit()[:7]}"
        in list(method_sentences(made["method"]))[-1]
    )
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
        row["participant"], row["stimulus"], "4"
    )  # fmt: skip
    assert "".join(matrix_lines(study, labels=False)) == "4\n"
