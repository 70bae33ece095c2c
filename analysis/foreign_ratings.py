"""Other people's ratings, from a CSV, as a closed study without pictures.

Everything the file says is kept or refused before a row is written: checks with what
they asked for, the order in which pictures were seen, who broke off, any scale.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import transaction

from analysis.bundle.archive import BrokenBundle
from analysis.bundle.read import CODE, START, checked, keep_origin, reason_of
from analysis.models import Import
from analysis.scales import FIELDS
from nstlab.core.csv_cells import unguarded
from nstlab.core.csv_files import number
from nstlab.core.factor_names import columns_of, notes_of, why_not
from survey.codes import token_hash
from survey.methods import USUAL
from survey.methods.scales import BrokenScale, Scale
from survey.models import Participant, Question, Rating, Stimulus, Study, Trial

if TYPE_CHECKING:
    import pandas as pd

    from analysis.stats.frame import Ratings

MOST_DECIMALS = 4  # of ratings on a slider
LONGEST_LEVEL = 60  # characters; more is somebody's sentence
# What values of a column about people look like.
PERSONAL = {
    "e-mail addresses": re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+"),
    "ids": re.compile(
        r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-f]{24,}"
        r"|A(?=[A-Z]*[0-9])[A-Z0-9]{9,20}"
    ),
    "addresses of computers": re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}"),
    "telephone numbers": re.compile(r"[+0][0-9][0-9 /-]{5,}[0-9]"),
}


def import_ratings(
    path: Path,
    *,
    title: str,
    scale_points: int | None = None,
    scale: tuple[float, float] | None = None,
    step: float | None = None,
    question: str = "",
    factors: Sequence[str] = (),
    leave_out: Sequence[str] = (),
    rows: str | None = None,
    owner: Any = None,
    notes: list[str] | None = None,
) -> Study:
    """Make a closed study without pictures of somebody else's ratings.

    The CSV is what `python -m analysis.stats report` reads, and `scale`, `step`, `rows`
    and `leave_out` mean the same. People get pseudonyms of ours, for theirs may be
    names; stimuli keep theirs where it can be a code, and the label stays among their
    parameters. Only the columns named as `factors` become factors of the stimuli.

    `notes` gets sentences on what was done. Raises BrokenBundle with a sentence a line;
    then nothing was written.
    """
    if scale_points is not None and scale is None:
        words = USUAL.scales[scale_points]
        scale = min(words), max(words)
    frame, ratings = _read(path, scale=scale, step=step, rows=rows, leave_out=leave_out)
    try:
        points = _scale(ratings)
        wording = _Wording.of(ratings, question)
        usual = _points_of(points)
        study = Study(
            title=title,
            method=USUAL.name,
            scale_points=usual or 5,
            state=Study.State.CLOSED,
            owner=owner,
            question=wording.main,
        )
        checked(study, exclude=["owner", "slug"])
    except ValidationError as error:
        raise BrokenBundle(f"{reason_of(error)}.") from error
    except BrokenScale as error:
        raise BrokenBundle(str(error)) from error
    about = {} if usual else dict(zip(FIELDS, points.ends, strict=True))
    levels = _levels(frame, factors)
    plan = _Plan(frame, ratings, points, wording)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    with transaction.atomic():
        study.save()
        for name, text in wording.further.items():
            checked(Question(study=study, name=name, text=text)).save()
        plan.write(study, _stimuli(study, plan, levels), points)
        keep_origin(
            study,
            Import.Kind.RATINGS,
            digest,
            ordered="trial" in frame,
            timed=plan.timed,
            **about,
        )
    if notes is not None:
        of_factors = notes_of(columns_of(map(str, frame.columns)))
        notes += [it for it in ratings.notes if it not in of_factors]
        notes += [*wording.notes, *_not_taken(frame, levels)]
    return study


def _read(
    path: Path,
    *,
    scale: tuple[float, float] | None,
    step: float | None,
    rows: str | None,
    leave_out: Sequence[str],
) -> tuple[pd.DataFrame, Ratings]:
    """The file as it is, and the same with every row checked. Raises BrokenBundle."""
    from analysis.stats.frame import BrokenRatings, validate
    from analysis.stats.reading import read_ratings

    try:
        frame = read_ratings(path, rows=rows, leave_out=leave_out)
        if "choice" in frame and frame["choice"].notna().any():
            raise BrokenBundle(
                "The file has choices between two pictures; only ratings of single "
                "pictures can be imported. `python -m analysis.stats` analyses both."
            )
        for name in ("study", "dataset"):
            if name in frame and frame[name].nunique() > 1:
                raise BrokenBundle(
                    f"The file has {frame[name].nunique()} values of {name}: import "
                    "them one by one."
                )
        ratings = validate(
            frame,
            scale=scale,
            step=step,
            include_simulated=True,
            include_pilot=True,
            include_excluded=True,
        )
    except BrokenRatings as error:
        raise BrokenBundle(*error.sentences) from error
    except ValueError as error:  # a scale or a step that makes none
        raise BrokenBundle(str(error)) from error
    if not ratings.refused.empty:
        raise BrokenBundle(*ratings.refusals(most=len(ratings.refused)))
    return frame, ratings


# The scale and the questions --------------------------------------------------------


def _scale(ratings: Ratings) -> Scale:
    """The scale as the file has it; of a slider the finest step that was used."""
    low, high = Decimal(str(ratings.scale_min)), Decimal(str(ratings.scale_max))
    if ratings.step:
        return Scale(low, high, Decimal(str(ratings.step)), stated=True)
    given = ratings.frame["rating"].dropna().unique()
    exponents = [Decimal(str(it)).normalize().as_tuple().exponent for it in given]
    decimals = max([0, *(-it for it in exponents if isinstance(it, int))])
    if decimals > MOST_DECIMALS:
        raise BrokenScale(
            f"Some ratings have {decimals} decimals: round them to {MOST_DECIMALS}."
        )
    return Scale(low, high, Decimal(1).scaleb(-decimals), stated=True)


def _points_of(scale: Scale) -> int | None:
    """The points of the lab's own scale that it is, if it is one."""
    for points, words in USUAL.scales.items():
        if scale.ends == (min(words), max(words), 1):
            return points
    return None


