"""A model in a file that ``genre.export`` wrote, run by ONNX Runtime; opened without PyTorch and Lightning."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from genre.errors import UserError
from genre.extras import import_extra
from genre.prediction.waveforms import WaveformModel, WaveformOutputs

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from genre.models.postprocessing import PostProcessing
    from genre.tasks import Task

PROGRAM_SUFFIX = ".pt2"
FORMAT_VERSION = 1
WAVEFORM, POSITIONS, PROBABILITIES, DISTANCES = "waveform", "positions", "probabilities", "distances"  # of the graph
ONE_WINDOW = np.array([0.5], np.float32)


@dataclass(frozen=True)
class ExportMetadata:
    """What a file says about its model; in an ONNX file each field is a key whose value is JSON.

    Args:
        genres: in the order of the probabilities.
        task: 'multiclass' (the most probable genre is predicted) or 'multilabel' (those above their thresholds).
        thresholds: per genre; None for multiclass.
        temperature: which the logits are divided by, inside the graph; None: 1.
        uncertain_below: a track whose highest probability is lower is uncertain; None: unknown.
        sample_rate: of the waveforms, in Hz.
        window_seconds: what the network is given at once.
        positions: of the windows that are averaged, from 0 (the beginning) to 1 (the end).
        columns: of the catalogue that the run used beside the music, and the file does not.
        synthetic: whether the model learnt from synthetic music.
        program: which wrote the file, and its version.
        uncertain_beyond: a track whose distance from the training tracks is larger is uncertain, too; None: the graph
            has no output of distances, as in files of earlier versions.
        format_version: of this description.
    """

    genres: tuple[str, ...]
    task: str
    thresholds: tuple[float, ...] | None
    temperature: float | None
    uncertain_below: float | None
    sample_rate: int
    window_seconds: float
    positions: tuple[float, ...]
    columns: tuple[str, ...]
    synthetic: bool
    program: str
    uncertain_beyond: float | None = None
    format_version: int = FORMAT_VERSION

    def texts(self) -> dict[str, str]:
        """Each field's value as JSON."""
        return {name: json.dumps(value, ensure_ascii=False) for name, value in asdict(self).items()}

    @classmethod
    def from_texts(cls, texts: dict[str, str], source: str) -> Self:
        """Read what ``texts`` gave.

        Args:
            source: of the texts, for the message.

        Raises:
            UserError: if it is something else, or of another version.
        """
        try:
            version = json.loads(texts["format_version"])
            if version != FORMAT_VERSION:
                raise UserError(f"{source} has format {version}, this program reads {FORMAT_VERSION}; export it again")
            required = [field.name for field in fields(cls) if field.default is MISSING or field.name in texts]
            values: dict[str, Any] = {name: json.loads(texts[name]) for name in required}
        except (KeyError, ValueError) as error:
            raise UserError(f"{source} was not written by genre.export, or is damaged; export the run again") from error
        for name in ("genres", "thresholds", "positions", "columns"):
            values[name] = None if values[name] is None else tuple(values[name])
        return cls(**values)


class ExportedModel(WaveformModel):
    """A model in an ONNX file, on the CPU.

    Args:
        path: of the file.

    Raises:
        UserError: if it is missing or something else, or ONNX Runtime is not installed.
    """

    def __init__(self, path: Path) -> None:
        self.session = open_session(path)
        self.folder, self.has_features = None, False
        self.metadata = ExportMetadata.from_texts(self.session.get_modelmeta().custom_metadata_map, str(path))
        self.genres, self.columns, self.synthetic = self.metadata.genres, self.metadata.columns, self.metadata.synthetic
        self.sample_rate, self.seconds = self.metadata.sample_rate, self.metadata.window_seconds
        self.crops = max(1, len(self.metadata.positions))
        self.path = path

    @cached_property
    def task(self) -> "Task":  # type: ignore[override]
        """How genres are decided: by the thresholds below, which hold those of the run, fixed or tuned."""
        from genre.tasks import Multiclass, Multilabel

        return Multilabel(thresholds="per_genre") if self.metadata.task == "multilabel" else Multiclass()

    @cached_property
    def postprocessing(self) -> "PostProcessing":  # type: ignore[override]
        """What was fitted after training; the graph has applied the temperature."""
        from genre.models.postprocessing import PostProcessing

        return PostProcessing.from_metadata(asdict(self.metadata))

    @property
    def device(self) -> "torch.device":
        """The CPU."""
        from torch import device

        return device("cpu")

    @cached_property
    def identity(self) -> str:
        """A hash of the file."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()[:16]

    def to(self, device: "torch.device") -> Self:
        """Stay on the CPU, where the file runs."""
        return self

    def __call__(self, waveform: Any) -> Any:
        """(batch, samples) in [-1, 1] at ``sample_rate`` Hz -> probabilities (batch, genres): an array for an array."""
        probabilities = self.run({WAVEFORM: np.asarray(waveform, np.float32)})[0]
        return probabilities if isinstance(waveform, np.ndarray) else as_tensor(probabilities)

    def outputs(self, waveform: "Tensor") -> WaveformOutputs:
        """Outputs of tracks (batch, samples) in [-1, 1] at ``sample_rate`` Hz, means over their crops."""
        return as_outputs(self.run({WAVEFORM: np.asarray(waveform, np.float32)}))

    def window_outputs(self, windows: "Tensor") -> WaveformOutputs:
        """Outputs of waveforms (batch, samples) of one window at most, from one crop of each."""
        inputs = {WAVEFORM: np.asarray(windows, np.float32)}
        if any(value.name == POSITIONS for value in self.session.get_overridable_initializers()):
            inputs[POSITIONS] = ONE_WINDOW
        return as_outputs(self.run(inputs))

    def run(self, inputs: dict[str, npt.NDArray[np.float32]]) -> list[npt.NDArray[np.float32]]:
        """Inputs of the graph by name -> probabilities (batch, genres), and distances (batch,) if it has them."""
        outputs: list[npt.NDArray[np.float32]] = self.session.run(None, inputs)
        return outputs


def as_outputs(arrays: Sequence[npt.NDArray[np.float32]]) -> WaveformOutputs:
    """Outputs of the graph as tensors."""
    probabilities, *distances = map(as_tensor, arrays)
    return WaveformOutputs(probabilities, distances[0] if distances else None)


def as_tensor(values: npt.NDArray[np.float32]) -> "Tensor":
    """An array as a tensor."""
    from torch import from_numpy

    return from_numpy(values)


def open_session(path: Path) -> Any:
    """Open an ONNX file.

    Raises:
        UserError: if it is missing or something else, or ONNX Runtime is not installed.
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}; give one that genre.export wrote, or the folder of a run")
    runtime = import_extra("onnxruntime", "export", "ONNX files")
    try:
        options = runtime.SessionOptions()
        options.log_severity_level = 3  # errors; it warns of inputs that have a default
        return runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of ONNX Runtime's own kinds, which have no common base
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} cannot be opened ({reason}); export the run again") from error
