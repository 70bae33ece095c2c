"""Hidden references have rows of their own, and are levels of no factor; what is
rated against them has a DMOS beside its MOS.

The set is small enough to be worked out by hand: two originals in two styles each,
three people. Whatever the originals would be pooled into comes out otherwise.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.stats.__main__ import main
from analysis.stats.case import Options
from analysis.stats.frame import validate
from analysis.stats.report import build

# stimulus: content, style, the ratings of three people
SET: dict[str, tuple[str, str, tuple[int, int, int]]] = {
    "lake-ink": ("lake", "ink", (3, 2, 4)),
    "lake-oil": ("lake", "oil", (2, 1, 2)),
    "moor-ink": ("moor", "ink", (4, 3, 4)),
    "moor-oil": ("moor", "oil", (3, 2, 3)),
    "lake": ("lake", "", (5, 5, 4)),
    "moor": ("moor", "", (5, 5, 5)),
}


def rows() -> list[dict[str, Any]]:
    """How each picture was made stands in columns; of an original nothing does."""
    return [
        {
            "participant": f"p{person}",
            "stimulus": stimulus,
            "content": content,
            "style": style or None,
            "alpha": 0.1 if style else None,
            "network": "vgg19" if style else None,
            "size": 256 if style else None,
            "is_reference": not style,
            "rating": ratings[person],
        }
        for person in range(3)
        for stimulus, (content, style, ratings) in SET.items()
    ]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """The folder of the command line's report on the set."""
    path = tmp_path / "ratings.csv"
    pd.DataFrame(rows()).to_csv(path, index=False)
    factors = ["--by", "content", "--by", "style", "--by", "content,style"]
    asked = [*factors, "--model", "content,style", "--resamples", "50"]
    assert main(["report", str(path), "--out", str(tmp_path), *asked]) == 0
    return tmp_path


def table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / name)


def test_no_reference_is_in_the_mean_of_a_factor(written: Path) -> None:
    pooled = table(written, "mos_by_condition.csv").query("~is_reference")
    by_content = pooled[pooled["style"].isna()].set_index("content")
    assert by_content["mos"].to_dict() == pytest.approx(
        {"lake": 14 / 6, "moor": 19 / 6}  # with the originals 28/9 and 34/9
    )
    assert set(by_content["n_stimuli"]) == {2}
    by_style = pooled[pooled["content"].isna()].set_index("style")
    assert by_style["mos"].to_dict() == pytest.approx({"ink": 20 / 6, "oil": 13 / 6})
    assert len(pooled) == 2 + 2 + 4


def test_references_have_rows_of_their_own_among_the_conditions(written: Path) -> None:
    pooled = table(written, "mos_by_condition.csv").query("is_reference")
    everyone, lake, moor = pooled.to_dict("records")
    assert pooled["content"].isna().tolist() == [True, False, False]
    assert (everyone["mos"], everyone["n_stimuli"]) == (pytest.approx(29 / 6), 2)
    assert (lake["content"], lake["mos"]) == ("lake", pytest.approx(14 / 3))
    assert (moor["content"], moor["mos"]) == ("moor", 5)
    assert pooled["dmos"].isna().all()


def test_a_condition_has_its_dmos_beside_its_mos(written: Path) -> None:
    """By hand: 5 and the mean of each rating less its rater's of the original; and
    the interval is that of a sandwich of three people."""
    pooled = table(written, "mos_by_condition.csv").query("~is_reference")
    by_content = pooled[pooled["style"].isna()].set_index("content")
    means = by_content["dmos"].to_dict()
    assert means == pytest.approx({"lake": 5 - 14 / 6, "moor": 5 - 11 / 6})
    cells = pooled.dropna(subset=["content", "style"]).set_index(["content", "style"])
    mos = table(written, "mos_by_stimulus.csv").set_index(["content", "style"])
    assert cells["dmos"].to_dict() == pytest.approx(
        mos.loc[cells.index, "dmos"].to_dict()
    )
    assert set(cells["dmos_n"]) == {3}
    # The differences -2, -3 and 0 have a variance of 7/3.
    half = (
        cells.loc[("lake", "ink"), "dmos_ci_high"] - cells.loc[("lake", "ink"), "dmos"]
    )
    t, sd = 4.302652729911275, (7 / 3) ** 0.5
    assert half == pytest.approx(t * sd / 3**0.5)


