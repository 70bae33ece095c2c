"""One table of what can vary between renders. Pure: no Django, no torch.

Whatever names, describes or orders a factor asks here: the command line, the grid's
axes, the experiment's form, contact sheets, the study wizard, CSV columns with their
codebook, bundles and charts. A factor's one name is that of the setting, of the field
of a form, of the key in JSON and of the column of a table.

A new factor is a row here beside the setting that the engine reads. Only a factor that
lists are to be filtered by needs a column of the database too; every other one is
found in the settings that a render keeps.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from generation.engine.networks.architectures import NETWORK_LAYERS, POOLINGS
from generation.engine.optimisers import OPTIMISERS
from generation.engine.registry import METHODS, Setting
from generation.engine.settings import (
    COLOURS,
    COMMON,
    LAYERS,
    PRECISIONS,
    RANGES,
    RESAMPLES,
    STARTS,
    RenderSettings,
    settings_of,
)

# An axis of a grid that sets two settings: α to its level, β to 1.
RATIO = "alpha_beta"


@dataclass(frozen=True, kw_only=True)
class Factor:
    """One thing that can vary between renders.

    | field | meaning |
    | --- | --- |
    | name | of the setting, the form's field, the JSON key and the CSV column |
    | level_type | the type of a level: `float`, `int` or `str` |
    | ordered | whether levels that are texts have an order |
    | label | its name on pages; left out: `name` without underscores |
    | short | its name on charts and in lines with little room; left out: the label |
    | unit | of its numbers, as the codebook says it |
    | suffix | the word behind a level in a line of settings, where a label before it
      would be clumsy: `300 px` |
    | meaning | one phrase for codebooks and documents |
    | help | one phrase for the command line |
    | form_help | one sentence below its field on the experiment's form |
    | choices | the levels there are, each with what a form shows for it |
    | others | whether there are other levels than the choices |
    | where | in which renders its levels make a difference, left out: in all |
    | matters | whether they do in one with these settings |
    | column | whether tables and exports have a column of it |
    | replicate | whether its levels repeat a condition instead of making another |
    | levels_label | what the experiment's form calls its list of levels, if it asks
      for one |
    | result_of | the factor where whose level is given its own is a result of that |
    | stands_in | the factor in whose column its levels stand, if not in its own |
    | form_place | line and place in it of its field among the fixed settings of that
      form, if it has one |
    | listed | whether lists of renders and stimuli show it |
    | told | whether the sentence that says how a picture was made tells it |
    """

    name: str
    level_type: type[float] | type[int] | type[str] = str
    ordered: bool = False
    label: str = ""
    short: str = ""
    unit: str = ""
    suffix: str = ""
    meaning: str = ""
    help: str = ""
    form_help: str = ""
    choices: Callable[[], Mapping[str, str]] | None = None
    others: bool = False
    where: str = ""
    matters: Callable[[RenderSettings], bool] = lambda _: True
    column: bool = False
    replicate: bool = False
    levels_label: str = ""
    result_of: str = ""
    stands_in: str = ""
    form_place: tuple[int, int] | None = None
    listed: bool = False
    told: bool = False

    @property
    def kind(self) -> Literal["number", "ordered", "nominal"]:
        """What may be computed with its levels."""
        if self.level_type is not str:
            return "number"
        return "ordered" if self.ordered else "nominal"

    @property
    def full_label(self) -> str:
        """Its name as a person reads it."""
        return self.label or self.name.replace("_", " ")

    @property
    def short_label(self) -> str:
        """Its name where there is little room."""
        return self.short or self.full_label

    @property
    def description(self) -> str:
        """What it is, for a codebook."""
        return self.meaning or self.help[:1].upper() + self.help[1:]

    @property
    def type_name(self) -> str:
        """The type of its column, as a codebook calls it."""
        return {float: "number", int: "integer", str: "text"}[self.level_type]

    @property
    def closed_choices(self) -> tuple[str, ...] | None:
        """All levels there are, None where they cannot be listed."""
        return tuple(self.choices()) if self.choices and not self.others else None

    @property
    def is_setting(self) -> bool:
        """Whether the engine has a setting of it; pictures and α/β are none."""
        return self.name in setting_names()

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods of style transfer that have it; all have the two pictures."""
        asked = self.stands_in or self.name
        return tuple(
            name
            for name, method in METHODS.items()
            if asked not in setting_names() or asked in settings_of(method)
        )

    @property
    def is_layers(self) -> bool:
        """Whether a level is a set of the network's layers."""
        return self.name in LAYERS

    @property
    def default(self) -> Any:
        """The engine's own level, None where one must be given."""
        return _defaults().get(self.name)


