from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.stats import reading
from analysis.stats.__main__ import main
from analysis.stats.frame import BrokenRatings, validate
from analysis.stats.reading import read_ratings
from nstlab.core import csv_files


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
        (LONG + 'B,"z,1\n', "Line 6: the quotation marks of the file do not"),
        (LONG + 'B,z,"1\n', "Line 6: the quotation marks of the file do not pair"),
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


IDS = "participant,stimulus,rating\n007,01,1\n7,01,2\n007,1,3\n7,1,4\n"


@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_ids_of_digits_stay_as_they_are_written(quote, end, write) -> None:
    text = IDS.replace("01", f"{quote}01{quote}").replace("\n", end)
    assert cells(read_ratings(write(text))) == [
        ("007", "01", 1),
        ("007", "1", 3),
        ("7", "01", 2),
        ("7", "1", 4),
    ]


def test_labels_of_a_matrix_stay_as_they_are_written(write) -> None:
    ratings = cells(read_ratings(write("participant,01,1\n007,1,2\n7,3,4\n")))
    assert [(person, stimulus) for person, stimulus, _ in ratings] == [
        ("007", "01"),
        ("007", "1"),
        ("7", "01"),
        ("7", "1"),
    ]


def test_ids_of_pairs_stay_as_they_are_written(write) -> None:
    text = "participant,stimulus,second,choice\n01,1,01,first\n1,01,001,second\n"
    frame = read_ratings(write(text))
    assert list(frame["second"]) == ["01", "001"]
    assert list(frame["participant"]) == ["01", "1"]


def test_levels_stay_as_they_are_written_and_have_a_kind(write) -> None:
    text = (
        "participant,stimulus,content,network,alpha,layer,rating\n"
        "A,x,1,2_1,0.010,conv2,1\nA,y,2,3_1,1,conv3,2\n"
    )
    ratings = validate(read_ratings(write(text)))
    assert list(ratings.factors["network"]) == ["2_1", "3_1"]
    assert list(ratings.factors["alpha"]) == ["0.010", "1"]
    assert ratings.kinds == {
        "content": "nominal",
        "network": "nominal",
        "alpha": "numeric",
        "layer": "ordered",
    }
    declared = validate(read_ratings(write(text)), kinds={"content": "numeric"})
    assert declared.kinds["content"] == "numeric"


@pytest.mark.parametrize(
    "header",
    [
        "rater,item,score",
        "worker_id,Video,vote",
        "user,src,os",
        "observer,pvs,mos_vote",
    ],
)
def test_it_knows_the_usual_names_and_says_how_it_read_them(header, write) -> None:
    frame = read_ratings(write(LONG.replace("participant,stimulus,rating", header)))
    assert cells(frame) == CELLS
    assert len(frame.attrs["notes"]) == 3


def test_a_source_beside_a_stimulus_is_a_factor(write) -> None:
    text = "subject,src,pvs,os\nA,s1,x,1\nA,s1,y,2\nB,s1,x,3\nB,s1,y,4\n"
    assert cells(read_ratings(write(text))) == CELLS


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("participant,picture_name,score\nA,x,1\n", "no column says the stimulus"),
        ("name,image,score\nA,x,1\n", "no column says the participant"),
        ("participant,stimulus,points\nA,x,1\n", "no column says the rating"),
        ("participant,image,video,score\nA,x,y,1\n", "image and video may both be"),
        ("participant,x,y\nA,1,2\nB,2,3\nA,3,4\n", "Line 4: A has a row already, in"),
        ("participant,age,x\nA,33,2\n", "age would be stimuli.*--leave-out age"),
        ("image,c1,c2,MOS\nx,0,4,3.2\n", "MOS are summaries"),
        ("participant,x,why\nA,1,nice\nB,2,\n", "why holds no ratings but 'nice'"),
    ],
)
def test_it_takes_no_other_table_for_a_matrix_of_ratings(text, sentence, write) -> None:
    with pytest.raises(BrokenRatings, match=sentence):
        read_ratings(write(text))


def test_what_is_named_is_left_out(write) -> None:
    path = write("participant,age,x,y\nA,33,1,2\nB,21,3,4\n")
    assert cells(read_ratings(path, leave_out=["age"])) == CELLS
    with pytest.raises(BrokenRatings, match="no column height to leave out"):
        read_ratings(path, leave_out=["height"])


