"""TensorBoard: figures, text, audio and hyperparameters of a run, during training and after it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import yaml
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from matplotlib.figure import Figure
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from genre.config.records import Record, flatten
from genre.config.settings import TrainSettings
from genre.data.catalogue import display_name
from genre.data.datamodule import Batch, MusicData
from genre.evaluation import figures, gradcam
from genre.evaluation import report as reporting
from genre.evaluation.comparison import markdown_row
from genre.evaluation.predictions import Predictions
from genre.files import write_text
from genre.models.classifier import Classifier
from genre.models.postprocessing import PostProcessing
from genre.redaction import redacted

CONFUSION_MATRICES = 10  # of validation per run: TensorBoard shows as many images per tag
UNLIMITED_EPOCHS = 1000  # assumed for a run without a limit
MISTAKES = 5  # per subset
EXAMPLE_TITLE = 20  # characters
EXCERPT_SECONDS = 5.0
FINAL = [f"{subset}/{name}" for subset in ("test", "val", "train") for name in ("accuracy", "macro_f1", "loss", "ece")]
HYPERPARAMETER_GROUPS = ("model", "task", "optimizer", "scheduler", "view", "augment", "spectrogram", "split")
HYPERPARAMETERS = ("seed", "batch_size", "trainer.max_epochs", "trainer.precision")
FIRST_COLUMNS = ("model", "task", "optimizer.lr", "batch_size", "seed")  # the HParams plugin opens on the first few


@dataclass(frozen=True)
class Results:
    """The results of a finished run.

    Args:
        settings: of the run.
        folder: of its files.
        predictions: subset -> final predictions.
        postprocessing: fitted after training.
        history: a row per epoch.
        metrics: as in metrics.json.
    """

    settings: TrainSettings
    folder: Path
    predictions: Mapping[str, Predictions]
    postprocessing: PostProcessing
    history: reporting.EpochRows
    metrics: Mapping[str, Any]


class TensorBoardCallback(Callback):
    """Log the configuration, and ten confusion matrices of validation during training.

    Args:
        settings: of the run.
    """

    def __init__(self, settings: TrainSettings) -> None:
        self.record = redacted(settings.record)
        epochs = settings.trainer.max_epochs or UNLIMITED_EPOCHS
        self.every = -(-(epochs if epochs > 0 else UNLIMITED_EPOCHS) // CONFUSION_MATRICES)
        self.counts: Tensor | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        writer = summary_writer(trainer)
        if writer is not None and trainer.ckpt_path is None and trainer.is_global_zero:
            text = yaml.safe_dump(dict(self.record), sort_keys=False, allow_unicode=True)
            writer.add_text("configuration", f"```yaml\n{text}```")

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.counts = None

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        assert isinstance(pl_module, Classifier)
        predicted = pl_module.task.decide(outputs["probabilities"]).float()
        support = batch.targets.sum(0)[:, None]
        counts = torch.cat([batch.targets.T @ predicted, support], dim=1).detach()
        self.counts = counts if self.counts is None else self.counts + counts

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.counts is None or trainer.current_epoch % self.every:
            return
        counts = trainer.strategy.reduce(self.counts, reduce_op="sum")
        assert isinstance(pl_module, Classifier) and isinstance(counts, Tensor)
        if takes_figures(trainer) and trainer.is_global_zero:
            title = f"validation, epoch {trainer.current_epoch}"
            table = counts.long().cpu().numpy()
            multilabel = pl_module.task.multilabel
            figure = reporting.confusion_figure(table[:, :-1], table[:, -1], pl_module.genres, title, multilabel)
            log_figure(trainer, "confusion/val", figure, trainer.global_step - 1)  # the step of Lightning's own values


def summary_writer(trainer: Trainer) -> SummaryWriter | None:
    """Return the writer of the run's TensorBoard logger; None if it has no such logger."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            writer: SummaryWriter = logger.experiment
            return writer
    return None


def takes_figures(trainer: Trainer) -> bool:
    """Return whether any logger of the run can log a figure."""
    return any(isinstance(logger, TensorBoardLogger) or hasattr(logger, "log_image") for logger in trainer.loggers)


