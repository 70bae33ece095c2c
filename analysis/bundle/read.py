"""A study from a file that a lab has made: an open-science bundle.

Whatever the file says is checked before a row is written, and everything is written or
nothing. The archive itself is looked over in `analysis.bundle.archive`.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError, models, transaction

from analysis.bundle.archive import ArchiveReader, BrokenBundle
from analysis.bundle.fields import (
    PREREGISTRATION,
    STIMULUS_FIELDS,
    STUDY_FIELDS,
    of_a_trial,
)
from analysis.columns import (
    DECIMAL,
    PARTICIPANTS,
    SHARED_RATINGS,
    Column,
    read_cells,
    read_number,
)
from analysis.models import Import
from analysis.preregistration import record
from analysis.scales import FIELDS, scale_of
from generation.engine.errors import ImageRefused
from generation.engine.factors import column_names
from generation.engine.pictures.files import open_picture, pixel_sha256
from nstlab.core import history
from survey.codes import token_hash
from survey.methods import Answers, method_of
from survey.methods.scales import BrokenScale, Scale
from survey.models import (
    FormItem,
    Participant,
    Question,
    Rating,
    Stimulus,
    Study,
    Trial,
)
from survey.studies.copying import (
    discarding_files,
    keep_with_references,
    write_picture,
)

# Imported times are seconds since each person's start; this stands for that start.
START = datetime(2000, 1, 1, tzinfo=UTC)
CODE = re.compile(r"[A-Za-z0-9_-]{1,20}")
# What a bundle does not say about a person.
EMPTY_OF_A_PERSON = (
    "study", "checks", "pixel_ratio", "finished_at", "form_done_at", "checks_done_at"
)  # fmt: skip
LONGEST_NAME = 1000  # characters of a factor in a bundle
KINDS: tuple[tuple[type[models.Field], tuple[type, ...], str], ...] = (
    (models.BooleanField, (bool,), "true or false"),
    (models.FloatField, (int, float), "a number"),
    (models.IntegerField, (int,), "a whole number"),
    (models.JSONField, (dict,), "an object"),
    (models.Field, (str,), "a text"),
)
"""The values in JSON of each kind of field: the first kind that a field is counts."""


def import_bundle(path: Path, *, owner: Any = None) -> Study:
    """Make the study of a bundle anew, closed, and mark it as imported.

    Raises BrokenBundle; then nothing was written, and no picture is left.
    """
    made: dict[str, Stimulus] = {}
    with discarding_files(made), ArchiveReader(path) as bundle, _as_a_bundle_has_it():
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        # Before the database is held: others write ratings meanwhile.
        _write_stimuli(bundle, made)
        about = _about_imported(bundle.settings)
        with transaction.atomic():
            study = _study_of(bundle, owner, made, about)
            keep_origin(study, Import.Kind.BUNDLE, digest, **about)
    return study


@contextmanager
def _as_a_bundle_has_it() -> Iterator[None]:
    """Raises BrokenBundle for what cannot be in a study."""
    try:
        yield
    except ValidationError as error:
        raise BrokenBundle(f"{reason_of(error)}.") from error
    except record.BrokenRecord as error:
        raise BrokenBundle(f"{str(error).capitalize()}.") from error
    except (IntegrityError, DataError) as error:
        raise BrokenBundle(
            f"The bundle contradicts itself, so that the database refuses it: {error}"
        ) from error


def _about_imported(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The facts on ratings that were imported before; none of a lab's own."""
    if "imported" not in settings:
        return {}
    given = settings["imported"]
    if not isinstance(given, dict) or not all(
        isinstance(given.get(name), bool) for name in ("ordered", "timed")
    ):
        raise BrokenBundle(
            "study.json: imported says of “ordered” and of “timed” true or false."
        )
    about = {name: given[name] for name in ("ordered", "timed")}
    if (ends := given.get("scale")) is None:
        return about
    if not isinstance(ends, list) or not all(
        isinstance(it, str) and DECIMAL.fullmatch(it) for it in ends
    ):
        raise BrokenBundle("study.json: the imported scale is no list of numbers.")
    if len(ends) != len(FIELDS):
        raise BrokenBundle("study.json: the imported scale has two ends and a step.")
    try:
        low, high, step = map(Decimal, ends)
        Scale(low, high, step, stated=True)
    except BrokenScale as broken:
        raise BrokenBundle(f"study.json: {broken}") from broken
    return about | dict(zip(FIELDS, map(Decimal, ends), strict=True))


