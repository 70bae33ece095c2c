"""What is fixed before the results stays fixed, and the report keeps to it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import IntegrityError

from analysis.bundle.archive import BrokenBundle
from analysis.bundle.read import differences, import_bundle
from analysis.models import Preregistration, Report
from analysis.preregistration import freezing, record
from analysis.preregistration import plan as planning
from analysis.preregistration.form import PlanForm
from analysis.preregistration.freezing import CannotFreeze, freeze, write
from analysis.preregistration.plan import factors_of, possible_pairs, sha256_of
from analysis.reports import compute, method_text, snapshot
from analysis.stats import contrasts, factors
from analysis.stats.planned import CORRECTIONS, TESTS, planned_contrasts
from analysis.stats.rules import RULES
from survey.client import InProcess, take_part
from survey.models import Participant, Study
from survey.simulation import simulate
from survey.studies import uploads
from tests.analysis.test_bundle import everything_away, members, rewritten, written
from tests.analysis.test_exports import people_answer
from tests.conftest import png
from tests.survey.test_own_pictures import REQUIRED, zipped

pytestmark = pytest.mark.django_db

ALPHAS = [("alpha", "0.01", "0.02"), ("alpha", "0.01", "0.03")]


def plan(
    study: Study, *pairs: tuple[str, str, str], screening: str = "none", **sent: Any
) -> dict[str, Any]:
    """A plan as the page makes it."""
    data: dict[str, Any] = {
        "hypotheses": "More style is liked better.", "screening": screening,
        "fast_ms": 600, "by_hand": "", "test": "t", "correction": "holm",
    } | sent  # fmt: skip
    for number, factor in enumerate(factors_of(study)):
        data[f"pairs_{number}"] = [
            json.dumps([a, b]) for name, a, b in pairs if name == factor
        ]
    form = PlanForm(data, study=study, plan={})
    assert form.is_valid(), form.errors
    return form.plan()


def rated_unlike(study: Study, *people: list[int]) -> None:
    """Each person gives these ratings to the stimuli in the study's order."""
    codes = list(study.stimuli.order_by("pk").values_list("code", flat=True))
    for given in people:
        answers = dict(zip(codes, given, strict=True))
        take_part(InProcess("testserver"), study.get_absolute_url(), choose=answers.get)  # type: ignore[arg-type]


def tables(study: Study, **options: Any) -> dict[str, list[dict[str, str]]]:
    _, report = compute.build(study, **{"include_simulated": False} | options)
    files = compute.report_files(report)
    return {
        name: list(csv.DictReader(io.StringIO(data.decode())))
        for name, data in files.items()
        if name.endswith(".csv")
    }


FOUR = ([2, 4, 5], [1, 3, 5], [2, 2, 4], [3, 4, 3])


# Freezing ---------------------------------------------------------------------------


def test_the_sha256_is_that_of_the_canonical_json_whatever_the_order_of_keys() -> None:
    one = {"b": [1, {"y": "α", "x": 0.5}], "a": "ü"}
    other = {"a": "ü", "b": [1, {"x": 0.5, "y": "α"}]}
    written_out = '{"a":"ü","b":[1,{"x":0.5,"y":"α"}]}'
    expected = hashlib.sha256(written_out.encode()).hexdigest()
    assert sha256_of(one) == sha256_of(other) == expected


def test_frozen_before_anybody_rated_it_says_who_and_when(
    study: Study, researcher: Any
) -> None:
    write(study, plan(study, *ALPHAS))
    row = freeze(study, by=researcher)
    row.refresh_from_db()
    assert row.frozen_by == researcher and row.frozen_at is not None
    assert row.sha256 == sha256_of(row.plan)
    assert row.plan["study"]["pictures"] == 3
    said = " ".join(record.sentences(record.statement(row)))
    assert f"sha256 {row.sha256}), before the first rating." in said


