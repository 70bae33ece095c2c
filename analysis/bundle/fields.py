"""The fields of a study that leave the lab with its bundle, and those that stay."""

from __future__ import annotations

from analysis.columns import PARTICIPANTS, SHARED_RATINGS, Column, fields_of
from survey.methods import SETTINGS

FORMAT = 1
PREREGISTRATION = "preregistration.json"


def of_a_trial() -> dict[str, Column]:
    """The shared columns that say the same under every question of a trial."""
    return {
        name: column
        for name, column in SHARED_RATINGS.items()
        if column.about == "trial"
    }


# What is shared of a row, and what is not. A new field must be put in one of the two,
# or be behind a shared column: tests/analysis/test_bundle.py sees to it.
SHARED: dict[str, tuple[str, ...]] = {
    "study": (
        "title", "version", "method", *SETTINGS, "question", "language", "welcome",
        "consent", "thanks", "controller", "contact", "ethics_reference", "minimum_age",
        "order", "block_by", "apart", "trials_each", "target_half_width",
        "reserve_minutes", "repeats", "instructed_catches", "break_every", "seed",
        "one_touch", "fit_to_viewport", "check_viewport", "check_brightness",
        "check_acuity", "check_colour", "ask_comment", "withdrawn_count",
        "purged_count",
    ),
    "stimulus": (
        "code", "width", "height", "pixel_sha256", "parameters", "rated",
        "is_reference", "reference", "training_order", "gold_answer", "picture",
    ),
    "participant": (
        *fields_of("", PARTICIPANTS),
        "language", "device_class", "checks",  # where enough people are alike
    ),
    "trial": ("participant", *fields_of("", of_a_trial())),
    "rating": ("trial", *fields_of("ratings__", SHARED_RATINGS)),
}  # fmt: skip
PRIVATE: dict[str, tuple[str, ...]] = {
    "study": (
        "id", "slug", "experiment", "all_renders", "chosen", "state", "source",
        "max_participants", "opens_at", "closes_at", "completion_code",
        "completion_url", "screenout_code", "screenout_url", "delete_on", "owner",
        "created_at", "opened_at", "closed_at", "archived_at",
    ),
    "stimulus": ("id", "study", "render", "random_features"),  # in its parameters
    "participant": (
        "id", "study", "token_sha256", "former_sha256", "number", "planned", "practice",
        "consent_sha256", "seed", "viewport", "pixel_ratio", "form_done_at",
        "checks_done_at", "pilot", "started_at", "seen_at", "unfilled_link",
        "shown_at", "key_sha256", "key_expires_at",
    ),
    "trial": (
        "id", "item", "repeat_of", "break_before", "break_ended_at", "load_failures",
        "answered_at",
    ),
    "rating": ("id", "client_id"),
}  # fmt: skip
STUDY_FIELDS = SHARED["study"]
STIMULUS_FIELDS = tuple(
    name for name in SHARED["stimulus"] if name not in ("reference", "picture")
)
DEMOGRAPHICS = ("variable", "answer", "n_participants")
