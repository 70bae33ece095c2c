from __future__ import annotations

from django.apps import AppConfig


class AnalysisConfig(AppConfig):
    name = "analysis"
    verbose_name = "Analysis: reports"

    def ready(self) -> None:
        from analysis.exclusions import forget_reasons
        from analysis.reports.request import forget_withdrawn
        from survey.participant.leaving import ON_DELETED_ANSWERS

        ON_DELETED_ANSWERS.extend([forget_reasons, forget_withdrawn])
