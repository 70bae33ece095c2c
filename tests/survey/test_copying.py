"""Pictures are copied into a study piece by piece; nothing half-copied ever opens."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core.files.storage import default_storage
from PIL import Image

from analysis.preregistration.plan import factors_of
from generation.engine.pictures.files import pixel_sha256
from generation.models import Render, SourceImage
from survey.models import Study
from survey.refusals import CannotOpen
from survey.studies import copying, lifecycle
from survey.studies.pages import copying as copying_pages
from survey.studies.pages.picker import Picker
from tests.conftest import put_on_wall
from tests.survey.test_racing import race

pytestmark = pytest.mark.django_db

BEGIN = "/admin/survey/study/wizard/"


@pytest.fixture
def wall(make_experiment: Any) -> Any:
    """An experiment of four finished renders."""
    experiment = make_experiment(alpha_beta=[0.01, 0.02, 0.03, 0.04])
    put_on_wall(experiment)
    return experiment


@pytest.fixture
def draft(wall: Any) -> Study:
    """A draft of all four that has no picture yet."""
    return Study.objects.create(
        title="S", experiment=wall, owner=wall.owner,
        controller="x", contact="y", ethics_reference="z",
    )  # fmt: skip


@pytest.fixture
def one_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request copies one picture only, as if each took a second."""
    monkeypatch.setattr(copying_pages, "COPY_SECONDS", 0.0)


def page_of(study: Study, **query: str) -> str:
    told = "&".join(f"{name}={value}" for name, value in query.items())
    return f"/admin/survey/study/{study.pk}/take-in/?{told}"


def copied(study: Study) -> list[int]:
    return list(study.stimuli.order_by("pk").values_list("render", flat=True))


def keys(experiment: Any) -> list[int]:
    return list(experiment.renders.order_by("pk").values_list("pk", flat=True))


def break_picture(render: Render) -> None:
    name = render.picture.name
    assert name is not None
    default_storage.delete(name)
    with default_storage.open(name, "wb") as file:
        file.write(b"no picture")


@pytest.mark.usefixtures("one_each")
def test_the_wizard_shows_how_far_it_is_and_goes_on_where_it_stopped(
    logged_in: Any, wall: Any
) -> None:
    chosen = keys(wall)[:3]
    page = logged_in.post(
        f"{BEGIN}?experiment={wall.pk}", {"render": chosen}, follow=True
    )
    study = Study.objects.get()
    assert copied(study) == chosen[:1]
    assert "1 of 3 pictures are copied" in page.content.decode()
    # Somebody who left comes back to what was chosen, all of it ticked.
    step = f"/admin/survey/study/{study.pk}/wizard/pictures/"
    assert logged_in.get(step).context["picker"].chosen == set(chosen)
    address = page.request["PATH_INFO"] + "?" + page.request["QUERY_STRING"]
    page = logged_in.post(address)
    assert "2 of 3 pictures are copied" in page.content.decode()
    done = logged_in.post(address)
    assert done.url == f"/admin/survey/study/{study.pk}/wizard/question/"
    assert copied(study) == chosen
    assert logged_in.get(address).url == done.url


@pytest.mark.usefixtures("one_each")
def test_the_page_that_copied_the_last_picture_opens_the_study(
    logged_in: Any, draft: Study
) -> None:
    review = f"/admin/survey/study/{draft.pk}/wizard/review/"
    page = logged_in.post(review, {"act": "open"})
    for number in (2, 3):
        part = logged_in.post(page.url, headers={"HX-Request": "true"}).content.decode()
        assert f"{number} of 4 pictures are copied" in part
        assert "<html" not in part and "hx-post" in part
        draft.refresh_from_db()
        assert draft.state == "draft"
    done = logged_in.post(page.url, headers={"HX-Request": "true"})
    assert done["HX-Redirect"] == review
    draft.refresh_from_db()
    assert (draft.state, draft.items.count()) == ("open", 4)