def test_nothing_of_it_can_be_changed_once_it_is_frozen(
    study: Study, researcher: Any
) -> None:
    write(study, plan(study, *ALPHAS[:1]))
    before = freeze(study, by=researcher)
    with pytest.raises(CannotFreeze, match="nothing of it can be changed"):
        write(study, plan(study, *ALPHAS))
    with pytest.raises(CannotFreeze, match="nothing of it can be changed"):
        freeze(study, by=researcher)
    row = Preregistration.objects.get()
    assert (row.plan, row.frozen_at) == (before.plan, before.frozen_at)


def test_a_row_that_was_altered_behind_its_back_says_so(
    study: Study, researcher: Any
) -> None:
    write(study, plan(study))
    row = freeze(study, by=researcher)
    Preregistration.objects.update(plan=row.plan | {"hypotheses": "The opposite."})
    row.refresh_from_db()
    said = record.sentences(record.statement(row))
    assert any("altered after it was frozen" in sentence for sentence in said)
    with pytest.raises(IntegrityError):
        Preregistration.objects.update(sha256="")


@pytest.mark.parametrize("seen", [False, True])
def test_late_freezing_is_allowed_and_marked(
    study: Study, researcher: Any, seen: bool
) -> None:
    rated_unlike(study, *FOUR[:2])
    simulate(study, participants=1, seed=1)
    pilot = Participant.objects.get(simulated=True)
    assert pilot.trials.filter(answered_at__isnull=False).count() == 3
    if seen:
        report = Report.objects.create(study=study, fingerprint="x")
        assert report.finish(**compute.compute(study, include_simulated=False))
    write(study, plan(study))
    row = freeze(study, by=researcher)
    said = " ".join(record.sentences(record.statement(row)))
    known = "after 6 ratings had been collected"
    known += " and a report on them had been computed." if seen else "."
    assert known in said and "before the first rating" not in said


def test_an_empty_plan_and_levels_without_pictures_are_not_frozen(
    study: Study, researcher: Any
) -> None:
    with pytest.raises(CannotFreeze, match="Say what you expect"):
        freeze(study, by=researcher)
    write(study, plan(study, *ALPHAS))
    study.stimuli.filter(parameters__alpha=0.03).update(rated=False)
    with pytest.raises(CannotFreeze, match=r"alpha by 0\.01 and 0\.03"):
        freeze(study, by=researcher)
    assert freezing.frozen(study) is None


def test_nothing_is_frozen_while_its_pictures_are_being_taken_in(
    researcher: Any,
) -> None:
    """How many there are is part of what is frozen."""
    study = Study.objects.create(title="Mine", owner=researcher, **REQUIRED)
    write(study, plan(study))
    two = {f"{name}.png": png((1, 2, 3)) for name in "ab"}
    upload = uploads.begin(study, zipped(two), b"file,reference\na.png,b.png\nb.png,\n")
    with pytest.raises(CannotFreeze, match="are being imported"):
        freeze(study, by=researcher)
    assert uploads.go_on(upload) == 0
    assert freeze(study, by=researcher).plan["study"]["pictures"] == 1


def test_only_levels_of_factors_that_vary_are_offered(study: Study) -> None:
    assert factors_of(study) == {"alpha": ["0.01", "0.02", "0.03"]}
    first = study.stimuli.order_by("pk")[0]
    first.parameters.pop("network")  # one level and a gap
    first.save(update_fields=["parameters"])
    assert list(factors_of(study)) == ["alpha"]
    many = [str(number) for number in range(12)]
    assert len(possible_pairs(many[:10])) == 45
    assert possible_pairs(many) == list(pairwise(many))


def test_the_words_of_the_page_are_those_of_the_statistics() -> None:
    """The web process cannot import them: they bring pandas along."""
    assert set(planning.SCREENS) == set(RULES)
    assert set(planning.TESTS) == set(TESTS)
    assert set(planning.CORRECTIONS) == set(CORRECTIONS)


