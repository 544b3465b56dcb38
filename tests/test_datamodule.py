"""Index batches come from seed, epoch and rank alone, and every track of a subset once."""

from types import SimpleNamespace

import pytest
import torch

from genre import config


@pytest.fixture
def data(configured):
    made = config.data_of(config.plain(configured("batch_size=4")), torch.device("cpu"))
    made.prepare_data()
    made.setup()
    return made


def order(data, epoch: int, rank: int = 0) -> list[int]:
    data.trainer = SimpleNamespace(current_epoch=epoch, global_rank=rank)
    return torch.cat([index.rows for index in data.train_dataloader()]).tolist()


def test_an_epoch_holds_every_training_track_once(data):
    assert sorted(order(data, 0)) == sorted(data.rows("train").tolist())


def test_the_order_derives_from_the_epoch_and_not_from_what_came_before(data):
    third = order(data, 3)
    order(data, 4)
    torch.rand(100)
    assert order(data, 3) == third
    assert order(data, 4) != third


def test_every_batch_draws_its_own_numbers(data):
    draws = [index.draw for epoch in range(5) for index in at(data, epoch)]
    assert len(set(draws)) == len(draws)


def at(data, epoch):
    data.trainer = SimpleNamespace(current_epoch=epoch, global_rank=0)
    return data.train_dataloader()


def test_pictures_belong_to_their_targets(data):
    for subset in ("train", "val", "test"):
        for index in data.batches(subset):
            batch = data.fetch(index)
            loudest = batch.inputs[:, 0, 0].mean(-1).argmax(-1)  # the tones lie two octaves apart
            genre = torch.bucketize(loudest, torch.tensor([20, 60]))
            assert torch.equal(genre, batch.targets.argmax(1))


def test_the_subsets_are_those_of_the_split(data):
    assert data.counts() == {"train": 21, "val": 3, "test": 6}
    assert sorted(data.members("all")) == sorted(data.subsets)


def test_live_and_kept_batches_are_equal(configured):
    pictures = []
    for keep in ("true", "false"):
        values = config.plain(configured(f"data.keep={keep}"))
        data = config.data_of(values, torch.device("cpu"))
        data.prepare_data()
        data.setup()
        pictures.append(data.fetch(next(iter(data.train_dataloader()))).inputs)
    torch.testing.assert_close(*pictures)
