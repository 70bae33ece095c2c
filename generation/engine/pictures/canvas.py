"""The canvas: sizes, colour, where a render starts, and pixels to pictures.

Tensors are (1, 3, height, width), RGB, 0-255, on the CPU.
"""

from __future__ import annotations

from typing import Literal

import torch
from PIL import Image
from torch import Tensor

from generation.engine import shapes
from generation.engine.errors import SettingsError
from generation.engine.pictures.files import pixel_sha256
from generation.engine.settings import RenderSettings, check_shape
from generation.engine.shapes import CENTRE, Size

# How much of its contrast, around mid-grey, noise keeps where the search stays inside
# 0-255: what is left of full noise is grain in the finished picture.
SOFT = 0.3


def canvas_size(settings: RenderSettings, content: Image.Image, side: int) -> Size:
    """The generated picture's size when its (long) side is `side`."""
    return check_shape(settings, content.size, "content", side)


def style_size(settings: RenderSettings, style: Image.Image, side: int) -> Size:
    """The size at which the style is read beside a canvas of side `side`."""
    return check_shape(settings, style.size, "style", side)


def seen(picture: Image.Image, settings: RenderSettings, focus: str) -> Image.Image:
    """The part of a content or style picture that a render sees: all, or a square."""
    return _cropped(picture, shapes.seen(settings.fit, picture.size, focus))


def _cropped(picture: Image.Image, box: shapes.Box) -> Image.Image:
    return picture if box == (0, 0, *picture.size) else picture.crop(box)


def resized(picture: Image.Image, size: Size, resample: str) -> Image.Image:
    """The picture at `size`; one that has it already is not resampled."""
    if picture.size == size:
        return picture
    return picture.resize(size, Image.Resampling[resample.upper()])


def to_tensor(picture: Image.Image) -> Tensor:
    """An RGB picture as float32."""
    flat = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    height, width = picture.height, picture.width
    return flat.view(1, height, width, 3).permute(0, 3, 1, 2).float().contiguous()


def to_image(
    pixels: Tensor, rounding: Literal["nearest", "down"] = "nearest"
) -> Image.Image:
    """The picture of a tensor: clipped to 0-255 and rounded to whole values, half
    to even, or cut off ("down")."""
    values = pixels[0].detach().clamp(0, 255)
    if rounding == "nearest":
        values = values.round()
    array = values.to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()
    return Image.frombytes("RGB", (array.shape[1], array.shape[0]), array.tobytes())


def start_pixels(
    settings: RenderSettings,
    content: Tensor,
    style: Image.Image,
    picture: Image.Image | None,
) -> Tensor:
    """Where the render starts, in the shape of `content`.

    A picture of another shape is cut to it, or squashed where `fit` is `square`.
    Noise is uniform in 0-255 from a CPU generator, whatever the device; where the
    search stays inside that range, at 30 % of its contrast around mid-grey.
    """
    kind, _, named = settings.start.partition(":")
    height, width = content.shape[2:]
    if kind == "content":
        return content.clone()
    if kind == "style":
        return _start(settings, style, (width, height), settings.style_focus)
    if kind == "picture":
        if picture is None or pixel_sha256(picture) != named:
            raise SettingsError(
                "start",
                f"start names a picture whose pixels have the sha256 {named}: "
                "give that picture.",
            )
        return _start(settings, picture, (width, height), CENTRE)
    generator = torch.Generator().manual_seed(settings.seed)
    noise = torch.rand(content.shape, generator=generator) * 255
    if settings.range == "inside":
        noise = 127.5 + SOFT * (noise - 127.5)
    else:
        noise += torch.tensor(settings.how.noise_offset(settings)).view(1, 3, 1, 1)
    if kind == "blend":
        return settings.blend * noise + (1 - settings.blend) * content
    return noise


def _start(
    settings: RenderSettings, picture: Image.Image, size: Size, focus: str
) -> Tensor:
    if settings.fit != "square":
        picture = _cropped(picture, shapes.cut(picture.size, size, focus))
    return to_tensor(resized(picture, size, settings.resample))


# Luma and two colour differences of ITU-R BT.601, on R'G'B'.
_LUMA = torch.tensor([0.299, 0.587, 0.114])


def grey(picture: Image.Image) -> Image.Image:
    """The picture's luma in all three channels."""
    luma = _flat(picture) @ _LUMA.double()
    return _picture(luma[:, None].expand(-1, 3), picture.size)


def prepared(
    settings: RenderSettings, content: Image.Image, style: Image.Image
) -> tuple[Image.Image, Image.Image]:
    """What of the two pictures is seen, as the colour setting has it painted.

    Gatys et al., *Preserving Color in Neural Artistic Style Transfer* (2016):
    section 4 (luminance only), section 3 (colour histogram matching).
    """
    content = seen(content, settings, settings.content_focus)
    style = seen(style, settings, settings.style_focus)
    if settings.colour == "free":
        return content, style
    pixels, reference = _flat(style), _flat(content)
    if settings.colour == "luminance":
        wanted, luma = reference @ _LUMA.double(), pixels @ _LUMA.double()
        spread = luma.std() if luma.std() > 0 else torch.ones(())
        luma = (luma - luma.mean()) / spread * wanted.std() + wanted.mean()
        return grey(content), _picture(luma[:, None].expand(-1, 3), style.size)
    centre = reference.mean(0)
    linear = _root(reference) @ torch.linalg.pinv(_root(pixels))
    matched = (pixels - pixels.mean(0)) @ linear.T + centre
    return content, _picture(matched, style.size)


def recoloured(settings: RenderSettings, painted: Tensor, content: Tensor) -> Tensor:
    """The painted luminance with the content's colours, when that was asked for."""
    if settings.colour != "luminance":
        return painted
    luma = _LUMA.to(painted).view(1, 3, 1, 1)
    content = content.to(painted)
    change = ((painted - content) * luma).sum(1, keepdim=True)
    return content + change


def _flat(picture: Image.Image) -> Tensor:
    return to_tensor(picture)[0].flatten(1).T.double()


def _picture(pixels: Tensor, size: Size) -> Image.Image:
    tensor = pixels.T.reshape(1, 3, size[1], size[0])
    return to_image(tensor)


def _root(pixels: Tensor) -> Tensor:
    """The symmetric square root of the covariance of (pixels, 3)."""
    values, vectors = torch.linalg.eigh(torch.cov(pixels.T))
    return vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T