# The report -------------------------------------------------------------------------


def test_planned_contrasts_are_those_of_the_statistics(
    study: Study, researcher: Any
) -> None:
    write(study, plan(study, *ALPHAS))
    freeze(study, by=researcher)
    rated_unlike(study, *FOUR)
    found = tables(study)["planned_contrasts.csv"]
    assert [(row["factor"], row["a"], row["b"]) for row in found] == ALPHAS
    # One picture a level: the levels' matrix is the ratings themselves.
    expected = contrasts.contrasts(
        np.array(FOUR, float), ["0.01", "0.02", "0.03"], pairs=[(0, 1), (0, 2)]
    )
    for name in ("mean_diff", "ci_low", "ci_high", "t", "p", "p_holm", "dz"):
        values = [float(row[name]) for row in found]
        assert values == pytest.approx(expected[name].tolist(), rel=1e-12), name
    assert [row["p_planned"] for row in found] == [row["p_holm"] for row in found]
    assert float(found[1]["mean_diff"]) == (2 - 5 + 1 - 5 + 2 - 4 + 3 - 3) / 4


def test_two_planned_of_three_pay_for_two_and_the_rest_is_marked(
    study: Study, researcher: Any
) -> None:
    """Holm over the declared family: the smaller p doubles, not triples."""
    write(study, plan(study, *ALPHAS))
    freeze(study, by=researcher)
    rated_unlike(study, *FOUR)
    found = tables(study)
    planned = found["planned_contrasts.csv"]
    p = [float(row["p"]) for row in planned]
    assert float(planned[p.index(min(p))]["p_planned"]) == pytest.approx(2 * min(p))
    every = [it for it in found["contrasts.csv"] if it["family"].startswith("alpha")]
    marked = {frozenset((row["a"], row["b"])): row["planned"] for row in every}
    assert marked == {
        frozenset(("0.01", "0.02")): "true",
        frozenset(("0.01", "0.03")): "true",
        frozenset(("0.02", "0.03")): "false",
    }


@pytest.mark.parametrize(
    ("test", "correction", "column", "times"),
    [
        ("t", "none", "p", 1),
        ("t", "holm-all", "p", 2),
        ("wilcoxon", "holm", "p_wilcoxon", 2),
    ],
)
def test_the_p_that_decides_is_the_one_that_was_planned(
    study: Study, test: str, correction: str, column: str, times: int
) -> None:
    rated_unlike(study, *FOUR)
    ratings, _ = compute.build(study, include_simulated=False)
    table, notes = planned_contrasts(ratings, ALPHAS, test=test, correction=correction)
    least = table[column].idxmin()
    decided = min(1, times * table[column][least])
    assert table["p_planned"][least] == pytest.approx(decided) and notes == []


def test_levels_that_nobody_saw_are_noted() -> None:
    """Planned, and then no picture of it was shown."""
    import pandas as pd

    from analysis.stats.frame import validate

    frame = pd.DataFrame(
        {
            "participant": list("aabb"),
            "stimulus": ["s", "t"] * 2,
            "rating": [1, 3, 2, 5],
            "style": ["Blue", "Red"] * 2,
        }
    )
    wanted = [("style", "Blue", "Red"), ("style", "Blue", "Green"), ("size", "1", "2")]
    table, notes = planned_contrasts(validate(frame), wanted)
    assert list(table["mean_diff"]) == [-2.5]
    assert notes == [
        "Planned and not to be had: style Blue against Green.",
        "Planned and not to be had: size 1 against 2.",
    ]
    nothing, notes = planned_contrasts(validate(frame), wanted[2:])
    assert nothing.empty and {"factor", "p_planned"} <= set(nothing) and len(notes) == 1


