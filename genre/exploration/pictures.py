"""Pictures of spectrograms: a file a track as the network gets it, a page of examples, one with its axes."""

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
from genre.exploration import drawing

log = logging.getLogger(__name__)

AT_ONCE = 16  # tracks


def write_pictures(folder: Path, pipeline: Pipeline, store: Store, found: Catalogue) -> list[Skipped]:
    """Write spectrograms/<genre>/<track>.png: what the network gets to see at evaluation, 8 bits grey, without axes.

    The picture read back and divided by 255 is the network's input within 1/255. Its first row, at the top, is the
    lowest band. A view of several crops gives a picture each, <track>-1.png and on.

    Returns:
        what could not be written, and why.
    """
    tracks = {track.name: track for track in found.tracks}
    places = picture_names([tracks[name] for name in store.names])
    skipped = []
    rows = torch.arange(len(store.names)).split(AT_ONCE)
    for some in progress(rows, "writing pictures", total=len(rows)):
        for row, crops in zip(some.tolist(), network_inputs(pipeline, store, some), strict=True):
            path = folder / "spectrograms" / places[store.names[row]]
            try:
                write_crops(path, crops)
            except OSError as error:
                log.warning("%s is left out: %s", path, error.strerror)
                skipped.append(Skipped(str(path), SkipKind.NOT_WRITTEN, f"cannot be written ({error.strerror})"))
    return skipped


@torch.inference_mode()
def network_inputs(pipeline: Pipeline, store: Store, rows: torch.Tensor) -> npt.NDArray[np.float32]:
    """The network's input at evaluation: (batch,) -> (batch, crops, size, size) in [0, 1]."""
    return pipeline.pictures(store, rows)[:, :, 0].cpu().numpy()


def write_crops(path: Path, crops: npt.NDArray[np.float32]) -> None:
    """Write the pictures of a track: (crops, size, size) in [0, 1]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for number, crop in enumerate(crops, start=1):
        place = path if len(crops) == 1 else path.with_name(f"{path.stem}-{number}.png")
        Image.fromarray(np.rint(crop * 255).clip(0, 255).astype(np.uint8)).save(place)
        log.info("%s", place)


def picture_names(tracks: Sequence[Track]) -> dict[str, PurePosixPath]:
    """Track -> where its picture lies; an audio file's ending is dropped where no other track needs the name."""
    short = {track.name: picture_name(track, True) for track in tracks}
    taken = list(short.values())
    return {
        track.name: short[track.name] if taken.count(short[track.name]) == 1 else picture_name(track, False)
        for track in tracks
    }


def picture_name(track: Track, short: bool) -> PurePosixPath:
    """'rock', 'rock/live/song.mp3' -> rock/live/song.png: in the folder of the primary genre, nowhere else."""
    genre = track.genres[0].replace("/", "_").lstrip(".") or "_"
    parts = [part for part in PurePosixPath(track.name).parts if part not in ("/", "..")]
    if len(parts) > 1 and parts[0] == track.genres[0]:
        parts = parts[1:]
    name = parts[-1]
    if short and PurePosixPath(name).suffix.lower() in AUDIO_SUFFIXES:
        name = PurePosixPath(name).stem
    return PurePosixPath(genre, *parts[:-1], f"{name}.png")


def draw_examples(folder: Path, pipeline: Pipeline, store: Store, found: Catalogue, each: int) -> None:
    """Draw the first tracks of each genre on one page, as the network sees them."""
    some = sorted(found.limited(each).tracks, key=lambda track: track.genres[0])
    if some:
        rows = torch.tensor(store.rows(track.name for track in some))
        titles = [f"{track.genres[0]}\n{abridged(PurePosixPath(track.name).name)}" for track in some]
        figure = figures.examples(network_inputs(pipeline, store, rows)[:, 0], titles)
        figures.save_figure(figure, folder / "figures" / "examples.png")


def abridged(name: str, longest: int = 22) -> str:
    """A name that fits above a picture."""
    return name if len(name) <= longest else name[: longest - 1] + "…"


@torch.inference_mode()
def draw_mel(folder: Path, pipeline: Pipeline, store: Store, name: str) -> None:
    """Draw the mel spectrogram of a track with its axes (figure 1 of the source document), as the pipeline makes it.

    An archive's clips are scaled from their own minima, which are taken for -80 dB.
    """
    import librosa

    log_mel = pipeline.log_mels(store, torch.tensor(store.rows([name])))[0, 0].cpu().numpy()
    edges = librosa.mel_frequencies(len(log_mel) + 2, fmax=pipeline.settings["spectrogram"]["f_max"])
    title = f"mel spectrogram of {abridged(PurePosixPath(name).name, 60)}"
    figure = drawing.mel_spectrogram((log_mel - 1) * 80, pipeline.view.seconds, edges, title)
    figures.save_figure(figure, folder / "figures" / "mel_spectrogram.png")
