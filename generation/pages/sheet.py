"""The contact sheet of an experiment: as a page, while it is painted, as a file."""

from __future__ import annotations

import tempfile
from typing import Any
from urllib.parse import parse_qsl

from django.contrib import messages
from django.db.models import Count
from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    QueryDict,
)
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.text import slugify
from django.views.decorators.http import require_GET

from generation.access import QUEUE
from generation.contact_sheet.contents import (
    CHOICES,
    SHOWN,
    Sheet,
    read_sheet,
    settings_text,
    sheet_figures,
    tables,
)
from generation.contact_sheet.figure import (
    FigureTooLarge,
    check_number,
    write_pdf,
    write_png,
)
from generation.contact_sheet.layout import MOST_CELLS, Block
from generation.engine.judged import ratio, warning
from generation.engine.settings import RenderSettings
from generation.experiments.forecast import Rates, duration
from generation.models import Experiment, Render
from nstlab.core.access import VIEW, may
from nstlab.core.jobs import workers_of
from nstlab.core.pages import about, admin_page

MOST_COMPARED = 6
"""Renders that are shown side by side."""


@require_GET
@about(Experiment, VIEW)
def show(request: HttpRequest, experiment: Experiment) -> HttpResponse:
    """All renders of an experiment as pictures, in rows, columns and tables."""
    read = read_sheet(experiment, request.GET)
    number, blocks = _chosen_page(request, read)
    shown = tables(read, blocks)
    open_ones = [
        str(place.render.pk)
        for table in shown
        for row in table.rows
        for cell in row.cells
        for place in cell
        if place.render.status not in Render.TERMINAL
    ]
    return admin_page(
        request,
        "generation/sheet.html",
        Experiment,
        f"Renders of {experiment}",
        experiment=experiment,
        read=read,
        tables=shown,
        said=settings_text(read),
        selects=_selects(read),
        number=number,
        last=len(read.layout.pages),
        query=read.query,
        chosen=dict(parse_qsl(read.query)) | {"page": number},
        open=",".join(open_ones),
        may_queue=may(request.user, QUEUE, experiment),
        most_compared=MOST_COMPARED,
        cut=_cut(read.layout.shown(blocks)),
        **_progress(experiment),
    )


def _cut(keys: list[int]) -> dict[str, Any]:
    """How many of these renders were cut to another picture than was searched for, and
    the worst of them; those whose convention was published so do not count."""
    # `range` by itself is a lookup of Django's.
    free = {"settings__range__exact": "free", "status": "done", "pk__in": keys}
    ratios = [
        ratio(render.losses) or 0.0
        for render in Render.objects.filter(**free).only("settings", "losses")
        if warning(render.render_settings(), render.losses)
    ]
    return {"count": len(ratios), "worst": f"{max(ratios, default=0):.2f}"}


def _chosen_page(request: HttpRequest, read: Sheet) -> tuple[int, list[Block]]:
    pages = read.layout.pages
    asked = request.GET.get("page", "")
    number = min(max(1, int(asked)) if asked.isdecimal() else 1, max(1, len(pages)))
    return number, pages[number - 1] if pages else []


def _progress(experiment: Experiment) -> dict[str, Any]:
    counted = experiment.renders.order_by().values_list("status")
    states = dict(counted.annotate(count=Count("pk")))
    order = [value for value in Render.Status.values if value != "done"]
    unfinished = states.get("queued", 0) + states.get("running", 0)
    waiting = _time_left(experiment) if unfinished else {}
    return waiting | {
        "total": sum(states.values()),
        "done": states.get("done", 0),
        "states": {name: states[name] for name in order if states.get(name)},
        "unfinished": unfinished,
        "retriable": sum(states.get(name, 0) for name in Render.RETRIABLE),
    }