@dataclass
class _Wording:
    """The questions: what the file calls each, its name here and its wording."""

    main: str = ""
    names: dict[str, str] = field(default_factory=dict)
    further: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, ratings: Ratings, asked: str) -> _Wording:
        """`asked` is the wording of the main question, if somebody said it.

        The main question is the one called overall, else the first. A name is made for
        those whose own can be none; the wording is then what the file calls them.
        """
        found = cls(main=asked)
        labels = _asked(ratings)
        first = "overall" if "overall" in labels or not labels else labels[0]
        found.names[first] = "overall"
        if first != "overall":
            found.main = asked or unguarded(first)
            found.notes.append(f"The question {first!r} is the main one, “overall”.")
        for label in labels:
            if label == first:
                continue
            text = unguarded(label)
            name = _question_name(text, {"overall", *found.further})
            if len(text) > 200:
                raise BrokenBundle(f"The question {text[:60]!r}… has over 200 letters.")
            found.names[label] = name
            found.further[name] = text
            if name != text:
                found.notes.append(f"The question {text!r} is called {name!r}.")
        if len(found.main) > 200:
            raise BrokenBundle(
                f"The question {found.main[:60]!r}… has over 200 letters."
            )
        return found


def _asked(ratings: Ratings) -> list[str]:
    """The questions under the file's own names, those of checks aside."""
    labels = [str(it) for it in ratings.questions if it is not None]
    if "question" in ratings.frame and "kind" in ratings.frame:
        rows = ratings.frame[(ratings.frame["kind"] != Trial.Kind.CATCH).to_numpy()]
        labels += [str(it) for it in rows["question"].dropna().unique()]
    return list(dict.fromkeys(labels))


def _question_name(text: str, taken: Iterable[str]) -> str:
    """A name for a question: its own where it can be one."""
    words = re.sub(r"[^a-z0-9]+", "_", text.casefold()).strip("_")
    if re.fullmatch(r"[a-z][a-z0-9_]{0,39}", text):
        words = text
    elif not words[:1].isalpha():
        words = f"question_{words}".strip("_")
    name, count = words[:40], 1
    while name in taken:
        count += 1
        name = f"{words[: 39 - len(str(count))]}_{count}"
    return name


# Factors ------------------------------------------------------------------------------


