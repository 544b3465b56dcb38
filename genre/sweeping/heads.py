"""Train many heads of a frozen backbone in one pass over its cached features, each with the result it has alone.

Heads of one seed share their batches, so that their first layers are one matrix product. Initial weights, dropout,
optimiser, learning rate schedule and early stopping are separate for each head.
"""

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from itertools import accumulate, groupby
from typing import Any

import torch
import torch.nn.functional as F
from lightning import seed_everything
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from genre.config.records import flatten
from genre.config.settings import TrainSettings
from genre.data.backbone_features import HeadBackbone, HeadLayers
from genre.data.datamodule import MusicData
from genre.models.classifier import dropout_seed, losses_and_probabilities
from genre.sweeping.trial import (
    HistoryRow,
    Judge,
    TrialData,
    TrialResult,
    initial_network,
    metrics_so_far,
    trial_result,
    with_precision,
)
from genre.training.setup import effective_monitor, fused_optimizer

HEAD_KEYS = frozenset({"optimizer.lr", "optimizer.weight_decay", "seed"})  # beside the backbone's head_arguments
MONITORS = ("val/loss", "val/accuracy", "train/loss", "train/accuracy")  # which are computed for every head


def family_of(settings: TrainSettings) -> str | None:
    """Return the key that points trained in one pass share; None for a point that must train alone."""
    network_class: Any = settings.model.target
    head_arguments = getattr(network_class, "head_arguments", None)
    scheduler, trainer = settings.scheduler, settings.trainer
    plateau = scheduler is None or scheduler.component.target is ReduceLROnPlateau
    if head_arguments is None or not plateau or settings.init_from or not settings.data.keep or settings.callbacks:
        return None
    if not network_class.caches_features(settings.model.arguments) or trainer.precision == "16-mixed":
        return None
    if trainer.model_extra or trainer.max_epochs in (None, -1) or trainer.max_steps != -1:
        return None  # by Lightning alone
    if settings.metadata.columns:
        return None  # a pass knows the music alone
    if settings.stopping.monitor not in MONITORS:
        return None
    head_keys = HEAD_KEYS | {f"model.{name}" for name in head_arguments}
    return json.dumps({key: v for key, v in flatten(settings.record) if key not in head_keys}, sort_keys=True)


def train_family(
    points: Sequence[TrainSettings], trial_data: TrialData, judge: Judge | None = None
) -> list[TrialResult]:
    """Train the points of one family in one pass per seed.

    Args:
        points: the configuration of each point.
        trial_data: of the worker.
        judge: of the points, by their index; None stops none.

    Returns:
        the result of each point, as if trained alone; its seconds are an equal share of the total.

    Raises:
        UserError: if one of the configurations cannot be used.
    """
    begin = time.monotonic()
    heads = [head for indices in seed_groups(points) for head in train_heads(points, indices, trial_data, judge)]
    seconds = (time.monotonic() - begin) / len(points)
    return [
        trial_result(head.rows, head.monitor, head.parameters, seconds, head.pruned)
        for head in sorted(heads, key=lambda head: head.index)
    ]


def seed_groups(points: Sequence[TrainSettings]) -> list[list[int]]:
    """Return the indices of points with the same seed, which share their batches."""
    by_seed = sorted(range(len(points)), key=lambda index: points[index].seed)
    return [list(group) for _, group in groupby(by_seed, key=lambda index: points[index].seed)]


