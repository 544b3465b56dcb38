"""One training run, from its settings to its folder of results."""

import errno
import json
import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from genre.config.build import check_buildable, read_training_catalogue, root_device
from genre.config.settings import TrainSettings, train_record, train_settings
from genre.data import leakage as leaks
from genre.data.content import track_contents
from genre.data.datamodule import MusicData
from genre.data.split_record import SPLITS, SplitRecord, read_split, write_split
from genre.data.targets import genres_of
from genre.errors import UserError
from genre.evaluation.report import write_skipped
from genre.evaluation.tensorboard import log_examples
from genre.files import is_complete
from genre.paths import RECORD
from genre.training.claim import claimed, is_first_process
from genre.training.results import evaluate_and_report
from genre.training.run_folder import begin_run, continued, folder_of, last_checkpoint, refuse_folder
from genre.training.setup import build_classifier, check_initial_genres, open_data, resolve_precision
from genre.training.trainer import run_trainer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """The outcome of a training run.

    Args:
        folder: of all its files.
        objective: validation accuracy of the best checkpoint; training accuracy without validation tracks.
        metrics: as in metrics.json; empty after ``trainer.fast_dev_run``.
    """

    folder: Path
    objective: float
    metrics: dict[str, Any]


def train(cfg: DictConfig | TrainSettings) -> Result:
    """Train one model and write its run folder.

    Raises:
        UserError: if the configuration or the data cannot be used; before long work starts wherever that can be known.
    """
    begin = time.monotonic()
    record = continued(train_record(cfg))
    folder = folder_of(record)
    with claimed(folder), resume_hint(folder):
        refuse_folder(folder, record)
        return train_in(folder, train_settings(record), begin)


def metrics_of_run(settings: TrainSettings) -> dict[str, Any]:
    """The metrics of a run that is part of another command: it is trained, or resumed, unless it is finished.

    Args:
        settings: whose ``trainer.precision`` is not 'auto', since the run records what was measured.

    Raises:
        UserError: as ``train``; if the folder holds a run of other settings that is not finished.
    """
    folder = settings.folder
    if (folder / "metrics.json").exists():
        metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        return metrics
    begin, begun = time.monotonic(), (folder / RECORD).exists()
    own = settings.replace(resume=str(folder) if begun else None)
    with claimed(folder):
        refuse_folder(folder, own.record)
        return train_in(folder, own, begin).metrics


def train_in(folder: Path, settings: TrainSettings, begin: float) -> Result:
    """Train the run of a folder that this process holds, from its last checkpoint if it has one.

    Args:
        begin: of this process's work, on the clock of ``time.monotonic``.
    """
    check_buildable(settings)
    last, step = last_checkpoint(folder)
    device = root_device(settings.trainer)
    catalogue = read_training_catalogue(settings)
    settings = settings.replace(trainer__precision=resolve_precision(settings, device))
    if settings.init_from and not last:
        check_initial_genres(str(settings.init_from), genres_of(catalogue, settings.task.build()))
    begin_run(folder, settings.record)  # only now: an error in the data leaves no folder behind
    data, network = open_data(settings, catalogue, device, initial=last is None)
    write_splits(folder, data, resumed=last is not None)
    classifier = build_classifier(settings, network, data)
    trainer = run_trainer(settings, folder, classifier.monitor, step)
    if not last:
        log_examples(trainer, data)
    # train(): Lightning leaves the mode as it is
    trainer.fit(classifier.train(), datamodule=data, ckpt_path=last, weights_only=True)
    if trainer.fast_dev_run:  # type: ignore[attr-defined]
        log.info("fast_dev_run: training and validation work; nothing was evaluated")
        return Result(folder, 0.0, {})
    metrics: dict[str, Any] | None = None
    if trainer.is_global_zero:  # one of several processes evaluates, on one device
        metrics = evaluate_and_report(settings, folder, classifier, data, trainer, time.monotonic() - begin)
    shared = trainer.strategy.broadcast(metrics)
    assert shared is not None
    return Result(folder, objective_of(shared), shared)


def objective_of(metrics: dict[str, Any]) -> float:
    """The value that Hydra's sweepers maximise: validation accuracy, or training accuracy without validation tracks."""
    objective = float(metrics.get("val/accuracy", metrics["train/accuracy"]))
    return objective if math.isfinite(objective) else 0.0


@contextmanager
def resume_hint(folder: Path, script: str = "train.py") -> Iterator[None]:
    """Log how to resume the run, or the learning curve, that is interrupted inside.

    Args:
        script: that resumes it.

    Raises:
        UserError: if the disk is full.
    """
    hint = f"continue with: python {script} resume={folder}"
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if is_first_process():
            begun = (folder / RECORD).exists()
            log.warning("interrupted; %s", hint if begun else "nothing was begun: start the same command again")
        raise
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(f"the disk of {folder} is full; free some space and {hint}") from error


def write_splits(folder: Path, data: MusicData, resumed: bool) -> None:
    """Write the splits, skipped files and leakage of a run, and warn of empty subsets.

    Raises:
        UserError: if a run is resumed with other tracks.
    """
    if resumed and not is_complete(folder / SPLITS):
        log.warning("damaged: %s; it is written again, unchecked, from the present tracks", folder / SPLITS)
    elif resumed:
        refuse_changed_split(folder, data, read_split(folder) or SplitRecord({}, {}, {}))
    if not is_first_process():
        return
    contents = track_contents(data.catalogue, data.first, data.cache)
    write_split(folder, SplitRecord(data.subsets, data.groups, contents))
    write_skipped(folder, data.catalogue)
    leaks.report_leakage(folder, data.pairs, data.catalogue, data.subsets)
    counts = data.subset_sizes()
    log.info("%s tracks of %d genres: %s", sum(counts.values()), len(data.genres), counts)
    for subset, count in counts.items():
        if not count:
            log.warning("this split has no %s subset; its metrics are missing", subset)


def refuse_changed_split(folder: Path, data: MusicData, before: SplitRecord) -> None:
    """Refuse to resume a run with other tracks than those of its record.

    Raises:
        UserError: naming the first track that is new, gone, changed or in another subset.
    """
    now = data.subsets
    moved = sorted(name for name in now.keys() | before.subsets if now.get(name) != before.subsets.get(name))
    if other := moved or before.changed(track_contents(data.catalogue, data.first, data.cache)):
        raise UserError(
            f"resume={folder}: the tracks or their subsets have changed (first difference: {other[0]}); restore the "
            "music"
        )
