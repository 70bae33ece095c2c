"""What all admins of the lab share: above all what `nstlab.core.access` says.

`OwnedAdmin` lets nobody see, choose, change or share what is not theirs to: in lists,
forms, filters, autocompletes, popups and actions. Pages that are neither a list nor the
form of a row are functions: `nstlab.core.pages`.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.widgets import AutocompleteSelect, RelatedFieldWidgetWrapper
from django.core.exceptions import ValidationError
from django.core.paginator import Page, Paginator
from django.db import models
from django.db.models import Count, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern
from django.utils.html import format_html
from django.utils.safestring import SafeString

from nstlab.core import access
from nstlab.core.forms import own_columns
from nstlab.core.pages import about, address
from nstlab.core.sharing import people


def picture_tag(url: str, alt: str) -> SafeString:
    """A picture in the admin; admin.css says how large it is in a list or alone."""
    return format_html('<img src="{}" alt="{}" class="nst-thumbnail">', url, alt)


def count_of(rows: QuerySet[Any]) -> Coalesce:
    """How many rows of a query on OuterRef("pk"); counted for the rows shown only."""
    by_none = rows.order_by().values(one=Value(1)).annotate(count=Count("pk"))
    return Coalesce(Subquery(by_none.values("count")), 0)


class Autocomplete(AutocompleteSelect):
    """A field to search in, that reads the chosen row: never where none is chosen, nor
    where the page has it already, in `loaded` by its key as text."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.loaded: dict[str, models.Model] = {}  # that of all forms of a formset

    @property
    def media(self) -> forms.Media:
        after = ["admin/js/autocomplete.js", "nstlab/searching.js"]
        return super().media + forms.Media(js=after)

    def optgroups(self, name: str, value: Any, attr: Any = None) -> Any:
        field = self.choices.field
        chosen = [key for key in value if key not in field.empty_values]
        if missing := [key for key in chosen if key not in self.loaded]:
            rows = self.choices.queryset.using(self.db).filter(pk__in=missing)
            self.loaded |= {str(row.pk): row for row in rows}
        labels = {
            key: field.label_from_instance(self.loaded[key])
            for key in chosen
            if key in self.loaded
        }
        offered = ({} if self.is_required else {"": ""}) | labels
        options = [
            self.create_option(name, key, label, key in labels, index)
            for index, (key, label) in enumerate(offered.items())
        ]
        return [(None, options, 0)]


class SeenChoicesMixin(admin.options.BaseModelAdmin):
    """Forms that offer and take only what the person may see, of whatever is owned."""

    # No cross: what somebody owns is deleted on its own page.
    not_beside_choices: tuple[str, ...] = ("delete",)

    def _seen(self, request: HttpRequest, field: Any) -> dict[str, Any]:
        """The choices of a field, if they are owned; built once for a page, whose
        forms ask for them many times."""
        related = field.remote_field.model
        if not access.belongs_to_somebody(related):
            return {}
        built: dict[Any, Any] = request.__dict__.setdefault("_seen_choices", {})
        if related not in built:
            rows = related._default_manager.all()
            built[related] = access.seen_by(request.user, rows)
        return {"queryset": built[related]}

    def formfield_for_dbfield(
        self, db_field: Any, request: HttpRequest, **kwargs: Any
    ) -> Any:
        field: Any = super().formfield_for_dbfield(db_field, request, **kwargs)
        if isinstance(getattr(field, "widget", None), RelatedFieldWidgetWrapper):
            for act in self.not_beside_choices:
                setattr(field.widget, f"can_{act}_related", False)
        return field

    def formfield_for_foreignkey(
        self, db_field: Any, request: HttpRequest, **kwargs: Any
    ) -> Any:
        seen = self._seen(request, db_field)
        match = request.resolver_match
        pk = match.kwargs.get("object_id", "") if match else ""
        if seen and isinstance(self, admin.ModelAdmin) and pk.isdecimal():
            # What a row that is shared names already stays, seen elsewhere or not.
            named = self.model._default_manager.filter(pk=pk).values(db_field.name)
            other = db_field.remote_field.model._default_manager.filter(pk__in=named)
            seen = {"queryset": seen["queryset"] | other}
        if db_field.name in self.get_autocomplete_fields(request):
            using = kwargs.get("using")
            seen["widget"] = Autocomplete(db_field, self.admin_site, using=using)
        return super().formfield_for_foreignkey(db_field, request, **seen | kwargs)

    def formfield_for_manytomany(
        self, db_field: Any, request: HttpRequest, **kwargs: Any
    ) -> Any:
        kwargs = self._seen(request, db_field) | kwargs
        return super().formfield_for_manytomany(db_field, request, **kwargs)


