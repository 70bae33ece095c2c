"""A study that is opened while somebody changes it stays as it was opened.

Each writer is raced: just before its transaction the study is opened and rated by
somebody else; on PostgreSQL once more just before its first write. (On SQLite a
transaction holds the whole database from its beginning.)
"""

from __future__ import annotations

import io
import re
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib import admin
from django.db import OperationalError, connection, transaction
from django.db.models.sql import compiler
from django.test import Client

from analysis.preregistration import freezing
from survey.models import FormItem, Question, Rating, Stimulus, Study, Translation
from survey.participant import answering, joining
from survey.studies import copying, lifecycle, locks, uploads
from survey.studies.forms import STEPS
from tests import holding
from tests.conftest import png, put_on_wall
from tests.nstlab.test_people import researchers_routes
from tests.survey import test_study_pages, test_wizard

pytestmark = pytest.mark.django_db(transaction=True)

WHAT_FREEZES = (Study, Stimulus, Question, FormItem, Translation)
REFUSED = re.compile(
    "are frozen|not deleted|already open|only a draft can|People have taken part"
)


# The race ---------------------------------------------------------------------------


def open_and_rate(pk: int, *, rated: bool) -> None:
    """What a colleague and a participant do meanwhile."""
    study = Study.objects.get(pk=pk)
    lifecycle.open_study(study)
    if rated:
        participant, _ = joining.join(study, surroundings={})
        trial = participant.trials.current()
        assert trial is not None
        names = ["overall", *study.further_questions.values_list("name", flat=True)]
        answering.answer(
            participant, trial_pk=trial.pk, answers=dict.fromkeys(names, "4")
        )


class Meanwhile:
    """Something that happens once, when the thread that races gets to a point."""

    def __init__(self, what: Callable[[], None]) -> None:
        self._what = what
        self._racer = threading.get_ident()
        self.came = self.happened = False

    def _due(self) -> bool:
        return not self.came and threading.get_ident() == self._racer

    def now(self) -> None:
        """On the racer's own connection, which is in no transaction."""
        if self._due():
            self.came = True
            self._what()
            self.happened = True

    def elsewhere(self) -> None:
        """On a connection that does not wait for rows that are held."""
        if not self._due():
            return
        self.came = True
        patience = (
            "SET lock_timeout = '50ms'"
            if connection.vendor == "postgresql"
            else "PRAGMA busy_timeout = 50"
        )

        def run() -> None:
            try:
                with connection.cursor() as cursor:
                    cursor.execute(patience)
                self._what()
                self.happened = True
            except (OperationalError, lifecycle.CannotOpen):
                pass  # it is held, or an upload is under way: this happens later
            finally:
                connection.close()

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()


@contextmanager
def before_its_transaction(meanwhile: Meanwhile) -> Iterator[None]:
    """At the last moment before the racer holds anything: at the beginning of its first
    transaction, or at its first write where there is none."""
    enter = transaction.Atomic.__enter__

    def entered(block: Any) -> Any:
        if not connection.in_atomic_block:
            meanwhile.now()
        return enter(block)

    def written() -> None:
        if not connection.in_atomic_block:
            meanwhile.now()

    with pytest.MonkeyPatch.context() as patch, at_writes(written):
        patch.setattr(transaction.Atomic, "__enter__", entered)
        yield


@contextmanager
def before_its_first_write(meanwhile: Meanwhile) -> Iterator[None]:
    with at_writes(meanwhile.elsewhere):
        yield


@contextmanager
def at_writes(do: Callable[[], None]) -> Iterator[None]:
    """Before each write of what freezes with a study."""
    with pytest.MonkeyPatch.context() as patch:
        for kind in ("SQLInsertCompiler", "SQLUpdateCompiler", "SQLDeleteCompiler"):
            owner = getattr(compiler, kind)

            def execute(
                sql: Any, *args: Any, _go_on: Any = owner.execute_sql, **options: Any
            ) -> Any:
                if sql.query.model in WHAT_FREEZES:
                    do()
                return _go_on(sql, *args, **options)

            patch.setattr(owner, "execute_sql", execute)
        yield


MOMENTS: list[Any] = [before_its_transaction]
if connection.vendor == "postgresql":
    MOMENTS.append(before_its_first_write)