def log_figure(trainer: Trainer, tag: str, figure: Figure, step: int, path: Path | None = None) -> None:
    """Draw a figure once, for every logger that takes figures and as PNG if there is a path."""
    pixels = figures.rasterize(figure)
    if (writer := summary_writer(trainer)) is not None:
        writer.add_image(tag, pixels, step, dataformats="HWC")
    for logger in trainer.loggers:
        if log_image := getattr(logger, "log_image", None):  # of Weights & Biases, Comet and others
            log_image(key=tag, images=[pixels], step=step)
    if path is not None:
        figures.save_figure(pixels, path)


def log_examples(trainer: Trainer, data: MusicData) -> None:
    """Log some input pictures of training."""
    if not takes_figures(trainer) or not trainer.is_global_zero:
        return
    batch = data.fetch(next(iter(data.train_dataloader())))
    if batch.inputs.ndim < 5:  # features of a frozen backbone, or waveforms
        return
    indices = range(min(10, len(batch.rows)))
    titles = [figures.shorten(data.names[int(batch.rows[index])], EXAMPLE_TITLE) for index in indices]
    figure = figures.examples(batch.inputs[: len(indices), 0, 0].cpu().numpy(), titles)
    log_figure(trainer, "examples/training", figure, 0)


def log_results(trainer: Trainer, classifier: Classifier, data: MusicData, results: Results) -> None:
    """Write every figure into the run folder, and log figures, curves, mistakes and hyperparameters.

    Everything is logged one step after the last training step, so that a resumed run replaces it.
    """
    if not trainer.is_global_zero:
        return
    step = trainer.global_step
    epoch = int(reporting.best_epoch_row(results.history, classifier.monitor)["epoch"])
    curves = figures.curves(results.history, epoch, f"{results.settings.name}: learning curves")
    log_figure(trainer, "curves", curves, step, results.folder / "figures" / "curves.png")
    for subset in ("val", "test"):
        if subset in results.predictions:
            log_subset(trainer, classifier, data, results, subset)
    log_hyperparameters(trainer, results)
    if summary_writer(trainer) is not None:
        write_projector(results.folder, {name: each for name, each in results.predictions.items() if name != "train"})
    for logger in trainer.loggers:
        logger.finalize("success")  # Lightning did so after training, before these figures: it closes files and threads


def log_subset(trainer: Trainer, classifier: Classifier, data: MusicData, results: Results, subset: str) -> None:
    """Write the figures of the test subset into the run folder; log figures, curves and mistakes of any subset."""
    predictions, step = results.predictions[subset], trainer.global_step
    tracks = len(predictions.names)
    title = reporting.figure_title(results.settings.split, data.catalogue, subset, tracks, tracks)
    for name, figure in final_figures(subset, classifier, data, predictions, title, results.postprocessing):
        path = results.folder / "figures" / f"{name}.png" if subset == "test" else None
        log_figure(trainer, f"{name}/{subset}", figure, step, path)
    if (writer := summary_writer(trainer)) is not None:
        log_precision_recall(writer, predictions, subset, step)
        log_mistakes(writer, data, predictions, subset, step)


def final_figures(
    subset: str,
    classifier: Classifier,
    data: MusicData,
    predictions: Predictions,
    title: str,
    postprocessing: PostProcessing,
) -> Iterator[tuple[str, Figure]]:
    """Yield the figures of a subset with their names; for validation the confusion matrix alone."""
    if subset == "val":
        yield "confusion", reporting.predictions_confusion(predictions, title)
        return
    yield from reporting.subset_figures(predictions, title, postprocessing).items()
    if (figure := gradcam.grad_cam_figure(classifier, data, predictions, title)) is not None:
        yield "gradcam", figure


def log_hyperparameters(trainer: Trainer, results: Results) -> None:
    """Log hyperparameters with the final metrics, to every logger of the run."""
    parameters = hyperparameters(redacted(results.settings.record))
    final = {f"final/{name}": results.metrics[name] for name in FINAL if name in results.metrics}
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(parameters, final)
        else:
            logger.log_hyperparams(parameters)
            logger.log_metrics(final, trainer.global_step)


