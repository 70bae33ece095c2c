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
from generation.engine.pictures.files import (
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
        monkeypatch.setattr("generation.engine.pictures.files.BAND_PIXELS", pixels)
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


def png_of(pixels: np.ndarray, more: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
    """A PNG of (height, width, channels), 8 or 16 bits, with further chunks."""

    def chunk(name: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    height, width, channels = pixels.shape
    bits = 8 * pixels.dtype.itemsize
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    rows = pixels.astype(pixels.dtype.newbyteorder(">")).reshape(height, -1)
    body = chunk(b"IHDR", header) + b"".join(chunk(*each) for each in more)
    body += chunk(b"IDAT", zlib.compress(b"".join(b"\0" + r.tobytes() for r in rows)))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def deep_png(
    width: int, height: int, more: Sequence[tuple[bytes, bytes]] = ()
) -> bytes:
    """A 16-bit RGB PNG, which Pillow reads and does not write."""
    return png_of(np.full((height, width, 3), 0x8040, np.uint16), more)


def test_it_says_so_when_it_reduces_sixteen_bits_of_colour() -> None:
    opened = open_picture(deep_png(20, 20))
    assert opened.notes == ("Reduced from 16 to 8 bits per channel.",)
    assert opened.image.getpixel((0, 0)) == (128, 128, 128)
    # 172 pixels make rows of 516 bytes, which says nothing about bits
    assert open_picture(saved(picture(1, 172, 32), "BMP")).notes == ()


def every_sixteen_bits(channels: int) -> np.ndarray:
    """(20, 16, channels) values of 16 bits near the halves where rounding decides."""
    v = np.arange(0, 256, dtype=np.int64) * 257
    near = np.concatenate([v, v[:-1] + 128, v[:-1] + 129, [255, 0xFF00]])
    drawn = np.random.default_rng(4).choice(near, (20, 16, channels))
    drawn[0, :2, 0] = 255, 0xFF00  # cut to their high bytes: 0 and 255
    return drawn.astype(np.uint16)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_it_rounds_every_channel_of_sixteen_bits(channels: int) -> None:
    values = every_sixteen_bits(channels)
    alpha = values[..., -1:] if channels in (2, 4) else None
    if alpha is not None:
        alpha[:] = np.where(alpha > 30_000, 65_535, 0)
    opened = open_picture(png_of(values))

    colours = values if alpha is None else values[..., :-1]
    expected = np.floor(np.broadcast_to(colours, (20, 16, 3)) / 257 + 0.5)
    if alpha is not None:
        expected = np.where(alpha > 0, expected, 255)
    assert np.array_equal(np.asarray(opened.image), expected)
    assert "Reduced from 16 to 8 bits per channel." in opened.notes


@pytest.mark.parametrize("deflated", [False, True])  # by Pillow, by libtiff
@pytest.mark.parametrize("order", ["<", ">"])
def test_it_rounds_a_tiff_of_sixteen_bits_in_either_order(
    order: str, deflated: bool
) -> None:
    values = every_sixteen_bits(3)
    opened = open_picture(deep_tiff(values, order, deflated=deflated))
    assert np.array_equal(np.asarray(opened.image), np.floor(values / 257 + 0.5))


def deep_tiff(pixels: np.ndarray, order: str, *, deflated: bool) -> bytes:
    """A 16-bit RGB TIFF in one strip, which Pillow does not write."""
    height, width, channels = pixels.shape
    data = pixels.astype(f"{order}u2").tobytes()
    data = zlib.compress(data) + b"\0" * 2 if deflated else data
    data += b"\0" * (len(data) % 2)
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, 8 + len(data)),
               (259, 3, 1, 8 if deflated else 1), (262, 3, 1, 2), (273, 4, 1, 8),
               (277, 3, 1, channels), (278, 4, 1, height),
               (279, 4, 1, len(data))]  # fmt: skip
    end = 8 + len(data) + 6
    file = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, end)
    file += data + struct.pack(f"{order}3H", 16, 16, 16)
    file += struct.pack(f"{order}H", len(entries))
    for tag, kind, count, value in entries:
        short = kind == 3 and count == 1
        packed = struct.pack(f"{order}{'HH' if short else 'I'}", value, *[0] * short)
        file += struct.pack(f"{order}HHI", tag, kind, count) + packed
    return file + struct.pack(f"{order}I", 0)


def gamma(value: int) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", value)


SRGB = (b"sRGB", b"\0")


def seen_as(value: float, gamma: float) -> int:
    """What a browser shows for a value of 0 to 1 under gAMA, by IEC 61966-2-1."""
    light = value ** (1 / gamma)
    encoded = (
        12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055
    )
    return round(255 * encoded)


