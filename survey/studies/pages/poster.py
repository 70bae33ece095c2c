"""A poster of a study."""

from __future__ import annotations

import segno
from django.http import HttpRequest, HttpResponse

from nstlab.core.access import CHANGE, VIEW
from nstlab.core.pages import about
from survey.models import Study
from survey.studies.pages.around import study_page


@about(Study, VIEW, to_post=CHANGE)
def poster(request: HttpRequest, study: Study) -> HttpResponse:
    """A page to print: the title, the QR code, the address."""
    address = request.build_absolute_uri(study.get_absolute_url())
    code = segno.make(address, error="m").svg_data_uri(scale=8)
    return study_page(request, study, "poster", "Poster", address=address, qr_code=code)
