"""The researcher's desk for studies; what people answered is read-only."""

from __future__ import annotations

from typing import Any

import segno
from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from generation.admin import ReadOnlyAdmin, SaysRandomWeights, picture_tag
from survey.models import Participant, Rating, Stimulus, Study
from survey.services import CannotOpen, freeze_stimuli, open_study

TEXTS = [
    "title", "experiment", "question", "welcome", "consent", "thanks", "controller",
    "contact", "ethics_reference", "seed",
]  # fmt: skip


@admin.register(Study)
class StudyAdmin(admin.ModelAdmin):
    list_display = ["title", "state", "pictures", "finished", "link", "created_at"]
    list_filter = ["state"]
    search_fields = ["title", "slug"]
    autocomplete_fields = ["experiment"]
    actions = ["open", "pilot", "close"]
    readonly_fields = ["state", "link", "qr_code", "version", "opened_at", "closed_at"]
    fieldsets = [
        (None, {"fields": ["title", "experiment", "state", "link", "qr_code"]}),
        ("What participants read", {"fields": ["question", "welcome", "consent",
                                               "thanks"]}),
        ("Needed before opening", {"fields": ["controller", "contact",
                                              "ethics_reference"]}),
        ("Design", {"fields": ["seed", "version", "opened_at", "closed_at"]}),
    ]  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Study]:
        return (
            super()
            .get_queryset(request)
            .annotate(
                picture_count=Count("stimuli", distinct=True),
                finished_count=Count(
                    "participants",
                    distinct=True,
                    filter=Q(
                        participants__status="finished",
                        participants__simulated=False,
                        participants__pilot=False,
                    ),
                ),
            )
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Once a study has been opened its texts and design are frozen."""
        if obj is not None and obj.opened_at is not None:
            return [*self.readonly_fields, *TEXTS]
        return self.readonly_fields

    def save_model(
        self, request: HttpRequest, obj: Study, form: Any, change: bool
    ) -> None:
        if not change and request.user.is_authenticated:
            obj.owner = request.user
        super().save_model(request, obj, form, change)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None and obj.participants.exists():
            return False
        return super().has_delete_permission(request, obj)

    def has_open_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("survey.open_study")

    def response_change(self, request: HttpRequest, obj: Study) -> HttpResponse:
        for name in ("open", "pilot", "close"):
            if f"_{name}" in request.POST and self.has_open_permission(request):
                getattr(self, name)(request, Study.objects.filter(pk=obj.pk))
                return HttpResponseRedirect(request.path)
        return super().response_change(request, obj)

    @admin.display(description="pictures")
    def pictures(self, study: Any) -> int:
        return int(study.picture_count)

    @admin.display(description="finished")
    def finished(self, study: Any) -> int:
        return int(study.finished_count)

    @admin.display(description="address")
    def link(self, study: Study) -> SafeString | str:
        if not study.pk or not study.accepts_answers:
            return "given when it opens"
        address = study.get_absolute_url()
        return format_html('<a href="{}">{}</a>', address, address)

    @admin.display(description="QR code")
    def qr_code(self, study: Study) -> SafeString | str:
        if not study.pk or not study.accepts_answers:
            return "given when it opens"
        address = self._address(study)
        code = segno.make(address, error="m").svg_data_uri(scale=4)
        return format_html('<img src="{}" alt="QR code of {}">', code, address)

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        # The QR code needs the address people reach the lab by: this request's.
        self._address = lambda study: request.build_absolute_uri(
            study.get_absolute_url()
        )
        return super().get_form(request, *args, **kwargs)

    @admin.action(description="Open for participants", permissions=["open"])
    def open(self, request: HttpRequest, queryset: QuerySet[Study]) -> None:
        for study in queryset:
            try:
                open_study(study)
            except CannotOpen as refused:
                messages.error(request, str(refused))
            else:
                messages.success(request, f"“{study}” is open.")

    @admin.action(description="Pilot (counts nothing)", permissions=["open"])
    def pilot(self, request: HttpRequest, queryset: QuerySet[Study]) -> None:
        for study in queryset:
            try:
                freeze_stimuli(study)
            except CannotOpen as refused:
                messages.error(request, str(refused))
                continue
            if study.stimuli.exists() and study.pilot():
                messages.success(request, f"“{study}” can be piloted.")
            else:
                messages.error(
                    request, f"“{study}” is {study.state} or has no pictures."
                )

    @admin.action(description="Close", permissions=["open"])
    def close(self, request: HttpRequest, queryset: QuerySet[Study]) -> None:
        for study in queryset:
            if study.close():
                messages.success(request, f"“{study}” is closed.")
            else:
                messages.error(request, f"“{study}” is {study.state} already.")


@admin.register(Stimulus)
class StimulusAdmin(SaysRandomWeights):
    random_weights = Q(parameters__weights__startswith="random:")
    list_display = ["thumb", "code", "study", "made_by"]
    list_filter = ["study"]
    list_select_related = ["study", "render"]

    @admin.display(description="")
    def thumb(self, stimulus: Stimulus) -> SafeString:
        url = reverse("survey:picture", args=[stimulus.study.slug, stimulus.code])
        return picture_tag(url, stimulus.code)

    @admin.display(description="parameters")
    def made_by(self, stimulus: Stimulus) -> str:
        names = ("content", "style", "content_layer", "alpha", "tv_weight", "weights")
        return ", ".join(str(stimulus.parameters.get(name)) for name in names)


@admin.register(Participant)
class ParticipantAdmin(ReadOnlyAdmin):
    list_display = [
        "code", "study", "status", "answered", "device_class", "simulated", "pilot",
        "excluded", "started_at", "finished_at",
    ]  # fmt: skip
    list_filter = ["study", "status", "simulated", "pilot", "excluded"]
    list_select_related = ["study"]
    search_fields = ["code"]
    show_full_result_count = False
    exclude = ["token_sha256"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Participant]:
        return (
            super()
            .get_queryset(request)
            .annotate(
                planned=Count("trials"),
                given=Count("trials", filter=Q(trials__answered_at__isnull=False)),
            )
        )

    @admin.display(description="answered")
    def answered(self, participant: Any) -> str:
        return f"{participant.given} / {participant.planned}"


@admin.register(Rating)
class RatingAdmin(ReadOnlyAdmin):
    list_display = ["participant", "stimulus", "rating", "response_ms", "rated_at"]
    list_filter = ["trial__participant__study", "rating"]
    list_select_related = ["trial__participant", "trial__stimulus"]
    show_full_result_count = False

    @admin.display(description="participant")
    def participant(self, rating: Rating) -> str:
        return rating.trial.participant.code

    @admin.display(description="stimulus")
    def stimulus(self, rating: Rating) -> str:
        return rating.trial.stimulus.code
