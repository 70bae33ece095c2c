"""Lists and forms of studies; what people answered is read-only."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import segno
from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import models, transaction
from django.db.models import OuterRef, ProtectedError, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import URLPattern, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import ngettext

from generation.engine.factors import FACTORS
from generation.engine.networks.weights import readable
from nstlab.core import history
from nstlab.core.access import CHANGE, DELETE, VIEW, may
from nstlab.core.admin import (
    OwnedAdmin,
    ReadOnlyAdmin,
    SaysRandomWeightsMixin,
    count_of,
    picture_tag,
)
from survey.access import EXPORT_PLATFORM_IDS, OPEN
from survey.methods import SETTINGS
from survey.models import (
    FormAnswer,
    FormItem,
    Participant,
    Question,
    Rating,
    Stimulus,
    Study,
    Translation,
    Trial,
)
from survey.participant.leaving import mark_dropped
from survey.refusals import CannotOpen
from survey.studies import copying, lifecycle, locks, pages, preflight, uploads
from survey.studies.forms import STEPS
from survey.studies.pages.copying import ACTS, go_on_copying


class FrozenWithStudyMixin:
    """Rows that open with their study's draft and freeze with it."""

    def _unfrozen(self, study: Study | None) -> bool:
        return study is None or study.state in locks.UNFROZEN

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._unfrozen(obj) and may(request.user, CHANGE, Study)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._unfrozen(obj) and may(request.user, CHANGE, Study)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._unfrozen(obj) and may(request.user, CHANGE, Study)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request.user, VIEW, Study)


class QuestionInline(FrozenWithStudyMixin, admin.TabularInline):
    model = Question
    extra = 0
    max_num = 2
    verbose_name_plural = "further questions about every picture (two at most)"


class FormItemInline(FrozenWithStudyMixin, admin.StackedInline):
    model = FormItem
    extra = 0
    verbose_name = "question of a form"
    verbose_name_plural = "forms before and after the pictures"
    classes = ["collapse"]
    fields = [("placement", "kind", "required"), "name", "text", "options"]


class TranslationInline(FrozenWithStudyMixin, admin.StackedInline):
    model = Translation
    extra = 0
    classes = ["collapse"]


class ArchivedFilter(admin.SimpleListFilter):
    """Archived studies are only in the list when they are asked for."""

    title = "archive"
    parameter_name = "archived"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Archived"), ("all", "Both")]

    def choices(self, changelist: Any) -> Iterator[Any]:
        """With “not archived” in the place of “all”, for it is chosen by itself."""
        first, *others = super().choices(changelist)
        yield {**first, "display": "Not archived"}
        yield from others

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Study]
    ) -> QuerySet[Study]:
        if self.value() == "all":
            return queryset
        return queryset.filter(archived_at__isnull=self.value() != "yes")


