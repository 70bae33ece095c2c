"""Pages of the researcher's desk that are no form of a study: versions, invitations,
the poster, approvals, pictures of one's own."""

from __future__ import annotations

import csv
import io
import secrets
from collections.abc import Callable, Sequence
from typing import Any

import segno
from django import forms
from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode

from nstlab.core.access import changeable
from survey import presets
from survey.models import Recruit, Study
from survey.refusals import CannotOpen
from survey.studies import copying, lifecycle, locks, uploads, versions
from survey.studies.forms import STEPS
from survey.studies.invitations import invite

MOST_INVITATIONS = 5000
COPY_SECONDS = 1.0
"""How long a request copies pictures before it shows how far it is."""

Page = Callable[..., HttpResponse]


def urls(owner: ModelAdmin) -> list[URLPattern]:
    """The pages below `admin/survey/study/<pk>/`."""
    pages: list[tuple[str, Any]] = [
        ("version", version),
        ("invitations", invitations),
        ("poster", poster),
        ("approvals", approvals),
        ("upload", upload),
        ("uploading", uploading),
        ("form-preset", form_preset),
        ("take-in", take_in),
    ]
    return [
        path(
            f"<int:pk>/{name}/",
            owner.admin_site.admin_view(_for_study(page, owner)),
            name=f"survey_study_{name.replace('-', '_')}",
        )
        for name, page in pages
    ]


def _for_study(page: Any, owner: ModelAdmin) -> Page:
    def view(request: HttpRequest, pk: int) -> HttpResponse:
        study = get_object_or_404(owner.get_queryset(request), pk=pk)
        looks = request.method == "GET" and page in TO_LOOK_AT
        may = owner.has_view_permission if looks else owner.has_change_permission
        if not may(request, study):
            raise PermissionDenied
        response: HttpResponse = page(request, study, owner)
        return response

    return view


def _back(study: Study, step: str = "") -> HttpResponse:
    """To a step of the wizard, else to the study's page."""
    if step in STEPS:
        return redirect("admin:survey_study_step", study.pk, step)
    return redirect("admin:survey_study_change", study.pk)


def _page(
    request: HttpRequest, study: Study, owner: ModelAdmin, name: str, title: str,
    **context: Any,
) -> HttpResponse:  # fmt: skip
    return TemplateResponse(
        request,
        f"survey/pages/{name}.html",
        {
            **owner.admin_site.each_context(request),
            "opts": owner.model._meta,
            "study": study,
            "title": title,
            "subtitle": str(study),
            **context,
        },
    )


def version(request: HttpRequest, study: Study, owner: ModelAdmin) -> HttpResponse:
    """Make a new version and go to it."""
    if request.method != "POST":
        return _back(study)
    try:
        draft = versions.new_version(study)
    except CannotOpen as refused:
        messages.error(request, str(refused))
        return _back(study)
    owner.log_addition(request, draft, f"Version {draft.version} of “{study.title}”.")
    messages.success(
        request,
        f"This is version {draft.version}, a draft. The versions before it go on until "
        "it opens.",
    )
    return _back(draft)


# Copying pictures -----------------------------------------------------------------

ACTS: dict[str, tuple[Callable[[Study], object], str]] = {
    "open": (lifecycle.open_study, "“{}” is open."),
    "pilot": (lifecycle.pilot_study, "“{}” can be piloted."),
}
"""What pictures are copied for, by its name in addresses; what is said afterwards."""


def go_on_copying(
    study: Study, *, act: str = "", step: str = ""
) -> HttpResponse | None:
    """Take pictures in for a moment; a page that goes on with it if some are left.

    In the end that page does what `act` names, and leads to `step` of the wizard.
    """
    if study.state not in locks.UNFROZEN:
        return None
    if act == "open" and lifecycle.lacking(study):
        return None  # it will be refused anyway
    try:
        if not copying.copy_pictures(study, COPY_SECONDS):
            return None
    except CannotOpen:
        pass  # the page says so
    address = reverse("admin:survey_study_take_in", args=[study.pk])
    return redirect(f"{address}?{urlencode({'act': act, 'step': step})}")


