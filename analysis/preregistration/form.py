"""The form in which a researcher writes the plan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django import forms

from analysis.answer_kinds import kind_of
from analysis.preregistration.plan import (
    CORRECTIONS,
    FORMAT,
    LEVEL,
    SCREENS,
    TESTS,
    factors_of,
    possible_pairs,
)
from analysis.stats.flags import FAST_MS
from survey.models import Study


class PlanForm(forms.Form):
    """Hypotheses, whom to leave out, and which levels to compare."""

    hypotheses = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 6}),
        required=False,
        max_length=20_000,
        help_text="What you expect, in your own words, one a line.",
    )
    screening = forms.ChoiceField(
        label="People left out by rule",
        choices=SCREENS.items(),
        initial="none",
        help_text="The report applies it to its tables; screening.csv shows all.",
    )
    fast_ms = forms.IntegerField(
        label="Too fast, in milliseconds",
        min_value=0,
        max_value=60_000,
        initial=FAST_MS,
        help_text="Who answers most pictures faster is flagged in raters.csv.",
    )
    by_hand = forms.CharField(
        label="People left out by hand",
        widget=forms.Textarea(attrs={"rows": 3}),
        required=False,
        max_length=5000,
        help_text="For example: who misses both attention checks.",
    )
    test = forms.ChoiceField(choices=TESTS.items(), initial="t")
    correction = forms.ChoiceField(choices=CORRECTIONS.items(), initial="holm")

    def __init__(
        self, *args: Any, study: Study, plan: Mapping[str, Any], **kwargs: Any
    ) -> None:
        kind = kind_of(study)
        self.factors = factors_of(study)
        self.no_contrasts = kind.no_contrasts
        planned = plan.get("contrasts", {})
        chosen = [(it["factor"], it["a"], it["b"]) for it in planned.get("pairs", ())]
        initial = {
            "hypotheses": plan.get("hypotheses", ""),
            **plan.get("exclusion", {}),
            **{
                name: planned[name]
                for name in ("test", "correction")
                if name in planned
            },
        }
        super().__init__(*args, **kwargs)
        self.initial, self.label_suffix = initial, ""
        for number, (factor, levels) in enumerate(self.factors.items()):
            pairs = possible_pairs(levels)
            self.fields[f"pairs_{number}"] = forms.MultipleChoiceField(
                label=factor,
                required=False,
                widget=forms.CheckboxSelectMultiple,
                choices=[(json.dumps([a, b]), f"{a} against {b}") for a, b in pairs],
                initial=[json.dumps([a, b]) for f, a, b in chosen if f == factor],
            )

        if not self.factors:
            del self.fields["test"], self.fields["correction"]
        if not kind.screened:
            del self.fields["screening"], self.fields["fast_ms"]

    def sections(self) -> list[tuple[str, str, list[forms.BoundField]]]:
        """Heading, explanation and fields of each group, for the template."""
        compared = [f"pairs_{number}" for number in range(len(self.factors))]
        leaving_out = ("screening", "fast_ms", "by_hand")
        named = [
            ("Hypotheses", "", ["hypotheses"]),
            ("Who is left out", "", [it for it in leaving_out if it in self.fields]),
        ]
        if compared:
            named.append(
                (
                    "Planned contrasts",
                    "Differences of two levels of a factor, each person's ratings "
                    "averaged over the pictures of a level. Every comparison that is "
                    "not ticked here is exploratory.",
                    [*compared, "test", "correction"],
                )
            )
        return [(head, text, [self[name] for name in names])
                for head, text, names in named]  # fmt: skip

    def plan(self) -> dict[str, Any]:
        """The plan as it would be frozen now."""
        sent = self.cleaned_data
        pairs = [
            dict(zip(("factor", "a", "b"), (factor, *json.loads(pair)), strict=True))
            for number, factor in enumerate(self.factors)
            for pair in sent[f"pairs_{number}"]
        ]
        return {
            "format": "nstlab-preregistration",
            "format_version": FORMAT,
            "hypotheses": sent["hypotheses"].replace("\r\n", "\n"),
            "exclusion": {
                "screening": sent.get("screening", "none"),
                "fast_ms": sent.get("fast_ms", FAST_MS),
                "by_hand": sent["by_hand"].replace("\r\n", "\n"),
            },
            "contrasts": {
                "pairs": pairs,
                "test": sent.get("test", "t"),
                "correction": sent.get("correction", "holm"),
                "level": LEVEL,
            },
        }
