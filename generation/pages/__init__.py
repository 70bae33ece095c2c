"""Researchers' pages about experiments, besides the lists and forms of `admin.py`."""

from __future__ import annotations

from django.urls import URLPattern

from generation.pages import compare, form, hosts, new, queue, render, sheet
from nstlab.core.pages import Page, address


def urls() -> list[URLPattern]:
    """Addresses below `admin/generation/experiment/`."""

    def page(route: str, view: Page, name: str) -> URLPattern:
        return address(route, view, f"generation_experiment_{name}")

    return [
        page("preset/", new.preset, "preset"),
        page("hosts/", hosts.show, "hosts"),
        page("hosts/<int:pk>/", hosts.fetch, "fetch"),
        page("pictures/", form.find_pictures, "pictures"),
        page("forecast/", form.live_forecast, "forecast_new"),
        page("<int:pk>/forecast/", form.live_forecast, "forecast"),
        page("<int:pk>/duplicate/", new.duplicate, "duplicate"),
        page("<int:pk>/sheet/", sheet.show, "sheet"),
        page("<int:pk>/sheet/live/", sheet.live, "live"),
        page("<int:pk>/again/", queue.again, "again"),
        page("<int:pk>/again/<int:number>/", render.reproduction, "reproduce"),
        page("<int:pk>/cancel/", queue.cancel, "cancel"),
        page("<int:pk>/compare/", compare.show, "compare"),
        page("<int:pk>/sheet.<slug:kind>", sheet.export, "export"),
    ]
