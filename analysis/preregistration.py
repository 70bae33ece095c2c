"""What a researcher fixes before the results are known, and the proof of when.

No pandas here: the web process freezes it, and a worker computes what it names.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from itertools import combinations, pairwise
from typing import Any

from django import forms
from django.db import transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from analysis.exports import PARAMETERS, own_factors
from analysis.models import Preregistration, Report
from analysis.stats.cells import csv_cell
from analysis.stats.flags import FAST_MS
from nstlab.core import csv_files
from survey.methods import method_of
from survey.models import Rating, Study, Trial
from survey.refusals import CannotOpen
from survey.studies.lifecycle import check_all_uploaded, hold, hold_people
from survey.studies.preflight import NO_FACTORS

FORMAT = 1
LEVEL = 0.95
MOST_LEVELS = 10
"""Of a factor with more levels only neighbours are offered as contrasts."""

SCREENS = {
    "none": "nobody by a rule",
    "bt500": "BT.500-14, as the recommendation reads",
    "bt500-reference": "BT.500, as the ITU's reference code computes",
    "p913": "P.913 Annex A: correlation below 0.75, one by one",
    "pearson": "correlation with the MOS (BT.1788), Pearson",
    "spearman": "correlation with the MOS (BT.1788), Spearman",
}
TESTS = {"t": "paired t", "wilcoxon": "Wilcoxon's signed ranks"}
CORRECTIONS = {
    "holm": "Holm within the contrasts of a factor",
    "holm-all": "Holm over all planned contrasts",
    "none": "none",
}


class CannotFreeze(Exception):
    """The plan cannot be written or frozen; the text says why."""


class BrokenRecord(ValueError):
    """A record that cannot be what a lab wrote; the text says why."""


# The plan --------------------------------------------------------------------------


def canonical(plan: Mapping[str, Any]) -> bytes:
    """The one way to write a plan: keys in order, no spaces, UTF-8."""
    return json.dumps(
        plan, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def sha256_of(plan: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical(plan)).hexdigest()


def factors_of(study: Study) -> dict[str, list[str]]:
    """The factors in which the rated pictures differ, each with its levels in order.

    Levels as they stand in a CSV. None for pairs: choices give one scale.
    """
    if study.method == Study.Method.PAIRS:
        return {}
    rated = study.stimuli.filter(rated=True, is_reference=False).order_by("pk")
    made = list(rated.values_list("parameters", flat=True))
    columns = {name: name for name in PARAMETERS} | own_factors(study)
    levels: dict[str, list[str]] = {}
    for name, column in columns.items():
        if name in NO_FACTORS:
            continue
        known = list({it.get(name) for it in made} - {None})
        if len(known) > 1:
            known.sort(key=_place)
            levels[column] = [csv_cell(value) for value in known]
    return levels


def _place(level: Any) -> tuple[bool, float, str]:
    """Numbers in their order, also those that are text; then words by name."""
    number = csv_files.number(str(level))
    return number is None, number or 0.0, str(level)


def possible_pairs(levels: list[str]) -> list[tuple[str, str]]:
    """The contrasts of a factor that can be planned."""
    return list(
        combinations(levels, 2) if len(levels) <= MOST_LEVELS else pairwise(levels)
    )


class PlanForm(forms.Form):
    """Hypotheses, whom to leave out, and which levels to compare."""

    hypotheses = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 6}),
        required=False,
        max_length=20_000,
        help_text="What you expect, in your own words, one a line.",
    )
    screening = forms.ChoiceField(
        label="People left out by rule",
        choices=SCREENS.items(),
        initial="none",
        help_text="The report applies it to its tables; screening.csv shows all.",
    )
    fast_ms = forms.IntegerField(
        label="Too fast, in milliseconds",
        min_value=0,
        max_value=60_000,
        initial=FAST_MS,
        help_text="Who answers most pictures faster is flagged in raters.csv.",
    )
    by_hand = forms.CharField(
        label="People left out by hand",
        widget=forms.Textarea(attrs={"rows": 3}),
        required=False,
        max_length=5000,
        help_text="For example: who misses both attention checks.",
    )
    test = forms.ChoiceField(choices=TESTS.items(), initial="t")
    correction = forms.ChoiceField(choices=CORRECTIONS.items(), initial="holm")

    def __init__(
        self, *args: Any, study: Study, plan: Mapping[str, Any], **kwargs: Any
    ) -> None:
        self.factors = factors_of(study)
        planned = plan.get("contrasts", {})
        chosen = [(it["factor"], it["a"], it["b"]) for it in planned.get("pairs", ())]
        initial = {
            "hypotheses": plan.get("hypotheses", ""),
            **plan.get("exclusion", {}),
            **{
                name: planned[name]
                for name in ("test", "correction")
                if name in planned
            },
        }
        super().__init__(*args, **kwargs)
        self.initial, self.label_suffix = initial, ""
        for number, (factor, levels) in enumerate(self.factors.items()):
            pairs = possible_pairs(levels)
            self.fields[f"pairs_{number}"] = forms.MultipleChoiceField(
                label=factor,
                required=False,
                widget=forms.CheckboxSelectMultiple,
                choices=[(json.dumps([a, b]), f"{a} against {b}") for a, b in pairs],
                initial=[json.dumps([a, b]) for f, a, b in chosen if f == factor],
            )

        if not self.factors:
            del self.fields["test"], self.fields["correction"]
        if study.method == Study.Method.PAIRS:  # no rule judges choices
            del self.fields["screening"], self.fields["fast_ms"]

    def sections(self) -> list[tuple[str, str, list[forms.BoundField]]]:
        """Heading, explanation and fields of each group, for the template."""
        compared = [f"pairs_{number}" for number in range(len(self.factors))]
        leaving_out = ("screening", "fast_ms", "by_hand")
        named = [
            ("Hypotheses", "", ["hypotheses"]),
            ("Who is left out", "", [it for it in leaving_out if it in self.fields]),
        ]
        if compared:
            named.append(
                (
                    "Planned contrasts",
                    "Differences of two levels of a factor, each person's ratings "
                    "averaged over the pictures of a level. Every comparison that is "
                    "not ticked here is exploratory.",
                    [*compared, "test", "correction"],
                )
            )
        return [(head, text, [self[name] for name in names])
                for head, text, names in named]  # fmt: skip

    def plan(self) -> dict[str, Any]:
        """The plan as it would be frozen now."""
        sent = self.cleaned_data
        pairs = [
            dict(zip(("factor", "a", "b"), (factor, *json.loads(pair)), strict=True))
            for number, factor in enumerate(self.factors)
            for pair in sent[f"pairs_{number}"]
        ]
        return {
            "format": "nstlab-preregistration",
            "format_version": FORMAT,
            "hypotheses": sent["hypotheses"].replace("\r\n", "\n"),
            "exclusion": {
                "screening": sent.get("screening", "none"),
                "fast_ms": sent.get("fast_ms", FAST_MS),
                "by_hand": sent["by_hand"].replace("\r\n", "\n"),
            },
            "contrasts": {
                "pairs": pairs,
                "test": sent.get("test", "t"),
                "correction": sent.get("correction", "holm"),
                "level": LEVEL,
            },
        }


# Writing and freezing ----------------------------------------------------------------


def of(study: Study) -> Preregistration | None:
    """The study's pre-registration, frozen or not."""
    return Preregistration.objects.filter(study=study).first()


