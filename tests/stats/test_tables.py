"""A statistic or a table is one entry: added from outside it is seen everywhere."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.stats import mos, reliability
from analysis.stats.case import Case, Options
from analysis.stats.codebook import COMMON, describe
from analysis.stats.frame import Ratings, validate
from analysis.stats.report import build, build_of_choices
from analysis.stats.tables import TABLES, ReportTable

RATINGS = pd.DataFrame(
    [(p, s, 1 + (i * j) % 5) for i, p in enumerate("abc") for j, s in enumerate("xyz")],
    columns=["participant", "stimulus", "rating"],
)
WIDEST = ("number", "rating points", "Highest - lowest rating")


def widest(ratings: Ratings, _level: float) -> dict[str, np.ndarray]:
    values, counts = ratings.answers.distribution
    given = np.where(counts > 0, values, np.nan)
    return {"widest": np.nanmax(given, axis=1) - np.nanmin(given, axis=1)}


def per_person(case: Case) -> pd.DataFrame:
    n = case.kept.votes.n_by_rater
    return pd.DataFrame({"participant": case.kept.votes.raters, "n_answers": n})


@pytest.fixture
def one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A statistic of each stimulus, one of the panel, and a table."""
    of_stimuli = mos.StimulusStatistic(widest, {"widest": WIDEST})
    mine = reliability.Statistic("votes", 9.0)
    monkeypatch.setattr(mos, "OF_STIMULI", [*mos.OF_STIMULI, of_stimuli])
    panels = [*reliability.OF_PANELS, lambda panel: [mine]]
    monkeypatch.setattr(reliability, "OF_PANELS", panels)
    counts = ReportTable(
        per_person, {"n_answers": ("integer", "", "Answers of a person")}
    )
    monkeypatch.setitem(TABLES, "answers.csv", counts)


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_what_is_added_from_outside_stands_in_its_file_and_in_the_codebook(
    one_more: None, tmp_path: Path
) -> None:
    paths = build(validate(RATINGS), Options(resamples=5)).write(tmp_path)
    assert tmp_path / "answers.csv" in paths
    stimuli = {row["stimulus"]: row for row in rows(tmp_path / "mos_by_stimulus.csv")}
    assert [stimuli[it]["widest"] for it in "xyz"] == ["0", "2", "4"]
    agreement = rows(tmp_path / "reliability.csv")
    assert [it["value"] for it in agreement if it["statistic"] == "votes"] == ["9"]
    assert {it["n_answers"] for it in rows(tmp_path / "answers.csv")} == {"3"}
    book = {(it["file"], it["column"]): it for it in rows(tmp_path / "codebook.csv")}
    meant = book["mos_by_stimulus.csv", "widest"]
    assert (meant["type"], meant["unit"], meant["description"]) == WIDEST
    meant = book["answers.csv", "n_answers"]
    assert meant["description"] == "Answers of a person"


def test_a_table_of_ratings_is_none_of_choices(one_more: None) -> None:
    choices = RATINGS.assign(second="w", choice="first", rating=np.nan, question="it")
    report = build_of_choices(validate(choices), Options(resamples=5))
    assert [*report.tables] == ["pair_scale.csv"]


def test_every_column_is_described_once() -> None:
    described = [*COMMON, *(it for table in TABLES.values() for it in table.columns)]
    described += [name for it in mos.OF_STIMULI for name in it.columns]
    assert len(described) == len(set(described))
    assert describe("n_3")["description"].startswith("Ratings in this category")
    assert describe("mos_bt500")["description"] == "MOS after bt500 screening"
    assert describe("n_raters")["description"] == "People behind the statistic"
    assert describe("mine")["description"] == "Factor of the study"


def test_the_documents_name_every_table() -> None:
    page = Path(__file__).parents[2] / "docs/reference/statistics.md"
    text = page.read_text(encoding="utf-8")
    assert [name for name in TABLES if f"`{name}`" not in text] == []
