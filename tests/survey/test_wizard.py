"""The study wizard, used as a Researcher without a script."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.storage import default_storage

from generation.models import SourceImage
from survey.client import InProcess, take_part
from survey.models import Participant, Stimulus, Study, Trial
from survey.refusals import CannotOpen
from survey.studies.copying import choose_renders
from survey.studies.forms import FORMS, STEPS
from survey.studies.lifecycle import pilot_study, throw_pilot_away
from survey.studies.preflight import remarks, step_of
from tests.conftest import put_on_wall

pytestmark = pytest.mark.django_db

BEGIN = "/admin/survey/study/wizard/"
TEXTS = {"controller": "x", "contact": "y", "ethics_reference": "z"}


@pytest.fixture
def wall(make_experiment: Any) -> Any:
    """An experiment of four finished renders: two layers, two α/β."""
    experiment = make_experiment(content_layer=["conv2_1", "conv4_1"])
    put_on_wall(experiment)
    return experiment


def step(study: Study, name: str) -> str:
    return f"/admin/survey/study/{study.pk}/wizard/{name}/"


def filled(response: Any) -> dict[str, Any]:
    """The step's form as a browser would send it unchanged."""
    forms = [response.context["form"]]
    if (used := response.context.get("marks")) is not None:
        forms += [used.management_form, *used.forms]
    data = {}
    for form in forms:
        for bound in form:
            value = bound.value()
            if value is not None and value is not False:
                data[bound.html_name] = value
    return data


def save(logged_in: Any, study: Study, name: str, **changes: Any) -> Any:
    data = filled(logged_in.get(step(study, name))) | changes
    return logged_in.post(step(study, name), data)


def begun(logged_in: Any, experiment: Any, number: int = 3) -> Study:
    """A draft of the experiment's first renders, begun as its sheet does."""
    chosen = list(experiment.renders.values_list("pk", flat=True))[:number]
    address = f"{BEGIN}?experiment={experiment.pk}"
    logged_in.post(address, {"render": chosen})
    return Study.objects.latest("pk")


# Pictures ---------------------------------------------------------------------------


def test_the_ticked_renders_become_the_pictures_of_a_draft_of_ones_own(
    logged_in: Any, wall: Any, researcher: Any
) -> None:
    study = begun(logged_in, wall)
    assert (study.state, study.owner, study.all_renders) == ("draft", researcher, False)
    assert study.title == "Study of Small"
    first = list(wall.renders.values_list("pk", flat=True))[:3]
    assert list(study.stimuli.values_list("render", flat=True)) == first
    study.controller = study.contact = study.ethics_reference = "x"
    study.save()
    pilot_study(study)  # which takes in what is finished, if all is wanted
    assert study.stimuli.count() == 3


def test_without_a_sheet_an_experiment_is_chosen_and_all_is_ticked(
    logged_in: Any, wall: Any, make_experiment: Any
) -> None:
    make_experiment(name="Unpainted")
    page = logged_in.get(BEGIN).content.decode()
    assert "Small</a>, 4 finished pictures" in page and "Unpainted" not in page
    page = logged_in.get(f"{BEGIN}?experiment={wall.pk}")
    assert page.content.decode().count(" checked") == 4
    assert Study.objects.count() == 0  # looking makes nothing


def test_levels_filter_what_is_shown_and_ticked(logged_in: Any, wall: Any) -> None:
    address = f"{BEGIN}?experiment={wall.pk}"
    every = list(wall.renders.values_list("pk", flat=True))
    deep = {it.pk for it in wall.renders.all() if it.content_layer == "conv4_1"}
    page = logged_in.post(
        address, {"render": every, "act": "none", "only-content_layer": "conv4_1"}
    )
    picker = page.context["picker"]
    assert picker.chosen == set(every) - deep
    assert {row["pk"] for row in picker.shown} == deep
    # What is ticked and filtered away is carried along.
    assert set(picker.elsewhere) == set(every) - deep
    logged_in.post(address, {"elsewhere": ",".join(map(str, picker.elsewhere))})
    study = Study.objects.get()
    assert set(study.stimuli.values_list("render", flat=True)) == set(every) - deep


def test_what_is_not_of_the_experiment_is_not_chosen(
    logged_in: Any, wall: Any, make_experiment: Any
) -> None:
    other = put_on_wall(make_experiment(name="Other", alpha_beta=[0.5]))
    address = f"{BEGIN}?experiment={wall.pk}"
    page = logged_in.post(
        address, {"render": [other[0].pk, "x", "9" * 30]}, follow=True
    )
    assert "Tick at least one picture" in page.content.decode()
    assert not Study.objects.exists()


