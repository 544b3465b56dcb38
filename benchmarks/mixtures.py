"""What runs of several genres say of mixtures of two validation tracks with different genres.

    python -m benchmarks.mixtures RUN [RUN …]

Printed per run: the share of the mixtures of which exactly the two genres are above the threshold of 0.2, and of which
they are the two most probable.
"""

import sys
from pathlib import Path

import numpy as np

from benchmarks.publish_classifier import opened_run
from genre.evaluation.predictions import Predictions, predict_batches

THRESHOLD = 0.2  # the paper's


def mixture_predictions(run: Path) -> Predictions:
    """What the best checkpoint of a run predicts for the mixtures."""
    data, classifier = opened_run(run, "val")
    return predict_batches(classifier, list(data.mixtures("val")), [], data.genres)


def summary(predictions: Predictions) -> str:
    """'78 mixtures, exact 16.7 %, both among the two most probable 42.3 %'."""
    probabilities, mixed = predictions.probabilities, predictions.targets > 0
    two = probabilities >= np.sort(probabilities, axis=1)[:, -2:-1]
    exact, among_two = ((named == mixed).all(axis=1).mean() for named in (probabilities > THRESHOLD, two))
    return f"{len(mixed)} mixtures, exact {exact:.1%}, both among the two most probable {among_two:.1%}"


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        print(f"{path}: {summary(mixture_predictions(path))}", flush=True)
