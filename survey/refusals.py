"""Refusals that are expected; every text is for the person who reads it.

The texts are translated when they are read, into the language of the page that shows
them.
"""

from __future__ import annotations

from django.db.models import TextChoices
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class NotJoining(TextChoices):
    """The reasons why nobody can join a study now, and what people read then."""

    CLOSED = "closed", _("This study is closed.")
    EARLY = "early", _("This study has not begun yet.")
    LATE = "late", _("This study has ended.")
    FULL = "full", _("This study has all the answers it needs.")


class SurveyRefusal(Exception):
    """An expected refusal, with the HTTP status of the page that says so.

    `sentence` is what the person reads, unless whoever raises it says something else.
    """

    status = 400
    sentence: str | Promise = ""

    def __init__(self, sentence: str | Promise = "") -> None:
        super().__init__(sentence or self.sentence)


class StudyNotOpen(SurveyRefusal):
    """A study that takes nobody or no answers now; `why` says the reason."""

    status = 410

    def __init__(self, why: NotJoining) -> None:
        super().__init__(why.label)
        self.why = why


class NotYourTrial(SurveyRefusal):
    """An answer to a trial of somebody else's session, or of none."""

    status = 403
    sentence = _("This picture is not part of your session.")


class HasWithdrawn(NotYourTrial):
    """Something was sent by somebody who has withdrawn meanwhile."""

    sentence = _("You have withdrawn from this study.")


class NotOnTheScale(SurveyRefusal):
    """An answer that was not offered."""

    status = 400
    sentence = _("Please choose one of the answers offered.")


class AlreadyAnswered(SurveyRefusal):
    """Another answer to a trial than the one that is stored."""

    status = 409


class NotThereYet(SurveyRefusal):
    """An answer to a trial that comes after one without an answer."""

    status = 409
    sentence = _("This picture comes later in your session.")


class InvitationNeeded(SurveyRefusal):
    """Joining by no one-time link, or by one that was used."""

    status = 403
    sentence = _(
        "This study is by invitation, and this invitation is unknown or was "
        "used before. If you have begun, use the code you were shown then."
    )


class BegunBefore(SurveyRefusal):
    """A consent form was sent again, later or after the first answer: perhaps by
    somebody else at the same computer. `answered`: whoever began has answered."""

    status = 409

    def __init__(self, *, answered: bool) -> None:
        super().__init__()
        self.answered = answered


class UnknownCode(SurveyRefusal):
    """A code that was given to nobody in this study."""

    status = 404
    sentence = _("No session has this code. Please check it.")


class TooMany(SurveyRefusal):
    """More joins or codes from one place than people can cause."""

    status = 429
    sentence = _(
        "Too many people have come from your network just now. Please try again in an "
        "hour."
    )


class CannotOpen(SurveyRefusal):
    """The study lacks something; the text lists what."""


class CannotDelete(SurveyRefusal):
    """The study stays; the text says why."""