def _study_of(
    bundle: ArchiveReader,
    owner: Any,
    stimuli: dict[str, Stimulus],
    about: Mapping[str, Any],
) -> Study:
    study = _study(bundle.settings, owner)
    _keep_stimuli(bundle, study, stimuli)
    people = _participants(bundle, study)
    scale = scale_of(study)
    if "scale_step" in about:
        if why := method_of(study).no_other_scale:
            raise BrokenBundle(f"study.json: {why}.")
        low, high, step = (about[name] for name in FIELDS)
        scale = Scale(low, high, step, stated=True)
    timed = about.get("timed", True)
    _answers(bundle, study, stimuli, people, scale, timed=timed)
    if PREREGISTRATION in bundle:
        record.restore(study, bundle.json(PREREGISTRATION))
    return study


def differences(path: Path, study: Study) -> list[str]:
    """The tables of the bundle's report that this lab computes otherwise: none."""
    from analysis.reports import compute

    with ArchiveReader(path) as bundle:
        simulated = bool(bundle.settings["report"]["include_simulated"])
        _, report = compute.build(study, include_simulated=simulated, shared=True)
        computed = compute.report_files(report)
        there = {
            name.removeprefix("results/"): bundle.read(name)
            for name in bundle.names("results")
            if name.endswith(".csv") and "/chart_" not in name
        }
    ours = {
        name for name in computed if name.endswith(".csv") and name != "codebook.csv"
    }
    return sorted(
        name for name in there.keys() | ours if there.get(name) != computed.get(name)
    )


def checked(row: models.Model, **exclude: Any) -> Any:
    """The row, once its fields have been cleaned. Raises ValidationError."""
    row.full_clean(validate_unique=False, validate_constraints=False, **exclude)
    return row


def _values_of(
    model: type[models.Model], given: Any, names: Iterable[str], what: str
) -> dict[str, Any]:
    """The values in study.json under these names of a model's fields, each of its kind.

    Raises BrokenBundle for what is missing or of another kind.
    """
    if not isinstance(given, dict):
        raise BrokenBundle(f"study.json: {what} is not an object.")
    values = {}
    for name in names:
        if name not in given:
            raise BrokenBundle(f"study.json: {what} has no {name!r}.")
        field, value = model._meta.get_field(name), given[name]
        kinds, word = next(it[1:] for it in KINDS if isinstance(field, it[0]))
        right = isinstance(value, kinds) and (bool in kinds or value is not True)
        right = right and (bool in kinds or value is not False)
        if not right and not (value is None and getattr(field, "null", False)):
            raise BrokenBundle(
                f"study.json: {name!r} of {what} is {str(value)[:40]!r} and must be "
                f"{word}."
            )
        values[name] = value
    return values


def _list_of(settings: Mapping[str, Any], name: str) -> list[Any]:
    given = settings.get(name)
    if not isinstance(given, list):
        raise BrokenBundle(f"study.json has no list of {name}.")
    return given


def _study(settings: Mapping[str, Any], owner: Any) -> Study:
    study = Study(
        **_values_of(Study, settings.get("study"), STUDY_FIELDS, "the study"),
        owner=owner,
        state=Study.State.CLOSED,
    )
    checked(study, exclude=["owner", "slug"]).save()
    seen = {"overall"}
    for given in _list_of(settings, "questions"):
        fields = _values_of(Question, given, ("name", "text"), "a question")
        if fields["name"] in seen:
            raise BrokenBundle(f"study.json: two questions are {fields['name']!r}.")
        seen.add(fields["name"])
        checked(Question(study=study, **fields)).save()
    study.clean()  # some designs do not go with several questions
    seen = set()
    for given in _list_of(settings, "form"):
        names = ("placement", "name", "text", "kind", "options", "required")
        fields = _values_of(FormItem, given, names, "a question of the form")
        if fields["name"] in seen:
            raise BrokenBundle(f"study.json: the form has {fields['name']!r} twice.")
        seen.add(fields["name"])
        checked(FormItem(study=study, **fields)).save()
    return study


def _write_stimuli(bundle: ArchiveReader, made: dict[str, Stimulus]) -> None:
    """Unsaved stimuli by code, each with its file if the bundle has its picture.

    What has been written is in `made`, also when a later one is refused.
    """
    for given in _list_of(bundle.settings, "stimuli"):
        fields = _values_of(Stimulus, given, STIMULUS_FIELDS, "a stimulus")
        stimulus = Stimulus(**fields)
        if not CODE.fullmatch(stimulus.code) or stimulus.code in made:
            raise BrokenBundle(f"{stimulus.code!r} is no code of one stimulus.")
        _check_parameters(stimulus)
        if not re.fullmatch(r"([0-9a-f]{64})?", stimulus.pixel_sha256):
            raise BrokenBundle(f"{stimulus.code} has no sha256 of its pixels.")
        unknown = ["study", "picture", "parameters", "render", "pixel_sha256"]
        checked(stimulus, exclude=unknown)
        made[stimulus.code] = stimulus
        if given.get("picture") is None:
            continue
        if given["picture"] != f"materials/stimuli/{stimulus.code}.png":
            raise BrokenBundle(
                f"The picture of {stimulus.code} must be "
                f"materials/stimuli/{stimulus.code}.png, or null."
            )
        _write_picture(stimulus, bundle.read(given["picture"]))


