"""How evenly stimuli fill and what precision mode saves, in simulated studies.

    python benchmarks/allocation.py

Part 1: 200 participants, at most 20 at once, 30 % of whom leave somewhere on their way
without a word. Part 2: panels whose stimuli differ in how much people agree; uniform
sampling and precision mode both go on until every interval is narrow enough, under the
same looks. Seeded; no number here depends on the machine.
"""

from __future__ import annotations

import heapq
import random
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from tqdm import tqdm

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from survey.design import (  # noqa: E402
    PrecisionGoal,
    Tally,
    VoteSums,
    allocate,
    allocate_widest,
    assess,
    balanced_subset,
)

START = datetime(2026, 1, 1)
FREE_AFTER = timedelta(minutes=2)
SECONDS_PER_ANSWER = 6


@dataclass
class Person:
    number: int
    patience: int
    """Answers after which they leave, or the whole session."""
    seen: list[int] = field(default_factory=list)
    planned: list[int] = field(default_factory=list)
    last_sign: datetime = START


@dataclass
class Study:
    """People come one after another onto free seats and answer in their own time."""

    n_stimuli: int
    size: int
    chunk: int
    """How many trials are planned at a time; `size` plans the session at joining."""
    seed: int
    seats: int = 20
    dropout: float = 0.3
    assign: str = "allocate"
    goal: PrecisionGoal | None = None
    rate: Callable[[int, random.Random], int] | None = None

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)
        self.votes: list[list[int]] = [[] for _ in range(self.n_stimuli)]
        self.looks: dict[int, VoteSums[int]] = {}
        self.done: set[int] = set()
        self.people: list[Person] = []

    def run(self, participants: int) -> list[list[int]]:
        """The votes of every stimulus after `participants`, or when all are done."""
        events: list[tuple[datetime, int]] = []
        joined = 0

        def join(now: datetime) -> None:
            nonlocal joined
            leaves = self.draw.random() < self.dropout
            patience = self.draw.randrange(self.size) if leaves else self.size
            person = Person(joined, patience, last_sign=now)
            person.planned = self._plan(person, now)
            self.people.append(person)
            heapq.heappush(events, (self._later(now), joined))
            joined += 1

        for place in range(min(self.seats, participants)):
            join(START + timedelta(seconds=place))
        while events and not self.complete:
            now, number = heapq.heappop(events)
            person = self.people[number]
            if self._answers(person, now):
                heapq.heappush(events, (self._later(now), number))
            elif joined < participants:
                join(now)
        return self.votes

    @property
    def complete(self) -> bool:
        return len(self.done) == self.n_stimuli

    def _later(self, now: datetime) -> datetime:
        pause = SECONDS_PER_ANSWER * self.draw.gammavariate(2, 0.5)
        return now + timedelta(seconds=pause)

    def _answers(self, person: Person, now: datetime) -> bool:
        """One answer and what comes next; False if this person has gone."""
        if not person.planned or len(person.seen) == person.patience:
            return False
        stimulus = person.planned.pop()
        person.seen.append(stimulus)
        person.last_sign = now
        self._vote(stimulus)
        if not person.planned and len(person.seen) < self.size:
            person.planned = self._plan(person, now)
        return bool(person.planned)

    def _plan(self, person: Person, now: datetime) -> list[int]:
        size = min(self.chunk, self.size - len(person.seen))
        everything = range(self.n_stimuli)
        if self.assign == "random":
            return self.draw.sample(everything, size)
        if self.assign == "balanced":
            return balanced_subset(
                everything, size, number=person.number, seed=self.seed
            )
        reserved: list[list[datetime]] = [[] for _ in everything]
        for other in self.people:
            for stimulus in other.planned:
                reserved[stimulus].append(other.last_sign)
        tallies = [
            Tally(stimulus, len(self.votes[stimulus]), tuple(reserved[stimulus]))
            for stimulus in everything
        ]
        seed, seen = self.draw.getrandbits(62), person.seen
        if self.assign == "widest":
            assert self.goal is not None
            order = allocate_widest(
                tallies,
                self.looks,
                size,
                goal=self.goal,
                now=now,
                free_after=FREE_AFTER,
                seed=seed,
                seen=seen,
            )
        else:
            order = allocate(
                tallies, size, now=now, free_after=FREE_AFTER, seed=seed, seen=seen
            )
        self.draw.shuffle(order)
        return order

    def _vote(self, stimulus: int) -> None:
        votes = self.votes[stimulus]
        votes.append(self.rate(stimulus, self.draw) if self.rate else 3)
        if self.goal is not None and len(votes) == self.goal.look(len(votes)):
            sums = VoteSums(stimulus, len(votes), sum(votes), sum(v * v for v in votes))
            self.looks[stimulus] = sums
            if assess(sums, self.goal).done:
                self.done.add(stimulus)
            elif self.assign == "widest":
                self.done.discard(stimulus)


