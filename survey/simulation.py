"""Simulated participants with a stated truth, marked as simulated on every row."""

from __future__ import annotations

import random
from collections.abc import Callable

from django.conf import settings

from survey.client import InProcess, take_part
from survey.methods import method_of
from survey.models import Participant, Study, Trial
from survey.participant.joining import simulated_mark

BIAS_SD = 0.4
NOISE_SD = 0.8


def true_values(study: Study, *, seed: int) -> dict[str, float]:
    """Each stimulus's true quality by code, by seed and pixels.

    Uniform over the middle three quarters of the scale: 1.5–4.5 on 1–5.
    """
    low, high = method_of(study).range_of_truth(study)
    margin = (high - low) / 8
    return {
        code: random.Random(f"{seed}:{pixels}").uniform(  # noqa: S311
            low + margin, high - margin
        )
        for code, pixels in study.stimuli.values_list("code", "pixel_sha256")
    }


def rater(truth: dict[str, float], *, seed: int, number: int) -> Callable[[str], int]:
    """Somebody who says truth + own bias + noise, rounded; the page keeps it on the
    scale, for only what is offered can be answered."""
    draw = random.Random(f"{seed}:rater:{number}")  # noqa: S311
    bias = draw.gauss(0, BIAS_SD)
    return lambda code: round(truth[code] + bias + draw.gauss(0, NOISE_SD))


def simulate(
    study: Study,
    *,
    participants: int,
    seed: int,
    on_finished: Callable[[], None] = lambda: None,
) -> int:
    """Let simulated people answer until `participants` have finished; returns how many.

    Those already there count, so a second call adds nobody; half-played sessions of a
    run that was killed are taken away first.
    """
    people = Participant.objects.filter(study=study, simulated=True)
    broken = people.exclude(status=Participant.Status.FINISHED)
    Trial.objects.filter(participant__in=broken).delete()
    broken.delete()
    truth = true_values(study, seed=seed)
    present = people.count()
    host = next((name for name in settings.ALLOWED_HOSTS if name != "*"), "localhost")
    for number in range(present, participants):
        take_part(
            InProcess(host.lstrip("."), secure=settings.HTTPS),
            study.get_absolute_url(),
            choose=rater(truth, seed=seed, number=number),
            method=method_of(study),
            join_with={"simulated": simulated_mark(study)},
        )
        on_finished()
    return max(0, participants - present)
