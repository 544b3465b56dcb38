"""The LightningModule: a network, a task, and how the two learn."""

from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import torch
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torchmetrics import MeanMetric

from genre.data.datamodule import Batch
from genre.errors import UserError
from genre.tasks import Task

SUBSETS, VALUES = ("train", "val"), ("loss", "accuracy")


class Classifier(LightningModule):
    """Learns genres from pictures.

    Args:
        network: pictures (batch, 1, size, size) -> logits (batch, genres).
        task: loss, probabilities and decision.
        optimizer: parameters -> optimiser.
        scheduler: optimiser -> learning rate schedule, stepped by the monitored value after each epoch.
        monitor: the logged value that schedule and checkpoints go by.
        seed: of dropout.
        class_weights: (genres,) what each genre counts in training; None for all the same.
        card: plain values that make a checkpoint self-contained.
    """

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        optimizer: Callable[..., Optimizer],
        scheduler: Callable[[Optimizer], ReduceLROnPlateau] | None,
        monitor: str,
        seed: int,
        card: Mapping[str, Any],
        class_weights: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.task, self.optimizer, self.scheduler = task, optimizer, scheduler
        self.monitor, self.seed, self.card = monitor, seed, dict(card)
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.running = nn.ModuleDict({f"{subset}_{name}": MeanMetric() for subset, name in product(SUBSETS, VALUES)})

    def forward(self, inputs: Tensor) -> Tensor:
        """Pictures (batch, crops, 1, size, size) or features (batch, crops, width) -> logits (batch, crops, genres)."""
        flat = inputs.flatten(0, 1)
        if flat.ndim == 4:
            flat = flat.contiguous(memory_format=torch.channels_last)
        logits: Tensor = self.network(flat).float()
        return logits.unflatten(0, inputs.shape[:2])

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self.step(batch, "train")[0]

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """The mean loss, and the probabilities for whoever looks on."""
        loss, probabilities = self.step(batch, "val")
        return {"loss": loss, "probabilities": probabilities}

    def step(self, batch: Batch, subset: str) -> tuple[Tensor, Tensor]:
        """Log a batch's losses and hits; its mean loss, as it counts among several processes, and its probabilities."""
        logits = self(batch.inputs)
        weights = self.class_weights if subset == "train" else None
        losses, probabilities = losses_and_probabilities(self.task, logits, batch.targets, weights)
        for name, values in zip(VALUES, (losses, self.task.correct(probabilities, batch.targets).float()), strict=True):
            mean = self.running[f"{subset}_{name}"]
            assert isinstance(mean, MeanMetric)
            mean.update(values.detach())
            self.log(f"{subset}/{name}", mean, on_step=False, on_epoch=True, prog_bar=True)
        return losses.mean() * batch.weight, probabilities

    def on_train_epoch_start(self) -> None:
        """Derive dropout's random numbers from the seed, the epoch and the rank, never from what came before."""
        torch.manual_seed(dropout_seed(self.seed, self.current_epoch, self.global_rank))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        grouped = getattr(self.network, "parameter_groups", None)
        optimizer = self.optimizer(grouped() if grouped else self.network.parameters())
        if self.scheduler is None:
            return optimizer
        schedule = {"scheduler": self.scheduler(optimizer), "monitor": self.monitor}
        return {"optimizer": optimizer, "lr_scheduler": schedule}  # type: ignore[return-value]

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Nothing: Lightning steps after the checkpoint is written, which would then miss the step."""

    def on_train_epoch_end(self) -> None:
        if isinstance(scheduler := self.lr_schedulers(), ReduceLROnPlateau):
            scheduler.step(self.trainer.callback_metrics[self.monitor])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what makes it self-contained; what only resumes leaves frozen weights to those it was built from."""
        checkpoint["genre"] = self.card
        if "optimizer_states" in checkpoint and (frozen := self.frozen()):
            checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if k not in frozen}
            checkpoint["genre"] = self.card | {"frozen": self.network.fingerprint}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Fill in the frozen weights that a checkpoint for resuming leaves out.

        Raises:
            UserError: if they are not those that it was trained on.
        """
        before = checkpoint["genre"].get("frozen")
        if before is not None and before != self.network.fingerprint:
            raise UserError(
                f"model.weights are not those of the run ({before}, now {self.network.fingerprint}); restore them"
            )
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
