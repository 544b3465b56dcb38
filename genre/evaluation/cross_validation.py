"""The folds of a cross-validation as one run, in which every track is tested once."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from genre.evaluation.finished_runs import Run, group_by, section_of

FOLD, FOLDS = "split.fold", "split.folds"


def merge_folds(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """Merge the runs that differ only in ``split.fold``; other runs stay as they are.

    Returns:
        The runs, and why some folds cannot be merged: the set is incomplete.
    """
    merged: list[Run] = []
    incomplete: list[str] = []
    for group in group_by(runs, cross_validation_key).values():
        folds = group[0].settings.get(FOLDS)
        if folds is None:
            merged += group
            continue
        missing = sorted(set(range(folds)) - {run.settings[FOLD] for run in group})
        if missing:
            names = ", ".join(str(run.folders[0]) for run in group)
            numbers = ",".join(map(str, missing))
            incomplete.append(f"{names} (of {folds} folds some are missing; train them with -m split.fold={numbers})")
        else:
            merged.append(merged_run(sorted(group, key=lambda run: run.settings[FOLD])))
    return merged, incomplete


def cross_validation_key(run: Run) -> tuple[object, ...]:
    """Return what the folds of a cross-validation share; a single run shares it with no other."""
    if run.settings.get(FOLDS) is None:
        return run.folders
    shared = {key: str(value) for key, value in run.settings.items() if key != FOLD}
    return (run.name, run.seed, *sorted(shared.items()))


def merged_run(folds: Sequence[Run]) -> Run:
    """Return the folds as one run.

    The metrics are means over the folds, those of the test subset weighted by its tracks, so that the accuracy is that
    of all tracks; seconds are a sum.
    """
    first = folds[0]
    settings = {key: value for key, value in first.settings.items() if key != FOLD}
    tested = {track: genres for run in folds for track, genres in run.tested.items()}
    numbers = [key for key, value in first.metrics.items() if isinstance(value, (int, float))]
    return Run(
        folders=tuple(folder for run in folds for folder in run.folders),
        name=first.name,
        seed=first.seed,
        settings=settings,
        metrics={key: merged_metric(key, folds) for key in numbers if all(key in run.metrics for run in folds)},
        section=section_of(settings, tested),
        tested=tested,
        groups={track: group for run in folds for track, group in run.groups.items()},
    )


def merged_metric(key: str, folds: Sequence[Run]) -> float:
    """Return a metric of all folds."""
    values: list[Any] = [run.metrics[key] for run in folds]
    if key == "seconds":
        return float(sum(values))
    weights = [len(run.tested) for run in folds] if key.startswith("test/") else None
    return float(np.average(values, weights=weights))
