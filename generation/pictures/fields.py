"""What forms ask for pictures: files that are read, or source images to tick."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.db.models import QuerySet

from generation.engine.errors import ImageRefused
from generation.models import SourceImage
from generation.pictures.decoding import DecodedPicture, DecoderBusy
from generation.pictures.source_images import decode_source_image

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


class PicturesField(PictureField):
    """Several pictures; cleaned to DecodedPictures by file name."""

    widget = SeveralFiles(attrs={"accept": "image/*"})

    def clean(self, data: Any, initial: Any = None) -> Any:
        return {file.name: super(PicturesField, self).clean(file) for file in data}


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
