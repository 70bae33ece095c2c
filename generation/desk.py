"""Pages of the researcher's desk about an experiment that are no form of its row:
presets, the forecast while one chooses, the contact sheet, comparing, export."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, QuerySet
from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    QueryDict,
)
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode
from django.utils.text import slugify
from django.views.decorators.http import require_GET, require_POST

from generation.contact_sheet.contents import (
    CHOICES,
    SHOWN,
    Names,
    Sheet,
    read_sheet,
    settings_text,
    sheet_figures,
    tables,
)
from generation.contact_sheet.figure import (
    FigureTooLarge,
    check_number,
    write_pdf,
    write_png,
)
from generation.contact_sheet.layout import MOST_CELLS, Block, level_text
from generation.engine.factors import factor_label
from generation.engine.grid import ImpossibleGrid
from generation.experiments.forecast import (
    Forecast,
    NoRoom,
    Rates,
    check_room,
    duration,
    forecast,
    megabytes,
    renders_are,
)
from generation.experiments.making import (
    PresetRefused,
    duplicate_experiment,
    experiment_from_preset,
)
from generation.forms import PresetForm
from generation.loss_chart import chart
from generation.models import Experiment, Pair, Render, SourceImage
from generation.pictures.fields import PictureTiles
from generation.pictures.source_images import add_source_image
from generation.presets import PRESETS, picture_title
from generation.queueing.batches import retry_renders
from generation.queueing.reproduction import reproduce
from nstlab.core.jobs import workers_of

MOST_COMPARED = 6
MOST_REPRODUCTIONS = 5
# A render's columns that a list need not read.
LONG = ("settings", "curve", "environment", "traceback")

Page = Callable[..., HttpResponseBase]


def urls(owner: ModelAdmin) -> list[URLPattern]:
    """The pages below `admin/generation/experiment/`."""

    def page(address: str, view: Page, name: str) -> URLPattern:
        def bound(request: HttpRequest, **keys: Any) -> HttpResponseBase:
            return view(request, owner, **keys)

        return path(
            address,
            owner.admin_site.admin_view(bound),
            name=f"generation_experiment_{name}",
        )

    return [
        page("preset/", preset, "preset"),
        page("pictures/", find_pictures, "pictures"),
        page("forecast/", live_forecast, "forecast_new"),
        page("<int:pk>/forecast/", live_forecast, "forecast"),
        page("<int:pk>/duplicate/", duplicate, "duplicate"),
        page("<int:pk>/sheet/", sheet, "sheet"),
        page("<int:pk>/sheet/live/", live, "live"),
        page("<int:pk>/again/", again, "again"),
        page("<int:pk>/again/<int:number>/", reproduction, "reproduce"),
        page("<int:pk>/cancel/", cancel, "cancel"),
        page("<int:pk>/compare/", compare, "compare"),
        page("<int:pk>/sheet.<slug:kind>", export, "export"),
    ]


def _experiment(
    request: HttpRequest, owner: ModelAdmin, pk: int, *, change: bool = False
) -> Experiment:
    """The experiment, for somebody who may see it, or change it. 404 or 403."""
    experiment: Experiment = get_object_or_404(owner.get_queryset(request), pk=pk)
    may = owner.has_change_permission if change else owner.has_view_permission
    if not may(request, experiment):
        raise PermissionDenied
    return experiment


def _page(
    request: HttpRequest, owner: ModelAdmin, name: str, title: str, **context: Any
) -> HttpResponse:
    return TemplateResponse(
        request,
        f"generation/{name}.html",
        {
            **owner.admin_site.each_context(request),
            "opts": owner.opts,
            "title": title,
            **context,
        },
    )


# Choosing ---------------------------------------------------------------------


def preset(request: HttpRequest, owner: ModelAdmin) -> HttpResponse:
    """A new experiment from one of the paper's."""
    may_upload = request.user.has_perm("generation.add_sourceimage")
    if not owner.has_add_permission(request) or not may_upload:
        raise PermissionDenied
    form = PresetForm(
        request.POST or None,
        request.FILES or None,
        images=pictures_seen(request, owner),
        initial={"preset": request.GET.get("preset")},
    )
    if form.is_valid():
        try:
            experiment = _from_preset(request, owner, form)
        except (PresetRefused, ImpossibleGrid) as refused:
            form.add_error(None, str(refused))
        else:
            return redirect("admin:generation_experiment_change", experiment.pk)
    return _page(
        request,
        owner,
        "preset",
        "New from a preset",
        form=form,
        presets=PRESETS.values(),
    )


