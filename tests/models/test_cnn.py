"""The paper's network."""

import pytest
import torch
from torch import nn

from genre.models.cnn import CNN


def test_pictures_give_one_logit_per_genre():
    assert CNN(10, 128)(torch.rand(2, 1, 128, 128)).shape == (2, 10)


def test_has_three_convolutions_with_pooling_and_dropout_then_a_dense_layer_of_128():
    kinds = [type(layer).__name__ for layer in CNN(10, 128).modules()]
    assert [kinds.count(name) for name in ("Conv2d", "PoolReLUDropout", "Linear")] == [3, 3, 2]
    assert kinds.count("Dropout") == 4
    parameters = 32 * 10 + 64 * (32 * 9 + 1) + 128 * (64 * 9 + 1) + 128 * (128 * 16 * 16 + 1) + 10 * 129
    assert sum(p.numel() for p in CNN(10, 128).parameters()) == parameters


def test_pooling_before_relu_equals_pooling_after_it():
    stage = CNN(10, 64, filters=[4]).eval().features[0]
    picture = torch.rand(1, 1, 64, 64) - 0.5
    expected = nn.functional.max_pool2d(nn.functional.relu(stage[0](picture)), 2)
    assert torch.equal(stage(picture), expected)


@pytest.mark.parametrize(
    ("values", "key"),
    [({"filters": []}, "filters"), ({"filters": [8] * 8}, "filters"), ({"kernel_size": 4}, "kernel_size")],
)
def test_an_invalid_value_is_refused_by_key(values, key):
    with pytest.raises(ValueError, match=f"model.{key}="):
        CNN(10, 128, **values)
