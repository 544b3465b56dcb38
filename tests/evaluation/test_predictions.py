"""Predictions of a subset hold what a track's network says, whatever the network is."""

import pytest
import torch
from torch import nn

from genre.data.datamodule import Batch
from genre.evaluation.predictions import predict_batches
from genre.models.classifier import Classifier
from genre.models.ensemble import Ensemble
from genre.tasks import Multiclass


class Flat(nn.Sequential):
    """The smallest network: a linear layer on the picture's values."""

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(16, 3))


@pytest.mark.parametrize("members", [1, 2])
def test_the_features_of_a_track_are_the_mean_of_its_crops(members):
    network = Ensemble({str(number): Flat() for number in range(members)})
    classifier = Classifier(network, Multiclass(), torch.optim.SGD, None, "", 0, {"genres": list("abc")})
    pictures = torch.rand(4, 5, 1, 4, 4)  # 4 tracks, 5 crops
    predictions = predict_batches(
        classifier, [Batch(pictures, torch.eye(3)[[0, 1, 2, 0]], torch.arange(4))], list("wxyz"), "abc"
    )
    assert predictions.features == pytest.approx(pictures.flatten(2).mean(1).numpy())
