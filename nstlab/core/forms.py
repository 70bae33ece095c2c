"""Forms that write what they show, and no more."""

from __future__ import annotations

from typing import Any

from django import forms


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
