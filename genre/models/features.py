"""A network's features: what its last layers decide from, kept while it predicts so that nothing is computed twice."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

Kept = dict[nn.Module, list[Tensor]]
KEPT: ContextVar[Kept | None] = ContextVar("KEPT", default=None)  # of each thread, since threads share a network


def feature_layers(network: nn.Module) -> Sequence[nn.Module]:
    """Return the linear layers whose inputs are the network's features: its own ``feature_layers``, or the last one."""
    if hasattr(network, "feature_layers"):
        layers: Sequence[nn.Module] = network.feature_layers  # type: ignore[assignment]
        return layers
    return [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1:]


def keep_features(network: nn.Module) -> bool:
    """Let a network keep its features inside ``kept_features``; return whether it has any."""
    layers = feature_layers(network)
    for layer in layers:
        layer.register_forward_pre_hook(keep_input)
    return bool(layers)


def keep_input(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Keep what a layer is given, if this thread asks for it."""
    if (kept := KEPT.get()) is not None:
        kept[layer].append(inputs[0])


@contextmanager
def kept_features() -> Iterator[Kept]:
    """Keep what this thread's networks compute inside the context: layer -> its features, (windows, width) each."""
    kept: Kept = defaultdict(list)
    token = KEPT.set(kept)
    try:
        yield kept
    finally:
        KEPT.reset(token)


def mean_features(kept: Kept) -> Tensor | None:
    """The mean of what was kept over all windows, scaled to length 1, (width,) on the CPU; None if nothing was."""
    if not kept:
        return None
    means = [torch.cat(batches).float().mean(0).cpu() for batches in kept.values()]
    return nn.functional.normalize(torch.cat(means), dim=0)