def _plain(names: Iterable[str]) -> Callable[[], dict[str, str]]:
    return lambda: {name: name for name in names}


def _defaults() -> dict[str, Any]:
    """The engine's settings in their order, each with its default or None."""
    return COMMON | {each.name: each.default for _, each in _own_settings()}


def _own_settings() -> tuple[tuple[str, Setting], ...]:
    """The settings that methods bring, each with its method's name."""
    return tuple(
        (name, each) for name, method in METHODS.items() for each in method.settings
    )


def _own_factors(settings: Iterable[tuple[str, Setting]]) -> dict[str, Factor]:
    """The rows of settings that only some methods have."""
    of: dict[str, list[str]] = {}
    for method, setting in settings:
        of.setdefault(setting.name, []).append(method)
    return {it.name: _own_factor(it, of[it.name]) for _, it in settings}


def _own_factor(setting: Setting, methods: Sequence[str]) -> Factor:
    return Factor(
        name=setting.name,
        level_type=type(setting.default),
        label=setting.label,
        unit=setting.unit,
        help=setting.help,
        choices=_plain(setting.choices) if setting.choices else None,
        where=f"method is {' or '.join(methods)}",
        matters=lambda it: it.method in methods,
        column=setting.column,
    )


# In the order of a CSV's columns.
_ROWS = (
    Factor(
        name="content",
        label="content image",
        short="content",
        meaning="Content image",
        column=True,
        listed=True,
    ),
    Factor(
        name="style",
        label="style image",
        short="style",
        meaning="Style image",
        column=True,
        listed=True,
    ),
    Factor(
        name="content_layer",
        ordered=True,
        label="content layer",
        meaning="Layer of the content loss",
        help="LAYER[=WEIGHT],… read after the ReLU, LAYER:pre before it",
        form_help="Each ticked layer is a level of the grid.",
        where="content weighs something",
        matters=lambda it: it.content_weight > 0,
        column=True,
        levels_label="Content layers",
        listed=True,
        told=True,
    ),
    Factor(
        name="style_layers",
        meaning="Layers of the style loss, joined by |",
        help="the same for style; left out: the paper's five, the objective's weights; "
        "none: no layers",
        where="β is above 0",
        matters=lambda it: it.beta > 0,
        column=True,
    ),
    Factor(
        name="balance",
        level_type=float,
        meaning="Content weight as a multiple of β · S(content photo) / C(style "
        "picture): .01 is style alone, .1 both, .3 mostly content",
        help="content against style, the same in every objective, layer and size: "
        ".01 is style alone, .1 both, .3 mostly content",
        form_help="Levels of content against style, as 0.03, 0.1, 0.3: .01 is style "
        "alone, .1 both, .3 mostly content, under every objective, layer and size.",
        levels_label="Balances",
        column=True,
        listed=True,
        told=True,
    ),
    Factor(
        name=RATIO,
        level_type=float,
        label="α/β",
        meaning="Ratio of the weights: α is the level, β is 1",
        form_help="Instead of balances, as 0.001, 0.01, 0.1: β is 1, α the ratio. What "
        "it paints depends on objective, layer, size and pictures.",
        levels_label="Ratio α/β",
        stands_in="alpha",
    ),
    Factor(
        name="alpha",
        level_type=float,
        label="α",
        meaning="Content weight α of the render; where a balance was set, what it "
        "came to",
        help="weight of content, instead of a balance",
        column=True,
        result_of="balance",
        listed=True,
        told=True,
    ),
    Factor(
        name="beta",
        level_type=float,
        label="β",
        meaning="Style weight β of the render",
        help="weight of style",
        column=True,
        told=True,
    ),
    Factor(
        name="tv_weight",
        level_type=float,
        label="TV weight",
        short="TV",
        meaning="Weight of the total variation",
        help="weight of total variation",
        form_help="Levels, as 0, 1.",
        column=True,
        levels_label="TV weights",
        listed=True,
        told=True,
    ),
    Factor(
        name="objective",
        meaning="Objective of the render",
        help="the convention",
        choices=lambda: {
            name: f"{name}: {each.source}"
            for method in METHODS.values()
            for name, each in method.objectives.items()
        },
        column=True,
        form_place=(3, 3),
    ),
    Factor(
        name="network",
        meaning="Network of the losses",
        help="the convolutional network",
        choices=lambda: {name: name.replace("vgg", "VGG-") for name in NETWORK_LAYERS},
        column=True,
        form_place=(3, 2),
    ),
    Factor(
        name="pooling",
        meaning="Pooling of the network",
        help="how blocks are joined",
        choices=lambda: (
            _plain(POOLINGS)()
            | {"max": "max, as the paper", "average": "average, as Gatys"}
        ),
        column=True,
        form_place=(2, 1),
    ),
    Factor(
        name="weights",
        meaning="Weights of the network",
        help="imagenet, imagenet-v1, random:SEED, or a file with a VGG state dict",
        form_help="What the render hosts have. A file is brought to one by manage.py "
        "weights add FILE.",
        column=True,
        form_place=(3, 1),
        listed=True,
    ),
    Factor(
        name="start",
        meaning="Starting image of the render",
        help="noise, content, style, blend, or a picture's path",
        choices=lambda: (
            _plain(STARTS[:-1])()
            | {
                "noise": "white noise, as the paper",
                "content": "content image",
                "style": "style image",
                "blend": "noise and content mixed",
            }
        ),
        others=True,
        column=True,
        form_place=(2, 2),
    ),
    Factor(
        name="size",
        level_type=int,
        unit="px",
        suffix="px",
        meaning="Size of the render",
        help="pixels: the long side, or that of a square",
        form_help="Pixels of the long side, or of a square's.",
        column=True,
        form_place=(1, 1),
    ),
    Factor(
        name="evaluations",
        level_type=int,
        suffix="evaluations",
        meaning="Function evaluations of the optimiser",
        help="the budget",
        column=True,
        form_place=(1, 3),
    ),
    Factor(
        name="seed",
        level_type=int,
        meaning="Seed of the render",
        help="of the noise",
        where="start is noise or blend",
        matters=lambda it: it.start in ("noise", "blend"),
        column=True,
        replicate=True,
        form_place=(1, 4),
    ),
    Factor(
        name="method",
        meaning="Method of style transfer",
        help="the way of style transfer",
        choices=lambda: {
            name: f"{name}: {each.source}" for name, each in METHODS.items()
        },
    ),
    Factor(
        name="blend",
        level_type=float,
        meaning="Share of noise in a start that blends, 0 to 1",
        help="share of noise in the start blend",
        where="start is blend",
        matters=lambda it: it.start == "blend",
    ),
    Factor(
        name="fit",
        label="shape",
        meaning="How a picture comes to its size: aspect ratio kept, a square cut "
        "around its focus, or squashed into a square",
        help="keep the aspect ratio, cut a square, or squash into one",
        form_help="How a picture that is no square comes to its size.",
        choices=lambda: {
            "aspect": "aspect ratio kept",
            "crop": "square, cut around the focus",
            "square": "square, squashed, as the paper",
        },
        form_place=(1, 2),
    ),
    Factor(
        name="content_focus",
        meaning="Where the content image is cut: shares of its width and height",
        help="where --fit crop cuts the content: shares of its width and height",
        where="fit is crop",
        matters=lambda it: it.fit == "crop",
    ),
    Factor(
        name="style_focus",
        meaning="Where the style image is cut: shares of its width and height",
        help="the same for the style, also where a start of aspect is cut",
        where="fit is crop, or aspect with the style as its start",
        matters=lambda it: (
            it.fit == "crop" or (it.fit == "aspect" and it.start == "style")
        ),
    ),
    Factor(
        name="style_scale",
        level_type=float,
        meaning="Size of the style picture as a multiple of the render's",
        help="the style's size as a multiple of --size",
    ),
    Factor(
        name="resample",
        meaning="Filter that resizes pictures",
        help="the filter that resizes pictures of another size",
        choices=_plain(RESAMPLES),
    ),
    Factor(
        name="optimiser",
        meaning="Optimiser of the objective",
        help="scipy is L-BFGS-B restarted every 20 evaluations",
        choices=_plain(OPTIMISERS),
    ),
    Factor(
        name="learning_rate",
        level_type=float,
        unit="grey levels",
        meaning="Learning rate of Adam",
        help="Adam's, in grey levels",
        where="optimiser is adam",
        matters=lambda it: it.optimiser == "adam",
    ),
    Factor(
        name="pyramid",
        level_type=int,
        meaning="Levels from coarse to fine, which share the evaluations",
        help="levels from coarse to fine, which share the budget",
    ),
    Factor(
        name="precision",
        meaning="Precision of the network's numbers",
        help="tf32 and bf16 need a GPU; mixed, bf16 and then float32, needs what "
        "multiplies bf16 numbers",
        choices=_plain(PRECISIONS),
    ),
    Factor(
        name="colour",
        meaning="Whose colours the render has",
        help="luminance keeps the content's colours; histogram gives the style "
        "picture the content's colour statistics",
        choices=_plain(COLOURS),
    ),
    Factor(
        name="range",
        meaning="Whether the search keeps within 0-255 or is cut to it in the end",
        help="inside searches within 0-255, from softer noise; free is cut to it in "
        "the end, as published conventions are",
        choices=_plain(RANGES),
    ),
)


