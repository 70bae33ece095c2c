"""Could these published means come from that many whole ratings?

GRIM (Brown and Heathers 2017): a mean of n whole numbers is a sum over n, so only some
decimals can be printed. Means are text, because "4.0" and "4.00" say different things,
and all arithmetic is in whole numbers. A misfit has innocent causes (ratings missing
from some rows, another rounding, a typing slip): the wording stays neutral.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, isqrt

CONVENTIONS = ("half_up", "half_even", "half_down", "truncate")
NAMES = {
    "half_up": "rounded (halves up)",
    "half_even": "rounded (halves to even)",
    "half_down": "rounded (halves down)",
    "truncate": "truncated",
}
EXACT_SD_N = 200  # the sums of squares are enumerated up to this many ratings


@dataclass(frozen=True)
class Printed:
    """A number as printed: 4.37 is 437 with 2 decimals."""

    digits: int
    decimals: int

    @classmethod
    def read(cls, text: str, decimals: int | None = None) -> Printed:
        """From text; `decimals` pads (4.0 read as 4.00) and must not cut digits off.

        Raises ValueError when the text is not a plain decimal number.
        """
        cleaned = text.strip().replace(",", ".").replace("−", "-")
        whole, _, fraction = cleaned.partition(".")
        if not (whole.lstrip("-") + fraction).isdecimal() or whole in ("", "-"):
            raise ValueError(f"{text!r} is not a number as printed, like 4.37.")
        if decimals is not None:
            if len(fraction.rstrip("0")) > decimals:
                raise ValueError(f"{text!r} has more than {decimals} decimals.")
            fraction = fraction.rstrip("0").ljust(decimals, "0")
        return cls(int(whole + fraction), len(fraction))

    def __str__(self) -> str:
        sign, digits = "-" * (self.digits < 0), str(abs(self.digits))
        digits = digits.zfill(self.decimals + 1)
        cut = len(digits) - self.decimals
        return f"{sign}{digits[:cut]}" + f".{digits[cut:]}" * (self.decimals > 0)


def printed(value: Fraction, decimals: int, convention: str) -> Printed:
    """The value as it is printed under a convention; signs are treated alike."""
    scaled = abs(value) * 10**decimals
    match convention:
        case "truncate":
            digits = floor(scaled)
        case "half_up":
            digits = floor(scaled + Fraction(1, 2))
        case "half_down":
            digits = ceil(scaled - Fraction(1, 2))
        case "half_even":
            digits = round(scaled)
        case _:
            raise ValueError(f"{convention!r} is none of {', '.join(CONVENTIONS)}.")
    return Printed(digits if value >= 0 else -digits, decimals)


def sums(
    mean: Printed, n: int, convention: str, scale: tuple[int, int], items: int = 1
) -> list[int]:
    """The sums of n · items whole answers on the scale that print as this mean."""
    total = n * items
    unit = Fraction(1, 10**mean.decimals)
    about = Fraction(mean.digits) * unit
    first = max(ceil((about - unit) * total), total * scale[0])
    last = min(floor((about + unit) * total), total * scale[1])
    return [
        s
        for s in range(first, last + 1)
        if printed(Fraction(s, total), mean.decimals, convention) == mean
    ]


def neighbours(
    mean: Printed, n: int, convention: str, scale: tuple[int, int], items: int = 1
) -> tuple[str | None, str | None]:
    """The nearest means below and above that n people can print; None off the scale."""
    total = n * items
    at = Fraction(mean.digits, 10**mean.decimals) * total
    below = above = None
    for s in range(floor(at) + 1, total * scale[0] - 1, -1):
        candidate = printed(Fraction(s, total), mean.decimals, convention)
        if candidate.digits < mean.digits and s <= total * scale[1]:
            below = str(candidate)
            break
    for s in range(max(ceil(at) - 1, total * scale[0]), total * scale[1] + 1):
        candidate = printed(Fraction(s, total), mean.decimals, convention)
        if candidate.digits > mean.digits:
            above = str(candidate)
            break
    return below, above


def sd_fits(
    sd: Printed, total: int, n: int, convention: str, scale: tuple[int, int]
) -> bool:
    """Tell if n whole ratings with this sum can have this SD (N - 1).

    Exact (GRIMMER by enumeration): the sums of squares that n ratings on the scale can
    have together with their sum are built up rating by rating. Raises ValueError above
    200 ratings.
    """
    if n > EXACT_SD_N:
        raise ValueError(f"The SD is checked up to {EXACT_SD_N} ratings, not {n}.")
    if n < 2:
        return False
    squares = _sums_of_squares(n, scale[1] - scale[0])[total - n * scale[0]]
    shift = total - n * scale[0]
    unit = 10**sd.decimals
    for q in range(squares.bit_length()):
        if squares >> q & 1:
            variance = Fraction(n * q - shift * shift, n * (n - 1))
            if _root_prints_as(variance * unit**2, sd.digits, convention):
                return True
    return False


def _root_prints_as(square: Fraction, digits: int, convention: str) -> bool:
    """Tell if √square, in units of the last decimal, prints as these digits."""
    whole = isqrt(square.numerator // square.denominator)
    if convention == "truncate":
        return whole == digits
    # Halves compare exactly through squares: √s against d ± 1/2.
    low, high = Fraction(2 * digits - 1, 2), Fraction(2 * digits + 1, 2)
    above = square > low**2 or digits == 0
    below = square < high**2
    at_low, at_high = square == low**2, square == high**2
    match convention:
        case "half_up":
            return (above or at_low) and below
        case "half_down":
            return above and (below or at_high)
        case _:
            tie = digits % 2 == 0
            return (above or (at_low and tie)) and (below or (at_high and tie))


def _sums_of_squares(n: int, width: int) -> list[int]:
    """By sum of n numbers in 0 … width: the attainable sums of squares, as bits."""
    reachable = [1] + [0] * (n * width)
    for k in range(n):
        grown = [0] * len(reachable)
        for total in range(k * width + 1):
            if reachable[total]:
                for value in range(width + 1):
                    grown[total + value] |= reachable[total] << value * value
        reachable = grown
    return reachable


@dataclass(frozen=True)
class Row:
    """One published mean: what is printed, and how many people are said behind it."""

    label: str
    mean: str
    n: int | None = None
    sd: str | None = None


@dataclass(frozen=True)
class RowVerdict:
    """One row under one convention."""

    label: str
    mean: str
    n: int
    convention: str
    possible: bool
    sums: list[int]
    means: list[str]
    below: str | None
    above: str | None
    sd_possible: bool | None
    fitting_n: list[int]


@dataclass(frozen=True)
class TableVerdict:
    """All rows under one convention."""

    convention: str
    possible: int
    rows: int
    smallest_n: int | None
    fitting_n: list[int]
    reachable_share: float
    chance: float
    text: str


def check_table(
    rows: Sequence[Row],
    *,
    n: int | None = None,
    scale: tuple[int, int] = (1, 5),
    items: int = 1,
    decimals: int | None = None,
    conventions: Sequence[str] = CONVENTIONS,
    most: int = 100,
) -> tuple[list[RowVerdict], list[TableVerdict]]:
    """Every row under every convention, and each convention over the whole table.

    `n` stands in for rows without one; `items` questions averaged per person make the
    steps finer; `decimals` reads all means with that many; numbers of people from 1 to
    `most` are searched for a fit. Raises ValueError for a mean that is not a number or
    lies off the scale, and for a row without any n.
    """
    means = [Printed.read(row.mean, decimals) for row in rows]
    counts = [row.n or n for row in rows]
    for row, mean, count in zip(rows, means, counts, strict=True):
        if not count or count < 1:
            raise ValueError(f"{row.label or row.mean}: how many people? n is missing.")
        if not scale[0] <= Fraction(mean.digits, 10**mean.decimals) <= scale[1]:
            raise ValueError(f"{row.mean} is not on the scale {scale[0]}–{scale[1]}.")
    verdicts, tables = [], []
    for convention in conventions:
        fits = [
            [k for k in range(1, most + 1) if sums(mean, k, convention, scale, items)]
            for mean in means
        ]
        judged = [
            _judge(row, mean, int(count or 0), convention, scale, items, fit)
            for row, mean, count, fit in zip(rows, means, counts, fits, strict=True)
        ]
        verdicts += judged
        tables.append(_judge_table(judged, means, fits, convention, items))
    return verdicts, tables


def _judge(
    row: Row,
    mean: Printed,
    n: int,
    convention: str,
    scale: tuple[int, int],
    items: int,
    fitting: list[int],
) -> RowVerdict:
    found = sums(mean, n, convention, scale, items)
    sd_possible = None
    if row.sd and items == 1:
        sd = Printed.read(row.sd)
        sd_possible = any(sd_fits(sd, s, n, convention, scale) for s in found)
    below, above = neighbours(mean, n, convention, scale, items)
    return RowVerdict(
        row.label,
        str(mean),
        n,
        convention,
        bool(found),
        found,
        [f"{s / (n * items):.4f}" for s in found],
        below,
        above,
        sd_possible,
        fitting,
    )


def _judge_table(
    judged: list[RowVerdict],
    means: list[Printed],
    fits: list[list[int]],
    convention: str,
    items: int,
) -> TableVerdict:
    common = sorted(set.intersection(*map(set, fits))) if fits else []
    good = sum(verdict.possible for verdict in judged)
    shares = {}
    for verdict, mean in zip(judged, means, strict=True):
        ending = mean.digits % 10**mean.decimals
        if ending:  # whole numbers can always be printed and tell nothing
            share = reachable_share(verdict.n * items, mean.decimals, convention)
            shares[ending, mean.decimals, verdict.n] = share
    chance = 1.0
    for share in shares.values():
        chance *= share
    share = min(shares.values(), default=1.0)
    missed = [v.mean for v in judged if not v.possible]
    people = sorted({v.n for v in judged})
    said = f"n={people[0]}" if len(people) == 1 else "the stated n"
    how = NAMES[convention]
    if share == 1:
        text = f"No power: with {said} every ending can be printed."
    elif missed:
        text = f"Not reachable with {said} if {how}: {', '.join(missed)}."
    else:
        text = (
            f"All {len(judged)} means are reachable with {said} if {how}; "
            f"endings like these fit by chance in {chance:.0%} of tables."
        )
    return TableVerdict(
        convention,
        good,
        len(judged),
        common[0] if common else None,
        common,
        share,
        chance,
        text,
    )


def reachable_share(total: int, decimals: int, convention: str) -> float:
    """Share of all endings with so many decimals that `total` whole answers reach."""
    endings = {
        printed(Fraction(s, total), decimals, convention).digits % 10**decimals
        for s in range(total)
    }
    return len(endings) / 10**decimals
