"""Pictures painted: settings and two pictures in, pixels and their story out."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from generation.engine import memory
from generation.engine.balance import Ends, alpha_of, ends_of
from generation.engine.checkpoint import read_checkpoint, write_checkpoint
from generation.engine.devices import Evaluation, precision_refused, upload
from generation.engine.environment import environment
from generation.engine.errors import (
    Cancelled,
    EngineError,
    ImageRefused,
    NotFinite,
    SettingsError,
)
from generation.engine.judged import SEEN, warning
from generation.engine.networks.state_dicts import StateDict
from generation.engine.networks.vgg import Network
from generation.engine.networks.weights import expects, is_random, state_dict
from generation.engine.optimisers import search
from generation.engine.optimisers.minimiser import Minimiser, Once, tell
from generation.engine.pictures.canvas import (
    canvas_size,
    grey,
    prepared,
    recoloured,
    resized,
    seen,
    start_pixels,
    style_size,
    to_image,
    to_tensor,
)
from generation.engine.pictures.files import pixel_sha256
from generation.engine.request import Painted, Progress, Request
from generation.engine.settings import RenderSettings

DTYPES = {"float64": torch.float64, "bf16": torch.bfloat16}
TARGET_BYTES = 512 * 2**20
# About how often the pictures of a free search are judged as they would be seen.
LOOKS = 12


def render(
    settings: RenderSettings,
    content: Image.Image,
    style: Image.Image,
    *,
    device: str = "cpu",
    weights_folder: Path | None = None,
    **options: Any,
) -> Painted:
    """Paint one picture; `options` are those of `Painter.render`."""
    with Painter(device=device, weights_folder=weights_folder) as painter:
        return painter.render(settings, content, style, **options)


class Painter:
    """Renders that share networks and targets, on one device.

    Content features and style Grams are computed once per picture, size and layer
    and kept, the most recent half gigabyte of them, until the painter is closed.
    """

    def __init__(
        self, *, device: str = "cpu", weights_folder: Path | None = None
    ) -> None:
        self.device = torch.device(device)
        self.weights_folder = weights_folder
        # How many renders are under way at once.
        self.together = 64 if self.device.type == "cuda" else 1
        # Weights already read, by name; they need not be in the folder.
        self.states: dict[str, StateDict] = {}
        self._graphs_pool: Any = None
        # How many pictures of a kind are evaluated together, found out once.
        self._rooms: dict[tuple[Any, ...], int] = {}
        self._networks: dict[tuple[str, ...], Network] = {}
        self._targets: OrderedDict[tuple[object, ...], Tensor] = OrderedDict()

    def __enter__(self) -> Painter:
        return self

    def __exit__(self, *_: object) -> None:
        self._networks.clear()
        self._targets.clear()

    def empty_memory(self) -> None:
        """Keep no target any longer; networks stay, since loading one takes more."""
        self._targets.clear()
        memory.give_back(self.device)

    def render(
        self,
        settings: RenderSettings,
        content: Image.Image,
        style: Image.Image,
        *,
        content_key: str | None = None,
        style_key: str | None = None,
        start_picture: Image.Image | None = None,
        checkpoint: Path | None = None,
        checkpoint_seconds: float = 60.0,
        on_progress: Callable[[Progress], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
        network: Network | None = None,
    ) -> Painted:
        """Paint one picture.

        `content` and `style` are RGB pictures, resized unless they have the size
        already. The keys name the files they came from; they are recorded, while
        what is shared between renders is decided by pixels. `start_picture` belongs
        to the start `picture:SHA256`. `checkpoint` is a file written every
        `checkpoint_seconds` and taken up when it is there; whoever has stored the
        picture takes it away. `should_stop` is asked before every evaluation.
        `network` replaces the one that the settings name.

        Raises `Cancelled`, `CheckpointRefused`, `ImageRefused`, `NotFinite`,
        `SettingsError`, `WeightsMissing` and `WeightsRefused`.
        """
        request = Request(
            settings=settings,
            content=content,
            style=style,
            content_key=content_key,
            style_key=style_key,
            start_picture=start_picture,
            checkpoint=checkpoint,
            checkpoint_seconds=checkpoint_seconds,
        )
        painting = _Painting(self, request, network, on_progress, should_stop)
        for _ in self._paint([painting]):
            pass
        return painting.result()

    def render_many(
        self,
        requests: Sequence[Request],
        *,
        on_progress: Callable[[int, Progress], None] | None = None,
        should_stop: Callable[[int], bool] | None = None,
        network: Network | None = None,
    ) -> Iterator[tuple[int, Painted | EngineError]]:
        """Paint pictures; each one's index and result, or its refusal, as it ends.

        A CPU paints them one by one, so that none can change another's bits; a GPU
        evaluates together those of one shape, as many as its memory holds. The
        callbacks are told the picture's index.
        """
        together = self.together
        for first in range(0, len(requests), together):
            wave: dict[_Painting, int] = {}
            for index in range(first, min(first + together, len(requests))):
                told = None if on_progress is None else partial(on_progress, index)
                asked = None if should_stop is None else partial(should_stop, index)
                try:
                    painting = _Painting(self, requests[index], network, told, asked)
                except EngineError as refusal:
                    yield index, refusal
                else:
                    wave[painting] = index
            for painting in self._paint(list(wave)):
                yield wave[painting], painting.settled()

    def alpha_of_balance(
        self, settings: RenderSettings, content: Image.Image, style: Image.Image
    ) -> float:
        """The α that a balance of 1 comes to, β being 1; nothing is painted.

        Raises `SettingsError` where there is nothing to balance, `WeightsMissing` and
        `WeightsRefused`.
        """
        settings = replace(settings, balance=1.0, alpha=None, beta=1.0)
        network = self.network(settings)
        pair = prepared(settings, content, style)
        return alpha_of(settings, ends_of(settings, network, *pair, self.cell)) or 0.0

    def _paint(self, paintings: list[_Painting]) -> Iterator[_Painting]:
        """Drive paintings to their ends, evaluating together what can be; each one as
        it ends."""
        groups: dict[tuple[int, ...], _Group] = {}
        try:
            for painting in paintings:
                painting.begin()
            live = paintings
            while live:
                ended = [painting for painting in live if painting.stopped()]
                yield from ended
                live = [painting for painting in live if painting not in ended]
                groups = self._groups(live, groups)
                for group in groups.values():
                    group.step()
        finally:
            for painting in paintings:
                painting.close()

    def _groups(
        self, live: list[_Painting], before: dict[tuple[int, ...], _Group]
    ) -> dict[tuple[int, ...], _Group]:
        """The live paintings in groups, those of `before` that have not changed."""
        groups = {}
        for kind, alike in groupby(sorted(live, key=_kind), key=_kind):
            members = list(alike)
            if kind not in self._rooms:
                self._rooms[kind] = _room(members[0])
            room = self._rooms[kind]
            for first in range(0, len(members), room):
                some = members[first : first + room]
                key = tuple(id(painting.cell) for painting in some)
                groups[key] = before.get(key) or _Group(some, self._pool())
        return groups

    def _pool(self) -> Any:
        """Memory that all graphs of this painter take turns in."""
        if self.device.type == "cuda" and self._graphs_pool is None:
            self._graphs_pool = torch.cuda.graph_pool_handle()
        return self._graphs_pool

    def network(self, settings: RenderSettings, *, coarse: bool = False) -> Network:
        """The network that the settings name, loaded once.

        `coarse` is the one that `mixed` searches with first. Raises `SettingsError`
        where the device cannot compute in the precision, and what `state_dict` does.
        """
        if refusal := precision_refused(settings.precision, self.device):
            raise SettingsError("precision", refusal)
        precision = settings.precision
        if precision == "mixed":
            precision = "bf16" if coarse else "float32"
        key = (settings.network, settings.weights, settings.pooling, precision)
        if key not in self._networks:
            spec = settings.weights
            self._networks[key] = Network(
                self.states.get(spec)
                or state_dict(
                    spec, network=settings.network, folder=self.weights_folder
                ),
                name=settings.network,
                pooling=settings.pooling,
                expects=expects(spec),
                device=self.device,
                dtype=DTYPES.get(precision, torch.float32),
                tf32=precision == "tf32",
            )
        return self._networks[key]

    def cell(
        self,
        settings: RenderSettings,
        network: Network,
        content: Image.Image,
        style: Image.Image,
        side: int,
    ) -> tuple[Any, Tensor]:
        """The targets of a render whose side is `side`, computed or remembered, and
        the content's pixels."""
        filtered = settings.resample
        kept = resized(content, canvas_size(settings, content, side), filtered)
        read = resized(style, style_size(settings, style, side), filtered)
        targets = settings.how.targets(self._read, settings, network, kept, read)
        return targets, to_tensor(kept)

    def _read(
        self,
        kind: Hashable,
        network: Network,
        picture: Image.Image,
        layers: Sequence[str],
        means: tuple[float, float, float] | None,
        make: Callable[[Tensor], Tensor],
    ) -> dict[str, Tensor]:
        """What `make` made of a picture's features, computed or remembered."""
        kept = self._targets
        shared = kind, pixel_sha256(picture), network.identity, means
        missing = [layer for layer in layers if (*shared, layer) not in kept]
        if missing:
            pixels = upload(to_tensor(picture), network.device).to(network.term_dtype)
            with torch.no_grad(), network.arithmetic():
                read = network.features(pixels, missing, means)
                for layer, features in read.items():
                    kept[*shared, layer] = make(features)
        for layer in layers:
            kept.move_to_end((*shared, layer))
        targets = {layer: kept[*shared, layer] for layer in layers}
        while sum(target.nbytes for target in kept.values()) > TARGET_BYTES:
            kept.popitem(last=False)
        return targets


