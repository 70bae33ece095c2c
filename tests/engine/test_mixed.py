"""Mixed precision: bf16 while the search is far, float32 where it ends."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from generation.engine.devices import has_bf16, precision_refused
from generation.engine.errors import Cancelled, SettingsError
from generation.engine.optimisers.lbfgs import Lbfgs
from generation.engine.optimisers.minimiser import tell
from generation.engine.painter import Painter
from generation.engine.request import Painted
from generation.engine.settings import RenderSettings

from .conftest import picture

CPU = torch.device("cpu")
needs_bf16 = pytest.mark.skipif(
    not has_bf16(CPU), reason="this processor has no instructions for bf16"
)


def settings(**changes: object) -> RenderSettings:
    values = {
        "weights": "random:0",
        "pooling": "average",
        "alpha": 1e-3,
        "size": 48,
        "evaluations": 20,
        "start": "content",
        "precision": "mixed",
    }
    return RenderSettings.from_dict(values | changes)


def paint(painter: Painter, **changes: object) -> Painted:
    return painter.render(settings(**changes), picture(1), picture(2))


@needs_bf16
@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
def test_it_ends_in_float32_near_where_float32_ends(optimiser: str) -> None:
    with Painter() as painter:
        plain = paint(painter, optimiser=optimiser, precision="float32")
        mixed = paint(painter, optimiser=optimiser)

    first = mixed.environment["float32_from"]
    assert 1 < first <= 18
    assert mixed.evaluations == plain.evaluations
    fine = [row["total"] or 0.0 for row in mixed.curve[first - 1 :]]
    assert mixed.best_evaluation >= first
    assert min(fine) == mixed.curve[mixed.best_evaluation - 1]["total"]
    ends = min(row["total"] or 0.0 for row in plain.curve)
    assert min(fine) == pytest.approx(ends, rel=0.1)


@needs_bf16
def test_each_level_of_a_pyramid_ends_in_float32() -> None:
    with Painter() as painter:
        painted = paint(painter, pyramid=2, size=64, evaluations=30)

    levels = [row["level"] for row in painted.curve]
    assert levels == [1] * 10 + [2] * 20
    assert painted.environment["float32_from"] == 10 + 17 + 1


@needs_bf16
@pytest.mark.parametrize("stopped_after", [6, 18])  # in either precision
def test_it_is_reproduced_bit_for_bit_from_a_checkpoint(
    tmp_path: Path, stopped_after: int
) -> None:
    kept = tmp_path / "kept.pt"
    told: list[int] = []
    with Painter() as painter:
        whole = paint(painter)
        with pytest.raises(Cancelled):
            painter.render(
                settings(),
                picture(1),
                picture(2),
                checkpoint=kept,
                checkpoint_seconds=0,
                on_progress=lambda at: told.append(at.evaluations),
                should_stop=lambda: bool(told) and told[-1] >= stopped_after,
            )
        gone_on = painter.render(settings(), picture(1), picture(2), checkpoint=kept)
    assert gone_on.pixel_sha256 == whole.pixel_sha256
    assert gone_on.curve == whole.curve
    assert gone_on.environment["float32_from"] == whole.environment["float32_from"]


def test_one_evaluation_is_one_in_float32() -> None:
    assert settings(evaluations=1).coarse_evaluations(0) == 0
    assert settings(precision="float32").coarse_evaluations(0) == 0
    assert settings(evaluations=100).coarse_evaluations(0) == 85


def test_it_is_refused_for_an_optimiser_that_forgets() -> None:
    with pytest.raises(SettingsError, match="another than mixed for scipy"):
        settings(optimiser="scipy")


def test_it_is_refused_in_a_sentence_without_instructions_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    assert precision_refused("mixed", CPU) == (
        "precision must be float32 or float64 on this cpu: mixed needs instructions "
        "for bf16 (on a processor AVX-512 BF16 or AMX)."
    )
    assert precision_refused("float32", CPU) == ""


def test_a_search_carried_over_goes_on_as_if_nothing_had_happened() -> None:
    """Under the same objective the next point is the one that was due: the curvature
    that was learnt is kept, and read along the gradient found anew."""
    scales = torch.linspace(1.0, 50.0, 30).view(1, 1, 5, 6)

    def answer(search: Lbfgs) -> None:
        x = search.ask()
        tell([(search, float((scales * x.square()).sum()), 2 * scales * x)])

    search = Lbfgs(torch.ones(1, 1, 5, 6))
    told = 0
    while told < 7 or search.settled < told:  # a step's end, of which it keeps a state
        answer(search)
        told += 1
    due = search.ask()
    carried = Lbfgs(torch.ones(1, 1, 5, 6), state=search.carried())
    answer(carried)
    assert torch.allclose(carried.ask(), due, rtol=1e-5, atol=1e-6)