def _levels(frame: pd.DataFrame, wanted: Sequence[str]) -> dict[str, dict[str, str]]:
    """By factor the level of each stimulus that has one, as text.

    Raises BrokenBundle for a column that is none, that differs within a stimulus, or
    that is about people.
    """
    from analysis.stats.frame import known_columns

    columns = {unguarded(str(name)): str(name) for name in frame.columns}
    found: dict[str, dict[str, str]] = {}
    wrong = []
    for name in dict.fromkeys(wanted):
        column = columns.get(name) or columns.get(name.lower())
        if column is None:
            has = [it for it in columns if it not in known_columns()]
            wrong.append(
                f"There is no column {name!r} to be a factor; the file has "
                f"{', '.join(has) or 'none that could be one'}."
            )
        elif sentence := why_not(unguarded(column)) or _about_people(frame, column):
            wrong.append(sentence)
        else:
            try:
                found[unguarded(column)] = _by_stimulus(frame, column)
            except ValueError as error:
                wrong.append(str(error))
    if wrong:
        raise BrokenBundle(*wrong)
    return found


def _by_stimulus(frame: pd.DataFrame, column: str) -> dict[str, str]:
    pairs = frame.loc[frame[column].notna(), ["stimulus", column]].drop_duplicates()
    found: dict[str, str] = {}
    for stimulus, level in pairs.astype(str).itertuples(index=False):
        if stimulus in found:
            raise ValueError(
                f"{column!r} is no factor of the pictures: {stimulus} has "
                f"{found[stimulus]!r} in one row and {level!r} in another."
            )
        found[stimulus] = unguarded(level)
    return found


def _about_people(frame: pd.DataFrame, column: str) -> str:
    """Why a column must not be published with the pictures; empty if it may."""
    from analysis.stats.reading import ABOUT_PEOPLE, PEOPLE

    end = "Factors are published with the pictures: leave it out."
    if column in ABOUT_PEOPLE or column in PEOPLE:
        return f"{column!r} is about people by its name. {end}"
    known = frame.loc[frame[column].notna(), ["participant", column]].astype(str)
    values = known[column].unique()
    for what, pattern in PERSONAL.items():
        if any(map(pattern.fullmatch, values)):
            return f"{column!r} has what looks like {what}. {end}"
    if any(len(it) > LONGEST_LEVEL or "\n" in it for it in values):
        return f"{column!r} has whole sentences. {end}"
    people = known["participant"].nunique()
    each_has_one = people > 0 and len(known.drop_duplicates()) == people
    # Where two people share a picture, what differs between people differs within it.
    shared = frame[["participant", "stimulus"]].drop_duplicates()["stimulus"]
    if each_has_one and (len(values) == people or shared.is_unique):
        return (
            f"{column!r} has one value for each person, as an id or something about "
            f"them has. {end}"
        )
    return ""


def _not_taken(frame: pd.DataFrame, levels: Mapping[str, Any]) -> list[str]:
    from analysis.stats.frame import known_columns

    names = [unguarded(str(it)) for it in frame.columns if it not in known_columns()]
    left = [it for it in names if it not in levels and it != "seconds"]
    if not left:
        return []
    return [
        f"Not imported: {', '.join(left)}. A column becomes a factor of the pictures "
        "only when it is named as one."
    ]


# People, trials and ratings ----------------------------------------------------------


@dataclass
class _Shown:
    """One trial: what was shown to whom, and the answers by question."""

    person: str
    index: int
    kind: str
    stimulus: str
    second: str = ""
    side: str = ""
    expected: str = ""
    instructed: bool = False
    displayed_scale: float | None = None
    answers: dict[str, tuple[int, int | None, float]] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)

    @property
    def same(self) -> tuple[str, ...]:
        return self.kind, self.stimulus, self.second, self.side