def frozen(study: Study) -> Preregistration | None:
    """The study's pre-registration if it is frozen."""
    return Preregistration.objects.filter(study=study, frozen_at__isnull=False).first()


@transaction.atomic
def write(study: Study, plan: Mapping[str, Any]) -> Preregistration:
    """Keep a plan as a draft. Raises CannotFreeze once there is a frozen one."""
    row, _ = Preregistration.objects.get_or_create(study=study)
    _move(row, plan=dict(plan))
    return row


@transaction.atomic
def freeze(study: Study, *, by: Any) -> Preregistration:
    """Fix the plan for good, with who, when, and what was known by then.

    Raises CannotFreeze for an empty plan, for a contrast that the pictures do not
    have, while pictures of an archive are being taken in, and once it is frozen.
    """
    # Nobody answers and nobody changes the design between what is quoted and counted
    # here and the time that is written.
    hold_people(study)
    study = hold(study)
    try:
        check_all_uploaded(study)
    except CannotOpen as refused:  # what is counted now is not what will be shown
        raise CannotFreeze(str(refused)) from refused
    row, _ = Preregistration.objects.get_or_create(study=study)
    _check(study, row.plan)
    plan = row.plan | {"study": _facts(study)}
    frozen_at = timezone.now()
    ratings = ratings_so_far(study)
    seen = Report.objects.filter(
        study=study, state=Report.State.DONE, method__n_ratings__gt=0
    )
    _move(
        row,
        plan=plan,
        sha256=sha256_of(plan),
        frozen_at=frozen_at,
        frozen_by_id=by.pk,
        ratings_before=ratings,
        report_before=bool(ratings) and seen.exists(),
    )
    return row


