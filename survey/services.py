"""What happens in a study: freezing its pictures, joining, answering, withdrawing."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from django.core import signing
from django.core.files.base import ContentFile
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from PIL import Image

from generation.engine.images import pixel_sha256, png_bytes
from generation.models import Render
from generation.services import picture_bytes
from survey.design import random_order
from survey.models import Participant, Rating, Stimulus, Study, Trial, token_hash

SIMULATED_SALT = "survey.simulated"


class SurveyRefusal(Exception):
    """An expected refusal; the text is for the person who reads the page."""

    status = 400


class StudyNotOpen(SurveyRefusal):
    status = 410


class NotYourTrial(SurveyRefusal):
    status = 403


class NotOnTheScale(SurveyRefusal):
    status = 400


class AlreadyAnswered(SurveyRefusal):
    status = 409


class NotThereYet(SurveyRefusal):
    status = 409


class CannotOpen(SurveyRefusal):
    """The study lacks something; the text lists what."""


# The researcher's side --------------------------------------------------------


@transaction.atomic
def freeze_stimuli(study: Study) -> int:
    """Give the study its own copy of every finished render it does not show yet.

    Only in draft and pilot: what an open study shows never changes. Returns the
    number of new stimuli.
    """
    if study.state not in {Study.State.DRAFT, Study.State.PILOTING}:
        raise CannotOpen(f"“{study}” is {study.state}; its pictures are frozen.")
    shown = set(study.stimuli.values_list("render_id", flat=True))
    renders = study.experiment.renders.ready().exclude(pk__in=shown)
    added = 0
    for render in renders.select_related("content", "style"):
        with Image.open(picture_bytes(render.picture)) as picture:
            pixels = picture.convert("RGB")
        stimulus = Stimulus(
            study=study,
            render=render,
            width=pixels.width,
            height=pixels.height,
            pixel_sha256=pixel_sha256(pixels),
            parameters={
                "content": render.content.title,
                "style": render.style.title,
                **render.render_settings().columns(),
                **_losses(render),
            },
        )
        stimulus.picture.save("", ContentFile(png_bytes(pixels)), save=False)
        stimulus.save()
        added += 1
    return added


def _losses(render: Render) -> dict[str, float]:
    """The losses of the picture that was kept: the evaluation of least total."""
    kept = min(render.curve, key=lambda point: point["total"], default=None)
    if kept is None:
        return {}
    return {f"{term}_loss": kept[term] for term in ("content", "style", "tv")}


def open_study(study: Study) -> None:
    """Freeze the pictures and let participants in. Raises CannotOpen."""
    missing = [
        label
        for label, value in (
            ("a responsible person or body", study.controller),
            ("a contact", study.contact),
            ("an ethics reference", study.ethics_reference),
        )
        if not value.strip()
    ]
    if missing:
        raise CannotOpen(f"“{study}” cannot open without {', '.join(missing)}.")
    if study.state in {Study.State.DRAFT, Study.State.PILOTING}:
        freeze_stimuli(study)
    if not study.stimuli.exists():
        raise CannotOpen(
            f"“{study}” has no pictures: no render of “{study.experiment}” is done."
        )
    if not study.open():
        raise CannotOpen(f"“{study}” is already open.")


# The participant's side -------------------------------------------------------


def simulated_mark(study: Study) -> str:
    """What a simulated participant shows on joining, so that it is marked as one."""
    return signing.dumps(study.pk, salt=SIMULATED_SALT)


def _is_simulated(study: Study, mark: str) -> bool:
    try:
        return bool(mark) and signing.loads(mark, salt=SIMULATED_SALT) == study.pk
    except signing.BadSignature:
        return False


@transaction.atomic
def join(
    study: Study, *, surroundings: Mapping[str, Any], simulated_mark: str = ""
) -> tuple[Participant, str]:
    """A new participant with their whole session planned, and their secret token.

    `surroundings` holds device_class, viewport and pixel_ratio as far as known.
    """
    if not study.accepts_answers:
        raise StudyNotOpen("This study is not open.")
    token = secrets.token_urlsafe(32)
    participant = Participant.objects.create(
        study=study,
        token_sha256=token_hash(token),
        study_version=study.version,
        consent_sha256=study.consent_sha256(),
        seed=secrets.randbits(62),
        pilot=study.state == Study.State.PILOTING,
        simulated=_is_simulated(study, simulated_mark),
        **surroundings,
    )
    order = random_order(
        list(study.stimuli.order_by("pk")), seed=study.seed ^ participant.seed
    )
    Trial.objects.bulk_create(
        Trial(participant=participant, index=index, stimulus=stimulus)
        for index, stimulus in enumerate(order, start=1)
    )
    return participant, token


def participant_of(study: Study, token: str | None) -> Participant | None:
    """Who holds `token` in this study, unless they have withdrawn."""
    if not token:
        return None
    return (
        Participant.objects.filter(study=study, token_sha256=token_hash(token))
        .exclude(status=Participant.Status.WITHDRAWN)
        .first()
    )


def answer(
    participant: Participant,
    *,
    trial_pk: int,
    rating: int,
    client_id: str = "",
    response_ms: int | None = None,
) -> Rating:
    """Commit one answer, once.

    The first answer to a trial wins. The same answer again, from a double click, a
    reload or a retry, returns the first one. Raises AlreadyAnswered for a different
    one, NotYourTrial, NotThereYet, NotOnTheScale or StudyNotOpen.
    """
    if not 1 <= rating <= 5:
        raise NotOnTheScale("Please choose one of the five answers, 1 to 5.")
    with transaction.atomic():
        _hold(participant)
        trial = participant.trials.filter(pk=trial_pk).first()
        if trial is None:
            raise NotYourTrial("This picture is not part of your session.")
        if first := trial.ratings.first():
            return _replayed(first, rating)
        study = Study.objects.get(pk=participant.study_id)
        if not study.accepts_answers:
            raise StudyNotOpen(
                "This study is closed now. The answers you gave before are kept."
            )
        current = participant.next_trial()
        if current is None or current.pk != trial.pk:
            raise NotThereYet("This picture comes later in your session.")
        now = timezone.now()
        row = Rating.objects.create(
            trial=trial,
            rating=rating,
            client_id=client_id,
            response_ms=response_ms,
            rated_at=now,
        )
        Trial.objects.filter(pk=trial.pk).update(answered_at=now)
        if participant.next_trial() is None:
            Participant.objects.filter(
                pk=participant.pk, status=Participant.Status.STARTED
            ).update(status=Participant.Status.FINISHED, finished_at=now)
        return row


def _hold(participant: Participant) -> None:
    """Let one request at a time change this participant's rows.

    A second post waits here and then sees what the first one wrote. On SQLite the
    IMMEDIATE transaction holds the whole database already.
    """
    Participant.objects.select_for_update().filter(pk=participant.pk).first()


def _replayed(first: Rating, rating: int) -> Rating:
    if first.rating != rating:
        raise AlreadyAnswered(
            f"You have already answered this picture with {first.rating}. The first "
            "answer counts."
        )
    return first


@transaction.atomic
def withdraw(participant: Participant) -> None:
    """Delete a participant's answers and plan; what stays is that one withdrew."""
    _hold(participant)
    participant.trials.all().delete()
    moved = (
        Participant.objects.filter(pk=participant.pk)
        .exclude(status=Participant.Status.WITHDRAWN)
        .update(
            status=Participant.Status.WITHDRAWN,
            device_class=Participant.Device.UNKNOWN,
            viewport="",
            pixel_ratio=None,
        )
    )
    if moved and not participant.simulated and not participant.pilot:
        Study.objects.filter(pk=participant.study_id).update(
            withdrawn_count=F("withdrawn_count") + 1
        )
