"""Expected refusals; every text is for the person who reads it."""

from __future__ import annotations


class SurveyRefusal(Exception):
    """An expected refusal, with the HTTP status of the page that says so."""

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


class InvitationNeeded(SurveyRefusal):
    status = 403


class BegunBefore(SurveyRefusal):
    """A consent form was sent again, later or after the first answer: perhaps by
    somebody else at the same computer. `answered`: whoever began has answered."""

    status = 409

    def __init__(self, *, answered: bool) -> None:
        super().__init__()
        self.answered = answered


class UnknownCode(SurveyRefusal):
    status = 404


class TooMany(SurveyRefusal):
    """More joins or codes from one place than people can cause."""

    status = 429


class CannotOpen(SurveyRefusal):
    """The study lacks something; the text lists what."""
