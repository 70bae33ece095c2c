"""The ZIP of a bundle: written with its checksums, and looked over before it is read.

It is read in memory, member by member: no path of it is ever followed, and what it
claims to unpack to is bounded before anything is unpacked.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from analysis.bundle.fields import FORMAT
from analysis.stats.writing import plain
from nstlab.core import old_names
from nstlab.core.csv_cells import unguarded
from survey.studies.uploads import UNREADABLE

MOST_FILES = 20_000
MOST_TOTAL = 4 * 1024**3
MOST_TEXT = 512 * 1024**2
MOST_PICTURE = 64 * 1024**2
MEMBERS = re.compile(
    r"README\.md|dataset_description\.json|study\.json|checksums\.sha256"
    r"|preregistration\.json"
    r"|data/study-[A-Za-z0-9]+_table-[a-z]+_data\.csv"
    r"|documentation/codebook\.csv"
    r"|materials/stimuli/[A-Za-z0-9_-]{1,20}\.png"
    # Charts are called after factors, in older bundles by their very names.
    r"|results/(?!\.{0,2}/)([^\x00-\x1f\x7f\\/]|/(?!\.{0,2}/)){1,400}"
    r"\.(csv|json|svg|png)"
)
DEEPEST = 50  # JSON in JSON
LARGEST = 1e300  # what an upload takes for a number
SHOWN = 20  # sentences before "and … more"


class BrokenBundle(ValueError):
    """The file cannot become a study; one sentence a reason. Nothing was written."""

    def __init__(self, *sentences: str) -> None:
        shown = [*sentences[:SHOWN]]
        if len(sentences) > SHOWN:
            shown.append(f"… and {len(sentences) - SHOWN} more.")
        super().__init__("\n".join(shown))
        self.sentences = shown


class ArchiveReader:
    """A bundle that was looked over: known names, bounded sizes, right checksums.

    Raises BrokenBundle for any other file.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except (*UNREADABLE, ValueError) as error:
            raise BrokenBundle(
                f"{path.name} is no ZIP: {error}. Take the file as the lab made it."
            ) from error
        self._members = self._checked_members()
        self.settings = self.json("study.json")
        self._check_sums()
        if self.settings.get("format") != "nstlab-bundle":
            raise BrokenBundle("study.json is not that of a bundle of NSTLab.")
        if self.settings.get("format_version") != FORMAT:
            raise BrokenBundle(
                f"The bundle has format {self.settings.get('format_version')!r}; this "
                f"program reads {FORMAT}."
            )
        said = self.settings.get("report")
        if not isinstance(said, dict) or not isinstance(
            said.get("include_simulated"), bool
        ):
            raise BrokenBundle(
                "study.json does not say whether its report counts simulated people: "
                'put "report": {"include_simulated": false} there, or true.'
            )

    def __enter__(self) -> ArchiveReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def _checked_members(self) -> dict[str, zipfile.ZipInfo]:
        members = self._zip.infolist()
        if len(members) > MOST_FILES:
            raise BrokenBundle(f"{len(members)} files; a bundle has {MOST_FILES}.")
        wrong = []
        known: dict[str, zipfile.ZipInfo] = {}
        for info in members:
            most = MOST_PICTURE if info.filename.endswith(".png") else MOST_TEXT
            if not MEMBERS.fullmatch(info.filename):
                wrong.append(f"{info.filename!r} does not belong into a bundle.")
            elif info.filename in known:
                wrong.append(f"{info.filename} is there twice.")
            elif info.file_size > most:
                wrong.append(f"{info.filename} unpacks to {info.file_size} bytes.")
            elif info.flag_bits & 1:
                wrong.append(f"{info.filename} is encrypted.")
            known[info.filename] = info
        if sum(info.file_size for info in members) > MOST_TOTAL:
            wrong.append(f"Unpacked it has more than {MOST_TOTAL // 1024**3} GiB.")
        if wrong:
            raise BrokenBundle(*wrong)
        return known

    def names(self, folder: str) -> list[str]:
        """The files in a folder, in their order."""
        return [name for name in self._members if name.startswith(f"{folder}/")]

    def read(self, name: str) -> bytes:
        """One file, no longer than it said."""
        if name not in self._members:
            raise BrokenBundle(f"The bundle has no {name}.")
        try:
            with self._zip.open(self._members[name]) as file:
                data = file.read(self._members[name].file_size + 1)
        except (*UNREADABLE, ValueError) as error:
            raise BrokenBundle(f"{name} cannot be unpacked: {error}.") from error
        if len(data) != self._members[name].file_size:
            raise BrokenBundle(f"{name} is not as long as the archive says.")
        return data

    def text(self, name: str) -> str:
        """One file as text. Raises BrokenBundle for what is no UTF-8 text."""
        try:
            text = self.read(name).decode()
        except UnicodeDecodeError as error:
            raise BrokenBundle(f"{name} is not UTF-8 text.") from error
        if "\0" in text:
            raise BrokenBundle(f"{name} has a NUL character, which no text has.")
        return text

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def json(self, name: str) -> dict[str, Any]:
        """One file as a JSON object. Raises BrokenBundle for anything else."""
        try:
            value = json.loads(
                self.text(name),
                parse_constant=_refused_constant,
                object_pairs_hook=_each_key_once,
            )
            _check_storable(value)
        except RecursionError as error:
            raise BrokenBundle(f"{name} is nested too deeply.") from error
        except BrokenBundle:
            raise
        except ValueError as error:
            raise BrokenBundle(f"{name} is not JSON as it should be: {error}.") from (
                error
            )
        if not isinstance(value, dict):
            raise BrokenBundle(f"{name} is not a JSON object.")
        return value

    def _check_sums(self) -> None:
        listed = {}
        for line in filter(None, self.text("checksums.sha256").split("\n")):
            digest, _, name = line.partition("  ")
            listed[name] = digest
        wrong = [
            f"{name} is not the file that checksums.sha256 lists: take the bundle as "
            "the lab made it, or list the sha256 of what you changed on purpose."
            for name in self._members
            if name != "checksums.sha256"
            and hashlib.sha256(self.read(name)).hexdigest() != listed.pop(name, None)
        ]
        wrong += [f"{name} is listed and missing." for name in listed]
        if wrong:
            raise BrokenBundle(*wrong)

    def table(self, kind: str, columns: Sequence[str]) -> Iterator[tuple[int, Any]]:
        """Line number and row of a data file, which has at least these columns."""
        names = [it for it in self.names("data") if f"_table-{kind}_" in it]
        if len(names) != 1:
            raise BrokenBundle(f"{len(names)} tables of {kind}; there must be one.")
        reader = csv.reader(io.StringIO(self.text(names[0]), newline=""))
        try:
            header = [old_names.COLUMNS.get(it, it) for it in next(reader, [])]
            missing = set(columns) - set(header)
            if missing:
                raise BrokenBundle(
                    f"{names[0]} has no column {', '.join(sorted(missing))}."
                )
            if twice := [name for name in columns if header.count(name) > 1]:
                raise BrokenBundle(f"{names[0]} has two columns {', '.join(twice)}.")
            for row in reader:
                if len(row) != len(header):
                    raise BrokenBundle(
                        f"Line {reader.line_num} of {names[0]} has not as many cells "
                        "as the header."
                    )
                yield (
                    reader.line_num,
                    dict(zip(header, map(unguarded, row), strict=True)),
                )
        except csv.Error as error:
            raise BrokenBundle(f"{names[0]}: {error}.") from error


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice[:40]!r} is there twice")
    return found


