from __future__ import annotations

import json
from fractions import Fraction
from itertools import product

import pytest

from analysis.stats import grim
from analysis.stats.__main__ import main

TABLE_4_1 = ["4.0", "4.37", "3.37", "4.33", "4.0", "3.73", "3.66"]
NAMES = {"half_up": "half_up", "half_even": "half_even", "trunc": "truncate"}


@pytest.fixture(scope="module")
def expected(vectors_dir):
    return json.loads((vectors_dir / "vectors_grim.json").read_text())


def table(convention: str, n: int = 45, decimals: int | None = 2):
    rows = [grim.Row("", value) for value in TABLE_4_1]
    return grim.check_table(
        rows, n=n, decimals=decimals, conventions=[convention], most=100
    )


@pytest.mark.parametrize("convention", NAMES)
def test_it_finds_the_sums_behind_table_4_1(convention, expected) -> None:
    for n, by_convention in expected["checks"].items():
        verdicts, _ = table(NAMES[convention], int(n))
        assert [v.sums for v in verdicts] == by_convention[convention], n


def test_it_says_45_people_and_truncation_fit_and_rounding_does_not() -> None:
    _, (truncated,) = table("truncate")
    assert (truncated.possible, truncated.smallest_n) == (7, 45)
    assert truncated.text.startswith("All 7 means are reachable with n=45 if truncated")
    _, (rounded,) = table("half_up")
    assert (rounded.possible, rounded.smallest_n) == (4, 67)
    assert rounded.text == (
        "Not reachable with n=45 if rounded (halves up): 4.37, 3.37, 3.66."
    )


@pytest.mark.parametrize("convention", ["half_up", "trunc"])
def test_it_finds_every_common_number_of_people(convention, expected) -> None:
    _, (verdict,) = table(NAMES[convention])
    assert verdict.fitting_n == expected["n_upto_100_all_consistent"][convention]


@pytest.mark.parametrize("convention", ["half_up", "trunc"])
@pytest.mark.parametrize("n", [30, 45])
def test_it_keeps_the_decimals_as_printed(n, convention, expected) -> None:
    verdicts, _ = table(NAMES[convention], n, decimals=None)
    assert [v.possible for v in verdicts] == (
        expected["decimals_as_printed"][str(n)][convention]
    )


def test_it_gives_the_chance_of_a_coincidental_fit(expected) -> None:
    shares = expected["share_of_two_decimal_endings_reachable"]
    for key, share in shares.items():
        n, _, convention = key.partition("_")
        assert grim.reachable_share(int(n), 2, NAMES[convention]) == share
    _, (verdict,) = table("truncate")
    assert verdict.chance == pytest.approx(0.45**4)  # .37, .33, .73 and .66


def test_it_agrees_with_scrutiny_on_published_examples(expected) -> None:
    vectors = expected["scrutiny_doc_vectors"]["pigs1"]
    for mean, n, possible in [*vectors, ("5.27", 43, False)]:
        printed = grim.Printed.read(mean)
        assert bool(grim.sums(printed, n, "half_up", (0, 10))) is possible


def test_it_names_the_nearest_means_that_can_be_printed() -> None:
    verdicts, _ = table("half_up")
    assert (verdicts[1].below, verdicts[1].above) == ("4.36", "4.38")
    assert (verdicts[6].below, verdicts[6].above) == ("3.64", "3.67")


def test_it_says_when_it_has_no_power() -> None:
    rows = [grim.Row("", "4.37")]
    _, (verdict,) = grim.check_table(rows, n=120, conventions=["half_up"])
    assert verdict.text.startswith("No power")


def test_it_makes_finer_steps_with_several_items() -> None:
    mean = grim.Printed.read("4.37")
    assert grim.sums(mean, 45, "half_up", (1, 5)) == []
    assert grim.sums(mean, 45, "half_up", (1, 5), items=2) == [393]