def ratings_so_far(study: Study) -> int:
    """How many ratings count by now; pilots and simulated people never do."""
    return Rating.objects.filter(
        trial__participant__study=study,
        trial__participant__pilot=False,
        trial__participant__simulated=False,
        trial__kind=Trial.Kind.RATING,
    ).count()


def _move(row: Preregistration, **columns: Any) -> None:
    """Write columns of what is not frozen; nobody else writes them."""
    open_rows = Preregistration.objects.filter(pk=row.pk, frozen_at=None)
    if not open_rows.update(**columns):
        raise CannotFreeze(
            "It is frozen, and nothing of it can be changed. A new version of the "
            "study gets one of its own."
        )
    row.refresh_from_db()


def _check(study: Study, plan: Mapping[str, Any]) -> None:
    pairs = plan.get("contrasts", {}).get("pairs", [])
    if not pairs and not plan.get("hypotheses", "").strip():
        raise CannotFreeze("Say what you expect, or tick a contrast.")
    factors = factors_of(study)
    for pair in pairs:
        if not {pair["a"], pair["b"]} <= set(factors.get(pair["factor"], ())):
            raise CannotFreeze(
                f"No pictures differ in {pair['factor']} by {pair['a']} and "
                f"{pair['b']}: save the plan anew."
            )


def _facts(study: Study) -> dict[str, Any]:
    """The design at the moment of freezing, as the plan quotes it."""
    further = study.further_questions.values_list("text", flat=True)
    usual = str(method_of(study).default_question)
    return {
        "title": study.title,
        "version": study.version,
        "method": study.method,
        "scale_points": study.scale_points,
        "questions": [study.question or usual, *further],
        "pictures": study.stimuli.filter(rated=True, is_reference=False).count(),
        "participants": study.max_participants,
    }


# What is said about it ---------------------------------------------------------------


def record(row: Preregistration) -> dict[str, Any]:
    """A frozen plan with its proof, as it leaves the lab; the name of who froze it
    stays, for it is a person's."""
    frozen_at = row.frozen_at.isoformat() if row.frozen_at is not None else ""
    return {
        "plan": row.plan,
        "sha256": row.sha256,
        "frozen_at": frozen_at.replace("+00:00", "Z"),
        "ratings_before": row.ratings_before,
        "report_before": row.report_before,
    }