def test_pictures_taken_out_leave_no_file_and_those_kept_keep_their_marks(
    logged_in: Any, wall: Any
) -> None:
    study = begun(logged_in, wall)
    kept, gone = study.stimuli.all()[0], study.stimuli.all()[1]
    Stimulus.objects.filter(pk=kept.pk).update(training_order=1)
    twin = Stimulus.objects.get(pk=gone.pk)
    response = logged_in.post(step(study, "pictures"), {"render": [kept.render_id]})
    assert response.url == step(study, "question")
    [left] = study.stimuli.all()
    assert (left.code, left.training_order) == (kept.code, 1)
    assert twin.picture.name and not study.stimuli.filter(pk=gone.pk).exists()


def test_a_file_goes_with_its_picture_unless_another_version_shows_it(
    logged_in: Any, wall: Any, django_capture_on_commit_callbacks: Any
) -> None:
    study = begun(logged_in, wall)
    first, second, third = study.stimuli.all()
    shared = Study.objects.create(title="Later version", experiment=wall)
    Stimulus.objects.create(
        study=shared, picture=second.picture.name, width=1, height=1, parameters={}
    )
    with django_capture_on_commit_callbacks(execute=True):
        choose_renders(study, [third.render_id])
    there = [default_storage.exists(it.picture.name) for it in (first, second, third)]
    assert there == [False, True, True]


def test_a_method_chosen_after_the_pictures_gets_its_references(
    logged_in: Any, wall: Any
) -> None:
    study = begun(logged_in, wall)
    save(logged_in, study, "question", method="dcr")
    assert not [it.text for it in remarks(Study.objects.get()) if "DCR" in it.text]
    save(logged_in, study, "texts", **TEXTS)
    logged_in.post(step(study, "review"), {"act": "open"})
    study.refresh_from_db()
    assert (study.state, study.method) == ("open", "dcr")
    assert study.stimuli.filter(is_reference=True).count() == 1
    assert study.items.filter(second__isnull=False).count() == 3


# Steps ------------------------------------------------------------------------------


def test_every_step_is_saved_into_the_draft_and_leads_on_or_back(
    logged_in: Any, wall: Any
) -> None:
    study = begun(logged_in, wall)
    response = save(
        logged_in, study, "question", scale_points="9", name_1="content",
        text_1="How well is the content kept?",
    )  # fmt: skip
    assert response.url == step(study, "texts")
    response = save(logged_in, study, "texts", ask_people="on", go="back", **TEXTS)
    assert response.url == step(study, "question")
    [mark] = study.stimuli.all()[:1]
    response = save(
        logged_in,
        study,
        "checks",
        instructed_catches="1",
        **{"picture-0-training_order": 1},
    )
    assert response.url == step(study, "people")
    response = save(
        logged_in, study, "people", max_participants="40", opens_at="2030-01-02T10:30",
        go="review",
    )  # fmt: skip
    assert response.url == step(study, "review")
    study.refresh_from_db()
    mark.refresh_from_db()
    assert (study.scale_points, study.controller, study.max_participants) == (
        9,
        "x",
        40,
    )
    assert study.opens_at is not None
    assert study.opens_at.isoformat() == "2030-01-02T10:30:00+00:00"
    assert (study.instructed_catches, mark.training_order) == (1, 1)
    assert study.further_questions.get().name == "content"
    assert study.form_items.count() == 6
    save(logged_in, study, "texts", ask_people="")
    assert study.form_items.count() == 0


def test_the_ordinary_page_shows_the_same_draft(logged_in: Any, wall: Any) -> None:
    study = begun(logged_in, wall)
    save(logged_in, study, "texts", **TEXTS | {"contact": "ada@lab.example"})
    page = logged_in.get(f"/admin/survey/study/{study.pk}/change/").content.decode()
    assert "ada@lab.example" in page and step(study, "checks") in page


def test_who_answers_for_it_is_proposed_from_ones_latest_study(
    logged_in: Any, wall: Any
) -> None:
    save(logged_in, begun(logged_in, wall), "texts", **TEXTS)
    study = begun(logged_in, wall)
    assert (study.controller, study.contact) == ("x", "y")
    assert study.ethics_reference == ""  # an approval is of one study


