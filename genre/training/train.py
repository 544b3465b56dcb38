"""One training run, from a configuration to its folder of results."""

import errno
import logging
import math
import subprocess
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from hydra.utils import get_class
from lightning import Trainer, seed_everything
from lightning.pytorch.loggers import TensorBoardLogger
from omegaconf import DictConfig
from torch import nn

from genre import config
from genre.data import leakage as leaks
from genre.data.datamodule import MusicData
from genre.data.splits import SUBSETS
from genre.errors import UserError
from genre.evaluation.evaluate import subset_metrics
from genre.evaluation.fitting import fit_postprocessing
from genre.evaluation.predictions import apply_temperature, apply_thresholds, predict_subset
from genre.evaluation.report import (
    figure_title,
    generalization_gap_note,
    print_summary,
    write_skipped,
    write_subset_report,
)
from genre.evaluation.tensorboard import Results, log_examples, log_results
from genre.files import read_csv_rows, write_csv, write_json
from genre.models import checkpoint
from genre.models.checkpoint import AtomicIO
from genre.models.classifier import Classifier
from genre.training import run_folder as runs
from genre.training.callbacks import History, callbacks_of
from genre.training.precision import PRECISIONS, faster_precision

log = logging.getLogger(__name__)

OWN_KEYS = ("monitor", "patience", "limit_tracks")  # the rest of the group trainer goes to Lightning


@dataclass(frozen=True)
class Result:
    """What a training run hands back.

    Args:
        folder: of all its files.
        objective: validation accuracy of the best checkpoint (training accuracy where nothing validates).
        metrics: as in metrics.json.
    """

    folder: Path
    objective: float
    metrics: dict[str, Any]


def train(cfg: DictConfig) -> Result:
    """Train one model and write its run folder.

    Raises:
        UserError: if the configuration or the data cannot be used; before long work starts wherever that can be known.
    """
    begin = time.monotonic()
    values = config.plain(cfg)
    folder = runs.folder_of(values)
    config.check(values)
    last, step = runs.last_checkpoint(folder)
    device = config.device_of(values["trainer"])
    values["trainer"]["precision"] = precision_of(values["trainer"], device)
    seed_everything(values["seed"], verbose=False)
    data = config.data_of(values, device)
    runs.begin_run(folder, values)  # only now: a mistake in the data leaves no run behind
    data.backbone = network = config.network_of(values, len(data.genres))
    if values["init_from"] and not last:
        start_from(values["init_from"], network, data.genres)
    data.prepare_data()
    data.setup()
    write_splits(folder, data, resumed=last is not None)
    classifier = classifier_for(values, network, data)
    trainer = trainer_of(values, folder, classifier.monitor, step)
    if not last:
        log_examples(trainer, data)
    with resumable(folder):
        # train(): Lightning keeps the mode that it finds
        trainer.fit(classifier.train(), datamodule=data, ckpt_path=last, weights_only=True)
        first = trainer.is_global_zero  # of several processes one evaluates, as it would alone
        result = (
            evaluate_and_report(values, folder, classifier, data, trainer, time.monotonic() - begin) if first else None
        )
        shared: Result = trainer.strategy.broadcast(result)  # type: ignore[assignment]
        return shared


@contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """Tell how to go on with what breaks off inside.

    Raises:
        UserError: if the disk is full.
    """
    way_on = f"go on with: python train.py resume={folder}"
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        log.warning("interrupted; %s", way_on)
        raise
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(f"no room is left on the disk of {folder}; make some and {way_on}") from error


def start_from(run: str, network: nn.Module, genres: tuple[str, ...]) -> None:
    """Fill a network with the weights of a trained run, whatever its task was.

    Raises:
        UserError: if the run has other genres or another network.
    """
    saved = checkpoint.read_checkpoint(run)
    if saved.genres != genres:
        raise UserError(f"init_from={run} knows {', '.join(saved.genres)}; the data has {', '.join(genres)}")
    try:
        network.load_state_dict(saved.weights)
    except RuntimeError:
        kind = saved.config["model"]["_target_"].rsplit(".", 1)[-1]
        raise UserError(
            f"init_from={run} is another network ({kind}); use the same model and the same values"
        ) from None


def precision_of(trainer: Mapping[str, Any], device: torch.device) -> str:
    """The precision of a run, in Lightning's words; 'auto' measures.

    Raises:
        UserError: if there is no such precision, or several processes would each measure.
    """
    precision = str(trainer["precision"])
    if precision not in PRECISIONS:
        raise UserError(f"trainer.precision={precision} is not one of {', '.join(PRECISIONS)}")
    if precision == "auto" and trainer.get("strategy"):
        raise UserError("trainer.precision=auto measures on one device; name a precision where several train together")
    return faster_precision(device) if precision == "auto" else precision


def write_splits(folder: Path, data: MusicData, resumed: bool) -> None:
    """Write which tracks are where, and say which subset is empty.

    Raises:
        UserError: if a run is resumed with other tracks.
    """
    rows = [("track", "subset"), *sorted(data.subsets.items())]
    if resumed and rows != (before := read_csv_rows(folder / "splits.csv")):
        other = next(a or b for a, b in zip_longest(rows, before) if a != b)[0]
        raise UserError(f"resume={folder}: the music is not what it was (first difference: {other}); restore it")
    if not runs.is_global_zero():
        return
    write_csv(folder / "splits.csv", rows[0], rows[1:])
    write_skipped(folder, data.catalogue)
    leaks.report_leakage(folder, data.pairs, data.catalogue, data.subsets)
    counts = data.subset_sizes()
    log.info("%s tracks of %d genres: %s", sum(counts.values()), len(data.genres), counts)
    for subset, count in counts.items():
        if not count:
            log.warning("there is no %s subset with this split; its metrics are missing", subset)


