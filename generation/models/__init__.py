"""Source images, experiments, and renders with what carries and checks them.

Migrations name the functions here by this package.
"""

from __future__ import annotations

from generation.models.batches import Batch, lease_end
from generation.models.experiments import (
    Experiment,
    Pair,
    default_content_layers,
    default_tv_weights,
)
from generation.models.renders import (
    RANDOM_FEATURES,
    Render,
    RenderQuerySet,
    picture_name,
    preview_names,
)
from generation.models.reproductions import Reproduction
from generation.models.source_images import (
    SourceImage,
    source_image_path,
    start_picture,
    thumbnail_path,
)
from generation.models.weighings import Weighing
from generation.models.weights_at_hosts import WeightsAtHost
from generation.models.weights_fetches import WeightsFetch

__all__ = [
    "RANDOM_FEATURES",
    "Batch",
    "Experiment",
    "Pair",
    "Render",
    "RenderQuerySet",
    "Reproduction",
    "SourceImage",
    "Weighing",
    "WeightsAtHost",
    "WeightsFetch",
    "default_content_layers",
    "default_tv_weights",
    "lease_end",
    "picture_name",
    "preview_names",
    "source_image_path",
    "start_picture",
    "thumbnail_path",
]
