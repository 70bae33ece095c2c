from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from generation.engine.errors import WeightsRefused
from generation.engine.networks.onnx_convolutions import convolutions_of
from tests.engine.wheels import field, model, node, tensor, varint

SHAPES = [(3, 4), (4, 2)]


def pairs() -> list[tuple[Any, Any]]:
    random = np.random.default_rng(0)
    return [
        (
            random.normal(size=(outputs, inputs, 3, 3)).astype("<f4"),
            random.normal(size=outputs).astype("<f4"),
        )
        for inputs, outputs in SHAPES
    ]


def test_it_reads_weights_and_biases_in_the_graphs_order() -> None:
    read = convolutions_of(model(pairs()), SHAPES)
    for (weight, bias), (expected_weight, expected_bias) in zip(
        read, pairs(), strict=True
    ):
        assert np.array_equal(weight, expected_weight)
        assert np.array_equal(bias, expected_bias)


def test_a_file_cut_anywhere_is_refused() -> None:
    whole = model(pairs())
    for end in range(len(whole)):
        with pytest.raises(WeightsRefused, match="not the expected ONNX model"):
            convolutions_of(whole[:end], SHAPES)


def test_a_file_with_altered_bytes_is_read_or_refused_and_nothing_else() -> None:
    whole = model(pairs())
    random = np.random.default_rng(1)
    refused = 0
    for _ in range(1500):
        altered = bytearray(whole)
        for at in random.integers(0, len(whole), 3):
            altered[at] = random.integers(0, 256)
        try:
            convolutions_of(bytes(altered), SHAPES)
        except WeightsRefused:
            refused += 1
    assert 0 < refused < 1500


def with_first(changed: bytes) -> bytes:
    """The model with another tensor as the first layer's weight."""
    (_, b0), (w1, b1) = pairs()
    others = [tensor("b0", b0), tensor("w1", w1), tensor("b1", b1)]
    return model(pairs(), [changed, *others])


def lies() -> dict[str, tuple[bytes, str]]:
    weight = pairs()[0][0]
    infinite = weight.copy()
    infinite[0, 0, 0, 0] = np.inf
    named = field(2, 1) + field(8, "w0")
    sides = b"".join(field(1, side) for side in weight.shape)
    return {
        "nan": (with_first(tensor("w0", weight * np.float32("nan"))), "not all finite"),
        "infinite": (with_first(tensor("w0", infinite)), "not all finite"),
        "double": (with_first(tensor("w0", weight, kind=11)), "not float32"),
        "shape": (with_first(tensor("w0", weight[:, :, :2])), "has the shape"),
        "short": (with_first(sides + named + field(9, b"1234")), "holds 4 bytes"),
        "no values": (with_first(sides + named), "does not hold its values"),
        "elsewhere": (
            with_first(tensor("w0", weight) + field(14, 1)),
            "does not hold its values",
        ),
        "sides": (with_first(named + field(1, 3) * 9), "more than 4 dimensions"),
        "huge": (
            with_first(named + field(1, 1 << 62) * 4 + field(9, b"")),
            "has the shape",
        ),
        "missing": (with_first(tensor("other", weight)), "has the shape"),
        "no graph": (field(1, 7), "no graph"),
        "fewer": (model(pairs()[:1]), "1 convolutions instead of 2"),
        "no bias": (field(7, field(1, node("Conv", "x", "w0")) * 2), "or no bias"),
        "fields": (field(1, 7) * 5000, "more than 4096 fields"),
        "number": (b"\x80" * 11, "longer than ten bytes"),
        "length": (varint(7 << 3 | 2) + varint(1 << 60) + b"x", "before a field does"),
        "kind": (varint(7 << 3 | 3), "unknown kind 3"),
        "text": (b"<html><body>Please log in</body></html>", "not the expected"),
        "nothing": (b"", "no graph"),
    }


@pytest.mark.parametrize("kind", lies())
def test_what_a_file_lies_about_is_said(kind: str) -> None:
    content, sentence = lies()[kind]
    with pytest.raises(WeightsRefused, match=sentence):
        convolutions_of(content, SHAPES)
