"""Look for what somebody should know before a study opens, and where to mend it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from django.core.exceptions import ValidationError
from django.db.models import Q
from django.urls import reverse
from django.utils.translation import ngettext

from generation.engine.factors import FACTORS, as_levels
from generation.models import Render, SourceImage
from generation.models.renders import SHARES
from survey import planning
from survey.design import DesignError
from survey.design.effort import TYPICAL_SD, half_width_of, people_for
from survey.methods import CannotAsk, method_of
from survey.models import Item, Participant, Stimulus, Study
from survey.presets import P913_WORDS
from survey.studies.copying import as_stimulus, to_copy
from survey.studies.forms import FORMS
from survey.studies.lifecycle import lacking
from survey.studies.placeholders import placeholders
from survey.study_texts import faults_of_forms, form_blocks

USUAL_HALF_WIDTH = 0.25
"""On five points, where the study names none."""

LONG_SESSION = 30
"""Minutes from which people tire (ITU-T P.910 asks for breaks within half an hour)."""

TRANSLATED = {
    "title": "a title", "question": "the question", "welcome": "the welcome text",
    "consent": "the consent text", "thanks": "the thanks text",
}  # fmt: skip
"""What a translation may have, if the study itself has it."""

MOST_LOOKED_AT = 1000
"""Renders whose settings are read before they are taken in."""

MOST_RIGHTS = 10
"""Source images that are named one by one."""

# What a picture's parameters hold that a study does not vary on purpose.
NO_FACTORS = {
    "file", "label", "content_loss", "style_loss", "tv_loss", *SHARES,
    *(name for name, each in FACTORS.items() if each.replicate),
}  # fmt: skip


@dataclass(frozen=True)
class Remark:
    """One thing to know; `stops` if the study cannot open with it.

    `mend` says what can be done about it; where: a `step` of the wizard, or `address`.
    """

    text: str
    stops: bool = False
    mend: str = ""
    step: str = ""
    address: str = ""


def remarks(study: Study) -> list[Remark]:
    """Everything worth a look, what stops the study first."""
    shown = list(study.stimuli.select_related("reference").order_by("pk"))
    rated = [it for it in shown if it.rated and not it.is_reference]
    to_come = to_copy(study)
    coming = to_come.count()
    # What is not copied yet confounds and costs as much as what is.
    renders = to_come.select_related("content", "style").defer("curve", "traceback")
    all_rated = rated + [as_stimulus(study, it) for it in renders[:MOST_LOOKED_AT]]
    found = [
        Remark(
            f"It has not named {what}.",
            stops=True,
            mend="People read it before they agree. Write it into the texts.",
            step="texts",
        )
        for what in lacking(study)
    ]
    found += _about_placeholders(study)
    found += _about_pictures(study, rated, coming)
    found += _about_features(all_rated)
    found += _about_languages(study)
    found += _about_links(study)
    refused = list(_about_design(study))
    items: list[Item] | None = None
    if not refused:
        try:
            items = _items(study, shown)
        except _CannotPlan as error:
            refused.append(error.remark)
    found += refused
    found += _about_checks(study, shown)
    found += _about_rights(all_rated)
    found += _about_factors(study, all_rated)
    if items is not None and (number := len(items) or coming):
        found += _about_effort(study, shown, number)
    return sorted(found, key=lambda remark: not remark.stops)


def step_of(field: str) -> str:
    """The wizard's step with this field of a study, "" if it has none."""
    found = (step for step, form in FORMS.items() if field in form.base_fields)
    return next(found, "")


def _about_placeholders(study: Study) -> Iterator[Remark]:
    address = reverse("admin:survey_study_change", args=[study.pk])
    for field, where, words in placeholders(study):
        step = step_of(field)
        yield Remark(
            f"{where} has “{words}”, which stands for words still to be written.",
            stops=True,
            mend="Write what belongs there.",
            step=step,
            address="" if step else address,
        )


