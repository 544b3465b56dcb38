"""Predictions without a model."""

import numpy as np
import pytest

from genre.evaluation.predictions import Predictions


@pytest.fixture(scope="session")
def make_predictions():
    """Return predictions with given targets and probabilities, (tracks, genres); a genre is predicted above 0.5."""

    def make(targets, probabilities, predicted=None, losses=None, multilabel=False, genres=None):
        tracks, width = targets.shape
        empty = np.zeros((tracks, 1), np.float32)
        return Predictions(
            targets=targets,
            predicted=probabilities > 0.5 if predicted is None else predicted,
            probabilities=probabilities,
            losses=np.ones(tracks) if losses is None else losses,
            multilabel=multilabel,
            names=[f"track {index}" for index in range(tracks)],
            genres=tuple("abcdefghij"[:width]) if genres is None else genres,
            logits=empty,
            features=empty,
        )

    return make
