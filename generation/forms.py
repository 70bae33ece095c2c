"""What researchers fill in: pictures, experiments and presets, checked here."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import QuerySet
from django.templatetags.static import static
from django.utils.functional import lazy
from django.utils.html import format_html
from django.utils.safestring import SafeString

from generation.engine.factors import (
    FACTORS,
    choices_of,
    levels_asked,
    settings_that_vary,
)
from generation.engine.grid import (
    WEIGHING_AXES,
    ImpossibleGrid,
    PicturePair,
    expand,
)
from generation.experiments.forecast import missing_weights
from generation.experiments.weights import (
    UnknownWeights,
    full_name,
    network_of,
    weights_choices,
)
from generation.level_fields import AxesField
from generation.models import Experiment, Pair, SourceImage
from generation.pictures.fields import (
    PictureField,
    PicturesField,
    PictureTiles,
    TilesField,
)
from generation.presets import (
    ABOUT_RATIOS,
    PRESET_OBJECTIVES,
    PRESETS,
    Preset,
    picture_title,
)


class UploadForm(forms.ModelForm):
    """A new source image. The title is the file's name unless one is given."""

    upload = PictureField(
        label="Picture",
        help_text="JPEG, PNG, WebP, GIF, TIFF or BMP. It is kept upright, in sRGB and "
        "without its metadata.",
    )
    title = forms.CharField(max_length=120, required=False)

    class Meta:
        model = SourceImage
        fields = ["upload", "title", "credit", "licence", "consent"]

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if cleaned is not None and not cleaned.get("title"):
            upload = self.files.get("upload")
            name = (upload.name or "picture") if upload else "picture"
            cleaned["title"] = name.rsplit(".", 1)[0][:120]
        return cleaned


class PairForm(forms.ModelForm):
    axes = AxesField(
        label="levels of its own",
        widget=forms.Textarea(
            attrs={"rows": 2, "cols": 30, "aria-label": "Levels of its own"}
        ),
        help_text="For this pair only, as content_layer = conv2_1",
    )

    class Meta:
        model = Pair
        fields = ["content", "style", "axes"]


class PairFormSet(forms.BaseInlineFormSet):
    """Rows of a table without visible labels: what they delete is said in words.

    Their pictures are read with them, not one by one.
    """

    def add_fields(self, form: forms.ModelForm, index: int | None) -> None:
        super().add_fields(form, index)
        if form.instance.pk and "content" in form.fields:  # not only looked at
            for name in ("content", "style"):
                picture = getattr(form.instance, name)
                form.fields[name].widget.widget.loaded[str(picture.pk)] = picture
        if removal := form.fields.get("DELETE"):
            removal.widget.attrs["aria-label"] = "Delete this pair"


def _about_further_settings() -> str:
    return (
        "One a line, each with one or more levels: seed = 0, 1, 2 paints replicates; "
        "style_layers = conv1_1, conv1_1|conv2_1 compares sets of layers; alpha = 1 "
        "with beta = 0 reconstructs the content. A line takes the place of the field "
        f"of the same name. Settings: {', '.join(settings_that_vary())}."
    )


def _with_style_scale() -> SafeString:
    """The same, with a picture of what style scale does."""
    return format_html(
        '{} <details class="nst-explained"><summary>What style_scale does</summary>'
        '<img src="{}" width="608" height="354" loading="lazy" alt="{}">'
        "<span>{}</span></details>",
        _about_further_settings(),
        static("generation/style-scale.jpg"),
        "Three times a photo of a cat beside a piece of a stained-glass window: with "
        "small panes, middling panes, large panes.",
        "Drawn, not painted. Above: the style picture as large as it is read, with "
        "the outline of the render. Below: the photo as large as it is painted, and a "
        "piece of the style picture at that size: so large its strokes become.",
    )


