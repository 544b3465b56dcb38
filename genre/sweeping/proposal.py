"""Which points of a grid are tried: all of them, a random sample, or those that Optuna's TPE proposes."""

from collections.abc import Callable, Sequence

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState, create_trial

from genre.sweeping.grid import Grid, Point, value_label
from genre.sweeping.queue import Direction, QueueEntry

STARTUP_POINTS = 10  # random points before TPE starts
MAX_PROPOSALS = 100  # by TPE, of points tried before; then a random one is taken


class Plan:
    """The points that are queued at the start of a sweep, and those proposed later.

    Args:
        grid: the points to choose from.
        sampler: 'grid', 'random' or 'tpe'.
        trials: total number of points, earlier runs of the sweep included; None for every point of the grid.
        seed: of the sampler.
        direction: 'maximize' or 'minimize'.
    """

    def __init__(self, grid: Grid, sampler: str, trials: int | None, seed: int, direction: Direction) -> None:
        self.grid, self.sampler, self.seed, self.direction = grid, sampler, seed, direction
        self.points = list(grid.points())
        self.trials = min(trials or len(self.points), len(self.points))

    def initial_points(self) -> list[Point]:
        """Points queued at the start; a larger ``trials`` with the same seed adds to them."""
        if self.sampler == "grid":
            return self.points
        count = self.trials if self.sampler == "random" else min(STARTUP_POINTS, self.trials)
        return [self.points[index] for index in self.random_order()[:count]]

    def random_order(self) -> Sequence[int]:
        """Indices of the grid's points in random order."""
        return np.random.default_rng(self.seed).permutation(len(self.points)).tolist()

    def propose(self, entries: list[QueueEntry], identity: Callable[[Point], str]) -> Point | None:
        """Return a new point proposed by TPE; None if ``trials`` points are queued already, or the sampler is another.

        Args:
            entries: every point of the sweep.
            identity: key of a point.
        """
        if self.sampler != "tpe" or len(entries) >= self.trials:
            return None
        queued = {identity(entry.point) for entry in entries}
        study = in_memory_study(self.grid, entries, self.direction, self.seed)
        for _ in range(MAX_PROPOSALS):
            point = self.point_from_labels(study.ask({**distributions_of(self.grid)}).params)
            if identity(point) not in queued:
                return point
        shuffled = (self.points[index] for index in self.random_order())
        return next((point for point in shuffled if identity(point) not in queued), None)

    def point_from_labels(self, labels: dict[str, str]) -> Point:
        """Replace the label of each value by the value."""
        values_by_label = {
            key: {value_label(value): value for value in values} for key, values in self.grid.axes.items()
        }
        return {key: values_by_label[key][label] for key, label in labels.items()}


def distributions_of(grid: Grid) -> dict[str, CategoricalDistribution]:
    """Optuna's distribution of each axis: categories, one per value."""
    return {key: CategoricalDistribution([value_label(value) for value in values]) for key, values in grid.axes.items()}


def in_memory_study(grid: Grid, entries: Sequence[QueueEntry], direction: Direction, seed: int) -> optuna.Study:
    """Copy the running and complete points on the grid to a study in memory, with each axis as categories."""
    sampler = optuna.samplers.TPESampler(seed=seed + len(entries), n_startup_trials=0, constant_liar=True)
    study = optuna.create_study(direction=direction, sampler=sampler)
    axes = distributions_of(grid)
    for entry in entries:
        labels = {key: value_label(entry.point[key]) for key in axes if key in entry.point}
        on_grid = len(labels) == len(axes) and all(labels[key] in axis.choices for key, axis in axes.items())
        if on_grid and entry.state in (TrialState.COMPLETE, TrialState.RUNNING):
            study.add_trial(create_trial(state=entry.state, value=entry.value, params=labels, distributions={**axes}))
    return study