def as_opened(pk: int) -> dict[str, Any]:
    """All of a study that stays the same once it is open."""
    study = Study.objects.filter(pk=pk)
    free = {"owner_id", "withdrawn_count", "purged_count"}
    [row] = study.values()
    found: dict[str, Any] = {name: it for name, it in row.items() if name not in free}
    for name in (
        "stimuli", "further_questions", "form_items", "translations", "items"
    ):  # fmt: skip
        rows = getattr(study.get(), name).order_by("pk").values()
        sums = {"votes", "total", "squares"}
        found[name] = [{k: v for k, v in it.items() if k not in sums} for it in rows]
    return found


# The writers ------------------------------------------------------------------------


@dataclass
class Writer:
    """A way to change what freezes with a study: what somebody loads, then sends."""

    page: str  # below the study's own pages, or another's
    loads: Callable[[Client, str], dict[str, Any]]
    changes: Callable[[Study], dict[str, Any]]
    prepares: Callable[[Study], None] = lambda _: None
    clears: Callable[[Study], None] = lambda _: None  # what would stop the opening
    rated: bool = True
    refused: bool = True  # else it may go on beside an opening


def nothing(_browser: Client, _address: str) -> dict[str, Any]:
    return {}


def of_step(browser: Client, address: str) -> dict[str, Any]:
    return test_wizard.filled(browser.get(address))


def of_study(browser: Client, address: str) -> dict[str, Any]:
    return dict(test_study_pages.filled(browser.get(address)))


def of_list(browser: Client, address: str) -> dict[str, Any]:
    formset = browser.get(address).context["cl"].formset
    data: dict[str, Any] = {"_save": "1"}
    for form in (formset.management_form, *formset.forms):
        data |= {it.html_name: it.value() for it in form if it.value() is not None}
    return data


def of_stimulus(browser: Client, address: str) -> dict[str, Any]:
    form = browser.get(address).context["adminform"].form
    return {it.html_name: it.value() for it in form if it.value() is not None}


def archive(_study: Study) -> dict[str, Any]:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("one.png", png((9, 9, 9)))
    file.seek(0)
    file.name = "pictures.zip"
    return {"archive": file}


def half_uploaded(study: Study) -> None:
    uploads.begin(study, archive(study)["archive"], None)


def cancel_upload(study: Study) -> None:
    begun = uploads.under_way(study)
    assert begun is not None and uploads.cancel(begun)


def piloting(study: Study) -> None:
    lifecycle.pilot_study(study)


def lacks_a_copy(study: Study) -> None:
    study.stimuli.all()[0].delete()
    Study.objects.filter(pk=study.pk).update(all_renders=True)


def lacks_references(study: Study) -> None:
    Study.objects.filter(pk=study.pk).update(method="dcr")


def first_render(study: Study) -> dict[str, Any]:
    return {"render": study.stimuli.all()[0].render_id}


def rows_of_the_page(_study: Study) -> dict[str, Any]:
    """New rows of every inline."""
    return {
        "title": "Another", "scale_points": "9",
        "further_questions-TOTAL_FORMS": "1", "further_questions-0-name": "style",
        "further_questions-0-text": "How is the style?",
        "form_items-TOTAL_FORMS": "1", "form_items-0-name": "device",
        "form_items-0-placement": "before", "form_items-0-kind": "text",
        "form_items-0-text": "Which device?",
        "translations-TOTAL_FORMS": "1", "translations-0-language": "de",
        "translations-0-consent": "Ich nehme teil.",
    }  # fmt: skip


