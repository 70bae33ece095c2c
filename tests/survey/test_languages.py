"""The interface in other languages: complete, well formed, shown to who wants it."""

from __future__ import annotations

import io
import re
from gettext import GNUTranslations
from typing import Any

import pytest
from babel import Locale
from babel.messages import Catalog, Message
from babel.messages.mofile import read_mo, write_mo
from django.core.management import call_command
from django.db import transaction
from django.forms import modelform_factory
from django.test import Client
from django.utils import translation
from django.utils.html import escape

from survey.methods.acr import FIVE
from survey.methods.dcr import IMPAIRMENT
from survey.models import FormAnswer, FormItem, Study, Translation
from survey.presets import add_p913_form
from survey.studies.forms import TextsForm
from survey.studies.locks import hold
from survey.studies.preflight import remarks
from tests.survey import messages

LANGUAGES = messages.languages()
MANY = range(1, 1000)
in_each_language = pytest.mark.parametrize("language", LANGUAGES)

# Every language's own words, written down here a second time: best first.
FIVE_WORDS = {
    "de": "Ausgezeichnet Gut Ordentlich Dürftig Schlecht",
    "fr": "Excellent Bon Passable Médiocre Mauvais",
    "es": "Excelente Buena Aceptable Mediocre Mala",
    "pt": "Excelente Boa Razoável Fraca Má",
    "it": "Eccellente Buona Sufficiente Scadente Pessima",
    "zh-hans": "优 良 中 差 劣",
    "ja": "非常に良い 良い 普通 悪い 非常に悪い",
    "hi": "उत्कृष्ट,अच्छा,ठीक-ठाक,खराब,बहुत खराब",
    "ar": "ممتاز جيد مقبول ضعيف سيئ",
}


def real(catalog: Catalog) -> dict[Any, Message]:
    """The messages by context and text, without the header."""
    return {
        (it.context, tuple(it.id) if it.pluralizable else it.id): it
        for it in catalog
        if it.id
    }


def forms(message: Message) -> list[str]:
    return list(message.string) if message.pluralizable else [message.string]


def placeholders(text: str) -> list[str]:
    return sorted(re.findall(r"%\(\w+\)s|</?\w+>", text))


def five_words(language: str) -> list[str]:
    return re.split("," if language == "hi" else " ", FIVE_WORDS[language])


# The catalogues -------------------------------------------------------------------


def test_what_is_marked_is_collected_from_templates_and_code() -> None:
    marked = real(messages.marked())
    assert ("ACR scale", "Excellent") in marked
    assert ("pair", "No difference") in marked
    counted = ("%(count)s answer is stored.", "All %(count)s answers are stored.")
    assert (None, counted) in marked
    assert (None, "Which digit do you see?") in marked  # gettext_lazy
    assert (None, "This study is closed.") in marked  # gettext
    researchers = [it for it in marked.values() if "/pages/" in str(it.locations)]
    assert not researchers


@in_each_language
def test_every_marked_text_is_translated(language: str) -> None:
    marked, translated = messages.marked(), messages.translated(language)
    assert real(translated).keys() == real(marked).keys(), "run `make messages`"
    lacking = [
        it.id for it in real(translated).values() if not messages.is_translated(it)
    ]
    assert not lacking


@in_each_language
def test_placeholders_and_tags_are_those_of_the_text(language: str) -> None:
    catalog = messages.translated(language)
    plural = Locale.parse(messages.to_locale(language)).plural_form
    categories = {str(plural(n)) for n in MANY}
    several = {c for c in categories if sum(plural(n) == c for n in MANY) > 1}
    for message in real(catalog).values():
        asked = placeholders(message.id[-1] if message.pluralizable else message.id)
        found = [placeholders(text) for text in forms(message)]
        if not message.pluralizable:
            assert found == [asked], message.id
            continue
        # A form for one number alone may say it in a word: "two pictures".
        assert sum(it == asked for it in found) >= len(several), message.id
        assert all(set(it) <= set(asked) for it in found), message.id


@in_each_language
def test_numbers_choose_the_forms_that_cldr_says(language: str) -> None:
    plural = Locale.parse(messages.to_locale(language)).plural_form
    with messages.mo_file(language).open("rb") as file:
        form_of = GNUTranslations(file).plural
    pairs = {(str(plural(n)), form_of(n)) for n in MANY}
    assert len(pairs) == len({c for c, _f in pairs}) == len({f for _c, f in pairs})


