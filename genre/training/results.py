"""The results of a training run: the best checkpoint evaluated on every subset, and all files of it."""

import logging
import subprocess
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from lightning import Trainer

from genre.config.settings import TrainSettings
from genre.data import leakage as leaks
from genre.data.datamodule import MusicData
from genre.data.splits import SUBSETS
from genre.errors import UserError
from genre.evaluation.chance import chance_notes, compare_with_commonest, is_at_chance
from genre.evaluation.evaluate import music_alone_metrics, music_alone_note, subset_metrics
from genre.evaluation.fitting import fit_postprocessing
from genre.evaluation.levels import level_notes
from genre.evaluation.predictions import Predictions, apply_temperature, apply_thresholds, predict_subset
from genre.evaluation.report import figure_title, generalization_gap_note, print_summary, write_subset_report
from genre.evaluation.tensorboard import Results, log_results
from genre.files import write_json
from genre.models import checkpoint
from genre.models.classifier import Classifier
from genre.models.postprocessing import PostProcessing
from genre.training.callbacks import History

log = logging.getLogger(__name__)


def evaluate_and_report(
    settings: TrainSettings, folder: Path, classifier: Classifier, data: MusicData, trainer: Trainer, seconds: float
) -> dict[str, Any]:
    """Evaluate the best checkpoint on every subset and write all results.

    Args:
        seconds: that this process has taken so far.

    Returns:
        the metrics, as in metrics.json.

    Raises:
        UserError: if no epoch was validated, so that there is no best one.
    """
    if not (folder / "checkpoints" / "best.ckpt").exists():
        raise UserError(
            f"no epoch of {folder} has a {classifier.monitor}, so none is the best; validate more often "
            "(trainer.check_val_every_n_epoch), or train more epochs"
        )
    saved = checkpoint.read_checkpoint(folder)
    classifier.network.load_state_dict(saved.weights)
    if classifier.branch:
        classifier.branch.load_state_dict(saved.branch)
    counts = data.subset_sizes()
    raw = {subset: predict_subset(classifier, data, subset) for subset in SUBSETS if counts[subset]}
    postprocessing = fit_postprocessing(classifier, data, raw["train"], raw.get("val"))
    checkpoint.add_metadata(folder / "checkpoints" / "best.ckpt", postprocessing.metadata())
    calibrated = {subset: apply_temperature(each, data.task, postprocessing) for subset, each in raw.items()}
    history = next(part for part in trainer.callbacks if isinstance(part, History))  # type: ignore[attr-defined]
    metrics: dict[str, Any] = {}
    for subset, predictions in calibrated.items():
        metrics |= subset_metrics(predictions, subset, subset == "test", postprocessing, data.catalogue.tree)
    if classifier.branch:
        metrics |= evaluate_music_alone(folder, classifier, data, raw["train"])
    metrics |= run_facts(settings, data, trainer, history, seconds)
    metrics["parameters"] = sum(parameter.numel() for parameter in classifier.parameters())
    final = {subset: apply_thresholds(each, data.task, postprocessing) for subset, each in calibrated.items()}
    if "test" in final:
        title = figure_title(settings.split, data.catalogue, "test", counts["test"], counts["test"])
        gap = generalization_gap_note(history.rows, classifier.monitor, counts["val"])
        notes = chance_notes(compare_with_commonest(final["test"], postprocessing), data, history.rows)
        levels = level_notes(final["test"], data.catalogue.tree)
        notes = [*music_alone_note(metrics, "test", data.columns), *levels, *gap, *notes]
        write_subset_report(folder, final["test"], postprocessing, title, notes)
    log_results(trainer, classifier, data, Results(settings, folder, final, postprocessing, history.rows, metrics))
    write_json(folder / "metrics.json", metrics)
    print_summary(metrics, f"{settings.name}, split {settings.split.description(data.catalogue)}")
    warn_of_chance(final, postprocessing, data, history)
    return metrics


def evaluate_music_alone(folder: Path, classifier: Classifier, data: MusicData, train: Predictions) -> dict[str, Any]:
    """Fit the post-processing of tracks without metadata, add it to best.ckpt, and measure validation and test.

    Args:
        train: predictions of the training tracks, of which the targets count.

    Returns:
        the metrics, whose names end in '_music_alone'.
    """
    counts = data.subset_sizes()
    validation = predict_subset(classifier, data, "val", music_alone=True) if counts["val"] else None
    postprocessing = fit_postprocessing(classifier, data, train, validation)
    checkpoint.add_metadata(folder / "checkpoints" / "best.ckpt", {checkpoint.MUSIC_ALONE: postprocessing.metadata()})
    metrics: dict[str, Any] = {}
    for subset in (name for name in ("val", "test") if counts[name]):
        metrics |= music_alone_metrics(classifier, data, subset, postprocessing)
    return metrics


def warn_of_chance(
    final: Mapping[str, Predictions], postprocessing: PostProcessing, data: MusicData, history: History
) -> None:
    """Log a warning if the model is no better than always naming the commonest genre, on test or else validation."""
    subset = next((name for name in ("test", "val") if name in final), None)
    if subset is None:
        return
    comparison = compare_with_commonest(final[subset], postprocessing)
    if is_at_chance(comparison):
        log.warning("%s: %s", subset, " ".join(chance_notes(comparison, data, history.rows)))


def run_facts(
    settings: TrainSettings, data: MusicData, trainer: Trainer, history: History, seconds: float
) -> dict[str, Any]:
    """What metrics.json says of a run beside its metrics: split, seeds, tracks, leakage, duration, precision, commit.

    Args:
        seconds: that this process has taken so far.
    """
    counts = data.subset_sizes()
    return {
        "leaks": leaks.leak_counts(data.pairs, data.catalogue, data.subsets),
        "missing": [name for name in SUBSETS if not counts[name]],
        "split": settings.split.kind,
        "split_seed": settings.split.seed,
        "fold": settings.split.fold,
        "folds": settings.split.folds,
        "without_artist": settings.split.without_artist(data.catalogue),
        "seed": settings.seed,
        "tracks": counts,
        "training_reads": data.train_store.stage,
        "cached_views": data.cached_views,
        "seconds": round(history.seconds + seconds, 1),
        "epochs": len(history.rows),
        "precision": trainer.precision,
        "commit": commit(),
    }


def commit() -> str | None:
    """The commit of this code, with '+' where it was changed since; None outside a checkout."""
    here = Path(__file__).parent
    try:
        run = partial(subprocess.run, cwd=here, capture_output=True, text=True, check=True, timeout=10)
        revision = run(["git", "rev-parse", "HEAD"]).stdout.strip()
        return revision + ("+" if run(["git", "status", "--porcelain", "--untracked-files=no"]).stdout.strip() else "")
    except (OSError, subprocess.SubprocessError):
        return None