class Head:
    """One head with its optimiser, schedule and early stopping.

    Args:
        index: of its point among those of the family.
        layers: of the head.
        settings: of its point.
        monitor: the metric that schedule and early stopping follow.
        parameters: number of parameters of the whole network, backbone included.
    """

    def __init__(self, index: int, layers: HeadLayers, settings: TrainSettings, monitor: str, parameters: int) -> None:
        self.index, self.layers, self.settings = index, layers, settings
        self.monitor, self.parameters, self.pruned = monitor, parameters, False
        self.first, self.last, self.dropout = layers.first, layers.last, layers.dropout
        learnable = [*layers.first.parameters(), *layers.last.parameters()]
        self.optimizer: Optimizer = fused_optimizer(settings.optimizer.component.partial())(learnable)
        schedule: Any = settings.scheduler.build(self.optimizer, 0) if settings.scheduler else None
        self.schedule: ReduceLROnPlateau | None = schedule
        self.rows: list[HistoryRow] = []
        self.best, self.epochs_without_improvement = math.inf, 0

    @property
    def width(self) -> int:
        """Units of the first layer."""
        return self.first.out_features

    def finish_epoch(self, row: HistoryRow) -> bool:
        """Record an epoch and step the schedule; return whether to continue, as Lightning's EarlyStopping decides."""
        self.rows.append(row)
        value = row[self.monitor.replace("/", "_")]
        if self.schedule:
            self.schedule.step(value)
        patience = self.settings.stopping.patience
        cost = value if self.monitor.endswith("loss") else -value
        improved = cost < self.best
        self.best = cost if improved else self.best
        self.epochs_without_improvement = 0 if improved else self.epochs_without_improvement + 1
        return patience is None or (math.isfinite(cost) and (improved or self.epochs_without_improvement < patience))


def merge_optimizers(optimizers: Sequence[Optimizer]) -> Optimizer:
    """Return one optimiser with the parameter groups of several; each group keeps its learning rate.

    One step instead of many: PyTorch queries the GPU at each step, which takes longer than the update of a small head.
    """
    optimizer_class: Any = type(optimizers[0])
    merged: Optimizer = optimizer_class([group for optimizer in optimizers for group in optimizer.param_groups])
    return merged


