"""One render: what its page says, and whether it comes out again."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from generation.access import QUEUE
from generation.contact_sheet.contents import read_sheet
from generation.engine.judged import MOST_OFF, belongs, ratio, warning
from generation.loss_chart import chart
from generation.models import Experiment, Render
from generation.pages.queue import record_of_each
from generation.pages.sheet import numbers
from generation.queueing.reproduction import reproduce
from nstlab.core.access import VIEW, may, seen_by
from nstlab.core.jobs import workers_of
from nstlab.core.pages import about

MOST_REPRODUCTIONS = 5
# A render's columns that a list need not read.
LONG = ("settings", "curve", "environment", "traceback")


def about_render(request: HttpRequest, row: Render) -> dict[str, Any]:
    """What a render's own page says besides its columns: its place in the sheet, its
    losses, whom it shares its picture with and what may be done."""
    read = read_sheet(row.experiment, request.GET)
    before, after = read.layout.around(row.pk)
    sharing = Render.objects.filter(reused_from=row.reused_from_id or row.pk)
    if row.reused_from_id:
        sharing |= Render.objects.filter(pk=row.reused_from_id)
    sharing = sharing.exclude(pk=row.pk).select_related("experiment").defer(*LONG)
    seen = seen_by(request.user, sharing)
    settings = row.render_settings()
    if settings.balance is not None:
        settings = settings.with_alpha(row.alpha or 0.0)
    weights = settings.how.weights_of_terms(settings)
    # Of a picture painted before it was judged: the end of its search.
    ended = row.losses.get("picture") or (row.curve[-1] if row.curve else {})
    off = ratio(row.losses)
    shared_with = list(seen[:10])
    return {
        "before": before,
        "after": after,
        "query": read.query,
        "chart": chart(row.curve, weights),
        "ended": {
            name: f"{value:.4g}"
            for name in ("total", *weights)
            if (value := ended.get(name)) is not None
        },
        "searched": off
        and {
            "total": f"{row.losses['search']['total']:.4g}",
            "ratio": f"{off:.3f}" if off < 1.1 else f"{off:.2f}",
            "is_published": belongs(settings) and off > MOST_OFF,
        },
        "off": warning(settings, row.losses),
        "shared_with": shared_with,
        "shared_more": sharing.count() - len(shared_with),
        "retriable": row.status in Render.RETRIABLE,
        "may_queue": may(request.user, QUEUE, row),
        **of_render(row),
    }


@about(Experiment, VIEW, to_post=QUEUE)
def reproduction(
    request: HttpRequest, experiment: Experiment, number: int
) -> HttpResponse:
    """What came out when a done render was painted once more; posted to, that is
    asked for."""
    row = get_object_or_404(experiment.renders.defer(*LONG), pk=number)
    if request.method != "POST":
        context = {
            "original": row,
            "may_queue": may(request.user, QUEUE, experiment),
            **of_render(row),
        }
        return render(request, "generation/_reproductions.html", context)
    if "stop" in request.POST:
        for each in row.reproductions.filter(pk__in=numbers(request.POST["stop"])):
            each.fail("It was stopped.")
    elif reproduce(row):
        asked = experiment.renders.filter(pk=number)
        record_of_each(request.user, asked, "{} painted to compare.")
    elif row.status == Render.Status.DONE:
        messages.info(request, "It is being painted again already.")
    else:
        messages.warning(request, "There is no picture yet to compare with.")
    return redirect("admin:generation_render_change", number)


def of_render(row: Render) -> dict[str, Any]:
    """The latest reproductions of a render, for templates."""
    found = list(row.reproductions.all()[:MOST_REPRODUCTIONS])
    return {
        "reproductions": found,
        "being_reproduced": any(each.ended_at is None for each in found),
        "workers": any(not each.worker for each in found) and workers_of("render"),
    }
