"""Forms ready to use."""

from __future__ import annotations

from survey.models import FormItem, Study

P913_FORM: tuple[dict[str, str], ...] = (
    {
        "name": "age_band",
        "text": "How old are you?",
        "options": "18–24\n25–34\n35–44\n45–54\n55–64\n65 or older\nI'd rather not say",
    },
    {
        "name": "gender",
        "text": "What is your gender?",
        "options": "woman\nman\nanother\nI'd rather not say",
    },
    {
        "name": "experience",
        "text": "How familiar are you with judging pictures?",
        "options": "not at all\nas a hobby\nit is part of my work or studies",
    },
    {
        "name": "vision",
        "text": "How do you see right now?",
        "options": "normal without glasses or lenses\nnormal with glasses or lenses\n"
        "not quite sharp",
    },
    {
        "name": "colour_vision",
        "text": "Do you have a colour vision deficiency?",
        "options": "no\nyes\nI don't know",
    },
    {
        "name": "room",
        "text": "How bright is it where you are?",
        "options": "dark\nlike a living room in the evening\nlike an office\noutdoors",
    },
)
"""What ITU-T P.913 (clause 9, questionnaire) asks about people and surroundings: age
band, gender, experience, vision and room. Nothing that names a person."""


def add_p913_form(study: Study) -> int:
    """Put the questions of P913_FORM that the study lacks into its form before."""
    present = set(study.form_items.values_list("name", flat=True))
    new = [each for each in P913_FORM if each["name"] not in present]
    FormItem.objects.bulk_create([FormItem(study=study, **each) for each in new])
    return len(new)