def _about_pictures(
    study: Study, rated: list[Stimulus], coming: int
) -> Iterator[Remark]:
    if under_way := study.uploads.filter(finished_at=None).first():
        left = under_way.waiting().count()
        yield Remark(
            f"Pictures of an archive are being imported: {left} are left.",
            stops=True,
            mend="Let that end, or cancel it.",
            address=reverse("admin:survey_study_uploading", args=[study.pk]),
        )
    elif not rated and not coming:
        mend = "Upload some, or begin with the pictures of an experiment."
        if study.experiment is not None:
            mend = "Choose some of the experiment's, or wait until they are painted."
        yield Remark("It has no pictures.", stops=True, mend=mend, step="pictures")
    if study.experiment is not None and study.all_renders:
        total = study.experiment.renders.count()
        if unfinished := total - study.experiment.renders.ready().count():
            sheet = "admin:generation_experiment_sheet"
            yield Remark(
                f"{unfinished} of {total} renders have no picture; the study would go "
                "without them.",
                mend="Wait for them or queue them again on the experiment's sheet, or "
                "choose the pictures yourself.",
                address=reverse(sheet, args=[study.experiment.pk]),
            )
    if coming:
        yield Remark(
            f"{coming} finished renders are copied when it opens.",
            mend="Choose among them if you do not want all.",
            step="pictures",
        )
    if empty := sum(not stimulus.picture for stimulus in rated):
        yield Remark(
            f"{empty} pictures have no file: people would see a gap.",
            stops=True,
            mend="Remove them, or copy them again.",
            step="pictures",
        )


def _about_features(rated: list[Stimulus]) -> Iterator[Remark]:
    if random := sum(stimulus.random_weights for stimulus in rated):
        yield Remark(
            f"{random} pictures were painted with random features, and say so.",
            mend="Fine for a demonstration. For results paint them with the ImageNet "
            "weights and choose those.",
            step="pictures",
        )


def _about_languages(study: Study) -> Iterator[Remark]:
    address = reverse("admin:survey_study_change", args=[study.pk])
    asked = {item.name: item for item in study.form_items.all()}
    further = study.further_questions.count()
    for own in study.translations.all():
        language = own.get_language_display()
        for fault in faults_of_forms(own):
            yield Remark(
                f"{language}: {fault}.",
                stops=True,
                mend="Write the block as the form has it: “name: the question”, then "
                "each option on a line.",
                address=address,
            )
        left = [
            words
            for field, words in TRANSLATED.items()
            if getattr(study, field) and not getattr(own, field)
        ]
        if len(list(filter(str.strip, own.further_questions.splitlines()))) < further:
            left.append("the further questions")
        there = form_blocks(own)
        left += [
            f"{name} in a form"
            for name, item in asked.items()
            if name not in there and item.text not in P913_WORDS
        ]
        if left:
            yield Remark(
                f"{language} lacks {', '.join(left)}: people read these in "
                f"{study.get_language_display()}.",
                mend="Translate them, or leave the language out.",
                address=address,
            )


def _about_links(study: Study) -> Iterator[Remark]:
    """Of whom a platform sent to this address, to a pilot or to earlier versions."""
    came = Participant.objects.filter(
        study__slug=study.slug, unfilled_link=True, simulated=False
    )
    if number := came.count():
        people = f"{number} {ngettext('person', 'people', number)}"
        yield Remark(
            f"{people} came by a recruiting platform's link whose placeholder, such as "
            "{{%PROLIFIC_PID%}}, was never filled in: nobody knows who they are there.",
            mend="Give the platform the link as docs/how-to/recruit.md has it, in the "
            "field where it fills in its own parameters, and try it from there.",
        )


