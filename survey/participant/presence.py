"""Find who holds a code, and the page they belong on; hold their rows."""

from __future__ import annotations

from django.db.models import F, Q, QuerySet

from survey.codes import token_hash
from survey.methods import SETTINGS
from survey.models import CHECKS, FormItem, Participant, Stimulus, Study
from survey.refusals import HasWithdrawn, UnknownCode


def participant_of(
    slug: str, token: str | None, *, rating: bool = False
) -> Participant | None:
    """Find who holds `token` at this address, unless they have withdrawn.

    Nobody of the pilot once it is over: they begin anew, and then it counts. With
    `rating` only what pages with pictures need is read, as they are most of what a
    study asks for.
    """
    if not token:
        return None
    held_by = Q(token_sha256=token_hash(token))
    found = taking_part(slug, held_by).prefetch_related("study__further_questions")
    return (found.only(*WHILE_RATING) if rating else found).first()


def moved_on(slug: str, token: str | None) -> Participant | None:
    """Find who held `token` at this address until another browser got a new one."""
    if not token:
        return None
    held_once = Q(former_tokens__token_sha256=token_hash(token))
    return taking_part(slug, held_once).first()


def taking_part(slug: str, who: Q) -> QuerySet[Participant]:
    return (
        Participant.objects.filter(who, study__slug=slug)
        .filter(Q(pilot=False) | Q(study__state=Study.State.PILOTING))
        .exclude(status=Participant.Status.WITHDRAWN)
        .select_related("study")
    )


WHILE_RATING = [
    "status", "language", "seed", "planned", "practice", "pilot", "simulated",
    "excluded", "form_done_at", "checks_done_at", "shown_at",
    *(
        f"study__{name}"
        for name in (
            "slug", "title", "welcome", "consent", "thanks", "language", "question",
            "experiment", "state", "method", *SETTINGS, "seed", "trials_each",
            "target_half_width", "reserve_minutes", "apart", "one_touch",
            "fit_to_viewport", "ask_comment", "contact", "source",
            *(f"check_{name}" for name in CHECKS),
        )
    ),
]  # fmt: skip
"""What is read of a participant and of their study while they rate."""


def picture_name(slug: str, token: str, code: str) -> str | None:
    """The file of a stimulus, if who holds `token` takes part where it is shown.

    One narrow look, for browsers ask for a picture with every answer.
    """
    status = Participant.Status
    return (
        Stimulus.objects.filter(
            code=code,
            study__slug=slug,
            study__participants__token_sha256=token_hash(token),
            study__participants__status__in=set(status) - {status.WITHDRAWN},
        )
        .values_list("picture", flat=True)
        .first()
    )


def place_of(participant: Participant) -> str:
    """The page a participant belongs on: before, checks, rate, after or thanks."""
    study = participant.study
    if participant.status == Participant.Status.FINISHED:
        return "thanks"
    if participant.form_done_at is None and form_items(study, "before"):
        return "before"
    if participant.checks_done_at is None and study.has_checks:
        return "checks"
    if participant.trials.filter(answered_at=None).exists():
        return "rate"
    return "after" if asks_after(study) else "thanks"


def form_items(study: Study, placement: str) -> list[FormItem]:
    return [item for item in study.form_items.all() if item.placement == placement]


def asks_after(study: Study) -> bool:
    return study.ask_comment or bool(form_items(study, "after"))


CHANGING = [
    "study", "status", "planned", "seed", "pilot", "simulated", "excluded",
    "form_done_at", "checks_done_at", "finished_at",
]  # fmt: skip
"""What is read again of a participant who is held."""


def hold(participant: Participant) -> Participant:
    """Let one request at a time change this participant's rows.

    A second post waits here and then sees what the first one wrote. On SQLite the
    IMMEDIATE transaction holds the whole database already.
    """
    held = (
        Participant.objects.select_for_update(of=("self",))
        .annotate(study_state=F("study__state"))
        .only(*CHANGING)
        .get(pk=participant.pk)
    )
    # All but the state is frozen while people take part, and need not be read again.
    held.study = participant.study
    held.study.state = held.study_state
    return held


def hold_present(participant: Participant) -> Participant:
    """Hold whoever sends something, as `hold` does, unless they have withdrawn
    meanwhile. Raises HasWithdrawn."""
    held = hold(participant)
    if held.status == Participant.Status.WITHDRAWN:
        raise HasWithdrawn
    return held


def resume(slug: str, code: str) -> Participant:
    """Find who goes on with this code on another device. Raises UnknownCode."""
    participant = participant_of(slug, code)
    if participant is None:
        raise UnknownCode
    return participant


def whose(slug: str, code: str) -> Participant:
    """Find who was given this code, to withdraw. Some codes only withdraw by now: those
    of the pilot, and those in whose place a platform's link gave out another. Raises
    UnknownCode."""
    digest = token_hash(code)
    found = (
        Participant.objects.filter(study__slug=slug)
        .filter(Q(token_sha256=digest) | Q(former_sha256=digest))
        .exclude(status=Participant.Status.WITHDRAWN)
        .select_related("study")
        .first()
    )
    if found is None:
        raise UnknownCode
    return found
