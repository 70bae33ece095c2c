"""Ratings from CSV: long, a matrix (people × stimuli) or its transpose."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.stats.frame import BrokenRatings

PEOPLE = {"participant", "subject", "rater", "observer", "worker", "person", "user"}
PICTURES = {"stimulus", "image", "picture", "item", "clip", "pvs", "video", "file"}
DELIMITERS = ",;\t"
MISSING = ["", "NA", "NaN", "nan"]
SHOWN = 20  # sentences of one kind before "and … more"


def read_ratings(path: str | Path, *, rows: str | None = None) -> pd.DataFrame:
    """The tidy frame in a CSV file, its index named ``line`` after the file's lines.

    Long files have `participant` (or `subject`), `stimulus` and `rating` (or, for
    pairs, `second` and `choice`). A matrix names its first column after what its rows
    are (participant, subject, rater, … or stimulus, image, clip, …); `rows` says
    otherwise: ``people`` or ``stimuli``. Comma, semicolon or tab, as in the first line.

    Raises BrokenRatings with line numbers: not UTF-8, no header, a repeated column,
    lines with too many or too few cells, a matrix that does not say what its rows are.
    """
    data = Path(path).read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise BrokenRatings(f"Line {line}: the file is not UTF-8 text.") from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise BrokenRatings(f"Line {line}: the file is not text.")
    first_line = text.lstrip("\r\n").partition("\n")[0]
    delimiter = max(DELIMITERS, key=first_line.count)
    lines, widths = _layout(text, delimiter)
    if len(lines) == 0:
        raise BrokenRatings("The file is empty.")
    header = [*map(str.strip, next(csv.reader([first_line], delimiter=delimiter)))]
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise BrokenRatings(
            f"Line {lines[0]}: the column {', '.join(repeated) or '(unnamed)'} "
            "appears more than once."
        )
    ragged = np.flatnonzero(widths != len(header))
    if len(ragged):
        sentences = [
            f"Line {lines[k]}: {widths[k]} cells where the header has {len(header)}."
            for k in ragged[:SHOWN]
        ]
        if len(ragged) > SHOWN:
            sentences.append(f"… and {len(ragged) - SHOWN} more such lines.")
        raise BrokenRatings(*sentences)
    names = [name.lower() for name in header]
    long = "stimulus" in names and bool({"rating", "choice"} & set(names))
    try:
        frame = pd.read_csv(
            io.StringIO(text),
            sep=delimiter,
            header=0,
            names=names if long else header,
            dtype=dict.fromkeys(("participant", "subject", "stimulus"), "category")
            | {"question": "str", "kind": "str"},
            keep_default_na=False,
            na_values=_missing(names) if long else MISSING,
            index_col=False,
            low_memory=False,
        )
        frame.index = pd.Index(lines[1:], name="line")
    except ValueError as problem:  # as good as always a quotation mark too many
        raise BrokenRatings(
            f"The quotation marks of the file do not pair up ({problem})."
        ) from None
    return frame if long else _melt(frame, rows)


def _missing(names: list[str]) -> dict[str, list[str]]:
    """A stimulus may be called NA; a rating that says NA is missing."""
    text = {"participant", "subject", "stimulus", "question", "kind"}
    return {name: [""] if name in text else MISSING for name in names}


def _layout(text: str, delimiter: str) -> tuple[np.ndarray, np.ndarray]:
    """Line number and number of cells of every record that is not blank."""
    if '"' in text:
        reader = csv.reader(io.StringIO(text), delimiter=delimiter)
        records, line = [], 1
        for record in reader:
            if record:
                records.append((line, len(record)))
            line = reader.line_num + 1
        first, width = np.array(records, int).reshape(-1, 2).T
        return first, width
    raw = np.frombuffer(text.encode(), np.uint8)
    ends = np.flatnonzero(raw == ord("\n"))
    if len(raw) and raw[-1] != ord("\n"):
        ends = np.append(ends, len(raw))
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    cells = np.searchsorted(np.flatnonzero(raw == ord(delimiter)), ends)
    widths = np.diff(cells, prepend=0) + 1
    length = ends - starts
    last = raw[np.minimum(np.maximum(ends - 1, 0), max(len(raw) - 1, 0))]
    blank = (length == 0) | ((length == 1) & (last == ord("\r")))
    return np.flatnonzero(~blank) + 1, widths[~blank]


def _melt(frame: pd.DataFrame, rows: str | None) -> pd.DataFrame:
    """A matrix as a tidy frame, row by row; every empty cell is an unanswered trial."""
    first = str(frame.columns[0])
    if rows is None:
        kind = first.strip().lower()
        rows = "people" if kind in PEOPLE else "stimuli" if kind in PICTURES else None
    if rows is None or frame.shape[1] < 2:
        raise BrokenRatings(
            "Line 1: neither a long table (participant, stimulus, rating) nor a matrix "
            f"whose first column says what its rows are: {first!r}. Name it "
            "'participant' or 'stimulus', or say --rows people or --rows stimuli."
        )
    along, across = (
        ("participant", "stimulus") if rows == "people" else ("stimulus", "participant")
    )
    columns = frame.columns[1:]
    labels = frame.iloc[:, 0]
    return pd.DataFrame(
        {
            along: np.repeat(labels.astype(str).to_numpy(object), len(columns)),
            across: np.tile(columns.to_numpy(object), len(frame)),
            "rating": frame.iloc[:, 1:].to_numpy(object).ravel(),
        },
        index=pd.Index(np.repeat(frame.index, len(columns)), name="line"),
    )
