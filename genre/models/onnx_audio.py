"""A frozen network in an ONNX file that hears waveforms, run by ONNX Runtime on the CPU; the run's files contain it."""

import copy
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from genre.errors import UserError
from genre.extras import import_extra
from genre.models.published import AudioNetwork


class OnnxNetwork(AudioNetwork):
    """An ONNX file from (batch, samples) to features (batch, width) or (batch, time, width), its first output.

    Args:
        content: of the file, (bytes,) uint8.
        sample_rate: of the waveforms that it hears, in Hz.
        width: of the features; 0: found out by running it.
        samples: of the clips that it will hear.
        source: of the file, for messages.

    Raises:
        UserError: if it is something else.
    """

    def __init__(self, content: Tensor, sample_rate: int, width: int, samples: int, source: str) -> None:
        super().__init__()
        self.content = nn.Parameter(content, requires_grad=False)
        self.sample_rate, self.samples, self.source = sample_rate, samples, source
        self.opened: Any = None
        width = width or self.tried(torch.zeros(2, samples))
        self.widths = [width]
        self.architecture = {"kind": "onnx", "bytes": len(content), "sample_rate": sample_rate, "width": width}

    def tried(self, waveform: Tensor) -> int:
        """Run silence; return the width of the features.

        Raises:
            UserError: if the network does not take it, or gives something else.
        """
        try:
            output = self.run(waveform)
        except Exception as error:  # ONNX Runtime's have no common base
            reason = str(error).splitlines()[0]
            raise UserError(
                f"model.name={self.source} cannot be used ({reason[:200]}); its first input must be float32 (batch, "
                "samples)"
            ) from error
        if output.ndim not in (2, 3) or len(output) != len(waveform):
            raise UserError(
                f"model.name={self.source} gives {tuple(output.shape)} for {tuple(waveform.shape)}; its first output "
                "must be (batch, width) or (batch, time, width)"
            )
        return output.shape[-1]

    def run(self, waveform: Tensor) -> Tensor:
        """(batch, samples) -> the first output."""
        if self.opened is None:
            runtime = import_extra("onnxruntime", "export", "ONNX files")
            options = runtime.SessionOptions()
            options.log_severity_level = 3
            bytes_of_file = self.content.detach().cpu().numpy().tobytes()
            self.opened = runtime.InferenceSession(bytes_of_file, options, providers=["CPUExecutionProvider"])
        name = self.opened.get_inputs()[0].name
        output = self.opened.run(None, {name: np.ascontiguousarray(waveform.cpu().numpy(), np.float32)})[0]
        return torch.from_numpy(output)

    def forward(self, waveform: Tensor) -> list[Tensor]:
        """(batch, samples) in [-1, 1] -> the features, averaged over time if there is any: [(batch, width)]."""
        output = self.run(waveform).to(waveform.device)
        return [output.mean(dim=1) if output.ndim == 3 else output]

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A copy opens a session of its own."""
        opened, self.opened = self.opened, None
        try:
            clone = self.__class__.__new__(self.__class__)
            memo[id(self)] = clone
            clone.__dict__.update(copy.deepcopy(self.__dict__, memo))
        finally:
            self.opened = opened
        return clone


def open_onnx(path: Path, sample_rate: int, samples: int) -> OnnxNetwork:
    """Open a file.

    Raises:
        UserError: if it is missing or something else.
    """
    if not path.is_file():
        raise UserError(f"model.name={path} does not exist; give an ONNX file")
    content = torch.from_numpy(np.frombuffer(path.read_bytes(), np.uint8).copy())
    return OnnxNetwork(content, sample_rate, 0, samples, str(path))


def build_onnx(architecture: dict[str, Any], samples: int) -> OnnxNetwork:
    """Build a network whose file is loaded with the weights of a run."""
    content = torch.zeros(architecture["bytes"], dtype=torch.uint8)
    return OnnxNetwork(content, architecture["sample_rate"], architecture["width"], samples, "the file of the run")
