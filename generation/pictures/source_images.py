"""Taking a content or style picture into the lab."""

from __future__ import annotations

from typing import Any

from django.core.files import File

from generation.models import SourceImage
from generation.pictures.decoding import DecodedPicture, decode

THUMBNAIL_SIDE = 160


def add_source_image(
    *, data: bytes | DecodedPicture, title: str, **fields: Any
) -> tuple[SourceImage, tuple[str, ...]]:
    """Store an uploaded picture upright, in sRGB and without metadata.

    Returns the row and sentences about what was converted. Raises ImageRefused, and
    DecoderBusy for bytes.
    """
    decoded = decode_source_image(data) if isinstance(data, bytes) else data
    made = decoded.made
    image = SourceImage(
        title=title,
        width=made.width,
        height=made.height,
        sha256=decoded.source_sha256,
        pixel_sha256=made.pixel_sha256,
        notes="\n".join(made.notes),
        **fields,
    )
    image.picture.save("", decoded.png, save=False)
    if decoded.small is not None:
        image.thumbnail.save("", decoded.small, save=False)
    image.save()
    return image, made.notes


def decode_source_image(source: bytes | File[bytes]) -> DecodedPicture:
    """Decode a picture as `add_source_image` stores it.

    Raises ImageRefused or DecoderBusy.
    """
    return decode(source, small_side=THUMBNAIL_SIDE)
