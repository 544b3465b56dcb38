"""Opens a trained model: a run, or a file that ``genre.export`` wrote, without importing what the other needs."""

from collections.abc import Sequence
from pathlib import Path

from genre.errors import UserError
from genre.paths import ONNX_SUFFIX
from genre.prediction.exported import PROGRAM_SUFFIX, ExportedModel
from genre.prediction.waveforms import WaveformModel


def load(run: str | Path | None = None, trust: Sequence[str] = ()) -> WaveformModel:
    """Load a trained model, in evaluation mode, on the CPU.

    Args:
        run: the folder that train.py printed, or a file that ``genre.export`` wrote (.onnx); None loads the model that
            comes with the program.
        trust: modules of your own that the run names, such as ``["mynets"]``; they are imported.

    Example:
        >>> model = genre.load()
        >>> dict(zip(model.genres, model(waveform)[0].tolist()))

    Raises:
        UserError: if ``run`` is none of these, or names other modules.
    """
    suffix = None if run is None else Path(run).suffix
    if run is not None and suffix == ONNX_SUFFIX:
        return ExportedModel(Path(run).expanduser())
    if suffix == PROGRAM_SUFFIX:
        raise UserError(f"{run} may hold code, and is opened by PyTorch alone; export the run with format=onnx")
    from genre.models.pretrained import read_network
    from genre.prediction.model import Model  # imports Lightning

    return Model(read_network(run), trust).eval()
