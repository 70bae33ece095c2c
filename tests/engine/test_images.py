from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from generation.engine.errors import ImageRefused
from generation.engine.images import (
    is_bare_png,
    open_picture,
    picture_header,
    pixel_sha256,
    png_bytes,
)

from .conftest import picture


def saved(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    data = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + data + struct.pack(">I", zlib.crc32(data))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT\0\0\0\0"


def test_it_opens_every_supported_format_as_rgb() -> None:
    for format in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"):
        opened = open_picture(saved(picture(1), format))
        assert (opened.image.mode, opened.image.size) == ("RGB", (32, 32))
        assert opened.format == format
        assert opened.notes == ()


def test_it_opens_paths_and_files_as_well_as_bytes(tmp_path: Path) -> None:
    data = saved(picture(1))
    (tmp_path / "a.png").write_bytes(data)
    same = {
        pixel_sha256(open_picture(source).image)
        for source in (data, tmp_path / "a.png", io.BytesIO(data))
    }
    assert same == {pixel_sha256(picture(1))}


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"hello, I am a text", "not a picture"),
        (b"", "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
        (saved(picture(1, 64, 64), "JPEG")[:900], "cut short"),
        (saved(picture(1, 64, 64))[:900], "cut short"),
        (png_header(30_000, 30_000), "too large.*40 million"),
        (png_header(7_000, 6_000), "too large.*40 million"),
        (png_header(20_001, 16), "too long: 20001 × 16"),
        (png_header(16, 2_500_000), "too long: 16 × 2500000"),
        (saved(picture(1, 8, 40)), "too small: 8 × 40"),
    ],
)
def test_it_refuses_what_it_cannot_paint_in_a_sentence(
    data: bytes, sentence: str
) -> None:
    with pytest.raises(ImageRefused, match=sentence):
        open_picture(data)


def test_it_refuses_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ImageRefused, match="no such file"):
        open_picture(tmp_path / "none.png")


def test_it_reads_the_header_and_refuses_as_opening_would() -> None:
    file = io.BytesIO(saved(picture(1, 48, 32), "JPEG"))
    file.seek(9)
    assert picture_header(file) == ("JPEG", 48, 32)
    assert file.tell() == 0
    # Nothing but a header: to decode it would fail.
    assert picture_header(io.BytesIO(png_header(8_000, 5_000))) == ("PNG", 8000, 5000)
    for data, sentence in (
        (png_header(8_000, 5_001), "too large"),
        (png_header(20_001, 16), "too long"),
        (b"hello", "not a picture"),
    ):
        with pytest.raises(ImageRefused, match=sentence):
            picture_header(io.BytesIO(data))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_an_opened_picture_keeps_nothing_but_its_pixels(format: str) -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = saved(picture(1), format, exif=exif, icc_profile=profile)
    assert b"taken at home" in data
    opened = open_picture(data)
    assert opened.image.info == {} and not opened.image.getexif()
    assert is_bare_png(png_bytes(opened.image))
    assert b"taken at home" not in saved(opened.image, "JPEG")


def test_a_picture_is_named_alike_whatever_bands_it_is_read_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = picture(1, 31, 17)
    whole = hashlib.sha256(b"RGB 31 17\n" + image.tobytes()).hexdigest()
    for pixels in (1, 40, 31 * 17, 10**6):
        monkeypatch.setattr("generation.engine.images.BAND_PIXELS", pixels)
        assert pixel_sha256(image) == whole


def test_it_lays_transparency_on_white_and_says_so() -> None:
    clear = Image.new("RGBA", (32, 32), (255, 0, 0, 0))
    clear.paste((0, 0, 255, 255), (0, 0, 16, 32))
    opened = open_picture(saved(clear))

    assert opened.image.getpixel((0, 0)) == (0, 0, 255)
    assert opened.image.getpixel((31, 0)) == (255, 255, 255)
    assert opened.notes == ("Its transparency was laid on white.",)


def test_it_uses_the_first_frame_of_an_animation_and_says_so() -> None:
    red, blue = (Image.new("RGB", (32, 32), name) for name in ("red", "blue"))
    data = saved(red, "GIF", save_all=True, append_images=[blue])
    opened = open_picture(data)

    assert opened.image.getpixel((0, 0)) == (255, 0, 0)
    assert opened.notes == ("The picture is animated; its first frame is used.",)


def test_it_turns_a_picture_upright_and_says_so() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    opened = open_picture(saved(picture(1, 64, 32), "JPEG", exif=exif))

    assert opened.image.size == (32, 64)
    assert opened.notes == ("Turned upright as its EXIF orientation says.",)


def test_it_reduces_sixteen_bits_to_eight_and_says_so() -> None:
    ramp = np.linspace(0, 65535, 32 * 32).reshape(32, 32).astype(np.uint16)
    opened = open_picture(saved(Image.fromarray(ramp)))

    values = np.asarray(opened.image)[..., 0]
    assert np.abs(values - ramp / 257).max() <= 0.51
    assert "Reduced from 16 to 8 bits per channel." in opened.notes
    assert "Converted from grey to sRGB." in opened.notes