def test_a_level_of_several_pictures_is_each_persons_mean(
    make_study: Any, researcher: Any
) -> None:
    study = make_study(pictures=4)
    for number, stimulus in enumerate(study.stimuli.order_by("pk")):
        stimulus.parameters["gloss"] = "high" if number < 2 else "low"
        stimulus.save()
    write(study, plan(study, ("gloss", "high", "low")))
    freeze(study, by=researcher)
    rated_unlike(study, [5, 4, 2, 1], [4, 4, 3, 2], [3, 5, 3, 3])
    [row] = tables(study)["planned_contrasts.csv"]
    assert float(row["mean_diff"]) == pytest.approx((3 + 1.5 + 1) / 3)
    ratings, _ = compute.build(study, include_simulated=False)
    matrix, levels = factors.level_matrix(ratings.votes, ratings, "gloss")
    assert sorted(levels) == ["high", "low"]  # p does not know which comes first
    expected = contrasts.contrasts(matrix, levels)
    assert float(row["p"]) == pytest.approx(float(expected["p"][0]))


def test_the_report_applies_the_rule_and_says_so(study: Study, researcher: Any) -> None:
    write(study, plan(study, *ALPHAS, screening="pearson"))
    row = freeze(study, by=researcher)
    rated_unlike(study, *FOUR[:3], [5, 3, 1])
    report = compute.compute(study, include_simulated=False)
    raters = list(csv.DictReader(io.StringIO(report["files"]["raters.csv"].decode())))
    assert [it["excluded"] for it in raters] == ["false"] * 3 + ["true"]
    found = tables(study)["planned_contrasts.csv"]
    assert {it["n_pairs"] for it in found} == {"3"}
    said = " ".join(method_text.method_sentences(report["method"]))
    assert "Screening: pearson." in said
    assert f"sha256 {row.sha256}), before the first rating." in said
    assert "Planned contrasts: 2 (paired t" in said
    summary = json.loads(report["files"]["analysis.json"])
    assert summary["preregistration"]["sha256"] == row.sha256


def test_without_one_everything_is_exploratory(study: Study) -> None:
    rated_unlike(study, *FOUR)
    before = snapshot.fingerprint(study)
    write(study, plan(study, *ALPHAS, screening="pearson"))  # a draft decides nothing
    assert snapshot.fingerprint(study) == before
    report = compute.compute(study, include_simulated=False)
    assert "planned_contrasts.csv" not in report["files"]
    assert b"planned" not in report["files"]["contrasts.csv"].splitlines()[0]
    said = " ".join(method_text.method_sentences(report["method"]))
    assert "Not pre-registered: every comparison is exploratory." in said
    assert "Screening: none." in said


def test_freezing_asks_for_a_report_of_its_own(study: Study, researcher: Any) -> None:
    before = snapshot.fingerprint(study)
    write(study, plan(study))
    freeze(study, by=researcher)
    assert snapshot.fingerprint(study) != before


def test_pairs_are_pre_registered_in_words(make_study: Any, researcher: Any) -> None:
    study = make_study(pictures=3, method="pairs")
    write(study, plan(study))
    freeze(study, by=researcher)
    people_answer(study, 1, 2)
    report = compute.compute(study, include_simulated=False)
    assert "planned_contrasts.csv" not in report["files"]
    said = " ".join(method_text.method_sentences(report["method"]))
    assert "Pre-registered on" in said and "No contrast was planned" in said


# The bundle -------------------------------------------------------------------------


