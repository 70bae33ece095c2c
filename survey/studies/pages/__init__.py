"""Researchers' pages about studies, besides the lists and forms of `admin.py`."""

from __future__ import annotations

from django.urls import URLPattern

from nstlab.core.pages import Page, address
from survey.studies.pages import (
    approvals,
    archive,
    copying,
    deletion,
    form_preset,
    invitations,
    poster,
    upload,
    version,
    wizard,
)


def urls() -> list[URLPattern]:
    """Addresses below `admin/survey/study/`."""

    def page(route: str, view: Page, name: str) -> URLPattern:
        return address(route, view, f"survey_study_{name}")

    return [
        page("wizard/", wizard.begin, "wizard"),
        page("<int:pk>/wizard/<str:step>/", wizard.show_step, "step"),
        page("<int:pk>/version/", version.version, "version"),
        page("<int:pk>/duplicate/", version.duplicate, "duplicate"),
        page("<int:pk>/archive/", archive.archive, "archive"),
        page("<int:pk>/delete-with-answers/", deletion.delete, "delete_with_answers"),
        page("<int:pk>/invitations/", invitations.invitations, "invitations"),
        page("<int:pk>/poster/", poster.poster, "poster"),
        page("<int:pk>/approvals/", approvals.approvals, "approvals"),
        page("<int:pk>/upload/", upload.upload, "upload"),
        page("<int:pk>/uploading/", upload.uploading, "uploading"),
        page("<int:pk>/form-preset/", form_preset.form_preset, "form_preset"),
        page("<int:pk>/take-in/", copying.show_copying, "copying"),
    ]
