"""Pictures that are no squares leave the lab with a bundle, and come back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from analysis.bundle.read import import_bundle
from generation.models import SourceImage
from survey.models import Study
from survey.studies.lifecycle import open_study
from tests.analysis.test_bundle import written
from tests.analysis.test_exports import people_answer

pytestmark = pytest.mark.django_db


def test_a_bundle_has_pictures_in_their_own_shapes(
    two_shapes: Any, tmp_path: Path
) -> None:
    SourceImage.objects.update(licence="CC0 1.0", credit="Ada")
    study = Study.objects.create(
        title="S", experiment=two_shapes, owner=two_shapes.owner,
        controller="x", contact="y", ethics_reference="z",
    )  # fmt: skip
    open_study(study)
    people_answer(study, 3, 4)
    path = written(study, tmp_path / "bundle.zip")
    again = import_bundle(path, owner=two_shapes.owner)
    sizes = []
    for stimulus in again.stimuli.all():
        with Image.open(stimulus.picture.path) as picture:
            assert (stimulus.width, stimulus.height) == picture.size
            sizes.append(picture.size)
    assert sorted(sizes) == [(32, 48), (32, 48), (48, 32), (48, 32)]
