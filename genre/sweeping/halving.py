"""Successive halving: all points train a few epochs, one in ``eta`` goes on to ``eta`` times as many, and so on.

Nobody waits: a point is compared with those that have come as far until then. Optuna's SuccessiveHalvingPruner has the
same rule, but judges the points of a pass one by one, so that the first of them would always go on.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import optuna
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial

from genre.sweeping.finalists import Selection
from genre.sweeping.queue import Direction, QueueEntry
from genre.sweeping.trial import scores_so_far


class Halving(BasePruner):
    """The rule of successive halving, and Optuna's pruner by it.

    Args:
        first_epochs: after which every point is judged for the first time.
        eta: one point in so many goes on, to so many times as many epochs.
        direction: 'maximize' or 'minimize' the score.
    """

    def __init__(self, first_epochs: int, eta: int, direction: Direction) -> None:
        self.first_epochs, self.eta, self.sign = first_epochs, eta, 1 if direction == "maximize" else -1

    def rungs(self, epochs: int) -> Iterator[int]:
        """The numbers of epochs after which points are judged, below ``epochs``."""
        rung = self.first_epochs
        while rung < epochs:
            yield rung
            rung *= self.eta

    def goes_on(self, score: float, reached: Sequence[float]) -> bool:
        """Return whether a score is among the best of those that reached this rung, itself included; equal ones are."""
        better = sum(self.sign * other > self.sign * score for other in reached)
        return better < max(len(reached) // self.eta, 1)

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Return whether a point stops at the number of epochs that it reported last."""
        epochs = trial.last_step
        if epochs is None or epochs not in self.rungs(epochs + 1):
            return False
        trials = study.get_trials(deepcopy=False)
        reached = [other.intermediate_values[epochs] for other in trials if epochs in other.intermediate_values]
        return not self.goes_on(trial.intermediate_values[epochs], reached)


@dataclass(frozen=True)
class Replay:
    """What successive halving would have done with points that were all trained in full.

    Args:
        trained: epochs that it would have trained.
        total: epochs that were trained.
        chosen: the best point that it would not have stopped.
        rank: of the chosen point among all; 1 plus the number of points with a better score.
    """

    trained: int
    total: int
    chosen: QueueEntry
    rank: int


def replay(passes: Sequence[Sequence[QueueEntry]], halving: Halving, selection: Selection) -> Replay:
    """Replay successive halving over the recorded histories of complete points.

    Args:
        passes: points that train together, in the order in which one worker claims them.
        halving: its rule.
        selection: ranks the points.
    """
    entries = [entry for together in passes for entry in together]
    reached: dict[int, list[float]] = defaultdict(list)
    epochs: dict[int, int] = {}
    for together in passes:
        epochs |= replay_pass(together, halving, selection.score, reached)
    chosen = selection.rank([entry for entry in entries if epochs[entry.trial] == entry.attributes["epochs"]])[0]
    better = sum(halving.sign * (entry.value or 0.0) > halving.sign * (chosen.value or 0.0) for entry in entries)
    return Replay(sum(epochs.values()), sum(entry.attributes["epochs"] for entry in entries), chosen, better + 1)


def replay_pass(
    entries: Sequence[QueueEntry], halving: Halving, score: str, reached: dict[int, list[float]]
) -> dict[int, int]:
    """Replay points that train together; their scores are added to ``reached``, by rung.

    Returns:
        the number of epochs that each would have trained, by trial. Points are not judged at their last epoch.
    """
    scores = {entry.trial: scores_so_far(entry.attributes["history"], entry.attributes["monitor"], score)
              for entry in entries}  # fmt: skip
    epochs = {trial: len(values) for trial, values in scores.items()}
    for rung in halving.rungs(max(epochs.values())):
        judged = {trial: scores[trial][rung - 1] for trial in epochs if epochs[trial] > rung}
        reached[rung] += judged.values()
        epochs |= {trial: rung for trial, value in judged.items() if not halving.goes_on(value, reached[rung])}
    return epochs