@in_each_language
def test_what_django_reads_is_what_the_catalogue_says(language: str) -> None:
    fresh = io.BytesIO(messages.compiled(messages.translated(language)))
    with messages.mo_file(language).open("rb") as file:
        stored = read_mo(file)
    expected = {key: it.string for key, it in real(read_mo(fresh)).items()}
    found = {key: it.string for key, it in real(stored).items()}
    assert found == expected, "run `make messages`"


@in_each_language
def test_a_scale_has_five_different_words(language: str) -> None:
    with translation.override(language):
        for scale in (FIVE, IMPAIRMENT):
            words = [str(label) for label in scale.values()]
            assert len(set(words)) == 5, words
        assert [str(label) for label in FIVE.values()] == five_words(language)


# The pages ------------------------------------------------------------------------


def start(client: Client, study: Study, **sent: str) -> str:
    """The rating page after consent."""
    response = client.post(
        f"/s/{study.slug}/join/", {"consent": "on"} | sent, follow=True
    )
    assert response.status_code == 200
    return response.content.decode()


def html_tag(page: str) -> str:
    found = re.search(r"<html[^>]*>", page)
    assert found
    return found[0].replace(" >", ">")


def welcome(client: Client, study: Study, wish: str = "", **query: str) -> str:
    headers = {"accept-language": wish} if wish else {}
    address = study.get_absolute_url()
    return str(client.get(address, query, headers=headers).content.decode())


@pytest.fixture
def german_and_more(make_study: Any) -> Study:
    """A German study with texts in French and Arabic."""
    study = make_study(language="de", title="Wie gut?")
    Translation.objects.create(study=study, language="fr", title="Combien ?")
    Translation.objects.create(study=study, language="ar", title="كم؟")
    return study


@pytest.mark.django_db
@in_each_language
def test_a_study_shows_the_scale_in_its_language(
    client: Client, make_study: Any, language: str
) -> None:
    page = start(client, make_study(language=language))
    words = five_words(language)
    shown = re.findall(r"<b>(\d)</b> ([^<]+)</span>", page)
    assert shown == [
        (str(number), escape(word))
        for number, word in zip((5, 4, 3, 2, 1), words, strict=True)
    ]
    direction = ' dir="rtl"' if language == "ar" else ""
    assert html_tag(page) == f'<html lang="{language}"{direction}>'


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("wish", "language"),
    [
        ("", "de"),
        ("fr", "fr"),
        ("fr-CA,fr;q=0.9,en;q=0.8", "fr"),
        ("en;q=0.9, ar-EG;q=0.5, fr;q=0.4", "ar"),
        ("ja", "de"),  # not offered: the study's own
        ("fr;q=0, *", "de"),
        ("no such header;;q=", "de"),
    ],
)
def test_the_browser_chooses_among_the_languages_offered(
    client: Client, german_and_more: Study, wish: str, language: str
) -> None:
    page = welcome(client, german_and_more, wish)
    assert f'<html lang="{language}"' in page
    titles = {"de": "Wie gut?", "fr": "Combien ?", "ar": "كم؟"}
    assert f"<h1>{titles[language]}</h1>" in page


@pytest.mark.django_db
def test_the_link_overrides_the_browser(client: Client, german_and_more: Study) -> None:
    assert '<html lang="ar"' in welcome(client, german_and_more, "fr", lang="ar")
    assert '<html lang="fr"' in welcome(client, german_and_more, "fr", lang="ja")
    assert '<html lang="de"' in welcome(client, german_and_more, lang="<script>")


@pytest.mark.django_db
def test_who_joined_in_a_language_keeps_it(
    client: Client, german_and_more: Study
) -> None:
    page = start(client, german_and_more, lang="fr")
    assert "<b>5</b> Excellent" in page and "<b>1</b> Mauvais" in page
    again = client.get(
        f"/s/{german_and_more.slug}/rate/?lang=ar", headers={"accept-language": "ar"}
    )
    assert html_tag(again.content.decode()) == '<html lang="fr">'


FORM_IN_FRENCH = """device: Quel appareil ?
téléphone
ordinateur

years: Depuis combien d'années ?
"""