@dataclass(eq=False)
class _Painting:
    """One picture on its way: its level, its minimiser and what they came to."""

    painter: Painter
    request: Request
    given: Network | None
    on_progress: Callable[[Progress], None] | None
    should_stop: Callable[[], bool] | None
    error: EngineError | None = None
    level: int = 0
    level_first: int = 0
    coarse: bool = False  # whether the network at hand is the one `mixed` begins with
    fine_from: int = 0  # the first evaluation of the last level that is not coarse
    curve: list[dict[str, float | None]] = field(default_factory=list)
    best_loss: float = math.inf
    best_evaluation: int = 0
    batch: int = 1
    how: str = ""  # it was evaluated
    ends: Ends | None = None
    alpha: float | None = None

    def __post_init__(self) -> None:
        request = self.request
        self.began = self.saved = time.perf_counter()
        for role, picture in (("content", request.content), ("style", request.style)):
            if picture.mode != "RGB":
                raise ImageRefused(
                    f"The {role} picture is in mode {picture.mode}, not RGB: "
                    "open it with open_picture."
                )
        self.fine = self.given or self.painter.network(request.settings)
        self.network = self.fine
        self.content, self.style = prepared(
            request.settings, request.content, request.style
        )
        self.colours = seen(
            request.content, request.settings, request.settings.content_focus
        )
        self.digests = {
            "content": pixel_sha256(request.content),
            "style": pixel_sha256(request.style),
            "weights": self.fine.weights_sha256,
        }

    def begin(self) -> None:
        """Set the first level up, or the one a checkpoint left."""
        try:
            self._weigh()
            kept = read_checkpoint(
                self.request.checkpoint,
                self._identity(),
                self._environment(),
                self.network.device,
            )
            if kept is None:
                self._enter(0, None, coarse=True)
            else:
                self.curve, self.level_first = kept["curve"], kept["level_first"]
                self.best, self.best_loss = kept["best"], kept["best_loss"]
                self.last = kept["last"]
                self.best_evaluation = kept["best_evaluation"]
                self.began -= kept["seconds"]
                self.fine_from = kept["fine_from"]
                self._enter(
                    kept["level"], None, kept["minimiser"], coarse=kept["coarse"]
                )
        except EngineError as refusal:
            self.error = refusal

    def _weigh(self) -> None:
        """Measure the ends, and from them what the balance comes to."""
        settings = self.request.settings
        self.ends = ends_of(
            settings, self.network, self.content, self.style, self.painter.cell
        )
        self.alpha = alpha_of(settings, self.ends)

    def _enter(
        self,
        level: int,
        before: Tensor | None,
        state: dict[str, Any] | None = None,
        *,
        coarse: bool,
    ) -> None:
        """Begin a level, from the picture `before` or a minimiser's state; `coarse`
        lets it begin in the precision that `mixed` begins with, where there is any."""
        settings = self.request.settings
        if self.alpha is not None:
            settings = settings.with_alpha(self.alpha)
        self.level = level
        self.coarse = (
            coarse and self.given is None and settings.coarse_evaluations(level) > 0
        )
        self.network = (
            self.painter.network(settings, coarse=True) if self.coarse else self.fine
        )
        self.cell, content = self.painter.cell(
            settings.at_level(level),
            self.network,
            self.content,
            self.style,
            settings.level_size(level),
        )
        self.size = content.shape[3], content.shape[2]
        painted = settings.how.forward(settings, self.network, content, self.style)
        if painted is not None:
            start = upload(painted, self.network.device)
        elif before is None:
            start = upload(
                start_pixels(settings, content, self.style, self.request.start_picture),
                self.network.device,
            )
        else:
            start = functional.interpolate(
                before, content.shape[2:], mode="bicubic", align_corners=False
            )
        start = start.to(self.network.term_dtype)
        self.base = len(self.curve)
        self.minimiser: Minimiser = Once(start)
        if painted is None:
            evaluations = settings.level_evaluations(level)
            self.minimiser = search(start, settings, evaluations, state)

    def _identity(self) -> str:
        """What a checkpoint must have been written for."""
        digests = ",".join(self.digests.values())
        return f"{self.request.settings.digest()},{digests}"

    def _environment(self) -> dict[str, Any]:
        return environment(self.network.device)

    def stopped(self) -> bool:
        """Whether there is nothing more to evaluate; asks `should_stop`."""
        if self.error is None and self._spent():
            return True
        if self.error is None and self.should_stop is not None and self.should_stop():
            self.error = Cancelled("The render was cancelled.")
        return self.error is not None

    def _spent(self) -> bool:
        """Whether the level is done, or its coarse part."""
        settings = self.request.settings
        budget = (
            settings.coarse_evaluations(self.level)
            if self.coarse
            else settings.level_evaluations(self.level)
        )
        spent = len(self.curve) - self.level_first
        return spent >= budget or bool(self.minimiser.finished)

    def ask(self) -> Tensor:
        return self.minimiser.ask()

    def saw(self, values: list[float]) -> None:
        """Take the terms at the point that was asked for down."""
        settings = self.request.settings
        terms = dict(zip(("total", *settings.how.terms), values, strict=True))
        total = terms["total"]
        self.last = self.minimiser.ask()
        self.curve.append(
            {
                "evaluation": len(self.curve) + 1,
                "level": self.level + 1,
                **_finite(terms),
            }
        )
        if total < self.best_loss:
            self.best, self.best_loss = self.last.clone(), total
            self.best_evaluation = len(self.curve)
        if math.isfinite(total) and self._is_looked_at():
            self.curve[-1][SEEN] = self._worth(self._picture(self.last))["total"]
        if self.on_progress is not None:
            self.on_progress(
                Progress(
                    evaluations=len(self.curve),
                    budget=settings.evaluations,
                    total=total,
                    terms={name: terms[name] for name in settings.how.terms},
                    seconds=time.perf_counter() - self.began,
                    picture=partial(self._picture, self.last),
                )
            )

    def _is_looked_at(self) -> bool:
        """Whether the picture of the latest evaluation is judged as it would be seen:
        of a free search about `LOOKS` times, on the pyramid's finest level."""
        settings = self.request.settings
        if settings.range != "free" or self.coarse:
            return False
        evaluations = settings.level_evaluations(self.level)
        spent = len(self.curve) - self.level_first
        every = -(-evaluations // LOOKS)
        due = spent % every == 0 or spent == evaluations
        return due and self.level + 1 == settings.pyramid

    def settle(self) -> None:
        """Go to the next level when this one is done; write a checkpoint when due."""
        settings = self.request.settings
        if self._spent() and self._is_finite():
            if self.coarse:
                self._refine()
            elif self.level + 1 < settings.pyramid:
                self.close()
                self.best_loss, self.level_first = math.inf, len(self.curve)
                self._enter(self.level + 1, self.best, coarse=True)
        self._keep()

    def _refine(self) -> None:
        """Go on with the level in full precision, from what the search knows.

        Totals of two precisions are not compared: the best is that of the finer one.
        """
        self.close()
        self.best_loss, self.fine_from = math.inf, len(self.curve) + 1
        self._enter(self.level, self.best, self.minimiser.carried(), coarse=False)

    def _keep(self) -> None:
        path = self.request.checkpoint
        now = time.perf_counter()
        # What is spent has ended, or had no finite value from which to go on.
        if path is None or self._spent():
            return
        if now - self.saved < self.request.checkpoint_seconds:
            return
        self.saved = now
        write_checkpoint(
            path,
            self._identity(),
            self._environment(),
            {
                "level": self.level,
                "level_first": self.level_first,
                "coarse": self.coarse,
                "fine_from": self.fine_from,
                "curve": self.curve[: self.base + self.minimiser.settled],
                "best": self.best,
                "best_loss": self.best_loss,
                "best_evaluation": self.best_evaluation,
                "last": self.last,
                "minimiser": self.minimiser.state(),
                "seconds": now - self.began,
            },
        )

    def close(self) -> None:
        if hasattr(self, "minimiser"):
            self.minimiser.close()

    def _ended_early(self) -> str:
        """Why the search ended, other than by its budget."""
        return "" if isinstance(self.minimiser, Once) else self.minimiser.finished

    def _is_finite(self) -> bool:
        return math.isfinite(self.best_loss)

    def _picture(self, pixels: Tensor) -> Image.Image:
        settings = self.request.settings
        content = resized(self.colours, self.size, settings.resample)
        painted = recoloured(settings, pixels.detach().cpu(), to_tensor(content))
        return to_image(painted, settings.how.rounding(settings))

    def _judged(self, image: Image.Image) -> dict[str, dict[str, float | None]]:
        """The losses of the best iterate, and of the picture of 8 bits made of it."""
        best = self.curve[self.best_evaluation - 1]
        seen = self._worth(image)
        return {"search": {name: best[name] for name in seen}, "picture": seen}

    def _worth(self, image: Image.Image) -> dict[str, float | None]:
        """The total and every term of a picture of 8 bits."""
        settings, network = self.request.settings, self.network
        # Whose colours are the content's was searched for in grey.
        seen = grey(image) if settings.colour == "luminance" else image
        pixels = upload(to_tensor(seen), network.device).to(network.term_dtype)
        problem = settings.how.problem([self.cell], network)
        with torch.no_grad():
            values = problem.terms(pixels)[0].tolist()
        return _finite(dict(zip(("total", *settings.how.terms), values, strict=True)))

    def settled(self) -> Painted | EngineError:
        try:
            return self.result()
        except EngineError as refusal:
            return refusal

    def result(self) -> Painted:
        """The finished picture; raises why there is none."""
        if self.error is not None:
            raise self.error
        if not self._is_finite():
            raise NotFinite(
                "The objective is not finite for these settings: lower alpha, beta "
                "or the TV weight."
            )
        request = self.request
        image, last = self._picture(self.best), self._picture(self.last)
        losses = self._judged(image)
        shares = self.ends.shares(image) if self.ends else (None, None)
        keys = {"content_key": request.content_key, "style_key": request.style_key}
        return Painted(
            image=image,
            pixel_sha256=pixel_sha256(image),
            evaluations=len(self.curve),
            seconds=time.perf_counter() - self.began,
            curve=self.curve,
            environment=self._environment()
            | {"batch": self.batch, "evaluation": self.how}
            | ({"float32_from": self.fine_from} if self.fine_from else {}),
            notes=_notes(
                request, self._ended_early(), warning(request.settings, losses)
            ),
            last=last,
            best_evaluation=self.best_evaluation,
            alpha=self.alpha,
            style_share=shares[0],
            content_share=shares[1],
            digests=self.digests | {name: key for name, key in keys.items() if key},
            losses=losses,
        )


class _Group:
    """Paintings that are evaluated together."""

    def __init__(self, paintings: list[_Painting], pool: Any) -> None:
        self.paintings = paintings
        first = paintings[0]
        method = first.request.settings.how
        self.problem = method.problem([each.cell for each in paintings], first.network)
        self.evaluation = Evaluation(
            self.problem.evaluate,
            batch=len(paintings),
            like=paintings[0].ask(),
            pool=pool,
        )

    def step(self) -> None:
        """One evaluation of each, and the points that follow from it."""
        terms, gradients = self.evaluation([each.ask() for each in self.paintings])
        rows = terms.tolist()
        for painting, values in zip(self.paintings, rows, strict=True):
            painting.batch = max(painting.batch, len(rows))
            painting.how = self.evaluation.how
            painting.saw(values)
        tell(
            (painting.minimiser, values[0], gradient)
            for painting, values, gradient in zip(
                self.paintings, rows, gradients.split(1), strict=True
            )
        )
        for painting in self.paintings:
            painting.settle()


def _kind(painting: _Painting) -> tuple[Any, ...]:
    """What paintings that can be evaluated together have in common."""
    settings = painting.request.settings
    shared = settings.how.together(settings)
    return painting.network.identity, painting.size, settings.method, shared


def _room(painting: _Painting) -> int:
    """How many pictures like this one are evaluated together."""
    network, together = painting.network, painting.painter.together
    if network.device.type != "cuda":
        return together
    free, _ = torch.cuda.mem_get_info(network.device)
    width, height = painting.size
    settings = painting.request.settings
    needed = network.bytes_per_pixel(settings.layers) * width * height
    needed *= settings.how.cost(settings).memory
    return min(together, max(1, int(0.8 * free / needed)))


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    """Values as JSON can tell them."""
    return {
        name: value if math.isfinite(value) else None for name, value in values.items()
    }


def _notes(request: Request, finished: str, cut: str) -> tuple[str, ...]:
    settings = request.settings
    notes = [cut] if cut else []
    if is_random(settings.weights):
        notes.append("Painted with random weights, which no picture has trained.")
    for role, picture in (("content", request.content), ("style", request.style)):
        if settings.fit != "aspect" and picture.width != picture.height:
            done = "squashed into" if settings.fit == "square" else "cut to"
            size = f"{picture.width} × {picture.height}"
            notes.append(f"The {role} picture of {size} was {done} a square.")
    if finished:
        notes.append(f"The optimiser ended before its budget: {finished}.")
    return tuple(notes)
