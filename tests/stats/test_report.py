from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from analysis.stats import recovery
from analysis.stats.__main__ import main
from analysis.stats.case import Options
from analysis.stats.codebook import codebook
from analysis.stats.frame import validate
from analysis.stats.raters import raters_table
from analysis.stats.report import build
from analysis.stats.writing import write_csv

QUICK = ["--resamples", "99"]
FILES = {
    "mos_by_stimulus.csv": "stimulus n mos sd ci_low ci_high mos_mle "
    "mos_bias_removed flags n_missing se ci_level ci_half_width ci_method median q1 "
    "q3 mode n_1 n_5 p_top_box p_gob p_gob_low p_gob_high p_pow p_pow_low p_pow_high "
    "dmos dmos_n dmos_ci_low dmos_ci_high mos_mle_se screening",
    "mos_by_condition.csv": "content condition n_ratings n_participants n_stimuli mos "
    "se_clustered ci_low ci_high ci_method bootstrap_seed bootstrap_n",
    "raters.csv": "participant n bias inconsistency flags n_rated mean sd bias_se "
    "inconsistency_low inconsistency_high weight_share r_loo rho_loo bt500_p bt500_q "
    "bt500_stat1 bt500_stat2 longstring irv share_modal median_response_ms share_fast "
    "traps_passed traps_total excluded exclusion_reason",
    "contrasts.csv": "a b n_pairs mean_diff sd_diff ci_low ci_high t df p p_holm "
    "wilcoxon_w_plus p_wilcoxon p_wilcoxon_holm dz rank_biserial family",
    "reliability.csv": "statistic value ci_low ci_high n_raters n_stimuli note",
    "codebook.csv": "column type unit description",
    "screening.csv": "stimulus mos_none mos_bt500 mos_p913",
    "order_effects.csv": "effect level estimate p",
}


@pytest.fixture
def panel_csv(vectors_dir):
    return vectors_dir / "vectors_ratings.csv"


def test_it_writes_every_file_with_the_columns_promised(panel_csv, tmp_path) -> None:
    assert main(["report", str(panel_csv), "--out", str(tmp_path), *QUICK]) == 0
    for name, columns in FILES.items():
        table = pd.read_csv(tmp_path / name)
        assert set(columns.split()) <= set(table.columns), name
        assert len(table) > 0
    codebook = pd.read_csv(tmp_path / "codebook.csv", keep_default_na=False)
    assert (codebook["description"] != "").all()
    unknown = codebook[codebook["description"] == "Factor of the study"]
    assert set(unknown["column"]) == {"condition"}


def test_it_states_how_the_numbers_were_made(panel_csv, tmp_path) -> None:
    main(["report", str(panel_csv), "--out", str(tmp_path), "--seed", "7", *QUICK])
    analysis = json.loads((tmp_path / "analysis.json").read_text())
    assert analysis["options"]["seed"] == 7
    assert analysis["counts"]["ratings"] == 91
    assert analysis["counts"]["missing"] == 5
    assert set(analysis["versions"]) == {
        "nstlab", "commit", "python", "numpy", "scipy", "pandas"
    }  # fmt: skip
    assert len(analysis["accepted_rows_sha256"]) == 64
    assert "data_sha256" not in analysis
    flags = pd.read_csv(tmp_path / "mos_by_stimulus.csv")["flags"].dropna()
    for word in ";".join(flags).split(";"):
        assert analysis["flags"][word].endswith(".")


def test_it_gives_the_same_bytes_twice(panel_csv, tmp_path) -> None:
    for name in ("a", "b"):
        main(["report", str(panel_csv), "--out", str(tmp_path / name), *QUICK])
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_it_keeps_full_precision_in_its_files(panel_csv, panel, tmp_path) -> None:
    main(["report", str(panel_csv), "--out", str(tmp_path), *QUICK])
    written = pd.read_csv(tmp_path / "mos_by_stimulus.csv", dtype=str)
    expected = build(validate(panel), Options(resamples=99)).tables[
        "mos_by_stimulus.csv"
    ]
    for column in ("mos", "sd", "ci_low", "mos_mle", "p_gob_low"):
        assert [float(cell) for cell in written[column]] == list(expected[column])


