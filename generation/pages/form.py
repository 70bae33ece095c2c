"""What the form of an experiment asks for while one fills it in: pictures to choose
from, and a forecast of what it would paint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST

from generation.engine.grid import ImpossibleGrid
from generation.engine.shapes import Size
from generation.experiments.forecast import (
    Forecast,
    NoRoom,
    check_room,
    duration,
    forecast,
    megabytes,
)
from generation.models import Experiment, Pair, SourceImage
from generation.pictures.fields import PictureTiles
from generation.queueing.weighing import typed_alphas
from nstlab.core.access import ADD, CHANGE, may, visible
from nstlab.core.pages import ask, find

MOST_SIZES = 3  # told of the pictures that a grid paints


def find_pictures(request: HttpRequest) -> HttpResponse:
    """The tiles of one field of the form: those that are ticked, then those found."""
    if not may(request.user, ADD, Experiment):
        ask(request, Experiment, CHANGE)
    name = request.GET.get("field", "")
    if name not in ("contents", "styles"):
        raise Http404("Pictures are chosen as contents or styles.")
    tiles = PictureTiles()
    tiles.images = visible(SourceImage, request.user)
    tiles.wanted = request.GET.get(f"{name}_search", "")
    ticked = [pk for pk in request.GET.getlist(name) if pk.isdecimal()]
    context = tiles.get_context(name, ticked, {"id": f"id_{name}"})
    return render(request, "generation/_tiles.html", context)


@require_POST
def live_forecast(request: HttpRequest, pk: int | None = None) -> HttpResponse:
    """What the form as it stands would paint; nothing is saved."""
    experiment = None
    if pk is not None:
        experiment = find(request, Experiment.objects.all(), pk, CHANGE)
    else:
        ask(request, Experiment, ADD)
    context: dict[str, Any] = {}
    form, formsets = _as_sent(request, experiment)
    form.fields["name"].required = False  # it paints nothing
    refused = _refusals(form, formsets)
    if not refused:
        try:
            cells = _cells(form, formsets[0])
            planned = forecast(form.instance, cells)
            told, measuring = typed_alphas(cells)
            context |= {
                "planned": planned,
                "facts": _facts(planned),
                "typed": told,
                # Nobody measures where no worker runs: then it is not asked again.
                "measuring": measuring and planned.workers > 0,
            }
            if planned.new:
                check_room(planned.bytes, form.instance.owner or request.user)
        except NoRoom as full:
            context["full"] = str(full)
        except ImpossibleGrid as impossible:
            refused = [str(impossible)]
    return render(request, "generation/_forecast.html", context | {"refused": refused})


def _as_sent(request: HttpRequest, experiment: Experiment | None) -> tuple[Any, Any]:
    """The experiment's own form, and that of its pairs, with what was sent."""
    admins: Any = admin.site.get_model_admin(Experiment)
    change = experiment is not None
    form = admins.get_form(request, experiment, change=change)(
        request.POST, instance=experiment
    )
    formsets, _ = admins._create_formsets(request, form.instance, change=change)
    return form, formsets


def _facts(planned: Forecast) -> list[tuple[str, str]]:
    """What a forecast says, as names and values."""
    here = f"{planned.here:,}"
    if planned.painted < planned.here:
        here += f" ({planned.painted:,} done)"
    facts = [("renders", f"{planned.total:,}"), ("to paint", f"{planned.new:,}")]
    if planned.here:
        facts.append(("here already", here))
    if planned.reused:
        facts.append(("painted by other experiments", f"{planned.reused:,}"))
    if planned.new:
        facts += [
            ("evaluations", f"{planned.evaluations:,}"),
            ("time", duration(planned.seconds / max(1, planned.workers))),
            ("pictures", f"up to {megabytes(planned.bytes)}"),
            ("pixels", _sizes(planned.sizes)),
        ]
    return facts


def _sizes(sizes: Sequence[Size]) -> str:
    """A few of the sizes of pictures, and how many others there are."""
    said = [f"{width} × {height}" for width, height in sizes[:MOST_SIZES]]
    if more := len(sizes) - len(said):
        said.append(f"{more:,} more")
    return ", ".join(said)


def _refusals(form: Any, formsets: list[Any]) -> list[str]:
    """Why the form would not be saved, as sentences that name their field."""
    said = []
    for each in (form, *(one for formset in formsets for one in formset.forms)):
        for name, errors in each.errors.items():
            where = "" if name == "__all__" else f"{each[name].label}: "
            said += [f"{where}{error}" for error in errors]
    for formset in formsets:
        said += list(formset.non_form_errors())
    return list(dict.fromkeys(said))


def _cells(form: Any, formset: Any) -> Any:
    """The cells of an experiment that is not saved."""
    listed = [
        Pair(**{name: one.cleaned_data[name] for name in ("content", "style", "axes")})
        for one in formset.forms
        if one.cleaned_data.get("content") and not one.cleaned_data.get("DELETE")
    ]
    return form.instance.cells_of(
        listed, list(form.cleaned_data["contents"]), list(form.cleaned_data["styles"])
    )