def test_no_reference_is_in_a_contrast_of_stimuli_or_levels(written: Path) -> None:
    found = table(written, "contrasts.csv")
    assert set(found["family"]) == {
        "stimulus: 6 pairs", "content: 1 pairs", "style: 1 pairs",
        "hidden reference: 4 pairs",
    }  # fmt: skip
    stimuli = found[found["family"] == "stimulus: 6 pairs"]
    assert not {"lake", "moor"} & {*stimuli["a"], *stimuli["b"]}
    [content] = found[found["family"] == "content: 1 pairs"].to_dict("records")
    # Each person's lake minus moor: -1, -1, -1/2.
    assert content["mean_diff"] == pytest.approx(-5 / 6)
    assert content["t"] == pytest.approx(-5)
    assert content["p"] == pytest.approx(1 - 5 / 27**0.5)  # Student's t, 2 df


def test_each_stimulus_is_compared_with_its_own_reference(written: Path) -> None:
    """The differences are DMOS less the top, Holm's among these four alone."""
    found = table(written, "contrasts.csv")
    theirs = found[found["family"] == "hidden reference: 4 pairs"]
    assert dict(zip(theirs["a"], theirs["b"], strict=True)) == {
        name: content for name, (content, style, _) in SET.items() if style
    }
    mos = table(written, "mos_by_stimulus.csv").set_index("stimulus")
    assert (theirs["mean_diff"] + 5).tolist() == pytest.approx(
        mos.loc[theirs["a"], "dmos"].tolist()
    )
    assert theirs["p_holm"].min() == pytest.approx(4 * theirs["p"].min())


def test_no_reference_is_in_a_model(written: Path) -> None:
    anova = table(written, "anova.csv").query("method == 'rm_anova'")
    [content] = anova[anova["effect"] == "content"].to_dict("records")
    assert (content["f"], content["df1"], content["df2"]) == (pytest.approx(25), 1, 2)
    effects = table(written, "factor_effects.csv").query("model == 'lmm'")
    estimates = effects.set_index("term")["estimate"]
    # Balanced: the coefficients are differences of the means above.
    assert estimates["content=moor"] == pytest.approx(5 / 6)
    assert estimates["style=oil"] == pytest.approx(-7 / 6)


def test_a_crossed_design_is_not_called_confounded(written: Path) -> None:
    analysis = json.loads((written / "analysis.json").read_text())
    [note] = [it for it in analysis["notes"] if not it.startswith("clmm")]
    assert note.startswith("Hidden references (2) are in no comparison")
    assert (analysis["counts"]["stimuli"], analysis["counts"]["references"]) == (4, 2)
    assert analysis["friedman"][""]["n_items"] == 4


def test_references_have_marked_rows_of_their_own(written: Path) -> None:
    mos = table(written, "mos_by_stimulus.csv").set_index("stimulus")
    assert len(mos) == 6
    assert set(mos.index[mos["is_reference"]]) == {"lake", "moor"}
    assert mos.loc["moor", "mos"] == 5
    # 3 - 5, 2 - 5, 4 - 4, and the top of the scale.
    assert mos.loc["lake-ink", "dmos"] == pytest.approx(5 - 5 / 3)
    assert {"alpha", "network", "size"} <= set(mos.columns)
    screening = table(written, "screening.csv").set_index("stimulus")
    assert screening["mos_none"].to_dict() == mos["mos"].to_dict()
    assert screening["dmos_none"].dropna().to_dict() == pytest.approx(
        mos["dmos"].dropna().to_dict()
    )
    assert screening["is_reference"].to_dict() == mos["is_reference"].to_dict()