@transaction.atomic
def _from_preset(
    request: HttpRequest, owner: ModelAdmin, form: PresetForm
) -> Experiment:
    uploaded = {
        file: add_source_image(
            data=data, title=picture_title(file), owner=request.user
        )[0]
        for file, data in form.brought.items()
    }
    experiment = experiment_from_preset(
        preset=PRESETS[form.cleaned_data["preset"]],
        objective=form.cleaned_data["objective"],
        pictures=form.here | uploaded,
        weights=form.cleaned_data["weights"],
        owner=request.user,
    )
    planned = forecast(experiment)
    owner.log_addition(request, experiment, "Made from a preset.")
    messages.success(request, f"{experiment} is made. {planned}")
    return experiment


def duplicate(request: HttpRequest, owner: ModelAdmin, pk: int) -> HttpResponse:
    """Copy an experiment's pairs and settings into a new one, and go there."""
    experiment = _experiment(request, owner, pk)
    if not owner.has_add_permission(request):
        raise PermissionDenied
    if request.method != "POST":
        return redirect("admin:generation_experiment_change", pk)
    copy = duplicate_experiment(experiment, owner=request.user)
    owner.log_addition(request, copy, f"Copied from {experiment}.")
    messages.success(
        request,
        f"This is {copy}: the pairs and settings of {experiment}, and no renders yet.",
    )
    return redirect("admin:generation_experiment_change", copy.pk)


def pictures_seen(request: HttpRequest, owner: ModelAdmin) -> QuerySet[SourceImage]:
    """The source images that somebody may choose from."""
    images = owner.admin_site.get_model_admin(SourceImage)
    found: QuerySet[SourceImage] = images.get_queryset(request)
    return found


def find_pictures(request: HttpRequest, owner: ModelAdmin) -> HttpResponse:
    """The tiles of one field of the form: those that are ticked, then those found."""
    if not (owner.has_add_permission(request) or owner.has_change_permission(request)):
        raise PermissionDenied
    name = request.GET.get("field", "")
    if name not in ("contents", "styles"):
        raise Http404("Pictures are chosen as contents or styles.")
    tiles = PictureTiles()
    tiles.images = pictures_seen(request, owner)
    tiles.wanted = request.GET.get(f"{name}_search", "")
    ticked = [pk for pk in request.GET.getlist(name) if pk.isdecimal()]
    context = tiles.get_context(name, ticked, {"id": f"id_{name}"})
    return render(request, "generation/_tiles.html", context)


@require_POST
def live_forecast(
    request: HttpRequest, owner: ModelAdmin, pk: int | None = None
) -> HttpResponse:
    """What the form as it stands would paint; nothing is saved."""
    experiment = None
    if pk is not None:
        experiment = _experiment(request, owner, pk, change=True)
    elif not owner.has_add_permission(request):
        raise PermissionDenied
    context: dict[str, Any] = {}
    form = owner.get_form(request, experiment, change=experiment is not None)(
        request.POST, instance=experiment
    )
    form.fields["name"].required = False  # it paints nothing
    formsets, _ = owner._create_formsets(  # type: ignore[attr-defined]
        request, form.instance, change=experiment is not None
    )
    refused = _refusals(form, formsets)
    if not refused:
        try:
            planned = forecast(form.instance, _cells(form, formsets[0]))
            context |= {"planned": planned, "facts": _facts(planned)}
            if planned.new:
                check_room(planned.bytes, form.instance.owner or request.user)
        except NoRoom as full:
            context["full"] = str(full)
        except ImpossibleGrid as impossible:
            refused = [str(impossible)]
    return render(request, "generation/_forecast.html", context | {"refused": refused})


def _facts(planned: Forecast) -> list[tuple[str, str]]:
    """What a forecast says, as names and values."""
    here = f"{planned.here:,}"
    if planned.painted < planned.here:
        here += f" ({planned.painted:,} done)"
    facts = [("renders", f"{planned.total:,}"), ("to paint", f"{planned.new:,}")]
    if planned.here:
        facts.append(("here already", here))
    if planned.reused:
        facts.append(("painted by other experiments", f"{planned.reused:,}"))
    if planned.new:
        facts += [
            ("evaluations", f"{planned.evaluations:,}"),
            ("time", duration(planned.seconds / max(1, planned.workers))),
            ("pictures", f"up to {megabytes(planned.bytes)}"),
        ]
    return facts


