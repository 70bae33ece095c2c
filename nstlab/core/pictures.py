"""Stored pictures as answers: from the store, or by nginx."""

from __future__ import annotations

from django.conf import settings
from django.db.models.fields.files import FieldFile
from django.http import FileResponse, Http404, HttpResponse
from django.http.response import HttpResponseBase

FOR_EVER = "private, max-age=31536000, immutable"


def send_picture(field: FieldFile, kind: str = "png") -> HttpResponseBase:
    """A stored picture, cacheable for ever: its address changes when its pixels do.

    Behind nginx only its name is sent, and nginx sends the file.
    """
    if not field.name:
        raise Http404("There is no picture yet.")
    response: HttpResponseBase
    if settings.NSTLAB_ACCEL:
        response = HttpResponse(content_type=f"image/{kind}")
        response["X-Accel-Redirect"] = settings.NSTLAB_ACCEL + field.name
    else:
        try:
            file = field.storage.open(field.name)
        except FileNotFoundError as error:
            raise Http404("The picture's file is missing.") from error
        response = FileResponse(file, content_type=f"image/{kind}")
    response["Cache-Control"] = FOR_EVER
    return response
