"""Find words that stand for words still to be written, in texts and in links."""

from __future__ import annotations

import re
from collections.abc import Iterator

from survey.models import Study

_TEXT = re.compile(
    r"""
    \b(?:TODO|TBA|TBC|TBD|FIXME|X{3,})\b        # said aloud
    | _{3,}                                      # a line to be filled in
    | (?i:\blorem\s+ipsum\b)
    | (?i:(?:@|//|\bwww\.)(?:\w+\.)*example\.(?:com|net|org)\b)   # RFC 2606
    | \{\{[^}\n]*\}\} | \$\{[^}\n]*\}
    | (?i:[\[<][^\]>@.;!?\n]{0,60}?
      \b(?:your|insert|enter|name|date|e-?mail|address|phone|institution|university
         |department|contact|number|reference|hours|minutes|amount)\b
      [^\]>@.;!?\n]{0,60}[\]>])                      # [name of the university]
    """,
    re.VERBOSE,
)
# What platforms' manuals write where a code or an id belongs.
_LINK = re.compile(r"[{}<>\[\]$]|%[A-Za-z][A-Za-z_]{3,}%|(?<![A-Za-z])[Xx]{3,}\b")

TEXTS = ("title", "question", "welcome", "consent", "thanks", "controller", "contact",
         "ethics_reference")  # fmt: skip
LINKS = ("completion_code", "completion_url", "screenout_code", "screenout_url")
TRANSLATED = ("title", "question", "further_questions", "forms", "welcome", "consent",
              "thanks")  # fmt: skip


def placeholders(study: Study) -> Iterator[tuple[str, str, str]]:
    """Each field of a study in which one was found: its name, what people call it, and
    the words, as they stand there. Translations and forms have the name of no field."""
    for names, looks_like in ((TEXTS, _TEXT), (LINKS, _LINK)):
        for name in names:
            if found := looks_like.search(getattr(study, name)):
                yield name, Study.label_of(name), found[0]
    for own in study.translations.all():
        for name in TRANSLATED:
            if found := _TEXT.search(getattr(own, name)):
                yield "", f"{own.get_language_display()} {name}", found[0]
    for item in study.form_items.all():
        if found := _TEXT.search(f"{item.text}\n{item.options}"):
            yield "", f"The question “{item.name}” of a form", found[0]
    for question in study.further_questions.all():
        if found := _TEXT.search(question.text):
            yield "question", f"Question “{question.name}”", found[0]
