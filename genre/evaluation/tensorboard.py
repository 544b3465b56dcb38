"""What TensorBoard shows of a run, while it trains and in the end."""

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

from genre.data.datamodule import Batch, MusicData
from genre.evaluation import figures, gradcam
from genre.evaluation import report as reporting
from genre.evaluation.predictions import Predictions
from genre.files import write_text
from genre.models.classifier import Classifier
from genre.models.postprocessing import PostProcessing

CONFUSIONS = 10  # matrices of validation a run: as many as TensorBoard keeps of one picture
UNLIMITED = 1000  # epochs that a run without a limit is taken to last
MISTAKES = 5  # that can be listened to, a subset
LISTENING = 5.0  # seconds of each
FINAL = [f"{subset}/{name}" for subset in ("test", "val", "train") for name in ("accuracy", "macro_f1", "loss", "ece")]


@dataclass(frozen=True)
class Results:
    """All that a run ends with.

    Args:
        values: its configuration.
        folder: of its files.
        predictions: subset -> what is said of its tracks in the end.
        postprocessing: after the weights.
        history: the epochs.
        metrics: as in metrics.json.
    """

    values: Mapping[str, Any]
    folder: Path
    predictions: Mapping[str, Predictions]
    postprocessing: PostProcessing
    history: reporting.History
    metrics: Mapping[str, Any]


class TensorBoardCallback(Callback):
    """While a run trains: its configuration, and the confusion matrix of validation ten times.

    Args:
        values: the configuration.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values
        epochs = values["trainer"].get("max_epochs") or UNLIMITED
        self.every = -(-(epochs if epochs > 0 else UNLIMITED) // CONFUSIONS)
        self.counts: Tensor | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.ckpt_path is None and trainer.is_global_zero:
            text = yaml.safe_dump(dict(self.values), sort_keys=False, allow_unicode=True)
            summary_writer(trainer).add_text("configuration", f"```yaml\n{text}```")

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
        if trainer.is_global_zero:
            title = f"validation, epoch {trainer.current_epoch}"
            table = counts.long().cpu().numpy()
            page = figures.confusion(
                table[:, :-1], table[:, -1], pl_module.card["genres"], title, pl_module.task.multilabel
            )
            log_figure(
                summary_writer(trainer), "confusion/val", page, trainer.global_step - 1
            )  # where Lightning logs its values


def summary_writer(trainer: Trainer) -> SummaryWriter:
    """The run's TensorBoard."""
    assert isinstance(trainer.logger, TensorBoardLogger)
    writer: SummaryWriter = trainer.logger.experiment
    return writer


def log_figure(writer: SummaryWriter, tag: str, figure: Figure, step: int, path: Path | None = None) -> None:
    """Show a figure, and write it as PNG too where a path is given."""
    drawn = figures.rasterize(figure)
    writer.add_image(tag, drawn, step, dataformats="HWC")
    if path is not None:
        figures.save_figure(drawn, path)


def log_examples(trainer: Trainer, data: MusicData) -> None:
    """Show some pictures as the network gets them in training."""
    if not trainer.is_global_zero:
        return
    batch = data.fetch(next(iter(data.train_dataloader())))
    if batch.inputs.ndim < 5:  # features of a frozen backbone: nothing to look at
        return
    chosen = range(min(10, len(batch.rows)))
    titles = [data.names[int(batch.rows[place])] for place in chosen]
    figure = figures.examples(batch.inputs[: len(chosen), 0, 0].cpu().numpy(), titles)
    log_figure(summary_writer(trainer), "examples/training", figure, 0)


def log_results(trainer: Trainer, classifier: Classifier, data: MusicData, results: Results) -> None:
    """Draw every figure once, for the folder and for TensorBoard, and fill TensorBoard's other pages.

    All of it stands behind the last step, so that a resumed run forgets it.
    """
    if not trainer.is_global_zero:
        return
    writer, step = summary_writer(trainer), trainer.global_step
    epoch = int(reporting.best_epoch_row(results.history, classifier.monitor)["epoch"])
    log_figure(
        writer, "curves", figures.curves(results.history, epoch), step, results.folder / "figures" / "curves.png"
    )
    for subset in ("val", "test"):
        if subset not in results.predictions:
            continue
        predictions = results.predictions[subset]
        title = reporting.figure_title(results.values, subset, len(predictions.names))
        for name, page in subset_figures(subset, classifier, data, predictions, title, results.postprocessing):
            path = results.folder / "figures" / f"{name}.png" if subset == "test" else None
            log_figure(writer, f"{name}/{subset}", page, step, path)
        for place, genre in enumerate(predictions.genres):
            truth, said = predictions.targets[:, place], predictions.probabilities[:, place]
            writer.add_pr_curve(f"{subset}/{genre}", truth, said, step)
        log_mistakes(writer, data, predictions, subset, step)
    write_projector(results.folder, {name: found for name, found in results.predictions.items() if name != "train"})
    final = {f"final/{name}": results.metrics[name] for name in FINAL if name in results.metrics}
    assert isinstance(trainer.logger, TensorBoardLogger)
    trainer.logger.log_hyperparams(dict(results.values), final)
    writer.flush()


