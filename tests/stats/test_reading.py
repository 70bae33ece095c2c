from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from analysis.stats.frame import BrokenRatings, validate
from analysis.stats.reading import read_ratings


@pytest.fixture
def write(tmp_path):
    def write_file(text: str | bytes) -> Path:
        path = tmp_path / "ratings.csv"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write_file


def cells(frame: pd.DataFrame) -> list[tuple]:
    votes = validate(frame).votes
    named = zip(
        votes.raters[votes.rater], votes.items[votes.item], votes.rating, strict=True
    )
    return sorted(named)


LONG = "participant,stimulus,rating\nA,x,1\nA,y,2\nB,x,3\nB,y,4\n"
CELLS = [("A", "x", 1), ("A", "y", 2), ("B", "x", 3), ("B", "y", 4)]


@pytest.mark.parametrize(
    "text",
    [
        LONG,
        LONG.replace("participant", "Subject"),
        LONG.replace(",", ";"),
        LONG.replace(",", "\t"),
        LONG.replace("\n", "\r\n"),
        "\ufeff" + LONG,
        "\n" + LONG.replace("\nB", "\n\nB").replace(",", ";"),
        LONG.replace("x", '"x"'),
        "participant,x,y\nA,1,2\nB,3,4\n",
        "stimulus,A,B\nx,1,3\ny,2,4\n",
    ],
    ids=[
        "long",
        "subject",
        "semicolons",
        "tabs",
        "crlf",
        "bom",
        "blank lines",
        "quotes",
        "people by stimuli",
        "stimuli by people",
    ],
)
def test_it_reads_the_same_ratings_from_every_shape(text, write) -> None:
    assert cells(read_ratings(write(text))) == CELLS


def test_it_is_told_what_the_rows_of_a_matrix_are(write) -> None:
    path = write("name,x,y\nA,1,2\nB,3,4\n")
    assert cells(read_ratings(path, rows="people")) == CELLS
    with pytest.raises(BrokenRatings, match=r"'name'.*--rows people or --rows stimuli"):
        read_ratings(path)


def test_it_takes_an_empty_cell_of_a_matrix_as_unanswered(write) -> None:
    ratings = validate(read_ratings(write("participant,x,y\nA,1,\nB,3,4\n")))
    assert list(ratings.n_missing) == [0, 1]


def test_it_keeps_a_stimulus_that_is_called_na(write) -> None:
    frame = read_ratings(write("participant,stimulus,rating\nA,NA,1\nA,None,NA\n"))
    ratings = validate(frame)
    assert list(ratings.votes.items) == ["NA", "None"]
    assert list(ratings.n_missing) == [0, 1]


@pytest.mark.parametrize("quote", ["", '"'])
def test_it_gives_refused_rows_the_lines_of_the_file(quote, write) -> None:
    text = f"participant,stimulus,rating\n\n{quote}A{quote},x,1\n\nA,y,nine\nA,z,9\n"
    ratings = validate(read_ratings(write(text)))
    assert ratings.refusals() == [
        "Line 5: rating is not a number: 'nine'.",
        "Line 6: rating is outside 1–5: '9'.",
    ]


def test_it_counts_lines_inside_quoted_cells(write) -> None:
    text = 'participant,stimulus,rating,note\nA,x,1,"two\nlines"\nA,y,7,\n'
    assert validate(read_ratings(write(text))).refused["line"].to_list() == [4]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "The file is empty"),
        ("\n\n", "The file is empty"),
        (LONG + "B,z\n", "Line 6: 2 cells where the header has 3"),
        (LONG + "B,z,1,2\n", "Line 6: 4 cells where the header has 3"),
        (LONG + '"B",z\n', "Line 6: 2 cells where the header has 3"),
        ("a,a\n1,2\n", "Line 1: the column a appears more than once"),
        (LONG.encode() + b"B,\xff,1\n", "Line 6: the file is not UTF-8 text"),
        (LONG + "B,\0,1\n", "Line 6: the file is not text"),
        (LONG + 'B,"z,1\n', "Line 6: 2 cells where the header has 3"),
        (LONG + 'B,z,"1\n', "The quotation marks of the file do not pair up"),
    ],
)
def test_it_says_in_which_line_a_file_is_broken(text, sentence, write) -> None:
    with pytest.raises(BrokenRatings, match=sentence):
        read_ratings(write(text))


def test_it_names_twenty_bad_lines_and_counts_the_rest(write) -> None:
    with pytest.raises(BrokenRatings) as caught:
        read_ratings(write(LONG + "B\n" * 30))
    assert len(caught.value.sentences) == 21
    assert caught.value.sentences[-1] == "… and 10 more such lines."