def restore(study: Study, given: Any) -> Preregistration:
    """A frozen pre-registration from its record. Raises BrokenRecord."""
    if not isinstance(given, dict) or not isinstance(given.get("plan"), dict):
        raise BrokenRecord("there is no plan in the pre-registration")
    plan = given["plan"]
    frozen_at = _moment(given.get("frozen_at"))
    if frozen_at is None:
        raise BrokenRecord("the pre-registration does not say when it was frozen")
    if sha256_of(plan) != given.get("sha256"):
        raise BrokenRecord("the pre-registration is not what its sha256 was made of")
    ratings = given.get("ratings_before")
    if not isinstance(ratings, int) or not 0 <= ratings < 2**31:
        raise BrokenRecord("the pre-registration does not say what was known by then")
    _check_words(plan)
    return Preregistration.objects.create(
        study=study,
        plan=plan,
        sha256=given["sha256"],
        frozen_at=frozen_at,
        ratings_before=ratings,
        report_before=given.get("report_before") is True,
    )


def _moment(text: Any) -> dt.datetime | None:
    """A time with its zone, in UTC; None for anything else."""
    try:
        found = parse_datetime(str(text))
        return found.astimezone(dt.UTC) if found and found.tzinfo else None
    except (ValueError, OverflowError):  # the 31st of February, or the year 0
        return None


def _check_words(plan: Mapping[str, Any]) -> None:
    """Refuse a plan that this program cannot carry out."""
    try:
        exclusion, planned = plan["exclusion"], plan["contrasts"]
        texts = plan.get("hypotheses", ""), exclusion.get("by_hand", "")
        numbers = planned["level"], exclusion["fast_ms"]
        known = (
            all(isinstance(it, str) for it in texts)
            and all(isinstance(it, int | float) for it in numbers)
            and exclusion["screening"] in SCREENS
            and planned["test"] in TESTS
            and planned["correction"] in CORRECTIONS
            and 0.5 <= float(planned["level"]) <= 0.999
            and 0 <= int(exclusion["fast_ms"]) <= 60_000
            and all(
                isinstance(pair[name], str)
                for pair in planned["pairs"]
                for name in ("factor", "a", "b")
            )
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        known = False
    if not known:
        raise BrokenRecord("the pre-registration names what cannot be computed here")


def options_of(row: Preregistration | None) -> dict[str, Any]:
    """The options of the report that a frozen plan decides."""
    if row is None:
        return {}
    return {
        "level": row.plan["contrasts"]["level"],
        "screen": row.plan["exclusion"]["screening"],
        "fast_ms": float(row.plan["exclusion"]["fast_ms"]),
    }


def pairs_of(row: Preregistration) -> list[tuple[str, str, str]]:
    """The planned contrasts: the factor's column and two levels."""
    columns = own_factors(row.study)
    return [
        (columns.get(pair["factor"], pair["factor"]), pair["a"], pair["b"])
        for pair in row.plan["contrasts"]["pairs"]
    ]


def statement(row: Preregistration) -> dict[str, Any]:
    """What a report says about a frozen plan, as JSON."""
    planned = row.plan["contrasts"]
    return {
        **{name: value for name, value in record(row).items() if name != "plan"},
        "intact": sha256_of(row.plan) == row.sha256,
        "test": planned["test"],
        "correction": planned["correction"],
        "contrasts": len(planned["pairs"]),
    }


def sentences(said: Mapping[str, Any] | None) -> list[str]:
    """A statement as prose; without one, what that means."""
    if not said:
        return ["Not pre-registered: every comparison is exploratory."]
    when = f"{said['frozen_at'][:10]} {said['frozen_at'][11:16]} UTC"
    n = said["ratings_before"]
    known = "before the first rating"
    if n:
        known = f"after {n} rating{'s' if n > 1 else ''} had been collected"
        if said["report_before"]:
            known += " and a report on them had been computed"
    found = [f"Pre-registered on {when} (sha256 {said['sha256']}), {known}."]
    if not said["intact"]:
        found.append(
            "The plan was altered after it was frozen: it does not have this sha256."
        )
    if said["contrasts"]:
        found.append(
            f"Planned contrasts: {said['contrasts']} ({TESTS[said['test']]}, "
            f"correction: {CORRECTIONS[said['correction']]}); every other comparison "
            "is exploratory."
        )
    else:
        found.append("No contrast was planned: every comparison is exploratory.")
    return found
