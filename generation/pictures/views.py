"""Pictures for the researcher's side. Nothing here is public."""

from __future__ import annotations

from django.contrib.admin.views.decorators import staff_member_required
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_GET

from generation.engine.errors import ImageRefused
from generation.models import Render, SourceImage
from generation.pictures.decoding import DecoderBusy, small_jpeg
from nstlab.core.access import VIEW, seen_by, visible
from nstlab.core.pages import ask
from nstlab.core.pictures import FOR_EVER, send_picture

# A cell of a contact sheet, twice as fine as it is wide.
SHEET_SIDE = 320


@require_GET
@staff_member_required
def source_picture(request: HttpRequest, pk: int, kind: str) -> HttpResponseBase:
    """A source image or its thumbnail."""
    ask(request, SourceImage, VIEW)
    image = get_object_or_404(visible(SourceImage, request.user), pk=pk)
    return send_picture(image.thumbnail if kind == "thumbnail" else image.picture)


@require_GET
@staff_member_required
def render_picture(request: HttpRequest, pk: int) -> HttpResponseBase:
    """A finished render's picture."""
    ask(request, Render, VIEW)
    return send_picture(_seen_render(request, pk).picture)


@require_GET
@staff_member_required
def render_thumbnail(request: HttpRequest, pk: int) -> HttpResponseBase:
    """A finished render as small as a contact sheet shows it."""
    ask(request, Render, VIEW)
    field = _seen_render(request, pk).picture
    if not field.name:
        raise Http404("There is no picture yet.")
    try:
        file = field.storage.open(field.name)
    except FileNotFoundError as error:
        raise Http404("The picture's file is missing.") from error
    try:
        with file:
            jpeg = small_jpeg(file, SHEET_SIDE)
    except ImageRefused as error:
        raise Http404("The picture's file is damaged.") from error
    except DecoderBusy as busy:
        return HttpResponse(
            str(busy), status=503, headers={"Retry-After": busy.retry_after}
        )
    response = HttpResponse(jpeg, content_type="image/jpeg")
    response["Cache-Control"] = FOR_EVER
    return response


@require_GET
@staff_member_required
def render_preview(request: HttpRequest, pk: int, evaluations: int) -> HttpResponseBase:
    """The preview of a render that is being painted, a few seconds old."""
    ask(request, Render, VIEW)
    return send_picture(_seen_render(request, pk).preview, "jpeg")


def _seen_render(request: HttpRequest, pk: int) -> Render:
    seen = seen_by(request.user, Render.objects.all())
    return get_object_or_404(seen.only("picture", "preview"), pk=pk)
