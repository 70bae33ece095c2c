"""The style-transfer methods by name, and what each says of itself. No torch.

Whoever validates settings, offers them in a form or on the command line, forecasts
what a grid will take, paints, or draws a curve asks the method here and never its name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from generation.engine import checks
from generation.engine.networks.architectures import NETWORK_LAYERS

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from generation.engine.networks.vgg import Network

Value = float | int | str


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A setting that one method alone has.

    `default` is its value where none is given, and its type that of every value:
    numbers lie between `low` and `high`, words are among `choices` where there are
    any. `help` is one phrase for the command line and forms, `label` its name on pages
    (left out: `name` without underscores). With `column`, tables and exports have a
    column of it; `unit` is that of its numbers there.
    """

    name: str
    default: Value
    help: str
    label: str = ""
    low: float = 0
    high: float = 2**53
    choices: Sequence[str] = ()
    column: bool = False
    unit: str = ""

    def checked(self, value: object) -> Value:
        """The value as the request has it. Raises `SettingsError`."""
        if isinstance(self.default, float):
            return checks.number(self.name, value, self.low, self.high)
        if isinstance(self.default, int):
            return checks.integer(self.name, value, int(self.low), int(self.high))
        return checks.word(self.name, value, self.choices)


@dataclass(frozen=True)
class Cost:
    """What one picture takes beside one of the same size by Gatys's method.

    `evaluations` are counted as that method's are; `time` is how long each takes and
    `memory` how much it holds, as multiples.
    """

    evaluations: int
    time: float = 1.0
    memory: float = 1.0


class Source(Protocol):
    """What every convention of a method tells: where it was published."""

    @property
    def source(self) -> str: ...


class Problem(Protocol):
    """The objective of pictures that are evaluated together.

    Pictures are (batch, 3, height, width), RGB, 0-255. `evaluate` takes them to the
    terms before their weights, shape (batch, 1 + terms), the total first, and to the
    gradient of each total; `terms` to the former alone. `by_layer` splits the terms
    that can be split. `generation.engine.terms.TermSum` has all three.
    """

    def evaluate(self, pictures: Tensor) -> tuple[Tensor, Tensor]: ...
    def terms(self, pictures: Tensor) -> Tensor: ...
    def by_layer(self, pictures: Tensor) -> Mapping[str, Mapping[str, Tensor]]: ...


class Reader(Protocol):
    """Reads a picture's features, and remembers what was made of them.

    `kind` names what `make` does, so that equal reads are done once. Returns what
    `make` made of each layer's features, (1, N, height, width), by layer.
    """

    def __call__(
        self,
        kind: Hashable,
        network: Network,
        picture: Image.Image,
        layers: Sequence[str],
        means: tuple[float, float, float] | None,
        make: Callable[[Tensor], Tensor],
    ) -> dict[str, Tensor]: ...


class Method(ABC):
    """One way of style transfer; subclass it and `register` one.

    A method whose pictures are searched for says what is minimised, by `targets` and
    `problem`; the painter drives the search, many pictures together where it can. One
    that paints in a forward pass does so in `forward`; its objective, if it has one,
    is evaluated once, for the curve.

    | attribute | meaning |
    | --- | --- |
    | name | of the setting `method`'s level |
    | source | where it was published |
    | objectives | its conventions by name, each with its `source` |
    | settings | those it brings besides the common ones |
    | terms | the terms of its curve beside the total, by name: the setting that weighs
      each in the total |
    | defaults | common settings whose default is another than Gatys's |
    | unused | common settings it has no use for: they stay at their defaults |
    | balanced | the terms between which `balance` weighs, content's and style's; None:
      it has no such setting |
    | networks | the networks it can look through |
    | published | settings as a convention's source ran with, by convention |
    """

    name: str
    source: str
    objectives: Mapping[str, Source]
    settings: Sequence[Setting] = ()
    terms: Mapping[str, str] = {}
    defaults: Mapping[str, Any] = {}
    unused: frozenset[str] = frozenset()
    balanced: tuple[str, str] | None = None
    networks: Sequence[str] = tuple(NETWORK_LAYERS)
    published: Mapping[str, Mapping[str, object]] = {}

    @property
    def without(self) -> frozenset[str]:
        """The common settings that it does not have."""
        return self.unused if self.balanced else self.unused | {"balance"}

    # Of the request; `settings` are `RenderSettings` ---------------------------------

    def check(self, settings: Any) -> None:  # noqa: B027 - most have nothing to refuse
        """Refuse settings that are valid each but not together, by `SettingsError`."""

    def layer_weight(self, setting: str, layers: int, objective: str) -> float:
        """The w_l of each of so many layers without weights of their own."""
        return 1.0

    def layers(self, settings: Any) -> Sequence[str]:
        """The layers that are read; the deepest says how small a picture may be."""
        return [layer for layer, _ in settings.content_layer + settings.style_layers]

    def sums_content(self, settings: Any) -> bool:
        """Whether the content term grows with the number of values it looks at."""
        return False

    def cost(self, settings: Any) -> Cost:
        """What a picture of these settings takes, for forecasts and waves."""
        return Cost(settings.evaluations)

    def noise_offset(self, settings: Any) -> tuple[float, float, float]:
        """What is added to noise that is uniform in 0-255, red, green and blue."""
        return 0.0, 0.0, 0.0

    def rounding(self, settings: Any) -> Literal["nearest", "down"]:
        """How the finished picture becomes 8 bits, after clipping to 0-255."""
        return "nearest"

    def lacks(self, settings: Any) -> frozenset[str]:
        """The terms that this convention does not have: they are always 0."""
        return frozenset()

    def weights_of_terms(self, settings: Any) -> dict[str, float]:
        """How much each of the `terms` weighs in the total."""
        return {term: settings.value(name) for term, name in self.terms.items()}

    # Of the painting, where torch is -------------------------------------------------

    def together(self, settings: Any) -> Hashable:
        """What pictures of one size and network must share to be evaluated together;
        of one method's all can be sorted."""
        return settings.objective

    @abstractmethod
    def targets(
        self,
        read: Reader,
        settings: Any,
        network: Network,
        content: Image.Image,
        style: Image.Image,
    ) -> Any:
        """What one picture is compared with: made once a level, of both pictures at
        the sizes at which they are looked at."""

    @abstractmethod
    def problem(self, targets: Sequence[Any], network: Network) -> Problem:
        """The objective of pictures with these targets, in their order."""

    def forward(
        self,
        settings: Any,
        network: Network,
        content: Tensor,
        style: Image.Image,
    ) -> Tensor | None:
        """The picture of one forward pass, in the shape of `content`, (1, 3, height,
        width), RGB, 0-255; None where it is searched for."""
        return None


METHODS: dict[str, Method] = {}


def foreign_settings(method: Method) -> set[str]:
    """The settings that a method does not have, of the common ones and of others."""
    others = {
        setting.name
        for other in METHODS.values()
        if other is not method
        for setting in other.settings
    }
    return others.difference(each.name for each in method.settings) | method.without


def register(method: Method) -> Method:
    """Make a method known to everything that asks."""
    METHODS[method.name] = method
    return method