WRITERS = {
    "question": Writer(
        "{study}/wizard/question/", of_step,
        lambda _: {"scale_points": "9", "name_1": "style", "text_1": "Style?"},
    ),
    "question of a pilot": Writer(
        "{study}/wizard/question/", of_step, lambda _: {"scale_points": "9"},
        piloting, rated=False,
    ),
    "texts": Writer(
        "{study}/wizard/texts/", of_step,
        lambda _: {"consent": "Another.", "ask_people": "on"},
    ),
    "checks": Writer(
        "{study}/wizard/checks/", of_step,
        lambda _: {"repeats": "1", "picture-0-gold_answer": "5"},
    ),
    "people": Writer(
        "{study}/wizard/people/", of_step, lambda _: {"trials_each": "1"}
    ),
    "pictures": Writer("{study}/wizard/pictures/", nothing, first_render),
    "pictures of a pilot": Writer(
        "{study}/wizard/pictures/", nothing, first_render, piloting, rated=False
    ),
    "throwing a pilot away": Writer(
        "{study}/wizard/review/", nothing,
        lambda _: {"act": "throw_away", "sure": "1"}, piloting, rated=False,
    ),
    "preview": Writer(
        "{study}/wizard/review/", nothing, lambda _: {"act": "preview"}
    ),
    "opening": Writer(
        "{study}/wizard/review/", nothing, lambda _: {"act": "open"}
    ),
    "the study's page": Writer("{study}/change/", of_study, rows_of_the_page),
    "back to draft": Writer(
        "{study}/change/", of_study, lambda _: {"_unfreeze": "1"}, piloting
    ),
    "deletion": Writer("{study}/delete/", nothing, lambda _: {"post": "yes"}),
    "P.913's form": Writer("{study}/form-preset/", nothing, lambda _: {}),
    "upload": Writer("{study}/upload/", nothing, archive),
    "an upload that goes on": Writer(
        "{study}/uploading/", nothing, lambda _: {}, half_uploaded, cancel_upload
    ),
    "copying": Writer(
        "{study}/take-in/", nothing, lambda _: {}, lacks_a_copy, refused=False
    ),
    "content images": Writer(
        "{study}/take-in/", nothing, lambda _: {}, lacks_references, refused=False
    ),
    "new version": Writer(
        "{study}/version/", nothing, lambda _: {}, refused=False
    ),
    "sharing": Writer(
        "{study}/people/", nothing, lambda _: {"owner": ""}, refused=False
    ),
    "list of pictures": Writer(
        "../stimulus/?study__id__exact={study}", of_list,
        lambda _: {"form-0-gold_answer": "5"},
    ),
    "one picture": Writer(
        "../stimulus/{stimulus}/change/", of_stimulus,
        lambda _: {"training_order": "1"},
    ),
}  # fmt: skip

WRITE_NOTHING_FROZEN = {
    "", "add/", "wizard/", "{study}/", "{study}/history/", "{study}/approvals/",
    "{study}/archive/", "{study}/delete-with-answers/", "{study}/duplicate/",
    "{study}/invitations/", "{study}/poster/", "../stimulus/{stimulus}/",
    "../stimulus/add/", "../stimulus/{stimulus}/delete/",
    "../stimulus/{stimulus}/history/",
}  # fmt: skip
"""Pages of a study or a picture that make a new study, delete one that is closed, or
write none of it."""


def page_of(route: str) -> str:
    """A route as WRITERS names it."""
    path = re.sub("<int:pk>|<path:object_id>", "{study}", route)
    path = path.removeprefix("admin/survey/study/")
    if path.startswith("admin/survey/stimulus/"):
        path = path.replace("admin/survey/", "../").replace("{study}", "{stimulus}")
    return path


def test_every_page_of_a_study_is_raced_or_writes_nothing_frozen() -> None:
    ours = ("admin/survey/study/", "admin/survey/stimulus/")
    pages = {page_of(route) for route in researchers_routes() if route.startswith(ours)}
    assert "{study}/wizard/<str:step>/" in pages
    pages.remove("{study}/wizard/<str:step>/")
    pages |= {f"{{study}}/wizard/{step}/" for step in STEPS}
    raced = {writer.page.partition("?")[0] for writer in WRITERS.values()}
    assert pages == raced | WRITE_NOTHING_FROZEN
    actions = {
        model.__name__: {*map(str, admin.site.get_model_admin(model).actions)}
        for model in (Study, Stimulus)
    }
    assert actions == {"Study": {"open", "pilot", "close"}, "Stimulus": set()}


