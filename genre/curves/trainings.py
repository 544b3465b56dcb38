"""The trainings of a learning curve: one run per share of the training tracks and fold, below the curve's folder."""

import contextlib
import io
import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from genre.config.build import build_data, build_network, build_trainer, read_training_catalogue, root_device
from genre.config.settings import CurveSettings, TrainSettings
from genre.data.catalogue import Catalogue
from genre.data.datamodule import MusicData
from genre.data.splits import Split
from genre.errors import UserError
from genre.evaluation.finished_runs import Run, read_run
from genre.terminal import plain_console
from genre.training.train import metrics_of_run

log = logging.getLogger(__name__)

Trainings = Mapping[tuple[float, int], TrainSettings]  # (share, fold) -> settings, in the order of training
RUNS = "runs"


def trainings_of(settings: CurveSettings) -> dict[tuple[float, int], TrainSettings]:
    """The runs of a learning curve, all shares of the first fold first."""
    plain = {"enable_progress_bar": False, "enable_model_summary": False}
    quiet = settings.base.replace(**{f"trainer__{key}": value for key, value in plain.items()}, resume=None)
    shares, folds = settings.curve.shares, settings.curve.folds
    return {
        (share, fold): quiet.replace(
            split__train_share=share,
            split__folds=folds,
            split__fold=fold,
            folder=str(settings.folder / RUNS / f"share-{share:g}" / f"fold-{fold}"),
        )
        for fold in range(folds)
        for share in shares
    }


def check_trainings(trainings: Trainings) -> None:
    """Check before any music is decoded that all runs can be trained.

    Raises:
        UserError: if several devices train, the catalogue cannot be used, or a genre has too few tracks.
    """
    settings = next(iter(trainings.values()))
    if build_trainer(settings.trainer, logger=False, enable_checkpointing=False).world_size > 1:
        raise UserError("curve.py trains on one device; omit trainer=ddp, trainer.devices and trainer.num_nodes")
    check_genres(read_training_catalogue(settings), settings.split)


def check_genres(catalogue: Catalogue, split: Split) -> None:
    """Check that each genre has a track in the smallest share.

    Args:
        split: of the smallest share.

    Raises:
        UserError: naming the smallest genre.
    """
    unlisted = split.unlisted(catalogue, {})
    counts = Counter(track.genres[0] for track in catalogue.tracks if track.name not in unlisted)
    name, count = min(counts.items(), key=lambda item: (item[1], item[0]))
    training = count * split.shares["train"]
    if training * split.train_share < 1:
        raise UserError(
            f"genre {name} has {count} tracks, of which about {training:.1f} train per fold: the smallest share of "
            f"them ({split.train_share:g}) is less than one track; raise the smallest of curve.shares, add tracks, or "
            "remove the genre"
        )


def prepare_stores(trainings: Trainings) -> None:
    """Build, under its own progress bars, what all runs read from the cache.

    Raises:
        UserError: if two shares have the same training tracks, because whole artists or recordings stay together.
    """
    settings = next(iter(trainings.values())).replace(split__train_share=1.0)
    data = data_of(settings)
    sizes: dict[int, float] = {}
    for share in dict.fromkeys(share for share, _ in trainings):
        left_out = settings.replace(split__train_share=share).split.left_out(data.catalogue, data.subsets, data.groups)
        size = len(data.track_names("train")) - len(left_out)
        if size in sizes:
            raise UserError(
                f"the shares {sizes[size]:g} and {share:g} have the same {size} training tracks, since whole artists "
                "and recordings are kept; choose other curve.shares"
            )
        sizes[size] = share


def data_of(settings: TrainSettings) -> MusicData:
    """The opened data of a run."""
    catalogue = read_training_catalogue(settings)
    data = build_data(settings, catalogue, settings.split, root_device(settings.trainer))
    data.assign_subsets()
    data.backbone = build_network(settings, len(data.genres))
    data.setup()
    return data


def train_all(trainings: Trainings) -> list[Run]:
    """Train what is not finished yet, and read all runs.

    Raises:
        UserError: as ``genre.train``; or if a run has no results, as with ``trainer.fast_dev_run``.
    """
    runs = []
    with TrainingProgress(len(trainings)) as progress:
        for (share, fold), settings in trainings.items():
            progress.begin(share, fold)
            with quiet_console():
                metrics_of_run(settings)
            run = read_run(settings.folder)
            if isinstance(run, str):
                raise UserError(f"{settings.folder} cannot be used ({run}); remove it, and resume the curve")
            progress.end(float(run.metrics["test/accuracy"]))
            runs.append(run)
    return runs


@contextlib.contextmanager
def quiet_console() -> Iterator[None]:
    """Keep what a training prints and logs off the console; the log file still has what is logged."""
    handlers = [
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler)
    ]
    levels = [handler.level for handler in handlers]
    for handler in handlers:
        handler.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        for handler, level in zip(handlers, levels, strict=True):
            handler.setLevel(level)


class TrainingProgress:
    """Progress bar over the trainings; where standard error is no terminal, one log line per training.

    Args:
        total: number of trainings.
    """

    def __init__(self, total: int) -> None:
        console = plain_console(stderr=True)
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
        self.bar = Bar(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal)
        self.task = self.bar.add_task("trainings", total=total)
        self.total, self.done, self.name, self.begun = total, 0, "", 0.0

    def __enter__(self) -> "TrainingProgress":
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    def begin(self, share: float, fold: int) -> None:
        """Name the training that begins."""
        self.name, self.begun = f"share {share:g}, fold {fold}", time.monotonic()
        self.bar.update(self.task, description=self.name)

    def end(self, accuracy: float) -> None:
        """Count a finished training."""
        self.done += 1
        self.bar.update(self.task, completed=self.done)
        if self.bar.disable:
            seconds = time.monotonic() - self.begun
            log.info("%d of %d: %s, test %.1f %% (%.0f s)", self.done, self.total, self.name, 100 * accuracy, seconds)
