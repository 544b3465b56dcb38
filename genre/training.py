"""One training run, from a configuration to its folder of results."""

import logging
import math
import subprocess
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hydra.utils import get_class
from lightning import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from genre import checkpoint, config, figures
from genre.classifier import Classifier
from genre.datamodule import MusicData
from genre.errors import Mistake
from genre.evaluation import (
    Outcome,
    decided,
    metrics_of_several,
    predict,
    title_of,
    tuned_thresholds,
    write_outcome,
    write_skipped,
)
from genre.files import write_csv, write_json
from genre.metrics import Bools, Floats
from genre.precision import PRECISIONS, faster_precision
from genre.splits import SUBSETS
from genre.thresholds import commonest_set

log = logging.getLogger(__name__)

OWN_KEYS = ("monitor", "patience", "limit_tracks")  # the rest of the group trainer goes to Lightning
HISTORY = ("epoch", "learning_rate", "train_loss", "train_accuracy", "val_loss", "val_accuracy")


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


class History(Callback):
    """Writes history.csv after each epoch; travels in checkpoints, so that a resumed run goes on with it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        row = {"epoch": float(trainer.current_epoch), "learning_rate": trainer.optimizers[0].param_groups[0]["lr"]}
        for subset in ("train", "val"):
            for name in ("loss", "accuracy"):
                if (value := trainer.callback_metrics.get(f"{subset}/{name}")) is not None:
                    row[f"{subset}_{name}"] = float(value)
        self.rows.append(row)
        if trainer.is_global_zero:
            write_csv(self.path, HISTORY, ([shown(row.get(name)) for name in HISTORY] for row in self.rows))

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])


def shown(value: float | None) -> str:
    """A number of history.csv: whole numbers plain, the rest to the last digit, what is missing empty."""
    return "" if value is None else f"{value:.0f}" if float(value).is_integer() and value >= 0 else repr(float(value))


def train(cfg: DictConfig) -> Result:
    """Train one model and write its run folder.

    Raises:
        Mistake: if the configuration or the data cannot be used; before long work starts wherever that can be known.
    """
    begin = time.monotonic()
    values = config.plain(cfg)
    config.check(values)
    folder = fresh_folder(Path(values["folder"]))
    device = config.device_of(values["trainer"]["accelerator"])
    values["trainer"]["precision"] = precision_of(values["trainer"]["precision"], device)
    seed_everything(values["seed"], verbose=False)
    data = config.data_of(values, device)
    data.backbone = network = config.network_of(values, len(data.genres))
    if values["init_from"]:
        start_from(values["init_from"], network, data.genres)
    data.prepare_data()
    data.setup()
    write_division(folder, data)
    monitor = monitored(values, data)
    classifier = Classifier(
        network, data.task, partial_of(values["optimizer"]), partial_of(values["scheduler"]), monitor,
        values["seed"], checkpoint.card(data.genres, values),
        data.task.balance(data.targets[data.rows("train")]) if data.task.class_weights else None,
    )  # fmt: skip
    trainer = trainer_of(values, folder, monitor)
    show_examples(trainer, data)
    trainer.fit(classifier.train(), datamodule=data)  # Lightning keeps the mode that it finds
    return concluded(values, folder, classifier, data, trainer, time.monotonic() - begin)


def start_from(run: str, network: nn.Module, genres: tuple[str, ...]) -> None:
    """Fill a network with the weights of a trained run, whatever its task was.

    Raises:
        Mistake: if the run has other genres or another network.
    """
    saved = checkpoint.read(run)
    if saved.genres != genres:
        raise Mistake(f"init_from={run} knows {', '.join(saved.genres)}; the data has {', '.join(genres)}")
    try:
        network.load_state_dict(saved.weights)
    except RuntimeError:
        kind = saved.config["model"]["_target_"].rsplit(".", 1)[-1]
        raise Mistake(f"init_from={run} is another network ({kind}); use the same model and the same values") from None


def precision_of(precision: str, device: torch.device) -> str:
    """The precision of a run, in Lightning's words; 'auto' measures.

    Raises:
        Mistake: if there is no such precision.
    """
    if precision not in PRECISIONS:
        raise Mistake(f"trainer.precision={precision} is not one of {', '.join(PRECISIONS)}")
    return faster_precision(device) if precision == "auto" else precision


def fresh_folder(folder: Path) -> Path:
    """The run's folder, made where needed.

    Raises:
        Mistake: if it holds a run already.
    """
    if (folder / "checkpoints").exists():
        raise Mistake(f"{folder} holds a run already; choose another hydra.run.dir")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_division(folder: Path, data: MusicData) -> None:
    """Write which tracks are where, and say which subset is empty."""
    write_csv(folder / "splits.csv", ("track", "subset"), sorted(data.subsets.items()))
    write_skipped(folder, data.catalogue)
    counts = data.counts()
    log.info("%s tracks of %d genres: %s", sum(counts.values()), len(data.genres), counts)
    for subset, count in counts.items():
        if not count:
            log.warning("there is no %s subset with this split; its metrics are missing", subset)


def monitored(values: Mapping[str, Any], data: MusicData) -> str:
    """The value that the best checkpoint has; that of training where nothing validates.

    Raises:
        Mistake: if no such value is logged.
    """
    monitor = str(values["trainer"]["monitor"])
    known = [f"{subset}/{name}" for subset in ("val", "train") for name in ("loss", "accuracy")]
    if monitor not in known:
        raise Mistake(f"trainer.monitor={monitor} is not one of {', '.join(known)}")
    return monitor if data.members("val") else monitor.replace("val/", "train/")


def partial_of(node: Mapping[str, Any] | None) -> Any:
    """A node's class with its values, waiting for what it works on; None for none."""
    if node is None:
        return None
    return partial(get_class(str(node["_target_"])), **{str(k): v for k, v in node.items() if k != "_target_"})