class _Plan:
    """Everybody's trials as the file has them, checked, before anything is written."""

    def __init__(
        self, frame: pd.DataFrame, ratings: Ratings, scale: Scale, wording: _Wording
    ) -> None:
        self.people: dict[str, dict[str, Any]] = {}
        self.trials: dict[tuple[Any, ...], _Shown] = {}
        self.references: set[str] = set()
        self.timed = "seconds" in frame
        self._scale, self._wording = scale, wording
        self._times_asked: dict[tuple[Any, ...], int] = {}
        self._length: dict[str, int] = {}
        known = ratings.frame.to_dict("records")
        lines = list(frame.index)
        unread: list[Any] = [None] * len(known)
        if "passed" in frame:  # missing is not the same as false
            unread = [_text(it).lower() for it in frame["passed"]]
        wrong = []
        for line, row, passed in zip(lines, known, unread, strict=True):
            try:
                self._take({str(name): row[name] for name in row}, passed)
            except ValueError as error:
                wrong.append(f"Line {line}: {error}.")
        if wrong:
            raise BrokenBundle(*wrong)

    def _take(self, row: Mapping[str, Any], passed: str | None) -> None:
        person, stimulus = _text(row["participant"]), _text(row["stimulus"])
        self._person(person, row)
        if row.get("is_reference", False):
            self.references.add(stimulus)
        kind = _text(row.get("kind")) or "rating"
        label = _text(row.get("question"))
        question = self._wording.names.get(label, "overall")
        shown = _Shown(
            person,
            0,
            kind,
            stimulus,
            second=_text(row.get("second")),
            side=_text(row.get("side")),
            displayed_scale=_measured(row.get("displayed_scale")),
        )
        if shown.side not in ("", *Trial.Side.values):
            raise ValueError(f"{shown.side!r} is no side")
        if shown.second:
            self.references.add(shown.second)
        trial = self._trial(shown, question, row)
        if question in trial.asked:
            raise ValueError(
                f"trial {trial.index} of {person} answers {question!r} twice"
            )
        trial.asked.add(question)
        answer = None
        if row["rating"] == row["rating"]:  # not NaN
            answer = self._scale.kept(_exact(row["rating"]))
            spent = _measured(row.get("response_ms"))
            if spent is not None and not 0 <= spent < 2**31:
                raise ValueError(f"{spent:g} are no milliseconds of an answer")
            took = None if spent is None else round(spent)
            trial.answers[question] = answer, took, self._seconds(row)
        if kind == Trial.Kind.CATCH:
            self._check(trial, row, answer, passed)

    def _person(self, name: str, row: Mapping[str, Any]) -> None:
        said: dict[str, Any] = {
            "simulated": bool(row.get("simulated", False)),
            "pilot": bool(row.get("pilot", False)),
            "excluded": bool(row.get("excluded", False)),
            "exclusion_reason": unguarded(_text(row.get("exclusion_reason"))),
            "device_class": _text(row.get("device_class")) or "unknown",
            "study_version": _text(row.get("study_version")) or "1",
        }
        if said["device_class"] not in Participant.Device.values:
            raise ValueError(f"{said['device_class']!r} is no class of devices")
        if not re.fullmatch(r"[1-9][0-9]{0,8}(\.0+)?", said["study_version"]):
            raise ValueError(f"{said['study_version']!r} is no version of a study")
        if len(said["exclusion_reason"]) > 200:
            raise ValueError("a reason for leaving somebody out has 200 characters")
        if said != self.people.setdefault(name, said):
            unlike = [it for it in said if said[it] != self.people[name][it]]
            raise ValueError(f"{name} has another {', '.join(unlike)} than before")

    def _trial(self, shown: _Shown, question: str, row: Mapping[str, Any]) -> _Shown:
        """The trial a row belongs to: by its number, else by what was shown so far."""
        person = shown.person
        if "trial" in row:
            index = _measured(row["trial"])
            if index is None or index % 1 or not 0 <= index < 2**31:
                raise ValueError(
                    f"{_text(row['trial'])!r} is no place in a session: mend it, or "
                    "leave the column trial out"
                )
            key: tuple[Any, ...] = person, int(index)
            shown.index = int(index)
        else:
            asked = (*shown.same, person, question)
            self._times_asked[asked] = self._times_asked.get(asked, 0) + 1
            key = (*shown.same, person, self._times_asked[asked])
        trial = self.trials.get(key)
        if trial is None:
            self._length[person] = self._length.get(person, 0) + 1
            shown.index = shown.index if "trial" in row else self._length[person]
            self.trials[key] = shown
            return shown
        if trial.same != shown.same:
            raise ValueError(
                f"trial {shown.index} of {person} shows {trial.stimulus} and "
                f"{shown.stimulus}: where the numbers are no places in a session, "
                "leave the column trial out"
            )
        return trial

    def _seconds(self, row: Mapping[str, Any]) -> float:
        if not self.timed:
            return 0.0
        seconds = number(_text(row["seconds"]))
        if seconds is None or not abs(seconds) < 2**31:
            raise ValueError(f"{_text(row['seconds'])!r} are no seconds")
        return seconds

    def _check(
        self, trial: _Shown, row: Mapping[str, Any], answer: int | None, passed: Any
    ) -> None:
        """Keep what a check asked for, so that it is passed here as it was there."""
        text = _text(row.get("expected"))
        if (asked := number(text)) is None:
            raise ValueError("a catch trial says in “expected” which answer is right")
        expected = self._scale.kept(_exact(asked))
        trial.expected = str(expected)
        exact = answer == expected
        near = answer is not None and abs(answer - expected) <= 1
        said = _text(row.get("instructed")).lower()
        trial.instructed = said in ("true", "1", "yes") if said else True
        if answer is None or not passed:
            return
        truth = passed in ("true", "1", "1.0", "yes")
        if truth not in (exact, near):
            raise ValueError(
                f"a check that expects {text} and is answered {row['rating']:g} cannot "
                f"have passed = {passed}"
            )
        if truth != (exact if trial.instructed else near):
            if said:
                raise ValueError(
                    f"the check is instructed = {said}, which passed = {passed} denies"
                )
            trial.instructed = not trial.instructed

    def write(
        self, study: Study, stimuli: Mapping[str, Stimulus], scale: Scale
    ) -> None:
        """The rows, in the order in which people saw the pictures."""
        left = {it.person for it in self.trials.values() if not it.answers}
        people: dict[str, Participant] = {}
        for name, said in self.people.items():
            version = int(float(said["study_version"]))
            done = name not in left
            people[name] = Participant(
                **{**said, "study_version": version},
                study=study,
                number=len(people),
                status=Participant.Status.FINISHED
                if done
                else Participant.Status.DROPPED,
                finished_at=START if done else None,
                consent_sha256=study.consent_sha256(),
                token_sha256=token_hash(secrets.token_urlsafe(32)),
                seed=0,
                seen_at=START,
            )
        ends: dict[str, float] = {}
        trials, answers = [], []
        for place, shown in enumerate(self.trials.values()):
            times = [seconds for _, _, seconds in shown.answers.values()]
            if times:
                ends[shown.person] = max([*times, ends.get(shown.person, times[0])])
            trials.append(
                Trial(
                    participant=people[shown.person],
                    index=shown.index,
                    kind=shown.kind,
                    stimulus=stimuli[shown.stimulus],
                    second=stimuli[shown.second] if shown.second else None,
                    side=shown.side,
                    expected=shown.expected,
                    instructed=shown.instructed,
                    displayed_scale=shown.displayed_scale,
                    answered_at=START + timedelta(seconds=max(times))
                    if times
                    else None,
                )
            )
            for question, (kept, spent, seconds) in shown.answers.items():
                rating = Rating(
                    question=question,
                    rating=kept,
                    scale_min=scale.lowest,
                    scale_max=scale.highest,
                    response_ms=spent,
                    rated_at=START + timedelta(seconds=seconds),
                )
                answers.append((place, rating))
        for name, seconds in ends.items():
            if people[name].finished_at is not None:
                people[name].finished_at = START + timedelta(seconds=seconds)
        Participant.objects.bulk_create(people.values(), batch_size=500)
        study.participants.update(started_at=START)
        saved = Trial.objects.bulk_create(trials, batch_size=500)
        for place, rating in answers:
            rating.trial = saved[place]
        Rating.objects.bulk_create([it for _, it in answers], batch_size=500)