def groups_by_options(groups: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Merge parameter groups with the same options, if a fused optimiser steps them: every group takes time."""
    merged: list[dict[str, Any]] = []
    for group in groups:
        options = {key: value for key, value in group.items() if key != "params"}
        same = (other for other in merged if group.get("fused") and options.items() <= other.items())
        if (other := next(same, None)) is not None:
            other["params"] = [*other["params"], *group["params"]]
        else:
            merged.append({**group})
    return merged


@contextmanager
def rounded_products(half: bool) -> Iterator[None]:
    """Let float32 matrix products round what they multiply to bfloat16, as autocast does, in the context.

    Nothing of the weights' size is then written but the gradient: no copy in bfloat16, no gradient in bfloat16.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium" if half else before)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


class HeadBatch:
    """Heads that train in one pass; the parameters of each are views of the batch's tensors.

    Args:
        heads: sorted by width.
        half: units and last layers are in bfloat16, as under autocast.
        optimizer: steps all heads.
    """

    def __init__(self, heads: Sequence[Head], half: bool, optimizer: Optimizer) -> None:
        self.heads, self.dtype, self.optimizer = heads, torch.bfloat16 if half else torch.float32, optimizer
        self.weight = concatenate_shared([head.first.weight for head in heads])
        self.bias = concatenate_shared([head.first.bias for head in heads])
        self.weight_grad, self.bias_grad = torch.empty_like(self.weight), torch.empty_like(self.bias)
        ends = list(accumulate(head.width for head in heads))
        for head, begin, end in zip(heads, [0, *ends], ends, strict=False):
            head.first.weight.grad, head.first.bias.grad = self.weight_grad[begin:end], self.bias_grad[begin:end]
        self.by_width = [list(group) for _, group in groupby(heads, key=lambda head: head.width)]
        self.last_layers = [
            (stack_shared([head.last.weight for head in group]), stack_shared([head.last.bias for head in group]))
            for group in self.by_width
        ]

    def logits(self, dense: Tensor, masks: Tensor | None) -> Tensor:
        """First layers' outputs and dropout masks (batch, units of all heads) -> logits (heads, batch, genres)."""
        hidden = dense.relu() if masks is None else dense.relu() * masks
        parts = hidden.split([len(group) * group[0].width for group in self.by_width], dim=1)
        out = []
        for group, part, (weight, bias) in zip(self.by_width, parts, self.last_layers, strict=True):
            units = part.unflatten(1, (len(group), -1)).transpose(0, 1)
            out.append((units @ weight.to(self.dtype).transpose(1, 2) + bias.to(self.dtype)[:, None]).float())
        return torch.cat(out)

    def dense(self, inputs: Tensor) -> Tensor:
        """First layers of all heads: (batch, features) -> (batch, units of all heads)."""
        return F.linear(inputs, self.weight, self.bias).to(self.dtype)

    def step(self, inputs: Tensor, dense: Tensor, loss: Tensor) -> None:
        """Update every head from the sum of all heads' losses."""
        for weight, bias in self.last_layers:
            weight.grad = bias.grad = None
        loss.backward()
        assert dense.grad is not None
        gradient = dense.grad.float()
        torch.mm(gradient.T, inputs, out=self.weight_grad)
        torch.sum(gradient, dim=0, out=self.bias_grad)
        for group, (weight, bias) in zip(self.by_width, self.last_layers, strict=True):
            assert weight.grad is not None and bias.grad is not None
            for head, weight_grad, bias_grad in zip(group, weight.grad, bias.grad, strict=True):
                head.last.weight.grad, head.last.bias.grad = weight_grad, bias_grad
        self.optimizer.step()


def concatenate_shared(parameters: Sequence[Tensor]) -> Tensor:
    """Concatenate parameters along their first dimension; they become views of the result."""
    shared = torch.cat([parameter.detach() for parameter in parameters])
    for parameter, view in zip(parameters, shared.split([len(parameter) for parameter in parameters]), strict=True):
        parameter.data = view
    return shared


def stack_shared(parameters: Sequence[Tensor]) -> Tensor:
    """Stack parameters of one shape; they become views of the result, which collects the gradient."""
    shared = torch.stack([parameter.detach() for parameter in parameters])
    for parameter, view in zip(parameters, shared.unbind(), strict=True):
        parameter.data = view
    return shared.requires_grad_()


def train_heads(
    points: Sequence[TrainSettings], indices: Sequence[int], trial_data: TrialData, judge: Judge | None
) -> list[Head]:
    """Train the heads of those points of a family that have the same seed."""
    settings = with_precision(points[indices[0]])
    seed_everything(settings.seed, verbose=False)
    network: Any = initial_network(settings, trial_data)
    data = trial_data.data_for(settings, network)
    heads = build_heads({index: points[index] for index in indices}, network, data)
    HeadTrainer(heads, data, settings, judge).train()
    return heads


def build_heads(points: Mapping[int, TrainSettings], network: HeadBackbone, data: MusicData) -> list[Head]:
    """Build one head per point, with the initial weights that its own network would have."""
    monitor = effective_monitor(next(iter(points.values())).stopping.monitor, data)
    assert isinstance(network, nn.Module)
    backbone_parameters = parameter_count(network) - parameter_count(network.head)
    heads = []
    for index, point in points.items():
        arguments = {key: value for key, value in point.model.arguments.items() if key in network.head_arguments}
        module = network.make_head(**arguments).to(data.device)
        parameters = backbone_parameters + parameter_count(module)
        heads.append(Head(index, network.head_layers(module), point, monitor, parameters))
    return heads


def parameter_count(module: nn.Module) -> int:
    """Number of a module's parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


class HeadTrainer:
    """Trains heads of one seed on shared batches.

    Args:
        heads: of one seed and family.
        data: with cached features.
        settings: of one of the points, of which the keys that all share are read.
        judge: of the heads; None stops none.
    """

    def __init__(self, heads: Sequence[Head], data: MusicData, settings: TrainSettings, judge: Judge | None) -> None:
        self.active, self.judge = sorted(heads, key=lambda head: head.width), judge
        self.data, self.seed = data, settings.seed
        self.max_epochs = settings.trainer.max_epochs or 0
        self.half = settings.trainer.precision == "bf16-mixed"
        self.batches = data.train_dataloader()
        self.normalization = deepcopy(heads[0].layers.normalization)
        self.optimizer = merge_optimizers([head.optimizer for head in self.active])
        targets = data.targets[data.rows("train")]
        self.class_weights = data.task.class_weights_of(targets).to(data.device) if data.task.class_weights else None

    def train(self) -> None:
        """Train every head until it stops or ``max_epochs`` is reached."""
        with rounded_products(self.half):
            self.train_epochs()

    def train_epochs(self) -> None:
        """Train and validate epoch by epoch."""
        head_batch = HeadBatch(self.active, self.half, self.optimizer)
        for epoch in range(self.max_epochs):
            self.optimizer.param_groups = groups_by_options(
                [group for head in self.active for group in head.optimizer.param_groups]
            )
            scores = {"train": self.train_epoch(head_batch, epoch), "val": self.validate(head_batch)}
            rows = history_rows(epoch, scores)
            continuing = [head for head, row in zip(self.active, rows, strict=True) if head.finish_epoch(row)]
            continuing = self.not_pruned(continuing, epoch + 1)
            if not continuing:
                return
            if len(continuing) < len(self.active):
                self.active, head_batch = continuing, HeadBatch(continuing, self.half, self.optimizer)

    def not_pruned(self, heads: list[Head], epochs: int) -> list[Head]:
        """Return the heads that the judge lets go on, who sees all of them; none is stopped after the last epoch."""
        if self.judge is None or not heads or epochs == self.max_epochs:
            return heads
        stopped = self.judge(epochs, {head.index: metrics_so_far(head.rows, head.monitor) for head in heads})
        for head in heads:
            head.pruned = head.index in stopped
        return [head for head in heads if not head.pruned]

    def train_epoch(self, head_batch: HeadBatch, epoch: int) -> Tensor:
        """Train one epoch; return its running mean losses and accuracies, (2, heads)."""
        self.batches.set_epoch(epoch)
        self.normalization.train()
        batches = list(self.batches)
        masks = self.dropout_masks(epoch, [len(index.rows) for index in batches])
        total = torch.zeros(2, len(self.active), device=self.data.device)
        for index, mask in zip(batches, masks, strict=True):
            batch = self.data.fetch(index)
            inputs = self.normalization(batch.inputs[:, 0])
            dense = head_batch.dense(inputs).requires_grad_()
            losses, correct = self.losses_and_correct(
                head_batch.logits(dense, mask)[:, :, None], batch.targets, self.class_weights
            )
            head_batch.step(inputs, dense, losses.mean(1).sum())
            total += torch.stack([losses.detach().sum(1), correct.sum(1)])
        return total / sum(len(index.rows) for index in batches)

    @torch.no_grad()
    def validate(self, head_batch: HeadBatch) -> Tensor | None:
        """Return mean validation losses and accuracies, (2, heads); None for an empty validation subset."""
        self.normalization.eval()
        values = []
        for index in self.data.batches("val") if self.data.track_names("val") else ():
            batch = self.data.fetch(index)
            logits = head_batch.logits(head_batch.dense(self.normalization(batch.inputs.flatten(0, 1))), None)
            values.append(
                torch.stack(self.losses_and_correct(logits.unflatten(1, batch.inputs.shape[:2]), batch.targets))
            )
        return torch.cat(values, dim=2).mean(2) if values else None

    def losses_and_correct(
        self, logits: Tensor, targets: Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(heads, batch, crops, genres), (batch, genres) -> losses and 1 where correct, (heads, batch) each."""
        repeated = targets.repeat(len(logits), 1)
        losses, probabilities = losses_and_probabilities(self.data.task, logits.flatten(0, 1), repeated, weights)
        correct = self.data.task.correct(probabilities, repeated).float()
        return losses.unflatten(0, logits.shape[:2]), correct.unflatten(0, logits.shape[:2])

    def dropout_masks(self, epoch: int, sizes: Sequence[int]) -> list[Tensor]:
        """Draw an epoch's dropout masks, (batch, units of all heads) each; every head has those it would have alone."""
        masks: dict[tuple[int, float], list[Tensor]] = {}
        dtype = torch.bfloat16 if self.half else torch.float32
        for head in self.active:
            if (key := (head.width, head.dropout)) not in masks:
                torch.manual_seed(dropout_seed(self.seed, epoch))
                ones = (torch.ones(size, head.width, dtype=dtype, device=self.data.device) for size in sizes)
                masks[key] = [F.dropout(one, head.dropout) for one in ones]
        parts = [masks[head.width, head.dropout] for head in self.active]
        return [torch.cat(batch, dim=1) for batch in zip(*parts, strict=True)]


def history_rows(epoch: int, scores: Mapping[str, Tensor | None]) -> list[HistoryRow]:
    """Convert (2, heads) losses and accuracies per subset to one row of history per head."""
    columns = {
        f"{subset}_{name}": values.tolist()
        for subset, means in scores.items()
        if means is not None
        for name, values in zip(("loss", "accuracy"), means, strict=True)
    }
    return [
        {"epoch": float(epoch), **dict(zip(columns, row, strict=True))} for row in zip(*columns.values(), strict=True)
    ]
