"""Heads of a frozen backbone that train side by side on its kept features, each as it would alone.

Heads of one seed see the same batches, so that the first layers of all are one matrix product. Everything else is each
head's own: start, dropout, optimiser, learning rate schedule, and when it stops.
"""

import inspect
import json
import math
import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from itertools import accumulate, groupby
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from hydra.utils import get_class
from lightning import seed_everything
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from genre.data.datamodule import MusicData
from genre.models.classifier import dropout_seed, losses_and_probabilities
from genre.sweeping.trial import HistoryRow, TrialData, TrialResult, network_for, resolve_precision, trial_result
from genre.training.run_folder import flat
from genre.training.train import partial_of, resolve_monitor

HEAD_KEYS = frozenset({"optimizer.lr", "optimizer.weight_decay", "model.dense_units", "model.dropout", "seed"})
SUPPORTED_TRAINER_KEYS = frozenset(  # what the group trainer may hold; anything else is left to Lightning
    "max_epochs patience monitor precision accelerator devices deterministic enable_progress_bar limit_tracks".split()
)


def family_of(values: Mapping[str, Any]) -> str | None:
    """What heads must have in common to train together; None where a point must train alone."""
    model, trainer, schedule = values["model"], values["trainer"], values["scheduler"]
    frozen = hasattr(get_class(model["_target_"]), "make_head") and not model["unfreeze"] and model["cached_views"]
    plateau = schedule is None or issubclass(get_class(schedule["_target_"]), ReduceLROnPlateau)
    if (
        not (frozen and values["data"]["keep"] and plateau and set(trainer) <= SUPPORTED_TRAINER_KEYS)
        or values["init_from"]
    ):
        return None
    if trainer["precision"] == "16-mixed":
        return None
    return json.dumps({key: value for key, value in flat(values) if key not in HEAD_KEYS}, sort_keys=True)


def train_family(points: Sequence[dict[str, Any]], trial_data: TrialData) -> list[TrialResult]:
    """Train configurations of one family.

    Returns:
        what is known of each, as if it had trained alone; the seconds are its share of all.

    Raises:
        UserError: if one of the configurations cannot be used.
    """
    begin = time.monotonic()
    trained: dict[int, Head] = {}
    order = sorted(range(len(points)), key=lambda place: points[place]["seed"])
    for _, some in groupby(order, key=lambda place: points[place]["seed"]):
        places = list(some)
        trained |= zip(places, train_heads([points[place] for place in places], trial_data), strict=True)
    share = (time.monotonic() - begin) / len(points)
    return [trial_result(part.rows, part.monitor, part.parameters, share) for _, part in sorted(trained.items())]


class Head:
    """One head with its own optimiser, schedule and patience.

    Args:
        layers: normalisation, dense, ReLU, dropout, logits.
        values: its configuration.
        monitor: what schedule and patience go by.
        parameters: of its whole network.
    """

    def __init__(self, layers: nn.Sequential, values: Mapping[str, Any], monitor: str, parameters: int) -> None:
        self.layers, self.values, self.monitor, self.parameters = layers, values, monitor, parameters
        first, dropout, last = layers[1], layers[3], layers[4]
        assert isinstance(first, nn.Linear) and isinstance(dropout, nn.Dropout) and isinstance(last, nn.Linear)
        self.first, self.last, self.dropout = first, last, dropout.p
        self.optimizer: Optimizer = fused_optimizer(partial_of(values["optimizer"]))(list(layers.parameters()))
        schedule = partial_of(values["scheduler"])
        self.schedule = schedule(self.optimizer) if schedule else None
        self.rows: list[HistoryRow] = []
        self.best, self.waited = math.inf, 0

    @property
    def width(self) -> int:
        """Units of the dense layer."""
        return self.first.out_features

    def goes_on(self, row: HistoryRow) -> bool:
        """Take the values of an epoch; whether another one follows, as Lightning's early stopping has it."""
        self.rows.append(row)
        value = row[self.monitor.replace("/", "_")]
        if self.schedule:
            self.schedule.step(value)
        patience = self.values["trainer"]["patience"]
        cost = value if self.monitor.endswith("loss") else -value
        improved = cost < self.best
        self.best, self.waited = (cost, 0) if improved else (self.best, self.waited + 1)
        return patience is None or (math.isfinite(cost) and (improved or self.waited < patience))


def fused_optimizer(optimizer: Any) -> Any:
    """An optimiser that updates in one go where it knows how to."""
    if "fused" in inspect.signature(optimizer.func).parameters and not optimizer.keywords.get("foreach"):
        optimizer.keywords.setdefault("fused", True)
    return optimizer


def merge_optimizers(optimizers: Sequence[Optimizer]) -> Optimizer:
    """An optimiser that steps what several would: their groups are its groups, so that each keeps its learning rate.

    One call instead of many: PyTorch looks for a GPU at each, which takes longer than a small head's step.
    """
    kind: Any = type(optimizers[0])
    whole: Optimizer = kind([group for optimizer in optimizers for group in optimizer.param_groups])
    return whole


