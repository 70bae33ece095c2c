"""Forms of the researcher's side: every input is validated here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.db.models import QuerySet
from django.utils.functional import lazy

from generation.engine.errors import ImageRefused
from generation.engine.factors import setting_names
from generation.engine.grid import (
    ImpossibleGrid,
    PicturePair,
    axes_text,
    expand,
    parse_axes,
)
from generation.engine.methods.gatys.objectives import OBJECTIVES
from generation.engine.settings import NETWORK_LAYERS
from generation.models import (
    Experiment,
    Pair,
    SourceImage,
    default_alpha_beta,
    default_content_layers,
    default_tv_weights,
)
from generation.pictures.decoding import DecodedPicture, DecoderBusy
from generation.pictures.source_images import decode_source_image
from generation.presets import OBJECTIVES as PUBLISHED
from generation.presets import PRESETS, picture_title

LARGEST_UPLOAD = 30 * 1024 * 1024
# Pictures offered besides those that are ticked; a search finds the others.
OFFERED = 36


class PictureField(forms.FileField):
    """A picture the engine can read; cleaned to a DecodedPicture.

    The admin holds the database while it cleans a form: there `decode_ahead` comes
    first, and what it found stays with the file.
    """

    widget = forms.ClearableFileInput(attrs={"accept": "image/*"})

    def clean(self, data: Any, initial: Any = None) -> DecodedPicture:
        file: UploadedFile = super().clean(data, initial)
        found = getattr(file, "decoded", None) or self._decoded(file)
        if isinstance(found, forms.ValidationError):
            raise found
        return found

    def decode_ahead(self, file: UploadedFile | None) -> None:
        """Decode what will be cleaned; whatever is wrong is said then."""
        if file:  # Django's own: neither missing nor empty
            setattr(file, "decoded", self._decoded(file))  # noqa: B010

    def _decoded(self, file: UploadedFile) -> DecodedPicture | forms.ValidationError:
        if file.size and file.size > LARGEST_UPLOAD:
            return forms.ValidationError(
                f"The file has {file.size / 2**20:.0f} MB; at most "
                f"{LARGEST_UPLOAD // 2**20} MB are possible."
            )
        try:
            return decode_source_image(file)
        except (ImageRefused, DecoderBusy) as refused:
            return forms.ValidationError(str(refused))


class SeveralFiles(forms.ClearableFileInput):
    allow_multiple_selected = True

    def value_from_datadict(self, _data: Any, files: Any, name: str) -> list[Any]:
        return list(files.getlist(name))


class NumberListField(forms.Field):
    """Numbers separated by commas or blanks, as `0.001, 0.01, 0.1`."""

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, list):
            return ", ".join(f"{number:g}" for number in value)
        return value

    def to_python(self, value: Any) -> list[float]:
        numbers: list[float] = []
        for word in (value or "").replace(",", " ").split():
            try:
                number = float(word)
            except ValueError as error:
                raise forms.ValidationError(
                    f"{word!r} is not a number; write numbers as 0.001, 0.01, 0.1."
                ) from error
            if not 0 <= number < float("inf"):
                raise forms.ValidationError(f"{word} must be 0 or more.")
            numbers.append(number)
        return list(dict.fromkeys(numbers))

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return list(initial or []) != self.to_python(data)
        except forms.ValidationError:
            return True


class PicturesField(PictureField):
    """Several pictures; cleaned to DecodedPictures by file name."""

    widget = SeveralFiles(attrs={"accept": "image/*"})

    def clean(self, data: Any, initial: Any = None) -> Any:
        return {file.name: super(PicturesField, self).clean(file) for file in data}


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


class AxesField(forms.CharField):
    """Axes of a grid, one a line, as `seed = 0, 1, 2`; cleaned to a dict."""

    widget = forms.Textarea(attrs={"rows": 3, "cols": 60})

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"required": False} | options)

    def prepare_value(self, value: Any) -> Any:
        return axes_text(value) if isinstance(value, dict) else value

    def clean(self, value: Any) -> dict[str, list[Any]]:
        try:
            return parse_axes(super().clean(value))
        except ImpossibleGrid as refused:
            raise forms.ValidationError(str(refused)) from refused

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return (initial or {}) != self.clean(data)
        except forms.ValidationError:
            return True


class PictureTiles(forms.CheckboxSelectMultiple):
    """Source images as thumbnails to tick: those chosen, and the newest of those that
    a search by title finds. Never all of them."""

    template_name = "generation/_tiles_field.html"
    # Of each request's own copy: what may be chosen, and what is searched for.
    images: QuerySet[SourceImage] = SourceImage.objects.none()
    wanted = ""

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context = forms.Widget.get_context(self, name, value, attrs)
        keys = [str(key) for key in value or [] if str(key).isdecimal()]
        others = self.images.exclude(pk__in=keys) if keys else self.images
        for word in self.wanted.split():
            others = others.filter(title__icontains=word)
        offered = list(others.order_by("-pk")[: OFFERED + 1])
        return context | {
            "chosen": list(self.images.filter(pk__in=keys)) if keys else [],
            "offered": offered[:OFFERED],
            "more": others.count() - OFFERED if len(offered) > OFFERED else 0,
            "wanted": self.wanted,
        }


class TilesField(forms.ModelMultipleChoiceField):
    """Source images to tick; none may be chosen until `offer` says which."""

    widget: PictureTiles

    def __init__(self, **options: Any) -> None:
        super().__init__(SourceImage.objects.none(), **options)

    def offer(self, images: QuerySet[SourceImage], wanted: str) -> None:
        """Let these be chosen, and show those whose titles have the words `wanted`.

        Only on a form's instance: what a class declares is of all requests.
        """
        self.queryset = self.widget.images = images
        self.widget.wanted = wanted


def _layer_choices() -> Iterable[tuple[str, str]]:
    layers = sorted({layer for known in NETWORK_LAYERS.values() for layer in known})
    return [(layer, layer) for layer in layers]


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
        f"of the same name. Settings: {', '.join(setting_names())}."
    )


class ExperimentForm(forms.ModelForm):
    content_layer = forms.MultipleChoiceField(
        label="Content layers",
        choices=_layer_choices,
        initial=default_content_layers,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="Each ticked layer is a level of the grid.",
    )
    alpha_beta = NumberListField(
        label="Ratio α/β",
        initial=default_alpha_beta,
        required=False,
        help_text="Levels, as 0.001, 0.01, 0.1. β is 1, α the ratio.",
    )
    tv_weight = NumberListField(
        label="TV weights",
        initial=default_tv_weights,
        required=False,
        help_text="Levels, as 0, 1.",
    )
    more_axes = AxesField(
        label="Further settings",
        help_text=lazy(_about_further_settings, str)(),
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

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or {}
        if self.errors:
            return cleaned
        named = cleaned["more_axes"]
        for field, names in (
            ("content_layer", {"content_layer"}),
            ("alpha_beta", {"alpha", "alpha_beta"}),
            ("tv_weight", {"tv_weight"}),
        ):
            if not cleaned[field] and names.isdisjoint(named):
                self.add_error(field, "This field is required.")
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
        choices=[(name, f"{name}: {OBJECTIVES[name].source}") for name in PUBLISHED],
        help_text="The equations as printed, or the code that painted what was rated.",
    )
    weights = forms.CharField(
        initial="imagenet",
        max_length=80,
        help_text="imagenet, file:SHA256 or random:SEED.",
    )
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
