"""How a picture comes to its size: kept in shape, cut to another one, or squashed.

Pure: no torch, so that the web process says beforehand what a worker will do.
"""

from __future__ import annotations

import re

from generation.engine.errors import SettingsError

Size = tuple[int, int]  # width, height
Box = tuple[int, int, int, int]  # left, top, right, bottom

FITS = ("aspect", "crop", "square")
# The middle of a picture, as a focus is written: shares of its width and height.
CENTRE = "0.5 0.5"


def focus_text(x: float, y: float) -> str:
    """A focus as a setting has it: shares of width and height, 0 to 1, as `0.3 0.5`."""
    return f"{round(x, 4) + 0.0:g} {round(y, 4) + 0.0:g}"


def checked_focus(name: str, value: object) -> str:
    """The one text of a focus. Raises `SettingsError`, which names the setting."""
    if isinstance(value, str) and len(parts := re.split(r"[\s/]+", value.strip())) == 2:
        try:
            x, y = map(float, parts)
        except ValueError:
            x = y = -1.0
        if 0 <= x <= 1 and 0 <= y <= 1:
            return focus_text(x, y)
    raise SettingsError(
        name,
        f"{name} must be two shares from 0 to 1, of the width and of the height, as "
        f"{CENTRE}; got {value!r}.",
    )


def fitted(fit: str, size: Size, side: int) -> Size:
    """The size that a picture of `size` gets: its long side `side` and its aspect
    ratio with `aspect`, else a square; 1 at least."""
    if fit != "aspect":
        return side, side
    width, height = size
    longest = max(width, height)
    return max(1, round(width * side / longest)), max(1, round(height * side / longest))


def cut(size: Size, shape: Size, focus: str) -> Box:
    """The largest part of a picture of `size` with the aspect ratio of `shape`, its
    middle as near to the focus as the picture's edges allow."""
    width, height = size
    wide = min(width, max(1, round(height * shape[0] / shape[1])))
    high = min(height, max(1, round(width * shape[1] / shape[0])))
    x, y = map(float, focus.split())
    left = min(max(0, round(x * width - wide / 2)), width - wide)
    top = min(max(0, round(y * height - high / 2)), height - high)
    return left, top, left + wide, top + high


def position(size: Size, box: Box) -> tuple[float, float]:
    """Where a part lies in a picture of `size`: shares of the room there is to move
    it in, as CSS's `object-position` has them; a half where there is none."""
    room = size[0] - (box[2] - box[0]), size[1] - (box[3] - box[1])
    return tuple(
        at / free if free else 0.5 for at, free in zip(box[:2], room, strict=True)
    )  # type: ignore[return-value]


def seen(fit: str, size: Size, focus: str) -> Box:
    """The part of a content or style picture that a render sees."""
    return cut(size, (1, 1), focus) if fit == "crop" else (0, 0, *size)
