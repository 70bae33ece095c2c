"""From the pictures of an experiment to an open study, in a browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.storage import default_storage
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from playwright.sync_api import BrowserContext, expect

from tests.conftest import png, put_on_wall
from tests.e2e.live import LiveLab
from tests.e2e.readable import Readable
from tests.e2e.steps import click_answer, consent, expect_picture, go_on, stored
from tests.e2e.test_researcher import log_in
from tests.survey.test_own_pictures import zipped

pytestmark = [
    pytest.mark.browser,
    pytest.mark.broker,
    pytest.mark.django_db(transaction=True),
]
Visit = Callable[..., BrowserContext]


def test_from_finished_renders_to_an_open_study_and_its_first_rating(
    fresh_lab: LiveLab, visit: Visit, researcher: Any, make_experiment: Any
) -> None:
    from analysis.models import Preregistration, Report
    from analysis.reports.tasks import compute_report
    from survey.models import Participant, Study

    experiment = make_experiment(content_layer=["conv2_1", "conv4_1"])
    put_on_wall(experiment)
    context = visit()
    page = context.new_page()
    check = Readable(page, ("light", "dark"))
    log_in(page, fresh_lab)

    page.goto(f"{fresh_lab.base}/admin/survey/study/")
    page.get_by_role("link", name="New study step by step").click()
    check("which experiment")
    page.get_by_role("link", name="Small").click()
    expect(page.locator("#ticked")).to_have_text("4")

    # Or from the experiment's sheet, with what is ticked there.
    page.goto(f"{fresh_lab.base}/admin/generation/experiment/{experiment.pk}/sheet/")
    for box in page.locator("#chosen input[name=render]").all():
        box.check()
    page.get_by_role("button", name="New study of the chosen pictures").click()
    expect(page.get_by_role("heading", level=1, name="Question")).to_be_visible()
    page.get_by_role("link", name="Pictures").click()
    ticked = page.locator("#ticked")
    expect(ticked).to_have_text("4")
    # A filter shows one layer; unticking all of it leaves the other.
    page.get_by_label("content layer", exact=True).select_option("conv4_1")
    expect(page.locator(".nst-pick img")).to_have_count(2)
    page.get_by_role("button", name="Untick all shown").click()
    expect(ticked).to_have_text("2")
    page.get_by_role("checkbox").first.check()
    expect(ticked).to_have_text("3")  # counted without asking the server
    check("pictures")
    go_on(page, "Question")

    check("question")
    page.get_by_label("Name of question 2 in the tables").fill("content")
    page.get_by_label("Question 2", exact=True).fill("How well is the content kept?")
    # The bar saves what was changed before it leads elsewhere.
    page.get_by_role("link", name="People").click()
    expect(page.get_by_role("heading", level=1, name="People")).to_be_visible()
    check("people")
    page.get_by_label("If the ratings of a picture have an SD of").fill("0.8")
    page.get_by_role("button", name="Compute").click()
    row = page.get_by_role("row", name="± 0.25")
    expect(row.get_by_role("cell").first).to_have_text("42")
    page.get_by_role("button", name="Save and go back").click()
    expect(page.get_by_role("heading", level=1, name="Checks")).to_be_visible()
    page.get_by_label("Attention checks").fill("1")
    page.get_by_label("Practice").first.fill("1")
    check("checks")
    page.get_by_role("button", name="Save and go back").click()
    expect(page.get_by_role("heading", level=1, name="Texts")).to_be_visible()
    check("texts")

    # Closed and opened again: everything is in the draft.
    page.goto(f"{fresh_lab.base}/admin/survey/study/")
    page.get_by_role("link", name="Study of Small").click()
    check("the study's page, a draft")
    page.get_by_role("link", name="Review", exact=True).click()
    expect(page.get_by_text("Not yet:")).to_be_visible()
    check("review with what blocks it")
    page.get_by_role("link", name="It has not named a contact.").click()
    page.get_by_label("Title").fill("Which is best?")
    page.get_by_label("Controller").fill("The lab")
    page.get_by_label("Contact").fill("ada@lab.example")
    page.get_by_label("Ethics reference").fill("2026-1")
    page.get_by_label("Minimum age").fill("1000")
    page.get_by_role("button", name="Save and go on").click()
    expect(page.get_by_text("less than or equal to 99")).to_be_visible()
    check("texts with an error")
    page.get_by_label("Minimum age").fill("")
    go_on(page, "Checks")
    expect(page.get_by_label("Attention checks")).to_have_value("1")
    page.get_by_role("link", name="Review", exact=True).click()

    # As a participant, in a tab of its own; it counts nothing and leaves nothing.
    with context.expect_page() as opened:
        page.get_by_role("button", name="Preview").click()
    preview = opened.value
    expect(preview.get_by_text("nothing you answer here counts")).to_be_visible()
    preview.get_by_role("checkbox").check()
    preview.get_by_role("button", name="Start").click()
    expect(preview.get_by_text("Practice: this answer")).to_be_visible()
    preview.close()
    page.reload()
    expect(page.get_by_text("1 has taken part in it")).to_be_visible()
    check("review during the preview")
    page.get_by_label("Delete this person").check()
    page.get_by_role("button", name="Throw the preview away").click()
    expect(page.get_by_text("one trial person was deleted")).to_be_visible()
    assert not Participant.objects.exists()

    page.get_by_role("link", name="Write it down").click()
    page.get_by_role("textbox", name="Hypotheses").fill("More style is liked better.")
    page.get_by_label("conv2_1 against conv4_1").check()
    check("pre-registration")
    page.get_by_label("I know that nothing of it can be changed").check()
    page.get_by_role("button", name="Save and freeze").click()
    expect(page.get_by_text("before the first rating").last).to_be_visible()
    check("frozen pre-registration")
    assert Preregistration.objects.get().frozen_by == researcher

    study = Study.objects.get()
    page.goto(f"{fresh_lab.base}/admin/survey/study/{study.pk}/wizard/review/")
    expect(page.get_by_text("Ready to open.")).to_be_visible()
    check("review, ready")
    page.get_by_role("button", name="Open for participants").click()
    expect(page.get_by_text("“Which is best?” is open.")).to_be_visible()
    check("open")
    page.get_by_role("link", name="The study's page").click()
    check("the study's page, open")

    person = visit().new_page()
    person.goto(fresh_lab.survey(study))
    person.get_by_role("checkbox").check()
    person.get_by_role("button", name="Start").click()
    expect(person.get_by_text("Practice: this answer")).to_be_visible()
    for question in person.locator("fieldset").all():
        question.get_by_text("4 Good").click()
    person.get_by_role("button", name="Next").click()
    expect_picture(person, 2)
    for question in person.locator("fieldset").all():
        question.get_by_text("5 Excellent").click()
    person.get_by_role("button", name="Next").click()
    expect_picture(person, 3)
    person.close()
    counted = Participant.objects.get()
    assert counted.counts and counted.trials.filter(answered_at=None).count() == 3

    # The report says what was planned.
    page.goto(f"{fresh_lab.base}/admin/analysis/report/study/{study.pk}/factors/")
    expect(page.get_by_text("Being computed since")).to_be_visible()
    compute_report(Report.objects.get().pk)
    planned = page.get_by_role("table", name="Planned contrasts")
    expect(planned.get_by_role("row", name="content_layer")).to_have_count(1)
    check("report with planned contrasts")
    page.get_by_role("link", name="Overview", exact=True).click()
    expect(page.get_by_text("Planned: content_layer")).to_have_count(1)
    page.get_by_role("link", name="Method and checks").click()
    expect(page.get_by_text("before the first rating")).to_be_visible()
    assert not check.found, "\n".join(check.found)


def test_copying_many_pictures_shows_how_far_it_is_and_which_one_is_broken(
    fresh_lab: LiveLab, visit: Visit, researcher: Any, make_experiment: Any
) -> None:
    from survey.models import Study

    experiment = make_experiment(alpha_beta=[0.01, 0.02, 0.03, 0.04])
    *slow, broken = put_on_wall(experiment)
    told = PngInfo()
    told.add_text("Author", "Ada")  # so it must be decoded and written anew
    large = Image.effect_noise((3000, 3000), 60).convert("RGB")
    for render in slow:
        with default_storage.open(render.picture.name, "wb") as file:
            large.save(file, "PNG", pnginfo=told, compress_level=1)
    with default_storage.open(broken.picture.name, "wb") as file:
        file.write(b"no picture")
    page = visit().new_page()
    check = Readable(page, ("light", "dark"))
    log_in(page, fresh_lab)
    held: list[Any] = []
    looking = [True]

    def hold(route: Any) -> None:
        if looking and route.request.method == "POST":
            held.append(route)
        else:
            route.continue_()

    page.route("**/take-in/**", hold)
    page.goto(f"{fresh_lab.base}/admin/survey/study/wizard/?experiment={experiment.pk}")
    page.get_by_role("button", name="Save and go on").last.click()
    expect(page.get_by_role("progressbar", name="Pictures copied")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("1 of 4 pictures are copied.")
    check("pictures being copied")
    looking.clear()
    for route in held:
        route.continue_()
    # It goes on by itself, until one cannot be read.
    expect(page.get_by_text("cannot be read")).to_be_visible(timeout=30_000)
    expect(page.get_by_role("status")).to_have_text("3 of 4 pictures are copied.")
    check("a picture that cannot be read")
    page.get_by_role("link", name="Choose other pictures").click()
    page.locator(f"input[name=render][value='{broken.pk}']").uncheck()
    go_on(page, "Question")
    assert Study.objects.get().stimuli.count() == 3
    assert not check.found, "\n".join(check.found)


def test_an_archive_is_taken_in_before_ones_eyes(
    fresh_lab: LiveLab, visit: Visit, researcher: Any
) -> None:
    from survey.models import Study
    from survey.studies import uploads

    study = Study.objects.create(title="Mine", owner=researcher)
    file = zipped({f"{n}.png": png((40 * n, 10, 200)) for n in range(4)})
    uploads.begin(study, file, b"file,x\n0.png,1\n1.png,2\n2.png,2\nq.png,3\n")
    page = visit(viewport={"width": 360, "height": 740}).new_page()
    check = Readable(page, ("light", "dark"))
    log_in(page, fresh_lab)
    held: list[Any] = []
    looking = [True]
    page.goto(f"{fresh_lab.base}/admin/survey/study/{study.pk}/change/")

    def hold(route: Any) -> None:
        if looking and route.request.method == "POST":
            held.append(route)
        else:
            route.continue_()

    page.route("**/uploading/", hold)
    page.get_by_role("link", name="Go on with it").click()
    expect(page.get_by_role("progressbar", name="Pictures imported")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("0 of 3 pictures are read.")
    check("pictures being imported")
    looking.clear()
    for route in held:
        route.continue_()
    # It goes on by itself, and says what it could not take.
    expect(page.get_by_text("3 pictures imported")).to_be_visible()
    expect(page.get_by_role("cell", name="q.png", exact=True)).to_be_visible()
    check("what came of an archive")
    assert study.stimuli.count() == 3
    assert not check.found, "\n".join(check.found)


def test_the_wizard_works_without_a_script(
    fresh_lab: LiveLab, visit: Visit, researcher: Any, make_experiment: Any
) -> None:
    from survey.models import Study

    experiment = make_experiment(content_layer=["conv2_1", "conv4_1"])
    put_on_wall(experiment)
    page = visit(java_script_enabled=False).new_page()
    log_in(page, fresh_lab)
    page.goto(f"{fresh_lab.base}/admin/survey/study/wizard/?experiment={experiment.pk}")
    page.get_by_label("content layer", exact=True).select_option("conv4_1")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator(".nst-pick img")).to_have_count(2)
    page.get_by_role("button", name="Untick all shown").click()
    expect(page.locator("#ticked")).to_have_text("2")
    go_on(page, "Question")
    go_on(page, "Texts")
    page.get_by_label("Controller").fill("The lab")
    page.get_by_label("Contact").fill("ada@lab.example")
    page.get_by_label("Ethics reference").fill("2026-1")
    for name in ("Checks", "People", "Review"):
        go_on(page, name)
    page.get_by_role("button", name="Open for participants").click()
    expect(page.get_by_text("is open.").first).to_be_visible()
    study = Study.objects.get()
    assert (study.state, study.stimuli.count()) == ("open", 2)
    person = visit().new_page()
    consent(person, fresh_lab.survey(study))
    click_answer(person, 4)
    expect_picture(person, 2)
    assert list(stored(study).values()) == [4]
