"""The command `python -m genre.export`: a run in one file, from waveform to probabilities."""

import logging
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

import genre
from genre.config.settings import ExportSettings, export_settings
from genre.errors import UserError
from genre.exporting.card import model_card
from genre.exporting.formats import FORMATS
from genre.exporting.graph import WaveformGraph
from genre.files import write_bytes, write_text
from genre.models.pretrained import read_network
from genre.prediction.exported import ExportMetadata
from genre.prediction.model import Model
from genre.tasks import Multiclass, Multilabel
from genre.transforms.views import Segments

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExportResult:
    """What `export` wrote.

    Args:
        path: of the model.
        card: of its model card.
    """

    path: Path
    card: Path


def export(cfg: DictConfig | ExportSettings) -> ExportResult:
    """Write a run, or the model that comes with the program, to one file, and a model card beside it.

    Raises:
        UserError: if the run does not exist or cannot be exported, a package is missing, or the output's name is wrong.
    """
    settings = export_settings(cfg)
    suffix, content_of = FORMATS[settings.format]
    path = settings.output or settings.folder / f"model{suffix}"
    if path.suffix != suffix:
        raise UserError(f"output={path} must end in {suffix} with format={settings.format}")
    saved = read_network(settings.run)
    model = Model(saved, settings.trust).eval()
    metadata, graph = export_metadata(model), WaveformGraph(model).eval()
    if model.columns:
        log.info("the run knows %s of tracks, too; the file predicts from the music alone", ", ".join(model.columns))
    content, card = content_of(graph, metadata), path.with_suffix(".md")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, content)
    write_text(card, model_card(path, metadata, model.network, saved))
    log.info("wrote %s (%.1f MB) and its model card %s", path, len(content) / 1e6, card.name)
    return ExportResult(path, card)


def export_metadata(model: Model) -> ExportMetadata:
    """What a file says about a model.

    Raises:
        UserError: if its task decides in a way of its own, which no file can hold.
    """
    task, fitted, view = model.task, model.postprocessing, model.pipeline.view
    if type(task).decide not in (Multiclass.decide, Multilabel.decide):
        raise UserError(f"the task {type(task).__name__} decides by its own code, which no exported file can hold")
    return ExportMetadata(
        genres=model.genres,
        task="multilabel" if isinstance(task, Multilabel) else "multiclass",
        thresholds=thresholds(model),
        temperature=fitted.temperature,
        uncertain_below=fitted.uncertain_below,
        uncertain_beyond=fitted.uncertain_beyond,
        sample_rate=model.sample_rate,
        window_seconds=model.seconds,
        positions=tuple(view.positions.tolist()) if isinstance(view, Segments) else (0.5,),
        columns=model.columns,
        synthetic=model.synthetic,
        program=f"genre {genre.__version__}",
    )


def thresholds(model: Model) -> tuple[float, ...] | None:
    """The threshold of each genre by which the run predicts, tuned or fixed; None for one genre per track."""
    task, tuned = model.task, model.postprocessing.thresholds
    if not isinstance(task, Multilabel):
        return None
    if task.thresholds == "fixed" or tuned is None:
        return (task.threshold,) * len(model.genres)
    return tuple(tuned.tolist())