def take_in(request: HttpRequest, study: Study, owner: Any) -> HttpResponse:
    """How many pictures are copied; each POST copies some more, the last one goes on.

    The page posts by itself, or by a button where scripts do not run.
    """
    step = request.GET.get("step", "")
    refused = ""
    if request.method == "POST":
        try:
            if not copying.copy_pictures(study, COPY_SECONDS):
                return _taken_in(request, study, owner, step)
        except CannotOpen as error:
            refused = str(error)
    left = copying.left_to_copy(study)
    if study.state not in locks.UNFROZEN or not (left or refused):
        return _back(study, step)
    there = study.stimuli.count()
    context = {"there": there, "all": there + left, "refused": refused}
    if request.headers.get("HX-Request"):
        return render(request, "survey/pages/_take_in.html", {"study": study} | context)
    return _page(request, study, owner, "take_in", "Copying pictures", **context)


def _taken_in(
    request: HttpRequest, study: Study, owner: Any, step: str
) -> HttpResponse:
    """What the copying was for."""
    sentence = "“{}” has its pictures."
    try:
        if owner.has_open_permission(request) and request.GET.get("act") in ACTS:
            act, sentence = ACTS[request.GET["act"]]
            act(study)
            owner.log_change(request, study, sentence.format(study))
    except CannotOpen as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, sentence.format(study))
    response = _back(study, step)
    if request.headers.get("HX-Request"):
        return HttpResponse(headers={"HX-Redirect": response["Location"]})
    return response


# Recruiting -----------------------------------------------------------------------


class InvitationForm(forms.Form):
    number = forms.IntegerField(
        min_value=1, max_value=MOST_INVITATIONS, initial=20, label="How many links"
    )


def invitations(request: HttpRequest, study: Study, owner: ModelAdmin) -> HttpResponse:
    """New one-time links as CSV; they cannot be shown again."""
    form = InvitationForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        address = request.build_absolute_uri(study.get_absolute_url())
        codes = invite(study, form.cleaned_data["number"])
        owner.log_change(request, study, f"{len(codes)} one-time links made.")
        rows = [("link", "code"), *((f"{address}#{code}", code) for code in codes)]
        return _csv(rows, f"invitations-{study.slug}.csv")
    used = study.invitations.filter(used=True).count()
    return _page(
        request, study, owner, "invitations", "One-time links", form=form,
        made=study.invitations.count(), used=used,
    )  # fmt: skip


def poster(request: HttpRequest, study: Study, owner: ModelAdmin) -> HttpResponse:
    """A page to print: the title, the QR code, the address."""
    address = request.build_absolute_uri(study.get_absolute_url())
    code = segno.make(address, error="m").svg_data_uri(scale=8)
    return _page(
        request, study, owner, "poster", "Poster", address=address, qr_code=code
    )


def approvals(request: HttpRequest, study: Study, owner: ModelAdmin) -> HttpResponse:
    """Whom a platform sent and who has finished: the only way its ids leave.

    Of all versions at the address whose ids this person gets by the version's own
    page, for a platform sends to the address. The download is a POST: it is written
    into the history of each version whose ids are in it.
    """
    if not request.user.has_perm("survey.export_recruit"):
        raise PermissionDenied
    versions = changeable(Study, request.user).filter(slug=study.slug)
    found = Recruit.objects.filter(participant__study__in=versions)
    if request.method != "POST":
        return _page(
            request, study, owner, "approvals", "Approvals", ids=found.count(),
            versions=versions.order_by("version"),
            elsewhere=Study.objects.filter(slug=study.slug).count() - len(versions),
        )  # fmt: skip
    columns = (
        "platform", "person", "session", "participant__status", "participant__pilot",
    )  # fmt: skip
    rows: list[tuple[str, ...]] = [("platform", "person", "session", "status", "of")]
    rows += [
        (*row, "pilot" if pilot else "study")
        for *row, pilot in found.order_by("pk").values_list(*columns)
    ]
    named = versions.filter(participants__recruit__isnull=False).distinct()
    for version in named or [study]:
        owner.log_change(request, version, "Platform ids exported for approval.")
    return _csv(rows, f"approvals-{study.slug}.csv")


