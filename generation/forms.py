"""Forms of the researcher's side: every input is validated here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile

from generation.engine.errors import ImageRefused
from generation.engine.images import open_picture
from generation.engine.settings import NETWORK_LAYERS
from generation.grid import MOST_RENDERS
from generation.models import Experiment, SourceImage

LARGEST_UPLOAD = 30 * 1024 * 1024


class PictureField(forms.FileField):
    """A picture the engine can read; cleaned to (bytes, notes)."""

    widget = forms.ClearableFileInput(attrs={"accept": "image/*"})

    def clean(self, data: Any, initial: Any = None) -> bytes:
        file: UploadedFile = super().clean(data, initial)
        if file.size and file.size > LARGEST_UPLOAD:
            raise forms.ValidationError(
                f"The file has {file.size / 2**20:.0f} MB; at most "
                f"{LARGEST_UPLOAD // 2**20} MB are possible."
            )
        content = file.read()
        try:
            open_picture(content)
        except ImageRefused as refused:
            raise forms.ValidationError(str(refused)) from refused
        return content


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


def _layer_choices() -> Iterable[tuple[str, str]]:
    return [(layer, layer) for layer in NETWORK_LAYERS["vgg16"]]


class ExperimentForm(forms.ModelForm):
    content_layers = forms.MultipleChoiceField(
        choices=_layer_choices,
        widget=forms.CheckboxSelectMultiple,
        help_text="Each ticked layer is a level of the grid.",
    )
    alpha_beta = NumberListField(
        label="α/β", help_text="Levels, as 0.001, 0.01, 0.1. β is 1, α the ratio."
    )
    tv_weights = NumberListField(label="TV weights", help_text="Levels, as 0, 1.")

    class Meta:
        model = Experiment
        exclude = ["owner"]  # noqa: DJ006 - the admin's fieldsets name the fields

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or {}
        count = 1
        for axis in ("content_layers", "alpha_beta", "tv_weights"):
            count *= len(cleaned.get(axis) or [None])
        if count > MOST_RENDERS:
            raise forms.ValidationError(
                f"The grid has {count:,} renders for each pair; at most "
                f"{MOST_RENDERS:,} are possible. Take levels away."
            )
        return cleaned
