from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from survey.design import random_order


@given(st.lists(st.integers(), unique=True, max_size=50), st.integers(0, 2**62))
def test_an_order_is_a_permutation_that_its_seed_alone_decides(
    stimuli: list[int], seed: int
) -> None:
    order = random_order(stimuli, seed=seed)
    assert sorted(order) == sorted(stimuli)
    assert order == random_order(stimuli, seed=seed)


def test_every_stimulus_comes_first_about_equally_often() -> None:
    draws = random.Random(1)
    counts = dict.fromkeys("abcd", 0)
    for _ in range(4000):
        counts[random_order("abcd", seed=draws.getrandbits(62))[0]] += 1
    # Binomial(4000, 1/4): mean 1000, SD 27.4; five SD keep the seeded draw honest.
    assert all(abs(count - 1000) < 137 for count in counts.values())
