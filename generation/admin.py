"""Lists and forms of pictures, experiments, renders and batches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import OuterRef, Q, QuerySet
from django.forms import ModelForm, NumberInput, Script
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import ngettext

from generation import pages
from generation.access import QUEUE
from generation.contact_sheet.layout import level_text
from generation.engine.factors import FACTORS, factor_label, fixed_asked, levels_asked
from generation.engine.grid import ImpossibleGrid
from generation.engine.networks.weights import describe
from generation.experiments.forecast import (
    check_room,
    duration,
    forecast,
    number_of_renders,
    renders_are,
)
from generation.experiments.making import duplicate_experiment
from generation.experiments.removal import (
    InUse,
    at_work,
    delete_experiment,
    delete_source_image,
    experiments_with,
    users_of,
)
from generation.forms import (
    ExperimentForm,
    PairForm,
    PairFormSet,
    UploadForm,
)
from generation.models import (
    Batch,
    Experiment,
    Pair,
    Render,
    RenderQuerySet,
    SourceImage,
)
from generation.pages.queue import cancel_renders, queue_again
from generation.pages.render import about_render
from generation.pictures.fields import PictureField
from generation.pictures.source_images import add_source_image
from generation.queueing.batches import Queued, queue_experiment
from nstlab.core import history
from nstlab.core.access import (
    CHANGE,
    DELETE,
    VIEW,
    is_seen_by,
    may,
    may_with_everybodys,
    visible,
)
from nstlab.core.admin import (
    OwnedAdmin,
    ReadOnlyAdmin,
    SaysRandomWeightsMixin,
    SeenChoicesMixin,
    count_of,
    picture_tag,
)

MOST_NAMED = 20  # of what uses a source image, perhaps hundreds of experiments


def listed(values: Mapping[str, Any]) -> SafeString:
    """Names and values, one a line."""
    rows = ((factor_label(name), level_text(it)) for name, it in values.items())
    inner = format_html_join("", "<div><dt>{}</dt><dd>{}</dd></div>", rows)
    return format_html('<dl class="nst-facts">{}</dl>', inner)


class QueuesRendersMixin(OwnedAdmin):
    """Queueing, cancelling and retrying: the owner's, those it is shared with, and
    whoever keeps everybody's renders going."""

    def has_queue_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request.user, QUEUE, self.model if obj is None else obj)

    def changeable(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        if may_with_everybodys(request.user, QUEUE):
            return rows
        return super().changeable(request, rows)


class DeletesWholeMixin(OwnedAdmin):
    """Rows that are deleted with all that is only theirs, or not at all; whoever may
    delete the row may delete that, which has no pages of deletion of its own."""

    def stands_against(self, row: Any) -> list[Any]:
        """Rows and sentences that keep a row from being deleted."""
        raise NotImplementedError

    def goes_with(self, row: Any) -> dict[str, int]:
        """The numbers of other rows, by kind, that are deleted with a row."""
        raise NotImplementedError

    def delete_whole(self, row: Any) -> None:
        """Delete a row and what goes with it. Raises InUse."""
        raise NotImplementedError

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """In numbers, for thousands of renders have no use as a list."""
        counts = dict[str, int]()
        against = list[str]()
        lacking = set[str]()
        for row in objs:
            if not may(request.user, DELETE, row):
                lacking.add(str(self.opts.verbose_name))
            for name, count in self.goes_with(row).items():
                counts[name] = counts.get(name, 0) + count
            against += _in_words(request, row, self.stands_against(row))
        return [str(row) for row in objs], counts, lacking, against

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        try:
            self.delete_whole(obj)
        except InUse as refused:  # since it was asked for
            raise PermissionDenied(f"“{obj}” was not deleted. {refused}") from refused

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for row in queryset:
            self.delete_model(request, row)


def _in_words(request: HttpRequest, row: Any, against: list[Any]) -> list[str]:
    """Say what stands against deleting a row; of what one may not see, the kind."""
    said = []
    for each in against:
        if isinstance(each, str):
            said.append(f"“{row}”: {each}")
            continue
        kind = each._meta.verbose_name
        seen = is_seen_by(request.user, each)
        what = f"the {kind} “{each}”" if seen else f"somebody else's {kind}"
        said.append(f"“{row}” is used by {what}.")
    return list(dict.fromkeys(said))


@admin.register(SourceImage)
class SourceImageAdmin(DeletesWholeMixin):
    list_display = ["thumb", "title", "size", "consent", "licence", "created_at"]
    list_display_links = ["thumb", "title"]
    list_filter = ["consent"]
    search_fields = ["title", "credit", "licence", "sha256", "pixel_sha256"]
    list_per_page = 50
    readonly_fields = ["large", "size", "notes", "sha256", "pixel_sha256"]
    formfield_overrides = {
        models.FloatField: {
            "widget": NumberInput(attrs={"min": 0, "max": 1, "step": "any"})
        }
    }

    class Media:
        js = [Script("generation/focus.js", defer=True)]

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        if obj is None:
            return UploadForm
        return super().get_form(request, obj, change=change, **kwargs)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return UploadForm.Meta.fields
        return ["large", ("focus_x", "focus_y"), "title", "credit", "licence",
                "consent", "size", "notes", "sha256", "pixel_sha256"]  # fmt: skip

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.readonly_fields if obj else []

    def changeform_view(
        self, request: HttpRequest, object_id: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        """Decode an upload before Django's transaction: on SQLite nobody could write
        meanwhile."""
        new = request.method == "POST" and object_id is None
        if new and self.has_add_permission(request):
            PictureField().decode_ahead(request.FILES.get("upload"))
        return super().changeform_view(request, object_id, *args, **kwargs)

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> SourceImage:
        if change:
            return super().save_form(request, form, change)
        cleaned = dict(form.cleaned_data)
        image, notes = add_source_image(
            data=cleaned.pop("upload"), owner=request.user, **cleaned
        )
        for note in notes:
            messages.info(request, note)
        form.instance = image
        form.save_m2m = lambda: None
        return image

    def save_model(
        self, request: HttpRequest, obj: SourceImage, form: Any, change: bool
    ) -> None:
        if change:
            super().save_model(request, obj, form, change)

    def stands_against(self, row: SourceImage) -> list[Any]:
        return list(experiments_with(row)[:MOST_NAMED])

    def goes_with(self, row: SourceImage) -> dict[str, int]:
        return {"source images": 1}

    def delete_whole(self, row: SourceImage) -> None:
        delete_source_image(row)

    @admin.display(description="picture")
    def thumb(self, image: SourceImage) -> SafeString:
        return _thumbnail(image)

    @admin.display(description="picture")
    def large(self, image: SourceImage) -> SafeString:
        url = reverse("generation:source_picture", args=[image.pk, "picture"])
        return format_html(
            '<span class="nst-focus" data-width="{}" data-height="{}">{}</span>',
            image.width,
            image.height,
            picture_tag(url, image.title),
        )

    @admin.display(description="size", ordering="width")
    def size(self, image: SourceImage) -> str:
        return f"{image.width} × {image.height}"


class PairInline(SeenChoicesMixin, admin.TabularInline):
    model = Pair
    form = PairForm
    formset = PairFormSet
    extra = 1
    verbose_name_plural = "single pairs"
    autocomplete_fields = ["content", "style"]
    readonly_fields = ["pictures", "levels"]
    # Pictures are chosen here; they are changed and deleted on their own pages.
    not_beside_choices = ("add", "change", "delete", "view")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Pair]:
        return super().get_queryset(request).select_related("content", "style")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        may_pair = self.has_change_permission(request, obj)
        if may_pair and (obj is None or may(request.user, CHANGE, obj)):
            return ["content", "style", "axes"]
        return self.readonly_fields

    @admin.display(description="content × style")
    def pictures(self, pair: Pair) -> SafeString:
        return format_html("{} {}", _thumbnail(pair.content), _thumbnail(pair.style))

    @admin.display(description="levels of its own")
    def levels(self, pair: Pair) -> SafeString | str:
        return listed(pair.axes) if pair.axes else "–"


def _thumbnail(image: SourceImage) -> SafeString:
    url = reverse("generation:source_picture", args=[image.pk, "thumbnail"])
    return picture_tag(url, image.title)


def _thumbnails(images: Iterable[SourceImage]) -> SafeString | str:
    """Pictures with their titles, for somebody who only looks."""
    rows = ((_thumbnail(image), image.title) for image in images)
    items = format_html_join("", "<li>{}<span>{}</span></li>", rows)
    return format_html('<ul class="nst-shown">{}</ul>', items) if items else "–"


@admin.register(Experiment)
class ExperimentAdmin(QueuesRendersMixin, DeletesWholeMixin):
    form = ExperimentForm
    inlines = [PairInline]
    list_display = ["name", "progress", "weights_note", "created_at"]
    list_per_page = 50
    show_full_result_count = False
    search_fields = ["name", "description"]
    actions = ["queue", "cancel", "duplicate"]
    change_form_template = "admin/generation/experiment/change_form.html"
    fieldsets = [
        (None, {"fields": ["name", "description"]}),
        (
            "Pictures",
            {
                "fields": ["contents", "styles"],
                "description": "Every content image is painted with every style image. "
                "Single pairs are listed at the end; both are painted.",
            },
        ),
        (
            "Grid",
            {"fields": [*levels_asked(), "more_axes"]},
        ),
        (
            "The same for every render",
            {
                "fields": [*map(tuple, fixed_asked()), "reuse"],
            },
        ),
    ]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """To somebody who only looks, in words and with the pictures."""
        if obj is None or self.has_change_permission(request, obj):
            return super().get_fieldsets(request, obj)
        shown = may(request.user, VIEW, SourceImage)
        pictures = ["contents", "styles"]
        return [
            (None, {"fields": ["name", "description"]}),
            (
                "Pictures",
                {"fields": [f"{it}_shown" for it in pictures] if shown else pictures},
            ),
            ("Grid", {"fields": ["axes_shown"]}),
            ("The same for every render", {"fields": ["fixed_shown", "reuse_shown"]}),
        ]

    @admin.display(description="content images")
    def contents_shown(self, experiment: Experiment) -> SafeString | str:
        return _thumbnails(experiment.contents.all())

    @admin.display(description="style images")
    def styles_shown(self, experiment: Experiment) -> SafeString | str:
        return _thumbnails(experiment.styles.all())

    @admin.display(description="levels")
    def axes_shown(self, experiment: Experiment) -> SafeString:
        levels = experiment.axes().items()
        return listed({name: ", ".join(map(level_text, it)) for name, it in levels})

    @admin.display(description="settings")
    def fixed_shown(self, experiment: Experiment) -> SafeString:
        varied = experiment.axes()
        fixed = experiment.fixed_settings().items()
        return listed({name: it for name, it in fixed if name not in varied})

    @admin.display(description="reuse existing renders")
    def reuse_shown(self, experiment: Experiment) -> str:
        return "yes" if experiment.reuse else "no"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Experiment]:
        its = Render.objects.filter(experiment=OuterRef("pk"))
        return (
            super()
            .get_queryset(request)
            .annotate(planned=count_of(its), painted=count_of(its.ready()))
        )

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        seen = visible(SourceImage, request.user)
        sent = request.GET

        class OffersSeen(form):
            """Of its own for each request; so are the fields of an instance, while
            those declared on a class are of all threads."""

            def __init__(self, *args: Any, **options: Any) -> None:
                super().__init__(*args, **options)
                for name in ("contents", "styles"):
                    if name in self.fields:
                        wanted = sent.get(f"{name}_search", "")
                        self.fields[name].offer(seen, wanted)

        return OffersSeen

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **options: Any
    ) -> HttpResponse:
        thing = context["original"] or Experiment
        context |= {"may_queue": may(request.user, QUEUE, thing)}
        return super().render_change_form(request, context, *args, **options)

    def stands_against(self, row: Experiment) -> list[Any]:
        return [*users_of(row), *filter(None, [at_work(row)])]

    def goes_with(self, row: Experiment) -> dict[str, int]:
        return {
            "experiments": 1,
            "single pairs": row.pairs.count(),
            "renders, with those pictures that no other experiment shows": (
                row.renders.count()
            ),
        }

    def delete_whole(self, row: Experiment) -> None:
        delete_experiment(row)

    @admin.display(description="renders done")
    def progress(self, experiment: Any) -> SafeString:
        return format_html(
            '<a href="{}">{} of {}</a>',
            reverse("admin:generation_experiment_sheet", args=[experiment.pk]),
            experiment.painted,
            experiment.planned,
        )

    @admin.display(description="weights")
    def weights_note(self, experiment: Experiment) -> str:
        return describe(experiment.weights)

    def save_model(
        self, request: HttpRequest, obj: Experiment, form: Any, change: bool
    ) -> None:
        if not change and request.user.is_authenticated:
            obj.owner = request.user
        super().save_model(request, obj, form, change)

    def save_related(
        self, request: HttpRequest, form: ModelForm, formsets: Any, change: bool
    ) -> None:
        super().save_related(request, form, formsets, change)
        try:
            planned = forecast(form.instance)
            messages.info(request, str(planned))
            if planned.new:
                check_room(planned.bytes, form.instance.owner)
        except ImpossibleGrid as refused:
            messages.warning(request, str(refused))

    def response_change(self, request: HttpRequest, obj: Experiment) -> HttpResponse:
        if "_queue" in request.POST:
            self._queue(request, obj)
            return HttpResponseRedirect(
                reverse("admin:generation_experiment_sheet", args=[obj.pk])
            )
        return super().response_change(request, obj)

    def response_add(
        self, request: HttpRequest, obj: Experiment, post_url_continue: Any = None
    ) -> HttpResponse:
        if "_queue" in request.POST:
            return self.response_change(request, obj)
        return super().response_add(request, obj, post_url_continue)

    def _queue(self, request: HttpRequest, experiment: Experiment) -> None:
        if not self.has_queue_permission(request, experiment):
            messages.error(request, "You may not queue renders; ask for the right.")
            return
        try:
            queued = queue_experiment(experiment)
        except ImpossibleGrid as refused:
            messages.error(request, f"{experiment}: {refused}")
        else:
            if queued.new:
                said = f"{number_of_renders(queued.new)} queued."
                history.record(request.user, experiment, said)
            messages.success(request, f"{experiment}: {_said(queued)}")

    @admin.action(description="Queue the renders", permissions=["queue"])
    def queue(self, request: HttpRequest, queryset: QuerySet[Experiment]) -> None:
        for experiment in queryset:
            self._queue(request, experiment)

    @admin.action(description="Cancel what is not painted yet", permissions=["queue"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Experiment]) -> None:
        renders = Render.objects.filter(experiment__in=list(queryset))
        cancel_renders(request, renders)

    @admin.action(description="Duplicate", permissions=["add"])
    def duplicate(self, request: HttpRequest, queryset: QuerySet[Experiment]) -> None:
        for experiment in queryset:
            copy = duplicate_experiment(experiment, owner=request.user)
            history.record(request.user, copy, f"Copied from {experiment}.", new=True)
            messages.success(request, f"{copy} has the pairs and settings.")

    def get_urls(self) -> list[URLPattern]:
        return [*pages.urls(), *super().get_urls()]