def _refusals(form: Any, formsets: list[Any]) -> list[str]:
    """Why the form would not be saved, as sentences that name their field."""
    said = []
    for each in (form, *(one for formset in formsets for one in formset.forms)):
        for name, errors in each.errors.items():
            where = "" if name == "__all__" else f"{each[name].label}: "
            said += [f"{where}{error}" for error in errors]
    for formset in formsets:
        said += list(formset.non_form_errors())
    return list(dict.fromkeys(said))


def _cells(form: Any, formset: Any) -> Any:
    """The cells of an experiment that is not saved."""
    listed = [
        Pair(**{name: one.cleaned_data[name] for name in ("content", "style", "axes")})
        for one in formset.forms
        if one.cleaned_data.get("content") and not one.cleaned_data.get("DELETE")
    ]
    return form.instance.cells_of(
        listed, list(form.cleaned_data["contents"]), list(form.cleaned_data["styles"])
    )


# Looking ----------------------------------------------------------------------


@require_GET
def sheet(request: HttpRequest, owner: Any, pk: int) -> HttpResponse:
    """All renders of an experiment as pictures, in rows, columns and tables."""
    experiment = _experiment(request, owner, pk)
    read = read_sheet(experiment, request.GET)
    number, blocks = _chosen_page(request, read)
    shown = tables(read, blocks)
    open_ones = [
        str(place.render.pk)
        for table in shown
        for row in table.rows
        for cell in row.cells
        for place in cell
        if place.render.status not in Render.TERMINAL
    ]
    return _page(
        request,
        owner,
        "sheet",
        f"Renders of {experiment}",
        experiment=experiment,
        read=read,
        tables=shown,
        said=settings_text(read),
        selects=_selects(read),
        number=number,
        last=len(read.layout.pages),
        query=read.query,
        chosen=dict(parse_qsl(read.query)) | {"page": number},
        open=",".join(open_ones),
        may_queue=owner.has_queue_permission(request, experiment),
        most_compared=MOST_COMPARED,
        **_progress(experiment),
    )


def _chosen_page(request: HttpRequest, read: Sheet) -> tuple[int, list[Block]]:
    pages = read.layout.pages
    asked = request.GET.get("page", "")
    number = min(max(1, int(asked)) if asked.isdecimal() else 1, max(1, len(pages)))
    return number, pages[number - 1] if pages else []


def _progress(experiment: Experiment) -> dict[str, Any]:
    counted = experiment.renders.order_by().values_list("status")
    states = dict(counted.annotate(count=Count("pk")))
    order = [value for value in Render.Status.values if value != "done"]
    unfinished = states.get("queued", 0) + states.get("running", 0)
    waiting = _time_left(experiment) if unfinished else {}
    return waiting | {
        "total": sum(states.values()),
        "done": states.get("done", 0),
        "states": {name: states[name] for name in order if states.get(name)},
        "unfinished": unfinished,
        "retriable": sum(states.get(name, 0) for name in Render.RETRIABLE),
    }


def _time_left(experiment: Experiment) -> dict[str, Any]:
    """How long the workers that are there would paint what is left, were it theirs
    alone."""
    sizes = ("network", "size", "evaluations")
    left = experiment.renders.unfinished().order_by().values_list(*sizes)
    rates = Rates()
    seconds = sum(
        count * evaluations * rates.per_evaluation(network, size)
        for network, size, evaluations, count in left.annotate(count=Count("pk"))
    )
    workers = workers_of("render")
    return {"workers": workers, "left": duration(seconds / max(1, workers))}


def _selects(read: Sheet) -> list[dict[str, Any]]:
    """The three selects above the sheet, as it is laid out now."""
    layout = read.layout
    choices = [("", "–"), *((it.name, it.label) for it in read.found.values())]
    now = (layout.rows, layout.columns, layout.facets[0] if layout.facets else None)
    labels = ("Rows", "Columns", "A table for each")
    return [
        {
            "name": name,
            "label": label,
            "choices": choices,
            "now": factor.name if factor else "",
        }
        for name, label, factor in zip(
            ("rows", "columns", "facets"), labels, now, strict=True
        )
    ]


