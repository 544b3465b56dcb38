"""Spectrograms: the network's input as one PNG per track, a figure of examples, a mel spectrogram with axes."""

import logging
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from rich.progress import track as progress

from genre.data.catalogue import AUDIO_SUFFIXES, Catalogue, Skipped, Track
from genre.data.pipeline import Pipeline
from genre.data.store import Store
from genre.errors import SkipKind
from genre.evaluation import figures
from genre.exploration import plots

log = logging.getLogger(__name__)

WRITE_BATCH = 16  # tracks


def write_pictures(folder: Path, pipeline: Pipeline, store: Store, catalogue: Catalogue) -> list[Skipped]:
    """Write spectrograms/<genre>/<track>.png: the network's input at evaluation, 8-bit grey, without axes.

    Divided by 255, a file equals the network's input within 1/255. The first row, at the top, is the lowest band. A
    view with several crops gives <track>-1.png, <track>-2.png and so on.

    Returns:
        The files that could not be written.
    """
    tracks = {track.name: track for track in catalogue.tracks}
    paths = picture_names([tracks[name] for name in store.names])
    skipped = []
    rows = torch.arange(len(store.names)).split(WRITE_BATCH)
    for batch in progress(rows, "writing pictures", total=len(rows)):
        for row, crops in zip(batch.tolist(), network_inputs(pipeline, store, batch), strict=True):
            path = folder / "spectrograms" / paths[store.names[row]]
            try:
                write_crops(path, crops)
            except OSError as error:
                log.warning("skipped %s: %s", path, error.strerror)
                skipped.append(Skipped(str(path), SkipKind.NOT_WRITTEN, f"cannot be written ({error.strerror})"))
    return skipped


@torch.inference_mode()
def network_inputs(pipeline: Pipeline, store: Store, rows: torch.Tensor) -> npt.NDArray[np.float32]:
    """(batch,) rows of a store -> the network's input at evaluation, (batch, crops, size, size) in [0, 1]."""
    return pipeline.pictures(store, rows)[:, :, 0].cpu().numpy()


def write_crops(path: Path, crops: npt.NDArray[np.float32]) -> None:
    """Write the pictures of a track: (crops, size, size) in [0, 1]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for number, crop in enumerate(crops, start=1):
        file = path if len(crops) == 1 else path.with_name(f"{path.stem}-{number}.png")
        Image.fromarray(np.rint(crop * 255).clip(0, 255).astype(np.uint8)).save(file)
        log.info("wrote %s", file)


def picture_names(tracks: Sequence[Track]) -> dict[str, PurePosixPath]:
    """Return track -> path of its picture; an audio extension is dropped unless two names would then be equal."""
    short = {track.name: picture_name(track, True) for track in tracks}
    taken = list(short.values())
    return {
        track.name: short[track.name] if taken.count(short[track.name]) == 1 else picture_name(track, False)
        for track in tracks
    }


def picture_name(track: Track, short: bool) -> PurePosixPath:
    """'rock/live/song.mp3' -> rock/live/song.png, always within the folder of the primary genre."""
    genre = track.genres[0].replace("/", "_").lstrip(".") or "_"
    parts = [part for part in PurePosixPath(track.name).parts if part not in ("/", "..")]
    if len(parts) > 1 and parts[0] == track.genres[0]:
        parts = parts[1:]
    name = parts[-1]
    if short and PurePosixPath(name).suffix.lower() in AUDIO_SUFFIXES:
        name = PurePosixPath(name).stem
    return PurePosixPath(genre, *parts[:-1], f"{name}.png")


def draw_examples(folder: Path, pipeline: Pipeline, store: Store, catalogue: Catalogue, each: int) -> None:
    """Draw the network's input for the first tracks of each genre in one figure."""
    tracks = sorted(catalogue.limited(each).tracks, key=lambda track: track.genres[0])
    if tracks:
        rows = torch.tensor(store.rows(track.name for track in tracks))
        titles = [f"{figures.shorten(track.genres[0], 22)}\n{short_name(track.name, 22)}" for track in tracks]
        figure = figures.examples(network_inputs(pipeline, store, rows)[:, 0], titles)
        figures.save_figure(figure, folder / "figures" / "examples.png")


def short_name(track: str, longest: int) -> str:
    """Return the last part of a track's name, shortened with an ellipsis."""
    return figures.shorten(PurePosixPath(track).name, longest)


@torch.inference_mode()
def draw_mel(folder: Path, pipeline: Pipeline, store: Store, name: str) -> None:
    """Draw the mel spectrogram of a track with axes (figure 1 of the paper), as the pipeline computes it.

    The clips of an archive are scaled from their own minimum, which is drawn as -80 dB.
    """
    log_mel = pipeline.log_mels(store, torch.tensor(store.rows([name])))[0, 0].cpu().numpy()
    edges = pipeline.log_mel_spectrogram.log_mel.band_edges()
    title = f"mel spectrogram of {short_name(name, 60)}"
    figure = plots.mel_spectrogram((log_mel - 1) * 80, pipeline.view.seconds, edges, title)
    figures.save_figure(figure, folder / "figures" / "mel_spectrogram.png")
