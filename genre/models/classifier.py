"""The LightningModule: a network, a task, and how the two learn."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torchmetrics import MeanMetric, Metric, MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassF1Score,
    MulticlassPrecision,
    MulticlassRecall,
    MultilabelExactMatch,
    MultilabelF1Score,
    MultilabelPrecision,
    MultilabelRecall,
)

from genre.data.datamodule import Batch
from genre.errors import UserError
from genre.models.metadata import MetadataBranch
from genre.models.networks import NetworkOutputs, crop_logits, crop_outputs
from genre.tasks import Task

LOGGED_SUBSETS = ("train", "val")
ON_PROGRESS_BAR = ("loss", "accuracy")


class Schedule(Protocol):
    """A learning-rate schedule that waits for its optimiser.

    Args:
        interval: 'epoch' or 'step'.
    """

    @property
    def interval(self) -> str: ...

    def build(self, optimizer: Optimizer, total_steps: int) -> LRScheduler:
        """Build the schedule of an optimiser; ``total_steps`` is the length of the whole training."""


class Classifier(LightningModule):
    """A network that learns genres from pictures.

    Logged per epoch, as 'train/…' and 'val/…': loss, accuracy (all genres of a track right), macro_precision,
    macro_recall and macro_f1, for several genres also micro_f1.

    Args:
        network: pictures (batch, 1, size, size) -> logits (batch, genres), or (batch, members, genres).
        task: loss, probabilities and decision.
        optimizer: parameters -> optimiser.
        schedule: of the learning rate; None keeps it constant.
        monitor: the logged value that a plateau schedule goes by.
        seed: of dropout.
        about: plain values that make a checkpoint self-contained, among them ``genres``.
        class_weights: (genres,) weight of each genre in the training loss; None weighs all the same.
        branch: for metadata beside the music.
    """

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        optimizer: Callable[..., Optimizer],
        schedule: Schedule | None,
        monitor: str,
        seed: int,
        about: Mapping[str, Any],
        class_weights: Tensor | None = None,
        branch: MetadataBranch | None = None,
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.task, self.optimizer, self.schedule = task, optimizer, schedule
        self.monitor, self.seed, self.about = monitor, seed, dict(about)
        self.branch = branch
        self.validated_epoch = -1
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.losses = nn.ModuleDict({f"{subset}_loss": MeanMetric() for subset in LOGGED_SUBSETS})
        scores = classification_metrics(task, len(self.genres))
        self.scores = nn.ModuleDict(
            {f"{subset}_scores": scores.clone(prefix=f"{subset}/") for subset in LOGGED_SUBSETS}
        )

    @property
    def genres(self) -> tuple[str, ...]:
        """The genres in the order of the logits."""
        return tuple(self.about["genres"])

    @property
    def logged(self) -> list[str]:
        """The names of all that is logged, which ``stopping.monitor`` may name."""
        return [f"{subset}/{name}" for subset in LOGGED_SUBSETS for name in ("loss", *score_names(self.task))]

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs of a batch -> logits of the music (batch, crops, genres): see ``crop_logits``."""
        return crop_logits(self.network, inputs)

    def logits(self, batch: Batch) -> Tensor:
        """Logits of a batch, (batch, crops, genres): those of the music, and the same of its metadata for each crop."""
        return self.with_metadata(self(batch.inputs), batch)

    def outputs(self, batch: Batch) -> NetworkOutputs:
        """Logits of a batch as above, and the distances of its music from the training tracks."""
        outputs = crop_outputs(self.network, batch.inputs)
        return outputs._replace(logits=self.with_metadata(outputs.logits, batch))

    def with_metadata(self, music: Tensor, batch: Batch) -> Tensor:
        """Logits of the music, (batch, crops, genres) -> the same with those of the batch's metadata."""
        if self.branch is None or batch.metadata is None:
            return music
        added: Tensor = self.branch(batch.metadata)
        return music + added[:, None]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = self.step(batch, "train", batch_idx)[0]
        return loss if self.branch is None else loss + self.branch.penalty()

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """The mean loss, and the probabilities for callbacks."""
        loss, probabilities = self.step(batch, "val", batch_idx)
        return {"loss": loss, "probabilities": probabilities}

    def step(self, batch: Batch, subset: str, number: int) -> tuple[Tensor, Tensor]:
        """Update the metrics of an epoch by its batch; return its loss, weighted among processes, and probabilities."""
        logits = self.logits(batch)
        weights = self.class_weights if subset == "train" else None
        losses, probabilities = losses_and_probabilities(self.task, logits, batch.targets, weights)
        mean_loss, scores = self.losses[f"{subset}_loss"], self.scores[f"{subset}_scores"]
        assert isinstance(mean_loss, MeanMetric) and isinstance(scores, MetricCollection)
        mean_loss.update(losses.detach())
        scores.update(*(class_labels(self.task, values) for values in (probabilities.detach(), batch.targets)))
        if number == 0:  # Lightning computes them at the end of the epoch; to be told in every batch takes 5 % of it
            self.log_metrics({f"{subset}/loss": mean_loss, **dict(scores.items(copy_state=False))})
        return losses.mean() * batch.weight, probabilities

    def log_metrics(self, metrics: Mapping[str, Metric]) -> None:
        """Have metrics logged at the end of the epoch: name -> metric, which is updated until then."""
        for name, metric in metrics.items():
            on_bar = name.partition("/")[2] in ON_PROGRESS_BAR
            self.log(name, metric, on_step=False, on_epoch=True, prog_bar=on_bar)

    def on_train_epoch_start(self) -> None:
        """Derive dropout's random numbers from the seed, the epoch and the rank, never from what came before."""
        torch.manual_seed(dropout_seed(self.seed, self.current_epoch, self.global_rank))

    def on_validation_epoch_end(self) -> None:
        self.validated_epoch = self.current_epoch

    def configure_optimizers(self) -> OptimizerLRScheduler:
        grouped = getattr(self.network, "parameter_groups", None)
        parameters = grouped() if grouped else self.network.parameters()
        if self.branch is not None:
            groups = parameters if grouped else [{"params": list(parameters)}]
            parameters = [*groups, {"params": list(self.branch.parameters())}]
        optimizer = self.optimizer(parameters)
        if self.schedule is None:
            return optimizer
        scheduler = self.schedule.build(optimizer, int(self.trainer.estimated_stepping_batches))
        config = {"scheduler": scheduler, "interval": self.schedule.interval, "monitor": self.monitor, "strict": False}
        return {"optimizer": optimizer, "lr_scheduler": config}  # type: ignore[return-value]

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Step a schedule that counts batches; Lightning steps one that counts epochs after the checkpoint is written,
        which a resumed run would then miss."""
        if self.schedule is not None and self.schedule.interval == "step":
            scheduler.step()

    def on_train_epoch_end(self) -> None:
        """Step a schedule that counts epochs; a plateau schedule only after a validation."""
        scheduler = self.lr_schedulers()
        if self.schedule is None or self.schedule.interval != "epoch" or scheduler is None:
            return
        assert not isinstance(scheduler, list)
        if not isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step()
        elif self.monitor.startswith("train/") or self.validated_epoch == self.current_epoch:
            scheduler.step(self.trainer.callback_metrics[self.monitor])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what makes it self-contained; what only resumes leaves frozen weights to those it was built from."""
        checkpoint["genre"] = self.about
        if "optimizer_states" in checkpoint and (frozen := self.frozen()):
            checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if k not in frozen}
            checkpoint["genre"] = self.about | {"frozen": self.network.fingerprint}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Fill in the frozen weights that a checkpoint for resuming leaves out.

        Raises:
            UserError: if they are not those that it was trained on, or the catalogue's metadata is not.
        """
        before = checkpoint["genre"].get("frozen")
        if before is not None and before != self.network.fingerprint:
            raise UserError(
                f"model.weights are not those of the run ({before}, now {self.network.fingerprint}); restore them"
            )
        known = checkpoint["state_dict"].get("branch.known")
        if self.branch is not None and (known is None or not torch.equal(known.to(self.device), self.branch.known)):
            raise UserError("the columns in model.metadata have other values than when the run began; restore them")
        checkpoint["state_dict"] = self.frozen() | checkpoint["state_dict"]

    def frozen(self) -> dict[str, Tensor]:
        """The weights that do not learn, by their names in a checkpoint."""
        return {f"network.{name}": p.detach() for name, p in self.network.named_parameters() if not p.requires_grad}


def dropout_seed(seed: int, epoch: int, rank: int = 0) -> int:
    """The seed of dropout's random numbers in an epoch."""
    return seed * 1_000_003 + epoch * 1_009 + rank


