"""A row of a table of runs: one configuration, measured once or with several seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np


class Difference(NamedTuple):
    """A difference of accuracies on the same tracks, from -1 to 1, and its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass
class TableRow:
    """A configuration in a table: one run, or several seeds.

    Args:
        model: its name.
        task: multiclass or multilabel.
        split: kind and seed.
        values: column -> one number per run.
        interval: of the test accuracy; None without test tracks.
        difference: test accuracy minus that of the reference, with its 95 % interval; None for the reference itself.
        mark: 'best', 'tied' or empty.
        runs: number of seeds; 0 for the paper.
        folders: of its runs.
        network: that it trained, by the published name or the class; empty for the paper.
    """

    model: str
    task: str
    split: str
    values: dict[str, list[float]]
    interval: tuple[float, float] | None = None
    difference: Difference | None = None
    mark: str = ""
    runs: int = 0
    folders: tuple[str, ...] = ()
    network: str = ""

    def cells(self) -> dict[str, str]:
        """Return the row as text: column -> cell."""
        numbers = {name: format_mean(values, name == "seconds") for name, values in self.values.items()}
        interval = "–" if self.interval is None else f"{100 * self.interval[0]:.1f} to {100 * self.interval[1]:.1f}"
        texts = {"model": self.model, "task": self.task, "split": self.split, "": self.mark}
        return texts | numbers | {"95 % interval": interval}

    def record(self) -> dict[str, Any]:
        """Return the row as numbers from 0 to 1, with columns for means and standard deviations."""
        record: dict[str, Any] = {
            "model": self.model,
            "task": self.task,
            "split": self.split,
            "network": self.network,
            "runs": self.runs,
        }
        for name, values in self.values.items():
            mean, deviation = mean_and_deviation(values)
            record |= {name.replace(" ", "_"): mean, f"{name.replace(' ', '_')}_sd": deviation}
        low, high = self.interval or (None, None)
        record |= {"ci95_low": low, "ci95_high": high}
        difference = self.difference or (None, None, None)
        record |= dict(zip(("difference", "difference_low", "difference_high"), difference, strict=True))
        return record | {"mark": self.mark, "folders": " ".join(self.folders)}


def mean_and_deviation(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the mean of some runs, and the standard deviation (of a sample) for two or more."""
    if not values:
        return None, None
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def format_mean(values: Sequence[float], seconds: bool) -> str:
    """Return per cent or seconds as text: '62.5', '61.1 ± 1.4 (3)' for three seeds, '–' without values."""
    mean, deviation = mean_and_deviation(values)
    if mean is None:
        return "–"
    scale, digits = (1, 0) if seconds else (100, 1)
    text = f"{scale * mean:.{digits}f}"
    return text if deviation is None else f"{text} ± {scale * deviation:.{digits}f} ({len(values)})"
