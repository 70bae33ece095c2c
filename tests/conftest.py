"""The cast and the props: a researcher, a stranger, pictures, a study."""

from __future__ import annotations

import io
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

UNTRAINED = (
    "The trained network is not at hand: `manage.py weights get` brings it to var/, or "
    "NSTLAB_TEST_WEIGHTS names its folder"
)


def missing(what: str, how: str) -> None:
    """Skip for a missing browser, broker or the like; fail for it in CI."""
    sentence = f"{what} is missing: {how}"
    if os.environ.get("CI"):
        pytest.fail(sentence)
    pytest.skip(sentence)


@pytest.fixture(scope="session")
def trained() -> Path:
    """The folder that the trained network is found with, on this machine; skips where
    it is not at hand, in CI as well: a clone must pass without a network."""
    from generation.engine.networks.weights import imagenet_at_hand

    here = Path(__file__).parents[1] / "var" / "weights"
    folder = Path(os.environ.get("NSTLAB_TEST_WEIGHTS") or here)
    if not imagenet_at_hand(folder):
        pytest.skip(UNTRAINED)
    return folder


@pytest.fixture(scope="session", autouse=True)
def static_files() -> None:
    """The manifest that templates look style sheets and scripts up in."""
    from django.core.management import call_command

    call_command("collectstatic", interactive=False, verbosity=0)


@pytest.fixture(scope="session")
def _watched() -> None:
    from tests import holding

    holding.watch()


@pytest.fixture(autouse=True)
def held(_watched: None) -> Iterator[None]:
    """Whatever writes what is frozen with a study holds the study."""
    from tests import holding

    holding.unheld.clear()
    yield
    assert holding.unheld == [], "written without holding the study"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with browsers and workers first: begun last, one process would do them
    alone while the other is done."""
    long = {
        item.path
        for item in items
        if item.get_closest_marker("browser") or item.get_closest_marker("worker")
    }
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(scope="session")
def broker() -> Iterator[None]:
    """A real broker for the whole run: an embedded Valkey, or the one that is given."""
    from django.conf import settings

    from nstlab.core.broker import BrokerUnavailable, EmbeddedBroker, answers

    if "URL" in settings.BROKER:
        assert answers(settings.BROKER), "the broker at NSTLAB_REDIS_URL is away"
        yield
        return
    server = EmbeddedBroker(settings.VAR)
    try:
        server.start()
    except (BrokerUnavailable, ImportError) as error:
        missing("The broker", str(error))
    yield
    server.stop()


@pytest.fixture
def queues(broker: None) -> Iterator[None]:
    """Empty queues before and after."""
    import django_rq

    django_rq.get_connection("render").flushdb()
    yield
    django_rq.get_connection("render").flushdb()


def png(color: Any = (200, 60, 30), size: tuple[int, int] = (48, 32)) -> bytes:
    """A small picture with some structure, so that two colours are two pictures."""
    image = Image.new("RGB", size, color)
    for x in range(0, size[0], 4):
        image.putpixel((x, x % size[1]), (255, 255, 255))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


PASSWORD = "correct horse battery"


@pytest.fixture(scope="session")
def _password_hash() -> str:
    """Hashed once: it takes longer than many a test."""
    from django.contrib.auth.hashers import make_password

    return make_password(PASSWORD)


@pytest.fixture
def make_account(db: None, _password_hash: str) -> Callable[..., Any]:
    """A factory of staff accounts, in one of the lab's groups or in none."""
    from django.contrib.auth import get_user_model

    from nstlab.roles import update_group

    def make(name: str, group: str = "", **fields: Any) -> Any:
        user = get_user_model().objects.create(
            username=name, password=_password_hash, is_staff=True, **fields
        )
        if group:
            user.groups.add(update_group(group))
        return user

    return make


@pytest.fixture
def researcher(make_account: Callable[..., Any]) -> Any:
    """Somebody of the group Researcher: staff, not a superuser."""
    return make_account("ada", "Researcher")


