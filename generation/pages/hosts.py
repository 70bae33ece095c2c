"""The render hosts: what each has to paint with, and the trained network for one that
lacks it."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from generation.access import FETCH
from generation.engine.networks.fetching import IMAGENET_WHEEL, NETWORK_OF_VGG
from generation.engine.networks.weights import IMAGENET, describe
from generation.models import Experiment, WeightsAtHost, WeightsFetch
from generation.queueing import fetching
from nstlab.core import history
from nstlab.core.access import VIEW, may
from nstlab.core.pages import admin_page, ask


@dataclass(frozen=True)
class HostLine:
    """A host as its page shows it: the weights it has, in words and by their names;
    which of the lab's it lacks; how the last try to bring them went."""

    row: WeightsAtHost
    names: list[tuple[str, str]]
    lacks: str
    fetch: WeightsFetch | None

    @property
    def under_way(self) -> bool:
        return self.fetch is not None and self.fetch.ended_at is None


def host_lines() -> list[HostLine]:
    """All render hosts, by name."""
    wanted = WeightsAtHost.objects.with_values(IMAGENET, "vgg16") or IMAGENET
    latest = {each.host: each for each in WeightsFetch.objects.order_by("pk")}
    return [
        HostLine(
            row=row,
            names=[(told["words"], name) for name, told in row.weights.items()],
            lacks="" if row.has(wanted) else describe(wanted),
            fetch=latest.get(row.host),
        )
        for row in WeightsAtHost.objects.all()
    ]


def show(request: HttpRequest) -> HttpResponse:
    """What each render host has; htmx gets the part that changes."""
    ask(request, Experiment, VIEW)
    lines = host_lines()
    context = {
        "hosts": lines,
        "busy": any(line.under_way for line in lines),
        "may_fetch": may(request.user, FETCH, WeightsAtHost),
        "network": NETWORK_OF_VGG,
        "licence": IMAGENET_WHEEL.licence,
    }
    if request.headers.get("HX-Request"):
        return render(request, "generation/_hosts.html", context)
    title = "Render hosts and their weights"
    template = "generation/hosts.html"
    return admin_page(request, template, WeightsAtHost, title, **context)


@require_POST
def fetch(request: HttpRequest, pk: int) -> HttpResponse:
    """Have the trained network fetched by a worker of a host, or stop that."""
    ask(request, WeightsAtHost, FETCH)
    host = get_object_or_404(WeightsAtHost, pk=pk)
    if "stop" in request.POST:
        for row in WeightsFetch.objects.filter(host=host.host, ended_at=None):
            if row.fail(fetching.STOPPED):
                said = "Fetching ImageNet's weights stopped."
                history.record(request.user, host, said)
    elif not host.is_present:
        said = (
            f"No worker of {host} is there: start one, or run `manage.py weights get`"
        )
        messages.warning(request, f"{said} on it. Nothing was queued.")
    elif fetching.fetch(host):
        history.record(request.user, host, "ImageNet's weights to be fetched.")
    else:
        messages.info(request, f"{host} fetches them already.")
    return redirect("admin:generation_experiment_hosts")
