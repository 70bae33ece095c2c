"""Hold the rows of a study while they are read, checked and written; in which order.

Whoever answers holds their own row, then items, then the study, so whoever changes more
of them holds people before items before the study: in another order the two would wait
for each other.
"""

from __future__ import annotations

from survey.models import Study
from survey.refusals import CannotOpen

UNFROZEN = {Study.State.DRAFT, Study.State.PILOTING}


def check_unfrozen(study: Study) -> None:
    """Raises CannotOpen if what the study shows, asks and says is frozen."""
    if study.state not in UNFROZEN:
        raise CannotOpen(
            f"“{study}” is {study.state_in_words}: its pictures, questions and texts "
            "are frozen."
        )


def check_all_uploaded(study: Study) -> None:
    """Raises CannotOpen while pictures of an archive are being imported."""
    if study.uploads.filter(finished_at=None).exists():
        raise CannotOpen(
            f"Pictures of an archive are being imported for “{study}”: let that end, "
            "or cancel it."
        )


def hold_unfrozen(study: Study) -> Study:
    """The study as it stands now, held until the transaction ends.

    Whoever changes a study, its pictures, questions or texts reads, checks and writes
    them in the transaction that holds it: nobody opens it meanwhile, and nobody else
    changes it. Raises CannotOpen if it is frozen.
    """
    held = hold(study)
    check_unfrozen(held)
    return held


def hold(study: Study) -> Study:
    """The study as it stands now, frozen or not, held until the transaction ends."""
    return Study.objects.select_for_update(of=("self",)).get(pk=study.pk)


def hold_people(study: Study) -> None:
    """Hold everybody who has joined, before the study, as whoever answers does."""
    study.participants.hold_in_order()


def hold_address(study: Study, state: str) -> Study:
    """The study as it stands now, held with every version of it.

    Raises CannotOpen if another version at the address is in `state`: people who come
    would land in the pilot.
    """
    versions = Study.objects.select_for_update(of=("self",)).order_by("pk")
    held = {it.pk: it for it in versions.filter(slug=study.slug)}
    others = [it for it in held.values() if it.pk != study.pk and it.state == state]
    if others:
        raise CannotOpen(
            f"Version {others[0].version} is {others[0].state_in_words} at the same "
            "address: people who come now would land in the pilot. Close it first."
        )
    return held[study.pk]