@pytest.fixture
def with_forms(german_and_more: Study) -> Study:
    """P.913's questions and two of the study's own, translated into French."""
    study = german_and_more
    with transaction.atomic():
        add_p913_form(hold(study))
    for fields in (
        {"name": "device", "text": "Welches Gerät?", "options": "Handy\nRechner"},
        {"name": "years", "text": "Seit wie vielen Jahren?", "kind": "number"},
    ):
        FormItem.objects.create(study=study, **fields)
    study.translations.filter(language="fr").update(forms=FORM_IN_FRENCH)
    return study


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("language", "shown"),
    [
        ("de", ["Wie alt sind Sie?", "65 oder älter", "Welches Gerät?", "Rechner"]),
        ("fr", ["Quel âge avez-vous ?", "65 ans ou plus", "Quel appareil ?",
                "ordinateur", "Depuis combien d&#x27;années ?"]),
        ("ar", ["كم عمرك؟", "Welches Gerät?", "Rechner"]),
    ],
)  # fmt: skip
def test_forms_are_asked_in_the_language_of_the_page_and_stored_as_they_stand(
    client: Client, with_forms: Study, language: str, shown: list[str]
) -> None:
    page = start(client, with_forms, lang=language)
    assert all(text in page for text in shown)
    assert "How old are you?" not in page
    answers = {"age_band": "65 or older", "device": "Rechner", "years": "3"}
    sent = client.post(f"/s/{with_forms.slug}/before/", answers)
    assert sent.status_code == 302
    stored = dict(FormAnswer.objects.values_list("name", "answer"))
    assert stored.items() >= answers.items()


@pytest.mark.django_db
def test_a_form_half_translated_is_asked_as_it_stands_and_said_to_the_researcher(
    client: Client, with_forms: Study
) -> None:
    blocks = "device: Quel appareil ?\ntéléphone\n\nshoes: Pointure ?"
    with_forms.translations.filter(language="fr").update(forms=blocks)
    page = start(client, with_forms, lang="fr")
    assert "Welches Gerät?" in page and "Quel appareil" not in page
    stopping = [it.text for it in remarks(with_forms) if it.stops]
    assert "Français: device has 2 options and 1 translated." in stopping
    assert "Français: the forms ask nothing called “shoes”." in stopping
    said = [
        it.text for it in remarks(with_forms) if it.text.startswith("العربية lacks")
    ]
    assert "device in a form, years in a form" in said[0]
    assert "age_band" not in said[0] and said[0].endswith("read these in Deutsch.")


@pytest.mark.django_db
def test_a_language_from_outside_is_offered_and_read_without_a_migration(
    client: Client, german_and_more: Study, settings: Any, tmp_path: Any
) -> None:
    catalog = Catalog("nl")
    catalog.add("Start", "Beginnen")
    path = tmp_path / "nl" / "LC_MESSAGES" / "django.mo"
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        write_mo(file, catalog)
    settings.LOCALE_PATHS = [tmp_path]
    settings.LANGUAGES = [*settings.LANGUAGES, ("nl", "Nederlands")]

    offered = ("nl", "Nederlands")
    assert offered in TextsForm(instance=german_and_more).fields["language"].choices
    translating = modelform_factory(Translation, fields=["language"])
    assert offered in translating().fields["language"].choices
    Translation(study=german_and_more, language="nl").full_clean()

    Translation.objects.create(study=german_and_more, language="nl", welcome="Welkom")
    assert ">Nederlands</a>" in welcome(client, german_and_more)
    page = welcome(client, german_and_more, lang="nl")
    assert html_tag(page).startswith('<html lang="nl"')
    assert "Welkom" in page and "Beginnen" in page

    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.mark.django_db
def test_an_error_is_said_in_the_browsers_language_where_participants_meet_it(
    client: Client,
) -> None:
    ask = {"headers": {"accept-language": "ar"}}
    page = client.get("/s/nothing/", **ask).content.decode()
    assert html_tag(page) == '<html lang="ar" dir="rtl">'
    assert "غير موجود" in page
    strict = Client(enforce_csrf_checks=True)
    refused = strict.post("/s/nothing/join/", headers={"accept-language": "de"})
    assert refused.status_code == 403
    assert "Die Seite ist abgelaufen" in refused.content.decode()
    outside = client.get("/nothing/", **ask).content.decode()
    assert html_tag(outside) == '<html lang="en">' and "Not found" in outside


def test_the_desk_stays_english_whatever_the_browser_asks_for(client: Any) -> None:
    page = client.get("/admin/login/", headers={"accept-language": "de"})
    assert '<html lang="en' in page.content.decode()
    assert "Log in" in page.content.decode()