def hyperparameters(record: Record) -> dict[str, bool | int | float | str]:
    """Return the settings that differ between models, by dotted key: no paths, names or lists.

    A group's class is under the group's own key: {'model': 'CNN', 'model.dropout': 0.3, 'seed': 0, …}.
    """
    chosen = {}
    for key, value in flatten(record):
        group = key.split(".")[0]
        if key in HYPERPARAMETERS or (group in HYPERPARAMETER_GROUPS and not key.endswith("weights")):
            name = group if key == f"{group}._target_" else key
            if isinstance(value, bool | int | float | str):
                chosen[name] = value.rsplit(".", 1)[-1] if name != key and isinstance(value, str) else value
    ordered = {key: chosen[key] for key in FIRST_COLUMNS if key in chosen} | chosen
    return {key: value for key, value in ordered.items() if not key.endswith("_") and "/" not in str(value)}


def log_precision_recall(writer: SummaryWriter, predictions: Predictions, subset: str, step: int) -> None:
    """Log a precision-recall curve per genre."""
    for index, genre in enumerate(predictions.genres):
        targets, probabilities = predictions.targets[:, index], predictions.probabilities[:, index]
        writer.add_pr_curve(f"{subset}/{genre}", targets, probabilities, step)


def log_mistakes(writer: SummaryWriter, data: MusicData, predictions: Predictions, subset: str, step: int) -> None:
    """Log a table of the most confident mistakes with their files, and an excerpt of each if there is audio."""
    mistakes = most_confident_mistakes(predictions)
    if not mistakes:
        return
    files = {track.name: display_name(track) for track in data.catalogue.tracks}
    columns = ("", "track", "true", "predicted", "probability", "file")
    lines = [markdown_row(columns), markdown_row(["---"] * len(columns))]
    for number, (index, wrong) in enumerate(mistakes, start=1):
        name, true = predictions.names[index], predictions.genre_names(predictions.targets[index])
        predicted = predictions.genre_names(predictions.predicted[index]) or "none"
        probability = f"{predictions.probabilities[index, wrong]:.0%}"
        lines.append(markdown_row([str(number), name, true, predicted, probability, files[name]]))
        if data.first.stage == "waveform":
            tag = f"mistakes_{subset}/{number}_{true.replace(';', '_')}_predicted_as_{predictions.genres[wrong]}"
            writer.add_audio(tag, excerpt(data, name), step, round(data.first.rate))
    writer.add_text(f"mistakes/{subset}", "\n".join(lines), step)


def most_confident_mistakes(predictions: Predictions) -> list[tuple[int, int]]:
    """Return the indices of the wrong tracks with the most probable wrong genre, and of that genre, highest first."""
    wrong = np.where(predictions.targets, 0, predictions.probabilities)
    genre = wrong.argmax(1)
    ranked = np.argsort(-wrong.max(1), kind="stable")
    return [(int(index), int(genre[index])) for index in ranked if not predictions.correct[index]][:MISTAKES]


def excerpt(data: MusicData, name: str) -> npt.NDArray[np.float32]:
    """Return seconds from the middle of a track: (1, samples) in [-1, 1]."""
    row = torch.tensor([data.row_of[name]])
    length = data.first.lengths(row)
    span = length.clamp_max(round(EXCERPT_SECONDS * data.first.rate))
    samples = data.first.gather(row, (length - span) // 2, span)
    return (samples.float() / 32768).cpu().numpy()


def write_projector(folder: Path, predictions: Mapping[str, Predictions]) -> None:
    """Write the inputs of the last layer for TensorBoard's projector, one point per track.

    The files are written here because SummaryWriter would list them again in each resumed run.
    """
    if not predictions:
        return
    vectors = np.concatenate([each.features for each in predictions.values()])
    lines = ["true\tpredicted\tsubset\ttrack"]
    for subset, each in predictions.items():
        for name, true, predicted in zip(each.names, each.targets, each.predicted, strict=True):
            cells = (each.genre_names(true), each.genre_names(predicted) or "none", subset, name)
            lines.append("\t".join(" ".join(cell.split()) for cell in cells))
    write_text(folder / "projector" / "labels.tsv", "\n".join(lines) + "\n")
    rows = ("\t".join(f"{value:.4g}" for value in vector) for vector in vectors)
    write_text(folder / "projector" / "vectors.tsv", "\n".join(rows) + "\n")
    settings = 'embeddings {{\n  tensor_name: "last layer"\n  tensor_shape: {}\n  tensor_shape: {}\n{}}}\n'
    paths = '  tensor_path: "projector/vectors.tsv"\n  metadata_path: "projector/labels.tsv"\n'
    write_text(folder / "projector_config.pbtxt", settings.format(*vectors.shape, paths))
