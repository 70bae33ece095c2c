from __future__ import annotations

from django.apps import AppConfig


class SurveyConfig(AppConfig):
    name = "survey"
    verbose_name = "Survey: studies, participants and ratings"
