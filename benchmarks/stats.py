"""How long the statistics take and what they need: `python benchmarks/stats.py`.

Sparse panels (5,000 people × 10,000 stimuli at the largest) of 10k, 100k and 1M
ratings: from a frame in memory to MOS, raters, BT.500, bias, MLE and α; the same as a
CSV through the command line with all its files; and the MLE on two dense shapes.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from analysis.stats import mos, raters, recovery, reliability, screening  # noqa: E402
from analysis.stats.frame import Votes, validate  # noqa: E402


def simulated(n_people: int, n_stimuli: int, n: int, seed: int = 1) -> pd.DataFrame:
    """n ratings of distinct cells, with bias and inconsistency by person."""
    rng = np.random.default_rng(seed)
    cell = rng.choice(n_people * n_stimuli, n, replace=False)
    person, stimulus = cell // n_stimuli, cell % n_stimuli
    quality = rng.uniform(1.5, 4.5, n_stimuli)
    bias, noise = rng.normal(0, 0.4, n_people), rng.uniform(0.4, 1.2, n_people)
    score = quality[stimulus] + bias[person] + noise[person] * rng.normal(size=n)
    return pd.DataFrame(
        {
            "participant": np.array([f"P{i:05d}" for i in range(n_people)])[person],
            "stimulus": np.array([f"S{i:05d}" for i in range(n_stimuli)])[stimulus],
            "rating": np.clip(np.rint(score), 1, 5).astype(int),
        }
    )


def dense(n_people: int, n_stimuli: int, share: float, seed: int = 1) -> Votes:
    frame = simulated(n_people, n_stimuli, int(n_people * n_stimuli * share), seed)
    return validate(frame).votes


def timed(what: str, run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    seconds = time.perf_counter() - start
    print(f"  {what:<28}{seconds * 1000:>10.1f} ms")
    return seconds


def in_memory(frame: pd.DataFrame) -> float:
    """Frame → validated → every table, timed step by step."""
    steps: dict[str, object] = {}

    def keep(name: str, run: Callable[[], object]) -> Callable[[], None]:
        return lambda: steps.update({name: run()})

    total = timed("validate", keep("ratings", lambda: validate(frame)))
    ratings = steps["ratings"]
    total += timed("MOS table", lambda: mos.mos_table(ratings))
    votes = ratings.votes
    total += timed("BT.500", lambda: screening.bt500(votes))
    total += timed("P.913 bias", lambda: recovery.p913(votes))
    total += timed("P.910 MLE", keep("mle", lambda: recovery.p910(votes)))
    total += timed("raters", lambda: raters.raters_table(ratings, {None: steps["mle"]}))
    total += timed("Krippendorff α", lambda: reliability.krippendorff(votes))
    print(f"  {'together':<28}{total * 1000:>10.1f} ms")
    return total


def command_line(frame: pd.DataFrame) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "ratings.csv")
        frame.to_csv(path, index=False)
        command = [sys.executable, "-m", "analysis.stats", "report", str(path)]
        start = time.perf_counter()
        subprocess.run(
            [*command, "--out", f"{folder}/out"],
            cwd=ROOT,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        print(f"  CSV to files with imports  {time.perf_counter() - start:>10.2f} s")
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"  its peak memory (largest)  {peak:>10.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-files", action="store_true", help="in memory only")
    options = parser.parse_args()
    for people, stimuli, share in ((26, 79, 1.0), (1000, 1000, 0.5)):
        votes = dense(people, stimuli, share)
        recovery.p910(votes)  # warm
        print(f"{stimuli} stimuli × {people} people, {share:.0%}:")
        best = min(
            timed("P.910 MLE", lambda v=votes: recovery.p910(v)) for _ in range(3)
        )
        print(f"  {'best':<28}{best * 1000:>10.1f} ms")
    for people, stimuli, n in (
        (500, 1000, 10_000),
        (1_600, 3_200, 100_000),
        (5_000, 10_000, 1_000_000),
    ):
        print(f"{n:,} ratings, {people:,} people × {stimuli:,} stimuli:")
        frame = simulated(people, stimuli, n)
        in_memory(frame)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"  peak memory so far         {peak:>10.0f} MB")
        if not options.no_files:
            command_line(frame)


if __name__ == "__main__":
    main()
