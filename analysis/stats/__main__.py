"""The statistics alone: `python -m analysis.stats report ratings.csv --out DIR`."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.columns import LOSSES
from analysis.stats.rules import RULES

if TYPE_CHECKING:
    from analysis.stats.frame import Ratings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 when done, 2 when the input cannot be used (said on stderr)."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, OSError) as problem:
        print(f"{options.command}: {problem}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m analysis.stats")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_report(commands.add_parser("report", help="tables of a study from a CSV"))
    _add_grim(commands.add_parser("grim", help="check published means"))
    _add_plan(commands.add_parser("plan", help="how many participants"))
    _add_pairs(commands.add_parser("pairs", help="one scale from comparisons"))
    return parser


def _add_report(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("ratings", type=Path, help="CSV: long, or a matrix of people and stimuli")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for the tables")
    add("--rows", choices=("people", "stimuli"), help="what a matrix has as rows")
    _add_reading(parser)
    add("--repeats", choices=("mean", "votes"), default="mean")
    add("--level", type=float, default=0.95, help="confidence level")
    add("--ci", default="t", help="t, z, percentile, bca or binomial")
    add(
        "--recovery",
        default="p910",
        metavar="METHOD",
        help="none, mos, bt500, p913, p913_reject, p910 or p910_shrunk",
    )
    add(
        "--screen",
        default="none",
        metavar="RULE",
        help=_either(RULES),
    )
    add(
        "--bt500",
        choices=("recommendation", "reference"),
        default="recommendation",
        help="how BT.500 is read where a recovery or raters.csv uses it",
    )
    add("--exclude", action="append", default=[], metavar="PARTICIPANT")
    add("--by", action="append", default=[], metavar="FACTOR[,FACTOR]")
    add(
        "--model",
        default="",
        metavar="FACTOR[,FACTOR]",
        help="fit both mixed models on these factors: factor_effects.csv",
    )
    for kind, meaning in (
        ("numeric", "its levels are numbers: one slope"),
        ("nominal", "its levels are names: one coefficient each"),
    ):
        add(
            f"--{kind}",
            action="append",
            default=[],
            metavar="FACTOR[,FACTOR]",
            help=f"{meaning}; default: proposed from the levels, and said",
        )
    add(
        "--condition-ci",
        choices=("cluster_t", "cluster_bootstrap"),
        default="cluster_t",
    )
    add("--fast-ms", type=float, default=600, help="faster answers are hasty")
    add("--resamples", type=int, help="of every bootstrap; default by size")
    add("--seed", type=int, default=20260101, help="seed of every bootstrap")
    add(
        "--metric",
        action="append",
        default=[],
        metavar="COLUMN",
        help=f"objective metric of the stimuli; default {', '.join(LOSSES)} where they "
        "exist",
    )
    add("--mapping", default="cubic", help="none, linear, cubic, logistic or isotonic")
    for kind in ("simulated", "pilot", "excluded"):
        add(f"--include-{kind}", action="store_true", help=f"use {kind} rows too")
    parser.set_defaults(run=_report)


def _either(names: Iterable[str]) -> str:
    """Names as a sentence offers them."""
    *others, last = names
    return f"{', '.join(others)} or {last}"


def _add_reading(parser: argparse.ArgumentParser) -> None:
    """Options for what a file does not say itself."""
    add = parser.add_argument
    add(
        "--scale",
        type=_scale,
        metavar="LOW-HIGH",
        help="as 0-10, or --scale=-3-3; default: the file's columns scale_min and "
        "scale_max, else 1-5",
    )
    add(
        "--step",
        type=_step,
        metavar="STEP",
        help="distance of two points of the scale, as 1 or 0.5, or 'any' for a "
        "slider; default: found from the ratings",
    )
    add(
        "--leave-out",
        action="append",
        default=[],
        metavar="COLUMN",
        help="do not read this column",
    )
    add(
        "--allow-refused",
        action="store_true",
        help="go on without the rows that cannot be used, however many",
    )


def _usable(ratings: Ratings, options: argparse.Namespace) -> Ratings:
    """The ratings, and on stderr what was refused; ValueError if that is too much."""
    refusals = ratings.refusals()
    reasons = [] if options.allow_refused else ratings.unusable()
    if reasons:
        end = "Nothing was written; --allow-refused goes on without those rows."
        raise ValueError("\n".join([*reasons, *refusals, end]))
    for sentence in refusals:
        print(sentence, file=sys.stderr)
    return ratings


def _report(options: argparse.Namespace) -> None:
    from analysis.stats.case import Options
    from analysis.stats.frame import validate
    from analysis.stats.reading import read_ratings
    from analysis.stats.report import build

    declared = [
        (name, kind)
        for kind in ("numeric", "nominal")
        for names in getattr(options, kind)
        for name in names.split(",")
    ]
    kinds = dict(declared)
    if len(kinds) < len(set(declared)):
        raise ValueError("A factor is either --numeric or --nominal.")
    ratings = validate(
        read_ratings(options.ratings, rows=options.rows, leave_out=options.leave_out),
        scale=options.scale,
        step=options.step,
        kinds=kinds,
        repeats=options.repeats,
        include_simulated=options.include_simulated,
        include_pilot=options.include_pilot,
        include_excluded=options.include_excluded,
    )
    ratings.checked_factors(list(kinds))
    _usable(ratings, options)
    chosen = {"metrics": tuple(options.metric)} if options.metric else {}
    report = build(
        ratings,
        Options(
            **chosen,
            mapping=options.mapping,
            level=options.level,
            ci_method=options.ci,
            recovery=options.recovery,
            screen=options.screen,
            exclude=tuple(options.exclude),
            by=tuple(options.by),
            model=tuple(filter(None, options.model.split(","))),
            bt500_reading=options.bt500,
            condition_ci=options.condition_ci,
            fast_ms=options.fast_ms,
            resamples=options.resamples,
            seed=options.seed,
        ),
    )
    for note in report.summary["notes"]:
        print(note, file=sys.stderr)
    for path in report.write(options.out):
        print(path)


def _add_grim(parser: argparse.ArgumentParser) -> None:
    from analysis.stats.grim import CONVENTIONS

    add = parser.add_argument
    add("means", nargs="*", metavar="MEAN", help="as printed: 4.0 is not 4.00")
    add("--table", type=Path, help="CSV with mean and, if any, label, n, sd")
    add("--n", type=int, help="people behind every mean without an n of its own")
    add(
        "--scale",
        type=_whole_scale,
        default=(1, 5),
        metavar="LOW-HIGH",
        help="default 1-5",
    )
    add("--items", type=int, default=1, help="answers averaged per person")
    add("--decimals", type=int, help="read every mean with so many decimals")
    add("--convention", choices=CONVENTIONS, action="append")
    add("--most", type=int, default=100, help="largest n searched for a common fit")
    add("--json", action="store_true", help="everything, for machines")
    parser.set_defaults(run=_grim)


def _grim(options: argparse.Namespace) -> None:
    from dataclasses import asdict

    from analysis.stats import grim

    rows = [grim.Row("", mean) for mean in options.means]
    if options.table:
        rows += [
            grim.Row(
                line.get("label", ""),
                line["mean"],
                int(line["n"]) if line.get("n") else None,
                line.get("sd") or None,
            )
            for line in _published(options.table)
        ]
    if not rows:
        raise ValueError("Give the means to check, or a --table of them.")
    verdicts, tables = grim.check_table(
        rows,
        n=options.n,
        scale=options.scale,
        items=options.items,
        decimals=options.decimals,
        conventions=options.convention or grim.CONVENTIONS,
        most=options.most,
    )
    if options.json:
        whole = {"rows": map(asdict, verdicts), "tables": map(asdict, tables)}
        print(json.dumps({key: [*value] for key, value in whole.items()}, indent=2))
        return
    for table in tables:
        fitting = (
            ", ".join(map(str, table.fitting_n[:8])) or f"none up to {options.most}"
        )
        print(f"{table.convention}: {table.possible} of {table.rows} possible.")
        print(f"  {table.text}")
        print(f"  One n for all rows: {fitting}.")
        for row in verdicts:
            if row.convention == table.convention:
                sums = (
                    f"sum {'|'.join(map(str, row.sums))}"
                    if row.sums
                    else (f"between {row.below} and {row.above}")
                )
                sd = {None: "", True: ", SD possible", False: ", SD not possible"}
                word = "yes" if row.possible else "no "
                label = f"{row.label} " if row.label else ""
                print(
                    f"    {word} {label}{row.mean} (n={row.n}): {sums}"
                    f"{sd[row.sd_possible]}"
                )


def _published(path: Path) -> list[dict[str, str]]:
    """The rows of a table of means; decimal commas become points."""
    from nstlab.core import csv_files

    table = csv_files.read_table(path.read_bytes())
    if "mean" not in table.header:
        raise ValueError(
            f"The table has no column mean; it has {', '.join(table.header)}."
        )
    for line, cells in table.ragged:
        raise ValueError(
            f"Line {line}: {len(cells)} cells where the header has {len(table.header)}."
        )
    rows = [dict(zip(table.header, cells, strict=True)) for _, cells in table.rows]
    for name in {"mean", "sd"} & {*table.header}:
        if csv_files.decimal_of([row[name] for row in rows], ",") == ",":
            for row in rows:
                row[name] = row[name].replace(",", ".")
    return rows


def _add_plan(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--sd", type=float, default=1.0, help="SD of one rating")
    add("--half-width", type=float, help="half of the interval wanted")
    add("--difference", type=float, help="paired MOS difference to find")
    add("--correlation", type=float, default=0.5, help="of two ratings of a person")
    add("--power", type=float, default=0.8)
    add("--comparisons", type=int, default=1, help="size of the Holm family")
    add("--level", type=float, default=0.95)
    add("--n", type=int, help="what so many participants resolve")
    parser.set_defaults(run=_plan)


def _plan(options: argparse.Namespace) -> None:
    from analysis.stats import planning

    alpha = 1 - options.level
    sd_diff = planning.sd_of_difference(options.sd, options.correlation)
    asked = False
    if options.half_width is not None:
        asked = True
        n = planning.n_for_half_width(options.sd, options.half_width, options.level)
        print(
            f"{n} participants: half-width {options.half_width:g} at SD "
            f"{options.sd:g}, level {options.level:g}."
        )
    if options.difference is not None:
        asked = True
        n = planning.n_for_difference(
            options.difference,
            sd_diff,
            power=options.power,
            alpha=alpha,
            comparisons=options.comparisons,
        )
        print(
            f"{n} participants: paired difference {options.difference:g}, SD of "
            f"differences {sd_diff:.3g}, power {options.power:g}, "
            f"{options.comparisons} comparisons (Holm)."
        )
    if options.n is not None:
        asked = True
        half = planning.half_width(options.n, options.sd, options.level)
        found = planning.resolvable_difference(
            options.n,
            sd_diff,
            power=options.power,
            alpha=alpha,
            comparisons=options.comparisons,
        )
        print(
            f"{options.n} participants: half-width {half:.3g}; paired differences "
            f"from {found:.3g} up, {options.comparisons} comparisons (Holm), power "
            f"{options.power:g}."
        )
    if not asked:
        print(planning.plan_table(level=options.level).to_string(index=False))
        print()
        table = planning.difference_table(
            options.sd, options.correlation, power=options.power, alpha=alpha
        )
        print(table.to_string(index=False))


def _add_pairs(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "file",
        type=Path,
        help="CSV of choices (participant, stimulus, second, "
        "choice) or of ratings, which are then compared within people",
    )
    _add_reading(parser)
    add("--model", choices=("bradley_terry", "thurstone"), default="bradley_terry")
    add(
        "--estimator",
        choices=("auto", "ml", "firth"),
        default="auto",
        help="maximum likelihood, Firth's bias-reduced estimate, or that where the "
        "likelihood has no maximum (default)",
    )
    add(
        "--prior",
        type=float,
        default=0.0,
        help="instead: pseudo-wins each way for every pair of pictures that are "
        "connected; draws many pictures together",
    )
    add("--resamples", type=int, default=999, help="bootstrap over people")
    add("--seed", type=int, default=20260101)
    add("--out", type=Path, help="CSV to write instead of printing")
    for kind in ("simulated", "pilot", "excluded"):
        add(f"--include-{kind}", action="store_true", help=f"use {kind} rows too")
    parser.set_defaults(run=_pairs)


def _pairs(options: argparse.Namespace) -> None:
    from analysis.stats import pairs
    from analysis.stats.frame import validate
    from analysis.stats.reading import read_ratings
    from analysis.stats.writing import write_csv

    ratings = validate(
        pairs.as_ratings(read_ratings(options.file, leave_out=options.leave_out)),
        scale=options.scale,
        step=options.step,
        include_simulated=options.include_simulated,
        include_pilot=options.include_pilot,
        include_excluded=options.include_excluded,
    )
    remarks = list(_usable(ratings, options).remarks)
    remarks += [f"{n} rows left out: {kind}." for kind, n in ratings.left_out.items()]
    table, notes = pairs.scales(
        ratings,
        model=options.model,
        estimator=options.estimator,
        prior=options.prior,
        resamples=options.resamples,
        seed=options.seed,
    )
    for remark in [*remarks, *notes]:
        print(remark, file=sys.stderr)
    if options.out:
        write_csv(table, options.out)
    else:
        print(table.to_string(index=False))


def _scale(text: str) -> tuple[float, float]:
    number = r"-?\d+(?:\.\d+)?"
    found = re.fullmatch(f"({number})-({number})", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"a scale is written as 1-5, not {text}")
    return float(found[1]), float(found[2])


def _whole_scale(text: str) -> tuple[int, int]:
    low, high = _scale(text)
    if low % 1 or high % 1:
        raise argparse.ArgumentTypeError(f"{text} has no whole points")
    return int(low), int(high)


def _step(text: str) -> float:
    if text == "any":
        return 0.0
    try:
        step = float(text)
    except ValueError:
        step = 0.0
    if not 0 < step < float("inf"):
        raise argparse.ArgumentTypeError(f"a step is a number above 0, not {text}")
    return step


if __name__ == "__main__":
    sys.exit(main())