def _about_design(study: Study) -> Iterator[Remark]:
    """List what the study's own checks refuse, field by field."""
    try:
        study.full_clean(validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        for field, reasons in error.message_dict.items():
            for reason in reasons:
                yield Remark(
                    f"{Study.label_of(field)}: {reason}",
                    stops=True,
                    mend="Change this, or what it collides with.",
                    step=step_of(field),
                    address=reverse("admin:survey_study_change", args=[study.pk]),
                )


class _CannotPlan(Exception):
    """There is no session of these pictures; `remark` says why."""

    def __init__(self, remark: Remark) -> None:
        self.remark = remark


def _items(study: Study, shown: list[Stimulus]) -> list[Item]:
    """Make the items of a session about the pictures there are. Raises _CannotPlan."""
    if not shown:
        return []
    if method_of(study).needs_references:
        shown = [*shown, *_references_to_come(shown)]
    try:
        items = planning.items_of(study, shown)
    except CannotAsk as refused:
        mend = "Choose other pictures, or another method."
        raise _CannotPlan(Remark(str(refused), True, mend, "question")) from refused
    for number, item in enumerate(items, start=1):
        item.pk = number  # as a plan on paper needs one; they are not saved
    try:
        planning.check(study, items)
    except DesignError as refused:
        mend = "Change checks and repeats, and which pictures are for what."
        raise _CannotPlan(Remark(str(refused), True, mend, "checks")) from refused
    return items


def _references_to_come(shown: list[Stimulus]) -> Iterator[Stimulus]:
    """The content images that opening will put beside pictures that lack theirs."""
    coming: dict[tuple[str, int, int], Stimulus] = {}
    for stimulus in shown:
        if stimulus.reference is None and stimulus.render_id is not None:
            content = str(stimulus.parameters.get("content"))
            key = content, stimulus.width, stimulus.height
            stimulus.reference = coming.setdefault(
                key, Stimulus(is_reference=True, parameters={"content": content})
            )
    yield from coming.values()


def _about_checks(study: Study, shown: list[Stimulus]) -> Iterator[Remark]:
    if not any(it.training_order is not None for it in shown):
        yield Remark(
            "Nobody practises: people find their scale while they already count.",
            mend="Mark a bad, a middling and a good picture for practice.",
            step="checks",
        )
    if not study.instructed_catches and all(it.gold_answer is None for it in shown):
        yield Remark(
            "Nothing shows whether somebody is paying attention.",
            mend="Two attention checks cost twenty seconds.",
            step="checks",
        )


def _about_rights(rated: list[Stimulus]) -> Iterator[Remark]:
    """Source images of which the lab does not know what may be done with them."""
    renders = [it.render_id for it in rated if it.render_id is not None]
    starts = Render.objects.filter(pk__in=renders, start__startswith="picture:")
    pixels = {
        start.removeprefix("picture:")
        for start in starts.values_list("start", flat=True).distinct()
    }
    used = SourceImage.objects.filter(
        Q(renders_of__in=renders)
        | Q(renders_in_style_of__in=renders)
        | Q(pixel_sha256__in=pixels)
    )
    doubtful = Q(licence="") | Q(consent=SourceImage.Consent.UNKNOWN)
    missing = used.filter(doubtful).distinct().order_by("title", "pk")
    for image in missing[:MOST_RIGHTS]:
        without = [] if image.licence else ["no licence"]
        if image.consent == SourceImage.Consent.UNKNOWN:
            without.append("no word on the consent of people in it")
        yield Remark(
            f"“{image.title}” has {' and '.join(without)}.",
            mend="Write down what you know; pictures without it stay out of the open "
            "data.",
            address=reverse("admin:generation_sourceimage_change", args=[image.pk]),
        )
    if (more := missing.count() - MOST_RIGHTS) > 0:
        yield Remark(
            f"{more} more source images lack a licence or a word on consent.",
            address=reverse("admin:generation_sourceimage_changelist"),
        )


def _about_factors(study: Study, stimuli: list[Stimulus]) -> Iterator[Remark]:
    """Levels with unequal numbers of pictures, factors that change together, and
    blocks of what does not vary."""
    made = [as_levels(stimulus.parameters) for stimulus in stimuli]
    names = {name for each in made for name in each}
    levels = {
        name: [_level(each.get(name)) for each in made]
        for name in sorted(names - NO_FACTORS)
    }
    # What some pictures do not say is no level: one level and gaps are no factor.
    varied = {
        name: values for name, values in levels.items() if len({*values} - {""}) > 1
    }
    blocked = study.order == Study.Order.BLOCKED and study.block_by
    if blocked and stimuli and len(set(levels.get(study.block_by, ()))) < 2:
        yield Remark(
            f"Blocks are to be made of “{study.block_by}”, which does not vary between "
            "the pictures.",
            stops=True,
            mend=f"Take one of these: {', '.join(varied)}."
            if varied
            else "Nothing varies: take another order.",
            step="people",
        )
    for name, values in varied.items():
        counts = Counter(filter(None, values))
        most, least = max(counts.values()), min(counts.values())
        if most != least and len(counts) < len(stimuli):
            yield Remark(
                f"{name} is unbalanced: from {least} to {most} pictures for a level.",
                mend="Choose as many pictures of each level, or compare levels with "
                "care.",
                step="pictures",
            )
    for a, b in combinations(varied, 2):
        cells = len(set(zip(varied[a], varied[b], strict=True)))
        fewer, more = sorted((a, b), key=lambda name: len(set(varied[name])))
        if cells > len(set(varied[more])):
            continue
        if cells == len(set(varied[fewer])):
            text = f"{a} and {b} always change together"
        elif cells < len(stimuli):
            text = f"Every level of {more} comes with one level of {fewer} only"
        else:
            continue  # each picture has a level of its own, as titles may be
        yield Remark(
            f"{text}: their effects cannot be told apart.",
            mend="Add pictures that combine their levels otherwise.",
            step="pictures",
        )


def _level(value: object) -> str:
    return "" if value is None else str(value)


def _about_effort(study: Study, shown: list[Stimulus], items: int) -> Iterator[Remark]:
    each = min(study.trials_each or items, items)
    trials = each + study.repeats + study.instructed_catches
    practised = [it for it in shown if it.training_order is not None]
    trials += len(method_of(study).practice(practised))
    trials += sum(it.gold_answer is not None for it in shown)
    questions = 1 + study.further_questions.count()
    seconds = method_of(study).seconds_a_trial
    minutes = max(1, round(trials * seconds * (1 + questions) / 2 / 60))
    long = f"{minutes} {ngettext('minute', 'minutes', minutes)}"
    text = f"A session is {trials} trials, about {long}."
    if minutes > LONG_SESSION:
        yield Remark(
            f"{text} People tire.",
            mend="Let each see fewer pictures, and offer breaks.",
            step="people",
        )
    else:
        yield Remark(text)
    if not method_of(study).has_interval:
        return
    sd = typical_sd(study)
    wished = study.target_half_width or usual_half_width(study)
    people = people_for(wished, sd=sd, items=items, each=each)
    supposing = f"if ratings of a picture have an SD of {sd:g}"
    yield Remark(
        f"For intervals of ± {wished:g} about {people} people are needed "
        f"({supposing}).",
        mend="The step has a table for other widths and SDs.",
        step="people",
    )
    quota = study.max_participants
    if quota is not None and quota < people:
        votes = quota * each // items
        reached = "no interval at all"
        if votes > 1:
            reached = f"intervals of about ± {half_width_of(votes, sd):.2f}"
        yield Remark(
            f"The study is full with {quota} people, which gives {reached} "
            f"({supposing}).",
            mend="Let more people in, or show each more pictures.",
            step="people",
        )


def scale_steps(study: Study) -> float:
    """From the least to the greatest answer, in rating points."""
    low, high = method_of(study).scale(study).bounds
    return high - low


def typical_sd(study: Study) -> float:
    """TYPICAL_SD, in points of the study's own scale."""
    return TYPICAL_SD * scale_steps(study) / 4


def usual_half_width(study: Study) -> float:
    """USUAL_HALF_WIDTH, in points of the study's own scale."""
    return USUAL_HALF_WIDTH * scale_steps(study) / 4