@admin.register(Study)
class StudyAdmin(OwnedAdmin):
    list_display = ["title", "version", "state", "method", "pictures", "finished",
                    "link", "created_at"]  # fmt: skip
    list_filter = [ArchivedFilter, "state", "method"]
    search_fields = ["title", "slug"]
    autocomplete_fields = ["experiment"]
    inlines = [QuestionInline, FormItemInline, TranslationInline]
    formfield_overrides = {models.URLField: {"assume_scheme": "https"}}
    actions = ["open", "pilot", "close"]
    readonly_fields = ["state", "link", "qr_code", "version", "opened_at", "closed_at"]
    fieldsets = [
        (None, {"fields": ["title", "experiment", "all_renders", "state", "link",
                           "qr_code"]}),
        ("What is asked", {"fields": ["method", "question", *SETTINGS]}),
        ("What participants read", {"fields": ["language", "welcome", "consent",
                                               "thanks"]}),
        ("Needed before opening", {"fields": ["controller", "contact",
                                              "ethics_reference", "minimum_age"]}),
        ("Design", {"classes": ["collapse"], "fields": [
            "order", "block_by", "apart", "trials_each", "target_half_width",
            "reserve_minutes", "repeats", "instructed_catches", "break_every", "seed",
            "version", "opened_at", "closed_at"]}),
        ("Screen", {"classes": ["collapse"], "fields": [
            "one_touch", "fit_to_viewport", "check_viewport", "check_brightness",
            "check_acuity", "check_colour", "ask_comment"]}),
        ("Recruiting", {"classes": ["collapse"], "fields": [
            "source", "max_participants", "opens_at", "closes_at", "completion_code",
            "completion_url", "screenout_code", "screenout_url", "delete_on"]}),
    ]  # fmt: skip

    # What may change while people take part: it alters nothing they see or answer.
    never_frozen = ["source", "max_participants", "opens_at", "closes_at", "delete_on"]

    def get_urls(self) -> list[URLPattern]:
        return [*pages.urls(), *super().get_urls()]

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        """Once nothing can be added, only of what there is some."""
        if obj is None or obj.state in locks.UNFROZEN:
            return self.inlines
        return [
            inline
            for inline in self.inlines
            if inline.model._default_manager.filter(study=obj).exists()
        ]

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Study | None:
        """With the address people reach it at, which only the request knows: on the
        row, for this object is of all requests."""
        study = super().get_object(request, object_id, from_field)
        if study is not None:
            address = request.build_absolute_uri(study.get_absolute_url())
            study.__dict__["reached_at"] = address
        return study

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """A study that exists opens with its state; what is inside unfolds by name."""
        if obj is None:
            return self.fieldsets
        return [
            (name, options | ({"classes": ["collapse"]} if name else {}))
            for name, options in self.fieldsets
        ]

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **options: Any
    ) -> HttpResponse:
        original = context["original"]
        thing = original or Study
        context |= {
            "may_open": may(request.user, OPEN, thing),
            "may_export": may(request.user, EXPORT_PLATFORM_IDS, thing),
            "may_delete": may(request.user, DELETE, thing),
            "has_people": bool(original and original.participants.exists()),
        }
        return super().render_change_form(request, context, *args, **options)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """With what stands against opening, and what to do next."""
        context = dict(extra_context or {})
        study = self.get_object(request, object_id)
        if study is not None and study.state not in locks.UNFROZEN:
            context["joined"] = study.participants.counted().exists()
        elif study is not None:
            found = preflight.remarks(study)
            context |= {
                "remarks": found,
                "blocks": sum(remark.stops for remark in found),
                "steps": list(STEPS.items()),
                "uploading": uploads.under_way(study),
            }
        return super().change_view(request, object_id, form_url, context)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Read, check and save while the study is held; then, without holding
        anything, do what the button asks for besides, for that may copy pictures."""
        view = super().changeform_view
        if request.method == "POST" and object_id is not None:
            with transaction.atomic():
                if refused := self._opened_meanwhile(request, object_id):
                    messages.error(request, refused)
                    return HttpResponseRedirect(request.path)
                response = view(request, object_id, form_url, extra_context)
        else:
            response = view(request, object_id, form_url, extra_context)
        asked = request.__dict__.pop("_asked", None)
        return response if asked is None else self._do(request, *asked)

    def _opened_meanwhile(self, request: HttpRequest, object_id: str) -> str:
        """Why what was sent cannot be saved: the page was made before the study was
        frozen. Holds the study."""
        held = None
        if object_id.isdecimal():
            studies = Study.objects.select_for_update(of=("self",))
            held = studies.filter(pk=object_id).first()
        if held is None or not self.has_change_permission(request, held):
            return ""  # which is answered as ever
        frozen = {*self._named()} - {*self.never_frozen, *self.readonly_fields}
        if held.state in locks.UNFROZEN or frozen.isdisjoint(request.POST):
            return ""
        return (
            f"“{held}” was changed after you loaded this page. It is "
            f"{held.state_in_words} now, so its questions and texts are frozen. "
            "Nothing of what you sent was saved."
        )

    def _named(self) -> list[str]:
        return [
            str(name) for _, options in self.fieldsets for name in options["fields"]
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Once a study is open its texts and its design are frozen."""
        if obj is None or obj.state in locks.UNFROZEN:
            return self.readonly_fields
        return [name for name in self._named() if name not in self.never_frozen]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Study]:
        finished = Participant.objects.counted().filter(
            study=OuterRef("pk"), status="finished"
        )
        return (
            super()
            .get_queryset(request)
            .annotate(
                picture_count=count_of(Stimulus.objects.filter(study=OuterRef("pk"))),
                finished_count=count_of(finished),
            )
        )

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

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Pictures, plans and reports go with their study, and never alone; of what
        cannot go the reason is said: people who took part, or another owner."""
        gone, counts, _, _ = super().get_deleted_objects(objs, request)
        allowed = all(may(request.user, DELETE, study) for study in objs)
        kept = [
            format_html(
                '“{}”, which {} took part in: <a href="{}">delete it with its answers'
                "</a>, or archive it",
                study,
                _people(study.participants.count()),
                reverse("admin:survey_study_delete_with_answers", args=[study.pk]),
            )
            for study in objs
            if allowed and study.participants.exists()
        ]
        return gone, counts, set() if allowed else {self.opts.verbose_name}, kept

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        """Where people took part, the page that says what would be lost."""
        study = self.get_object(request, object_id)
        goes = study is not None and may(request.user, DELETE, study)
        if study is not None and goes and study.participants.exists():
            return redirect("admin:survey_study_delete_with_answers", study.pk)
        return super().delete_view(request, object_id, extra_context)

    def delete_model(self, request: HttpRequest, obj: Study) -> None:
        try:
            lifecycle.delete_study(obj)
        except ProtectedError as refused:  # since it was asked for
            raise PermissionDenied(
                f"“{obj}” was not deleted: somebody takes part in it by now."
            ) from refused

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Study]) -> None:
        for study in queryset:
            self.delete_model(request, study)

    def has_open_permission(self, request: HttpRequest) -> bool:
        return may(request.user, OPEN, Study)

    def response_change(self, request: HttpRequest, obj: Study) -> HttpResponse:
        for name in ("open", "pilot", "close", "take_in", "unfreeze"):
            if f"_{name}" in request.POST and self.has_open_permission(request):
                request.__dict__["_asked"] = name, obj.pk  # see changeform_view
                return HttpResponseRedirect(request.path)
        return super().response_change(request, obj)

    def _do(self, request: HttpRequest, name: str, pk: int) -> HttpResponse:
        """What a button of the study's page asks for, once the page is saved."""
        studies = Study.objects.filter(pk=pk)
        copies = name in ("open", "pilot", "take_in")
        if copies and (page := go_on_copying(studies.get(), act=name)):
            return page
        getattr(self, name)(request, studies)
        return HttpResponseRedirect(reverse("admin:survey_study_change", args=[pk]))

    def response_add(
        self, request: HttpRequest, obj: Study, post_url_continue: Any = None
    ) -> HttpResponse:
        if {"_open", "_pilot"} & set(request.POST):
            return self.response_change(request, obj)
        return super().response_add(request, obj, post_url_continue)

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
        address = study.__dict__["reached_at"]
        code = segno.make(address, error="m").svg_data_uri(scale=4)
        return format_html('<img src="{}" alt="QR code of {}">', code, address)

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        # How to choose is of no use where nothing can be chosen.
        read = self.get_readonly_fields(request, obj)
        kwargs["help_texts"] = dict.fromkeys(read, "")
        return super().get_form(request, obj, change=change, **kwargs)

    @admin.action(description="Open for participants", permissions=["open"])
    def open(self, request: HttpRequest, queryset: QuerySet[Study]) -> None:
        self._each(request, queryset, *ACTS["open"], copying="open")

    @admin.action(description="Pilot (counts nothing)", permissions=["open"])
    def pilot(self, request: HttpRequest, queryset: QuerySet[Study]) -> None:
        self._each(request, queryset, *ACTS["pilot"], copying="pilot")

    def take_in(self, request: HttpRequest, queryset: QuerySet[Study]) -> None:
        self._each(request, queryset, copying.copy_pictures, "“{}” has its pictures.")

    def unfreeze(self, request: HttpRequest, queryset: QuerySet[Study]) -> None:
        self._each(request, queryset, lifecycle.unfreeze, "“{}” is a draft again.")

    def _each(
        self,
        request: HttpRequest,
        queryset: QuerySet[Study],
        act: Callable[[Study], object],
        sentence: str,
        *,
        copying: str = "",
    ) -> None:
        """Do it to each; `copying` names it where its pictures are copied first."""
        for study in queryset:
            if copying and (page := go_on_copying(study, act=copying)):
                messages.warning(
                    request,
                    format_html(
                        "“{}” has pictures to copy first: "
                        '<a href="{}">copy them, then it is done</a>.',
                        study,
                        page["Location"],
                    ),
                )
                continue
            try:
                act(study)
            except CannotOpen as refused:
                messages.error(request, str(refused))
            else:
                history.record(request.user, study, sentence.format(study))
                messages.success(request, sentence.format(study))

    @admin.action(description="Close", permissions=["open"])
    def close(self, request: HttpRequest, queryset: QuerySet[Study]) -> None:
        for study in queryset:
            if study.close():
                history.record(request.user, study, f"“{study}” is closed.")
                messages.success(request, f"“{study}” is closed.")
            else:
                why = f"“{study}” is {study.state_in_words}: nothing is to be closed."
                messages.error(request, why)


