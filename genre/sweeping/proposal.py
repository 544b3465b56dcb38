"""Which points of a grid are tried: all, a random sample, or those that Optuna's TPE proposes from what is known."""

from collections.abc import Callable, Sequence

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState, create_trial

from genre.errors import UserError
from genre.sweeping.grid import Grid, Point, value_label
from genre.sweeping.queue import Direction, QueueEntry

SAMPLERS = ("grid", "random", "tpe")
FIRST = 10  # random points before TPE proposes
TRIES = 100  # proposals of points that are known already, before a random one is taken


class Plan:
    """What is queued at the start, and what later.

    Args:
        grid: the points to choose from.
        sampler: of SAMPLERS.
        trials: how many points are tried, of all earlier ones too; None for every point of the grid.
        seed: of the choice.
        direction: 'maximize' or 'minimize'.

    Raises:
        ValueError: naming the key whose value cannot be.
    """

    def __init__(self, grid: Grid, sampler: str, trials: int | None, seed: int, direction: Direction) -> None:
        if sampler not in SAMPLERS:
            raise ValueError(f"grid.sampler={sampler} is not one of {', '.join(SAMPLERS)}")
        if (trials is None) != (sampler == "grid"):
            raise ValueError(f"grid.sampler={sampler} with grid.trials={trials}: random and tpe need grid.trials=N, "
                             "the grid takes every point")  # fmt: skip
        if trials is not None and trials < 1:
            raise ValueError(f"grid.trials={trials} must be at least 1")
        self.grid, self.sampler, self.seed, self.direction = grid, sampler, seed, direction
        self.points = list(grid.points())
        self.trials = min(trials or len(self.points), len(self.points))

    def first(self) -> list[Point]:
        """The points that are queued at the start; more trials of the same seed only add to them."""
        if self.sampler == "grid":
            return self.points
        count = self.trials if self.sampler == "random" else min(FIRST, self.trials)
        return [self.points[place] for place in self.order()[:count]]

    def order(self) -> Sequence[int]:
        """The grid's places in random order."""
        return np.random.default_rng(self.seed).permutation(len(self.points)).tolist()

    def next(self, entries: list[QueueEntry], identity: Callable[[Point], str]) -> Point | None:
        """A point that TPE proposes, new; None where there are enough.

        Args:
            entries: every point so far.
            identity: what tells two points apart.
        """
        if self.sampler != "tpe" or len(entries) >= self.trials:
            return None
        known = {identity(entry.point) for entry in entries}
        study = in_memory_study(self.grid, entries, self.direction, self.seed)
        for _ in range(TRIES):
            point = self.valued(study.ask({**distributions_of(self.grid)}).params)
            if identity(point) not in known:
                return point
        return next((p for p in map(self.points.__getitem__, self.order()) if identity(p) not in known), None)

    def valued(self, labels: dict[str, str]) -> Point:
        """Labels of values as the values themselves."""
        named = {key: {value_label(value): value for value in values} for key, values in self.grid.axes.items()}
        return {key: named[key][label] for key, label in labels.items()}


def build_plan(grid: Grid, sampler: str, trials: int | None, seed: int, direction: Direction) -> Plan:
    """A plan from configured values.

    Raises:
        UserError: naming the key whose value cannot be.
    """
    try:
        return Plan(grid, sampler, trials, seed, direction)
    except ValueError as error:
        raise UserError(str(error)) from None


def distributions_of(grid: Grid) -> dict[str, CategoricalDistribution]:
    """Each axis as categories."""
    return {key: CategoricalDistribution([value_label(value) for value in values]) for key, values in grid.axes.items()}


def in_memory_study(grid: Grid, entries: Sequence[QueueEntry], direction: Direction, seed: int) -> optuna.Study:
    """A study in memory with what is known of a grid's points, every axis as categories."""
    sampler = optuna.samplers.TPESampler(seed=seed + len(entries), n_startup_trials=0, constant_liar=True)
    study = optuna.create_study(direction=direction, sampler=sampler)
    kinds = distributions_of(grid)
    for entry in entries:
        labels = {key: value_label(entry.point[key]) for key in kinds if key in entry.point}
        inside = len(labels) == len(kinds) and all(labels[key] in kind.choices for key, kind in kinds.items())
        if inside and entry.state in (TrialState.COMPLETE, TrialState.RUNNING):
            study.add_trial(create_trial(state=entry.state, value=entry.value, params=labels, distributions={**kinds}))
    return study