@require_GET
def live(request: HttpRequest, owner: ModelAdmin, pk: int) -> HttpResponse:
    """How far the experiment is, and those cells again that were still open."""
    experiment = _experiment(request, owner, pk)
    cells = list(
        experiment.renders.filter(pk__in=_numbers(request.GET.get("open", "")))
        .order_by("pk")
        .only(*SHOWN)[:MOST_CELLS]
    )
    open_ones = [each for each in cells if each.status not in Render.TERMINAL]
    context = {
        "experiment": experiment,
        "cells": cells,
        "open": ",".join(str(each.pk) for each in open_ones),
        **_progress(experiment),
    }
    return render(request, "generation/_live.html", context)


def _numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",") if each.isdecimal()]


def _ticked(data: QueryDict) -> list[int]:
    """The renders that were ticked, each once, as they came."""
    return list(dict.fromkeys(_numbers(",".join(data.getlist("render")))))


@require_POST
def again(request: HttpRequest, owner: Any, pk: int) -> HttpResponse:
    """Queue renders that ended without a picture once more: those ticked, or all."""
    experiment = _experiment(request, owner, pk)
    if not owner.has_queue_permission(request, experiment):
        raise PermissionDenied
    renders = experiment.renders.all()
    if "all" not in request.POST:
        renders = renders.filter(pk__in=_ticked(request.POST))
    there = renders.ready().count() if "all" not in request.POST else 0
    ended = renders.filter(status__in=Render.RETRIABLE)
    owner.log_each(request, ended, "{} queued again.")
    queued = retry_renders(renders)
    if queued:
        messages.success(request, f"{renders_are(queued)} queued again.")
    if there:
        messages.info(
            request,
            f"{renders_are(there)} done already. The same request paints the same "
            "picture, which a render's own page can show; for another one change its "
            "seed or a setting in an experiment of its own.",
        )
    elif not queued:
        messages.warning(
            request, "Tick renders that failed, were refused or were cancelled first."
        )
    page = request.POST.get("from", "")
    if page.isdecimal():
        return redirect("admin:generation_render_change", page)
    return _back(request, experiment)


def reproduction(
    request: HttpRequest, owner: Any, pk: int, number: int
) -> HttpResponse:
    """What came out when a done render was painted once more; posted to, that is
    asked for."""
    experiment = _experiment(request, owner, pk)
    row = get_object_or_404(experiment.renders.defer(*LONG), pk=number)
    may = owner.has_queue_permission(request, experiment)
    if request.method != "POST":
        context = {"original": row, "may_queue": may, **_reproductions(row)}
        return render(request, "generation/_reproductions.html", context)
    if not may:
        raise PermissionDenied
    if "stop" in request.POST:
        for each in row.reproductions.filter(pk__in=_numbers(request.POST["stop"])):
            each.fail("It was stopped.")
    elif reproduce(row):
        owner.log_each(
            request, experiment.renders.filter(pk=number), "{} painted to compare."
        )
    elif row.status == Render.Status.DONE:
        messages.info(request, "It is being painted again already.")
    else:
        messages.warning(request, "There is no picture yet to compare with.")
    return redirect("admin:generation_render_change", number)


def _reproductions(row: Render) -> dict[str, Any]:
    found = list(row.reproductions.all()[:MOST_REPRODUCTIONS])
    return {
        "reproductions": found,
        "being_reproduced": any(each.ended_at is None for each in found),
        "workers": any(not each.worker for each in found) and workers_of("render"),
    }


@require_POST
def cancel(request: HttpRequest, owner: Any, pk: int) -> HttpResponse:
    """Cancel what waits or is being painted."""
    experiment = _experiment(request, owner, pk)
    if not owner.has_queue_permission(request, experiment):
        raise PermissionDenied
    owner.cancel_renders(request, experiment.renders.all())
    return _back(request, experiment)


def _back(request: HttpRequest, experiment: Experiment) -> HttpResponse:
    """To the sheet, laid out as its form says it was."""
    address = reverse("admin:generation_experiment_sheet", args=[experiment.pk])
    chosen = {
        name: request.POST[name] for name in (*CHOICES, "page") if name in request.POST
    }
    return HttpResponseRedirect(f"{address}?{urlencode(chosen)}" if chosen else address)


