"""Every broken or strange picture gets a sentence; none gets a traceback."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image, ImageCms

from generation.models import SourceImage
from tests.conftest import png

ADD = "/admin/generation/sourceimage/add/"

pytestmark = pytest.mark.django_db


def upload(logged_in: Any, data: bytes, name: str = "photo.png", **fields: str) -> Any:
    return logged_in.post(
        ADD,
        {
            "upload": SimpleUploadedFile(name, data),
            "title": "",
            "credit": "",
            "licence": "",
            "consent": "nobody",
        }
        | fields,
        follow=True,
    )


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pixels(row: SourceImage) -> Image.Image:
    with row.picture.open() as file:
        return Image.open(io.BytesIO(file.read())).convert("RGB")


def huge_png_header() -> bytes:
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", len(header))
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + struct.pack(">I", 10)
        + b"IDAT"
    )


def test_it_keeps_an_upright_srgb_picture_without_metadata(logged_in: Any) -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    image = Image.new("RGB", (40, 20), "teal")
    upload(logged_in, saved(image, "JPEG", exif=exif), "my holiday.jpg")
    row = SourceImage.objects.get()
    assert row.title == "my holiday"
    assert (row.width, row.height) == (40, 20)
    with row.picture.open() as file:
        data = file.read()
    assert b"taken at home" not in data
    assert Image.open(io.BytesIO(data)).format == "PNG"
    assert row.owner is not None and row.owner.username == "ada"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"this is a text file\n" * 20, "not a picture in a supported format"),
        (huge_png_header(), "too large"),
        (saved(Image.effect_noise((80, 80), 40), "JPEG")[:900], "damaged or cut short"),
        (b"", "empty"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "not a picture"),
    ],
    ids=["text named .png", "30000 x 30000", "truncated JPEG", "empty file", "svg"],
)
def test_it_refuses_with_a_sentence(logged_in: Any, data: bytes, sentence: str) -> None:
    response = upload(logged_in, data)
    assert response.status_code == 200
    assert sentence in response.content.decode()
    assert not SourceImage.objects.exists()


def test_a_file_too_large_is_refused_before_it_is_read(
    logged_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("generation.pictures.fields.LARGEST_UPLOAD", 100)
    response = upload(logged_in, png())
    assert "at most" in response.content.decode()


def test_a_cmyk_jpeg_becomes_srgb_and_says_so(logged_in: Any) -> None:
    image = Image.new("CMYK", (40, 40), (0, 255, 255, 0))
    response = upload(logged_in, saved(image, "JPEG"), "print.jpg")
    assert "CMYK" in response.content.decode()
    red, green, blue = pixels(SourceImage.objects.get()).getpixel((20, 20))  # type: ignore[misc]
    assert red > 180 and green < 80 and blue < 80


def test_an_exif_rotated_photo_stands_upright_and_says_so(logged_in: Any) -> None:
    image = Image.new("RGB", (40, 20), "black")
    image.paste("white", (0, 0, 20, 20))  # left half white
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the left is the top
    response = upload(logged_in, saved(image, "JPEG", exif=exif), "turned.jpg")
    assert "upright" in response.content.decode()
    row = SourceImage.objects.get()
    assert (row.width, row.height) == (20, 40)
    assert pixels(row).getpixel((10, 5)) == (255, 255, 255)


def test_an_animated_gif_gives_its_first_frame_and_says_so(logged_in: Any) -> None:
    frames = [Image.new("RGB", (32, 32), color) for color in ("red", "blue")]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    response = upload(logged_in, data, "dance.gif")
    assert "first frame" in response.content.decode()
    assert pixels(SourceImage.objects.get()).getpixel((1, 1)) == (255, 0, 0)


def wide_gamut_profile() -> bytes:
    """An RGB profile whose red is redder than sRGB's: sRGB with swapped primaries.

    Pillow ships no Display P3 profile, so this writes one: the published primaries
    (SMPTE EG 432-1), D50-adapted, with sRGB's gamma approximated by 2.2.
    """
    base = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    data = bytearray(base.tobytes())
    columns = {  # Display P3 colourants in the profile connection space
        b"rXYZ": (0.51512, 0.24120, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.15710, 0.06657, 0.78407),
    }
    count = struct.unpack(">I", data[128:132])[0]
    for index in range(count):
        entry = 132 + 12 * index
        name = bytes(data[entry : entry + 4])
        offset = struct.unpack(">I", data[entry + 4 : entry + 8])[0]
        if name in columns:
            numbers = [round(value * 65536) for value in columns[name]]
            data[offset + 8 : offset + 20] = struct.pack(">3i", *numbers)
        elif name == b"desc":
            text = bytes(data[offset : offset + 400])
            renamed = text.replace(
                "sRGB".encode("utf-16-be"), "P3-D".encode("utf-16-be")
            )
            data[offset : offset + 400] = renamed.replace(b"sRGB", b"P3-D")
    return bytes(data)


def test_a_display_p3_photo_is_converted(logged_in: Any) -> None:
    image = Image.new("RGB", (32, 32), (200, 100, 50))
    response = upload(logged_in, saved(image, "PNG", icc_profile=wide_gamut_profile()))
    assert "to sRGB" in response.content.decode()
    # Display P3 (200, 100, 50) is sRGB (215, 93, 31), by the matrices of both.
    found = pixels(SourceImage.objects.get()).getpixel((5, 5))
    assert all(
        abs(a - b) <= 3
        for a, b in zip(found, (215, 93, 31), strict=True)  # type: ignore[arg-type]
    ), found


def test_pictures_are_for_staff_with_the_right_only(
    client: Any, logged_in: Any, stranger: Any
) -> None:
    upload(logged_in, png())
    row = SourceImage.objects.get()
    address = f"/pictures/source/{row.pk}/picture.png"
    assert logged_in.get(address)["Content-Type"] == "image/png"
    client.logout()
    assert client.get(address).status_code == 302
    client.force_login(stranger)
    assert client.get(address).status_code == 403