def _check_parameters(stimulus: Stimulus) -> None:
    for name, value in stimulus.parameters.items():
        if len(name) > LONGEST_NAME:
            raise BrokenBundle(
                f"A parameter of {stimulus.code} has a name of {len(name)} characters."
            )
        if isinstance(value, list | dict):
            raise BrokenBundle(
                f"{name[:40]!r} of {stimulus.code} is a list or an object; a parameter "
                "is one number, one text, true, false or null."
            )


def _write_picture(stimulus: Stimulus, data: bytes) -> None:
    try:
        pixels = open_picture(data).image
    except ImageRefused as refused:
        raise BrokenBundle(f"The picture of {stimulus.code}: {refused}") from refused
    if pixel_sha256(pixels) != stimulus.pixel_sha256:
        raise BrokenBundle(f"The picture of {stimulus.code} is another one.")
    write_picture(stimulus, pixels)


def _keep_stimuli(
    bundle: ArchiveReader, study: Study, stimuli: Mapping[str, Stimulus]
) -> None:
    for stimulus in stimuli.values():
        stimulus.study = study
    references = {
        given["code"]: given["reference"]
        for given in bundle.settings["stimuli"]
        if given.get("reference") is not None
    }
    for code, reference in references.items():
        if not isinstance(reference, str) or reference not in stimuli:
            raise BrokenBundle(f"{code} refers to {reference}, which is not there.")
    keep_with_references(stimuli, references)


def _participants(bundle: ArchiveReader, study: Study) -> dict[str, Participant]:
    rows: list[Participant] = []
    wrong = []
    seen = set()
    for line, given in bundle.table("participants", [*PARTICIPANTS]):
        try:
            code = given["participant"]
            if not CODE.fullmatch(code) or code in seen:
                raise ValueError(f"{code!r} is no code of one participant")
            seen.add(code)
            if given["status"] == Participant.Status.WITHDRAWN:
                raise ValueError(f"{code} withdrew, and must not be in a bundle")
            took = read_number(given["seconds"], float, empty=True)
            rows.append(
                checked(
                    Participant(
                        study=study,
                        code=code,
                        number=len(rows),
                        **read_cells(given, PARTICIPANTS),
                        finished_at=None if took is None else _after(took),
                        consent_sha256=study.consent_sha256(),
                        token_sha256=token_hash(secrets.token_urlsafe(32)),
                        language=study.language,
                        seed=0,
                        seen_at=START,
                    ),
                    exclude=EMPTY_OF_A_PERSON,
                )
            )
        except (ValueError, ValidationError) as error:
            wrong.append(f"Line {line} of the participants: {reason_of(error)}.")
    if wrong:
        raise BrokenBundle(*wrong)
    Participant.objects.bulk_create(rows, batch_size=500)
    study.participants.update(started_at=START)
    return {row.code: row for row in rows}


def _answers(
    bundle: ArchiveReader,
    study: Study,
    stimuli: Mapping[str, Stimulus],
    people: Mapping[str, Participant],
    scale: Scale,
    *,
    timed: bool,
) -> None:
    """Trials and ratings of the table, trial by trial."""
    asked = {"overall", *study.further_questions.values_list("name", flat=True)}
    wrong: list[str] = []
    trials: list[Trial] = []
    answers: list[tuple[int, Rating]] = []
    seen: set[tuple[str, int]] = set()
    of_trials, of_ratings = of_a_trial(), dict(SHARED_RATINGS)
    # How a picture was made is read where the stimuli are; and a factor may be newer.
    needed = [name for name in of_ratings if name not in column_names()]
    rows = bundle.table("ratings", needed)
    for (code, index), group in groupby(
        rows, key=lambda each: (each[1]["participant"], each[1]["trial"])
    ):
        trial: Trial | None = None
        answered: set[str] = set()
        shown: dict[str, str] = {}
        for line, row in group:
            try:
                if trial is None:
                    key = code, read_number(index, int, least=0)
                    if key in seen:
                        raise ValueError(f"trial {index} of {code} is not in one piece")
                    trial = _trial(
                        row, study, people, stimuli, key[1], scale, of_trials
                    )
                    seen.add(key)
                    trials.append(trial)
                    shown = {name: row[name] for name in of_trials}
                elif shown != {name: row[name] for name in of_trials}:
                    raise ValueError(f"trial {index} of {code} shows two things")
                if row["rating"] or row["choice"]:
                    rating = _rating(row, study, scale, asked, of_ratings, timed=timed)
                    if rating.question in answered:
                        raise ValueError(f"{rating.question!r} is answered twice")
                    answered.add(rating.question)
                    trial.answered_at = rating.rated_at
                    answers.append((len(trials) - 1, rating))
            except (ValueError, ValidationError) as error:
                wrong.append(f"Line {line} of the ratings: {reason_of(error)}.")
    if wrong:
        raise BrokenBundle(*wrong)
    saved = Trial.objects.bulk_create(trials, batch_size=500)
    ratings = []
    for place, rating in answers:
        rating.trial = saved[place]
        ratings.append(rating)
    Rating.objects.bulk_create(ratings, batch_size=500)


