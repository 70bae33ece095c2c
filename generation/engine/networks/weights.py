"""The networks' weights: torchvision's, seeded random ones, or a file's.

torch is imported inside the functions, so that naming weights costs nothing.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import socket
import tempfile
import threading
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generation.engine.errors import WeightsMissing, WeightsRefused
from generation.engine.networks.architectures import convolutions

if TYPE_CHECKING:
    from torch import Tensor

StateDict = dict[str, "Tensor"]

# That of IMAGENET1K_FEATURES (the original Caffe training, its channels exchanged),
# torchvision's usual standardisation, and that of Caffe itself.
INPUTS = ("features", "v1", "caffe-bgr")

# Published files by the first digits of their sha256, as their names have them, and
# the input that they expect: IMAGENET1K_V1 of both networks (torchvision), and Caffe's
# networks (jcjohnson/pytorch-vgg). Shapes alone cannot tell them apart.
PUBLISHED_FILES = {
    "397923af": ("torchvision's IMAGENET1K_V1 of VGG-16", "v1"),
    "dcbb9e9d": ("torchvision's IMAGENET1K_V1 of VGG-19", "v1"),
    "00b39a1b": ("Caffe's VGG-16", "caffe-bgr"),
    "d01eb7cb": ("Caffe's VGG-19", "caffe-bgr"),
}

# Together they stay under ten seconds on a machine without a network.
_PROBE_SECONDS = 6.0
_STALL_SECONDS = 30.0


def is_random(spec: str) -> bool:
    """Whether a weights name stands for seeded random weights."""
    return spec.startswith("random:")


def expects(spec: str) -> str:
    """The input that weights expect, one of `INPUTS`."""
    if spec.endswith(":caffe-bgr"):
        return "caffe-bgr"
    return "v1" if spec.endswith("v1") else "features"


def published_input(spec: str) -> tuple[str, str] | None:
    """What file a name `file:SHA256…` is of and the input that it expects, where that
    is a published one which does not expect that of IMAGENET1K_FEATURES."""
    kind, _, rest = spec.partition(":")
    return PUBLISHED_FILES.get(rest[:8]) if kind == "file" else None


def named_with_input(spec: str) -> tuple[str, str]:
    """A name `file:SHA256` with the input that its file is known to expect, and a
    sentence that says so; the same name and no sentence for any other file."""
    if (known := published_input(spec)) is None or spec.count(":") > 1:
        return spec, ""
    what, expected = known
    return f"{spec}:{expected}", (
        f"The file is {what}, whose input is not that of IMAGENET1K_FEATURES: "
        f"its name ends in :{expected}."
    )


def describe(spec: str) -> str:
    """A weights name in words for a person."""
    kind, _, rest = spec.partition(":")
    if kind == "random":
        return f"random weights, seed {rest} (not trained)"
    if kind == "file":
        return f"a weights file, sha256 {rest[:12]}…"
    if kind == "imagenet-v1":
        return "torchvision's own ImageNet training (IMAGENET1K_V1)"
    return "ImageNet weights of the original VGG training (IMAGENET1K_FEATURES)"


def state_dict(spec: str, *, network: str, folder: Path | None) -> StateDict:
    """The convolutions' weights (float32, torchvision's keys) that `spec` names.

    `imagenet` and `imagenet-v1` come from torchvision's loader, its cache or a
    download; `random:SEED` is what torchvision's constructor draws after
    `torch.manual_seed(SEED)`; `file:SHA256` lies in `folder`.
    Raises `WeightsMissing` and `WeightsRefused`.
    """
    kind, _, rest = spec.partition(":")
    if kind == "random":
        return _random(network, int(rest))
    if kind == "file":
        sha256 = rest.partition(":")[0]
        if folder is None:
            raise WeightsMissing(
                f"The weights file with the sha256 {sha256} is not at hand: "
                "name it by `--weights FILE`."
            )
        if not (path := folder / f"{sha256}.pth").is_file():
            raise WeightsMissing(
                f"The weights file {sha256[:12]}… is not on this machine. "
                "Add it with `manage.py weights add FILE`."
            )
        if _file_sha256(path) != sha256:
            raise WeightsRefused(
                f"The weights file {path.name} is not what its name says. "
                "Add it again with `manage.py weights add FILE`."
            )
        return _checked(_read(path), network)
    return _checked(_imagenet(_torchvision_weights(kind, network), folder), network)


def imagenet_at_hand(*, network: str = "vgg16", try_download: bool) -> bool:
    """Whether the ImageNet weights are here, downloading them if asked to.

    They are `imagenet` for VGG-16 and `imagenet-v1` for VGG-19. Answers within ten
    seconds on a machine without a network.
    """
    kind = "imagenet" if network == "vgg16" else "imagenet-v1"
    weights = _torchvision_weights(kind, network)
    if not try_download:
        return _cached(weights).is_file()
    try:
        _imagenet(weights, None)
    except WeightsMissing:
        return False
    return True


def open_file(path: Path) -> tuple[str, str, StateDict]:
    """A VGG state dict from a path: its name `file:SHA256`, its network, itself.

    Raises `WeightsRefused`.
    """
    state = _read(path)
    _refuse_wrapped(state)
    deepest = {"features.34.weight", "conv5_4.weight"}
    is_vgg19 = not deepest.isdisjoint(state)
    network = "vgg19" if is_vgg19 else "vgg16"
    return f"file:{_file_sha256(path)}", network, _checked(state, network)


def add_file(path: Path, folder: Path) -> str:
    """Check a VGG state dict and keep it in `folder`; its name, `file:SHA256`.

    `named_with_input` tells which input it expects. Raises `WeightsRefused` when it is
    anything else.
    """
    spec, _, _ = open_file(path)
    folder.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as target, path.open("rb") as source:
            while block := source.read(1 << 20):
                target.write(block)
            target.flush()
            os.fsync(target.fileno())
        os.replace(temporary, folder / f"{spec[5:]}.pth")
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return spec


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path) -> Any:
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


def _checked(state: Any, network: str) -> StateDict:
    """The convolutions of a state dict, every one of the right shape. They may be
    named as torchvision does or, as in Gatys's own file, by their layers."""
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