class HeadBatch:
    """Heads side by side: the parameters of each are parts of the pack's.

    Args:
        heads: sorted by width.
        half: whether products are computed in bfloat16, as under autocast.
        optimizer: steps all heads.
    """

    def __init__(self, heads: Sequence[Head], half: bool, optimizer: Optimizer) -> None:
        self.heads, self.dtype, self.optimizer = heads, torch.bfloat16 if half else torch.float32, optimizer
        optimizer.param_groups = [group for head in heads for group in head.optimizer.param_groups]
        self.weight = concatenate_shared([head.first.weight for head in heads])
        self.bias = concatenate_shared([head.first.bias for head in heads])
        self.weight_grad, self.bias_grad = torch.empty_like(self.weight), torch.empty_like(self.bias)
        # kept: these are large, and new memory would cost more than what is computed in it
        self.half = [torch.empty_like(self.weight, dtype=self.dtype) for _ in range(2)] if half else []
        ends = list(accumulate(head.width for head in heads))
        for head, begin, end in zip(heads, [0, *ends], ends, strict=False):
            head.first.weight.grad, head.first.bias.grad = self.weight_grad[begin:end], self.bias_grad[begin:end]
        self.alike = [list(group) for _, group in groupby(heads, key=lambda head: head.width)]
        self.lasts = [
            (stack_shared([head.last.weight for head in group]), stack_shared([head.last.bias for head in group]))
            for group in self.alike
        ]

    def logits(self, dense: Tensor, masks: Tensor | None) -> Tensor:
        """Dense layers' outputs (batch, all units), and what dropout multiplies them by -> (heads, batch, genres)."""
        hidden = dense.relu() if masks is None else dense.relu() * masks
        parts = hidden.split([len(group) * group[0].width for group in self.alike], dim=1)
        out = []
        for group, part, (weight, bias) in zip(self.alike, parts, self.lasts, strict=True):
            units = part.unflatten(1, (len(group), -1)).transpose(0, 1)
            out.append((units @ weight.to(self.dtype).transpose(1, 2) + bias.to(self.dtype)[:, None]).float())
        return torch.cat(out)

    def dense(self, inputs: Tensor) -> Tensor:
        """(batch, features) -> (batch, all units)."""
        weight = self.half[0].copy_(self.weight) if self.half else self.weight
        return F.linear(inputs.to(self.dtype), weight, self.bias.to(self.dtype))

    def learn(self, inputs: Tensor, dense: Tensor, loss: Tensor) -> None:
        """One step of every head, from the loss of all."""
        for weight, bias in self.lasts:
            weight.grad = bias.grad = None
        loss.backward()
        assert dense.grad is not None
        gradient = self.half[1] if self.half else self.weight_grad
        torch.mm(dense.grad.T, inputs.to(self.dtype), out=gradient)
        if self.half:
            self.weight_grad.copy_(gradient)
        torch.sum(dense.grad.float(), dim=0, out=self.bias_grad)
        for group, (weight, bias) in zip(self.alike, self.lasts, strict=True):
            assert weight.grad is not None and bias.grad is not None
            for head, own_weight, own_bias in zip(group, weight.grad, bias.grad, strict=True):
                head.last.weight.grad, head.last.bias.grad = own_weight, own_bias
        self.optimizer.step()


def concatenate_shared(parameters: Sequence[Tensor]) -> Tensor:
    """Parameters end to end, which become parts of the result."""
    whole = torch.cat([parameter.detach() for parameter in parameters])
    for parameter, part in zip(parameters, whole.split([len(parameter) for parameter in parameters]), strict=True):
        parameter.data = part
    return whole


def stack_shared(parameters: Sequence[Tensor]) -> Tensor:
    """Parameters of one shape on top of each other, which become parts of the result; it takes their gradients."""
    whole = torch.stack([parameter.detach() for parameter in parameters])
    for parameter, part in zip(parameters, whole.unbind(), strict=True):
        parameter.data = part
    return whole.requires_grad_()


def train_heads(points: Sequence[dict[str, Any]], trial_data: TrialData) -> list[Head]:
    """Train the heads of one seed."""
    values = points[0]
    for point in points:
        resolve_precision(point)
    seed_everything(values["seed"], verbose=False)
    network: Any = network_for(values, trial_data)
    data = trial_data.data_for(values, network)
    heads = build_heads(points, network, data)
    HeadTrainer(heads, data, values).train()
    return heads


def build_heads(points: Sequence[dict[str, Any]], network: Any, data: MusicData) -> list[Head]:
    """A head a point, as its own network would have begun with it."""
    monitor = resolve_monitor(points[0], data)
    backbone = parameter_count(network) - parameter_count(network.head)
    heads = []
    for point in points:
        layers = network.make_head(point["model"]["dense_units"], point["model"]["dropout"]).to(data.device)
        heads.append(Head(layers, point, monitor, backbone + parameter_count(layers)))
    return heads


