"""Researchers' pages about what came out of a study, and the files beside them."""

from __future__ import annotations

from django.urls import URLPattern, register_converter
from django.urls.converters import StringConverter

from analysis.pages import (
    bundles,
    monitor,
    participants,
    preregistration,
    ratings,
    report,
)
from analysis.reports.parts import NAMES
from nstlab.core.pages import Page, address


class PartConverter(StringConverter):
    """The name of a part of the report in an address."""

    regex = "|".join(NAMES)


register_converter(PartConverter, "part")


def urls() -> list[URLPattern]:
    """Addresses below `admin/analysis/report/`."""

    def page(route: str, view: Page, name: str) -> URLPattern:
        return address(f"study/<int:pk>/{route}", view, f"analysis_{name}")

    return [
        page("", report.show, "report_study"),
        page("<part:part>/", report.show, "report_part"),
        page("again/", report.compute_again, "report_again"),
        page("awaited/<int:report>/", report.awaited, "awaited"),
        page("monitor/", monitor.show, "monitor"),
        page("monitor/suspects/", monitor.suspects, "suspects"),
        page("participants.csv", participants.as_csv, "participants_csv"),
        page("participants/", participants.everybody, "participants"),
        page("participants/<str:code>/", participants.one, "participant"),
        page("share/", bundles.show, "share"),
        page("share/<int:bundle>.zip", bundles.file, "bundle_file"),
        page("preregistration/", preregistration.show, "preregistration"),
        page("preregistration.json", preregistration.as_json, "preregistration_json"),
        page("ratings_long.csv", ratings.ratings_long, "ratings_long"),
        page("ratings_matrix.csv", ratings.ratings_matrix, "ratings_matrix"),
        page("<str:name>", report.file_of_present, "report_file"),
        # A chart of an older report may have a slash in its name.
        address("file/<int:pk>/<path:name>", report.kept_file, "analysis_kept_file"),
    ]
