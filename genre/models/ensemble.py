"""Several networks trained side by side as one run, whose probabilities are averaged."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from genre.models.features import feature_layers
from genre.models.networks import last_convolution, logits_and_distances


class Ensemble(nn.Module):
    """Networks that see the same pictures and learn independently of each other.

    Each member has its own loss and its own probabilities, as crops of a track do; both are averaged. If all members
    are frozen backbones, their features are cached, in the same stores as those of each member alone. Frozen weights
    that several members have are in memory, and in a checkpoint, once.

    Args:
        members: the networks by name.

    Raises:
        ValueError: if there is none.
    """

    def __init__(self, members: Mapping[str, nn.Module]) -> None:
        super().__init__()
        if not members:
            raise ValueError("model.members={} must name at least one network")
        self.members = nn.ModuleDict(members)
        share_frozen_weights(members.values())

    def forward(self, inputs: Tensor) -> Tensor:
        """(batch, 1, size, size) in [0, 1], or features (batch, width) -> logits (batch, members, genres)."""
        return torch.stack([network(part) for network, part in self.member_inputs(inputs)], dim=1)

    def logits_and_distances(self, inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """As ``forward``; and the distances (batch,), the mean over the members that have one, None without any."""
        logits, distances = zip(*(logits_and_distances(*each) for each in self.member_inputs(inputs)), strict=True)
        known = [each for each in distances if each is not None]
        return torch.stack(logits, dim=1), torch.stack(known).mean(dim=0) if known else None

    def member_inputs(self, inputs: Tensor) -> list[tuple[nn.Module, Tensor]]:
        """The members, each with its inputs: the same pictures, or its own part of the features."""
        networks: list[Any] = list(self.members.values())
        parts = [inputs] * len(networks)
        if inputs.ndim == 2:
            parts = list(inputs.split([network.width for network in networks], dim=1))
        return list(zip(networks, parts, strict=True))

    @property
    def backbones(self) -> list[nn.Module]:
        """The networks whose features are cached, each in a store of its own, if all are frozen backbones."""
        return list(self.members.values())

    @property
    def fingerprint(self) -> str:
        """The frozen members' own."""
        return " ".join(getattr(network, "fingerprint", "") for network in self.members.values())

    @property
    def architecture(self) -> dict[str, Any]:
        """Of each member that has one, what it can be built from without its published files."""
        known = {name: getattr(network, "architecture", None) for name, network in self.members.items()}
        return {name: value for name, value in known.items() if value}

    @property
    def grad_cam_layer(self) -> nn.Conv2d | None:
        """The convolution of the first member that has one to explain."""
        layers = (last_convolution(network) for network in self.members.values())
        return next((layer for layer in layers if layer), None)

    @property
    def feature_layers(self) -> list[nn.Module]:
        """The layers whose inputs are the members' features."""
        return [layer for network in self.members.values() for layer in feature_layers(network)]

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The optimiser's parameter groups: those of all members."""
        groups: list[dict[str, Any]] = []
        for network in self.members.values():
            own = getattr(network, "parameter_groups", None)
            groups += own() if own else [{"params": list(network.parameters())}]
        return groups


def share_frozen_weights(networks: Iterable[nn.Module]) -> None:
    """Replace, in place, the frozen weights of a network by those of an earlier one that has the same."""
    known: dict[tuple[str, str], nn.Parameter] = {}
    for network in networks:
        for place, module in network.named_modules():
            for name, weights in module.named_parameters(place, recurse=False):
                if not weights.requires_grad:
                    first = known.setdefault((getattr(network, "fingerprint", ""), name), weights)
                    if first.shape == weights.shape and torch.equal(first, weights):
                        setattr(module, name.rpartition(".")[2], first)
