"""Genre over time: one figure per track and one CSV for all tracks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from genre.evaluation import figures
from genre.files import write_csv
from genre.prediction.waveforms import WaveformModel


class Timeline:
    """Collects the probabilities of each track's windows; draws a figure per track.

    Args:
        folder: receives over_time.csv and figures/over_time.
        model: predicts the windows.
        hop: seconds between windows; None: half a window.
    """

    def __init__(self, folder: Path, model: WaveformModel, hop: float | None) -> None:
        self.folder, self.model, self.hop = folder, model, hop
        self.rows: list[tuple[str, ...]] = []
        self.figure_names: set[str] = set()

    def add(self, file: Path, waveform: Tensor, track_probabilities: Sequence[float]) -> None:
        """Predict the windows of a track, (samples,), and draw them beside its probabilities as a whole, (genres,)."""
        spans, windows = (part.double().cpu().numpy() for part in self.model.over_time(waveform, self.hop))
        for (begin, end), probabilities in zip(spans, windows, strict=True):
            self.rows.append((str(file), f"{begin:.2f}", f"{end:.2f}", *(f"{p:.6f}" for p in probabilities)))
        whole = np.array(track_probabilities)
        figure = figures.over_time(spans[:, 0], spans[:, 1], windows, whole, self.model.genres, file.name)
        figures.save_figure(figure, self.folder / "figures" / "over_time" / f"{self.unique_name(file)}.png")

    def unique_name(self, file: Path) -> str:
        """Return a name for a track's figure that no earlier track has."""
        stem = file.stem.replace("=", "-")
        name, number = stem, 1
        while name in self.figure_names:
            number += 1
            name = f"{stem}-{number}"
        self.figure_names.add(name)
        return name

    def write_table(self) -> None:
        """Write over_time.csv."""
        write_csv(self.folder / "over_time.csv", ("path", "begin", "end", *self.model.genres), self.rows)
