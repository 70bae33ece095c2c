"""A study as a ZIP for everybody: the open-science bundle, a Psych-DS data set.

What leaves the lab is named in `analysis.bundle.fields`. Nobody's token, no platform's
id, no free text and no date does; small groups of people are merged until five are
alike. Runs in a worker or a command: it computes the report.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import IO, Any

from analysis.bundle.archive import ArchiveWriter
from analysis.bundle.fields import (
    DEMOGRAPHICS,
    FORMAT,
    PREREGISTRATION,
    STIMULUS_FIELDS,
    STUDY_FIELDS,
)
from analysis.bundle.licences import objections, sources, with_sources
from analysis.columns import PARTICIPANTS, SHARED_RATINGS
from analysis.exports import csv_lines, ratings_rows
from analysis.models import Import
from analysis.preregistration import freezing, record
from analysis.reports import compute, method_text, snapshot
from analysis.scales import FIELDS as SCALE_FIELDS
from analysis.stats.codebook import codebook, describe
from analysis.stats.writing import csv_text
from generation.engine.networks.weights import credit
from nstlab.core.storage import read_stored
from survey.models import FormItem, Participant, Stimulus, Study

FEWEST = 5  # people who must be alike in what is said about them


MERGED = "merged"


def write_bundle(
    study: Study,
    target: IO[bytes],
    *,
    include_simulated: bool = False,
    all_pictures: bool = False,
) -> None:
    """Write the study's bundle, as the study is at one moment, while people go on
    answering. The same data make the same bytes.

    `all_pictures` is the researcher's word that every picture may be published; else
    only those go in whose source images have an open licence and show nobody who has
    not agreed.
    """
    with snapshot.one_reading(), ArchiveWriter(target) as archive:
        study.refresh_from_db()
        tables = _tables(study)
        stem = f"study-{_ratings_sha256(study)[:10]}"
        for name, (columns, rows) in tables.items():
            archive.add_lines(
                f"data/{stem}_table-{name}_data.csv", csv_lines(columns, rows)
            )
        stimuli = [
            _stimulus(archive, stimulus, all_pictures=all_pictures)
            for stimulus in with_sources(study)
        ]
        computed = compute.compute(
            study,
            include_simulated=include_simulated,
            shared=True,
            pictures={each["code"] for each in stimuli if each["picture"]},
        )
        files = {f"data, {name}": columns for name, (columns, _) in tables.items()}
        for name, data in computed["files"].items():
            if name == "codebook.csv":
                described = csv_text(codebook(files)).encode()
                data = described + data.partition(b"\n")[2]
                archive.add("documentation/codebook.csv", data)
            else:
                archive.add(f"results/{name}", data)
        settings = {
            "format": "nstlab-bundle",
            "format_version": FORMAT,
            "software": computed["method"]["versions"] | {"django": version("django")},
            "study": {name: getattr(study, name) for name in STUDY_FIELDS},
            "questions": list(study.further_questions.values("name", "text")),
            "form": list(
                study.form_items.values(
                    "placement", "name", "text", "kind", "options", "required"
                )
            ),
            "stimuli": stimuli,
            "report": {"include_simulated": include_simulated},
            **_about_imported(study),
            "method": computed["method"],
        }
        archive.add_json("study.json", settings)
        if (plan := freezing.frozen(study)) is not None:
            archive.add_json(PREREGISTRATION, record.record(plan))
        archive.add_json("dataset_description.json", _psych_ds(study, tables))
        readme = _readme(study, stimuli, registered=plan is not None)
        archive.add("README.md", readme.encode())


# The data ---------------------------------------------------------------------

Rows = Iterator[dict[str, Any]]


def _tables(study: Study) -> dict[str, tuple[Sequence[str], Rows]]:
    people = list(
        study.participants.counted(simulated=True)
        .exclude(status=Participant.Status.WITHDRAWN)
        .prefetch_related("form_answers")
        .order_by("pk")
    )
    # Everybody can subtract simulated people, so they hide nobody.
    real = [person for person in people if not person.simulated]
    timed = not Import.objects.filter(study=study, timed=False).exists()
    answers = _answers(study, real)
    merged = {name: merge_small(each) for name, each in answers.items()}
    linked = linkable(merged)
    said = {
        person.pk: {name: merged[name][place] for name in linked}
        for place, person in enumerate(real)
    }
    return {
        "ratings": ([*SHARED_RATINGS], ratings_rows(study, shared=True)),
        "participants": (
            (*PARTICIPANTS, *linked),
            _participants(people, said, linked, timed=timed),
        ),
        "demographics": (DEMOGRAPHICS, _counts(merged)),
    }


def _about_imported(study: Study) -> dict[str, Any]:
    """The facts on the ratings of a study that came from a file."""
    origin = Import.objects.filter(study=study).first()
    if origin is None:
        return {}
    ends = (getattr(origin, name) for name in SCALE_FIELDS)
    return {
        "imported": {
            "ordered": origin.ordered,
            "timed": origin.timed,
            # Texts, so that a step of 0.1 is one.
            "scale": [format(it.normalize(), "f") for it in ends]
            if origin.scale_step is not None
            else None,
        }
    }


def _participants(
    people: Sequence[Participant],
    said: Mapping[int, Mapping[str, str]],
    linked: Sequence[str],
    *,
    timed: bool,
) -> Rows:
    """A row a person; `said` is what stands of the real ones under `linked`, by key."""
    nothing = dict.fromkeys(linked, "")
    for person in people:
        took = timed and person.finished_at and person.finished_at - person.started_at
        yield {
            **{it.name: getattr(person, it.field) for it in PARTICIPANTS.values()},
            "seconds": round(took.total_seconds(), 3) if took else None,
            **said.get(person.pk, nothing),
        }


def _answers(study: Study, people: Sequence[Participant]) -> dict[str, list[str]]:
    """The answers of each person, by variable; "" where there is none."""
    known: dict[str, list[str]] = {
        "device_class": [person.device_class for person in people],
        "language": [person.language for person in people],
    }
    for check in sorted({name for person in people for name in person.checks}):
        results = [str(person.checks.get(check, "")) for person in people]
        known[f"check_{check}"] = results
    place = {person.pk: number for number, person in enumerate(people)}
    for item in study.form_items.exclude(kind=FormItem.Kind.TEXT):
        known[f"form_{item.name}"] = [""] * len(people)
    for person in people:
        for given in person.form_answers.all():
            if f"form_{given.name}" in known:
                known[f"form_{given.name}"][place[person.pk]] = given.answer
    return known


def merge_small(answers: Sequence[str], fewest: int = FEWEST) -> list[str]:
    """The answers with every group below `fewest` people merged into one.

    Where the merged group is itself too small, the next smallest joins it; where all
    together are too few, nothing is said about anybody.
    """
    sizes = Counter(answers)
    small = {answer for answer, n in sizes.items() if n < fewest}
    rest = sorted(sizes.keys() - small, key=lambda answer: (sizes[answer], answer))
    while small and sum(sizes[answer] for answer in small) < fewest:
        if not rest:
            return [""] * len(answers)
        small.add(rest.pop(0))
    return [MERGED if answer in small else answer for answer in answers]


def linkable(variables: Mapping[str, Sequence[str]], fewest: int = FEWEST) -> list[str]:
    """The variables that may stand beside each person's answers, together.

    One after another is taken as long as everybody shares all of what is said with
    `fewest` people at least; the others are published as counts only.
    """
    chosen: list[str] = []
    for name in variables:
        tried = [variables[each] for each in (*chosen, name)]
        groups = Counter(zip(*tried, strict=True))
        if groups and min(groups.values()) >= fewest and len(set(tried[-1])) > 1:
            chosen.append(name)
    return chosen


def _counts(variables: Mapping[str, Sequence[str]]) -> Rows:
    for name, answers in variables.items():
        for answer, n in sorted(Counter(answers).items()):
            if answer or n < len(answers):
                yield {"variable": name, "answer": answer, "n_participants": n}


def _ratings_sha256(study: Study) -> str:
    digest = hashlib.sha256()
    for line in csv_lines(SHARED_RATINGS, ratings_rows(study, shared=True)):
        digest.update(line.encode())
    return digest.hexdigest()


def _stimulus(
    archive: ArchiveWriter, stimulus: Stimulus, *, all_pictures: bool
) -> dict[str, Any]:
    """The entry of a stimulus in study.json; its picture goes in if it may."""
    render = stimulus.render
    against = [] if all_pictures else objections(stimulus)
    picture = None
    if not stimulus.picture:
        against = ["the lab has no picture of it"]
    elif not against:
        try:
            data = read_stored(stimulus.picture).getvalue()
        except FileNotFoundError:
            against = ["its file is missing in the lab"]
        else:
            picture = f"materials/stimuli/{stimulus.code}.png"
            archive.add(picture, data)
    reference = stimulus.reference
    return {
        **{name: getattr(stimulus, name) for name in STIMULUS_FIELDS},
        "reference": reference.code if reference else None,
        "picture": picture,
        "left_out": "; ".join(against),
        "sources": [
            {"role": it.role, "title": it.title, "credit": it.credit,
             "licence": it.licence}
            for it in sources(stimulus)
        ],
        "provenance": render and {
            "request": render.digest,
            "settings": render.settings,
            "environment": render.environment,
            "seconds": render.seconds,
        },
    }  # fmt: skip


def _psych_ds(
    study: Study, tables: Mapping[str, tuple[Sequence[str], Rows]]
) -> dict[str, Any]:
    columns = dict.fromkeys(name for names, _ in tables.values() for name in names)
    variables = []
    for name in columns:
        about = describe(name)
        variable = {"@type": "PropertyValue", "name": name}
        variable["description"] = about["description"]
        if about["unit"]:
            variable["unitText"] = about["unit"]
        variables.append(variable)
    described: dict[str, Any] = {
        "@context": "https://schema.org/",
        "@type": "Dataset",
        "name": study.title,
        "description": f"Ratings of pictures: {method_text.scale_sentence(study)}.",
        "version": str(study.version),
        "measurementTechnique": method_text.scale_sentence(study),
        "variableMeasured": variables,
    }
    if study.controller:
        described["creator"] = {"@type": "Organization", "name": study.controller}
    return described


def _readme(
    study: Study, stimuli: Sequence[Mapping[str, Any]], *, registered: bool
) -> str:
    left_out = [each for each in stimuli if each["left_out"]]
    sampling = method_text.sampling_sentence(study)
    lines = [
        f"# {study.title}",
        "",
        f"{len(stimuli)} pictures, rated: {method_text.scale_sentence(study)}.",
        "",
        *([sampling, ""] if sampling else []),
        "| folder | what |",
        "| --- | --- |",
        "| data | every planned trial, people, counts of what they said |",
        "| materials/stimuli | the pictures that may be published |",
        "| results | tables and charts of the report |",
        "| documentation/codebook.csv | every column: type, unit, meaning |",
        "| study.json | settings, and how every picture was made |",
        *(
            [f"| {PREREGISTRATION} | what was fixed before the results, and when |"]
            if registered
            else []
        ),
        "| checksums.sha256 | `sha256sum --check checksums.sha256` |",
        "",
        "Times are seconds since a participant's own start. Nothing dates or names a "
        f"person, and what is said about people is shared by {FEWEST} real ones at "
        "least; smaller groups are called `merged`. Nothing is said about simulated "
        "participants.",
        "",
        "`manage.py import_bundle FILE` of NSTLab makes the study anew and computes "
        "the same tables.",
    ]
    names = {
        each["provenance"]["settings"].get("weights", "")
        for each in stimuli
        if each["provenance"]
    }
    if networks := sorted(names - {""}):
        lines += ["", "Networks that painted them:", ""]
        lines += [f"- `{name}`: {credit(name)}" for name in networks]
    if left_out:
        lines += ["", "Pictures that are not in here:", ""]
        lines += [f"- {each['code']}: {each['left_out']}" for each in left_out]
    return "\n".join(lines) + "\n"
