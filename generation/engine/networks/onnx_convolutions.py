"""The convolutions of a network kept as ONNX, read as data: no onnx, no torch.

Of the protocol buffer only what names and holds weights is looked at, within limits: a
file that lies about a length, a shape or a type is refused before memory is asked for.
The numbers of messages and fields are those of onnx.proto.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generation.engine.errors import WeightsRefused

Array = NDArray[np.float32]

_GRAPH = 7  # of the model
_NODE, _TENSOR = 1, 5  # of the graph
_INPUT, _KIND = 1, 4  # of a node
_SIDE, _TYPE, _NAME, _VALUES, _ELSEWHERE = 1, 2, 8, 9, 14  # of a tensor
_FLOAT32 = 1

_MOST_FIELDS = 4096  # in one message; a VGG's graph has about a hundred
_LONGEST_NAME = 512
_MOST_SIDES = 4
_FIXED = {1: 8, 5: 4}  # bytes of the two wire types without a length

Field = tuple[int, "int | memoryview"]


def convolutions_of(
    model: bytes | memoryview, shapes: Sequence[tuple[int, int]]
) -> list[tuple[Array, Array]]:
    """The weights and biases of a model's 3 x 3 convolutions, in the graph's order.

    `shapes`: the (inputs, outputs) that each convolution must have; a weight has the
    shape (outputs, inputs, 3, 3), a bias (outputs,). They are views of `model`.
    Raises `WeightsRefused`.
    """
    graphs = _messages(memoryview(model), _GRAPH)
    if len(graphs) != 1:
        raise _refused("it holds no graph")
    nodes = [list(_fields(each)) for each in _messages(graphs[0], _NODE)]
    found = [each for each in nodes if _texts(each, _KIND) == ["Conv"]]
    if len(found) != len(shapes):
        raise _refused(f"it has {len(found)} convolutions instead of {len(shapes)}")
    tensors: dict[str, list[Field]] = {}
    for message in _messages(graphs[0], _TENSOR):
        tensor = list(_fields(message))
        for name in _texts(tensor, _NAME):
            tensors[name] = tensor
    pairs = []
    for node, (inputs, outputs) in zip(found, shapes, strict=True):
        names = _texts(node, _INPUT)
        if len(names) != 3:
            raise _refused("a convolution has no weight or no bias")
        weight, bias = (tensors.get(name, []) for name in names[1:])
        pairs.append(
            (
                _values(weight, names[1], (outputs, inputs, 3, 3)),
                _values(bias, names[2], (outputs,)),
            )
        )
    return pairs


def _values(tensor: list[Field], name: str, shape: tuple[int, ...]) -> Array:
    sides: list[int] = []
    for number, value in tensor:
        if number == _SIDE:
            sides += [value] if isinstance(value, int) else _packed(value)
        if len(sides) > _MOST_SIDES:
            raise _refused(f"{name!r} has more than {_MOST_SIDES} dimensions")
    if tuple(sides) != shape:
        raise _refused(f"{name!r} has the shape {tuple(sides)} instead of {shape}")
    if [value for number, value in tensor if number == _TYPE] != [_FLOAT32]:
        raise _refused(f"{name!r} is not float32")
    held = [value for number, value in tensor if number == _VALUES]
    elsewhere = any(value for number, value in tensor if number == _ELSEWHERE)
    if len(held) != 1 or isinstance(held[0], int) or elsewhere:
        raise _refused(f"{name!r} does not hold its values as bytes")
    if len(held[0]) != 4 * math.prod(shape):
        raise _refused(f"{name!r} holds {len(held[0])} bytes, not 4 for every value")
    array: Array = np.frombuffer(held[0], "<f4").reshape(shape)
    if not np.isfinite(array).all():
        raise _refused(f"the values of {name!r} are not all finite")
    return array


def _messages(data: memoryview, number: int) -> list[memoryview]:
    found = []
    for each, value in _fields(data):
        if each == number:
            if isinstance(value, int):
                raise _refused("a message is a number")
            found.append(value)
    return found


def _texts(message: list[Field], number: int) -> list[str]:
    texts = []
    for each, value in message:
        if each != number:
            continue
        if isinstance(value, int) or len(value) > _LONGEST_NAME:
            raise _refused("a name is a number or too long")
        texts.append(bytes(value).decode("utf-8", "replace"))
    return texts


def _fields(data: memoryview) -> Iterator[Field]:
    """A message's fields by number: an int for a varint, else its bytes, uncopied."""
    at = count = 0
    while at < len(data):
        count += 1
        if count > _MOST_FIELDS:
            raise _refused(f"a message has more than {_MOST_FIELDS} fields")
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind == 2:
            size, at = _varint(data, at)
        elif kind in _FIXED:
            size = _FIXED[kind]
        else:
            raise _refused(f"it has a field of the unknown kind {kind}")
        if size > len(data) - at:
            raise _refused("it ends before a field does")
        yield key >> 3, data[at : at + size]
        at += size


def _packed(data: memoryview) -> list[int]:
    values: list[int] = []
    at = 0
    while at < len(data) and len(values) <= _MOST_SIDES:
        value, at = _varint(data, at)
        values.append(value)
    return values


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A whole number of seven bits a byte, the lowest first, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at == len(data):
            raise _refused("it ends inside a number")
        byte: Any = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise _refused("a number is longer than ten bytes")


def _refused(what: str) -> WeightsRefused:
    return WeightsRefused(f"This is not the expected ONNX model: {what}.")