def test_a_rule_leaves_its_people_out_of_the_dmos_too() -> None:
    """As `--screen` does in mos_by_stimulus.csv; question by question."""
    rng = np.random.default_rng(8)
    frame = pd.DataFrame(
        {
            "participant": f"p{person}", "stimulus": f"s{k}", "question": question,
            "content": "lake", "is_reference": k == 0,
            "rating": rng.integers(1, 6) if person == 7 else 1 + (k + asked) % 5,
        }
        for person in range(8) for asked, question in enumerate(("style", "whole"))
        for k in range(12)
    )  # fmt: skip
    ratings = validate(frame)
    every = build(ratings, Options(resamples=20)).tables["screening.csv"]
    screened = build(ratings, Options(screen="pearson", resamples=20)).tables
    keys = ["stimulus", "question"]
    expected = screened["mos_by_stimulus.csv"].set_index(keys)["dmos"]
    found = every.set_index(keys)["dmos_pearson"]
    assert (every["dmos_pearson"] - every["dmos_none"]).abs().max() > 0.1
    assert found.to_dict() == pytest.approx(expected.to_dict(), nan_ok=True)


def test_without_references_nothing_is_marked_or_said() -> None:
    frame = pd.DataFrame(rows())
    made = frame[~frame["is_reference"]]
    report = build(validate(made), Options(resamples=50))
    assert "is_reference" not in report.tables["mos_by_stimulus.csv"]
    assert report.summary["notes"] == []


def test_references_alone_make_a_report() -> None:
    frame = pd.DataFrame(rows())
    only = validate(frame[frame["is_reference"]])
    tables = build(only, Options(resamples=50)).tables
    assert len(tables["mos_by_stimulus.csv"]) == 2
    assert tables["contrasts.csv"].empty and tables["mos_by_condition.csv"].empty


def test_a_constant_is_no_factor_and_said_to_be_none() -> None:
    asked = Options(by=("style", "alpha", "style,alpha"), model=("alpha", "style"))
    report = build(validate(pd.DataFrame(rows())), asked)
    assert "alpha has fewer than two levels" in report.summary["notes"][0]
    assert "alpha" not in report.tables["mos_by_condition.csv"]
    terms = report.tables["factor_effects.csv"]["term"]
    assert not terms.str.contains("alpha").any()
    assert report.tables["mos_by_stimulus.csv"]["alpha"].notna().sum() == 4


def test_what_some_pictures_lack_is_no_level() -> None:
    """A column of one level and gaps does not part the pictures that have it."""
    frame = pd.DataFrame(rows())
    frame = frame[~frame["is_reference"]]
    gaps = frame.assign(size=frame["size"].where(frame["stimulus"] != "moor-oil"))
    report = build(validate(gaps), Options(resamples=50))
    assert report.summary["notes"] == []


def test_no_objective_metric_is_judged_on_references() -> None:
    frame = pd.DataFrame(rows())
    loss = {name: float(place) for place, name in enumerate(SET)}
    measured = frame.assign(content_loss=frame["stimulus"].map(loss))
    report = build(validate(measured), Options(resamples=50))
    [said] = [note for note in report.summary["notes"] if "content_loss" in note]
    assert said.startswith("content_loss: 4 stimuli have both")


def test_who_is_a_reference_does_not_hang_on_the_row_that_says_so() -> None:
    whole = pd.DataFrame(rows())
    once = whole.assign(is_reference=whole["is_reference"] & (whole.index >= 12))
    assert 0 < once["is_reference"].sum() < whole["is_reference"].sum()
    expected = build(validate(whole), Options(resamples=20)).tables
    found = build(validate(once), Options(resamples=20)).tables
    for name in ("mos_by_stimulus.csv", "mos_by_condition.csv", "contrasts.csv"):
        pd.testing.assert_frame_equal(found[name], expected[name])
    assert expected["mos_by_stimulus.csv"]["dmos"].notna().sum() == 4
    last = validate(once[::-1], repeats="mean")
    assert last.references == {"lake", "moor"}
    assert (
        build(last, Options(exclude=("p2",), resamples=20))
        .tables["mos_by_stimulus.csv"]["is_reference"]
        .sum()
        == 2
    )