def _random(network: str, seed: int) -> StateDict:
    """What torchvision's constructor draws, without its 123 million dense weights.

    The constructor draws every module's default first and the Kaiming weights
    (normal, fan-out) after them, so the defaults are drawn and thrown away.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    scratch = torch.empty(1 << 20)
    rows = convolutions(network)
    dense = [(512 * 7 * 7, 4096), (4096, 4096), (4096, 1000)]
    defaults = [(9 * inputs * outputs, outputs) for _, _, inputs, outputs in rows]
    for pair in defaults + [(i * o, o) for i, o in dense]:
        for count in pair:
            for drawn in range(0, count, scratch.numel()):
                scratch[: count - drawn].uniform_(generator=generator)
    state: StateDict = {}
    for _, key, inputs, outputs in rows:
        weight = torch.empty(outputs, inputs, 3, 3)
        torch.nn.init.kaiming_normal_(
            weight, mode="fan_out", nonlinearity="relu", generator=generator
        )
        state[f"{key}.weight"] = weight
        state[f"{key}.bias"] = torch.zeros(outputs)
    return state


def _torchvision_weights(kind: str, network: str) -> Any:
    from torchvision.models import VGG16_Weights, VGG19_Weights

    if kind == "imagenet":
        return VGG16_Weights.IMAGENET1K_FEATURES
    weights = VGG16_Weights if network == "vgg16" else VGG19_Weights
    return weights.IMAGENET1K_V1


def _cached(weights: Any) -> Path:
    import torch

    name = weights.url.rsplit("/", 1)[1]
    return Path(torch.hub.get_dir()) / "checkpoints" / name


def _imagenet(weights: Any, folder: Path | None) -> StateDict:
    cached = _cached(weights)
    # The command line has no folder of weights.
    file = "Name" if folder is None else "Add"
    by = "`--weights FILE`" if folder is None else "`manage.py weights add FILE`"
    remedy = f"{file} a file by {by}, or connect this machine to the network once."
    if not cached.is_file() and (reason := _unreachable(weights.url)):
        raise WeightsMissing(
            f"The ImageNet weights are not on this machine ({reason}). {remedy}"
        )
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_STALL_SECONDS)
    try:
        state: StateDict = weights.get_state_dict(progress=True, check_hash=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        if cached.is_file():
            remedy = f"Remove {cached}, which is damaged, to have it downloaded again."
        raise WeightsMissing(
            f"The ImageNet weights could not be loaded ({error}). {remedy}"
        ) from error
    finally:
        socket.setdefaulttimeout(before)
    return state


def _unreachable(url: str) -> str:
    """Why `url` cannot be had, or nothing. Looking a name up has no time limit of
    its own, so it happens in a thread that may be left behind."""
    answer = ["no answer from the network"]

    def probe() -> None:
        request = urllib.request.Request(url, method="HEAD")  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=_PROBE_SECONDS):  # noqa: S310
                answer[0] = ""
        except (OSError, ValueError) as error:
            answer[0] = str(getattr(error, "reason", error))

    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(_PROBE_SECONDS)
    return answer[0]