@pytest.mark.usefixtures("one_each")
@pytest.mark.parametrize("button", ["_open", "_pilot"])
def test_the_buttons_of_the_list_lead_to_the_copying_first(
    logged_in: Any, draft: Study, button: str
) -> None:
    data = {"action": button[1:], "_selected_action": [draft.pk]}
    page = logged_in.post("/admin/survey/study/", data, follow=True).content.decode()
    found = re.search(r'href="(/admin/survey/study/\d+/take-in/[^"]+)"', page)
    assert found is not None and "has pictures to copy first" in page
    address = found[1].replace("&amp;", "&")
    for _ in range(3):
        page = logged_in.post(address, follow=True).content.decode()
    draft.refresh_from_db()
    assert draft.state == {"_open": "open", "_pilot": "piloting"}[button]
    assert draft.items.count() == 4


@pytest.mark.usefixtures("one_each")
def test_who_may_not_open_studies_copies_and_opens_nothing(
    logged_in: Any, draft: Study, researcher: Any
) -> None:
    from django.contrib.auth.models import Permission

    group = researcher.groups.get()
    group.permissions.remove(Permission.objects.get(codename="open_study"))
    for _ in range(4):
        logged_in.post(page_of(draft, act="open"))
    draft.refresh_from_db()
    assert (draft.state, draft.stimuli.count()) == ("draft", 4)


def test_looking_at_the_page_copies_nothing(logged_in: Any, draft: Study) -> None:
    page = logged_in.get(page_of(draft, act="open")).content.decode()
    assert "0 of 4 pictures are copied" in page
    assert draft.stimuli.count() == 0


def test_opening_takes_in_whatever_a_stopped_copying_left(draft: Study) -> None:
    assert copying.copy_pictures(draft, 0.0) == 3
    lifecycle.open_study(draft)
    assert copied(draft) == keys(draft.experiment)
    assert draft.items.count() == 4


def test_every_picture_gets_its_reference_a_piece_at_a_time(draft: Study) -> None:
    draft.method = "dcr"
    draft.save()
    left = [copying.copy_pictures(draft, 0.0) for _ in range(8)]
    # The references are wanted as soon as there are pictures that lack them.
    assert left[-1] == 0 and 0 not in left[:-1]
    assert {
        it.reference is None for it in draft.stimuli.filter(is_reference=False)
    } == {False}
    assert draft.stimuli.filter(is_reference=True).count() == 1


@pytest.mark.parametrize(
    ("fit", "size", "box"),
    [
        ("aspect", (48, 32), (0, 0, 48, 32)),
        ("crop", (32, 32), (0, 0, 32, 32)),
        ("square", (32, 32), (0, 0, 48, 32)),
    ],
)
def test_a_reference_is_cut_or_squashed_as_its_renders_are(
    make_experiment: Any, fit: str, size: tuple[int, int], box: tuple[int, ...]
) -> None:
    experiment = make_experiment(fit=fit, size=size[0])
    content = experiment.pairs.get().content
    SourceImage.objects.filter(pk=content.pk).update(focus_x=0.1)
    renders = put_on_wall(experiment, lambda _: size)
    SourceImage.objects.filter(pk=content.pk).update(focus_x=0.9)
    study = Study.objects.create(
        title="S", experiment=experiment, owner=experiment.owner, method="dcr",
        controller="x", contact="y", ethics_reference="z",
    )  # fmt: skip
    assert copying.copy_pictures(study) == 0
    shown = study.stimuli.filter(is_reference=False)
    assert {(it.width, it.height) for it in shown} == {size}
    reference = study.stimuli.get(is_reference=True)
    assert {it.reference for it in shown} == {reference}
    with Image.open(content.picture.path) as whole:
        seen = whole.crop(box).resize(size, Image.Resampling.LANCZOS)
    assert reference.pixel_sha256 == pixel_sha256(seen)
    assert renders[0].render_settings().fit == fit


def test_a_picture_that_cannot_be_read_is_named_and_stops_the_opening(
    logged_in: Any, draft: Study
) -> None:
    second = draft.experiment.renders.order_by("pk")[1]
    break_picture(second)
    with pytest.raises(CannotOpen, match=f"render {second.pk}, .* cannot be read"):
        lifecycle.open_study(draft)
    draft.refresh_from_db()
    assert draft.state == "draft"
    page = logged_in.post(page_of(draft, act="open"))
    assert "cannot be read" in page.content.decode()
    assert "hx-post" not in page.content.decode()  # it does not try for ever
    # Without it, the study opens.
    rest = [pk for pk in keys(draft.experiment) if pk != second.pk]
    copying.choose_renders(draft, rest)
    lifecycle.open_study(draft)
    assert copied(draft) == rest