def losses_and_probabilities(
    task: Task, logits: Tensor, targets: Tensor, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Each track's loss and probabilities, both the mean over its crops.

    Args:
        logits: (batch, crops, genres).
        targets: (batch, genres).
        weights: (genres,) what each genre counts in the losses.

    Returns:
        losses (batch,) and probabilities (batch, genres).
    """
    crops = logits.shape[1]
    losses = task.losses(logits.flatten(0, 1), targets.repeat_interleave(crops, dim=0), weights)
    return losses.unflatten(0, (-1, crops)).mean(dim=1), task.probabilities(logits).mean(dim=1)


def score_names(task: Task) -> tuple[str, ...]:
    """The names of a task's logged metrics, the loss aside."""
    names = ("accuracy", "macro_precision", "macro_recall", "macro_f1")
    return (*names, "micro_f1") if task.multilabel else names


def classification_metrics(task: Task, genres: int) -> MetricCollection:
    """Torchmetrics' collection of a task's logged metrics, of ``class_labels`` of predictions and targets.

    Args:
        genres: number of genres.
    """
    if task.multilabel:
        metrics: list[Metric] = [
            MultilabelExactMatch(genres), MultilabelPrecision(genres), MultilabelRecall(genres),
            MultilabelF1Score(genres), MultilabelF1Score(genres, average="micro"),
        ]  # fmt: skip
    else:
        metrics = [
            MulticlassAccuracy(genres, average="micro"), MulticlassPrecision(genres), MulticlassRecall(genres),
            MulticlassF1Score(genres),
        ]  # fmt: skip
    return MetricCollection(dict(zip(score_names(task), metrics, strict=True)))


def class_labels(task: Task, probabilities: Tensor) -> Tensor:
    """Predicted or true classes for torchmetrics: (batch, genres) -> (batch,), or (batch, genres) of 0 and 1."""
    decided = task.decide(probabilities)
    return decided.long() if task.multilabel else decided.long().argmax(-1)