class KeysFirst(Paginator):
    """Finds the keys of a page, then its rows: a late page, or one of a wide list,
    reads no row that it does not show."""

    def page(self, number: int | str) -> Page:
        number = self.validate_number(number)
        first = (number - 1) * self.per_page
        every: Any = self.object_list
        keys = list(every.values_list("pk", flat=True)[first : first + self.per_page])
        return Page(every.filter(pk__in=keys), number, self)


class ReadOnlyMixin(admin.ModelAdmin):
    """Rows that only the lab itself writes."""

    # Counting all beside the rows found takes longer than finding them.
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class OwnedAdmin(SeenChoicesMixin, admin.ModelAdmin):
    """Pages of rows that belong to somebody."""

    paginator = KeysFirst

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return access.seen_by(request.user, super().get_queryset(request))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return access.may(request.user, access.VIEW, self._thing(obj))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return access.may(request.user, access.ADD, self.model)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return access.may(request.user, access.CHANGE, self._thing(obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return access.may(request.user, access.DELETE, self._thing(obj))

    def _thing(self, row: Any) -> Any:
        return self.model if row is None else row

    @property
    def rows_are_owned(self) -> bool:
        """Its rows are owned themselves."""
        return issubclass(self.model, access.Owned)

    def save_model(
        self, request: HttpRequest, obj: Any, form: Any, change: bool
    ) -> None:
        obj.save(update_fields=own_columns(form) if change else None)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Not where nothing was changed."""
        return super().log_change(request, obj, message) if message else None

    # Actions --------------------------------------------------------------------

    def action_checkbox(self, obj: Any) -> SafeString:
        """As Django's, without a template of its own for every row of a list."""
        return format_html(
            '<input type="checkbox" name="{}" value="{}" class="action-select" '
            'aria-label="Select this object for an action - {}">',
            ACTION_CHECKBOX_NAME,
            obj.pk,
            obj,
        )

    def changeable(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Of `rows`, those that actions of this person may change."""
        return access.changeable_by(request.user, rows)

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **kwargs: Any
    ) -> Any:
        may = self.changeable(request, queryset)
        chosen = Q(pk__in=request.POST.getlist(ACTION_CHECKBOX_NAME))
        left_out = queryset.filter(chosen).count() - may.filter(chosen).count()
        if left_out:
            messages.warning(
                request,
                f"{left_out} of those chosen are other people's: you may look at them, "
                "not change them. They were left out.",
            )
        return super().response_action(request, may, *args, **kwargs)

    # Sharing --------------------------------------------------------------------

    def get_list_display(self, request: HttpRequest) -> Any:
        shown = super().get_list_display(request)
        return [*shown, "owner"] if self.rows_are_owned else shown

    def get_list_select_related(self, request: HttpRequest) -> Any:
        also = super().get_list_select_related(request)
        return (
            [*(also or ()), "owner"]
            if self.rows_are_owned and also is not True
            else also
        )

    def get_urls(self) -> list[URLPattern]:
        urls = super().get_urls()
        if not self.rows_are_owned:
            return urls
        name = f"{self.opts.app_label}_{self.opts.model_name}_people"
        page = about(self.model, access.VIEW)(people)
        return [address("<int:pk>/people/", page, name), *urls]


class ReadOnlyAdmin(ReadOnlyMixin, OwnedAdmin):
    """Rows that only the lab itself writes, and that belong to somebody."""


class SaysRandomWeightsMixin(ReadOnlyAdmin):
    """Lists and pages of pictures that say which of them random features have painted:
    those that `random_weights` filters, on a page those with `row.random_weights`."""

    change_list_template = "admin/pictures_change_list.html"
    change_form_template = "admin/picture_change_form.html"
    random_weights: Q

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        response = super().changelist_view(request, extra_context)
        context = getattr(response, "context_data", None) or {}
        if listed := context.get("cl"):
            shown = listed.queryset.filter(self.random_weights)
            context["random_weights"] = shown.exists()
        return response


class SeenFilter(admin.RelatedFieldListFilter):
    """A filter by an owned row that names only those the person may see."""

    def field_choices(
        self, field: Any, request: HttpRequest, model_admin: admin.ModelAdmin
    ) -> Any:
        seen = access.visible(field.related_model, request.user)
        return field.get_choices(
            include_blank=False,
            limit_choices_to={"pk__in": seen.values("pk")},
            ordering=self.field_admin_ordering(field, request, model_admin),
        )

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        if not self.lookup_val:
            return super().queryset(request, queryset)
        owned: Any = self.field.related_model
        try:
            chosen = owned._default_manager.filter(pk__in=self.lookup_val)
        except (ValueError, ValidationError) as error:
            raise IncorrectLookupParameters(error) from error
        return access.under(queryset, self.field_path, chosen)


def _leads_to_owned(field: models.Field) -> bool:
    related = field.related_model
    return isinstance(related, type) and issubclass(related, access.Owned)


# Every `list_filter` that names such a field is guarded without being told to.
admin.FieldListFilter.register(_leads_to_owned, SeenFilter, take_priority=True)