def _people(number: int) -> str:
    return f"{number} {ngettext('person', 'people', number)}"


def _hold_studies_of(pictures: Iterable[str]) -> dict[Study, list[str]]:
    """The studies of the pictures of these keys, held until the transaction ends."""
    keys = [it for it in pictures if it.isdecimal() and len(it) < 19]
    known = Stimulus.objects.filter(pk__in=keys)
    of: dict[int, list[str]] = {}
    for pk, study in known.values_list("pk", "study"):
        of.setdefault(study, []).append(str(pk))
    studies = Study.objects.select_for_update(of=("self",)).order_by("pk")
    return {study: of[study.pk] for study in studies.filter(pk__in=of)}


class StimulusForm(forms.ModelForm):
    """What one picture is used for; it is compared with one of its own study."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if choice := self.fields.get("reference"):
            own = self.instance.study.stimuli.filter(is_reference=True)
            choice.queryset = own  # type: ignore[attr-defined]


@admin.register(Stimulus)
class StimulusAdmin(SaysRandomWeightsMixin):
    form = StimulusForm
    random_weights = Q(random_features=True)
    list_display = ["thumb", "code", "study", "made_by", "rated", "is_reference",
                    "training_order", "gold_answer"]  # fmt: skip
    list_editable = ["rated", "training_order", "gold_answer"]
    list_filter = ["study", "rated", "is_reference"]
    list_per_page = 25  # each with a form
    list_select_related = ["study", "render"]
    fields = ["code", "study", "made_by", "rated", "reference", "training_order",
              "gold_answer"]  # fmt: skip
    readonly_fields = ["code", "study", "made_by"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """What a picture is used for, until its study opens."""
        if obj is None:
            return may(request.user, CHANGE, Study)
        unfrozen = obj.study.state in locks.UNFROZEN
        return unfrozen and may(request.user, CHANGE, obj.study)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Read, check and save while the picture's study is held."""
        view = super().changeform_view
        if request.method != "POST" or object_id is None:
            return view(request, object_id, form_url, extra_context)
        with transaction.atomic():
            for study in _hold_studies_of([object_id]):
                if self._say_frozen(request, study):
                    return HttpResponseRedirect(request.path)
            return view(request, object_id, form_url, extra_context)

    def _say_frozen(self, request: HttpRequest, study: Study) -> bool:
        """Tell whoever might change the pictures of a study that they are frozen."""
        if study.state in locks.UNFROZEN or not may(request.user, CHANGE, study):
            return False
        said = f"“{study}” is {study.state_in_words}: its pictures are frozen, and "
        messages.error(request, said + "what you chose for them was not saved.")
        return True

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Likewise, for all the pictures of a page."""
        view = super().changelist_view
        if request.method != "POST" or "_save" not in request.POST:
            return view(request, extra_context)
        sent = {
            str(pk): name.removesuffix("id")
            for name, pk in request.POST.items()
            if re.fullmatch(r"form-\d+-id", name)
        }
        with transaction.atomic():
            for study, pictures in _hold_studies_of(sent).items():
                rows = [sent[pk] for pk in pictures]
                asked = [f"{row}{name}" for row in rows for name in self.list_editable]
                if not request.POST.keys().isdisjoint(asked):
                    self._say_frozen(request, study)
            return view(request, extra_context)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Without a form where no row of the page may change."""
        listed = super().get_changelist_instance(request)
        studies = {row.study for row in listed.result_list}
        request.__dict__["_editable"] = editable = {
            study.pk
            for study in studies
            if study.state in locks.UNFROZEN and may(request.user, CHANGE, study)
        }
        if not editable:
            listed.list_editable = ()
        return listed

    def get_changelist_formset(self, request: HttpRequest, **kwargs: Any) -> Any:
        formset = super().get_changelist_formset(request, **kwargs)
        editable = request.__dict__["_editable"]
        names = self.list_editable

        class UnfrozenOnly(formset):  # type: ignore[misc, valid-type]
            def add_fields(self, form: Any, index: Any) -> None:
                """A row of a study that is open is text: its form has no fields."""
                super().add_fields(form, index)
                for name in names:
                    if form.instance.study_id not in editable:
                        del form.fields[name]
                    else:
                        field = form.fields[name]
                        said = f"{field.label}: {form.instance.code}"
                        field.widget.attrs["aria-label"] = said

        return UnfrozenOnly

    @admin.display(description="picture")
    def thumb(self, stimulus: Stimulus) -> SafeString:
        url = reverse("survey:picture", args=[stimulus.study.slug, stimulus.code])
        return picture_tag(url, stimulus.code)

    @admin.display(description="parameters")
    def made_by(self, stimulus: Stimulus) -> str:
        listed = [name for name, each in FACTORS.items() if each.listed]
        known = [name for name in listed if name in stimulus.parameters]
        shown = [stimulus.parameters[name] for name in known]
        shown = shown or list(stimulus.parameters.values())[:4]
        return ", ".join(readable(str(value)) for value in shown)


