from __future__ import annotations

import json

import pytest

from analysis.stats import planning
from analysis.stats.__main__ import main


def test_it_finds_the_participants_for_a_half_width(vectors) -> None:
    for case, n in vectors["power.ci_halfwidth_n"].items():
        sd, half = (float(part.split("=")[1]) for part in case.split(","))
        assert planning.n_for_half_width(sd, half) == n
        assert planning.half_width(n, sd) <= half < planning.half_width(n - 1, sd)


def test_it_has_the_power_that_statsmodels_and_r_compute(vectors) -> None:
    expected = vectors["power.paired_t"]
    power = planning.power_paired(30, 0.5)
    assert power == pytest.approx(expected["power_n30_dz05"], rel=1e-5)
    assert planning.n_for_difference(0.5, 1.0) == 34  # 33.37 rounded up
    assert planning.n_for_difference(0.3, 1.0) == 90


def test_it_equals_vqegs_numbers_of_subjects(rating_sets) -> None:
    block = json.loads((rating_sets / "small_expected_cases.json").read_text())
    for case in block["vqeg_number_of_subjects"]["cases"]:
        n = planning.n_for_difference(
            case["mos_diff"],
            case["stdev"],
            comparisons=case["comparisons"],
            paired=case["test"] == "paired",
        )
        assert n == case["n"], case


def test_it_resolves_what_it_planned_for() -> None:
    n = planning.n_for_difference(0.5, 1.0, comparisons=28)
    found = planning.resolvable_difference(n, 1.0, comparisons=28)
    before = planning.resolvable_difference(n - 1, 1.0, comparisons=28)
    assert found <= 0.5 < before


@pytest.mark.parametrize("bad", [0, -1])
def test_it_refuses_what_cannot_be_planned(bad) -> None:
    with pytest.raises(ValueError, match="half_width must be greater than 0"):
        planning.n_for_half_width(1.0, bad)
    with pytest.raises(ValueError, match="not a study"):
        planning.n_for_half_width(1.0, 1e-9)


def test_it_tables_both_questions() -> None:
    assert len(planning.plan_table()) == 20
    table = planning.difference_table(differences=[0.5], comparisons=[1, 28])
    assert table["n"].is_monotonic_increasing


def test_it_answers_on_the_command_line(capsys) -> None:
    assert main(["plan", "--sd", "1", "--half-width", "0.3"]) == 0
    assert capsys.readouterr().out.startswith("46 participants: half-width 0.3")
    assert main(["plan", "--n", "45", "--comparisons", "21"]) == 0
    assert "half-width 0.3;" in capsys.readouterr().out
    assert main(["plan"]) == 0
    assert "half_width" in capsys.readouterr().out
