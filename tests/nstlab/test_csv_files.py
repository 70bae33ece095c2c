"""One reader of CSV: what people's programs write, as rows of text."""

from __future__ import annotations

import csv
import io
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nstlab.core import csv_files
from nstlab.core.csv_files import BrokenFile, Row, read_table

PLAIN = "id,name,value\n007,Zoë,1\n7,b,2\n"
ROWS = [["007", "Zoë", "1"], ["7", "b", "2"]]


@pytest.mark.parametrize(
    "data",
    [
        PLAIN.encode(),
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        PLAIN.encode("utf-16-le"),
        PLAIN.encode("utf-16-be"),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace("\n", "\r").encode(),
        PLAIN.replace(",", ";").encode(),
        PLAIN.replace(",", "\t").encode(),
        PLAIN.replace(",", "\t").encode("utf-16"),
        b"sep=;\n" + PLAIN.replace(",", ";").encode(),
        b'"sep=,"\r\n' + PLAIN.encode(),
        PLAIN.replace(",", " , ").encode(),
        PLAIN.replace(",b,", ',"b", ').encode(),
        unicodedata.normalize("NFD", PLAIN).encode(),
        ("\n \n" + PLAIN + "\n,,\n").encode(),
        PLAIN.rstrip("\n").encode(),
    ],
    ids=[
        *("utf-8", "utf-8 bom", "utf-16", "utf-16 le bare", "utf-16 be bare", "crlf"),
        *("cr", "semicolons", "tabs", "excel unicode text", "sep", "sep quoted"),
        *("spaces", "quotes", "nfd", "blank lines", "no end of line"),
    ],
)
def test_it_reads_the_same_rows_of_every_kind_of_file(data: bytes) -> None:
    table = read_table(data)
    assert table.header == ["id", "name", "value"]
    assert [row.cells for row in table.rows] == ROWS


def test_it_says_what_it_did_to_the_bytes() -> None:
    assert read_table(PLAIN.encode()).notes == ()
    said = read_table(unicodedata.normalize("NFD", PLAIN).encode("utf-16")).notes
    assert [note.split()[-1] for note in said] == ["UTF-16.", "NFC)."]


def test_it_tells_separators_from_commas_inside_cells() -> None:
    text = 'a;b;"quality, overall, 1-5, ACR"\n1;2,5;x\n3;4;"y; z"\n'
    table = read_table(text.encode())
    assert table.header == ["a", "b", "quality, overall, 1-5, ACR"]
    assert table.rows == [Row(2, ["1", "2,5", "x"]), Row(3, ["3", "4", "y; z"])]


def test_line_breaks_in_cells_count_as_lines_and_are_spaces_in_names() -> None:
    text = 'a,"how\nold"\n1,"two\r\nlines"\n\n2,3\n'
    table = read_table(text.encode())
    assert table.header == ["a", "how old"]
    assert table.rows == [Row(3, ["1", "two\nlines"]), Row(6, ["2", "3"])]


def test_rows_of_another_width_are_there_to_be_told() -> None:
    table = read_table(b"a,b\n1\n1,2\n1,2,3\n")
    assert [row.line for row in table.ragged] == [2, 4]


def test_a_column_without_a_name_is_called_after_its_place() -> None:
    assert read_table(b'"",a\n1,2\n').header == ["column 1", "a"]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "The file is empty"),
        (b" \r\n,,\n", "The file is empty"),
        (b"a,a\n", "Line 1: the column a appears more than once"),
        (b"a,b\n1,\xff\n", "Line 2: the file is not UTF-8 text"),
        (b"a,b\n1,\0\n", "Line 2: the file is not text"),
        (b'a,b\n1,2\n1,"2\n', "Line 3: the quotation marks of the file do not pair"),
    ],
)
def test_it_says_what_is_no_table(data: bytes, sentence: str) -> None:
    with pytest.raises(BrokenFile, match=sentence):
        read_table(data)


CELL = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=6)


@settings(deadline=None)
@given(
    st.lists(st.tuples(CELL, CELL, st.just("x")), min_size=1, max_size=8),
    st.sampled_from(sorted(csv_files.SEPARATORS)),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_what_a_program_writes_is_what_is_read(rows, separator, encoding, end) -> None:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=separator, lineterminator=end)
    writer.writerows([["one", "two", "three"], *rows])
    table = read_table(file.getvalue().encode(encoding))
    assert [tuple(row.cells) for row in table.rows] == [
        tuple(unicodedata.normalize("NFC", cell) for cell in row) for row in rows
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-0.5", -0.5),
        (".5", 0.5),
        ("3e5", 300_000),
        ("2_1", None),
        ("nan", None),
        ("inf", None),
        ("1e400", None),
        ("0x10", None),
        ("٣", None),
        ("2,5", None),
        ("", None),
    ],
)
def test_a_number_is_digits_and_a_point(text: str, value: float | None) -> None:
    assert csv_files.number(text) == value


def test_decimal_commas_are_told_from_thousands() -> None:
    assert csv_files.decimal_of(["2,5", "3"], ",") == ","
    assert csv_files.decimal_of(["1,234", "5"], ",") == "."
    assert csv_files.decimal_of(["1,234", "5"], ";") == ","
    assert csv_files.decimal_of(["1,5", "2.5"], ";") == "."
    assert csv_files.number("2,5", decimal=",") == 2.5
    assert csv_files.number("1.234,5", decimal=",") is None


@pytest.mark.parametrize(
    ("levels", "proposed"),
    [
        (["0.01", "0.1", "1"], True),
        (["0,01", "0,1"], True),
        (["1e3", "1e4"], True),
        (["007", "7"], False),
        (["1.1", "1.10"], False),
        (["2_1", "3_1"], False),
        (["001", "002"], False),
        (["1", "x"], False),
        ([], False),
    ],
)
def test_levels_are_proposed_as_numbers_only_if_nothing_is_lost(
    levels: list[str], proposed: bool
) -> None:
    assert csv_files.numeric(levels) is proposed