@pytest.mark.parametrize("transparent", [False, True])
def test_it_says_so_when_it_converts_any_kind_of_grey(transparent: bool) -> None:
    left = Image.new("L", (32, 32), 255)
    left.paste(0, (0, 0, 16, 32))
    greys = {"1": left.convert("1"), "L": left, "P": left.convert("RGB").quantize(4)}
    for mode, image in greys.items():
        assert image.mode == mode
        clear: dict[str, object] = {"transparency": 0} if transparent else {}
        if transparent and mode == "P":
            clear["transparency"] = image.getpixel((0, 0))
        opened = open_picture(saved(image, **clear))
        assert "Converted from grey to sRGB." in opened.notes
        white = (255, 255, 255)
        assert opened.image.getpixel((0, 0)) == (white if transparent else (0, 0, 0))
        assert opened.image.getpixel((31, 0)) == white


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.int16])
def test_it_refuses_numbers_that_do_not_say_what_white_is(dtype: type) -> None:
    values = np.linspace(0, 1, 32 * 32).reshape(32, 32).astype(dtype)
    file = io.BytesIO()
    if dtype is np.int16:  # which Pillow reads and does not write
        Image.fromarray(values.astype(np.uint16)).save(file, "TIFF", tiffinfo={339: 2})
    else:
        Image.fromarray(values).save(file, "TIFF")
    with pytest.raises(ImageRefused, match="8 or 16 bits per channel"):
        open_picture(file.getvalue())


def test_it_says_that_a_transparent_colour_of_sixteen_bits_is_ignored() -> None:
    clear = struct.pack(">HHH", 0x8040, 0x8040, 0x8040)
    opened = open_picture(deep_png(20, 20, [(b"tRNS", clear)]))
    assert "Its transparent colour has 16 bits and was ignored." in opened.notes
    assert opened.image.getpixel((0, 0)) == (128, 128, 128)
    ramp = np.full((32, 32), 0x8040, np.uint16)
    opened = open_picture(saved(Image.fromarray(ramp), transparency=0x8040))
    assert "Its transparent colour has 16 bits and was ignored." in opened.notes
    assert opened.image.getpixel((0, 0)) == (128, 128, 128)


def deep_png(
    width: int, height: int, more: Sequence[tuple[bytes, bytes]] = ()
) -> bytes:
    """A 16-bit RGB PNG, which Pillow reads and does not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    row = b"\0" + b"\x80\x40" * (3 * width)
    body = chunk(b"IHDR", header) + b"".join(chunk(*each) for each in more)
    body += chunk(b"IDAT", zlib.compress(row * height))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def test_it_says_so_when_the_decoder_cuts_sixteen_bits_of_colour() -> None:
    opened = open_picture(deep_png(20, 20))
    assert opened.notes == ("Reduced from 16 to 8 bits per channel.",)
    assert opened.image.getpixel((0, 0)) == (128, 128, 128)
    # 172 pixels make rows of 516 bytes, which says nothing about bits
    assert open_picture(saved(picture(1, 172, 32), "BMP")).notes == ()


def test_it_converts_cmyk_and_says_so() -> None:
    opened = open_picture(saved(picture(1).convert("CMYK"), "JPEG"))

    assert opened.image.mode == "RGB"
    assert opened.notes == ("Converted from CMYK to sRGB.",)


def test_it_leaves_pixels_alone_that_are_srgb_already() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    opened = open_picture(saved(picture(1), icc_profile=profile))

    assert pixel_sha256(opened.image) == pixel_sha256(picture(1))
    assert opened.notes == ()


def test_it_converts_another_colour_space_and_says_so() -> None:
    """A profile made of sRGB's by exchanging its red and blue primaries."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exchanged = profile.replace(b"rXYZ", b"tXYZ").replace(b"bXYZ", b"rXYZ")
    exchanged = exchanged.replace(b"tXYZ", b"bXYZ")
    named = exchanged.replace("sRGB".encode("utf-16-be"), "SwRB".encode("utf-16-be"))
    opened = open_picture(saved(Image.new("RGB", (32, 32), "red"), icc_profile=named))

    red, green, blue = np.asarray(opened.image)[5, 5].tolist()
    assert blue >= 250
    assert red + green <= 10
    assert opened.notes == ("Converted from SwRB built-in to sRGB.",)


def test_it_ignores_a_profile_that_does_not_fit_and_says_so() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for profile in (lab, b"no profile"):
        opened = open_picture(saved(picture(1), icc_profile=profile))
        assert opened.notes == ("Its colour profile does not fit it and was ignored.",)


def test_it_writes_png_without_metadata_and_without_loss() -> None:
    image = picture(1)
    image.info["comment"] = "secret"
    data = png_bytes(image)

    assert b"secret" not in data
    assert {data[i + 4 : i + 8] for i in _chunks(data)} == {b"IHDR", b"IDAT", b"IEND"}
    assert pixel_sha256(open_picture(data).image) == pixel_sha256(image)


def _chunks(data: bytes) -> list[int]:
    starts, at = [], 8
    while at < len(data):
        starts.append(at)
        at += 12 + struct.unpack(">I", data[at : at + 4])[0]
    return starts


def test_it_knows_a_png_that_says_nothing_but_its_pixels() -> None:
    image = picture(1)
    data = png_bytes(image)
    assert is_bare_png(data)
    told = PngInfo()
    told.add_text("Author", "Ada")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert not is_bare_png(saved(image, pnginfo=told))
    assert not is_bare_png(saved(image, icc_profile=profile))
    assert not is_bare_png(saved(image.convert("L")))
    assert not is_bare_png(saved(image.convert("RGBA")))
    assert not is_bare_png(saved(image, format="JPEG"))
    damaged = bytearray(data)
    damaged[len(data) // 2] ^= 1
    for broken in (bytes(damaged), data[:-1], data[:20], data + b"Ada", b""):
        assert not is_bare_png(broken)


def test_it_names_pixels_by_mode_and_shape_too() -> None:
    wide, tall = Image.new("RGB", (40, 20)), Image.new("RGB", (20, 40))
    assert pixel_sha256(wide) != pixel_sha256(tall)