def trainer_of(values: Mapping[str, Any], folder: Path, monitor: str) -> Trainer:
    """Lightning's trainer with the document's protocol around it."""
    settings = {key: value for key, value in values["trainer"].items() if key not in OWN_KEYS}
    quiet_lightning()
    try:
        return Trainer(
            **settings,
            default_root_dir=folder,
            logger=TensorBoardLogger(folder, name="", version="", default_hp_metric=False),
            callbacks=callbacks_of(values, folder, monitor),
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            enable_model_summary=False,
            log_every_n_steps=1,
        )
    except TypeError as error:
        raise Mistake(f"the group trainer has a key that Lightning's Trainer does not know: {error}") from None


def callbacks_of(values: Mapping[str, Any], folder: Path, monitor: str) -> list[Callback]:
    """History, learning rate, early stopping, the two checkpoints and the progress bar."""
    mode = "min" if monitor.endswith("loss") else "max"
    to: dict[str, Any] = {
        "dirpath": folder / "checkpoints",
        "save_on_train_epoch_end": True,
        "enable_version_counter": False,
    }
    callbacks: list[Callback] = [
        History(folder / "history.csv"),
        LearningRateMonitor(logging_interval="epoch"),
        ModelCheckpoint(filename="best", monitor=monitor, mode=mode, save_weights_only=True, **to),
        ModelCheckpoint(filename="last", **to),
    ]
    if values["trainer"]["patience"] is not None:
        callbacks.insert(2, EarlyStopping(monitor, patience=values["trainer"]["patience"], mode=mode))
    if values["trainer"].get("enable_progress_bar", True):
        callbacks.append(RichProgressBar(leave=True))
    return callbacks


def board(trainer: Trainer) -> SummaryWriter:
    """The run's TensorBoard."""
    assert isinstance(trainer.logger, TensorBoardLogger)
    writer: SummaryWriter = trainer.logger.experiment
    return writer


def quiet_lightning() -> None:
    """Only warnings: what Lightning says of devices at every start is in the run's own record."""
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=r".*module\(s\) in eval mode.*")  # a frozen backbone is meant to be
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)


def show_examples(trainer: Trainer, data: MusicData) -> None:
    """Show TensorBoard some pictures as the network gets them in training."""
    if not trainer.is_global_zero:
        return
    batch = data.fetch(next(iter(data.train_dataloader())))
    if batch.inputs.ndim < 5:  # features of a frozen backbone: nothing to look at
        return
    chosen = range(min(10, len(batch.rows)))
    titles = [data.names[int(batch.rows[place])] for place in chosen]
    figure = figures.examples(batch.inputs[: len(chosen), 0, 0].cpu().numpy(), titles)
    board(trainer).add_figure("examples/training", figure)


