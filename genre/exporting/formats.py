"""The two formats: an ONNX file for ONNX Runtime, an ExportedProgram for PyTorch."""

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim
from torch.export.exported_program import ExportedProgram

from genre.errors import UserError
from genre.exporting.graph import WaveformGraph
from genre.exporting.onnx_network import insert, onnx_networks, placeholders
from genre.extras import import_extra
from genre.paths import ONNX_SUFFIX
from genre.prediction.exported import (
    DISTANCES,
    POSITIONS,
    PROBABILITIES,
    PROGRAM_SUFFIX,
    WAVEFORM,
    ExportMetadata,
)
from genre.transforms.views import Segments

BATCH, SAMPLES, CROPS = (Dim(name, min=1) for name in ("batch", "samples", "crops"))  # their names in a file
EXTRA_FILE = "genre.json"  # of an ExportedProgram


def to_onnx(graph: WaveformGraph, metadata: ExportMetadata) -> bytes:
    """The content of an ONNX file.

    The input 'positions' exists where a track has several windows. It is optional: its default is the run's own.

    Raises:
        UserError: if a package is not installed, or the network cannot be exported.
    """
    onnx = import_extra("onnx", "export", "ONNX files")
    import_extra("onnxscript", "export", "ONNX files")
    inputs, sizes = [example(graph)], [{0: BATCH, 1: SAMPLES}]
    if isinstance(graph.view, Segments):
        inputs, sizes = [*inputs, graph.view.positions], [*sizes, {0: CROPS}]
    outputs = [PROBABILITIES] if metadata.uncertain_beyond is None else [PROBABILITIES, DISTANCES]
    networks = onnx_networks(graph)
    with quiet(), clear_refusal(graph), placeholders(networks):
        program: Any = torch.onnx.export(
            graph, tuple(inputs), dynamo=True, verbose=False, output_names=outputs,
            input_names=[WAVEFORM, POSITIONS][: len(inputs)], dynamic_shapes=tuple(sizes),
        )  # fmt: skip
        proto = program.model_proto
        for number, network in enumerate(networks):
            insert(proto, number, network.content.numpy().tobytes())
    if len(inputs) > 1:
        proto.graph.initializer.append(onnx.numpy_helper.from_array(inputs[1].numpy(), POSITIONS))
    onnx.helper.set_model_props(proto, metadata.texts())
    content: bytes = proto.SerializeToString()
    return content


def to_torch(graph: WaveformGraph, metadata: ExportMetadata) -> bytes:
    """The content of a .pt2 file, whose extra file 'genre.json' is the metadata.

    Raises:
        UserError: if the network cannot be exported.
    """
    if onnx_networks(graph):
        raise UserError("a run whose network is an ONNX file can be exported with format=onnx only")
    with quiet(), clear_refusal(graph), torch.no_grad():
        program: ExportedProgram = torch.export.export(
            graph, (example(graph),), dynamic_shapes={WAVEFORM: {0: BATCH, 1: SAMPLES}}, strict=False
        )
    memory = io.BytesIO()
    torch.export.save(program, memory, extra_files={EXTRA_FILE: json.dumps(asdict(metadata), ensure_ascii=False)})
    return memory.getvalue()


FORMATS: dict[str, tuple[str, Callable[[WaveformGraph, ExportMetadata], bytes]]] = {
    "onnx": (ONNX_SUFFIX, to_onnx),
    "torch": (PROGRAM_SUFFIX, to_torch),
}


def example(graph: WaveformGraph) -> Tensor:
    """Two quiet tracks, somewhat longer than a window: (2, samples)."""
    noise = torch.rand(2, graph.span + graph.tolerance + 1000, generator=torch.Generator().manual_seed(0))
    return noise * 0.1


@contextmanager
def clear_refusal(graph: WaveformGraph) -> Iterator[None]:
    """Turn what PyTorch raises at a network that it cannot export into one sentence."""
    try:
        yield
    except Exception as error:  # PyTorch's exporters raise almost anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        name = type(graph.network).__name__
        raise UserError(f"PyTorch cannot export the network {name} ({reason}); see docs/export.md") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the warnings of PyTorch's exporters, which concern their authors."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