def test_what_collides_with_another_step_is_refused_with_its_name(
    logged_in: Any, wall: Any
) -> None:
    study = begun(logged_in, wall)
    save(logged_in, study, "people", target_half_width="0.3")
    page = save(logged_in, study, "question", method="pairs")
    assert page.status_code == 200
    text = page.content.decode()
    assert "Target CI half-width: Pairs have no interval" in text
    study.refresh_from_db()
    assert study.method == "acr"


def test_two_questions_of_one_name_are_refused(logged_in: Any, wall: Any) -> None:
    study = begun(logged_in, wall)
    twice = {"name_1": "style", "text_1": "a", "name_2": "style", "text_2": "b"}
    assert save(logged_in, study, "question", **twice).status_code == 200
    assert save(logged_in, study, "question", text_1="No name?").status_code == 200
    assert not study.further_questions.exists()


def test_the_table_of_people_follows_students_t(logged_in: Any, wall: Any) -> None:
    """S = 0.8: 13, 18, 30, 42, 64 votes (STATISTICS: t.975 · S / √n ≤ h)."""
    study = begun(logged_in, wall)
    page = logged_in.get(f"{step(study, 'people')}?sd=0.8")
    votes = [row["votes"] for row in page.context["needed"]]
    assert votes == [13, 18, 30, 42, 64]
    Study.objects.update(trials_each=1)  # of three pictures
    page = logged_in.get(f"{step(study, 'people')}?sd=1e300")
    row = page.context["needed"][0]
    assert page.context["sd"] == "0.9" and row["people"] == 3 * row["votes"]


def test_an_open_study_has_only_the_last_step(logged_in: Any, study: Study) -> None:
    assert logged_in.get(step(study, "texts")).url == step(study, "review")
    logged_in.post(step(study, "texts"), {"title": "Another"})
    study.refresh_from_db()
    assert study.title != "Another"
    assert "It is open" in logged_in.get(step(study, "review")).content.decode()


@pytest.mark.parametrize("name", STEPS)
def test_a_stranger_sees_no_step(
    client: Any, stranger: Any, study: Study, name: str
) -> None:
    client.force_login(stranger)
    assert client.get(step(study, name)).status_code in {403, 404}
    assert client.post(step(study, name), {"act": "open"}).status_code in {403, 404}
    assert client.get(BEGIN).status_code == 403


# Preview ----------------------------------------------------------------------------


def test_the_preview_counts_nothing_and_can_be_thrown_away(
    logged_in: Any, wall: Any
) -> None:
    study = begun(logged_in, wall)
    logged_in.cookies["participant"] = "of an earlier preview"
    response = logged_in.post(step(study, "review"), {"act": "preview"})
    assert response.url == study.get_absolute_url()
    assert response.cookies["participant"]["max-age"] == 0
    assert response.cookies["participant"]["path"] == study.get_absolute_url()
    take_part(InProcess("testserver"), study.get_absolute_url(), choose=lambda _: 4)
    assert Participant.objects.get().pilot
    page = logged_in.get(step(study, "review")).content.decode()
    assert "1 has taken part in it" in page
    # Its pictures cannot be taken out under it.
    kept = study.stimuli.all()[0].render_id
    page = logged_in.post(step(study, "pictures"), {"render": [kept]})
    assert "throw the pilot away first" in page.content.decode()
    asked = logged_in.post(step(study, "review"), {"act": "throw_away"}, follow=True)
    assert "Tick that the answers" in asked.content.decode()
    assert study.participants.filter(pilot=True).exists()
    logged_in.post(step(study, "review"), {"act": "throw_away", "sure": "on"})
    study.refresh_from_db()
    assert study.state == Study.State.DRAFT
    assert not Participant.objects.exists() and not Trial.objects.exists()
    assert (
        logged_in.post(step(study, "pictures"), {"render": [kept]}).status_code == 302
    )
    assert study.stimuli.count() == 1


def test_a_change_ends_the_preview_and_keeps_its_answers(
    logged_in: Any, wall: Any
) -> None:
    study = begun(logged_in, wall)
    logged_in.post(step(study, "review"), {"act": "preview"})
    take_part(InProcess("testserver"), study.get_absolute_url(), choose=lambda _: 4)
    save(logged_in, study, "question")
    study.refresh_from_db()
    assert study.state == Study.State.PILOTING  # nothing was changed
    save(logged_in, study, "question", scale_points="9")
    study.refresh_from_db()
    assert study.state == Study.State.DRAFT and Participant.objects.count() == 1


