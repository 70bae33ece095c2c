"""The picture that explains style scale, on the experiment's form and in the guide.

`python -m benchmarks.style_scale` draws it in a second; nothing is painted. The photo
is scikit-image's cat (Stéfan van der Walt, CC0 1.0), the style one of
`nstlab.drawn_styles`.
"""

from __future__ import annotations

from pathlib import Path

import skimage
from PIL import Image, ImageDraw

from generation.contact_sheet.figure import INK, PAPER, font
from generation.engine.shapes import cut, fitted
from nstlab.drawn_styles import stained_glass

OUT = Path(__file__).parents[1] / "generation/static/generation/style-scale.jpg"
SCALES = (0.5, 1.0, 2.0)
SIDE = 192  # of the render
# The style pictures are shown at this share of the size they are read at.
SHOWN = 0.5
GAP, LINE = 16, 18
FRAME = "#ff2d8a"  # seen on paper and on glass


def draw(photo: Image.Image, style: Image.Image) -> Image.Image:
    """Above, the style as large as it is read, with the outline of the render; below,
    the photo as large as it is painted, half under a piece of the style as it is read.
    """
    render = fitted("aspect", photo.size, SIDE)
    photo = photo.resize(render, Image.Resampling.LANCZOS)
    top = round(SIDE * max(SCALES) * SHOWN)
    width = len(SCALES) * (SIDE + GAP) - GAP
    page = Image.new("RGB", (width, LINE + top + GAP + render[1]), PAPER)
    pen = ImageDraw.Draw(page)
    for column, scale in enumerate(SCALES):
        left = column * (SIDE + GAP)
        pen.text((left, 0), f"style_scale = {scale:g}", INK, font(13))
        read = _resized(style, round(SIDE * scale))
        page.paste(_resized(style, round(SIDE * scale * SHOWN)), (left, LINE))
        frame = [round(side * SHOWN) for side in render]
        outline = left, LINE, left + frame[0] - 1, LINE + frame[1] - 1
        pen.rectangle(outline, outline=FRAME, width=3)
        page.paste(photo, (left, LINE + top + GAP))
        half = render[0] // 2, render[1]
        piece = _filled(read, half)
        page.paste(piece, (left + render[0] - half[0], LINE + top + GAP))
    return page


def _resized(picture: Image.Image, side: int) -> Image.Image:
    size = fitted("aspect", picture.size, side)
    return picture.resize(size, Image.Resampling.LANCZOS)


def _filled(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A piece out of a picture's middle, the picture repeated where it is small."""
    across, down = (
        -(-wanted // side) for wanted, side in zip(size, picture.size, strict=True)
    )
    page = Image.new("RGB", (across * picture.width, down * picture.height))
    for row in range(down):
        for column in range(across):
            page.paste(picture, (column * picture.width, row * picture.height))
    left, top, *_ = cut(page.size, size, "0.5 0.5")
    if across == down == 1:
        left, top = (page.width - size[0]) // 2, (page.height - size[1]) // 2
    return page.crop((left, top, left + size[0], top + size[1]))


def main() -> None:
    cat = Path(skimage.__file__).parent / "data" / "chelsea.png"
    with Image.open(cat) as file:
        page = draw(file.convert("RGB"), stained_glass())
    page.save(OUT, "JPEG", quality=82, optimize=True)


if __name__ == "__main__":
    main()
