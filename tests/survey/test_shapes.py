"""Pictures that are no squares, on every screen that shows some."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from PIL import Image

from generation.models import Experiment
from survey.models import Study
from survey.studies.lifecycle import open_study

from .test_session import join

pytestmark = pytest.mark.django_db

LYING, STANDING = (48, 32), (32, 48)


def shown(page: str) -> list[tuple[int, int]]:
    """Width and height of every picture on a page, as it says them."""
    found = re.findall(r'<img[^>]*width="(\d+)"\s+height="(\d+)"', page)
    return [(int(width), int(height)) for width, height in found]


@pytest.mark.parametrize(
    ("method", "pictures"), [("acr", 1), ("acr-hr", 1), ("dcr", 2), ("pairs", 2)]
)
def test_every_screen_shows_a_picture_at_its_own_size(
    client: Any, two_shapes: Experiment, method: str, pictures: int
) -> None:
    study = Study.objects.create(
        title="S", experiment=two_shapes, owner=two_shapes.owner, method=method,
        controller="x", contact="y", ethics_reference="z",
    )  # fmt: skip
    open_study(study)
    for stimulus in study.stimuli.all():
        with Image.open(stimulus.picture.path) as picture:
            assert (stimulus.width, stimulus.height) == picture.size
        if stimulus.reference is not None:
            there = stimulus.reference.width, stimulus.reference.height
            assert there == picture.size
    join(client, study)
    page = client.get(f"/s/{study.slug}/rate/").content.decode()
    sizes = shown(page)
    assert len(sizes) == pictures
    assert set(sizes) <= {LYING, STANDING}
    codes = re.findall(rf'src="(/s/{study.slug}/[^"]*)"\s+width', page)
    for address, size in zip(codes, sizes, strict=True):
        sent = b"".join(client.get(address))
        with Image.open(io.BytesIO(sent)) as picture:
            assert picture.size == size
