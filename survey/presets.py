"""Forms that are ready to use."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from survey.models import FormItem, Study

P913_FORM: tuple[dict[str, str], ...] = tuple(
    {"name": name, "text": text, "options": "\n".join(options)}
    for name, text, *options in (
        ("age_band", _("How old are you?"), "18–24", "25–34", "35–44", "45–54", "55–64",
         _("65 or older"), _("I'd rather not say")),
        ("gender", _("What is your gender?"), _("woman"), _("man"), _("another"),
         _("I'd rather not say")),
        ("experience", _("How familiar are you with judging pictures?"),
         _("not at all"), _("as a hobby"), _("it is part of my work or studies")),
        ("vision", _("How do you see right now?"),
         _("normal without glasses or lenses"), _("normal with glasses or lenses"),
         _("not quite sharp")),
        ("colour_vision", _("Do you have a colour vision deficiency?"), _("no"),
         _("yes"), _("I don't know")),
        ("room", _("How bright is it where you are?"), _("dark"),
         _("like a living room in the evening"), _("like an office"), _("outdoors")),
    )
)  # fmt: skip
"""What ITU-T P.913 (clause 9, questionnaire) asks about people and surroundings: age
band, gender, experience, vision and room. Nothing that names a person. English in a
study and in its tables; people read it in the language of the page."""

P913_WORDS = frozenset(
    line for each in P913_FORM for line in (each["text"], *each["options"].splitlines())
)

DEMO_WORDS = {
    "controller": "Whoever started this demo",
    "contact": "The person who sent you here",
    "ethics_reference": "None needed: a demonstration",
}
"""Who answers for the demo's study; nobody for another one."""


def add_p913_form(study: Study) -> int:
    """Put the questions of P913_FORM that the study lacks into its form before.

    The caller holds the study; returns how many it lacked.
    """
    present = set(study.form_items.values_list("name", flat=True))
    new = [each for each in P913_FORM if each["name"] not in present]
    FormItem.objects.bulk_create([FormItem(study=study, **each) for each in new])
    return len(new)
