"""Predictions at the upper levels of a hierarchy of genres: the right parent counts as right."""

from dataclasses import replace

import numpy as np

from genre.data.genre_tree import GenreTree
from genre.evaluation.predictions import Predictions
from genre.terminal import counted


def upper_levels(genres: tuple[str, ...], tree: GenreTree) -> range:
    """The levels above the lowest of some genres, from 1; none without a hierarchy."""
    return range(1, tree.depth(genres))


def at_level(predictions: Predictions, tree: GenreTree, level: int) -> Predictions:
    """Return the predictions with each genre's ancestor at a level in place of the genre, if it is below it.

    A track has an ancestor if it has one of its descendants. The probability is that of the most probable descendant;
    logits, losses and features stay those of the genres.
    """
    ancestors = [tree.at_level(genre, level) for genre in predictions.genres]
    names = tuple(sorted(set(ancestors)))
    columns = [np.array([ancestor == name for ancestor in ancestors]) for name in names]
    targets, predicted, probabilities = (
        np.stack([values[:, column].max(1) for column in columns], axis=1)
        for values in (predictions.targets, predictions.predicted, predictions.probabilities)
    )
    return replace(predictions, targets=targets, predicted=predicted, probabilities=probabilities, genres=names)


def level_notes(predictions: Predictions, tree: GenreTree) -> list[str]:
    """Return the accuracy at each upper level, one sentence for all; none without a hierarchy."""
    parts = []
    for level in upper_levels(predictions.genres, tree):
        coarse = at_level(predictions, tree, level)
        parts.append(f"{coarse.correct.mean():.1%} at level {level} ({counted(len(coarse.genres), 'genre')})")
    return [f"With the hierarchy of the genres, accuracy is {', '.join(parts)}."] if parts else []
