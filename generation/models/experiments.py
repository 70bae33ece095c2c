"""Experiments: pairs of pictures and the grid of settings they are painted with."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import Any

from django.core.validators import MinValueValidator
from django.db import models

from generation.engine.factors import (
    FACTORS,
    choices_of,
    levels_asked,
    setting_names,
)
from generation.engine.grid import (
    WEIGHING_AXES,
    Cell,
    ImpossibleGrid,
    PicturePair,
    crossed,
    expand,
    overridden,
)
from generation.engine.networks.weights import IMAGENETS
from generation.engine.settings import USUAL_BALANCE
from generation.level_fields import levels_field
from generation.models.source_images import SourceImage, start_picture
from generation.models.weights_at_hosts import WeightsAtHost
from nstlab.core.access import Owned


def default_content_layers() -> list[str]:
    return [layer for layer, _ in FACTORS["content_layer"].default]


def default_tv_weights() -> list[float]:
    return [FACTORS["tv_weight"].default]


def _asked(factor: str) -> dict[str, Any]:
    """The options of a field that asks for a factor, as the table of factors has it.

    Choices are read when they are shown, so that a new one needs no migration.
    """
    row = FACTORS[factor]
    options = {"default": row.default, "help_text": row.form_help}
    if row.choices:
        options["choices"] = partial(choices_of, factor)
    return options


class LevelsField(models.JSONField):
    """Levels of the factor that the field is called after, as a list.

    `offered` are those that a new form begins with, where they are not the default.
    """

    def __init__(self, *args: Any, offered: Sequence[Any] = (), **options: Any) -> None:
        super().__init__(*args, **options)
        self.offered = offered

    def formfield(self, **options: Any) -> Any:
        initial = list(self.offered) or self.default
        return levels_field(FACTORS[self.name], initial=initial, **options)

    def deconstruct(self) -> Any:
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.JSONField", args, kwargs


class AxesField(models.JSONField):
    """A JSON object that keeps the order of its keys, which is the order of the grid.

    PostgreSQL's jsonb sorts the keys of an object, so the column holds a list of pairs.
    """

    def get_prep_value(self, value: Any) -> Any:
        if isinstance(value, dict):
            value = [list(item) for item in value.items()]
        return super().get_prep_value(value)

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return dict(super().from_db_value(value, expression, connection) or {})

    def deconstruct(self) -> Any:
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.JSONField", args, kwargs


class Experiment(Owned):
    """Pairs of pictures × a grid of settings; expanding it gives its renders.

    The fields hold what most grids vary and fix; `more_axes` maps any other setting
    of the engine to its levels, and takes the place of the field of the same name.
    `queued_weights` is what ImageNet's weights became when renders were first queued,
    with the sha256 of their values, by network and name: every worker paints with these
    or not at all.
    """

    sees_all = "generation.see_all_experiments"

    name = models.CharField(max_length=120, unique=True)
    description = models.TextField(blank=True)
    content_layer = LevelsField(
        "content layers", default=default_content_layers, blank=True
    )
    balance = LevelsField(
        "balances", default=list, blank=True, offered=(USUAL_BALANCE,)
    )
    alpha_beta = LevelsField("α/β", default=list, blank=True)
    tv_weight = LevelsField("TV weights", default=default_tv_weights, blank=True)
    more_axes = AxesField("further settings", default=dict, blank=True)
    contents = models.ManyToManyField(
        SourceImage,
        verbose_name="content images",
        related_name="+",
        blank=True,
        help_text="Each is painted with every style image.",
    )
    styles = models.ManyToManyField(
        SourceImage, verbose_name="style images", related_name="+", blank=True
    )
    pooling = models.CharField(max_length=10, **_asked("pooling"))
    start = models.CharField(max_length=10, **_asked("start"))
    weights = models.CharField(max_length=80, **_asked("weights"))
    objective = models.CharField(max_length=20, **_asked("objective"))
    network = models.CharField(max_length=10, **_asked("network"))
    seed = models.PositiveIntegerField(**_asked("seed"))
    size = models.PositiveIntegerField(**_asked("size"))
    fit = models.CharField("shape", max_length=10, **_asked("fit"))
    evaluations = models.PositiveIntegerField(
        validators=[MinValueValidator(1)], **_asked("evaluations")
    )
    reuse = models.BooleanField(
        "reuse existing renders",
        default=True,
        help_text="Where another experiment has painted the very same request, show "
        "its picture instead of painting it again.",
    )
    queued_weights = models.JSONField(default=dict, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at", "-pk"]
        permissions = [
            ("queue_experiment", "Can queue renders"),
            (
                "queue_all_experiments",
                "Can queue, cancel and retry everybody's renders",
            ),
            ("see_all_experiments", "Can see everybody's experiments and pictures"),
        ]

    def __str__(self) -> str:
        return self.name

    def axes(self) -> dict[str, Sequence[Any]]:
        """The settings that vary, in the order in which the grid varies them."""
        usual = {
            name: levels
            for name in levels_asked()
            if (levels := getattr(self, name)) or name not in WEIGHING_AXES
        }
        return overridden(usual, self.more_axes)

    def fixed_settings(self) -> dict[str, Any]:
        """The settings that are the same in every cell unless an axis names them."""
        return {
            name: getattr(self, name)
            for name in setting_names()
            if FACTORS[name].form_place
        }

    def cells(self) -> list[Cell]:
        """The grid's cells, keyed by the pictures' primary keys: first the pairs that
        are listed, then every content image with every style image.

        Raises ImpossibleGrid with a sentence.
        """
        return self.cells_of(
            list(self.pairs.select_related("content", "style")),
            list(self.contents.all()),
            list(self.styles.all()),
        )

    def cells_of(
        self,
        listed: Sequence[Pair],
        contents: Sequence[SourceImage],
        styles: Sequence[SourceImage],
    ) -> list[Cell]:
        """As `cells`, for pairs and pictures that need not be saved."""
        pictures = {
            picture.pk: picture
            for picture in (
                *(each.content for each in listed),
                *(each.style for each in listed),
                *contents,
                *styles,
            )
        }
        cells = expand(
            pairs=[
                *(PicturePair(it.content_id, it.style_id, it.axes) for it in listed),
                *crossed([it.pk for it in contents], [it.pk for it in styles]),
            ],
            pixel_digests={key: it.pixel_sha256 for key, it in pictures.items()},
            axes=self.axes(),
            fixed=self.fixed_settings(),
            focuses={key: it.focus for key, it in pictures.items()},
            sizes={key: it.size for key, it in pictures.items()},
            weights=cache(self.name_weights),
        )
        for start in {cell.settings.start for cell in cells}:
            if start.startswith("picture:") and start_picture(start) is None:
                raise ImpossibleGrid(
                    f"The start {start} names no source image; upload it, then take "
                    "its sha256 of the pixels."
                )
        return cells

    def name_weights(self, name: str, network: str) -> str:
        """What a name of weights stands for in this experiment. ImageNet's are those
        that it was first queued with, else what most render hosts have, else whatever
        a worker will have."""
        if (name, network) not in IMAGENETS:
            return name
        if queued := self.queued_weights.get(f"{network} {name}"):
            return str(queued)
        same = self.renders.filter(weights=name, network=network) if self.pk else None
        if same is not None and same.exists():
            return name  # queued before values stood behind it
        return WeightsAtHost.objects.with_values(name, network) or name

    @property
    def random_weights(self) -> bool:
        levels = self.axes().get("weights", [self.weights])
        return any(str(level).startswith("random:") for level in levels)


class Pair(models.Model):
    """A content image and the style image that paints it.

    `axes` are this pair's own, in place of the experiment's of the same name.
    """

    belongs_to = "experiment"

    experiment = models.ForeignKey(
        Experiment, on_delete=models.CASCADE, related_name="pairs"
    )
    content = models.ForeignKey(
        SourceImage, on_delete=models.PROTECT, related_name="content_pairs"
    )
    style = models.ForeignKey(
        SourceImage, on_delete=models.PROTECT, related_name="style_pairs"
    )
    axes = AxesField("levels of its own", default=dict, blank=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["experiment", "content", "style"],
                name="pair_once_in_experiment",
            )
        ]

    def __str__(self) -> str:
        return f"{self.content} × {self.style}"
