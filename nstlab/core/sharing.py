"""The page on which somebody says who else sees what is theirs."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect

from nstlab.core import access, history
from nstlab.core.forms import OwnColumnsForm
from nstlab.core.pages import admin_page, ask


def people(request: HttpRequest, row: access.Owned) -> HttpResponseBase:
    """Whom a row is shared with, and whose it is."""
    form = _people_form(request, row)
    if request.method == "POST":
        ask(request, row, access.SHARE)
        if form.is_valid():
            form.save()
            if form.changed_data:
                history.record(request.user, row, _who(row))
            messages.success(request, _who(row))
            if access.is_seen_by(request.user, row):
                return redirect(request.path)
            return redirect("admin:index")
    return admin_page(
        request,
        "admin/people.html",
        type(row),
        f"Who sees “{row}”",
        original=row,
        form=form,
        may_share=access.may(request.user, access.SHARE, row),
    )


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