def _csv(rows: Sequence[tuple[str, ...]], name: str) -> HttpResponse:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(
        [[_cell(value) for value in row] for row in rows]
    )
    response = HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _cell(value: str) -> str:
    """A text that a spreadsheet would run as a formula begins with an apostrophe."""
    return f"'{value}" if value[:1] in "=+-@\t\r" and value else value


class UploadForm(forms.Form):
    key = forms.CharField(
        max_length=40,
        required=False,
        initial=lambda: secrets.token_urlsafe(16),
        widget=forms.HiddenInput,
    )
    archive = forms.FileField(
        label="Pictures",
        help_text="A ZIP of PNG, JPEG, WebP or TIFF pictures.",
    )
    table = forms.FileField(
        label="Factors",
        required=False,
        help_text="A CSV with a column file and one column for each factor, such as "
        "content, style, condition; optionally reference (a file), rated, training "
        "and gold. Without it every picture is taken as it is.",
    )


def upload(request: HttpRequest, study: Study, owner: ModelAdmin) -> HttpResponse:
    """Pictures of one's own, from a ZIP and a CSV; what came of the last ones.

    A small archive is taken in at once, of another the page `uploading` goes on.
    """
    if request.method == "GET" and uploads.under_way(study):
        return redirect("admin:survey_study_uploading", study.pk)
    form = UploadForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        archive: Any = form.cleaned_data["archive"]
        table: Any = form.cleaned_data["table"]
        data = table.read() if table else None
        try:
            begun = uploads.begin(study, archive, data, form=form.cleaned_data["key"])
            if number := begun.pictures.count():
                owner.log_change(request, study, f"An archive of {number} pictures.")
            left = uploads.go_on(begun, COPY_SECONDS)
        except (CannotOpen, uploads.UploadRefused) as refused:
            form.add_error(None, str(refused))
        else:
            # Loaded anew, neither page sends the archive again.
            page = "uploading" if left else "upload"
            return redirect(f"admin:survey_study_{page}", study.pk)
    return _page(
        request, study, owner, "upload", "Pictures of your own", form=form,
        last=study.uploads.exclude(finished_at=None).order_by("pk").last(),
        under_way=uploads.under_way(study),
        stimuli=reverse("admin:survey_stimulus_changelist")
        + f"?study__id__exact={study.pk}",
    )  # fmt: skip


def uploading(request: HttpRequest, study: Study, owner: Any) -> HttpResponse:
    """How far an archive is taken in; each POST takes in some more, or cancels it.

    The page posts by itself, or by a button where scripts do not run.
    """
    current = uploads.under_way(study)
    refused = ""
    left = 0
    if current is not None:
        left = current.waiting().count() or 1  # one step is to finish
    if current is not None and request.method == "POST":
        try:
            if request.POST.get("act") != "cancel":
                left = uploads.go_on(current, COPY_SECONDS)
            elif uploads.cancel(current):
                left = 0
                owner.log_change(request, study, "The archive was cancelled.")
                messages.success(request, "The archive and its pictures are gone.")
        except CannotOpen as error:
            refused = str(error)
    if current is None or not left:
        response = redirect("admin:survey_study_upload", study.pk)
        if request.headers.get("HX-Request"):
            return HttpResponse(headers={"HX-Redirect": response["Location"]})
        return response
    everything = current.pictures.count()
    context = {"read": everything - left, "all": everything, "refused": refused}
    if request.headers.get("HX-Request"):
        return render(request, "survey/pages/_uploading.html", context)
    return _page(request, study, owner, "uploading", "Taking pictures in", **context)


def form_preset(request: HttpRequest, study: Study, owner: ModelAdmin) -> HttpResponse:
    """Add P.913's questions about people and their surroundings to the study."""
    if request.method == "POST":
        try:
            with transaction.atomic():
                new = presets.add_p913_form(locks.hold_unfrozen(study))
                owner.log_change(request, study, f"{new} of P.913's questions added.")
        except CannotOpen as refused:
            messages.error(request, str(refused))
        else:
            messages.success(request, f"{new} questions are in the form before.")
    return _back(study)


# Pages that change nothing and tell nothing that the study's own page does not.
TO_LOOK_AT = (poster,)