@pytest.mark.parametrize(
    ("value", "convention", "text"),
    [
        (Fraction(5, 1000), "half_up", "0.01"),
        (Fraction(5, 1000), "half_even", "0.00"),
        (Fraction(15, 1000), "half_even", "0.02"),
        (Fraction(5, 1000), "half_down", "0.00"),
        (Fraction(9, 1000), "truncate", "0.00"),
        (Fraction(-15, 1000), "half_up", "-0.02"),
        (Fraction(-19, 1000), "truncate", "-0.01"),
    ],
)
def test_it_prints_exactly_under_each_convention(value, convention, text) -> None:
    assert str(grim.printed(value, 2, convention)) == text


@pytest.mark.parametrize("convention", grim.CONVENTIONS)
def test_it_checks_sds_as_trying_all_ratings_does(convention) -> None:
    n = 5
    attainable = set()
    for ratings in product(range(1, 6), repeat=n):
        total = sum(ratings)
        variance = Fraction(n * sum(r * r for r in ratings) - total**2, n * (n - 1))
        attainable.add((total, variance))
    for total in (5, 9, 14, 20):
        for digits in range(0, 260):
            sd = grim.Printed(digits, 2)
            unit = Fraction(1, 100)
            expected = any(
                grim.printed(root, 2, convention).digits == digits
                for s, v in attainable
                if s == total
                for root in [Fraction(round(float(v) ** 0.5 * 10**12), 10**12)]
                if abs(root - digits * unit) < 2 * unit
            )
            assert grim.sd_fits(sd, total, n, convention, (1, 5)) is expected


@pytest.mark.parametrize("text", ["four", "4.3.7", "", "-", "4e2"])
def test_it_wants_a_number_as_printed(text) -> None:
    with pytest.raises(ValueError, match="is not a number as printed"):
        grim.Printed.read(text)


def test_it_wants_means_on_the_scale_and_a_number_of_people() -> None:
    with pytest.raises(ValueError, match="not on the scale 1–5"):
        grim.check_table([grim.Row("", "5.4")], n=10)
    with pytest.raises(ValueError, match="wave: how many people"):
        grim.check_table([grim.Row("wave", "4.4")])


def test_it_prints_a_neutral_verdict(capsys) -> None:
    assert main(["grim", *TABLE_4_1, "--n", "45", "--decimals", "2"]) == 0
    said = capsys.readouterr().out
    assert "truncate: 7 of 7 possible." in said
    assert "no  4.37 (n=45): between 4.36 and 4.38" in said
    assert not {"fraud", "fake", "wrong", "error"} & set(said.lower().split())


def test_it_reads_a_table_with_its_own_n_and_sd(tmp_path, capsys) -> None:
    path = tmp_path / "table.csv"
    path.write_text("label,mean,n,sd\nwave,4.38,45,0.49\nscream,4.36,45,1.60\n")
    assert main(["grim", "--table", str(path), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    rounded = [row for row in rows if row["convention"] == "half_up"]
    assert [row["possible"] for row in rounded] == [True, True]
    # Between the two-neighbours minimum .4903 and the ends-only maximum 1.466.
    assert [row["sd_possible"] for row in rounded] == [True, False]


@pytest.mark.parametrize(
    "data",
    [
        b"label,mean,n\nA,4.37,45\n",
        b"label;mean;n\r\nA;4,37;45\r\n",
        "sep=;\nlabel;mean;n\nA;4,37;45\n".encode("utf-16"),
    ],
    ids=["plain", "decimal comma", "sep and utf-16"],
)
def test_the_command_reads_a_table_as_spreadsheets_write_it(
    data: bytes, tmp_path, capsys
) -> None:
    path = tmp_path / "means.csv"
    path.write_bytes(data)
    assert main(["grim", "--table", str(path), "--convention", "truncate"]) == 0
    assert "yes A 4.37 (n=45): sum 197" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("label,average\nA,4.37\n", "no column mean; it has label, average"),
        ("label,mean\nA,4.37,45\n", "Line 2: 3 cells where the header has 2"),
        ("", "The file is empty"),
    ],
)
def test_the_command_says_what_a_table_of_means_lacks(
    text: str, sentence: str, tmp_path, capsys
) -> None:
    path = tmp_path / "means.csv"
    path.write_text(text)
    assert main(["grim", "--table", str(path)]) == 2
    assert sentence in capsys.readouterr().err
