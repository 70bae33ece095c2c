"""A few renders of an experiment side by side."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.http import urlencode
from django.utils.translation import ngettext

from generation.contact_sheet.contents import Names, read_sheet
from generation.contact_sheet.layout import MOST_CELLS, level_text
from generation.engine.factors import factor_label
from generation.engine.shapes import cut, position
from generation.models import Experiment, Render, SourceImage
from generation.pages.sheet import MOST_COMPARED, ticked, to_sheet
from nstlab.core.access import VIEW
from nstlab.core.pages import about, admin_page


@about(Experiment, VIEW)
def show(request: HttpRequest, experiment: Experiment) -> HttpResponse:
    """A few renders side by side, with their pictures, and where they differ."""
    chosen = ticked(request.POST if request.method == "POST" else request.GET)
    renders = experiment.renders.ready().select_related("content", "style")
    found = {each.pk: each for each in renders.filter(pk__in=chosen[:MOST_CELLS])}
    shown = [found[key] for key in chosen if key in found]
    if not 2 <= len(shown) <= MOST_COMPARED:
        messages.warning(
            request,
            f"Tick 2 to {MOST_COMPARED} finished renders to compare; {len(shown)} of "
            f"those ticked {ngettext('is', 'are', len(shown))} finished.",
        )
        return to_sheet(request, experiment)
    if request.method == "POST":
        # An address that can be kept and sent to a colleague.
        query = urlencode({"render": [each.pk for each in shown]}, doseq=True)
        return HttpResponseRedirect(f"{request.path}?{query}")
    read = read_sheet(experiment, request.GET)
    names = Names(read.found, shown)
    places = {key: place for place, key in enumerate(read.layout.keys)}
    settings = [_settings_of(each) for each in shown]
    differing = [
        (factor_label(name), [each[name] for each in settings])
        for name in settings[0]
        if len({each[name] for each in settings}) > 1
    ]
    return admin_page(
        request,
        "generation/compare.html",
        Experiment,
        "Compare renders",
        experiment=experiment,
        shown=[
            (each, names.of(read.found.values(), places[each.pk]) or str(each))
            for each in shown
        ],
        sources=[(*each, *_shape(shown, each[1])) for each in _sources(shown)],
        shapes={each.render_settings().fit for each in shown},
        differing=differing,
        random_weights=any(each.random_weights for each in shown),
    )


def _sources(renders: list[Render]) -> list[tuple[str, SourceImage]]:
    """What renders were painted from, each once: what it was, and the picture."""
    contents = [("content image", each.content) for each in renders]
    styles = [("style image", each.style) for each in renders]
    return list(dict.fromkeys([*contents, *styles]))


def _shape(renders: list[Render], image: SourceImage) -> tuple[str, str]:
    """How the engine saw a picture, so that what lies at one place is at one place:
    its fit and, of a cut one, its place as CSS writes it. As it is where renders
    differ."""
    seen = set()
    for each in renders:
        settings = each.render_settings()
        for key, focus in (
            (each.content_id, settings.content_focus),
            (each.style_id, settings.style_focus),
        ):
            if key == image.pk:
                seen.add((settings.fit, focus if settings.fit == "crop" else ""))
    fit, focus = seen.pop() if len(seen) == 1 else ("aspect", "")
    if not focus:
        return fit, ""
    x, y = position(image.size, cut(image.size, (1, 1), focus))
    return fit, f"{x:.2%} {y:.2%}"


def _settings_of(row: Render) -> dict[str, str]:
    settings = row.render_settings().to_dict()
    pictures = {"content": str(row.content), "style": str(row.style)}
    return pictures | {name: level_text(it) for name, it in settings.items()}