def concluded(
    values: Mapping[str, Any], folder: Path, classifier: Classifier, data: MusicData, trainer: Trainer, seconds: float
) -> Result:
    """Evaluate the best checkpoint on every subset and write all results."""
    classifier.network.load_state_dict(checkpoint.read(folder).weights)
    counts = data.counts()
    outcomes = {subset: predict(classifier, data, subset) for subset in SUBSETS if counts[subset]}
    tuned, commonest = learnt_decision(folder, classifier, data, outcomes)
    metrics: dict[str, Any] = {}
    for subset, outcome in outcomes.items():
        metrics |= metrics_of_several(outcome, subset, subset == "test", tuned, commonest)
        title = title_of(values, subset, counts[subset])
        if subset == "test":
            write_outcome(folder, decided(outcome, data.task, tuned), title, tuned)
        if subset != "train":
            counted = outcome.truth.astype(int).T @ outcome.predicted.astype(int)
            figure = figures.confusion(counted, outcome.genres, title, outcome.several)
            board(trainer).add_figure(f"confusion/{subset}", figure)
    history = next(part.rows for part in trainer.callbacks if isinstance(part, History))  # type: ignore[attr-defined]
    draw_curves(folder, history, classifier.monitor, trainer)
    metrics |= {
        "missing": [name for name in SUBSETS if not counts[name]],
        "split": values["split"]["kind"], "split_seed": values["split"]["seed"], "seed": values["seed"],
        "tracks": counts, "training_reads": data.train_store.stage, "cached_views": data.cached_views,
        "seconds": round(seconds, 1), "epochs": len(history), "precision": trainer.precision,
        "parameters": sum(parameter.numel() for parameter in classifier.network.parameters()), "commit": commit(),
    }  # fmt: skip
    write_json(folder / "metrics.json", metrics)
    shown = ("/loss", "/accuracy", "/macro_f1")
    final = {f"final/{name}": value for name, value in metrics.items() if name.endswith(shown)}
    assert isinstance(trainer.logger, TensorBoardLogger)
    trainer.logger.log_hyperparams(dict(values), final)
    board(trainer).flush()
    summarize(metrics, values["name"])
    objective = metrics.get("val/accuracy", metrics["train/accuracy"])
    return Result(folder, float(objective) if math.isfinite(objective) else 0.0, metrics)


def learnt_decision(
    folder: Path, classifier: Classifier, data: MusicData, outcomes: Mapping[str, Outcome]
) -> tuple[Floats | None, Bools | None]:
    """For several genres: thresholds tuned on validation and the commonest set in training, added to best.ckpt."""
    if not data.task.several or "val" not in outcomes:
        return None, None
    tuned = tuned_thresholds(classifier, data, outcomes["val"])
    commonest = commonest_set(outcomes["train"].truth)
    learnt = {"thresholds": tuned.tolist(), "commonest": commonest.tolist()}
    checkpoint.amend(folder / "checkpoints" / "best.ckpt", learnt)
    return tuned, commonest


def draw_curves(folder: Path, history: list[dict[str, float]], monitor: str, trainer: Trainer) -> None:
    """Draw the learning curves into the folder and TensorBoard."""
    name = monitor.replace("/", "_")
    best = (min if name.endswith("loss") else max)(history, key=lambda row: row[name])
    figure = figures.curves(history, int(best["epoch"]))
    figures.save(figure, folder / "figures" / "curves.png")
    board(trainer).add_figure("curves", figure)


def summarize(metrics: Mapping[str, Any], name: str) -> None:
    """Print the summary table of a run."""
    table = Table(title=f"{name}, split {metrics['split']} (seed {metrics['split_seed']})", title_justify="left")
    for heading in ("subset", "tracks", "loss", "accuracy", "95 % interval", "macro F1"):
        table.add_column(heading, justify="left" if heading == "subset" else "right")
    for subset in (subset for subset in SUBSETS if f"{subset}/loss" in metrics):
        low, high = metrics.get(f"{subset}/accuracy_ci95", (None, None))
        table.add_row(
            subset, str(metrics["tracks"][subset]), f"{metrics[f'{subset}/loss']:.3f}",
            f"{metrics[f'{subset}/accuracy']:.1%}", "" if low is None else f"{low:.1%} to {high:.1%}",
            f"{metrics[f'{subset}/macro_f1']:.3f}",
        )  # fmt: skip
    Console().print(table)


def commit() -> str | None:
    """The commit of this code, with '+' where it was changed since; None outside a checkout."""
    here = Path(__file__).parent
    try:
        run = partial(subprocess.run, cwd=here, capture_output=True, text=True, check=True, timeout=10)
        revision = run(["git", "rev-parse", "HEAD"]).stdout.strip()
        return revision + ("+" if run(["git", "status", "--porcelain", "--untracked-files=no"]).stdout.strip() else "")
    except (OSError, subprocess.SubprocessError):
        return None