def difference(votes: Sequence[Sequence[int]]) -> int:
    counts = [len(v) for v in votes]
    return max(counts) - min(counts)


def fill(
    assign: str, *, n_stimuli: int, size: int, chunk: int, seed: int
) -> list[list[int]]:
    """200 participants, at most 20 at once, 30 % drop-out."""
    return Study(n_stimuli, size, chunk, seed, assign=assign).run(200)


def panel(sds: Sequence[float], seed: int) -> Callable[[int, random.Random], int]:
    """People's ratings: a quality and an SD per stimulus, rounded onto 1 to 5."""
    draw = random.Random(f"{seed}/panel")
    means = [draw.uniform(1.5, 4.5) for _ in sds]

    def rate(stimulus: int, person: random.Random) -> int:
        score = person.gauss(means[stimulus], sds[stimulus])
        return max(1, min(5, round(score)))

    return rate


def needed(
    assign: str, sds: Sequence[float], goal: PrecisionGoal, *, size: int, seed: int
) -> int:
    """Votes spent until every stimulus has reached the goal."""
    study = Study(
        len(sds),
        size,
        min(5, size),
        seed,
        assign=assign,
        goal=goal,
        rate=panel(sds, seed),
    )
    study.run(100_000)
    assert study.complete
    return sum(len(votes) for votes in study.votes)


def even(n: int, low: float, high: float) -> list[float]:
    return [low + (high - low) * i / (n - 1) for i in range(n)]


def allocation_table(seeds: range) -> None:
    print("200 participants, at most 20 at once, 30 % drop out without a word;")
    print("what they leave is freed after 2 minutes")
    print("votes per stimulus at the end; most − fewest over", len(seeds), "seeds\n")
    header = ("stimuli", "seen", "planned by", "votes", "median", "worst", "≤ 2")
    print("{:>7} {:>5}  {:<34}{:>7}{:>8}{:>7}{:>7}".format(*header))
    rows = [
        ("random", "random subset", None),
        ("balanced", "balanced subset, no counts", None),
        ("allocate", "least filled, whole session", None),
        ("allocate", "least filled, 5 trials at a time", 5),
        ("allocate", "least filled, trial by trial", 1),
    ]
    shapes = [(25, 10), (50, 25), (100, 20)]
    bar = tqdm(total=len(rows) * len(shapes) * len(seeds), leave=False)
    lines = []
    for n_stimuli, size in shapes:
        for assign, name, chunk in rows:
            differences, totals = [], []
            for seed in seeds:
                votes = fill(
                    assign,
                    n_stimuli=n_stimuli,
                    size=size,
                    chunk=chunk or size,
                    seed=seed,
                )
                differences.append(difference(votes))
                totals.append(sum(map(len, votes)) / n_stimuli)
                bar.update()
            share = sum(d <= 2 for d in differences) / len(differences)
            lines.append(
                f"{n_stimuli:>7} {size:>5}  {name:<34}{statistics.mean(totals):>7.1f}"
                f"{statistics.median(differences):>8.0f}{max(differences):>7}"
                f"{share:>7.0%}"
            )
    bar.close()
    print("\n".join(lines))


def precision_table(seeds: range) -> None:
    goal = PrecisionGoal(half_width=0.25)
    panels = {
        "all SD 0.8 (no difference)": [0.8] * 30,
        "SD 0.6 to 1.0": even(30, 0.6, 1.0),
        "SD 0.4 to 1.2": even(30, 0.4, 1.2),
        "four of 30 SD 1.2, others 0.6": [1.2] * 4 + [0.6] * 26,
    }
    print(f"\nVotes until every 95 % interval is ± {goal.half_width} or narrower")
    print("30 stimuli, 15 seen, 5 trials at a time, 20 at once, 30 % drop-out;")
    print("uniform sampling stops when each has been narrow enough at some look;")
    print(f"looks at 15, 20, 25, … votes; mean over {len(seeds)} seeds\n")
    header = ("panel", "uniform", "precision", "saved", "least")
    print("{:<32}{:>9}{:>11}{:>8}{:>8}".format(*header))
    bar = tqdm(total=2 * len(panels) * len(seeds), leave=False)
    lines = []
    for name, sds in panels.items():
        uniform, precise = [], []
        for seed in seeds:
            uniform.append(needed("allocate", sds, goal, size=15, seed=seed))
            bar.update()
            precise.append(needed("widest", sds, goal, size=15, seed=seed))
            bar.update()
        saved = [1 - p / u for p, u in zip(precise, uniform, strict=True)]
        lines.append(
            f"{name:<32}{statistics.mean(uniform):>9.0f}{statistics.mean(precise):>11.0f}"
            f"{statistics.mean(saved):>8.0%}{min(saved):>8.0%}"
        )
    bar.close()
    print("\n".join(lines))


if __name__ == "__main__":
    allocation_table(range(1, 21))
    precision_table(range(1, 11))