def compare(request: HttpRequest, owner: ModelAdmin, pk: int) -> HttpResponse:
    """A few renders side by side, with their pictures, and where they differ."""
    experiment = _experiment(request, owner, pk)
    chosen = _ticked(request.POST if request.method == "POST" else request.GET)
    renders = experiment.renders.ready().select_related("content", "style")
    found = {each.pk: each for each in renders.filter(pk__in=chosen[:MOST_CELLS])}
    shown = [found[key] for key in chosen if key in found]
    if not 2 <= len(shown) <= MOST_COMPARED:
        messages.warning(
            request,
            f"Tick 2 to {MOST_COMPARED} finished renders to compare; {len(shown)} of "
            f"those ticked {'is' if len(shown) == 1 else 'are'} finished.",
        )
        return _back(request, experiment)
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
    return _page(
        request,
        owner,
        "compare",
        "Compare renders",
        experiment=experiment,
        shown=[
            (each, names.of(read.found.values(), places[each.pk]) or str(each))
            for each in shown
        ],
        sources=_sources(shown),
        # As the engine saw them, so that what lies at one place is at one place.
        stretched=all(each.render_settings().fit == "square" for each in shown),
        differing=differing,
        random_weights=any(each.random_weights for each in shown),
    )


def _sources(renders: list[Render]) -> list[tuple[str, SourceImage]]:
    """What renders were painted from, each once: what it was, and the picture."""
    contents = [("content image", each.content) for each in renders]
    styles = [("style image", each.style) for each in renders]
    return list(dict.fromkeys([*contents, *styles]))


def _settings_of(row: Render) -> dict[str, str]:
    settings = row.render_settings().to_dict()
    pictures = {"content": str(row.content), "style": str(row.style)}
    return pictures | {name: level_text(it) for name, it in settings.items()}


def about_render(request: HttpRequest, owner: Any, row: Render) -> dict[str, Any]:
    """What a render's own page says besides its columns: its place in the sheet, its
    losses, whom it shares its picture with and what may be done."""
    experiments = owner.admin_site.get_model_admin(Experiment)
    read = read_sheet(row.experiment, request.GET)
    before, after = read.layout.around(row.pk)
    sharing = Render.objects.filter(reused_from=row.reused_from_id or row.pk)
    if row.reused_from_id:
        sharing |= Render.objects.filter(pk=row.reused_from_id)
    sharing = sharing.exclude(pk=row.pk).select_related("experiment").defer(*LONG)
    seen = sharing.filter(experiment__in=experiments.get_queryset(request).values("pk"))
    weights = {"content": row.alpha, "style": row.beta, "tv": row.tv_weight}
    last = row.curve[-1] if row.curve else {}
    shared_with = list(seen[:10])
    return {
        "before": before,
        "after": after,
        "query": read.query,
        "chart": chart(row.curve, weights),
        "last": {
            name: f"{value:.4g}"
            for name in ("total", *weights)
            if (value := last.get(name)) is not None
        },
        "shared_with": shared_with,
        "shared_more": sharing.count() - len(shared_with),
        "retriable": row.status in Render.RETRIABLE,
        "may_queue": owner.has_queue_permission(request, row),
        **_reproductions(row),
    }


# Taking along -----------------------------------------------------------------


@require_GET
def export(
    request: HttpRequest, owner: ModelAdmin, pk: int, kind: str
) -> HttpResponseBase:
    """The sheet as a figure: the page shown as PNG, all pages as PDF."""
    experiment = _experiment(request, owner, pk)
    if kind not in ("png", "pdf"):
        raise Http404("A sheet is taken along as PNG or PDF.")
    read = read_sheet(experiment, request.GET)
    number, blocks = _chosen_page(request, read)
    pages = [blocks] if kind == "png" else read.layout.pages
    if not blocks:
        messages.warning(request, "There is no render yet.")
        return redirect("admin:generation_experiment_sheet", pk)
    native = request.GET.get("side") == "native"
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the response closes it
    try:
        check_number(sum(len(read.layout.shown(page)) for page in pages))
        figures = sheet_figures(read, pages, native=native)
        if kind == "png":
            write_png(figures[0], file)
        else:
            write_pdf(figures, file)
    except FigureTooLarge as refused:
        file.close()
        messages.error(request, str(refused))
        address = reverse("admin:generation_experiment_sheet", args=[pk])
        return HttpResponseRedirect(f"{address}?{read.query}&page={number}")
    file.seek(0)
    name = slugify(experiment.name) or f"experiment-{pk}"
    page = f"-{number}" if kind == "png" and len(read.layout.pages) > 1 else ""
    return FileResponse(file, as_attachment=True, filename=f"{name}{page}.{kind}")