def test_a_preview_by_invitation_and_before_the_opening_date_lets_one_in(
    logged_in: Any, wall: Any
) -> None:
    study = begun(logged_in, wall)
    save(logged_in, study, "people", source="invitation", opens_at="2090-01-01T00:00")
    response = logged_in.post(step(study, "review"), {"act": "preview"})
    address, code = response.url.split("#")
    take_part(
        InProcess("testserver"), address, choose=lambda _: 4,
        join_with={"invitation": code},
    )  # fmt: skip
    assert Participant.objects.get().status == "finished"


@pytest.mark.parametrize("closed", [False, True])
def test_nobody_who_counts_can_be_thrown_away(study: Study, closed: bool) -> None:
    take_part(InProcess("testserver"), study.get_absolute_url(), choose=lambda _: 4)
    if closed:
        study.close()
    with pytest.raises(CannotOpen, match="frozen"):
        throw_pilot_away(study)
    study.refresh_from_db()
    assert Participant.objects.count() == 1 and study.state != Study.State.DRAFT


def test_a_version_is_not_previewed_where_people_take_part(
    logged_in: Any, study: Study
) -> None:
    logged_in.post(f"/admin/survey/study/{study.pk}/version/")
    draft = Study.objects.get(version=2)
    page = logged_in.post(step(draft, "review"), {"act": "preview"}, follow=True)
    assert "would land in the pilot" in page.content.decode()
    draft.refresh_from_db()
    assert draft.state == Study.State.DRAFT


# Opening ----------------------------------------------------------------------------


def test_it_opens_once_nothing_stands_against_it(logged_in: Any, wall: Any) -> None:
    study = begun(logged_in, wall)
    page = logged_in.get(step(study, "review"))
    assert page.context["blocks"] == 3 and "Not yet:" in page.content.decode()
    logged_in.post(step(study, "review"), {"act": "open"})
    study.refresh_from_db()
    assert study.state == Study.State.DRAFT
    save(logged_in, study, "texts", **TEXTS)
    page = logged_in.get(step(study, "review"))
    assert page.context["blocks"] == 0
    page = logged_in.post(step(study, "review"), {"act": "open"}, follow=True)
    assert "is open." in page.content.decode()
    assert study.get_absolute_url() in page.content.decode()


@pytest.mark.parametrize(
    ("fields", "said", "where"),
    [
        ({"instructed_catches": 50}, "do not fit", "checks"),
        ({"repeats": 50}, "cannot be repeated", "checks"),
        ({"order": "blocked"}, "Blocks need the factor", "people"),
        ({"method": "pairs", "target_half_width": 0.3}, "no interval", "people"),
    ],
)
def test_what_opening_would_refuse_is_on_the_list_with_its_step(
    logged_in: Any, wall: Any, fields: dict[str, Any], said: str, where: str
) -> None:
    study = begun(logged_in, wall)
    Study.objects.update(**fields, **TEXTS)
    study.refresh_from_db()
    [stop] = [remark for remark in remarks(study) if remark.stops]
    assert said in stop.text and stop.step == where
    logged_in.post(step(study, "review"), {"act": "open"})
    study.refresh_from_db()
    assert study.state == Study.State.DRAFT


def test_rights_a_small_quota_and_missing_checks_are_worth_a_look(
    logged_in: Any, wall: Any
) -> None:
    study = begun(logged_in, wall)
    text = "\n".join(remark.text for remark in remarks(study))
    assert "“Blue” has no licence" in text and "“Red” has no licence" in text
    assert "Nobody practises" in text and "paying attention" in text
    SourceImage.objects.update(licence="CC0 1.0")
    Study.objects.update(max_participants=5, instructed_catches=1)
    study.refresh_from_db()
    text = "\n".join(remark.text for remark in remarks(study))
    assert "licence" not in text and "paying attention" not in text
    # t.975 on 4 degrees · 0.9 / √5
    assert "full with 5 people, which gives intervals of about ± 1.12" in text


def test_every_remark_that_stops_says_what_to_do_and_where(
    logged_in: Any, wall: Any
) -> None:
    empty = Study.objects.create(title="Empty", experiment=wall, all_renders=False)
    for study in (begun(logged_in, wall), empty):
        for remark in remarks(study):
            if remark.stops:
                assert remark.mend and (remark.step in STEPS or remark.address)


def test_every_field_of_a_step_is_on_its_page() -> None:
    for name, form in FORMS.items():
        grouped = [field for _, _, fields in form.groups for field in fields]
        assert set(form.base_fields) <= set(grouped), name
        assert len(grouped) == len(set(grouped))
    assert step_of("consent") == "texts" and step_of("slug") == ""
