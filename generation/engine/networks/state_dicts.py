"""Files of weights: read safely, checked tensor by tensor, named by their values.

torch is imported inside the functions, so that naming weights costs nothing.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generation.engine.errors import WeightsRefused
from generation.engine.networks.architectures import convolutions

if TYPE_CHECKING:
    from torch import Tensor

StateDict = dict[str, "Tensor"]


def values_sha256(state: StateDict, network: str) -> str:
    """The sha256 of the convolutions' float32 values, in the network's order.

    Two files with the same values have it in common, whatever program wrote them.
    """
    digest = hashlib.sha256()
    for _, key, _, _ in convolutions(network):
        for part in ("weight", "bias"):
            digest.update(state[f"{key}.{part}"].float().contiguous().numpy().data)
    return digest.hexdigest()


def open_file(path: Path) -> tuple[str, str, StateDict]:
    """A VGG state dict from a path: its name `file:SHA256`, its network, itself.

    Raises `WeightsRefused`.
    """
    state = read(path)
    _refuse_wrapped(state)
    deepest = {"features.34.weight", "conv5_4.weight"}
    is_vgg19 = not deepest.isdisjoint(state)
    network = "vgg19" if is_vgg19 else "vgg16"
    return f"file:{file_sha256(path)}", network, checked(state, network)


def file_sha256(path: Path) -> str:
    """The sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(path: Path) -> Any:
    """What `torch.save` wrote into a file, none of it run.

    Raises `WeightsRefused`.
    """
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsRefused(f"There is no file {path.name}.") from None
    except Exception as error:  # unpickling broken data raises anything
        raise WeightsRefused(
            f"{path.name} is not a file of weights that torch can safely read: save "
            "model.state_dict() by torch.save, not the model itself."
        ) from error


def _refuse_wrapped(state: Any) -> None:
    """Refuse what holds a state dict without being one, and say how to get at it.

    Raises `WeightsRefused`.
    """
    import torch

    if not isinstance(state, dict):
        raise WeightsRefused(
            f"The file holds a {type(state).__name__}, not a state dict of named "
            "tensors: save model.state_dict()."
        )
    names = [name for name in state if isinstance(name, str)]
    for name in names:
        if isinstance(state[name], dict):
            raise WeightsRefused(
                f"The file holds a state dict among other things, as {name!r}: save "
                f"that alone, torch.save(torch.load(FILE)[{name!r}], NEW)."
            )
    layer, key, _, _ = convolutions("vgg16")[0]
    for first in (f"{key}.weight", f"{layer}.weight"):
        for name in names:
            if name.endswith(f".{first}") and isinstance(state[name], torch.Tensor):
                prefix = name.removesuffix(first)
                raise WeightsRefused(
                    f"Its names begin with {prefix!r}, as DataParallel and wrapped "
                    "models write them: save the state dict with "
                    f"name.removeprefix({prefix!r}) for every name."
                )


def _refuse_odd_numbers(tensor: Tensor, name: str) -> None:
    """Refuse a tensor whose numbers cannot be taken as they are.

    Raises `WeightsRefused`, with how to save it.
    """
    import torch

    floats = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
    if tensor.is_quantized:
        odd, remedy = "quantised", "call .dequantize() on every tensor"
    elif tensor.layout is not torch.strided:
        odd, remedy = "sparse", "call .to_dense() on every tensor"
    elif tensor.is_meta:
        odd, remedy = "without values (on the meta device)", "load them"
    elif tensor.dtype not in floats:
        kind = str(tensor.dtype).removeprefix("torch.")
        odd, remedy = f"of type {kind}", "bring the network's own float32 weights"
    else:
        return
    raise WeightsRefused(f"The weights in {name} are {odd}: {remedy} before saving.")


def checked(state: Any, network: str) -> StateDict:
    """The convolutions of a state dict, float32, each of the right shape and finite.

    They may be named as torchvision does or, as in Gatys's own file, by their layers.
    Raises `WeightsRefused`.
    """
    import torch

    kept: StateDict = {}
    for layer, key, inputs, outputs in convolutions(network):
        for part, shape in (
            ("weight", (outputs, inputs, 3, 3)),
            ("bias", (outputs,)),
        ):
            name = f"{key}.{part}"
            tensor = None
            if isinstance(state, dict):
                tensor = state.get(name, state.get(f"{layer}.{part}"))
            if not isinstance(tensor, torch.Tensor) or tuple(tensor.shape) != shape:
                raise WeightsRefused(
                    f"These are not the weights of a {network}: {name} ({layer}) "
                    f"should be a tensor of shape {shape}."
                )
            _refuse_odd_numbers(tensor, name)
            plain = tensor.detach().float()
            if not bool(torch.isfinite(plain).all()):
                raise WeightsRefused(f"The weights in {name} are not all finite.")
            kept[name] = plain
    return kept
