"""The scale of a study's ratings: its method's own, or that of imported ratings."""

from __future__ import annotations

from analysis.models import Import
from survey.methods import method_of
from survey.methods.scales import Scale
from survey.models import Study

FIELDS = ("scale_min", "scale_max", "scale_step")


def scale_of(study: Study) -> Scale:
    """The scale of a study's ratings."""
    return scale_by_origin(study, Import.objects.filter(study=study).first())


def scale_by_origin(study: Study, origin: Import | None) -> Scale:
    """The same where it is known what the study was imported from."""
    if origin is not None and origin.scale_step is not None:
        low, high, step = (getattr(origin, name) for name in FIELDS)
        return Scale(low, high, step, stated=True)
    return method_of(study).scale(study)
