"""A typed α is said as a balance, once a worker has measured it; nobody waits."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import django_rq
import pytest
from django.utils import timezone

from generation.engine.painter import Painter
from generation.engine.settings import RenderSettings
from generation.engine.weighing import (
    balance_in_words,
    has_balance,
    key_of_ends,
    settings_of_ends,
)
from generation.models import Weighing
from generation.queueing.tasks import weigh_pair
from generation.queueing.weighing import MOST_OF_A_FORM, MOST_WAITING, typed_alphas
from tests.engine.conftest import picture
from tests.generation.test_choosing import NEW, said
from tests.generation.test_experiment_pages import form

pytestmark = [pytest.mark.broker, pytest.mark.django_db(transaction=True)]


def waiting() -> list[str]:
    return list(django_rq.get_queue("render-high").job_ids)


def test_the_form_says_what_a_ratio_comes_to_once_it_is_measured(
    logged_in: Any, experiment: Any, queues: None
) -> None:
    asked = form(experiment, content_layer=["conv2_1"], alpha_beta="0.01, 1e3")
    before = said(logged_in.post(NEW, asked))
    assert "α/β 0.01, 1000 not measured yet" in before
    row = Weighing.objects.get()
    assert waiting() == [row.job_id]
    assert said(logged_in.post(NEW, asked)) == before
    assert len(waiting()) == 1, "asked for once"

    assert weigh_pair(row.pk) == "measured"
    assert weigh_pair(row.pk) == "not ours"
    row.refresh_from_db()
    after = said(
        logged_in.post(NEW, asked | {"more_axes": "seed = 7", "start": "noise"})
    )
    assert f"α/β 0.01 balance about {0.01 / row.alpha:.1g}: " in after
    assert f"α/β 1000 balance about {1000 / row.alpha:.1g}: mostly content" in after
    assert Weighing.objects.count() == 1
    logged_in.post(NEW, asked | {"size": "48"})
    assert Weighing.objects.count() == 2, "another size, another balance"


def test_it_is_asked_again_only_while_a_worker_can_answer(
    logged_in: Any, experiment: Any, queues: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = form(experiment, alpha_beta="0.01")
    assert "hx-trigger" not in logged_in.post(NEW, asked).content.decode()
    monkeypatch.setattr("generation.experiments.forecast.workers_of", lambda _: 1)
    assert "hx-trigger" in logged_in.post(NEW, asked).content.decode()
    for row in Weighing.objects.all():
        row.finish(0.1)
    assert "hx-trigger" not in logged_in.post(NEW, asked).content.decode()


def test_balances_and_what_has_none_are_measured_for_nobody(
    logged_in: Any, experiment: Any, queues: None
) -> None:
    for more in ({"balance": "0.1"}, {"more_axes": "alpha = 1\nbeta = 0"}):
        page = said(logged_in.post(NEW, form(experiment, alpha_beta="", **more)))
        assert "to paint 2" in page
        assert "measured" not in page
    assert not Weighing.objects.exists()


def test_what_was_lost_or_refused_is_asked_for_anew(
    make_experiment: Callable[..., Any], queues: None
) -> None:
    cells = make_experiment(alpha_beta=[0.01]).cells()
    typed_alphas(cells)
    django_rq.get_connection("render").flushdb()
    typed_alphas(cells)
    assert waiting() == [], "it may be on its way"
    long_ago = timezone.now() - dt.timedelta(hours=1)
    Weighing.objects.update(asked_at=long_ago)
    typed_alphas(cells)
    row = Weighing.objects.get()
    assert waiting() == [row.job_id]
    assert (row.attempt, row.alpha) == (2, None)

    row.fail("Not measured: no weights.")
    assert typed_alphas(cells) == ([("α/β 0.01", "Not measured: no weights.")], False)
    Weighing.objects.update(asked_at=long_ago)
    assert typed_alphas(cells) == ([("α/β 0.01", "not measured yet")], True)
    assert weigh_pair(row.pk) == "measured"


def test_what_cannot_be_balanced_is_said(
    make_experiment: Callable[..., Any], queues: None
) -> None:
    experiment = make_experiment(alpha_beta=[0.01])
    pair = experiment.pairs.get()
    experiment.pairs.update(style=pair.content)
    typed_alphas(experiment.cells())
    assert weigh_pair(Weighing.objects.get().pk) == "nothing to measure"
    ((_, sentence),), measuring = typed_alphas(experiment.cells())
    assert sentence.startswith("Not measured: balance has nothing to weigh")
    assert not measuring


def test_a_large_grid_asks_for_a_part_and_says_so(
    make_experiment: Callable[..., Any], queues: None
) -> None:
    sizes = {"size": list(range(32, 32 + MOST_OF_A_FORM + 6))}
    cells = make_experiment(alpha_beta=[0.01], more_axes=sizes).cells()
    typed_alphas(cells)
    assert len(waiting()) == MOST_OF_A_FORM
    for alpha, row in enumerate(Weighing.objects.order_by("pk"), start=1):
        row.finish(alpha / 100)
    ((_, sentence),), _ = typed_alphas(cells)
    assert sentence == (
        "balance about 0.04 to 1: mostly style to mostly content "
        "(24 of 30 pairs and layers measured)"
    )
    Weighing.objects.bulk_create(
        Weighing(digest=str(number), content=row.content, style=row.style, settings={})
        for number in range(MOST_WAITING)
    )
    typed_alphas(make_experiment(name="More", alpha_beta=[1.0], size=90).cells())
    assert len(waiting()) == MOST_OF_A_FORM, "many wait already"


# Which settings share it ------------------------------------------------------


def test_settings_with_the_same_key_have_the_same_ends() -> None:
    usual = RenderSettings(
        alpha=0.5, weights="random:0", pooling="average", size=32, evaluations=4
    )
    assert has_balance(usual)
    assert not has_balance(replace(usual, beta=0.0))
    assert not has_balance(replace(usual, alpha=None, balance=0.1))
    searched = replace(
        usual, seed=3, start="content", tv_weight=2.0, pyramid=2, range="free", beta=2.0
    )
    pair = picture(1, 48, 40), picture(2, 40, 24)
    with Painter() as painter:
        alpha = painter.alpha_of_balance(usual, *pair)
        assert key_of_ends(searched) == key_of_ends(usual)
        assert settings_of_ends(searched) == settings_of_ends(usual)
        assert painter.alpha_of_balance(searched, *pair) == alpha
        assert painter.alpha_of_balance(settings_of_ends(usual), *pair) == alpha
        for other in ({"size": 40}, {"objective": "notebook"}, {"style_scale": 2.0}):
            assert key_of_ends(usual) != key_of_ends(replace(usual, **other))
        painted = painter.render(replace(usual, balance=1.0, alpha=None), *pair)
    assert painted.alpha == alpha


def test_a_balance_has_words() -> None:
    said_of = {it: balance_in_words(it) for it in (0.004, 0.01, 0.03, 0.1, 0.3, 9.0)}
    assert list(said_of.values()) == [
        "style alone", "style alone", "mostly style", "both", "mostly content",
        "mostly content",
    ]  # fmt: skip


def test_asking_needs_no_torch() -> None:
    code = "import generation.engine.weighing, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