@pytest.fixture
def draft(experiment: Any) -> Study:
    """A draft with copies of its two pictures."""
    put_on_wall(experiment)
    study = Study.objects.create(
        title="S", experiment=experiment, owner=experiment.owner,
        controller="x", contact="y", ethics_reference="z",
    )  # fmt: skip
    copying.copy_pictures(study)
    return study


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("name", WRITERS)
def test_a_study_that_opens_meanwhile_stays_as_it_was_opened(
    name: str, moment: Any, client: Client, make_account: Any, draft: Study
) -> None:
    writer = WRITERS[name]
    client.force_login(make_account("root", is_superuser=True))
    writer.prepares(draft)
    keys = {"study": draft.pk, "stimulus": draft.stimuli.all()[0].pk}
    address = f"/admin/survey/study/{writer.page.format(**keys)}"
    address = address.replace("study/../", "")
    sent = writer.loads(client, address) | writer.changes(draft)
    opened: dict[str, Any] = {}

    def meanwhile() -> None:
        writer.clears(draft)
        open_and_rate(draft.pk, rated=writer.rated)
        opened.update(as_opened(draft.pk))

    before = as_opened(draft.pk)
    race = Meanwhile(meanwhile)
    with moment(race):
        response = client.post(address, sent)
    assert race.came, "it began no transaction, or wrote nothing"
    if race.happened:
        assert as_opened(draft.pk) == opened
        assert opened["state"] == Study.State.OPEN
        if writer.refused:
            if response.status_code == 302:
                response = client.get(response["Location"], follow=True)
            refused = REFUSED.search(response.content.decode())
            assert refused or response.status_code == 403
    else:
        # The writer held the study, so it wrote, and nobody opened it meanwhile.
        assert response.status_code < 400
        if Study.objects.filter(pk=draft.pk).exists() and writer.refused:
            assert as_opened(draft.pk) != before
    if writer.rated and race.happened:
        assert Rating.objects.count() == 1


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_study_that_closes_while_its_limit_is_changed_stays_closed(
    moment: Any, logged_in: Client, draft: Study
) -> None:
    """What may change in an open study is written, and nothing besides."""
    lifecycle.open_study(draft)
    address = f"/admin/survey/study/{draft.pk}/change/"
    sent = of_study(logged_in, address) | {"max_participants": "40"}

    def meanwhile() -> None:
        assert Study.objects.get(pk=draft.pk).close()

    race = Meanwhile(meanwhile)
    with moment(race):
        assert logged_in.post(address, sent).status_code == 302
    assert race.came
    draft.refresh_from_db()
    assert draft.max_participants == 40
    assert draft.state == ("closed" if race.happened else "open")


def test_a_writer_that_holds_nothing_is_found_out(
    logged_in: Client, draft: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "hold_unfrozen", lambda study: study)
    logged_in.post(f"/admin/survey/study/{draft.pk}/form-preset/")
    assert [said.partition(" ")[2] for said in holding.unheld] == ["adds FormItem"]
    holding.unheld.clear()


def test_what_was_typed_stays_on_the_page_that_refuses_it(
    logged_in: Client, draft: Study
) -> None:
    page = f"/admin/survey/study/{draft.pk}/wizard/texts/"
    sent = of_step(logged_in, page) | {"consent": "Typed for an hour."}
    lifecycle.open_study(draft)
    shown = logged_in.post(page, sent).content.decode()
    assert "Typed for an hour." in shown and "Nothing of this was saved." in shown


def test_a_plan_quotes_the_study_as_it_stands_when_it_is_frozen(
    draft: Study, researcher: Any
) -> None:
    """And counts who has rated by then."""
    freezing.write(draft, {"hypotheses": "More is better."})

    def meanwhile() -> None:
        Study.objects.filter(pk=draft.pk).update(scale_points=9)
        open_and_rate(draft.pk, rated=True)

    race = Meanwhile(meanwhile)
    with before_its_transaction(race):
        row = freezing.freeze(draft, by=researcher)
    assert race.happened
    assert row.plan["study"]["scale_points"] == 9 and row.ratings_before == 1


def test_what_is_planned_is_the_study_as_it_stands_when_it_opens(draft: Study) -> None:
    """Somebody makes pairs of it between the click and the opening."""

    def meanwhile() -> None:
        Study.objects.filter(pk=draft.pk).update(method="pairs", controller="Another")

    race = Meanwhile(meanwhile)
    with before_its_transaction(race):
        lifecycle.open_study(draft)
    assert race.happened
    assert draft.method == "pairs" and draft.controller == "Another"
    assert draft.items.exclude(second=None).count() == draft.items.count() == 1


def test_what_was_taken_out_of_what_people_must_know_stops_an_opening(
    draft: Study,
) -> None:

    def meanwhile() -> None:
        Study.objects.filter(pk=draft.pk).update(contact="")

    race = Meanwhile(meanwhile)
    with (
        before_its_transaction(race),
        pytest.raises(lifecycle.CannotOpen, match="cannot open without a contact"),
    ):
        lifecycle.open_study(draft)
    assert race.happened and Study.objects.get().state == Study.State.DRAFT
