"""A network in an ONNX file, inside the exported file of its run: PyTorch exports a placeholder, which is replaced."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from genre.models.onnx_audio import OnnxNetwork

DOMAIN = "genre"  # of the placeholders, Network0, Network1, …


def placeholder(waveform: Tensor, number: int, shape: Sequence[int]) -> Tensor:
    """(batch, samples) -> (batch, *shape): a node of a domain of our own, where the network will be."""
    result: Tensor = torch.onnx.ops.symbolic(
        f"{DOMAIN}::Network{number}", (waveform,), dtype=torch.float32, shape=(waveform.shape[0], *shape), version=1
    )
    return result


def onnx_networks(network: nn.Module) -> list[OnnxNetwork]:
    """The networks in ONNX files that are part of a network."""
    return [part for part in network.modules() if isinstance(part, OnnxNetwork)]


@contextmanager
def placeholders(networks: list[OnnxNetwork]) -> Iterator[None]:
    """Let networks give placeholders in place of their features."""
    shapes = [list(network.run(torch.zeros(1, network.samples)).shape[1:]) for network in networks]
    for number, (network, shape) in enumerate(zip(networks, shapes, strict=True)):
        network.run = partial(placeholder, number=number, shape=shape)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for network in networks:
            del network.run


def insert(model: Any, number: int, content: bytes) -> None:
    """Replace a placeholder in an ONNX model by the graph of another, at the operators' version of the first.

    Args:
        number: of the placeholder.
        content: of the other's file.
    """
    import onnx

    (version,) = (each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    inner = onnx.version_converter.convert_version(onnx.load_from_string(content), version)
    inner = onnx.compose.add_prefix(inner, f"network{number}/")
    nodes = list(model.graph.node)
    place = next(index for index, node in enumerate(nodes) if node.op_type == f"Network{number}")
    begin = onnx.helper.make_node("Identity", [nodes[place].input[0]], [inner.graph.input[0].name])
    end = onnx.helper.make_node("Identity", [inner.graph.output[0].name], [nodes[place].output[0]])
    del model.graph.node[:]
    model.graph.node.extend([*nodes[:place], begin, *inner.graph.node, end, *nodes[place + 1 :]])
    model.graph.initializer.extend(inner.graph.initializer)
    model.functions.extend(inner.functions)
    known = {each.domain for each in model.opset_import} | {"", DOMAIN}
    kept = [each for each in model.opset_import if each.domain != DOMAIN]
    del model.opset_import[:]
    model.opset_import.extend([*kept, *(each for each in inner.opset_import if each.domain not in known)])
    model.ir_version = max(model.ir_version, inner.ir_version)