def _stimuli(
    study: Study, plan: _Plan, levels: Mapping[str, Mapping[str, str]]
) -> dict[str, Stimulus]:
    shown = dict.fromkeys(it.stimulus for it in plan.trials.values())
    beside = dict.fromkeys(it.second for it in plan.trials.values() if it.second)
    made = {}
    for written in shown | beside:
        label = unguarded(written)
        parameters = {"label": label} | {
            name: of[written] for name, of in levels.items() if written in of
        }
        made[written] = stimulus = Stimulus(
            study=study,
            width=0,
            height=0,
            parameters=parameters,
            is_reference=written in plan.references,
            rated=written in shown,
        )
        if CODE.fullmatch(label):
            stimulus.code = label
    Stimulus.objects.bulk_create(made.values(), batch_size=500)
    return made


def _text(value: Any) -> str:
    """A cell as text; empty for what is missing."""
    if value is None or value != value:
        return ""
    return value.strip() if isinstance(value, str) else str(value)


def _exact(value: float) -> Decimal:
    """The number as it was written, 9 and not 9.0."""
    return Decimal(f"{value:.12g}")


def _measured(value: Any) -> float | None:
    """A number of the reader's; None for what is missing."""
    if value is None or value != value or isinstance(value, str):
        return None
    return float(value)
