"""Write the network that comes with the program, genre/pretrained/gtzan.safetensors, and print its card's figures.

    python train.py experiment=small split.val_share=0 split.test_share=0 …                    # RUN, on all tracks
    python train.py -m experiment=small split.folds=5 split.fold=0,1,2,3,4 split.val_share=0 … # FOLDS/0 to FOLDS/4
    python -m benchmarks.publish_classifier RUN FOLDS

RUN leaves no track to fit its temperature and thresholds of certainty on. They are fitted on FOLDS instead, where each
track is predicted by a network that was not trained on it. RUN may be genre/pretrained/gtzan.safetensors itself, whose
network then stays as it is.
"""

import sys
from dataclasses import replace
from pathlib import Path

from genre.config.build import recorded_settings
from genre.config.compose import compose
from genre.config.settings import evaluate_settings
from genre.data.datamodule import MusicData
from genre.data.split_record import read_split
from genre.evaluation.evaluate import load_run
from genre.evaluation.fitting import fit_to
from genre.evaluation.predictions import Predictions, apply_temperature, concatenated, predict_subset
from genre.evaluation.report import genre_report, uncertainty_note
from genre.models.checkpoint import Checkpoint, read_checkpoint
from genre.models.classifier import Classifier
from genre.models.pretrained import pretrained_classifier, read_network, write_pretrained
from genre.tasks import Multiclass


def main(run: Path, folds: Path) -> None:
    """Fit the post-processing on the folds, and write the network of the run with it."""
    predictions = concatenated([fold_predictions(path) for path in fold_runs(folds)])
    saved = with_training_tracks(read_network(run))
    task = Multiclass(calibrate=True)
    fitted = fit_to(task, saved.postprocessing, predictions, predictions)
    published = replace(saved, postprocessing=fitted, music_postprocessing=fitted)
    write_pretrained(pretrained_classifier(), published)
    print(fitted, len(published.trained_on), "tracks", pretrained_classifier().stat().st_size, "bytes")
    final = apply_temperature(predictions, task, fitted)
    print(*uncertainty_note(final, fitted))
    print("\n".join(table_rows(final)), f"\naccuracy {final.correct.mean():.1%} of {len(final.names)} tracks")


def with_training_tracks(saved: Checkpoint) -> Checkpoint:
    """A checkpoint with the names of the tracks that its run trained on; a file that lists them stays as it is."""
    split = read_split(saved.folder) if saved.folder else None
    return replace(saved, trained_on=tuple(sorted(split.seen_subsets))) if split else saved


def fold_runs(folds: Path) -> list[Path]:
    """The finished runs of a cross-validation."""
    return [path.parent for path in sorted(folds.glob("*/metrics.json"))]


def fold_predictions(folder: Path) -> Predictions:
    """The predictions of a fold's best checkpoint for its test tracks."""
    data, classifier = opened_run(folder, "test")
    return predict_subset(classifier, data, "test")


def opened_run(folder: Path, subset: str) -> tuple[MusicData, Classifier]:
    """The data of a run for a subset, and the network of its best checkpoint, on the CPU."""
    settings = evaluate_settings(compose(f"run={folder}", "accelerator=cpu", "folder=.", config_name="evaluate"))
    saved = read_checkpoint(folder)
    return load_run(saved, recorded_settings(saved, []), settings, subset)


def table_rows(predictions: Predictions) -> list[str]:
    """Recall and precision of each genre as rows of the card's table."""
    rows = [(genre, genre_report(predictions)[genre]) for genre in predictions.genres]
    return [f"| {genre} | {row['support']:.0f} | {row['recall']:.0%} | {row['precision']:.0%} |" for genre, row in rows]


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
