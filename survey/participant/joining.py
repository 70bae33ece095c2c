"""Let people in: consent, one-time links, platforms' links, forms sent again."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import Any

from django.core import signing
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import salted_hmac

from survey import planning
from survey.codes import CODE_LENGTH, READABLE, readable_code, token_hash
from survey.models import (
    DROPPED_AFTER,
    FormerToken,
    Invitation,
    Participant,
    Recruit,
    Study,
    Trial,
)
from survey.participant.presence import taking_part
from survey.refusals import BegunBefore, InvitationNeeded, NotJoining, StudyNotOpen

SIMULATED_SALT = "survey.simulated"
KEY_SALT = "survey.consent_key"

KEEP_RECRUITS = dt.timedelta(days=60)
"""How long a platform's id of somebody is kept, to bring them back and to pay them."""
JOIN_AGAIN = dt.timedelta(seconds=60)
"""How long a consent form that is sent again is a double click or a lost reply."""
KEEP_KEYS = dt.timedelta(days=1)
"""How long a consent form is known, to ask who sends it again."""


def simulated_mark(study: Study) -> str:
    """Sign what a simulated participant shows on joining, to be marked as one."""
    return signing.dumps(study.pk, salt=SIMULATED_SALT)


def _is_simulated(study: Study, mark: str) -> bool:
    try:
        return bool(mark) and signing.loads(mark, salt=SIMULATED_SALT) == study.pk
    except signing.BadSignature:
        return False


def consent_key() -> str:
    """A new key for one showing of the consent form: 192 random bits."""
    return secrets.token_urlsafe(24)


