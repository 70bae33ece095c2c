"""What every page of the desk has from `nstlab.core.access`: one class for all admins.

`OwnedAdmin` lets nobody see, choose, change or share what is not theirs to: in lists,
forms, filters, autocompletes, popups and actions. A page of one's own gets its row by
`get_object_or_404(self.get_queryset(request), pk=pk)`, then asks
`self.has_view_permission(request, row)` or `self.has_change_permission(request, row)`.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.widgets import AutocompleteSelect, RelatedFieldWidgetWrapper
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Page, Paginator
from django.db import models
from django.db.models import Count, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString

from nstlab.core import access


def picture_tag(url: str, alt: str) -> SafeString:
    """A picture in the admin; admin.css says how large it is in a list or alone."""
    return format_html('<img src="{}" alt="{}" class="nst-thumbnail">', url, alt)


def count_of(rows: QuerySet[Any]) -> Coalesce:
    """How many rows of a query on OuterRef("pk"); counted for the rows shown only."""
    by_none = rows.order_by().values(one=Value(1)).annotate(count=Count("pk"))
    return Coalesce(Subquery(by_none.values("count")), 0)


def own_columns(form: forms.BaseModelForm) -> list[str]:
    """The columns of a row that a form writes: those of its fields.

    Never the whole row: somebody may have written the others since it was read.
    """
    columns = form.instance._meta.concrete_fields
    return [
        it.name for it in columns if it.name in form.cleaned_data and not it.primary_key
    ]


class OwnColumnsForm(forms.ModelForm):
    """A form that leaves alone what it does not show."""

    def save(self, commit: bool = True) -> Any:
        row = super().save(commit=False)
        if commit:
            row.save(update_fields=None if row._state.adding else own_columns(self))
            self._save_m2m()  # type: ignore[attr-defined]
        return row


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
        related = self.admin_site._registry.get(field.remote_field.model)
        if not isinstance(related, OwnedAdmin):
            return {}
        built: dict[Any, Any] = request.__dict__.setdefault("_seen_choices", {})
        if related not in built:
            rows = related.model._default_manager.all()
            built[related] = access.seen_by(request.user, rows, related.belongs_to)
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
    """Pages of rows that belong to somebody; `belongs_to` is the way to the owned row,
    as "trial__participant__study", or empty if it is the row itself."""

    belongs_to = ""
    paginator = KeysFirst

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return access.seen_by(
            request.user, super().get_queryset(request), self.belongs_to
        )

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if not super().has_view_permission(request, obj):
            return False
        return obj is None or access.may_see(request.user, self._root(obj))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if not super().has_change_permission(request, obj):
            return False
        return obj is None or access.may_change(request.user, self._root(obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if not super().has_delete_permission(request, obj):
            return False
        return obj is None or access.may_share(request.user, self._root(obj))

    def _root(self, row: Any) -> access.Owned:
        return access.root_row(row, self.belongs_to)

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
        return access.changeable_by(request.user, rows, self.belongs_to)

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
        return shown if self.belongs_to else [*shown, "owner"]

    def get_list_select_related(self, request: HttpRequest) -> Any:
        also = super().get_list_select_related(request)
        return also if self.belongs_to or also is True else [*(also or ()), "owner"]

    def get_urls(self) -> list[URLPattern]:
        urls = super().get_urls()
        if self.belongs_to:
            return urls
        names = self.opts.app_label, self.opts.model_name
        page = path(
            "<int:pk>/people/",
            self.admin_site.admin_view(self.people_page),
            name="{}_{}_people".format(*names),
        )
        return [page, *urls]

    def people_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Whom a row is shared with, and whose it is."""
        row = get_object_or_404(self.get_queryset(request), pk=pk)
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        may_share = access.may_share(request.user, row)
        form = _people_form(request, row)
        if request.method == "POST":
            if not may_share:
                raise PermissionDenied
            if form.is_valid():
                form.save()
                if form.changed_data:
                    self.log_change(request, row, _who(row))
                messages.success(request, _who(row))
                if access.may_see(request.user, row):
                    return redirect(request.path)
                return redirect("admin:index")
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": row,
            "title": f"Who sees “{row}”",
            "form": form,
            "may_share": may_share,
        }
        return TemplateResponse(request, "admin/people.html", context)


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


def _people_form(request: HttpRequest, row: Any) -> forms.ModelForm:
    """Colleagues to tick; a superuser may also give the row to somebody else."""
    staff = get_user_model()._default_manager.filter(is_active=True, is_staff=True)
    named = ["shared_with"]
    if request.user.is_superuser:
        named.insert(0, "owner")
    form_class = forms.modelform_factory(
        type(row),
        form=OwnColumnsForm,
        fields=named,
        labels={"shared_with": "Shared with"},
        widgets={"shared_with": forms.CheckboxSelectMultiple},
    )
    form = form_class(request.POST if request.method == "POST" else None, instance=row)
    others = staff.exclude(pk=row.owner_id).order_by(get_user_model().USERNAME_FIELD)
    form.fields["shared_with"].queryset = others  # type: ignore[attr-defined]
    if "owner" in form.fields:
        form.fields["owner"].queryset = staff  # type: ignore[attr-defined]
    return form


def _who(row: access.Owned) -> str:
    """Who sees a row, as a sentence for the log."""
    names = sorted(user.get_username() for user in row.shared_with.all())
    belongs = f"It is {row.owner.get_username()}'s" if row.owner else "It is nobody's"
    return f"{belongs}, shared with {', '.join(names) or 'nobody'}."


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
