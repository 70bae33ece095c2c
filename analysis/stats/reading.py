"""Ratings from CSV: long, a matrix (people × stimuli) or its transpose.

Bytes and cells are `nstlab.core.csv_files`' business; here is what the columns mean.
Everything stays text but what is a number by its name (ratings, times, trials): an id
or a level is kept as it was written.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from analysis.stats.frame import BOOLEANS, BrokenRatings, known_columns
from nstlab.core import csv_files
from nstlab.core.csv_files import BrokenFile, CsvText

# What others call these three columns, the surest name first.
PEOPLE = (
    "participant", "participant_id", "subject", "subject_id", "rater", "rater_id",
    "observer", "observer_id", "worker", "worker_id", "user", "user_id", "person",
)  # fmt: skip
PICTURES = (
    "stimulus", "stimulus_id", "image", "picture", "item", "clip", "pvs", "video",
    "file", "src",
)  # fmt: skip
ANSWERS = ("rating", "score", "mos_vote", "vote", "opinion_score", "os", "answer")
ROLES = {"participant": PEOPLE, "stimulus": PICTURES, "rating": ANSWERS}
# A source is a picture too where nothing else is; where something else is, a content.
LAST_RESORT = "src"
# Columns of a matrix that say it holds no single votes, or something about its rows.
SUMMARIES = {
    "mos", "dmos", "sd", "std", "se", "ci", "ci95", "mean", "median", "var", "variance",
    "n", "count", "total", "sum", "c_total", "n_votes", "votes",
}  # fmt: skip
ABOUT_PEOPLE = {
    "age", "gender", "sex", "country", "nationality", "language", "education", "email",
    "e-mail", "name", "group", "session", "date", "time", "timestamp", "duration",
    "device", "browser", "comment", "comments", "notes",
}  # fmt: skip
NUMBERS = ("trial", "response_ms", "scale_min", "scale_max", "displayed_scale")
NAMES = ("participant", "stimulus", "second", "question", "kind")
WORD = "a word"
SAMPLE_ROWS = 1000
CHUNK = 50_000  # rows held as lists at a time
MISSING = {"", "NA", "NaN", "nan"}


def read_ratings(
    path: str | Path, *, rows: str | None = None, leave_out: Sequence[str] = ()
) -> pd.DataFrame:
    """The tidy frame in a CSV file, its index named ``line`` after the file's lines.

    Long files have `participant`, `stimulus` and `rating` (or, for pairs, `second` and
    `choice`), or a usual name of each (`ROLES`). A matrix names its first column after
    what its rows are (participant, subject, rater, … or stimulus, image, clip, …);
    `rows` says otherwise: ``people`` or ``stimuli``. Columns in `leave_out` are not
    read. Encodings, separators and decimal commas as `csv_files.decoded` tells them.

    Ids, levels and ratings are categorical text as written, without spaces at their
    ends; `frame.attrs["notes"]` are sentences on what was done to the file.

    Raises BrokenRatings with line numbers: no text, no header, a repeated column, lines
    with too many or too few cells, a needed column that is absent, a matrix that does
    not say what its rows are, has a row twice, or holds something else than votes.
    """
    try:
        source = csv_files.decoded(Path(path).read_bytes())
        table = _columns(source)
    except BrokenFile as problem:
        raise BrokenRatings(*problem.sentences) from None
    notes = [*source.notes, *table.notes]
    absent = [name for name in leave_out if name not in table.columns]
    if absent:
        raise BrokenRatings(f"There is no column {', '.join(absent)} to leave out.")
    columns = {k: v for k, v in table.columns.items() if k not in leave_out}
    if not columns:
        raise BrokenRatings("No column is left.")
    lower = [name.lower() for name in columns]
    roles = _roles(lower, sure=rows is not None)
    if _is_long(lower, roles, rows):
        twice = sorted({name for name in lower if lower.count(name) > 1})
        if twice:
            raise BrokenRatings(
                f"Line {table.header_line}: the column {', '.join(twice)} "
                "appears more than once."
            )
        names = {found: role for role, found in roles.items()}
        notes += [
            f"The column {found} was read as the {role}."
            for found, role in names.items()
            if found not in (role, "subject")
        ]
        named = {
            names.get(name, name): column
            for name, column in zip(lower, columns.values(), strict=True)
        }
        frame = _long(named, source.separator, notes)
        frame.index = pd.Index(table.lines, name="line")
    else:
        frame = _melt(columns, table, rows, source.separator, notes)
    frame.attrs["notes"] = tuple(notes)
    return frame


# Cells ------------------------------------------------------------------------


Cells: TypeAlias = pd.Categorical | np.ndarray
"""A column of text: categories, or the texts themselves where nearly all differ."""


class _Table:
    """The columns of a file, each categorical text, and the lines of its rows."""

    def __init__(
        self,
        header_line: int,
        columns: dict[str, Cells],
        lines: np.ndarray,
        notes: Sequence[str],
    ) -> None:
        empty = np.ones(len(lines), bool)
        for column in columns.values():
            if not empty.any():
                break
            if isinstance(column, pd.Categorical):
                nothing = np.flatnonzero(column.categories == "")
                empty &= np.isin(column.codes, nothing)
            else:
                empty &= column == ""
        if empty.any():
            columns = {name: column[~empty] for name, column in columns.items()}
            lines = lines[~empty]
        self.header_line = header_line
        # As spreadsheets leave them at the right: no name, and nothing in them.
        self.columns = {
            name: column
            for place, (name, column) in enumerate(columns.items(), start=1)
            if name != f"column {place}" or not _is_empty(column)
        }
        self.lines = lines
        self.notes = [*notes]


def _is_empty(column: Cells) -> bool:
    return set(_coded(column).categories) <= {""}


def _columns(source: CsvText) -> _Table:
    if source.quoted:
        bare = _without_marks(source)
        if bare is None:
            return _quoted(source)
        source = bare
    raw = source.text.encode()
    lines, widths = _layout(raw, source.separator)
    if len(lines) == 0:
        raise BrokenFile("The file is empty.")
    first = next(source.start.rows(), None) or next(source.rows())
    header = csv_files.header_names(first)
    ragged = np.flatnonzero(widths[1:] != len(header))
    if len(ragged):
        raise BrokenFile(
            *csv_files.ragged_sentences(
                len(header), lines[1:][ragged].tolist(), widths[1:][ragged].tolist()
            )
        )
    notes: list[str] = []
    columns: dict[str, Cells] = dict.fromkeys(header, np.empty(0, object))
    if len(lines) > 1:
        frame = _as_text(source, raw, int(lines[0]), len(header))
        columns = {name: frame.pop(k) for k, name in enumerate(header)}
    if _may_have_spaces(source):
        columns = {name: _stripped(columns[name], name, notes) for name in header}
    return _Table(int(lines[0]), columns, lines[1:], notes)


def _without_marks(source: CsvText) -> CsvText | None:
    """The text without its quotation marks, if every pair only wraps a plain cell."""
    cells = np.frombuffer(source.text.encode(), np.uint8)
    marks = np.flatnonzero(cells == ord('"'))
    if len(marks) % 2:
        return None
    opening, closing = marks[0::2], marks[1::2]
    between = (cells == ord("\n")) | (cells == ord(source.separator))
    before = between[opening - 1] | (opening == 0)
    after = between[np.minimum(closing + 1, len(cells) - 1)]
    after |= closing == len(cells) - 1
    inside = np.add.reduceat(between, marks)[0::2] if len(marks) else np.empty(0)
    if not (before.all() and after.all()) or inside.any():
        return None
    return replace(source, text=source.text.replace('"', ""))


def _may_have_spaces(source: CsvText) -> bool:
    """Tell if cells may have white space at their ends: a quick look at the text."""
    text, separator = source.text, source.separator
    if not text.isascii():
        return True
    if any(space in text for space in "\t\v\f\x1c\x1d\x1e\x1f" if space != separator):
        return True
    pairs = (f" {separator}", f"{separator} ", " \n", "\n ")
    return " " in text and (
        text[0] == " " or text[-1] == " " or any(pair in text for pair in pairs)
    )


def _as_text(
    source: CsvText, raw: bytes, header_line: int, width: int
) -> dict[int, Cells]:
    """Each column of a file without quotation marks."""
    start = 0
    for _ in range(header_line):
        start = raw.find(b"\n", start) + 1
    # pandas makes numbers of categories that all are one: a first row of words keeps
    # it from that. Where most cells differ, categories would only cost.
    words = source.separator.join([WORD] * width).encode() + b"\n"
    rows = islice(source.start.rows(), 1, 1 + SAMPLE_ROWS)
    sample = [row.cells for row in rows]
    few = [len(set(column)) < len(sample) / 2 for column in zip(*sample, strict=True)]
    few = few or [True] * width  # one row is longer than the sample
    frame = pd.read_csv(
        io.BytesIO(words + raw[start:]),
        sep=source.separator,
        header=None,
        names=range(width),
        dtype={k: "category" if few[k] else object for k in range(width)},
        na_filter=False,
        index_col=False,
        low_memory=False,
        quoting=csv.QUOTE_NONE,
        encoding="utf-8",
    )
    found: dict[int, Cells] = {}
    for k in range(width):
        column = frame[k][1:]
        found[k] = _without_the_word(column.array) if few[k] else column.to_numpy()
    return found


def _without_the_word(column: pd.Categorical) -> pd.Categorical:
    labels = column.categories.to_numpy(object)
    (place,) = np.flatnonzero(labels == WORD)
    codes = column.codes
    if not (codes == place).any():  # nobody else's word
        labels, codes = np.delete(labels, place), codes - (codes > place)
    return pd.Categorical.from_codes(codes, pd.Index(labels, dtype=object))


def _coded(column: Cells) -> pd.Categorical:
    """The column as categories, in order of appearance if it was none."""
    if isinstance(column, pd.Categorical):
        return column
    codes, labels = pd.factorize(column)
    return pd.Categorical.from_codes(codes, pd.Index(labels, dtype=object))


def _stripped(column: Cells, name: str, notes: list[str]) -> Cells:
    """Cells without spaces at their ends; those that thereby are the same are one."""
    coded = _coded(column)
    labels, codes = coded.categories, coded.codes
    bare = [label.strip() for label in labels]
    changed = np.array([a != b for a, b in zip(bare, labels, strict=True)], bool)
    if not changed.any():
        return column
    if any(bare[k] for k in np.flatnonzero(changed)):
        n = int(changed[codes].sum())
        cells = "1 cell" if n == 1 else f"{n} cells"
        notes.append(f"Spaces at the ends of {cells} of {name} were taken away.")
    merged, unique = pd.factorize(np.array(bare, object))
    return pd.Categorical.from_codes(merged[codes], pd.Index(unique, dtype=object))


def _quoted(source: CsvText) -> _Table:
    """Cell by cell, for separators and line breaks may be inside of one."""
    rows = source.rows(strip=False)
    first = next(rows, None)
    if first is None:
        raise BrokenFile("The file is empty.")
    header = csv_files.header_names(first)
    parts: list[list[np.ndarray]] = [[] for _ in header]
    labels: list[dict[str, int]] = [{} for _ in header]
    lines: list[int] = []
    ragged: list[tuple[int, int]] = []
    while chunk := [*islice(rows, CHUNK)]:
        ragged += [
            (it.line, len(it.cells)) for it in chunk if len(it.cells) != len(header)
        ]
        if ragged:
            continue
        lines += [line for line, _ in chunk]
        columns = zip(*(cells for _, cells in chunk), strict=True)
        for part, known, column in zip(parts, labels, columns, strict=True):
            codes, found = pd.factorize(np.array(column, object))
            place = [known.setdefault(label, len(known)) for label in found]
            part.append(np.array(place, np.int32)[codes])
    if ragged:
        raise BrokenFile(
            *csv_files.ragged_sentences(
                len(header), [it[0] for it in ragged], [it[1] for it in ragged]
            )
        )
    notes: list[str] = []
    coded: dict[str, Cells] = {}
    for name, part, known in zip(header, parts, labels, strict=True):
        codes = np.concatenate([np.empty(0, np.int32), *part])
        column = pd.Categorical.from_codes(codes, pd.Index([*known], dtype=object))
        coded[name] = _stripped(column, name, notes)
    return _Table(first.line, coded, np.array(lines, int), notes)


def _layout(raw: bytes, separator: str) -> tuple[np.ndarray, np.ndarray]:
    """Line number and number of cells of every line that is not blank."""
    cells = np.frombuffer(raw, np.uint8)
    marks = np.flatnonzero((cells == ord("\n")) | (cells == ord(separator)))
    last = np.flatnonzero(cells[marks] == ord("\n"))
    ends, widths = marks[last], np.diff(last, prepend=-1)
    if len(cells) and cells[-1] != ord("\n"):
        ends = np.append(ends, len(cells))
        widths = np.append(widths, len(marks) - (last[-1] if len(last) else -1))
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    blank = ends == starts
    begins = cells[np.minimum(starts, max(len(cells) - 1, 0))]
    for k in np.flatnonzero((begins == ord(" ")) | (begins == ord("\t"))):
        # pandas skips lines of spaces and tabs, but for the tabs that separate.
        blank[k] = widths[k] == 1 and not raw[starts[k] : ends[k]].strip(b" \t")
    return np.flatnonzero(~blank) + 1, widths[~blank]


# Columns ----------------------------------------------------------------------


def _roles(names: Sequence[str], *, sure: bool) -> dict[str, str]:
    """Which column is the participant, the stimulus and the rating, as far as told.

    Raises BrokenRatings where two may be it; not if somebody is `sure` of a matrix.
    """
    found: dict[str, str] = {}
    for role, usual in ROLES.items():
        there = [name for name in usual if name in names]
        known = next((name for name in (role, "subject") if name in there), None)
        if known:
            there = [known]
        if len(there) > 1 and LAST_RESORT in there:
            there.remove(LAST_RESORT)
        if role == "rating" and "choice" in names and role not in there:
            continue
        if len(there) > 1 and not sure:
            raise BrokenRatings(
                f"{' and '.join(there)} may both be the {role}: name the one that is "
                f"{role!r}."
            )
        if len(there) == 1:
            found[role] = there[0]
    return found


def _is_long(names: Sequence[str], roles: Mapping[str, str], rows: str | None) -> bool:
    """Tell if it is one row a vote; raises BrokenRatings if it is nearly so."""
    absent = [role for role in ROLES if role not in roles]
    if "choice" in names and "rating" in absent:
        absent.remove("rating")
    if not absent:
        return True
    if rows is None and len(absent) == 1:
        raise BrokenRatings(
            f"Line 1: {', '.join(names)}: this looks like one row a vote, but no "
            f"column says the {absent[0]}. Name it {absent[0]!r}; if the file is a "
            "matrix, say --rows people or --rows stimuli."
        )
    return False


def _long(
    columns: Mapping[str, Cells], separator: str, notes: list[str]
) -> pd.DataFrame:
    """Every column as what it is, by its name; levels of factors stay as written."""
    made: dict[str, Cells] = {}
    known = known_columns()
    for name, column in columns.items():
        if name in NAMES:
            made[name] = _without(_coded(column), {""})
        elif name == "rating":
            votes = _without(_coded(column), MISSING)
            made[name] = _decimal(votes, name, separator, notes)
        elif name in NUMBERS:
            made[name] = _numbers(_coded(column), name, separator, notes)
        elif name in BOOLEANS or name not in known:
            made[name] = _without(_coded(column), MISSING)
        elif isinstance(column, pd.Categorical):
            made[name] = np.asarray(_without(column, MISSING), object)
        else:
            gone = pd.Series(column, copy=False).isin([*MISSING])
            made[name] = np.where(gone, np.nan, column)
    return pd.DataFrame(made, copy=False)


def _without(column: pd.Categorical, missing: set[str]) -> pd.Categorical:
    """The column with these texts as missing."""
    gone = [text for text in column.categories if text in missing]
    return column.remove_categories(gone) if gone else column


def _decimal(
    column: pd.Categorical, name: str, separator: str, notes: list[str]
) -> pd.Categorical:
    """Decimal commas as points, where the column has them."""
    if csv_files.decimal_of(list(column.categories), separator) == ".":
        return column
    notes.append(f"Commas in {name} were read as decimal points.")
    points, unique = pd.factorize(
        np.array([text.replace(",", ".") for text in column.categories], object)
    )
    codes = np.where(column.codes < 0, -1, points[column.codes])
    return pd.Categorical.from_codes(codes, pd.Index(unique, dtype=object))


def _numbers(
    column: pd.Categorical, name: str, separator: str, notes: list[str]
) -> np.ndarray:
    """Numbers, NaN where there is none; whole ones as integers if none is missing."""
    column = _decimal(_without(column, MISSING), name, separator, notes)
    found = [csv_files.number(text) for text in column.categories]
    values = np.array([np.nan if it is None else it for it in found], float)
    codes = np.asarray(column.codes)
    wrong = np.array([it is None for it in found], bool)
    if wrong.any():
        n = int(np.bincount(codes[codes >= 0], minlength=len(found))[wrong].sum())
        example = column.categories[np.flatnonzero(wrong)[0]]
        cells = "1 cell" if n == 1 else f"{n} cells"
        notes.append(f"{cells} of {name} are no number and count as empty: {example}.")
    taken = np.where(codes < 0, np.nan, values[codes] if len(values) else np.nan)
    whole = len(taken) > 0 and not np.isnan(taken).any() and (taken % 1 == 0).all()
    return taken.astype(np.int64) if whole else taken


def _melt(
    columns: Mapping[str, Cells],
    table: _Table,
    rows: str | None,
    separator: str,
    notes: list[str],
) -> pd.DataFrame:
    """A matrix as a tidy frame, row by row; every empty cell is an unanswered trial."""
    first, *across_names = columns
    if rows is None:
        kind = first.lower()
        rows = "people" if kind in PEOPLE else "stimuli" if kind in PICTURES else None
    if rows is None or not across_names:
        raise BrokenRatings(
            f"Line {table.header_line}: neither a long table (participant, stimulus, "
            f"rating) nor a matrix whose first column says what its rows are: "
            f"{first!r}. Name it 'participant' or 'stimulus', or say --rows people or "
            "--rows stimuli."
        )
    _refuse_what_no_one_rated(across_names, rows, table.header_line)
    labels = _coded(columns[first])
    _refuse_rows_twice(labels, table.lines, first)
    along, across = (
        ("participant", "stimulus") if rows == "people" else ("stimulus", "participant")
    )
    width, n = len(across_names), len(table.lines)
    texts: dict[str, int] = {}
    codes = np.empty((n, width), np.int32)
    for k, name in enumerate(across_names):
        column = _coded(columns[name])
        said = [text for text in column.categories if text not in MISSING]
        if said and not any(csv_files.number(t, decimal=",") is not None for t in said):
            raise BrokenRatings(
                f"Line {table.header_line}: {name} holds no ratings but {said[0]!r}. "
                f"Leave it out: --leave-out {name}."
            )
        place = [texts.setdefault(text, len(texts)) for text in column.categories]
        codes[:, k] = np.array(place, np.int32)[column.codes]
    cells = pd.Categorical.from_codes(
        codes.ravel(), pd.Index(list(texts), dtype=object)
    )
    return pd.DataFrame(
        {
            along: pd.Categorical.from_codes(
                np.repeat(labels.codes, width), labels.categories
            ),
            across: pd.Categorical.from_codes(
                np.tile(np.arange(width), n), pd.Index(across_names, dtype=object)
            ),
            "rating": _decimal(
                _without(cells, MISSING), "the matrix", separator, notes
            ),
        },
        index=pd.Index(np.repeat(table.lines, width), name="line"),
    )


def _refuse_what_no_one_rated(names: Sequence[str], rows: str, line: int) -> None:
    found = [name for name in names if name.lower() in SUMMARIES]
    if found:
        raise BrokenRatings(
            f"Line {line}: {', '.join(found)} are summaries, so the other columns may "
            "be counts and not the votes of people. A matrix has one column a "
            f"{'stimulus' if rows == 'people' else 'person'}; leave the rest out "
            "(--leave-out COLUMN) only if what stays are single votes."
        )
    found = [name for name in names if name.lower() in ABOUT_PEOPLE]
    if found:
        raise BrokenRatings(
            f"Line {line}: {', '.join(found)} would be "
            f"{'stimuli' if rows == 'people' else 'people'} with ratings. Leave out "
            f"what is none: {' '.join(f'--leave-out {name}' for name in found)}."
        )


def _refuse_rows_twice(labels: pd.Categorical, lines: np.ndarray, first: str) -> None:
    again = pd.Series(labels.codes).duplicated().to_numpy()
    if not again.any():
        return
    place = np.flatnonzero(again)[0]
    before = np.flatnonzero(labels.codes == labels.codes[place])[0]
    raise BrokenRatings(
        f"Line {lines[place]}: {labels[place]} has a row already, in line "
        f"{lines[before]}. A matrix has one row for each {first}; in a table of one "
        "row a vote the columns are named participant, stimulus and rating."
    )
