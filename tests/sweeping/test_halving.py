"""Successive halving: which points go on, and what it would have missed on a complete grid, worked out by hand."""

import optuna
import pytest
from optuna.trial import TrialState

from genre.sweeping.finalists import Selection
from genre.sweeping.halving import Halving, replay
from genre.sweeping.queue import QueueEntry
from genre.sweeping.report import points_sentence, replay_sentence

ACCURACY = Selection("val/accuracy", 1, (0,))
HISTORIES = {  # validation accuracy per epoch; judged after 2 and 4 epochs, one in 2 goes on
    "A": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6],  # the first always goes on: 6 epochs
    "B": [0.3, 0.1, 0.1, 0.1, 0.1, 0.1],  # 0.3 is the best of (0.2 0.3), but not of (0.4 0.3): 4 epochs
    "C": [0.0, 0.25, 0.9, 0.9, 0.9, 0.9],  # 0.25 is not the best of (0.2 0.3 0.25), one of which goes on: 2 epochs
    "D": [0.3, 0.3, 0.5, 0.5, 0.5, 0.7],  # one of two best of (0.2 0.3 0.25 0.3), the best of (0.4 0.3 0.5): 6 epochs
    "E": [0.4, 0.4, 0.4],  # the best after 2 epochs, and ends before 4: 3 epochs
    "F": [0.2, 0.35, 0.35, 0.6, 0.6, 0.8],  # with G, among the best three of seven, and the best two of five: 6 epochs
    "G": [0.3, 0.32, 0.32, 0.32, 0.32, 0.32],  # the same after 2 epochs; the fourth of five after 4: 4 epochs
}


def complete(trial, history):
    metrics = {"val/loss": 1.0, "val/accuracy": max(history), "parameters": 1, "epochs": len(history)}
    recorded = {"history": {"val/accuracy": history}, "monitor": "val/accuracy"}
    return QueueEntry(trial, TrialState.COMPLETE, {"seed": trial}, max(history), metrics | recorded)


ENTRIES = {name: complete(trial, history) for trial, (name, history) in enumerate(HISTORIES.items())}
PASSES = [[ENTRIES[name] for name in together] for together in ("A", "B", "C", "D", "E", "FG")]


def test_the_replay_of_a_grid_has_the_epochs_and_the_choice_that_were_worked_out_by_hand():
    halving = Halving(2, 2, "maximize")
    replayed = replay(PASSES, halving, ACCURACY)
    assert (replayed.trained, replayed.total) == (6 + 4 + 2 + 6 + 3 + 6 + 4, 6 * 6 + 3)
    assert replayed.chosen is ENTRIES["F"] and replayed.rank == 2  # C has 0.9
    assert replay_sentence(replayed, halving, ACCURACY, [*ENTRIES.values()]) == (
        "Successive halving (grid.prune=halving grid.first_epochs=2 grid.eta=2, one worker) would have trained 31 of "
        "these 39 epochs (79%), and chosen trial 5 with val/accuracy 0.8, rank 2 of 7."
    )


def test_the_score_of_a_point_is_that_of_its_best_epoch_by_another_metric():
    entries = [complete(trial, [0.0] * 3) for trial in range(3)]
    losses, accuracies = [[1, 2, 3], [1, 2, 3], [2, 1, 3]], [[0.5, 0.9, 0.9], [0.6, 0.1, 0.1], [0.6, 0.55, 0.9]]
    for entry, loss, accuracy in zip(entries, losses, accuracies, strict=True):
        entry.attributes.update(history={"val/loss": loss, "val/accuracy": accuracy}, monitor="val/loss")
    replayed = replay([[entry] for entry in entries], Halving(2, 2, "maximize"), ACCURACY)
    assert replayed.trained == 3 + 3 + 2  # after 2 epochs 0.5, 0.6 and 0.55


def test_the_points_that_stopped_are_counted_by_their_epochs():
    stopped = [QueueEntry(9, TrialState.PRUNED, {}, 0.1, {"epochs": epochs}) for epochs in (2, 1, 2)]
    failed = QueueEntry(7, TrialState.FAIL, {}, None, {})
    assert points_sentence([ENTRIES["E"], *stopped, failed]) == (
        "5 points, 8 epochs: 1 trained in full, 1 stopped after 1 epoch, 2 stopped after 2 epochs, 1 failed."
    )


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_points_judged_one_by_one_go_on_as_with_optunas_pruner(direction):
    scores = [[(7 * trial + 3 * step) % 10 / 10 for step in range(1, 13)] for trial in range(12)]
    outcomes = []
    for pruner in (Halving(2, 3, direction), optuna.pruners.SuccessiveHalvingPruner(2, 3)):
        study = optuna.create_study(direction=direction, pruner=pruner)
        outcomes.append([epochs_until_pruned(study.ask(), values) for values in scores])
    assert outcomes[0] == outcomes[1] and set(outcomes[0]) == {2, 6, 12}


def epochs_until_pruned(trial, scores):
    for epochs, score in enumerate(scores, start=1):
        trial.report(score, epochs)
        if trial.should_prune():
            return epochs
    return len(scores)


@pytest.mark.parametrize(("epochs", "rungs"), [(2, []), (3, [2]), (18, [2, 6]), (50, [2, 6, 18])])
def test_points_are_judged_at_growing_numbers_of_epochs_below_the_last(epochs, rungs):
    assert list(Halving(2, 3, "maximize").rungs(epochs)) == rungs
