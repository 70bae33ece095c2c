"""The statistics alone: `python -m analysis.stats report ratings.csv --out DIR`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


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
    return parser


def _add_report(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("ratings", type=Path, help="CSV: long, or a matrix of people and stimuli")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for the tables")
    add("--rows", choices=("people", "stimuli"), help="what a matrix has as rows")
    add("--scale", type=_scale, default=(1, 5), metavar="LOW-HIGH", help="default 1-5")
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
        help="none, bt500, bt500-reference, p913, pearson or spearman",
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
    add(
        "--condition-ci",
        choices=("cluster_t", "cluster_bootstrap"),
        default="cluster_t",
    )
    add("--fast-ms", type=float, default=600, help="faster answers are hasty")
    add("--resamples", type=int, help="of every bootstrap; default by size")
    add("--seed", type=int, default=20260101, help="seed of every bootstrap")
    for kind in ("simulated", "pilot", "excluded"):
        add(f"--include-{kind}", action="store_true", help=f"use {kind} rows too")
    parser.set_defaults(run=_report)


def _report(options: argparse.Namespace) -> None:
    from analysis.stats.frame import validate
    from analysis.stats.reading import read_ratings
    from analysis.stats.report import Options, build

    ratings = validate(
        read_ratings(options.ratings, rows=options.rows),
        scale=options.scale,
        repeats=options.repeats,
        include_simulated=options.include_simulated,
        include_pilot=options.include_pilot,
        include_excluded=options.include_excluded,
    )
    for sentence in ratings.refusals():
        print(sentence, file=sys.stderr)
    report = build(
        ratings,
        Options(
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
    for path in report.write(options.out):
        print(path)


def _scale(text: str) -> tuple[int, int]:
    low, _, high = text.partition("-")
    return int(low), int(high)


if __name__ == "__main__":
    sys.exit(main())