def subset_figures(
    subset: str,
    classifier: Classifier,
    data: MusicData,
    predictions: Predictions,
    title: str,
    postprocessing: PostProcessing,
) -> Iterator[tuple[str, Figure]]:
    """The figures of a subset, each under its name; of validation the confusion matrix alone."""
    if subset == "val":
        yield "confusion", reporting.confusion_figure(predictions, title)
        return
    yield from reporting.subset_figures(predictions, title, postprocessing).items()
    if (page := gradcam.grad_cam_figure(classifier, data, predictions, title)) is not None:
        yield "gradcam", page


def log_mistakes(writer: SummaryWriter, data: MusicData, predictions: Predictions, subset: str, step: int) -> None:
    """List the most confident mistakes of a subset, with some seconds of each to listen to where there is audio."""
    ranked = most_confident_mistakes(predictions)
    if not ranked:
        return
    lines = ["| | track | true | predicted | probability |", "|---|---|---|---|---|"]
    for number, (place, wrong) in enumerate(ranked, start=1):
        name, true = predictions.names[place], predictions.genre_names(predictions.targets[place])
        said = predictions.genre_names(predictions.predicted[place]) or "nothing"
        lines.append(f"| {number} | {name} | {true} | {said} | {predictions.probabilities[place, wrong]:.0%} |")
        if data.first.stage == "waveform":
            tag = f"mistakes_{subset}/{number}_{true.replace(';', '_')}_taken_for_{predictions.genres[wrong]}"
            writer.add_audio(tag, excerpt(data, name), step, round(data.first.rate))
    writer.add_text(f"mistakes/{subset}", "\n".join(lines), step)


def most_confident_mistakes(predictions: Predictions) -> list[tuple[int, int]]:
    """The tracks whose most probable genre is furthest from the truth, and that genre: the most confident first."""
    wrongly = np.where(predictions.targets, 0, predictions.probabilities)
    wrong = wrongly.argmax(1)
    ranked = np.argsort(-wrongly.max(1), kind="stable")
    return [(int(place), int(wrong[place])) for place in ranked if not predictions.correct[place]][:MISTAKES]


def excerpt(data: MusicData, name: str) -> npt.NDArray[np.float32]:
    """Some seconds from the middle of a track: (1, samples) in [-1, 1]."""
    row = torch.tensor([data.row_of[name]])
    length = data.first.lengths(row)
    span = length.clamp_max(round(LISTENING * data.first.rate))
    samples = data.first.gather(row, (length - span) // 2, span)
    return (samples.float() / 32768).cpu().numpy()


def write_projector(folder: Path, predictions: Mapping[str, Predictions]) -> None:
    """Let TensorBoard's projector show what the last layer works on, a point a track.

    Its files are written here: SummaryWriter's would be listed once more by each resumed run.
    """
    if not predictions:
        return
    vectors = np.concatenate([found.features for found in predictions.values()])
    lines = ["true\tpredicted\tsubset\ttrack"]
    for subset, found in predictions.items():
        for name, true, said in zip(found.names, found.targets, found.predicted, strict=True):
            words = (found.genre_names(true), found.genre_names(said) or "nothing", subset, name)
            lines.append("\t".join(" ".join(word.split()) for word in words))
    write_text(folder / "projector" / "labels.tsv", "\n".join(lines) + "\n")
    rows = ("\t".join(f"{value:.4g}" for value in vector) for vector in vectors)
    write_text(folder / "projector" / "vectors.tsv", "\n".join(rows) + "\n")
    settings = 'embeddings {{\n  tensor_name: "last layer"\n  tensor_shape: {}\n  tensor_shape: {}\n{}}}\n'
    paths = '  tensor_path: "projector/vectors.tsv"\n  metadata_path: "projector/labels.tsv"\n'
    write_text(folder / "projector_config.pbtxt", settings.format(*vectors.shape, paths))