def test_decimal_commas_and_half_points_are_read(write) -> None:
    text = "participant;stimulus;rating;response_ms\nA;x;2,5;1234,5\nA;y;5,0;2000\n"
    frame = read_ratings(write(text))
    ratings = validate(frame, step=None)
    assert list(ratings.votes.rating) == [2.5, 5]
    assert list(ratings.frame["response_ms"]) == [1234.5, 2000]
    assert ratings.step == 0.5
    assert ratings.refused.empty


def test_spaces_at_ends_are_taken_away_and_that_is_said(write) -> None:
    text = "participant,stimulus,rating\nA,x,1\nA ,y,2\n B,x ,3\nB,y,4\n"
    frame = read_ratings(write(text))
    assert cells(frame) == CELLS
    assert list(frame.attrs["notes"]) == [
        "Spaces at the ends of 2 cells of participant were taken away.",
        "Spaces at the ends of 1 cell of stimulus were taken away.",
    ]


def test_rows_with_nothing_in_them_are_none(write) -> None:
    assert cells(read_ratings(write(LONG + ",,\n , ,\n"))) == CELLS


def test_a_word_that_the_reader_uses_itself_is_kept(write) -> None:
    text = LONG.replace("x", reading.WORD)
    assert {stimulus for _, stimulus, _ in cells(read_ratings(write(text)))} == {
        reading.WORD,
        "y",
    }


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["007", "7", "1.10", "a b", "ü", '"', ",", "x\ny"]),
            st.sampled_from(["NA", "1e5", "2_1", "true", "-"]),
            st.integers(1, 5),
        ),
        min_size=1,
        max_size=20,
    ),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_the_quick_way_and_the_careful_way_read_the_same(rows, quoting) -> None:
    file = io.StringIO()
    writer = csv.writer(file, quoting=quoting, lineterminator="\n")
    writer.writerows([["participant", "stimulus", "rating"], *rows])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "ratings.csv")
        path.write_text(file.getvalue(), encoding="utf-8")
        frame = read_ratings(path)
    read = zip(frame["participant"], frame["stimulus"], frame["rating"], strict=True)
    assert list(read) == [(a, b, str(c)) for a, b, c in rows]


def test_a_row_may_be_longer_than_what_is_looked_at_first(write) -> None:
    names = ",".join(f"s{k}".ljust(300, "x") for k in range(330))
    rows = [f"{name},{','.join('5' * 330)}" for name in ("007", "7")]
    text = "\n".join([f"participant,{names}", *rows])
    assert len(names) < csv_files.SAMPLE < len(f"participant,{names}\n{rows[0]}")
    frame = read_ratings(write(text))
    assert len(frame) == 660
    assert set(frame["participant"]) == {"007", "7"}


def test_whoever_says_that_it_is_a_matrix_is_believed(write) -> None:
    text = "participant,image,video\nA,1,2\nB,3,4\n"
    with pytest.raises(BrokenRatings, match="image and video may both be"):
        read_ratings(write(text))
    frame = read_ratings(write(text), rows="people")
    assert [name for _, name, _ in cells(frame)] == ["image", "video"] * 2
    assert frame.attrs["notes"] == ()


def test_commas_of_what_is_no_number_are_no_decimal_signs(write) -> None:
    text = "participant;stimulus;rating\nA;x;3\nA;y;2,5\nB;x;n.a.\nB;y;well, 4\n"
    ratings = validate(read_ratings(write(text)), step=0.5)
    assert list(ratings.votes.rating) == [3, 2.5]
    assert len(ratings.refused) == 2
    text = "participant;stimulus;rating\nA;x;3\nA;y;well, 4\n"
    assert validate(read_ratings(write(text))).refusals() == [
        "Line 3: rating is not a number: 'well, 4'."
    ]


def test_the_scale_that_is_advised_can_be_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.csv"
    votes = [f"p{i},s{j},{(i + j) % 5 - 1}\n" for i in range(5) for j in range(5)]
    path.write_text("participant,stimulus,rating\n" + "".join(votes), encoding="utf-8")
    asked = ["report", str(path), "--out", str(tmp_path), "--resamples", "20"]
    assert main([*asked, "--scale=0-4"]) == 2
    advised = capsys.readouterr().err.partition(": say ")[2].partition(".")[0]
    assert advised == "--scale=-1-3"
    assert main([*asked, *advised.split()]) == 0