def _said(queued: Queued) -> str:
    """Say what queueing an experiment did, in a sentence or two."""
    waiting, there = queued.new - queued.reused, queued.total - queued.new
    said = "Nothing is left to paint."
    if waiting:
        are = ngettext("render is", "renders are", queued.total)
        said = (
            f"{waiting:,} of {queued.total:,} {are} queued now, about "
            f"{duration(queued.seconds)} on one worker."
        )
        if there:
            said += f" {there:,} {ngettext('was', 'were', there)} there already."
    if queued.reused:
        comes = ngettext("picture comes", "pictures come", queued.reused)
        said += f" {queued.reused:,} {comes} from other experiments."
    return said


class ExperimentFilter(admin.SimpleListFilter):
    """The experiments made last, and the one that is chosen: not thousands of them."""

    title = "experiment"
    parameter_name = "experiment"
    shown = 20

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        seen = visible(Experiment, request.user)
        latest = list(seen.only("name")[: self.shown])
        chosen = chosen_experiment(request)
        if chosen is not None and chosen not in latest:
            latest.append(chosen)
        return [(str(experiment.pk), experiment.name) for experiment in latest]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Render]
    ) -> QuerySet[Render]:
        if self.value() is None:
            return queryset
        return queryset.filter(experiment=chosen_experiment(request))


