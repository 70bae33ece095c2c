"""Pictures in and out: files of the world to upright 8-bit sRGB, and lossless PNG.

Pillow only, no numpy or torch: the web process opens uploads with it.
"""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from generation.engine.errors import ImageRefused

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")
MAX_PIXELS = 40_000_000
MAX_SIDE = 20_000
"""A strip ten times as long as wide at MAX_PIXELS. Beyond it no browser shows a picture
whole, and filters that resize it take memory by the side, not by the area."""
MIN_SIDE = 16
BAND_PIXELS = 1_000_000
"""So many are copied at once where a whole copy would do."""

_MODE_OF_SPACE = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}


@dataclass(frozen=True)
class OpenedPicture:
    """A decoded picture (mode RGB, sRGB, upright) and what was done to make it so."""

    image: Image.Image
    format: str
    notes: tuple[str, ...]


def open_picture(
    source: bytes | Path | BinaryIO, *, min_side: int = MIN_SIDE
) -> OpenedPicture:
    """Decode a picture of the world into upright 8-bit sRGB on white.

    The size is read from the header and refused before anything is decoded.
    Every conversion leaves a sentence in `notes`. Raises `ImageRefused`.
    """
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    with _refusing(), Image.open(file, formats=FORMATS) as picture:
        _check_size(*picture.size, min_side)
        return _decode(picture)


def picture_header(
    source: BinaryIO, *, min_side: int = MIN_SIDE
) -> tuple[str, int, int]:
    """Format, width and height as the header says, with nothing decoded.

    `source` is left at its beginning. Raises `ImageRefused` for what `open_picture`
    would not even begin to decode.
    """
    source.seek(0)
    with _refusing(), Image.open(source, formats=FORMATS) as picture:
        _check_size(*picture.size, min_side)
        found = str(picture.format), *picture.size
    source.seek(0)
    return found


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except ImageRefused:
        raise
    except UnidentifiedImageError:
        raise ImageRefused(
            "The file is not a picture in a supported format "
            "(JPEG, PNG, WebP, GIF, TIFF or BMP)."
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageRefused(_too_large()) from None
    except FileNotFoundError:
        raise ImageRefused("There is no such file.") from None
    except IsADirectoryError:
        raise ImageRefused("It is a folder, not a picture.") from None
    except MemoryError as error:
        raise ImageRefused(
            "The picture needs more memory than there is: save it smaller."
        ) from error
    except Exception as error:  # a decoder may raise anything on broken data
        raise ImageRefused("The picture is damaged or cut short.") from error


def _check_size(width: int, height: int, min_side: int) -> None:
    if width * height > MAX_PIXELS:
        raise ImageRefused(_too_large())
    if max(width, height) > MAX_SIDE:
        raise ImageRefused(
            f"The picture is too long: {width} × {height} pixels, "
            f"each side may have at most {MAX_SIDE}."
        )
    if min(width, height) < min_side:
        raise ImageRefused(
            f"The picture is too small: {width} × {height} pixels, "
            f"each side needs at least {min_side}."
        )


def _too_large() -> str:
    return f"The picture is too large: at most {MAX_PIXELS // 10**6} million pixels."


def _decode(picture: Image.Image) -> OpenedPicture:
    name = "JPEG" if picture.format == "MPO" else str(picture.format)
    notes: list[str] = []
    if getattr(picture, "n_frames", 1) > 1 and picture.format != "MPO":
        kind = "has several pages" if name == "TIFF" else "is animated"
        first = "page" if name == "TIFF" else "frame"
        notes.append(f"The picture {kind}; its first {first} is used.")
    if picture.mode == "F" or (name == "TIFF" and picture.mode == "I"):
        raise ImageRefused(
            "The picture holds fractions or 32-bit numbers, which do not say what "
            "white is: save it with 8 or 16 bits per channel."
        )
    sixteen = picture.mode.startswith("I") or _has_16_bit_channels(picture)
    profile = picture.info.get("icc_profile")
    picture.load()

    # No step keeps a copy beside what it makes: 40 million pixels are 160 MB each time.
    image: Image.Image = picture
    if picture.getexif().get(0x0112, 1) not in (0, 1):
        image = ImageOps.exif_transpose(picture)
        notes.append("Turned upright as its EXIF orientation says.")
    if sixteen:
        notes.append("Reduced from 16 to 8 bits per channel.")
        if image.mode.startswith("I"):
            image = image.convert("I").point(lambda value: value / 257 + 0.5)
            image = image.convert("L")
        if image.info.pop("transparency", None) is not None:
            notes.append("Its transparent colour has 16 bits and was ignored.")
    alpha = None
    had_palette = image.mode in ("P", "PA")
    is_grey = image.mode in ("1", "L", "LA")
    if image.has_transparency_data:
        if image.mode not in ("LA", "RGBA"):
            image = image.convert("LA" if is_grey else "RGBA")
        alpha = image.getchannel("A")
        image = image.convert(image.mode[:-1])
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode in ("P", "YCbCr", "HSV"):
        image = image.convert("RGB")
    if had_palette and _is_grey(image):
        notes.append("Converted from grey to sRGB.")
    if image is not picture:
        picture.close()
    image = _to_srgb(image, profile, notes)
    if alpha is not None and alpha.getextrema() != (255, 255):
        notes.append("Its transparency was laid on white.")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=alpha)
        image = white
    image.getexif().clear()
    image.info = {}
    return OpenedPicture(image=image, format=name, notes=tuple(notes))


