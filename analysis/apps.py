from __future__ import annotations

from django.apps import AppConfig


class AnalysisConfig(AppConfig):
    name = "analysis"
    verbose_name = "Analysis: reports"

    def ready(self) -> None:
        from analysis.exclusions import forget_reasons
        from analysis.reports.request import forget_withdrawn
        from survey.signals import answers_withdrawn

        answers_withdrawn.connect(forget_reasons, dispatch_uid="analysis.exclusions")
        answers_withdrawn.connect(forget_withdrawn, dispatch_uid="analysis.reports")