def _check_storable(value: Any) -> None:
    """Raises ValueError for what a database cannot keep, at any depth."""
    left = [(value, 0)]
    while left:
        each, depth = left.pop()
        if depth > DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} times")
        if isinstance(each, dict):
            left += [(part, depth + 1) for pair in each.items() for part in pair]
        elif isinstance(each, list):
            left += [(part, depth + 1) for part in each]
        elif isinstance(each, str):
            if "\0" in each or any("\ud800" <= sign <= "\udfff" for sign in each):
                raise ValueError(f"{each[:40]!r} has a character that no text has")
        elif isinstance(each, int | float) and not abs(each) < LARGEST:
            raise ValueError("a number is out of all bounds")


def _refused_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


class ArchiveWriter:
    """A ZIP without dates, with a list of checksums."""

    def __init__(self, target: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED)
        self._sums: dict[str, str] = {}

    def add(self, name: str, data: bytes) -> None:
        """Write a file and keep its checksum."""
        self._sums[name] = hashlib.sha256(data).hexdigest()
        self._zip.writestr(_member(name), data)

    def add_json(self, name: str, value: Any) -> None:
        """Write a value as indented JSON."""
        text = json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)
        self.add(name, f"{text}\n".encode())

    def add_lines(self, name: str, lines: Iterable[str]) -> None:
        """A text that need not be held whole."""
        digest = hashlib.sha256()
        with self._zip.open(_member(name), "w", force_zip64=True) as file:
            for line in lines:
                data = line.encode()
                digest.update(data)
                file.write(data)
        self._sums[name] = digest.hexdigest()

    def __enter__(self) -> ArchiveWriter:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            names = sorted(self._sums)
            sums = "".join(f"{self._sums[name]}  {name}\n" for name in names)
            self._zip.writestr(_member("checksums.sha256"), sums)
        self._zip.close()


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    packed = name.endswith(".png")
    info.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
    return info
