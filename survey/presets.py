"""Forms ready to use, as data."""

from __future__ import annotations

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
