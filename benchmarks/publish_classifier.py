"""Write the network that comes with the program, genre/pretrained/gtzan.safetensors, and print its card's figures.

    python train.py experiment=small split.val_share=0 split.test_share=0 …                    # RUN, on all tracks
    python train.py -m experiment=small split.folds=5 split.fold=0,1,2,3,4 split.val_share=0 … # FOLDS/0 to FOLDS/4
    python -m benchmarks.publish_classifier RUN FOLDS

RUN leaves no track to fit its temperature and certainty threshold on. They are fitted on FOLDS instead, where each
track is predicted by a network that was not trained on it.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genre.config.build import recorded_settings
from genre.config.compose import compose
from genre.config.settings import evaluate_settings
from genre.evaluation.calibration import certainty_threshold, fit_temperature
from genre.evaluation.evaluate import load_run
from genre.evaluation.fitting import CONCATENATED
from genre.evaluation.predictions import Predictions, apply_temperature, predict_subset
from genre.models.checkpoint import read_checkpoint
from genre.models.postprocessing import PostProcessing
from genre.models.pretrained import pretrained_classifier, write_pretrained
from genre.tasks import Multiclass


def main(run: Path, folds: Path) -> None:
    """Fit the post-processing on the folds, and write the network of the run with it."""
    predictions = out_of_fold(sorted(path.parent for path in folds.glob("*/metrics.json")))
    postprocessing = PostProcessing(temperature=fit_temperature(predictions.logits, predictions.targets, False))
    predictions = apply_temperature(predictions, Multiclass(), postprocessing)
    threshold = certainty_threshold(predictions, Multiclass().certain)
    saved = read_checkpoint(run)
    fitted = replace(saved.postprocessing, temperature=postprocessing.temperature, uncertain_below=threshold)
    write_pretrained(pretrained_classifier(), replace(saved, postprocessing=fitted))
    print(fitted, pretrained_classifier().stat().st_size, "bytes")
    print(table(predictions))


def out_of_fold(folders: list[Path]) -> Predictions:
    """The predictions of all folds for the tracks that each tested."""
    parts = [fold_predictions(folder) for folder in folders]
    joined: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in CONCATENATED}
    return replace(parts[0], names=[name for part in parts for name in part.names], **joined)


def fold_predictions(folder: Path) -> Predictions:
    """The predictions of a fold's best checkpoint for its test tracks."""
    settings = evaluate_settings(compose(f"run={folder}", "accelerator=cpu", "folder=.", config_name="evaluate"))
    saved = read_checkpoint(folder)
    data, classifier = load_run(saved, recorded_settings(saved, []), settings, "test")
    return predict_subset(classifier, data, "test")


def table(predictions: Predictions) -> str:
    """Recall and precision per genre as a table of the card."""
    predicted = torch.from_numpy(predictions.probabilities).argmax(1).numpy()
    true = predictions.targets.argmax(1)
    rows = ["| genre | tracks | recall | precision |", "|---|---:|---:|---:|"]
    for index, genre in enumerate(predictions.genres):
        is_true, is_predicted = true == index, predicted == index
        right = (is_true & is_predicted).sum()
        rows.append(f"| {genre} | {is_true.sum()} | {right / is_true.sum():.0%} | {right / is_predicted.sum():.0%} |")
    return "\n".join([*rows, f"| all | {len(true)} | {(true == predicted).mean():.1%} | |"])


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