@pytest.mark.parametrize(
    ("method", "model"),
    [
        ("mos", "MOS"),
        ("bt500", "BT500_SR_MOS"),
        ("p913", "P913_12.4_BR_only"),
        ("p913_reject", "P913_12.4_BR_SR_MOS"),
        ("p910", "P910_AnnexE_MLE_AP"),
    ],
)
def test_it_gives_the_reference_values_from_the_command_line(
    method, model, rating_sets, tmp_path
) -> None:
    name = "itu_demo_small_bt500"  # two answers of everyone, two people's missing
    path = str(rating_sets / f"{name}.csv")
    command = ["report", path, "--out", str(tmp_path), "--repeats", "votes", *QUICK]
    assert main([*command, "--recovery", method, "--bt500", "reference"]) == 0
    reference = json.loads((rating_sets / f"{name}_sureal.json").read_text())
    expected = reference["models"][model]
    table = pd.read_csv(tmp_path / "mos_by_stimulus.csv").set_index("stimulus")
    np.testing.assert_allclose(
        table.loc[reference["stimuli"], "mos_recovered"],
        expected["quality_scores"],
        atol=1e-6,
    )
    raters = pd.read_csv(tmp_path / "raters.csv").set_index("participant")
    for ours, theirs in (
        ("bias", "observer_bias"),
        ("inconsistency", "observer_inconsistency"),
    ):
        if theirs in expected:
            np.testing.assert_allclose(
                raters.loc[expected["observers"], ours], expected[theirs], atol=1e-6
            )


def test_it_screens_on_request_and_says_who_and_why(panel) -> None:
    ratings = validate(panel)
    plain, screened = (
        build(ratings, Options(screen=rule, resamples=99)).tables
        for rule in ("none", "p913")
    )
    assert plain["mos_by_stimulus.csv"]["n"].max() == 12
    assert screened["mos_by_stimulus.csv"]["n"].max() == 9
    assert set(screened["mos_by_stimulus.csv"]["screening"]) == {"p913"}
    out = screened["raters.csv"].set_index("participant")
    assert list(out.index[out["excluded"]]) == ["R07", "R11", "R12"]
    assert out.loc["R12", "exclusion_reason"] == "screened by p913"


def test_it_excludes_people_by_name(panel) -> None:
    tables = build(validate(panel), Options(exclude=("R12",), resamples=99)).tables
    assert tables["mos_by_stimulus.csv"]["n"].max() == 11
    assert set(tables["mos_by_stimulus.csv"]["screening"]) == {"custom"}


def test_it_shows_every_screening_side_by_side(panel, vectors) -> None:
    table = (
        build(validate(panel), Options(resamples=99))
        .tables["screening.csv"]
        .set_index("stimulus")
    )
    expected = vectors["screen.p913_r1_iterative"]["mos_final"]
    assert table["mos_p913"].to_dict() == pytest.approx(expected)


def test_it_compares_the_levels_of_a_factor(panel) -> None:
    table = build(validate(panel), Options(by=("condition",), resamples=99)).tables[
        "contrasts.csv"
    ]
    # Of 8 stimuli 2 are references, with a condition of their own.
    assert set(table["family"]) == {
        "stimulus: 15 pairs", "condition: 3 pairs", "hidden reference: 6 pairs"
    }  # fmt: skip


def test_it_models_two_factors_and_explains_every_column(panel) -> None:
    options = Options(model=("condition", "content"), resamples=99)
    tables = build(validate(panel), options).tables
    assert set(tables["factor_effects.csv"]["model"]) == {"lmm", "clmm"}
    assert list(tables["anova.csv"]["method"]) == ["rm_anova"] * 3 + ["art"] * 3
    described = codebook({name: list(it) for name, it in tables.items()})
    unknown = described[described["description"] == "Factor of the study"]
    assert set(unknown["column"]) == {"condition"}


