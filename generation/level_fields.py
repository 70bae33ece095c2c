"""What forms ask for levels: of one factor, or of any, an axis a line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms

from generation.engine.factors import Factor
from generation.engine.grid import ImpossibleGrid, axes_text, parse_axes
from generation.engine.networks.architectures import NETWORK_LAYERS


class NumberListField(forms.Field):
    """Numbers separated by commas or blanks, as `0.001, 0.01, 0.1`."""

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, list):
            return ", ".join(f"{number:g}" for number in value)
        return value

    def to_python(self, value: Any) -> list[float]:
        numbers: list[float] = []
        for word in (value or "").replace(",", " ").split():
            try:
                number = float(word)
            except ValueError as error:
                raise forms.ValidationError(
                    f"{word!r} is not a number; write numbers as 0.001, 0.01, 0.1."
                ) from error
            if not 0 <= number < float("inf"):
                raise forms.ValidationError(f"{word} must be 0 or more.")
            numbers.append(number)
        return list(dict.fromkeys(numbers))

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return list(initial or []) != self.to_python(data)
        except forms.ValidationError:
            return True


def _layer_choices() -> Iterable[tuple[str, str]]:
    layers = sorted({layer for known in NETWORK_LAYERS.values() for layer in known})
    return [(layer, layer) for layer in layers]


def levels_field(factor: Factor, **options: Any) -> forms.Field:
    """The field of a form for the levels of a factor: layers to tick, or numbers."""
    options = {
        "label": factor.levels_label,
        "help_text": factor.form_help,
        "required": False,
        **options,
    }
    if factor.is_layers:
        return forms.MultipleChoiceField(
            choices=_layer_choices, widget=forms.CheckboxSelectMultiple, **options
        )
    return NumberListField(**options)


class AxesField(forms.CharField):
    """Axes of a grid, one a line, as `seed = 0, 1, 2`; cleaned to a dict."""

    widget = forms.Textarea(attrs={"rows": 3, "cols": 60})

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"required": False} | options)

    def prepare_value(self, value: Any) -> Any:
        return axes_text(value) if isinstance(value, dict) else value

    def clean(self, value: Any) -> dict[str, list[Any]]:
        try:
            return parse_axes(super().clean(value))
        except ImpossibleGrid as refused:
            raise forms.ValidationError(str(refused)) from refused

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return (initial or {}) != self.clean(data)
        except forms.ValidationError:
            return True
