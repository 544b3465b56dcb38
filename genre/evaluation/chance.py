"""Whether a model is better than always naming the commonest genre, and what may be the reason if it is not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from genre.data.datamodule import MusicData
from genre.evaluation.arrays import Bools
from genre.evaluation.predictions import Predictions
from genre.models.postprocessing import PostProcessing
from genre.terminal import counted

SIGNIFICANCE = 0.05
FEW_BATCHES = 10  # per epoch
FEW_TRACKS = 30  # per genre, for training


@dataclass(frozen=True)
class BaselineComparison:
    """A model beside the prediction of one set of genres for every track.

    Args:
        predicted: the set, separated by ';'.
        accuracy: of the model: share of tracks whose predicted genres are exactly the true ones.
        baseline: the same of the constant prediction.
        p: of McNemar's exact test, one-sided: how often a model that is no better would be this much better.
        least_p: the p that a model without errors would have on these tracks.
        multilabel: whether a track may have several genres.
        tracks: number of tracks.
    """

    predicted: str
    accuracy: float
    baseline: float
    p: float
    least_p: float
    multilabel: bool
    tracks: int

    @property
    def too_few(self) -> bool:
        """Whether even a model without errors could not be told from the constant prediction."""
        return self.least_p >= SIGNIFICANCE

    @property
    def better(self) -> bool:
        """Whether the model is better than the constant prediction."""
        return self.p < SIGNIFICANCE

    def sentence(self) -> str:
        """Return the comparison as a sentence."""
        what, unit = ("Exact matches are", "set of genres") if self.multilabel else ("Accuracy is", "genre")
        constant = f"always naming {self.predicted} (no {unit} is commoner in training)"
        if self.too_few:
            tracks = f"{counted(self.tracks, 'track')} {'is' if self.tracks == 1 else 'are'}"
            return (
                f"{what} {self.accuracy:.1%}, and {self.baseline:.1%} for {constant}: {tracks} too few to tell even a "
                "model without errors from that."
            )
        relation = "better" if self.better else "no better"
        p = "p < 0.001" if self.p < 0.001 else f"p = {self.p:.3f}"
        return (
            f"{what} {self.accuracy:.1%}, {relation} than {self.baseline:.1%} for {constant}; exact McNemar test, {p}."
        )


def compare_with_commonest(predictions: Predictions, postprocessing: PostProcessing) -> BaselineComparison | None:
    """Compare predictions with the commonest genres of training; None if the run did not record them."""
    if postprocessing.most_common_set is None:
        return None
    commonest: Bools = postprocessing.most_common_set.numpy()
    constant: Bools = (predictions.targets == commonest).all(1)
    return BaselineComparison(
        predicted=predictions.genre_names(commonest),
        accuracy=float(predictions.correct.mean()),
        baseline=float(constant.mean()),
        p=mcnemar_p(predictions.correct, constant),
        least_p=mcnemar_p(np.ones_like(constant), constant),
        multilabel=predictions.multilabel,
        tracks=len(constant),
    )


def mcnemar_p(correct: Bools, baseline: Bools) -> float:
    """Return the one-sided p of McNemar's exact test that ``correct`` is more often true: (tracks,), (tracks,).

    Only tracks on which the two differ count; each of them is a fair coin if neither is better (McNemar 1947).
    """
    gained, lost = int((correct & ~baseline).sum()), int((baseline & ~correct).sum())
    return float(binomtest(gained, gained + lost, alternative="greater").pvalue) if gained + lost else 1.0


def is_at_chance(comparison: BaselineComparison | None) -> bool:
    """Return whether there are enough tracks to see that a model is better, and it is not."""
    return comparison is not None and not comparison.better and not comparison.too_few


def chance_notes(
    comparison: BaselineComparison | None, data: MusicData, history: Sequence[Mapping[str, float]]
) -> list[str]:
    """Return the sentence of the comparison, and if the model is no better than the baseline the possible reasons.

    Args:
        data: with the run's training tracks; without any there are no reasons.
        history: epochs of the run.
    """
    if comparison is None:
        return []
    return [comparison.sentence(), *(possible_reasons(data, history) if is_at_chance(comparison) else [])]


def possible_reasons(data: MusicData, history: Sequence[Mapping[str, float]]) -> list[str]:
    """Return why a model may not have learnt anything, with what to try; nothing without training tracks."""
    rows = data.rows("train")
    if not len(rows) or not history:
        return []
    counts = data.targets[rows].sum(0)
    fewest, batches = int(counts.min()), len(data.train_dataloader())
    rates = [row["learning_rate"] for row in history]
    reasons = []
    if batches < FEW_BATCHES:
        reasons.append(
            f"training had {batches} batch{'' if batches == 1 else 'es'} per epoch, {batches * len(history)} in all (a "
            "smaller batch_size or a larger trainer.max_epochs gives more)"
        )
    if fewest < FEW_TRACKS:
        genre = data.genres[int(counts.argmin())]
        reasons.append(
            f"{genre} has {counted(fewest, 'training track')} (add music; the pretrained layers of "
            "experiment=small need less)"
        )
    if rates[-1] < max(rates):
        reasons.append(
            f"the learning rate was cut from {max(rates):g} to {rates[-1]:g} (a larger scheduler.patience or "
            "scheduler=none keeps it)"
        )
    listed = "; ".join(reasons) or "none of few batches, few tracks and a cut learning rate; see figures/curves.png"
    return [f"Possible reasons: {listed}."]