def test_it_reports_each_question_on_its_own(panel) -> None:
    both = pd.concat([panel.assign(question="style"), panel.assign(question="content")])
    tables = build(validate(both), Options(by=("condition",), resamples=99)).tables
    for name in ("mos_by_stimulus.csv", "raters.csv", "contrasts.csv", "screening.csv"):
        assert set(tables[name]["question"]) == {"style", "content"}, name
    table = tables["mos_by_stimulus.csv"]
    style, content = (table[table["question"] == q] for q in ("style", "content"))
    assert style["mos_mle"].to_list() == content["mos_mle"].to_list()
    alone = build(validate(panel), Options(resamples=99)).tables["mos_by_stimulus.csv"]
    assert style["mos_mle"].to_list() == pytest.approx(alone["mos_mle"].to_list())


def test_it_leaves_a_refused_likelihood_empty_and_says_why() -> None:
    frame = pd.DataFrame(
        {"participant": list("AABB"), "stimulus": list("abcd"), "rating": [1, 2, 3, 4]}
    )
    report = build(validate(frame), Options(resamples=99))
    table = report.tables["mos_by_stimulus.csv"]
    assert table["mos_mle"].isna().all()
    assert all("mle_refused" in cell.split(";") for cell in table["flags"])
    assert "2 groups" in report.summary["recovery_refused"][""]


@pytest.mark.parametrize("rows", [0, 1, 2, 9])
def test_it_survives_a_study_that_has_hardly_begun(rows, panel) -> None:
    report = build(validate(panel.iloc[:rows]), Options(resamples=99))
    assert len(report.tables["mos_by_stimulus.csv"]) == min(rows, 8)


@pytest.mark.parametrize(
    "frame_of",
    [
        lambda f: f.assign(rating=np.nan),
        lambda f: f.assign(kind="catch"),
        lambda f: f.assign(rating=3),
        lambda f: f[f["participant"] == "R01"],
        lambda f: f[f["stimulus"] == "S01"],
        lambda f: pd.concat(
            [f.assign(question="a"), f[f["participant"] == "R01"].assign(question="b")]
        ),
    ],
    ids=[
        "no answers",
        "catch only",
        "unanimous",
        "one person",
        "one stimulus",
        "uneven",
    ],
)
@pytest.mark.parametrize(
    "options",
    [
        {"model": ("condition", "content")},
        {
            "condition_ci": "cluster_bootstrap",
            "screen": "p913",
            "ci_method": "bca",
            "recovery": "p910_shrunk",
        },
    ],
    ids=["models", "bootstraps"],
)
def test_it_reports_on_hardly_anything(frame_of, options, panel, tmp_path) -> None:
    options = Options(by=("condition", "content"), resamples=20, **options)
    build(validate(frame_of(panel)), options).write(tmp_path)
    for path in tmp_path.glob("*.csv"):
        assert path.read_text().count("\n") >= 1
        assert "nan" not in path.read_text().lower().split(",")


def test_it_flags_raters_without_excluding_them(panel) -> None:
    ratings = validate(panel)
    table = raters_table(ratings, {None: recovery.p910(ratings.votes)}, fast_ms=900)
    flags = table.set_index("participant")["flags"]
    assert flags["R01"] == "dominates_mle"
    assert flags["R11"] == "low_agreement;fast"
    assert flags["R12"] == "low_agreement;bt500_rejected"


