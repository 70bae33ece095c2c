"""The participant's words in other languages: `make messages`.

Collects what is marked for translation in `survey/` and on error pages, writes it into
the `django.po` of every language in `settings.LANGUAGES`, new messages empty, and
compiles `django.mo`.
Django's own makemessages needs the GNU gettext programs; this needs Babel alone.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

from babel.messages import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.conf import settings
from django.utils.translation import to_locale
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parents[2]
SURVEY = ROOT / "survey"
KEYWORDS = DEFAULT_KEYWORDS | {
    f"{name}_lazy": DEFAULT_KEYWORDS[name]
    for name in ("gettext", "ngettext", "pgettext", "npgettext")
}


def languages() -> list[str]:
    """Django's codes of the languages to translate into."""
    return [code for code, _name in settings.LANGUAGES if code != "en"]


def po_file(language: str) -> Path:
    return SURVEY / "locale" / to_locale(language) / "LC_MESSAGES" / "django.po"


def mo_file(language: str) -> Path:
    return po_file(language).with_suffix(".mo")


def _sources() -> Iterator[tuple[str, str]]:
    """Path from the root, and Python text, of every file participants read from."""
    pages = SURVEY / "templates" / "survey"
    for path in sorted(pages.rglob("*.html")):
        if pages / "pages" in path.parents:
            continue  # the researcher's pages are English
        # In one pair of brackets, for what surrounds the messages is no Python: to a
        # tokenizer its line starts would be indentation.
        text = templatize(path.read_text(encoding="utf-8"), origin=str(path))
        yield path.relative_to(ROOT).as_posix(), f"({text}\n)"
    for path in [ROOT / "nstlab" / "errors.py", *sorted(SURVEY.rglob("*.py"))]:
        if SURVEY / "studies" in path.parents:
            continue
        yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def marked() -> Catalog:
    """Every message that is marked for translation, without translations."""
    catalog = Catalog()
    for name, text in _sources():
        source = io.BytesIO(text.encode())
        options = {"encoding": "utf-8"}
        found = extract("python", source, keywords=KEYWORDS, options=options)
        for line, message, _comments, context in found:
            catalog.add(message, locations=[(name, line)], context=context)
    return catalog


def translated(language: str) -> Catalog:
    """The messages of `language` as its `django.po` has them."""
    with po_file(language).open("rb") as file:
        return read_po(file, abort_invalid=True)  # a merge half done


def is_translated(message: Message) -> bool:
    """Whether every form of it has a text, and none is a guess."""
    texts = message.string if message.pluralizable else [message.string]
    return not message.fuzzy and all(texts)


def compiled(catalog: Catalog) -> bytes:
    """What Django reads at run time."""
    file = io.BytesIO()
    write_mo(file, catalog)
    return file.getvalue()


def update(language: str) -> None:
    """Bring both files of `language` up to date; every translation is kept."""
    path = po_file(language)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        catalog = translated(language)
    else:
        catalog = Catalog(locale=to_locale(language), fuzzy=False)
    catalog.project, catalog.version = "NSTLab", "texts"  # no second place for it
    # No guesses for new messages, no dates and no line numbers: what did not change
    # leaves no difference.
    catalog.update(marked(), no_fuzzy_matching=True, update_creation_date=False)
    with path.open("wb") as file:
        write_po(
            file, catalog, sort_by_file=True, ignore_obsolete=True, include_lineno=False
        )
    mo_file(language).write_bytes(compiled(catalog))
    empty = sum(not is_translated(message) for message in catalog if message.id)
    print(f"{language}: {len(catalog) - empty} translated, {empty} to translate")


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nstlab.settings")
    for language in languages():
        update(language)


if __name__ == "__main__":
    main()