class FactorTable(Mapping[str, Factor]):
    """Rows by name, and behind them one for each setting that a method brings."""

    def __init__(self, rows: Iterable[Factor]) -> None:
        self._rows = {row.name: row for row in rows}
        self._last: tuple[Any, dict[str, Factor]] = (), self._rows

    def _all(self) -> dict[str, Factor]:
        """Made anew only when methods bring others: renders ask by the thousand."""
        own, every = self._last
        if own != (now := _own_settings()):
            every = {**_own_factors(now), **self._rows}
            every = {name: every[name] for name in (*self._rows, *every)}
            self._last = now, every
        return every

    def __getitem__(self, name: str) -> Factor:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def items(self) -> ItemsView[str, Factor]:
        return self._all().items()


FACTORS = FactorTable(_ROWS)

# Of several that vary, those that make the rows and columns of a contact sheet first,
# and those that a reader of a report wants to see crossed first. All others follow.
FIRST_ON_SHEETS = (
    "content", "style", "content_layer", "balance", "alpha", "beta", "tv_weight",
)  # fmt: skip
FIRST_IN_CHARTS = (
    "content_layer", "balance", "alpha", "style_layers", "tv_weight", "objective",
)  # fmt: skip


def column_names() -> tuple[str, ...]:
    """The factors that tables and exports have a column of, in its order."""
    return tuple(name for name, each in FACTORS.items() if each.column)