def test_the_bundle_carries_it_there_and_back(
    study: Study, researcher: Any, tmp_path: Path
) -> None:
    write(study, plan(study, *ALPHAS, screening="pearson"))
    type(researcher).objects.update(username="grace-hopper")
    row = freeze(study, by=researcher)
    rated_unlike(study, *FOUR[:3], [5, 3, 1])
    path = written(study, tmp_path / "a.zip", all_pictures=True)
    inside = members(path)
    carried = json.loads(inside["preregistration.json"])
    assert carried == record.record(row)
    whole = b"".join(data for name, data in inside.items() if name.endswith("json"))
    assert b"grace-hopper" not in whole
    everything_away()

    imported = import_bundle(path)
    assert differences(path, imported) == []
    again = Preregistration.objects.get()
    assert (again.plan, again.frozen_at) == (row.plan, row.frozen_at)
    assert again.frozen_by is None
    second = members(written(imported, tmp_path / "b.zip", all_pictures=True))
    for name, data in inside.items():
        if name.startswith(("data/", "results/", "materials/", "prereg")):
            assert second[name] == data, name

    def other(data: bytes) -> bytes:
        return data.replace(b"More style", b"Less style")

    changed = rewritten(path, tmp_path / "c.zip", preregistration_json=other)
    with pytest.raises(BrokenBundle, match="not what its sha256 was made of"):
        import_bundle(changed)
    assert Study.objects.count() == 1


@pytest.mark.parametrize(
    "given",
    [
        None,
        {"plan": 3},
        {"plan": {}, "frozen_at": "yesterday"},
        {"plan": {}, "frozen_at": "2026-01-01T00:00:00Z"},
        {"plan": {}, "frozen_at": "2026-01-01T00:00:00Z", "ratings_before": 0,
         "sha256": sha256_of({})},
    ],
)  # fmt: skip
def test_a_broken_record_is_refused(study: Study, given: Any) -> None:
    with pytest.raises(record.BrokenRecord):
        record.restore(study, given)
    assert not Preregistration.objects.exists()


# The page ---------------------------------------------------------------------------


def page_of(study: Study) -> str:
    return f"/admin/analysis/report/study/{study.pk}/preregistration/"


def test_the_page_saves_freezes_once_and_shows_it(logged_in: Any, study: Study) -> None:
    address = page_of(study)
    sent = {
        "hypotheses": "More style is liked better.", "screening": "bt500",
        "fast_ms": "500", "by_hand": "", "test": "t", "correction": "holm",
        "pairs_0": ['["0.01", "0.02"]'],
    }  # fmt: skip
    assert (
        "not frozen yet" in logged_in.post(address, sent, follow=True).content.decode()
    )
    assert logged_in.get(address).context["form"].initial["screening"] == "bt500"
    assert " checked" in logged_in.get(address).content.decode()
    page = logged_in.post(address, sent | {"freeze": "1"}, follow=True).content.decode()
    assert "Tick the box to freeze it" in page
    assert freezing.frozen(study) is None
    page = logged_in.post(address, sent | {"freeze": "1", "sure": "on"}, follow=True)
    row = freezing.frozen(study)
    assert row is not None and row.sha256 in page.content.decode()
    assert "alpha: 0.01 against 0.02" in page.content.decode()
    page = logged_in.post(
        address, sent | {"hypotheses": "The opposite."}
    ).content.decode()
    assert "nothing of it can be changed" in page and "The opposite" not in page
    given = json.loads(logged_in.get(address[:-1] + ".json").content)
    assert given["frozen_by"] == "ada"
    assert sha256_of(given["plan"]) == given["sha256"] == row.sha256


def test_a_stranger_neither_reads_nor_freezes_it(
    client: Any, stranger: Any, study: Study
) -> None:
    client.force_login(stranger)
    for address in (page_of(study), page_of(study)[:-1] + ".json"):
        assert client.get(address).status_code in {403, 404}
        assert client.post(address, {"freeze": "1"}).status_code in {403, 404}
    assert not Preregistration.objects.exists()


def test_who_may_only_look_may_not_freeze(logged_in: Any, study: Study) -> None:
    group = logged_in.get("/admin/").wsgi_request.user.groups.get()
    group.permissions.remove(*group.permissions.filter(codename="change_study"))
    assert "Save and freeze" not in logged_in.get(page_of(study)).content.decode()
    assert logged_in.post(page_of(study), {"freeze": "1"}).status_code == 403