def _key_hash(key: str) -> str:
    """Hash the key of a consent form; "" for what `consent_key` never made."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{32}", key):
        return ""
    return hashlib.sha256(key.encode()).hexdigest()


@transaction.atomic
def join(
    study: Study,
    *,
    surroundings: Mapping[str, Any],
    simulated_mark: str = "",
    language: str = "en",
    invitation: str = "",
    recruit: tuple[str, str, str] | None = None,
    unfilled_link: bool = False,
    key: str = "",
    go_on: bool = False,
    instead: str = "",
) -> tuple[Participant, str]:
    """A new participant with their session planned, and their secret code.

    `surroundings` holds device_class, viewport and pixel_ratio as far as known;
    `recruit` is (platform, person, session) of a recruiting platform. Somebody whom
    the platform sends again gets their own session back, under a new code; the first
    one still withdraws. `unfilled_link`: a platform's link named nobody, and the
    researcher is told.

    `key` is the consent form's: sent again within JOIN_AGAIN and before anything was
    answered, or with `go_on` as long as nothing was answered, it gets the same session
    under the same code. A session that has shown nothing makes way for whoever comes by
    the same one-time link, or starts anew `instead` of the one begun with that key.
    Raises BegunBefore, StudyNotOpen and InvitationNeeded.
    """
    if recruit:
        _hold_recruited(study, recruit)
    # Held, so that numbers, quotas and one-time links are counted one by one.
    held = Study.objects.select_for_update(of=("self",)).get(pk=study.pk)
    now = timezone.now()
    simulated = _is_simulated(held, simulated_mark)
    begun = _begun_with(held, key, simulated=simulated)
    answered = begun is not None and _has_answered(begun)
    if begun and not answered and (go_on or _sent_just_now(begun, now)):
        return begun, _give_code(begun, key, now)
    if recruit and (known := recruited(held, recruit, simulated=simulated)):
        return known, _give_code(known, key, now)
    if begun:
        raise BegunBefore(answered=answered)
    by_link = held.source == Study.Source.INVITATION and not simulated
    link = _invitation(held, invitation) if by_link else None
    left = _left_unseen(held, link, instead, simulated=simulated)
    if reason := _refuses(held, left, now):
        raise StudyNotOpen(reason)
    if by_link:
        _use(link, left)
    pilot = held.state == Study.State.PILOTING
    participant = Participant(
        study=held,
        number=held.participants.filter(pilot=pilot, simulated=simulated).count(),
        study_version=held.version,
        consent_sha256=held.consent_sha256(),
        language=language,
        key_sha256=_key_hash(key),
        key_expires_at=now + KEEP_KEYS if _key_hash(key) else None,
        seed=secrets.randbits(62),
        pilot=pilot,
        simulated=simulated,
        unfilled_link=unfilled_link,
        **surroundings,
    )
    token = _new_code(participant, key)
    participant.token_sha256 = token_hash(token)
    former = _make_way(left, participant) if left else []
    participant.save()
    FormerToken.objects.bulk_create(
        [FormerToken(participant=participant, token_sha256=each) for each in former]
    )
    if link:
        Invitation.objects.filter(pk=link.pk).update(participant=participant)
    planning.plan(participant, held)
    if not participant.trials.filter(kind=Trial.Kind.RATING).exists():
        raise StudyNotOpen(NotJoining.FULL)
    if recruit:
        platform, person, session = recruit
        Recruit.objects.create(
            participant=participant,
            platform=platform,
            person=person,
            session=session,
            delete_on=(now + KEEP_RECRUITS).date(),
        )
    return participant, token


def _hold_recruited(study: Study, recruit: tuple[str, str, str]) -> None:
    """Hold whoever may come again before the study, as whoever answers does; in
    another order the two would wait for each other."""
    platform, person, _session = recruit
    known = Participant.objects.filter(
        study=study, recruit__platform=platform, recruit__person=person
    )
    known.hold_in_order()


def _begun_with(study: Study, key: str, *, simulated: bool) -> Participant | None:
    """Find whose session this very consent form began, at this address."""
    if not (key_sha256 := _key_hash(key)):
        return None
    made = Q(key_sha256=key_sha256, key_expires_at__gt=timezone.now())
    return taking_part(study.slug, made).filter(simulated=simulated).first()


def _sent_just_now(begun: Participant, now: dt.datetime) -> bool:
    expires = begun.key_expires_at
    return expires is not None and now < expires - KEEP_KEYS + JOIN_AGAIN


def _has_answered(participant: Participant) -> bool:
    """Look whether anything is stored that somebody said."""
    if participant.form_done_at or participant.checks_done_at:
        return True
    return participant.trials.filter(answered_at__isnull=False).exists()


def _new_code(participant: Participant, key: str) -> str:
    """A secret code: the same one whenever the same consent form is sent for the same
    session, for of two replies to a double click the browser keeps either cookie."""
    if not _key_hash(key):
        return readable_code(CODE_LENGTH)
    said = f"{participant.code}:{key}"
    digest = salted_hmac(KEY_SALT, said, algorithm="sha256").digest()
    number, letters = int.from_bytes(digest), []
    for _place in range(CODE_LENGTH):
        number, letter = divmod(number, len(READABLE))
        letters.append(READABLE[letter])
    return "".join(letters)


def _give_code(known: Participant, key: str, now: dt.datetime) -> str:
    """The code of somebody who comes again, in place of the one before."""
    token = _new_code(known, key)
    if known.token_sha256 == token_hash(token):
        return token
    retired = FormerToken(participant=known, token_sha256=known.token_sha256)
    FormerToken.objects.bulk_create([retired], ignore_conflicts=True)
    Participant.objects.filter(pk=known.pk).update(
        token_sha256=token_hash(token),
        former_sha256=known.former_sha256 or known.token_sha256,
        key_sha256=_key_hash(key),
        key_expires_at=now + KEEP_KEYS if _key_hash(key) else None,
    )
    return token


def _left_unseen(
    study: Study, link: Invitation | None, instead: str, *, simulated: bool
) -> Participant | None:
    """Find who was let in by the same one-time link and has seen no picture, or by the
    form that is started anew and has not said anything either. They are held, so that
    no picture is shown meanwhile; whose row somebody else holds is here, and not left.
    """
    pk = link.participant_id if link else None
    if pk is None and (begun := _begun_with(study, instead, simulated=simulated)):
        pk = None if _has_answered(begun) else begun.pk
    if pk is None:
        return None
    unseen = Participant.objects.select_for_update(of=("self",), skip_locked=True)
    left = (
        unseen.filter(pk=pk, shown_at=None, simulated=simulated)
        .exclude(status=Participant.Status.WITHDRAWN)
        .first()
    )
    answered = left and left.trials.filter(answered_at__isnull=False).exists()
    return None if answered else left


def _refuses(
    study: Study, left: Participant | None, now: dt.datetime
) -> NotJoining | None:
    """Ask `why_nobody_joins`; but a full study has the place that somebody leaves."""
    reason = why_nobody_joins(study)
    if reason != NotJoining.FULL or left is None or planning.is_complete(study):
        return reason
    holds_a_place = (
        left.counts
        and left.study_id == study.pk
        and left.status == Participant.Status.STARTED
        and left.seen_at > now - DROPPED_AFTER
    )
    return None if holds_a_place else reason


def _make_way(left: Participant, participant: Participant) -> list[str]:
    """Delete a session that has shown nothing, for `participant` in its place; returns
    the hashes of its codes, whose browsers are to be told."""
    pool = ("study_id", "pilot", "simulated")
    if all(getattr(left, name) == getattr(participant, name) for name in pool):
        participant.number = left.number
    former = left.former_tokens.values_list("token_sha256", flat=True)
    codes = {left.token_sha256, *former}  # a former one may be in use again
    left.delete()
    return sorted(codes)


def note_shown(participant: Participant) -> bool:
    """Somebody is shown their first picture: from here on their session is theirs, and
    who used which one-time link is forgotten. False if it made way for another one."""
    with transaction.atomic():
        row = Participant.objects.filter(pk=participant.pk)
        shown = row.update(shown_at=timezone.now())
        if participant.study.source == Study.Source.INVITATION:
            Invitation.objects.filter(participant=participant.pk).update(
                participant=None
            )
    return bool(shown)


def forget_keys(now: dt.datetime | None = None) -> int:
    """Forget the consent forms that can be sent again no more; returns how many."""
    expired = Participant.objects.filter(key_expires_at__lte=now or timezone.now())
    with transaction.atomic():
        expired.hold_in_order()
        return expired.update(key_sha256="", key_expires_at=None)


def why_nobody_joins(study: Study) -> NotJoining | None:
    """Ask `Study.refuses_joining`; also full where all pictures are precise enough."""
    if reason := study.refuses_joining():
        return reason
    return NotJoining.FULL if planning.is_complete(study) else None


def recruited(
    study: Study, recruit: tuple[str, str, str], *, simulated: bool = False
) -> Participant | None:
    """Find whom a recruiting platform sent to this study before, unless withdrawn.

    Nobody of the pilot once it is over: what they answered there does not count.
    """
    platform, person, _session = recruit
    return (
        Participant.objects.filter(
            study=study,
            recruit__platform=platform,
            recruit__person=person,
            pilot=study.state == Study.State.PILOTING,
            simulated=simulated,
        )
        .exclude(status=Participant.Status.WITHDRAWN)
        .first()
    )


def _invitation(study: Study, code: str) -> Invitation | None:
    """The one-time link with this code, used or not."""
    links = Invitation.objects.filter(study__slug=study.slug)
    return links.filter(token_sha256=token_hash(code)).first()


def _use(link: Invitation | None, left: Participant | None) -> None:
    """Use a one-time link up, unless whoever it let in makes way. Raises
    InvitationNeeded."""
    if link and left and left.pk == link.participant_id:
        return
    unused = Invitation.objects.filter(pk=link.pk, used=False) if link else None
    if unused is None or not unused.update(used=True):
        raise InvitationNeeded