def _is_grey(image: Image.Image) -> bool:
    """Whether the bands of an RGB picture are the same."""
    return all(
        len({band.tobytes() for band in rows.split()}) == 1 for rows in _bands(image)
    )


def _bands(image: Image.Image) -> Iterator[Image.Image]:
    """The picture from top to bottom, some rows at a time."""
    rows = max(1, BAND_PIXELS // max(1, image.width))
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(image.height, top + rows)))


def _has_16_bit_channels(picture: Image.Image) -> bool:
    """Whether a colour picture is about to be cut to 8 bits by its decoder."""
    if picture.format not in ("PNG", "TIFF"):
        return False
    for tile in getattr(picture, "tile", ()):
        arguments = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        if ";16" in str(arguments[0]):
            return True
    return False


def _to_srgb(
    image: Image.Image, profile: bytes | None, notes: list[str]
) -> Image.Image:
    if profile:
        try:
            embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            space = embedded.profile.xcolor_space.strip()
            described = ImageCms.getProfileDescription(embedded).strip()
            if _MODE_OF_SPACE.get(space) != image.mode:
                raise ImageCms.PyCMSError(f"a {space} profile on {image.mode}")
            if not described.lower().startswith(("srgb", "c2", "gray", "dot gain")):
                converted = ImageCms.profileToProfile(
                    image, embedded, ImageCms.createProfile("sRGB"), outputMode="RGB"
                )
                if converted is None:
                    raise ImageCms.PyCMSError("no conversion")
                source = "CMYK" if image.mode == "CMYK" else described
                notes.append(f"Converted from {source} to sRGB.")
                return converted
        except (ImageCms.PyCMSError, OSError, ValueError):
            notes.append("Its colour profile does not fit it and was ignored.")
    if image.mode == "CMYK":
        notes.append("Converted from CMYK to sRGB.")
    elif image.mode == "L":
        notes.append("Converted from grey to sRGB.")
    elif image.mode != "RGB":
        notes.append(f"Converted from {image.mode} to sRGB.")
    return image if image.mode == "RGB" else image.convert("RGB")


def png_bytes(image: Image.Image) -> bytes:
    """The picture as a lossless PNG without metadata."""
    file = io.BytesIO()
    write_png(image, file)
    return file.getvalue()


def write_png(image: Image.Image, file: BinaryIO) -> None:
    """Write the picture as a lossless PNG without metadata."""
    # Pillow takes these two from the picture itself unless it is told otherwise.
    image.save(file, "PNG", icc_profile=None, transparency=None)


def is_bare_png(data: bytes) -> bool:
    """Whether a file is what `png_bytes` writes for RGB: eight bits a channel, no
    metadata, no colour profile, and undamaged by its own check sums."""
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[24:26] != b"\x08\x02":
        return False
    kinds = []
    at = 8
    while at < len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4])
        if zlib.crc32(data[at + 4 : end]) != int.from_bytes(data[end : end + 4]):
            return False
        kinds.append(data[at + 4 : at + 8])
        at = end + 4
    return [*dict.fromkeys(kinds)] == [b"IHDR", b"IDAT", b"IEND"]


def pixel_sha256(image: Image.Image) -> str:
    """Name a picture by its pixels: the sha256 of mode, size and raw bytes."""
    digest = hashlib.sha256(f"{image.mode} {image.width} {image.height}\n".encode())
    for rows in _bands(image):
        digest.update(rows.tobytes())
    return digest.hexdigest()
