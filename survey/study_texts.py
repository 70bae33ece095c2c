"""Find the texts that people read in a study, in the language they chose."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest
from django.utils.translation import gettext, override
from django.utils.translation.trans_real import parse_accept_lang_header

from survey.methods import method_of
from survey.models import FormItem, Study, Translation
from survey.presets import P913_WORDS


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
    own = _translation(study, language)
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


def _translation(study: Study, language: str) -> Translation | None:
    """None where the study's own texts are meant, or all there are."""
    if language == study.language:
        return None
    return study.translations.filter(language=language).first()


@dataclass(frozen=True)
class FormWords:
    """A question of a form in one language, and its options by what is stored."""

    text: str
    options: dict[str, str]


def form_words(study: Study, language: str) -> dict[str, FormWords]:
    """The forms' questions by name: as the study translates them, P.913's as the pages
    are translated, else as they stand. Answers are stored as they stand."""
    own = _translation(study, language)
    blocks = form_blocks(own) if own else {}
    words = {}
    with override(language):
        for item in study.form_items.all():
            lines = [item.text, *item.option_list()]
            shown = blocks.get(item.name, [])
            if len(shown) != len(lines):
                shown = [gettext(it) if it in P913_WORDS else it for it in lines]
            options = dict(zip(lines[1:], shown[1:], strict=True))
            words[item.name] = FormWords(shown[0], options)
    return words


def form_blocks(translation: Translation) -> dict[str, list[str]]:
    """The lines by name of form question: the question, then its options."""
    blocks: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in map(str.strip, translation.forms.splitlines()):
        if not line:
            lines = []
        elif lines:
            lines.append(line)
        else:
            name, _, text = line.partition(":")
            lines = blocks[name.strip()] = [text.strip()]
    return blocks


def faults_of_forms(translation: Translation) -> list[str]:
    """Say in sentences what of a translation's forms fits no question of the study."""
    items: dict[str, FormItem] = {
        it.name: it for it in translation.study.form_items.all()
    }
    faults = []
    for name, (text, *options) in form_blocks(translation).items():
        if name not in items:
            faults.append(f"the forms ask nothing called “{name}”")
        elif not text:
            faults.append(f"{name} has no question")
        elif len(options) != (needed := len(items[name].option_list())):
            faults.append(f"{name} has {needed} options and {len(options)} translated")
    return faults


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