def _trial(
    row: Mapping[str, str],
    study: Study,
    people: Mapping[str, Participant],
    stimuli: Mapping[str, Stimulus],
    index: int,
    scale: Scale,
    columns: Mapping[str, Column],
) -> Trial:
    if row["participant"] not in people:
        raise ValueError(f"nobody is called {row['participant']!r}")
    if not row["stimulus"]:
        raise ValueError("it names no stimulus")
    for name in ("stimulus", "second"):
        if row[name] and row[name] not in stimuli:
            raise ValueError(f"there is no stimulus {row[name]!r}")
    if row["kind"] not in Trial.Kind.values:
        raise ValueError(f"{row['kind']!r} is no kind of trial")
    if row["side"] not in ("", *Trial.Side.values):
        raise ValueError(f"{row['side']!r} is no side")
    method = method_of(study)
    if why := method.refuses_trial(second=row["second"], side=row["side"]):
        raise ValueError(why)
    if len(row["expected"]) > 10:
        raise ValueError(f"{row['expected'][:40]!r} is no answer to a check")
    kept = read_cells(row, columns)
    expected = row["expected"]
    if scale.stated and expected:
        expected = str(scale.kept(Decimal(str(read_number(expected, float)))))
    elif row["kind"] == Trial.Kind.CATCH and method.sends_numbers:
        read_number(expected, int, empty=True)
    return Trial(
        participant=people[row["participant"]],
        index=index,
        stimulus=stimuli[row["stimulus"]],
        second=stimuli[row["second"]] if row["second"] else None,
        expected=expected,
        **kept,
    )


def _rating(
    row: Mapping[str, str],
    study: Study,
    scale: Scale,
    asked: set[str],
    columns: Mapping[str, Column],
    *,
    timed: bool,
) -> Rating:
    if row["question"] not in asked:
        raise ValueError(f"nobody asked {row['question']!r}")
    value = None
    if row["rating"]:
        read_number(row["rating"], float if scale.stated else int)
        value = scale.kept(Decimal(row["rating"]))
    if row["choice"] not in ("", *Rating.Choice.values) or (
        (value is None) == (row["choice"] == "")
    ):
        raise ValueError("there is one answer, a rating or a choice")
    given = Answers.CHOICES if value is None else Answers.RATINGS
    if given not in method_of(study).answers:
        raise ValueError("a choice is the answer to a pair, else there is a rating")
    return Rating(
        question=row["question"],
        rating=value,
        scale_min=scale.lowest,
        scale_max=scale.highest,
        **read_cells(row, columns, "ratings__"),
        rated_at=_after(read_number(row["seconds"], float)) if timed else START,
    )


def _after(seconds: float) -> datetime:
    # Before the start too: clocks are set back, and answers are stamped as they came.
    return START + timedelta(seconds=seconds)


def reason_of(error: ValueError | ValidationError) -> str:
    """The sentence of an error, with the field it is about; without its full stop."""
    if not isinstance(error, ValidationError):
        return str(error)
    named = getattr(error, "error_dict", {})
    found = [f"{name}: {it}" for name in named for it in named[name][0].messages]
    return "; ".join(found or error.messages).rstrip(".")


def keep_origin(study: Study, kind: Import.Kind, digest: str, **about: Any) -> None:
    """Write down which file a study came from and what is known `about` its ratings,
    also in its owner's history."""
    Import.objects.create(study=study, kind=kind, sha256=digest, **about)
    if study.owner is not None:
        said = f"Imported from a file ({kind.label}, sha256 {digest[:12]}…)."
        history.record(study.owner, study, said, new=True)