def resolve_monitor(values: Mapping[str, Any], data: MusicData) -> str:
    """The value that the best checkpoint has; that of training where nothing validates.

    Raises:
        UserError: if no such value is logged.
    """
    monitor = str(values["trainer"]["monitor"])
    known = [f"{subset}/{name}" for subset in ("val", "train") for name in ("loss", "accuracy")]
    if monitor not in known:
        raise UserError(f"trainer.monitor={monitor} is not one of {', '.join(known)}")
    return monitor if data.track_names("val") else monitor.replace("val/", "train/")


def classifier_for(values: Mapping[str, Any], network: nn.Module, data: MusicData) -> Classifier:
    """What a run trains: its network under its task, with its optimiser and schedule.

    Raises:
        UserError: if no such value as ``trainer.monitor`` is logged.
    """
    return Classifier(
        network,
        data.task,
        partial_of(values["optimizer"]),
        partial_of(values["scheduler"]),
        resolve_monitor(values, data),
        values["seed"],
        checkpoint.checkpoint_metadata(data.genres, values),
        data.task.class_weights_of(data.targets[data.rows("train")]) if data.task.class_weights else None,
    )


def partial_of(node: Mapping[str, Any] | None) -> Any:
    """A node's class with its values, waiting for what it works on; None for none."""
    if node is None:
        return None
    return partial(get_class(str(node["_target_"])), **{str(k): v for k, v in node.items() if k != "_target_"})


def trainer_of(values: Mapping[str, Any], folder: Path, monitor: str, step: int) -> Trainer:
    """Lightning's trainer with the document's protocol around it; TensorBoard forgets what lay beyond ``step``."""
    settings = {key: value for key, value in values["trainer"].items() if key not in OWN_KEYS}
    quiet_lightning()
    try:
        return Trainer(
            **settings,
            default_root_dir=folder,
            logger=TensorBoardLogger(folder, name="", version="", default_hp_metric=False, purge_step=step or None),
            callbacks=callbacks_of(values, folder, monitor),
            plugins=AtomicIO(),
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            enable_model_summary=False,
            log_every_n_steps=1,
        )
    except TypeError as error:
        raise UserError(f"the group trainer has a key that Lightning's Trainer does not know: {error}") from None


def quiet_lightning() -> None:
    """Only warnings: what Lightning says of devices at every start is in the run's own record."""
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=r".*module\(s\) in eval mode.*")  # a frozen backbone is meant to be
    warnings.filterwarnings("ignore", message="The `srun` command is available")  # for one device it is not needed
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")  # a resumed run's
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)


def evaluate_and_report(
    values: Mapping[str, Any], folder: Path, classifier: Classifier, data: MusicData, trainer: Trainer, seconds: float
) -> Result:
    """Evaluate the best checkpoint on every subset and write all results."""
    classifier.network.load_state_dict(checkpoint.read_checkpoint(folder).weights)
    counts = data.subset_sizes()
    raw = {subset: predict_subset(classifier, data, subset) for subset in SUBSETS if counts[subset]}
    postprocessing = fit_postprocessing(classifier, data, raw["train"], raw.get("val"))
    checkpoint.add_metadata(folder / "checkpoints" / "best.ckpt", postprocessing.metadata())
    calibrated = {subset: apply_temperature(each, data.task, postprocessing) for subset, each in raw.items()}
    metrics: dict[str, Any] = {}
    for subset, predictions in calibrated.items():
        metrics |= subset_metrics(predictions, subset, subset == "test", postprocessing)
    history = next(part for part in trainer.callbacks if isinstance(part, History))  # type: ignore[attr-defined]
    metrics |= {
        "leaks": leaks.leak_counts(data.pairs, data.catalogue, data.subsets),
        "missing": [name for name in SUBSETS if not counts[name]],
        "split": values["split"]["kind"],
        "split_seed": values["split"]["seed"],
        "seed": values["seed"],
        "tracks": counts,
        "training_reads": data.train_store.stage,
        "cached_views": data.cached_views,
        "seconds": round(history.seconds + seconds, 1),
        "epochs": len(history.rows),
        "precision": trainer.precision,
        "parameters": sum(parameter.numel() for parameter in classifier.network.parameters()),
        "commit": commit(),
    }
    final = {subset: apply_thresholds(each, data.task, postprocessing) for subset, each in calibrated.items()}
    if "test" in final:
        title = figure_title(values, "test", counts["test"])
        gap = generalization_gap_note(history.rows, classifier.monitor, counts["val"])
        write_subset_report(folder, final["test"], postprocessing, title, gap)
    log_results(trainer, classifier, data, Results(values, folder, final, postprocessing, history.rows, metrics))
    write_json(folder / "metrics.json", metrics)
    print_summary(metrics, values["name"])
    objective = metrics.get("val/accuracy", metrics["train/accuracy"])
    return Result(folder, float(objective) if math.isfinite(objective) else 0.0, metrics)


def commit() -> str | None:
    """The commit of this code, with '+' where it was changed since; None outside a checkout."""
    here = Path(__file__).parent
    try:
        run = partial(subprocess.run, cwd=here, capture_output=True, text=True, check=True, timeout=10)
        revision = run(["git", "rev-parse", "HEAD"]).stdout.strip()
        return revision + ("+" if run(["git", "status", "--porcelain", "--untracked-files=no"]).stdout.strip() else "")
    except (OSError, subprocess.SubprocessError):
        return None
