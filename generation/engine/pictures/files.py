"""Pictures in and out: files of the world to upright 8-bit sRGB, and lossless PNG.

Pillow only, no numpy or torch: the web process opens uploads with it.
"""

from __future__ import annotations

import hashlib
import io
import math
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageCms, ImageFile, ImageOps, UnidentifiedImageError

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

# PNG, third edition, 11.3.2: what its colour chunks hold.
_SRGB_GAMMA, _NEAR_SRGB = 45455, 5
_SRGB_PRIMARIES = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
_NEAR_PRIMARIES = 100
_CICP_SRGB = (1, 13, 0, 1)
_CICP_NAMES: dict[tuple[int, ...], str] = {
    (9, 16): "HDR with PQ",
    (9, 18): "HDR with HLG",
    (12, 13): "Display P3",
}


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
    with _refusing(), _opened(source) as file:
        colour = _PngColour.of(file)
        with Image.open(file, formats=FORMATS) as picture:
            _check_size(*picture.size, min_side)
            return _decode(picture, file, colour)


def _opened(
    source: bytes | Path | BinaryIO,
) -> nullcontext[BinaryIO] | BinaryIO:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    return source.open("rb") if isinstance(source, Path) else nullcontext(source)


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


@dataclass(frozen=True)
class _PngColour:
    """What the chunks of a PNG say about its colours; all empty for other files.

    Of those that are there one counts (third edition, 4.3): cICP, else iCCP, else
    sRGB, else gAMA with cHRM. Pillow keeps cICP to itself.
    """

    cicp: tuple[int, ...] = ()
    has_profile: bool = False
    is_srgb: bool = False
    gamma: int | None = None  # of light to value, times 100,000
    primaries: tuple[int, ...] = ()

    @classmethod
    def of(cls, file: BinaryIO) -> _PngColour:
        """Read the chunks before the pixels; the file is left where it was."""
        start = file.tell()
        try:
            if file.read(8) != b"\x89PNG\r\n\x1a\n":
                return cls()
            found: dict[bytes, bytes] = {}
            while len(head := file.read(8)) == 8:
                length, name = int.from_bytes(head[:4]), head[4:]
                if name in (b"IDAT", b"IEND"):
                    break
                if name in (b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM"):
                    found.setdefault(name, file.read(min(length, 32)))
                    length -= min(length, 32)
                file.seek(length + 4, io.SEEK_CUR)
        finally:
            file.seek(start)
        gamma, primaries = found.get(b"gAMA", b""), found.get(b"cHRM", b"")
        return cls(
            cicp=tuple(found.get(b"cICP", b"")[:4]),
            has_profile=b"iCCP" in found,
            is_srgb=b"sRGB" in found,
            gamma=int.from_bytes(gamma) if len(gamma) == 4 else None,
            primaries=struct.unpack(">8I", primaries) if len(primaries) == 32 else (),
        )

    def refuse_what_cannot_be_shown(self) -> None:
        """Raise ImageRefused for a colour space that only cICP can name."""
        if self.cicp and self.cicp != _CICP_SRGB:
            name = _CICP_NAMES.get(self.cicp[:2], "not sRGB")
            code = "-".join(map(str, self.cicp))
            raise ImageRefused(
                f"The picture is in a colour space that is not converted here "
                f"(cICP {code}, {name}): save it as sRGB."
            )

    def to_srgb(self, notes: list[str]) -> Callable[[float], float] | None:
        """A value of the file, 0 to 1, as sRGB's; None where they are the same."""
        if self.cicp or self.has_profile or self.is_srgb or self.gamma is None:
            return None
        if any(
            abs(ours - srgb) > _NEAR_PRIMARIES
            for ours, srgb in zip(self.primaries, _SRGB_PRIMARIES, strict=False)
        ):
            notes.append(
                "Its primaries (cHRM) are not sRGB's and were ignored: with a colour "
                "profile instead its colours would be converted."
            )
        if abs(self.gamma - _SRGB_GAMMA) <= _NEAR_SRGB:
            return None
        if self.gamma == 0:
            notes.append("Its gamma (gAMA) is 0 and was ignored.")
            return None
        exponent = 100_000 / self.gamma
        notes.append(f"Converted from gamma {self.gamma / 100_000:g} to sRGB.")
        return lambda value: _srgb_of_light(value**exponent)


def _srgb_of_light(light: float) -> float:
    """Linear light, 0 to 1, as sRGB's value, 0 to 1 (IEC 61966-2-1)."""
    if light <= 0.0031308:
        return 12.92 * light
    return 1.055 * math.pow(light, 1 / 2.4) - 0.055


def _table(steps: int, curve: Callable[[float], float] | None) -> list[int]:
    """Every value below `steps` as 8 bits, rounded, through `curve` if there is one."""
    most = steps - 1
    curve = curve or (lambda value: value)
    return [int(255 * curve(value / most) + 0.5) for value in range(steps)]


def _decode(
    picture: ImageFile.ImageFile, file: BinaryIO, colour: _PngColour
) -> OpenedPicture:
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
    colour.refuse_what_cannot_be_shown()
    raw_mode = _raw_mode_of_16_bits(picture)
    sixteen = picture.mode.startswith("I") or raw_mode is not None
    profile = None if colour.cicp else picture.info.get("icc_profile")
    # Pillow turns a TIFF while it loads it, and forgets that it did.
    turned = name == "TIFF" and picture.getexif().get(0x0112, 1) not in (0, 1)
    picture.load()

    # No step keeps a copy beside what it makes: 40 million pixels are 160 MB each time.
    image: Image.Image = picture
    if picture.getexif().get(0x0112, 1) not in (0, 1):
        image, turned = ImageOps.exif_transpose(picture), True
    if turned:
        notes.append("Turned upright as its EXIF orientation says.")
    curve = colour.to_srgb(notes)
    if sixteen:
        notes.append("Reduced from 16 to 8 bits per channel.")
        if image.info.pop("transparency", None) is not None:
            notes.append("Its transparent colour has 16 bits and was ignored.")
        if raw_mode is not None:
            image = _rounded(image, file, raw_mode, curve)
        else:
            image = image.convert("I").point(_table(1 << 16, curve), "L")
        curve = None
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
    if curve is not None:
        image = image.point(_table(256, curve) * len(image.getbands()))
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


def _raw_mode_of_16_bits(picture: ImageFile.ImageFile) -> str | None:
    """How the file lays out channels of 16 bits that Pillow's decoder would cut to
    their high bytes; None where it cuts nothing."""
    if picture.format not in ("PNG", "TIFF"):
        return None
    for tile in getattr(picture, "tile", ()):
        arguments = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        if ";16" in str(arguments[0]) and not picture.mode.startswith("I"):
            return str(arguments[0])
    return None


def _rounded(
    high: Image.Image,
    file: BinaryIO,
    raw_mode: str,
    curve: Callable[[float], float] | None,
) -> Image.Image:
    """A picture of 16-bit channels rounded to 8 bits, its alpha as it is and all else
    through `curve`. `high` holds the channels' high bytes, upright.

    Pillow has no mode for them, so the file is decoded once more, with the bytes of
    each channel taken in the other order, which gives the low ones.
    """
    layout, _, order = raw_mode.partition(";16")
    if layout == "RGBa":  # premultiplied: there the high bytes are not the file's
        return high
    if order == "N":
        order = "L" if sys.byteorder == "little" else "B"
    # No decoder swaps grey with alpha: its four bytes are read as four channels.
    other = "RGBA" if layout == "LA" else f"{layout};16{'L' if order == 'B' else 'B'}"
    file.seek(0)
    with Image.open(file, formats=FORMATS) as again:
        again.tile = [_with_raw_mode(tile, other) for tile in again.tile]
        again.load()
        low: Image.Image = ImageOps.exif_transpose(again)
    if layout == "LA":
        grey, low_grey, opaque, low_opaque = low.split()
        high = Image.merge("LA", (grey, opaque))
        low = Image.merge("LA", (low_grey, low_opaque))
    plain, curved = _table(1 << 16, None), _table(1 << 16, curve)
    rounded = Image.new(high.mode, high.size)
    top = 0
    for above, below in zip(_bands(high), _bands(low), strict=True):
        pairs = zip(high.getbands(), above.split(), below.split(), strict=True)
        channels = []
        for name, more, less in pairs:
            # The low byte before the high one makes a little-endian number.
            both = Image.merge("LA", (less, more)).tobytes()
            whole = Image.frombytes("I;16", less.size, both).convert("I")
            channels.append(whole.point(plain if name == "A" else curved, "L"))
        rounded.paste(Image.merge(high.mode, channels), (0, top))
        top += above.height
    return rounded


def _with_raw_mode(tile: ImageFile._Tile, raw_mode: str) -> ImageFile._Tile:
    rest = tile.args[1:] if isinstance(tile.args, tuple) else None
    return tile._replace(args=raw_mode if rest is None else (raw_mode, *rest))


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
