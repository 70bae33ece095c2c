"""Renders are queued once more, and cancelled: what is said, and written down."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from generation.access import QUEUE
from generation.experiments.forecast import (
    missing_weights,
    number_of_renders,
    renders_are,
)
from generation.models import Experiment, Render, RenderQuerySet
from generation.pages.sheet import ticked, to_sheet
from generation.queueing.batches import retry_renders
from nstlab.core import history
from nstlab.core.access import VIEW
from nstlab.core.pages import about


@require_POST
@about(Experiment, VIEW, QUEUE)
def again(request: HttpRequest, experiment: Experiment) -> HttpResponse:
    """Queue renders that ended without a picture once more: those ticked, or all."""
    renders = experiment.renders.all()
    if "all" not in request.POST:
        renders = renders.filter(pk__in=ticked(request.POST))
    there = renders.ready().count() if "all" not in request.POST else 0
    queued = queue_again(request, renders)
    if queued:
        messages.success(request, f"{renders_are(queued)} queued again.")
    if there:
        messages.info(
            request,
            f"{renders_are(there)} done already. The same request paints the same "
            "picture, which a render's own page can show; for another one change its "
            "seed or a setting in an experiment of its own.",
        )
    elif queued == 0:
        messages.warning(
            request, "Tick renders that failed, were refused or were cancelled first."
        )
    page = request.POST.get("from", "")
    if page.isdecimal():
        return redirect("admin:generation_render_change", page)
    return to_sheet(request, experiment)


@require_POST
@about(Experiment, VIEW, QUEUE)
def cancel(request: HttpRequest, experiment: Experiment) -> HttpResponse:
    """Cancel what waits or is being painted."""
    cancel_renders(request, experiment.renders.all())
    return to_sheet(request, experiment)


def record_of_each(user: Any, renders: QuerySet[Render], sentence: str) -> None:
    """Write into the history of each experiment what happens to how many of its
    renders; `sentence` has a place for their number."""
    counted = renders.order_by().values_list("experiment").annotate(n=Count("pk"))
    numbers = dict(counted)
    for experiment in Experiment.objects.filter(pk__in=numbers):
        said = sentence.format(number_of_renders(numbers[experiment.pk]))
        history.record(user, experiment, said)


def queue_again(request: HttpRequest, renders: RenderQuerySet) -> int | None:
    """Queue those of `renders` that ended without a picture once more; how many. None,
    and a sentence, where no render host has the weights of some of them."""
    ended = renders.retriable()
    names = set(ended.order_by().values_list("weights", flat=True))
    if missing := missing_weights(names):
        messages.warning(request, f"{missing} Nothing was queued again.")
        return None
    record_of_each(request.user, ended, "{} queued again.")
    return retry_renders(renders)


def cancel_renders(request: HttpRequest, renders: RenderQuerySet) -> None:
    """Cancel what has not ended of `renders`, and say how many that were."""
    record_of_each(request.user, renders.unfinished(), "{} cancelled.")
    count = renders.cancel()
    if count:
        were = ngettext("was", "were", count)
        messages.success(request, f"{number_of_renders(count)} {were} cancelled.")
    else:
        messages.info(request, "Nothing is left to cancel.")