class FormAnswerInline(admin.TabularInline):
    model = FormAnswer
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request.user, VIEW, Participant)


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
    exclude = ["token_sha256", "simulated", "pilot", "excluded"]
    readonly_fields = ["counts"]
    inlines = [FormAnswerInline]

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj is not None and obj.form_answers.exists() else []

    @admin.display(description="counts")
    def counts(self, participant: Participant) -> str:
        marks = {
            "simulated": participant.simulated,
            "took part in the pilot": participant.pilot,
            "excluded": participant.excluded,
        }
        against = [words for words, is_so in marks.items() if is_so]
        return f"no: {', '.join(against)}" if against else "yes"

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        mark_dropped()
        return super().changelist_view(request, extra_context)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Participant]:
        planned = Trial.objects.filter(participant=OuterRef("pk"))
        given = planned.filter(answered_at__isnull=False)
        return (
            super()
            .get_queryset(request)
            .annotate(trial_count=count_of(planned), given=count_of(given))
        )

    @admin.display(description="answered")
    def answered(self, participant: Any) -> str:
        return f"{participant.given} / {participant.trial_count}"


class ScoreFilter(admin.SimpleListFilter):
    """Every point of every scale: which are there would take a look at every answer."""

    title = parameter_name = "rating"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(point), str(point)) for point in range(11)]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Rating]
    ) -> QuerySet[Rating]:
        chosen = self.value() or ""
        return queryset.filter(rating=int(chosen)) if chosen.isdecimal() else queryset


@admin.register(Rating)
class RatingAdmin(ReadOnlyAdmin):
    list_display = ["participant", "stimulus", "question", "answer", "response_ms",
                    "rated_at"]  # fmt: skip
    list_filter = ["trial__participant__study", ScoreFilter]
    list_select_related = ["trial__participant", "trial__stimulus"]
    # As somebody gave them, person by person.
    ordering = ["trial__participant_id", "trial__index", "question"]

    @admin.display(description="participant")
    def participant(self, rating: Rating) -> str:
        return rating.trial.participant.code

    @admin.display(description="stimulus")
    def stimulus(self, rating: Rating) -> str:
        return str(rating.trial.stimulus)