def test_it_refuses_with_a_sentence_and_status_2(tmp_path, capsys) -> None:
    path = tmp_path / "broken.csv"
    path.write_text("participant,stimulus,rating\nA,x\n")
    assert main(["report", str(path), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said == "report: Line 2: 2 cells where the header has 3.\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--recovery", "magic"], "recovery is none, mos, bt500"),
        (["--screen", "magic"], "screen is none, bt500"),
        (["--ci", "magic"], "ci_method is one of"),
        (["--exclude", "Nemo"], "Nobody is called Nemo."),
        (["--model", "colour"], "No factor colour; the stimuli have content"),
        (["--by", "colour"], "No factor colour; the stimuli have content, condition"),
    ],
)
def test_it_says_what_an_option_can_be(
    arguments, sentence, panel_csv, tmp_path, capsys
) -> None:
    assert main(["report", str(panel_csv), "--out", str(tmp_path), *arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_it_goes_on_without_refused_rows_and_lists_them(tmp_path, capsys) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text("participant,stimulus,rating\nA,x,4\nB,x,five\nC,x,3\n")
    command = ["report", str(path), "--out", str(tmp_path / "out")]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "1 of 3 rows cannot be used (33%; more than 5%)." in said
    assert "Line 3: rating is not a number: 'five'." in said
    assert not (tmp_path / "out").exists()
    assert main([*command, "--allow-refused"]) == 0
    assert "Line 3: rating is not a number: 'five'." in capsys.readouterr().err
    refused = pd.read_csv(tmp_path / "out" / "refused.csv")
    assert refused["line"].to_list() == [3]


def test_it_disarms_formulas_and_leaves_numbers_alone(tmp_path) -> None:
    frame = pd.DataFrame(
        {
            "=text": ["=1+1", "-x", "a,b"],
            "number": [-1.5, np.nan, 2.0],
            "yes": [True] * 3,
        }
    )
    write_csv(frame, tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text().splitlines() == [
        "'=text,number,yes",
        "'=1+1,-1.5,true",
        "'-x,,true",
        '"a,b",2,true',
    ]


def test_it_costs_nothing_to_import_the_package_itself() -> None:
    code = "import sys, analysis.stats, analysis.stats.__main__; sys.exit('numpy' in "
    subprocess.run([sys.executable, "-c", f"{code}sys.modules)"], check=True)


def test_who_was_excluded_by_hand_is_in_raters_and_nowhere_else(panel) -> None:
    out = panel["participant"].isin(["R03", "R12"])
    reasons = panel["participant"].map({"R03": "Clicked through.", "R12": "Drunk."})
    marked = panel.assign(excluded=out, exclusion_reason=reasons.where(out))
    options = Options(by=("condition",), resamples=99)
    report, alone = (build(validate(f), options) for f in (marked, panel[~out]))
    assert report.tables.keys() == alone.tables.keys()
    for name, table in alone.tables.items():
        if name != "raters.csv":
            pd.testing.assert_frame_equal(report.tables[name], table)
    kept, left = report.tables["raters.csv"][:-2], report.tables["raters.csv"][-2:]
    pd.testing.assert_frame_equal(kept, alone.tables["raters.csv"], check_dtype=False)
    assert not kept["excluded"].any() and left["excluded"].all()
    assert left["participant"].to_list() == ["R03", "R12"]
    assert left["exclusion_reason"].to_list() == ["Clicked through.", "Drunk."]
    everyone = build(validate(panel), options).tables["raters.csv"]
    theirs = everyone[everyone["participant"].isin(["R03", "R12"])]
    for own in ("n", "mean", "sd", "longstring", "irv", "share_modal", "share_fast"):
        assert left[own].to_list() == theirs[own].to_list(), own
    assert left.filter(regex="bias|incons|weight|loo|bt500").isna().all(axis=None)
    assert all("not_compared" in words.split(";") for words in left["flags"])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--numeric", "alpha", "--nominal", "alpha"], "either --numeric or --nominal"),
        (["--nominal", "beta"], "No factor beta; the stimuli have alpha"),
        (["--ci", "binomial", "--step", "0.5"], "one of scales of whole points"),
        (["--scale", "0-4"], "2 of 4 rows cannot be used (50%"),
    ],
)
def test_it_says_what_cannot_be_declared(options, sentence, tmp_path, capsys) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text(
        "participant,stimulus,alpha,rating\nA,x,1,5\nA,y,2,4\nB,x,1,5\nB,y,2,1\n"
    )
    command = ["report", str(path), "--out", str(tmp_path / "out"), *options]
    assert main(command) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_report_of_half_points_has_no_counts_of_categories(tmp_path) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text(
        "participant;stimulus;rating\nA;x;2,5\nA;y;4\nB;x;3,5\nB;y;4,5\nC;x;3\nC;y;5\n"
    )
    out = tmp_path / "out"
    assert main(["report", str(path), "--out", str(out)]) == 0
    table = pd.read_csv(out / "mos_by_stimulus.csv").set_index("stimulus")
    assert table["mos"].to_list() == [3.0, 4.5]
    assert table["mode"].to_list() == ["2.5|3|3.5", "4|4.5|5"]
    assert table["p_gob"].isna().all()
    assert not [name for name in table if name.startswith("n_") and name[2:].isdigit()]
    summary = json.loads((out / "analysis.json").read_text())
    assert summary["scale_step"] == 0.5
