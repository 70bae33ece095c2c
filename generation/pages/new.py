"""New experiments: one of the paper's, a copy of another."""

from __future__ import annotations

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from generation.engine.grid import ImpossibleGrid
from generation.experiments.forecast import forecast
from generation.experiments.making import (
    PresetRefused,
    duplicate_experiment,
    experiment_from_preset,
)
from generation.forms import PresetForm
from generation.models import Experiment, SourceImage
from generation.pictures.source_images import add_source_image
from generation.presets import PRESETS, picture_title
from nstlab.core import history
from nstlab.core.access import ADD, VIEW, visible
from nstlab.core.pages import about, admin_page, ask


def preset(request: HttpRequest) -> HttpResponse:
    """A new experiment from one of the paper's."""
    ask(request, Experiment, ADD)
    ask(request, SourceImage, ADD)
    form = PresetForm(
        request.POST or None,
        request.FILES or None,
        images=visible(SourceImage, request.user),
        initial={"preset": request.GET.get("preset")},
    )
    if form.is_valid():
        try:
            experiment = _from_preset(request, form)
        except (PresetRefused, ImpossibleGrid) as refused:
            form.add_error(None, str(refused))
        else:
            return redirect("admin:generation_experiment_change", experiment.pk)
    return admin_page(
        request,
        "generation/preset.html",
        Experiment,
        "New from a preset",
        form=form,
        presets=PRESETS.values(),
    )


@transaction.atomic
def _from_preset(request: HttpRequest, form: PresetForm) -> Experiment:
    uploaded = {
        file: add_source_image(
            data=data, title=picture_title(file), owner=request.user
        )[0]
        for file, data in form.brought.items()
    }
    experiment = experiment_from_preset(
        preset=form.chosen(),
        objective=form.cleaned_data["objective"],
        pictures=form.here | uploaded,
        weights=form.cleaned_data["weights"],
        owner=request.user,
    )
    planned = forecast(experiment)
    history.record(request.user, experiment, "Made from a preset.", new=True)
    messages.success(request, f"{experiment} is made. {planned}")
    return experiment


@about(Experiment, VIEW, ADD)
def duplicate(request: HttpRequest, experiment: Experiment) -> HttpResponse:
    """Copy an experiment's pairs and settings into a new one, and go there."""
    if request.method != "POST":
        return redirect("admin:generation_experiment_change", experiment.pk)
    copy = duplicate_experiment(experiment, owner=request.user)
    history.record(request.user, copy, f"Copied from {experiment}.", new=True)
    messages.success(
        request,
        f"This is {copy}: the pairs and settings of {experiment}, and no renders yet.",
    )
    return redirect("admin:generation_experiment_change", copy.pk)