def test_it_shows_linear_light_as_a_browser_does() -> None:
    assert seen_as(100 / 255, 1) == 168
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    for channels in (1, 3):
        pixels = np.repeat(ramp, channels, 2)
        opened = open_picture(png_of(pixels, [gamma(100_000)]))
        shown = np.asarray(opened.image)
        assert shown.reshape(256, 3)[100].tolist() == [168] * 3
        expected = [seen_as(value / 255, 1) for value in range(256)]
        assert shown.reshape(256, 3)[:, 0].tolist() == expected
        assert "Converted from gamma 1 to sRGB." in opened.notes


def test_it_converts_sixteen_bits_of_linear_light_before_they_are_reduced() -> None:
    dark = np.linspace(0, 2000, 20 * 16 * 3).astype(np.uint16).reshape(20, 16, 3)
    opened = open_picture(png_of(dark, [gamma(100_000)]))
    expected = [seen_as(value / 65535, 1) for value in dark.ravel()]
    assert np.asarray(opened.image).ravel().tolist() == expected
    assert len(set(expected)) > 40  # eight bits first would leave eight


def test_its_transparency_has_no_gamma() -> None:
    pixels = np.full((20, 16, 4), 100, np.uint8)
    opened = open_picture(png_of(pixels, [gamma(100_000)]))
    shown = 168 * 100 / 255 + 255 * 155 / 255
    assert abs(opened.image.getpixel((0, 0))[0] - shown) <= 1  # type: ignore[index]


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [gamma(45_455)],
        [gamma(45_450)],
        [gamma(45_460)],
        [gamma(100_000), SRGB],
        [gamma(100_000), (b"cICP", bytes((1, 13, 0, 1)))],
    ],
)
def test_it_leaves_pixels_that_are_srgb_alone(
    chunks: list[tuple[bytes, bytes]],
) -> None:
    pixels = np.arange(768, dtype=np.int64).reshape(16, 16, 3).astype(np.uint8)
    opened = open_picture(png_of(pixels, chunks))
    assert np.array_equal(np.asarray(opened.image), pixels)
    assert opened.notes == ()


def test_a_profile_counts_before_a_gamma_and_a_code_before_a_profile() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    embedded = (b"iCCP", b"x\0\0" + zlib.compress(profile))
    swapped = profile.replace(b"rXYZ", b"tXYZ").replace(b"bXYZ", b"rXYZ")
    swapped = swapped.replace(b"tXYZ", b"bXYZ")
    swapped = swapped.replace("sRGB".encode("utf-16-be"), "SwRB".encode("utf-16-be"))
    other = (b"iCCP", b"x\0\0" + zlib.compress(swapped))
    code = (b"cICP", bytes((1, 13, 0, 1)))
    pixels = np.arange(768, dtype=np.int64).reshape(16, 16, 3).astype(np.uint8)
    for chunks in ([gamma(100_000), embedded], [code, other]):
        opened = open_picture(png_of(pixels, chunks))
        assert np.array_equal(np.asarray(opened.image), pixels)
        assert opened.notes == ()


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ((9, 16, 0, 1), "HDR with PQ"),
        ((12, 13, 0, 1), "P3"),
        ((1, 1, 0, 1), "not sRGB"),
    ],
)
def test_it_refuses_a_colour_space_that_only_a_code_names(
    code: tuple[int, ...], name: str
) -> None:
    pixels = np.zeros((20, 16, 3), np.uint8)
    with pytest.raises(ImageRefused, match=rf"cICP {'-'.join(map(str, code))}.*{name}"):
        open_picture(png_of(pixels, [(b"cICP", bytes(code))]))


def test_it_says_which_colours_of_a_png_it_could_not_heed() -> None:
    pixels = np.full((20, 16, 3), 100, np.uint8)
    adobe = struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)
    opened = open_picture(png_of(pixels, [gamma(45_455), (b"cHRM", adobe)]))
    assert "primaries (cHRM)" in opened.notes[0]
    opened = open_picture(png_of(pixels, [gamma(0)]))
    assert opened.notes == ("Its gamma (gAMA) is 0 and was ignored.",)
    assert opened.image.getpixel((0, 0)) == (100, 100, 100)


def test_it_says_that_it_turned_a_tiff() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for compression in ("raw", "tiff_lzw"):
        data = saved(picture(1, 64, 32), "TIFF", exif=exif, compression=compression)
        opened = open_picture(data)
        assert opened.image.size == (32, 64)
        assert opened.notes == ("Turned upright as its EXIF orientation says.",)


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