def test_a_file_with_metadata_is_stripped_and_named_by_its_pixels(
    draft: Study,
) -> None:
    first = draft.experiment.renders.order_by("pk")[0]
    name = first.picture.name
    default_storage.delete(name)
    with default_storage.open(name, "wb") as file:
        Image.new("RGB", (32, 32), (0, 90, 120)).save(file, "JPEG", comment="secret")
    copying.copy_pictures(draft)
    stimulus = draft.stimuli.get(render=first)
    with stimulus.picture.open() as file:
        assert b"secret" not in file.read()


def test_what_two_tabs_copy_at_once_is_there_once(
    draft: Study, django_capture_on_commit_callbacks: Any
) -> None:
    [render, *_] = draft.experiment.renders.order_by("pk")
    with django_capture_on_commit_callbacks(execute=True):
        mine, other = (copying._copy(draft, render) for _ in range(2))
        copying._keep(draft, [other])
        copying._keep(draft, [mine])
    assert copied(draft) == [render.pk]
    there = [default_storage.exists(str(it.picture.name)) for it in (other, mine)]
    assert there == [True, False]


def test_what_was_taken_out_meanwhile_is_not_added(draft: Study) -> None:
    here = Study.objects.get(pk=draft.pk)
    first, second, *_ = draft.experiment.renders.order_by("pk")
    copy = copying._copy(here, first)
    copying.choose_renders(draft, [second.pk])
    copying._keep(here, [copy])
    assert copied(draft) == []
    assert copying.copy_pictures(here) == 0
    assert copied(draft) == [second.pk]


def test_what_opened_meanwhile_gets_no_more_pictures(draft: Study) -> None:
    here = Study.objects.get(pk=draft.pk)
    copying.choose_renders(draft, keys(draft.experiment)[:1])
    copy = copying._copy(here, draft.experiment.renders.order_by("pk")[1])
    lifecycle.open_study(draft)
    with pytest.raises(CannotOpen, match="frozen"):
        copying._keep(here, [copy])
    assert draft.stimuli.count() == 1


def test_a_picture_painted_between_copying_and_opening_is_not_left_out(
    draft: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_pictures = copying.copy_pictures

    def without_the_last(study: Study, seconds: float | None = None) -> int:
        return copy_pictures(study, 0.0)

    monkeypatch.setattr(lifecycle, "copy_pictures", without_the_last)
    with pytest.raises(CannotOpen, match="lacks 3 pictures"):
        lifecycle.open_study(draft)
    draft.refresh_from_db()
    assert (draft.state, draft.items.count()) == ("draft", 0)


@pytest.mark.django_db(transaction=True)
def test_copying_that_races_leaves_every_picture_once(draft: Study) -> None:
    def run() -> int:
        return copying.copy_pictures(Study.objects.get(pk=draft.pk))

    assert race(*[run] * 4) == [0] * 4
    assert sorted(copied(draft)) == keys(draft.experiment)
    lifecycle.open_study(draft)
    assert draft.items.count() == 4


def test_of_a_balance_the_study_keeps_the_alpha_but_varies_the_balance(
    make_experiment: Any,
) -> None:
    experiment = make_experiment(more_axes={"balance": [0.1, 0.3]}, tv_weight=[0.0])
    for alpha, render in enumerate(put_on_wall(experiment), 1):
        shares = {"style_share": 0.25, "content_share": 0.5}
        Render.objects.filter(pk=render.pk).update(alpha=alpha, **shares)
    study = Study.objects.create(
        title="S", experiment=experiment, owner=experiment.owner,
        controller="x", contact="y", ethics_reference="z",
    )  # fmt: skip
    copying.copy_pictures(study)
    made = [it.parameters for it in study.stimuli.filter(is_reference=False)]
    assert [(it["balance"], it["alpha"]) for it in made] == [(0.1, 1), (0.3, 2)]
    assert {(it["style_share"], it["content_share"]) for it in made} == {(0.25, 0.5)}
    assert "alpha" not in factors_of(study)
    picker = Picker(experiment.renders.all(), set(), {})
    assert [it["name"] for it in picker.factors] == ["balance"]
