"""A learning curve, from its settings to its folder of results."""

import logging
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from genre.config.build import check_buildable, root_device
from genre.config.records import Record
from genre.config.settings import curve_settings, train_record
from genre.curves.fit import Extrapolation, extrapolate
from genre.curves.measure import Measurements, measure
from genre.curves.report import write_curve_report
from genre.curves.trainings import check_trainings, prepare_stores, train_all, trainings_of
from genre.errors import UserError
from genre.paths import RECORD
from genre.training.claim import claimed
from genre.training.run_folder import begin_run, continued, folder_of, refuse_changes
from genre.training.setup import resolve_precision
from genre.training.train import resume_hint

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CurveResult:
    """The outcome of a learning curve.

    Args:
        folder: of all its files.
        measured: accuracy and recall per number of training tracks.
        extrapolation: to twice the training tracks.
    """

    folder: Path
    measured: Measurements
    extrapolation: Extrapolation


def curve(cfg: DictConfig) -> CurveResult:
    """Train on growing shares of the training tracks, test by cross-validation, and extrapolate to twice the tracks.

    Raises:
        UserError: if the configuration or the data cannot be used; before long work starts wherever that can be known.
    """
    record = continued(train_record(cfg))
    folder = folder_of(record)
    with claimed(folder), resume_hint(folder, "curve.py"):
        refuse_other_content(folder, record)
        return curve_in(folder, {**record, "folder": str(folder), "resume": None})


def curve_in(folder: Path, record: Record) -> CurveResult:
    """Make the learning curve of a folder that this process holds; its finished trainings are kept."""
    settings = curve_settings(record)
    check_buildable(settings.base)
    check_trainings(trainings_of(settings))
    precision = resolve_precision(settings.base, root_device(settings.base.trainer))
    record = {**record, "trainer": {**record["trainer"], "precision": precision}}
    begin_run(folder, record)  # only now: an error leaves no folder behind
    trainings = trainings_of(curve_settings(record))
    if not all((run.folder / "metrics.json").exists() for run in trainings.values()):
        prepare_stores(trainings)
    measured = measure(train_all(trainings))
    accuracy = measured.accuracy
    extrapolation = extrapolate(accuracy.training, accuracy.values, accuracy.resampled)
    split = settings.base.split
    title = f"{settings.name}, split {split.kind} (seed {split.seed}, {settings.curve.folds} folds)"
    write_curve_report(folder, title, measured, extrapolation)
    return CurveResult(folder, measured, extrapolation)


def refuse_other_content(folder: Path, record: Record) -> None:
    """Refuse to write over another curve, or to resume a curve with another configuration.

    Raises:
        UserError: naming the folder, or the key that would change.
    """
    if "curve" not in record:
        raise UserError(f"resume={folder} is a run, not a learning curve; continue it with train.py")
    if record.get("resume"):
        refuse_changes(folder, record, ())
    elif (folder / RECORD).exists():
        raise UserError(
            f"{folder} holds a learning curve already; continue it with resume={folder}, or choose another "
            "hydra.run.dir"
        )