@pytest.fixture
def stranger(make_account: Callable[..., Any]) -> Any:
    """Staff without any right."""
    return make_account("mallory")


@pytest.fixture
def logged_in(client: Any, researcher: Any) -> Any:
    """A browser in which the researcher is logged in."""
    client.force_login(researcher)
    return client


@pytest.fixture
def make_experiment(researcher: Any) -> Callable[..., Any]:
    """A factory of the researcher's experiments that paint 32 × 32 pixels in two
    evaluations."""
    from generation.models import Experiment, Pair
    from generation.pictures.source_images import add_source_image

    def make(*, name: str = "Small", **fields: Any) -> Any:
        experiment = Experiment.objects.create(
            name=name,
            **{
                "content_layer": ["conv2_1"],
                "alpha_beta": [0.01, 0.1],
                "tv_weight": [0.0],
                "size": 32,
                "fit": "square",
                "evaluations": 2,
                "weights": "random:0",
                "pooling": "average",
                "start": "content",
                "reuse": False,
                "owner": researcher,
            }
            | fields,
        )
        whose = {"owner": experiment.owner}
        content, _ = add_source_image(data=png((200, 60, 30)), title="Red", **whose)
        style, _ = add_source_image(data=png((20, 60, 230)), title="Blue", **whose)
        Pair.objects.create(experiment=experiment, content=content, style=style)
        return experiment

    return make


@pytest.fixture
def experiment(make_experiment: Callable[..., Any]) -> Any:
    return make_experiment()


def put_on_wall(
    experiment: Any, size: Callable[[Any], tuple[int, int]] = lambda _: (32, 32)
) -> list[Any]:
    """Finish the experiment's renders without an engine: plain coloured pictures, each
    of the `size` that its render is to have."""
    from generation.engine.pictures.files import open_picture, pixel_sha256
    from generation.queueing.batches import queue_experiment

    queue_experiment(experiment)
    renders = list(experiment.renders.all())
    for number, render in enumerate(renders):
        token = uuid.uuid4()
        data = png((40 * number % 256, 90, 120), size(render))
        assert render.begin(token=token, worker="test")
        assert render.finish(
            token=token,
            png=data,
            pixel_sha256=pixel_sha256(open_picture(data).image),
            curve=[],
            environment={},
            seconds=0.1,
        )
    return renders


@pytest.fixture
def two_shapes(make_experiment: Callable[..., Any]) -> Any:
    """Two renders of 48 × 32 pixels and two of 32 × 48, done."""
    from generation.pictures.source_images import add_source_image

    experiment = make_experiment(fit="aspect", size=48)
    standing, _ = add_source_image(
        data=png((9, 99, 9), (32, 48)), title="Standing", owner=experiment.owner
    )
    experiment.contents.set([standing])
    experiment.styles.set([experiment.pairs.get().style])
    put_on_wall(experiment, lambda render: render.content.size)
    return experiment


@pytest.fixture
def make_study(make_experiment: Callable[..., Any]) -> Callable[..., Any]:
    """A factory of the researcher's open studies of `pictures` renders."""
    from survey.models import Study
    from survey.studies.lifecycle import open_study

    def make(*, pictures: int = 3, **fields: Any) -> Any:
        number = Study.objects.count()
        experiment = make_experiment(
            name=f"Wall {number}", alpha_beta=[(n + 1) / 100 for n in range(pictures)]
        )
        put_on_wall(experiment)
        study = Study.objects.create(
            **{
                "title": "How good are they?",
                "experiment": experiment,
                "owner": experiment.owner,
                "controller": "The lab",
                "contact": "ada@lab.example",
                "ethics_reference": "2026-1",
            }
            | fields,
        )
        open_study(study)
        study.refresh_from_db()
        return study

    return make


@pytest.fixture
def study(make_study: Callable[..., Any]) -> Any:
    return make_study()
