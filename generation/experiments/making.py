"""Making an experiment: of a grid of the paper, or as a copy of another one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import count
from typing import Any

from django.db import transaction

from generation.engine.factors import levels_asked
from generation.engine.grid import overridden
from generation.engine.settings import USUAL_BALANCE
from generation.models import Experiment, Pair, SourceImage
from generation.presets import Preset, published_settings


class PresetRefused(ValueError):
    """A preset that cannot be made into an experiment; the text says why."""


@transaction.atomic
def experiment_from_preset(
    *,
    preset: Preset,
    objective: str,
    pictures: Mapping[str, SourceImage],
    weights: str = "imagenet",
    owner: Any = None,
    **instead: Any,
) -> Experiment:
    """Make an experiment of the paper; `pictures` maps its file names to images.

    `instead` replaces fields of the experiment, as its name or size. Raises
    PresetRefused.
    """
    if missing := [file for file in preset.files if file not in pictures]:
        raise PresetRefused(f"These pictures are missing: {', '.join(missing)}.")
    # Pairs with levels of their own leave those of the grid to pairs that are added.
    usual = {**Experiment().axes(), "balance": [USUAL_BALANCE]}
    axes = overridden(usual, preset.axes)
    told = f"{preset.description} {preset.about_ratios(objective)}".strip()
    fields: dict[str, Any] = {
        "name": f"{preset.title}, {objective}",
        "description": told,
        **{name: axes.pop(name, []) for name in levels_asked()},
        "weights": weights,
        "owner": owner,
    }
    fixed = published_settings(objective) | instead
    known = {field.name for field in Experiment._meta.fields}
    fields |= {name: value for name, value in fixed.items() if name in known}
    others = {name: [value] for name, value in fixed.items() if name not in known}
    if Experiment.objects.filter(name=fields["name"]).exists():
        raise PresetRefused(f"There is an experiment {fields['name']} already.")
    experiment = Experiment.objects.create(**fields, more_axes={**axes, **others})
    for pair in preset.pairs:
        Pair.objects.create(
            experiment=experiment,
            content=pictures[pair.content],
            style=pictures[pair.style],
            axes=dict(pair.axes),
        )
    return experiment


@transaction.atomic
def duplicate_experiment(experiment: Experiment, *, owner: Any) -> Experiment:
    """A new experiment with the same pairs and settings, and no renders."""
    most = Experiment._meta.get_field("name").max_length or 0
    original = re.sub(r" \(copy(?: \d+)?\)$", "", experiment.name)
    for number in count(1):
        ending = " (copy)" if number == 1 else f" (copy {number})"
        name = original[: most - len(ending)] + ending
        if not Experiment.objects.filter(name=name).exists():
            break
    kept = {
        field.name: getattr(experiment, field.name)
        for field in Experiment._meta.concrete_fields
        if field.name not in ("id", "name", "owner", "created_at", "queued_weights")
    }
    copy = Experiment.objects.create(name=name, owner=owner, **kept)
    copy.contents.set(experiment.contents.all())
    copy.styles.set(experiment.styles.all())
    for pair in experiment.pairs.all():
        Pair.objects.create(
            experiment=copy,
            content_id=pair.content_id,
            style_id=pair.style_id,
            axes=pair.axes,
        )
    return copy
