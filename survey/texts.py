"""What people read in a study, in the language they chose."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest
from django.utils.translation.trans_real import parse_accept_lang_header

from survey.methods import method_of
from survey.models import Study


@dataclass(frozen=True)
class Texts:
    """A study's texts in one language; what is not translated stays in the study's."""

    title: str
    welcome: str
    consent: str
    thanks: str
    questions: tuple[tuple[str, str], ...]
    language: str


def texts_of(study: Study, language: str) -> Texts:
    """The texts in `language`, if the study has them, with every question by name."""
    further = list(study.further_questions.all())
    own = None
    if language != study.language:
        own = study.translations.filter(language=language).first()
    usual = str(method_of(study).default_question)
    asked = [("overall", study.question or usual)]
    asked += [(question.name, question.text) for question in further]
    if own is None:
        return Texts(
            study.title, study.welcome, study.consent, study.thanks, tuple(asked),
            study.language,
        )  # fmt: skip
    lines = own.further_questions.splitlines()
    translated = [own.question, *(line.strip() for line in lines)]
    translated += [""] * (len(asked) - len(translated))
    return Texts(
        own.title or study.title,
        own.welcome or study.welcome,
        own.consent or study.consent,
        own.thanks or study.thanks,
        tuple(
            (name, better or text)
            for (name, text), better in zip(asked, translated, strict=False)
        ),
        language,
    )


def languages_of(study: Study) -> list[str]:
    """The languages a study is offered in, its own first.

    The scale's words come in these languages only: whoever runs the study decides in
    which languages its scale is used.
    """
    others = study.translations.values_list("language", flat=True)
    return [study.language, *(code for code in others if code != study.language)]


def choose_language(request: HttpRequest, study: Study) -> str:
    """The link's `lang`, else the browser's wish, else the study's own language."""
    offered = languages_of(study)
    asked = request.POST.get("lang") or request.GET.get("lang") or ""
    if asked in offered:
        return asked
    for wish in _wishes(request.headers.get("Accept-Language", "")):
        for code in offered:
            if wish == code or wish.split("-")[0] == code.split("-")[0]:
                return code
    return study.language


def _wishes(header: str) -> list[str]:
    """Language tags, most wanted first."""
    return [
        tag
        for tag, weight in parse_accept_lang_header(header[:500].lower())
        if weight > 0
    ]