def chosen_experiment(request: HttpRequest) -> Experiment | None:
    """The experiment a list is filtered by; every filter asks, one is looked up."""
    known: dict[str, Any] = request.__dict__
    if "_chosen_experiment" not in known:
        pk = request.GET.get(ExperimentFilter.parameter_name, "")
        seen = visible(Experiment, request.user)
        chosen = seen.filter(pk=pk).first() if pk.isdecimal() else None
        known["_chosen_experiment"] = chosen
    found: Experiment | None = known["_chosen_experiment"]
    return found


class LevelFilter(admin.SimpleListFilter):
    """A factor's levels in the experiment that is chosen; without one, none are
    offered, because they would have to be looked for in every render of the lab."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        chosen = chosen_experiment(request)
        if chosen is None:
            return []
        factor = str(self.parameter_name)
        levels = chosen.renders.order_by(factor).values_list(factor, flat=True)
        found = levels.distinct()[:100]
        return [(str(level), str(level)) for level in found]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Render]
    ) -> QuerySet[Render]:
        if self.value() not in dict(self.lookup_choices):
            return queryset
        return queryset.filter(**{str(self.parameter_name): self.value()})


class ContentLayerFilter(LevelFilter):
    title = parameter_name = "content_layer"


class TVWeightFilter(LevelFilter):
    title, parameter_name = "TV weight", "tv_weight"


@admin.register(Render)
class RenderAdmin(QueuesRendersMixin, SaysRandomWeightsMixin):
    random_weights = Q(weights__startswith="random:")
    list_display = [
        "thumb", "pair",
        *({"alpha": "weight", "weights": "weights_shown"}.get(name, name)
          for name, each in FACTORS.items() if each.listed and each.is_setting),
        "state", "evaluations_shown", "seconds_shown",
    ]  # fmt: skip
    list_display_links = ["thumb", "pair"]
    list_filter = ["status", ExperimentFilter, ContentLayerFilter, TVWeightFilter]
    list_select_related = ["content", "style"]
    search_fields = ["digest", "pixel_sha256", "content__title", "style__title"]
    search_help_text = "A picture's title, or a whole digest."
    actions = ["cancel", "retry"]
    change_form_template = "generation/render_change_form.html"
    fieldsets = [
        ("Settings", {"fields": ["experiment", "content", "style", "settings_shown"]}),
        ("Provenance", {"fields": [
            "digest", "pixel_sha256", "alpha", "style_share", "content_share",
            "environment_shown", "evaluations_shown",
            "seconds_shown", "worker", "attempt", "created_at", "started_at",
            "finished_at", "traceback"]}),
    ]  # fmt: skip
    readonly_fields = [str(name) for _, each in fieldsets for name in each["fields"]]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Render]:
        return (
            super()
            .get_queryset(request)
            .defer("settings", "curve", "environment", "traceback")
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Render], search_term: str
    ) -> tuple[QuerySet[Render], bool]:
        """By indices: whole digests, or titles among the few source images."""
        for word in search_term.split():
            images = SourceImage.objects.filter(title__icontains=word)
            keys = list(images.values_list("pk", flat=True))
            queryset = queryset.filter(
                Q(digest=word)
                | Q(pixel_sha256=word)
                | Q(content__in=keys)
                | Q(style__in=keys)
            )
        return queryset, False

    @admin.display(description="picture")
    def thumb(self, row: Render) -> SafeString | str:
        if not row.picture:
            return "–"
        url = reverse("generation:render_picture", args=[row.pk])
        return picture_tag(url, str(row))

    @admin.display(description="content × style", ordering="content__title")
    def pair(self, row: Render) -> str:
        return f"{row.content} × {row.style}"

    # A heading begins with a capital, and α's is an A.
    @admin.display(description="weight α", ordering="alpha")
    def weight(self, row: Render) -> str:
        return "–" if row.alpha is None else f"{row.alpha:g}"

    @admin.display(description="weights", ordering="weights")
    def weights_shown(self, row: Render) -> str:
        return describe(row.weights)

    @admin.display(description="state", ordering="status")
    def state(self, row: Render) -> SafeString:
        return format_html(
            '<span class="nst-state nst-{}">{}</span>', row.status, row.status
        )

    @admin.display(description="evaluations")
    def evaluations_shown(self, row: Render) -> str:
        done = row.evaluations if row.status == Render.Status.DONE else None
        done = done or row.progress.get("evaluations", 0)
        return f"{done} / {row.evaluations}"

    @admin.display(description="seconds", ordering="seconds")
    def seconds_shown(self, row: Render) -> str:
        return "–" if row.seconds is None else f"{row.seconds:.1f}"

    @admin.display(description="settings")
    def settings_shown(self, row: Render) -> SafeString:
        named = f"{describe(row.weights)} · {row.weights}"
        return listed({**row.settings, "weights": named})

    @admin.display(description="environment")
    def environment_shown(self, row: Render) -> SafeString | str:
        return listed(row.environment) if row.environment else "–"

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **options: Any
    ) -> HttpResponse:
        context |= about_render(request, context["original"])
        return super().render_change_form(request, context, *args, **options)

    @admin.action(description="Cancel", permissions=["queue"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Render]) -> None:
        renders = Render.objects.filter(pk__in=queryset.values("pk"))
        cancel_renders(request, renders)

    @admin.action(description="Retry", permissions=["queue"])
    def retry(self, request: HttpRequest, queryset: RenderQuerySet) -> None:
        count = queue_again(request, queryset)
        if count:
            messages.success(request, f"{renders_are(count)} queued again.")
        elif count == 0:
            messages.info(request, "None of them ended without a picture.")


@admin.register(Batch)
class BatchAdmin(ReadOnlyAdmin):
    list_display = ["job_id", "experiment", "size", "attempt", "lease_until"]
    list_select_related = ["experiment"]
    search_fields = ["experiment__name"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Batch]:
        its = Render.objects.filter(batch=OuterRef("pk"))
        return super().get_queryset(request).annotate(size=count_of(its))

    @admin.display(description="renders")
    def size(self, batch: Any) -> int:
        return int(batch.size)