class WeightsField(forms.ChoiceField):
    """Weights that render hosts have, in words; others may be sent by their names, or
    by their first digits, which the grid checks."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            label="Weights",
            initial=FACTORS["weights"].default,
            help_text=FACTORS["weights"].form_help,
            **options,
        )

    def offer(self, now: str) -> None:
        """Offer what is at hand and what is chosen."""
        self.choices = weights_choices(now)

    def to_python(self, value: Any) -> str:
        try:
            return full_name(super().to_python(value))
        except UnknownWeights as unknown:
            raise forms.ValidationError(str(unknown)) from unknown

    def valid_value(self, value: str) -> bool:
        return True


class ExperimentForm(forms.ModelForm):
    weights = WeightsField()
    more_axes = AxesField(
        label="Further settings",
        help_text=lazy(_with_style_scale, SafeString)(),
    )

    contents = TilesField(
        label="Content images",
        required=False,
        widget=PictureTiles(attrs={"aria-label": "Content images"}),
    )
    styles = TilesField(
        label="Style images",
        required=False,
        widget=PictureTiles(attrs={"aria-label": "Style images"}),
    )

    class Meta:
        model = Experiment
        exclude = ["owner", "shared_with"]  # noqa: DJ006 - the admin's fieldsets name the fields

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if isinstance(field := self.fields.get("weights"), WeightsField):
            field.offer(str(self["weights"].value() or ""))

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or {}
        if self.errors:
            return cleaned
        named = cleaned["more_axes"]
        given = {*named, *(name for name in levels_asked() if cleaned[name])}
        for name in levels_asked():
            if name not in given and name not in WEIGHING_AXES:
                self.add_error(name, "This field is required.")
        if given.isdisjoint(WEIGHING_AXES):
            self.add_error("balance", "Give levels of balance, as 0.1, or of α/β.")
        network = network_of(cleaned["weights"])
        networks = named.get("network", [cleaned["network"]])
        if network and "weights" not in named and network not in networks:
            said = f"These weights are of {network.replace('vgg', 'VGG-')}: choose "
            self.add_error("weights", f"{said}that network, or other weights.")
        if not self.errors:
            self._check_grid(cleaned)
        return cleaned

    def _check_grid(self, cleaned: dict[str, Any]) -> None:
        """Expand the grid for one pair that stands for all."""
        names = [field.name for field in Experiment._meta.fields]
        planned = Experiment(
            **{name: value for name, value in cleaned.items() if name in names}
        )
        try:
            expand(
                pairs=[PicturePair(0, 0)],
                pixel_digests={0: ""},
                axes=planned.axes(),
                fixed=planned.fixed_settings(),
            )
        except ImpossibleGrid as refused:
            raise forms.ValidationError(str(refused)) from refused


class PresetForm(forms.Form):
    """An experiment of the paper from pictures that are here or are uploaded now.

    A picture is known by its file's name, or by its title in the lab.
    """

    preset = forms.ChoiceField(
        label="Experiment",
        choices=[(name, each.title) for name, each in PRESETS.items()],
    )
    objective = forms.ChoiceField(
        choices=[it for it in choices_of("objective") if it[0] in PRESET_OBJECTIVES],
        help_text="The equations as printed, or the code that painted what was rated.",
    )
    weighing = forms.ChoiceField(
        label="Content against style",
        choices=[
            ("balance", "balances, which paint the same mixture everywhere"),
            ("printed", "α/β as printed, which belong to notebook at 300 pixels"),
        ],
        help_text=ABOUT_RATIOS,
    )
    weights = WeightsField()
    uploads = PicturesField(
        label="Pictures",
        required=False,
        help_text="Those that are not in the lab yet; their names must be the paper's.",
    )

    def __init__(
        self, *args: Any, images: QuerySet[SourceImage], **kwargs: Any
    ) -> None:
        """`images` are the source images that may be taken."""
        super().__init__(*args, **kwargs)
        self._images = images
        now = str(self["weights"].value() or "")
        field: Any = self.fields["weights"]
        field.offer(now)
        self.missing_weights = missing_weights([now])

    def chosen(self) -> Preset:
        """The experiment, with what weighs content as it was chosen."""
        preset = PRESETS[self.cleaned_data["preset"]]
        wanted = self.cleaned_data["weighing"] == "balance"
        return preset.with_balances() if wanted else preset

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or {}
        if self.errors:
            return cleaned
        uploads = {picture_title(name): it for name, it in cleaned["uploads"].items()}
        titles = {
            picture_title(file): file for file in PRESETS[cleaned["preset"]].files
        }
        here = {
            image.title: image
            for image in self._images.filter(title__in=titles).order_by("-pk")
        }
        missing = [
            title for title in titles if title not in uploads and title not in here
        ]
        if missing:
            raise forms.ValidationError(
                f"Upload these pictures, or title them so: {', '.join(missing)}."
            )
        self.brought = {
            file: uploads[title] for title, file in titles.items() if title in uploads
        }
        self.here = {
            file: here[title] for title, file in titles.items() if title not in uploads
        }
        return cleaned
