"""CSV files as people make them: bytes in, rows of text out, and what was done to them.

The one reader of every table that comes into the lab. It decides about bytes and cells
and never about what a cell means: everything stays text, so `007` stays `007`. Standard
library only, for the web process reads with it too.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
SAMPLE = 100_000  # characters from which the separator is told
SHOWN = 20  # sentences of one kind before "… and more"

# ASCII digits and one dot: float() would also take 2_1 (a layer), nan and infinity.
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
# 007 is a name; 0.07 is a number.
_ZEROS_IN_FRONT = re.compile(r"[+-]?0[0-9]")
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(?:,[0-9]{3})+")


class BrokenFile(ValueError):
    """The bytes are no table; one sentence a problem, with line numbers."""

    def __init__(self, *sentences: str) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = sentences


class Row(NamedTuple):
    """The line of the file a record starts in (1, 2, …), and its cells."""

    line: int
    cells: list[str]


@dataclass(frozen=True)
class CsvText:
    """The text of a file: NFC, every line ends in a line feed, no mark of its order.

    Lines have the numbers that they have in the file. `notes` are sentences on what
    was done to the bytes.
    """

    text: str
    separator: str
    notes: tuple[str, ...] = ()

    @property
    def quoted(self) -> bool:
        """Whether a cell may hold separators and line breaks."""
        return '"' in self.text

    @property
    def start(self) -> CsvText:
        """The first lines, to look at without copying a large file."""
        return replace(self, text=_start(self.text))

    def rows(self, *, strip: bool = True) -> Iterator[Row]:
        """Every row with something in it, the header first.

        `strip` takes the spaces at the ends of cells away. Raises BrokenFile where
        quotation marks do not pair up.
        """
        reader = _reader(self.text, self.separator)
        line = 1
        try:
            for cells in reader:
                if strip:
                    cells = [cell.strip() for cell in cells]
                if any(cells):
                    yield Row(line, cells)
                line = reader.line_num + 1
        except csv.Error as problem:
            raise BrokenFile(
                f"Line {line}: the quotation marks of the file do not pair up "
                f"({problem})."
            ) from None


@dataclass(frozen=True)
class Table:
    """A header and the rows under it, every cell text.

    A row may have fewer or more cells than the header; `ragged` says which.
    """

    header: list[str]
    rows: list[Row]
    notes: tuple[str, ...] = ()

    @property
    def ragged(self) -> list[Row]:
        return [row for row in self.rows if len(row.cells) != len(self.header)]


def read_table(data: bytes) -> Table:
    """The whole file. Raises BrokenFile if it is no table or has no header.

    Columns without a name and without anything in them, as spreadsheets leave them at
    the right, are not there.
    """
    source = decoded(data)
    rows = source.rows()
    first = next(rows, None)
    if first is None:
        raise BrokenFile("The file is empty.")
    below = [*rows]
    width = len(first.cells)
    nothing = {
        k
        for k, name in enumerate(first.cells)
        if not name and not any(row.cells[k : k + 1] not in ([""], []) for row in below)
    }
    header = header_names(first)
    if nothing:
        header = [name for k, name in enumerate(header) if k not in nothing]
        below = [
            Row(row.line, [it for k, it in enumerate(row.cells) if k not in nothing])
            if len(row.cells) == width
            else row
            for row in below
        ]
    return Table(header, below, source.notes)


def decoded(data: bytes) -> CsvText:
    """UTF-8 or UTF-16, with or without a byte order mark, and the separator it uses.

    Line ends may be LF, CR LF or CR; a first line `sep=;` names the separator and is
    blanked. Raises BrokenFile with the line of what is no text.
    """
    text, notes = _text(data)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise BrokenFile(f"Line {line}: the file is not text.")
    if not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
        notes.append(
            "Letters written as a base and an accent were joined (Unicode NFC)."
        )
    if told := re.match(r'\n*"?sep=([,;\t])"?[,; \t]*(?:\n|$)', text, re.IGNORECASE):
        breaks = told[0].count("\n")
        return CsvText("\n" * breaks + text[told.end() :], told[1], tuple(notes))
    return CsvText(text, _separator(text), tuple(notes))


def header_names(first: Row) -> list[str]:
    """Column names of the first row: line breaks are spaces, none is there twice.

    A column without a name is called after its place. Raises BrokenFile.
    """
    names = [
        " ".join(cell.split()) or f"column {place}"
        for place, cell in enumerate(first.cells, start=1)
    ]
    seen = Counter(names)
    if repeated := sorted(name for name in seen if seen[name] > 1):
        raise BrokenFile(
            f"Line {first.line}: the column {', '.join(repeated)} "
            "appears more than once."
        )
    return names


def ragged_sentences(
    width: int, lines: Sequence[int], widths: Sequence[int]
) -> list[str]:
    """What to say of rows whose number of cells is not that of the header."""
    sentences = [
        f"Line {line}: {cells} cells where the header has {width}."
        for line, cells in zip(lines[:SHOWN], widths[:SHOWN], strict=True)
    ]
    if len(lines) > SHOWN:
        sentences.append(f"… and {len(lines) - SHOWN} more such lines.")
    return sentences


# Numbers ----------------------------------------------------------------------


def number(text: str, *, decimal: str = ".") -> float | None:
    """The number a text is, or None: plain digits, a decimal sign, an exponent.

    `2_1`, `nan`, `inf`, `1,234.5` and digits of other scripts are none. With
    `decimal` "," both signs may stand before the fraction.
    """
    if decimal == ",":
        text = text.replace(",", ".")
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if abs(value) < 1e300 else None


def decimal_of(texts: Sequence[str], separator: str) -> str:
    """The decimal sign of a column, "." or ",": comma where that alone makes sense.

    `1,234` may be thousands in English: alone it counts as a decimal comma only in a
    file of semicolons, which is what programs write where the comma is the sign.
    """
    with_comma = [text for text in texts if "," in text]
    if not any(number(text, decimal=",") is not None for text in with_comma):
        return "."
    if any("." in text and number(text) is not None for text in texts):
        return "."
    if separator != ";" and all(_THOUSANDS.fullmatch(text) for text in with_comma):
        return "."
    return ","


def numeric(texts: Sequence[str], separator: str = ",") -> bool:
    """Whether distinct levels may be proposed as numbers.

    Only if each is one, none begins as a name does (`007`), and no two of them are the
    same number (`1.1` and `1.10` are versions): else turning them into numbers would
    lose which is which.
    """
    decimal = decimal_of(texts, separator)
    values = [number(text, decimal=decimal) for text in texts]
    return (
        len(values) > 0
        and None not in values
        and len(set(values)) == len(values)
        and not any(map(_ZEROS_IN_FRONT.match, texts))
    )


# Bytes ------------------------------------------------------------------------


def _text(data: bytes) -> tuple[str, list[str]]:
    encoding = _utf_16(data)
    try:
        if encoding is None:
            return data.decode("utf-8-sig"), []
        text = data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as problem:
        before = data[: problem.start].decode(encoding or "utf-8", errors="replace")
        line = len(re.findall(r"\r\n|\r|\n", before)) + 1
        raise BrokenFile(
            f"Line {line}: the file is not UTF-8 text. Save it as 'CSV UTF-8'."
        ) from None
    return text, ["The file was read as UTF-16."]


def _utf_16(data: bytes) -> str | None:
    """The kind of UTF-16, by its mark or by zeros in every other byte of the start."""
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if data.startswith(mark):
            return encoding
    start = data[:400]
    zeros = start[0::2].count(0), start[1::2].count(0)
    half = len(start) // 2
    if half and zeros[0] == 0 and zeros[1] > 0.9 * half:
        return "utf-16-le"
    if half and zeros[1] == 0 and zeros[0] > 0.9 * half:
        return "utf-16-be"
    return None


def _reader(text: str, separator: str) -> Any:
    """A csv.reader; its `line_num` counts the lines read."""
    # Strict: a mark that is not closed is said, instead of swallowing the file.
    return csv.reader(
        io.StringIO(text, newline="\n"),
        delimiter=separator,
        strict=True,
        skipinitialspace=True,
    )


def _start(text: str) -> str:
    """Whole lines of the first `SAMPLE` characters; the whole text if they are one."""
    if len(text) <= SAMPLE:
        return text
    return text[: text.rfind("\n", 0, SAMPLE) + 1] or text


def _separator(text: str) -> str:
    """The separator that cuts most rows of the start as often as the header.

    A comma inside quotation marks or in 2,5 is thereby none.
    """
    sample = _start(text)
    best, chosen = (0.0, 0), ","
    for separator in SEPARATORS:
        widths: list[int] = []
        # A sample may end inside a cell; what is broken is said when it is read.
        with suppress(csv.Error):
            for cells in _reader(sample, separator):
                if any(cells):
                    widths.append(len(cells))
        if widths and widths[0] > 1:
            share = widths.count(widths[0]) / len(widths)
            if (share, widths[0]) > best:
                best, chosen = (share, widths[0]), separator
    return chosen
