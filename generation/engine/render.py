"""One picture painted: settings and two pictures in, pixels and their story out."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from generation.engine.errors import Cancelled, NotFinite
from generation.engine.images import pixel_sha256
from generation.engine.losses import content_loss, gram, style_loss, tv_loss
from generation.engine.network import Network
from generation.engine.objectives import OBJECTIVES
from generation.engine.optimisers import Lbfgs
from generation.engine.settings import ENGINE_VERSION, RenderSettings
from generation.engine.weights import is_random, state_dict

TERMS = ("total", "content", "style", "tv")


@dataclass(frozen=True)
class Progress:
    """One evaluation: `total` is weighted, the three terms are not (Eq. 1)."""

    evaluations: int
    budget: int
    total: float
    content: float
    style: float
    tv: float
    seconds: float


@dataclass(frozen=True)
class Painted:
    """A finished render. `image` is the best iterate, clipped and rounded."""

    image: Image.Image
    pixel_sha256: str
    evaluations: int
    seconds: float
    curve: list[dict[str, float]]
    environment: dict[str, Any]
    notes: tuple[str, ...]


def render(
    settings: RenderSettings,
    content: Image.Image,
    style: Image.Image,
    *,
    device: str = "cpu",
    weights_folder: Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    network: Network | None = None,
) -> Painted:
    """Paint one picture; see `Painter.render`."""
    with Painter(device=device, weights_folder=weights_folder) as painter:
        return painter.render(
            settings,
            content,
            style,
            on_progress=on_progress,
            should_stop=should_stop,
            network=network,
        )


class Painter:
    """Renders that share networks and targets, on one device.

    Content features and style Grams are computed once per picture, size and layer
    and kept until the painter is closed.
    """

    def __init__(
        self, *, device: str = "cpu", weights_folder: Path | None = None
    ) -> None:
        self.device = torch.device(device)
        self.weights_folder = weights_folder
        self._networks: dict[tuple[str, ...], Network] = {}
        self._targets: dict[tuple[object, ...], Tensor] = {}

    def __enter__(self) -> Painter:
        return self

    def __exit__(self, *_: object) -> None:
        self._networks.clear()
        self._targets.clear()

    def render(
        self,
        settings: RenderSettings,
        content: Image.Image,
        style: Image.Image,
        *,
        content_key: str | None = None,
        style_key: str | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
        network: Network | None = None,
    ) -> Painted:
        """Paint one picture.

        `content` and `style` are RGB pictures, resized to the settings' square when
        they have another size. The keys name the pictures (their sha256, say); left
        out, the pixels name them. `should_stop` is asked before every evaluation.
        `curve` and `Progress` hold L_content, L_style (Eq. 6) and L_TV before alpha,
        beta and the TV weight, and their weighted total.

        Raises `Cancelled`, `NotFinite`, `WeightsMissing` and `WeightsRefused`.
        """
        began = time.perf_counter()
        network = network or self._network(settings)
        problem = Problem(
            settings,
            network,
            contents=self._content_targets(settings, network, content, content_key),
            grams=self._style_targets(settings, network, style, style_key),
        )
        minimiser = Lbfgs(self._start(settings, content))
        curve: list[dict[str, float]] = []
        best, best_loss = minimiser.ask(), math.inf
        while len(curve) < settings.evaluations and not minimiser.finished:
            if should_stop is not None and should_stop():
                raise Cancelled("The render was cancelled.")
            point = minimiser.ask()
            terms, gradient = problem.evaluate(point)
            values = dict(zip(TERMS, terms[0].tolist(), strict=True))
            if values["total"] < best_loss:
                best, best_loss = point.clone(), values["total"]
            curve.append({"evaluation": len(curve) + 1, **values})
            if on_progress is not None:
                on_progress(
                    Progress(
                        evaluations=len(curve),
                        budget=settings.evaluations,
                        seconds=time.perf_counter() - began,
                        **values,
                    )
                )
            minimiser.tell(values["total"], gradient)
        if not math.isfinite(best_loss):
            raise NotFinite(
                "The objective is not finite for these settings: lower alpha, beta "
                "or the TV weight."
            )
        image = to_image(best)
        return Painted(
            image=image,
            pixel_sha256=pixel_sha256(image),
            evaluations=len(curve),
            seconds=time.perf_counter() - began,
            curve=curve,
            environment=environment(self.device),
            notes=_notes(settings, minimiser.finished),
        )

    def _network(self, settings: RenderSettings) -> Network:
        key = (settings.network, settings.weights, settings.pooling)
        if key not in self._networks:
            state = state_dict(
                settings.weights, network=settings.network, folder=self.weights_folder
            )
            self._networks[key] = Network(
                state,
                name=settings.network,
                pooling=settings.pooling,
                device=self.device,
            )
        return self._networks[key]

    def _start(self, settings: RenderSettings, content: Image.Image) -> Tensor:
        if settings.start == "content":
            return to_tensor(content, settings.size).to(self.device)
        shape = (1, 3, settings.size, settings.size)
        generator = torch.Generator().manual_seed(settings.seed)
        return (torch.rand(shape, generator=generator) * 255).to(self.device)

    def _content_targets(
        self,
        settings: RenderSettings,
        network: Network,
        picture: Image.Image,
        key: str | None,
    ) -> dict[str, Tensor]:
        layers = [layer for layer, _ in settings.content_layers if settings.alpha]
        return self._read("content", settings, network, picture, key, layers)

    def _style_targets(
        self,
        settings: RenderSettings,
        network: Network,
        picture: Image.Image,
        key: str | None,
    ) -> dict[str, Tensor]:
        layers = [layer for layer, _ in settings.style_layers if settings.beta]
        return self._read("style", settings, network, picture, key, layers)

    def _read(
        self,
        role: str,
        settings: RenderSettings,
        network: Network,
        picture: Image.Image,
        key: str | None,
        layers: list[str],
    ) -> dict[str, Tensor]:
        objective = OBJECTIVES[settings.objective]
        key = key or pixel_sha256(picture)
        names = {
            layer: (role, key, id(network), settings.size, settings.objective, layer)
            for layer in layers
        }
        missing = [layer for layer in layers if names[layer] not in self._targets]
        if missing:
            with torch.no_grad():
                pixels = to_tensor(picture, settings.size).to(self.device)
                read = network.features(pixels, missing)
                for layer, features in read.items():
                    self._targets[names[layer]] = (
                        features if role == "content" else gram(features, objective)
                    )
        return {layer: self._targets[names[layer]] for layer in layers}


class Problem:
    """The objective of one render as a function of pictures."""

    def __init__(
        self,
        settings: RenderSettings,
        network: Network,
        *,
        contents: Mapping[str, Tensor],
        grams: Mapping[str, Tensor],
    ) -> None:
        self.settings = settings
        self.objective = OBJECTIVES[settings.objective]
        self.network = network
        self.contents = contents
        self.grams = grams

    def terms(self, pictures: Tensor) -> Tensor:
        """Total, content, style and TV (Eq. 1, 4, 6, 7), shape (batch, 4).

        `pictures`: (batch, 3, height, width), RGB, 0-255.
        """
        settings, objective = self.settings, self.objective
        read = self.network.features(pictures, {*self.contents, *self.grams})
        pixels = pictures.shape[2] * pictures.shape[3]
        zero = pictures.new_zeros(len(pictures))
        content, style, tv = zero, zero, zero
        for layer, weight in settings.content_layers:
            if layer in self.contents:
                target = self.contents[layer]
                content = content + weight * content_loss(
                    read[layer], target, objective
                )
        for layer, weight in settings.style_layers:
            if layer in self.grams:
                target = self.grams[layer]
                style = style + weight * style_loss(
                    read[layer], target, objective, pixels
                )
        if settings.tv_weight:
            tv = tv_loss(pictures, objective)
        total = settings.alpha * content + settings.beta * style
        return torch.stack([total + settings.tv_weight * tv, content, style, tv], 1)

    def evaluate(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """The terms and the gradient of the total with respect to the pictures."""
        pictures = pictures.detach().requires_grad_()
        terms = self.terms(pictures)
        (gradient,) = torch.autograd.grad(terms[:, 0].sum(), pictures)
        return terms.detach(), gradient


def to_tensor(picture: Image.Image, size: int) -> Tensor:
    """A picture as (1, 3, size, size) float32, 0-255; resized only if it must be."""
    if picture.size != (size, size):
        picture = picture.resize((size, size), Image.Resampling.LANCZOS)
    flat = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    return flat.view(1, size, size, 3).permute(0, 3, 1, 2).float().contiguous()


def to_image(pixels: Tensor) -> Image.Image:
    """(1, 3, height, width) as a picture: clipped to 0-255, rounded half to even."""
    values = pixels[0].detach().clamp(0, 255).round().to(torch.uint8)
    array = values.permute(1, 2, 0).contiguous().cpu()
    height, width = array.shape[:2]
    return Image.frombytes("RGB", (width, height), bytes(array.numpy().data))


def environment(device: torch.device) -> dict[str, Any]:
    """What the bits of a render depend on besides the request."""
    on_gpu = device.type == "cuda"
    return {
        "engine": ENGINE_VERSION,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if on_gpu else device.type,
        "cuda": torch.version.cuda if on_gpu else None,
        "threads": torch.get_num_threads(),
        "cpu": _cpu(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _notes(settings: RenderSettings, finished: str) -> tuple[str, ...]:
    notes = []
    if is_random(settings.weights):
        notes.append("Painted with random weights, which no picture has trained.")
    if finished:
        notes.append(f"The optimiser ended before its budget: {finished}.")
    return tuple(notes)