def parameter_count(module: nn.Module) -> int:
    """How many parameters there are."""
    return sum(parameter.numel() for parameter in module.parameters())


class HeadTrainer:
    """The epochs of heads that share their batches.

    Args:
        heads: of one seed.
        data: with kept features.
        values: the configuration of one of them: all that is no head's own.
    """

    def __init__(self, heads: Sequence[Head], data: MusicData, values: Mapping[str, Any]) -> None:
        self.active = sorted(heads, key=lambda head: head.width)
        self.data, self.seed = data, values["seed"]
        self.max_epochs = values["trainer"]["max_epochs"]
        self.half = values["trainer"]["precision"] == "bf16-mixed"
        self.norm = deepcopy(heads[0].layers[0])
        self.optimizer = merge_optimizers([head.optimizer for head in self.active])
        targets = data.targets[data.rows("train")]
        self.class_weights = data.task.class_weights_of(targets).to(data.device) if data.task.class_weights else None

    def train(self) -> None:
        """Every head until it stops."""
        pack = HeadBatch(self.active, self.half, self.optimizer)
        for epoch in range(self.max_epochs):
            scores = {"train": self.train_epoch(pack, epoch), "val": self.validate(pack)}
            going = [
                head for head, row in zip(self.active, history_rows(epoch, scores), strict=True) if head.goes_on(row)
            ]
            if not going:
                return
            if len(going) < len(self.active):
                self.active, pack = going, HeadBatch(going, self.half, self.optimizer)

    def train_epoch(self, pack: HeadBatch, epoch: int) -> Tensor:
        """An epoch of training: (2, heads) mean losses and accuracies on the way."""
        moment: Any = SimpleNamespace(current_epoch=epoch, global_rank=0, world_size=1)
        self.data.trainer = moment  # from which batches derive their order
        self.norm.train()
        batches = list(self.data.train_dataloader())
        masks = self.masks(epoch, [len(index.rows) for index in batches])
        total = torch.zeros(2, len(self.active), device=self.data.device)
        for index, mask in zip(batches, masks, strict=True):
            batch = self.data.fetch(index)
            inputs = self.norm(batch.inputs[:, 0])
            dense = pack.dense(inputs).requires_grad_()
            losses, hits = self.losses_and_hits(pack.logits(dense, mask)[:, :, None], batch.targets, self.class_weights)
            pack.learn(inputs, dense, losses.mean(1).sum())
            total += torch.stack([losses.detach().sum(1), hits.sum(1)])
        return total / sum(len(index.rows) for index in batches)

    @torch.no_grad()
    def validate(self, pack: HeadBatch) -> Tensor | None:
        """(2, heads) mean losses and accuracies on validation; None where there is none."""
        self.norm.eval()
        parts = []
        for index in self.data.batches("val") if self.data.track_names("val") else ():
            batch = self.data.fetch(index)
            logits = pack.logits(pack.dense(self.norm(batch.inputs.flatten(0, 1))), None)
            parts.append(torch.stack(self.losses_and_hits(logits.unflatten(1, batch.inputs.shape[:2]), batch.targets)))
        return torch.cat(parts, dim=2).mean(2) if parts else None

    def losses_and_hits(self, logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(heads, batch, crops, genres), (batch, genres) -> losses and hits, (heads, batch) each."""
        repeated = targets.repeat(len(logits), 1)
        losses, probabilities = losses_and_probabilities(self.data.task, logits.flatten(0, 1), repeated, weights)
        hits = self.data.task.correct(probabilities, repeated).float()
        return losses.unflatten(0, logits.shape[:2]), hits.unflatten(0, logits.shape[:2])

    def masks(self, epoch: int, sizes: Sequence[int]) -> list[Tensor]:
        """What dropout multiplies by in each batch of an epoch, (batch, all units): that of each head alone."""
        drawn: dict[tuple[int, float], list[Tensor]] = {}
        dtype = torch.bfloat16 if self.half else torch.float32
        for head in self.active:
            if (kind := (head.width, head.dropout)) not in drawn:
                torch.manual_seed(dropout_seed(self.seed, epoch))
                ones = (torch.ones(size, head.width, dtype=dtype, device=self.data.device) for size in sizes)
                drawn[kind] = [F.dropout(one, head.dropout) for one in ones]
        parts = [drawn[head.width, head.dropout] for head in self.active]
        return [torch.cat(batch, dim=1) for batch in zip(*parts, strict=True)]


def history_rows(epoch: int, scores: Mapping[str, Tensor | None]) -> list[HistoryRow]:
    """A row of history a head."""
    named = {
        f"{subset}_{name}": values.tolist()
        for subset, both in scores.items()
        if both is not None
        for name, values in zip(("loss", "accuracy"), both, strict=True)
    }
    return [
        {"epoch": float(epoch), **dict(zip(named, column, strict=True))} for column in zip(*named.values(), strict=True)
    ]