def sheet_order() -> tuple[str, ...]:
    """The same in the order in which contact sheets take them."""
    return tuple(dict.fromkeys((*FIRST_ON_SHEETS, *column_names())))


def setting_names() -> tuple[str, ...]:
    """The factors that are settings of the engine, in the engine's order."""
    return tuple(_defaults())


def settings_that_vary() -> tuple[str, ...]:
    """The settings with more than one level: not `method` while there is one."""
    closed = {name: FACTORS[name].closed_choices for name in setting_names()}
    return tuple(
        name for name, levels in closed.items() if levels is None or len(levels) > 1
    )


def levels_asked() -> tuple[str, ...]:
    """The factors of whose levels an experiment has a field."""
    return tuple(name for name, each in FACTORS.items() if each.levels_label)


def fixed_asked() -> list[list[str]]:
    """The settings that an experiment has a field of, line by line of its form."""
    placed = sorted(
        (each.form_place, name) for name, each in FACTORS.items() if each.form_place
    )
    lines = groupby(placed, key=lambda it: it[0][0])
    return [[name for _, name in line] for _, line in lines]


def choices_of(name: str) -> list[tuple[str, str]]:
    """The levels of a factor as a form offers them; none if they cannot be listed."""
    choices = FACTORS[name].choices
    return [*choices().items()] if choices else []


def factor_label(name: str) -> str:
    """What pages call a factor; one of a study's own has its name."""
    known = FACTORS.get(name)
    return known.full_label if known else name.replace("_", " ")


def short_label(name: str) -> str:
    """What charts call a factor, and lines with little room."""
    known = FACTORS.get(name)
    return known.short_label if known else name


def column_values(settings: RenderSettings) -> dict[str, str | float | int]:
    """The levels of all factors with a column, but those of the two pictures and the
    one of balance and α that is not given.

    Layers are joined by `|`.
    """
    known = {*COMMON, *dict(settings.own)}
    values = {}
    for name, factor in FACTORS.items():
        if factor.column and name in known:
            value = settings.value(name)
            if value is None:
                continue
            if factor.is_layers:
                value = "|".join(layer for layer, _ in value)
            values[name] = value
    return values


def as_levels(made: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a picture without what is a result: α where a balance was set."""
    kept = dict(made)
    for name, each in FACTORS.items():
        if each.result_of and kept.get(each.result_of) not in (None, ""):
            kept.pop(name, None)
    return kept


def documented() -> str:
    """The table of docs/reference/factors.md, a line a factor."""
    lines = [
        "| factor | on pages | levels | default | unit | methods | column | meaning |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, each in FACTORS.items():
        types = {float: "numbers", int: "whole numbers", str: "text"}
        levels = "layers" if each.is_layers else types[each.level_type]
        if each.choices:
            shown = [f"`{level}`" for level in each.choices()]
            levels = ", ".join([*shown, *["…"] * each.others])
        default = each.default
        if isinstance(default, tuple):
            default = "|".join(layer for layer, _ in default)
        cells = (
            f"`{name}`",
            each.full_label,
            levels,
            "" if default is None else f"`{default}`",
            each.unit,
            "all" if len(each.methods) == len(METHODS) else ", ".join(each.methods),
            "yes" if each.column else "",
            each.description.replace("|", "\\|"),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