def _time_left(experiment: Experiment) -> dict[str, Any]:
    """How long the workers that are there would paint what is left, were it theirs
    alone."""
    alike = ("method", "network", "weights", "size", "evaluations")
    inside = ("settings__fit", "settings__precision")
    shape = (*inside, "content__width", "content__height")
    left = experiment.renders.unfinished().order_by().values(*alike, *shape)
    rates = Rates()
    seconds = 0.0
    for some in left.annotate(count=Count("pk")):
        count = some.pop("count")
        fit, precision, *content = (some.pop(name) for name in shape)
        some |= {"fit": fit, "precision": precision or "float32"}
        one = RenderSettings.from_dict({"alpha": 1.0, **some})
        seconds += count * rates.seconds(one, (content[0], content[1]))
    workers = workers_of("render")
    return {"workers": workers, "left": duration(seconds / max(1, workers))}


def _selects(read: Sheet) -> list[dict[str, Any]]:
    """The three selects above the sheet, as it is laid out now."""
    layout = read.layout
    choices = [("", "–"), *((it.name, it.label) for it in read.found.values())]
    now = (layout.rows, layout.columns, layout.facets[0] if layout.facets else None)
    labels = ("Rows", "Columns", "A table for each")
    return [
        {
            "name": name,
            "label": label,
            "choices": choices,
            "now": factor.name if factor else "",
        }
        for name, label, factor in zip(
            ("rows", "columns", "facets"), labels, now, strict=True
        )
    ]


@require_GET
@about(Experiment, VIEW)
def live(request: HttpRequest, experiment: Experiment) -> HttpResponse:
    """How far the experiment is, and those cells again that were still open."""
    cells = list(
        experiment.renders.filter(pk__in=numbers(request.GET.get("open", "")))
        .order_by("pk")
        .only(*SHOWN)[:MOST_CELLS]
    )
    open_ones = [each for each in cells if each.status not in Render.TERMINAL]
    context = {
        "experiment": experiment,
        "cells": cells,
        "open": ",".join(str(each.pk) for each in open_ones),
        **_progress(experiment),
    }
    return render(request, "generation/_live.html", context)


@require_GET
@about(Experiment, VIEW)
def export(request: HttpRequest, experiment: Experiment, kind: str) -> HttpResponseBase:
    """The sheet as a figure: the page shown as PNG, all pages as PDF."""
    if kind not in ("png", "pdf"):
        raise Http404("A sheet is taken along as PNG or PDF.")
    read = read_sheet(experiment, request.GET)
    number, blocks = _chosen_page(request, read)
    pages = [blocks] if kind == "png" else read.layout.pages
    if not blocks:
        messages.warning(request, "There is no render yet.")
        return redirect("admin:generation_experiment_sheet", experiment.pk)
    native = request.GET.get("side") == "native"
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the response closes it
    try:
        check_number(sum(len(read.layout.shown(page)) for page in pages))
        figures = sheet_figures(read, pages, native=native)
        if kind == "png":
            write_png(figures[0], file)
        else:
            write_pdf(figures, file)
    except FigureTooLarge as refused:
        file.close()
        messages.error(request, str(refused))
        address = reverse("admin:generation_experiment_sheet", args=[experiment.pk])
        return HttpResponseRedirect(f"{address}?{read.query}&page={number}")
    file.seek(0)
    name = slugify(experiment.name) or f"experiment-{experiment.pk}"
    page = f"-{number}" if kind == "png" and len(read.layout.pages) > 1 else ""
    return FileResponse(file, as_attachment=True, filename=f"{name}{page}.{kind}")


# What the sheet's form sends, to this page and to others ---------------------------


def numbers(text: str) -> list[int]:
    """The keys in a text, as `3,17,4`."""
    return [int(each) for each in text.split(",") if each.isdecimal()]


def ticked(data: QueryDict) -> list[int]:
    """The renders that were ticked, each once, as they came."""
    return list(dict.fromkeys(numbers(",".join(data.getlist("render")))))


def to_sheet(request: HttpRequest, experiment: Experiment) -> HttpResponse:
    """To the sheet, laid out as its form says it was."""
    address = reverse("admin:generation_experiment_sheet", args=[experiment.pk])
    chosen = {
        name: request.POST[name] for name in (*CHOICES, "page") if name in request.POST
    }
    return HttpResponseRedirect(f"{address}?{urlencode(chosen)}" if chosen else address)
