"""Studies, what they show, and what people answered: one file for each thing.

`studies` first, then what belongs to a study (`texts`, `stimuli`, `uploads`), then its
people (`participants`, `recruiting`) and what they are asked (`trials`).
"""

from __future__ import annotations

# In the order in which pages list what belongs to a study.
# isort: off
from survey.models.studies import CHECKS, Study, language_choices, study_slug
from survey.models.texts import FormItem, Question, Translation
from survey.models.stimuli import Stimulus, stimulus_code, stimulus_path
from survey.models.uploads import Upload, UploadedPicture, archive_path
from survey.models.participants import (
    DROPPED_AFTER,
    FormAnswer,
    FormerToken,
    Participant,
    counted_people,
    included_people,
    participant_code,
)
from survey.models.recruiting import Invitation, Recruit
from survey.models.trials import Item, Rating, Trial
# isort: on

__all__ = [
    "CHECKS",
    "DROPPED_AFTER",
    "FormAnswer",
    "FormItem",
    "FormerToken",
    "Invitation",
    "Item",
    "Participant",
    "Question",
    "Rating",
    "Recruit",
    "Stimulus",
    "Study",
    "Translation",
    "Trial",
    "Upload",
    "UploadedPicture",
    "archive_path",
    "counted_people",
    "included_people",
    "language_choices",
    "participant_code",
    "stimulus_code",
    "stimulus_path",
    "study_slug",
]
