"""Index batches depend only on seed, epoch and rank, and have every track of a subset once."""

import logging
import shutil
from types import SimpleNamespace

import pytest
import torch

from genre.errors import UserError
from genre.evaluation.report import write_skipped
from helpers import csv_rows, opened_data


@pytest.fixture
def data(configured):
    return opened_data(configured("batch_size=4"))


def order(data, epoch: int) -> list[int]:
    return torch.cat([index.rows for index in at(data, epoch)]).tolist()


def test_an_epoch_has_every_training_track_once(data):
    assert sorted(order(data, 0)) == sorted(data.rows("train").tolist())


def test_the_order_depends_only_on_seed_and_epoch(data):
    third = order(data, 3)
    order(data, 4)
    torch.rand(100)
    assert order(data, 3) == third
    assert order(data, 4) != third


def test_every_batch_has_its_own_seed(data):
    draws = [index.draw for epoch in range(5) for index in at(data, epoch)]
    assert len(set(draws)) == len(draws)


@pytest.mark.parametrize(
    ("overrides", "stage"),
    [
        (["augment=none"], "picture"), (["augment=strong"], "logmel"),
        (["view=segments", "view.seconds=1"], "waveform"), (["data.keep=false"], "waveform"),
    ],
)  # fmt: skip
def test_what_is_read_ahead_is_what_would_be_read_at_its_use(configured, overrides, stage):
    data = opened_data(configured("batch_size=4", *overrides))
    assert data.train_store.stage == stage
    for index in at(data, 1):
        ahead, late = data.fetch(index), data.fetch(index._replace(clips=None))
        assert index.clips is not None and torch.equal(ahead.inputs, late.inputs)


def at(data, epoch, rank=0, processes=1):
    data.trainer = SimpleNamespace(global_rank=rank, world_size=processes)
    batches = data.train_dataloader()
    batches.set_epoch(epoch)
    return batches


@pytest.mark.parametrize("processes", [2, 3, 4])
def test_processes_share_each_batch_of_a_single_process(data, processes):
    """21 tracks in batches of 4: one is left, which joins the batch before."""
    single = torch.cat([index.rows for index in at(data, 2)]).tolist()
    parts = [list(at(data, 2, rank, processes)) for rank in range(processes)]
    joined = []
    for indices in zip(*parts, strict=True):
        rows = torch.cat([index.rows for index in indices])
        assert {len(index.rows) for index in indices} <= {len(rows) // processes, len(rows) // processes + 1}
        assert sum(index.weight for index in indices) == pytest.approx(processes)
        for index in indices:
            assert index.weight == pytest.approx(len(index.rows) * processes / len(rows))
        assert len({index.draw for index in indices}) == processes
        joined.append(sorted(rows.tolist()))
    assert joined == [sorted(single[begin:end]) for begin, end in ((0, 4), (4, 8), (8, 12), (12, 16), (16, 21))]


def test_processes_share_validation_if_there_are_enough_tracks(data):
    for processes, expected in ((1, [3]), (2, [2, 1]), (3, [1, 1, 1]), (4, [3, 3, 3, 3])):
        counts = []
        for rank in range(processes):
            at(data, 0, rank, processes)
            counts.append(sum(len(index.rows) for index in data.val_dataloader()))
        assert counts == expected


def test_more_processes_than_tracks_per_batch_are_a_user_error(data):
    with pytest.raises(UserError, match="batch_size=4 is too small for 5 processes"):
        at(data, 0, processes=5)


def test_pictures_belong_to_their_targets(data):
    for subset in ("train", "val", "test"):
        for index in data.batches(subset):
            batch = data.fetch(index)
            loudest = batch.inputs[:, 0, 0].mean(-1).argmax(-1)  # the tones are two octaves apart
            genre = torch.bucketize(loudest, torch.tensor([20, 60]))
            assert torch.equal(genre, batch.targets.argmax(1))


def test_the_subsets_have_the_sizes_of_the_split(data):
    assert data.subset_sizes() == {"train": 21, "val": 3, "test": 6}
    assert sorted(data.track_names("all")) == sorted(data.subsets)


def test_the_number_of_skipped_files_is_that_of_skipped_csv(configured, music, tmp_path, caplog):
    root = shutil.copytree(music, tmp_path / "music")
    for name in ("loose.mp3", "jazz/a.m4a", "jazz/b.m4a", "jazz/.c.wav", "jazz/broken.wav"):
        (root / name).write_bytes(b"")
    (root / "polka").mkdir()
    with caplog.at_level(logging.WARNING, "genre.data"):
        data = opened_data(configured(f"data.root={root}"))
    write_skipped(tmp_path, data.catalogue)
    assert len(csv_rows(tmp_path / "skipped.csv")) == 6
    assert "skipped 6 files, rows or tracks: 2 in a format that is not read (convert them: ffmpeg" in caplog.text


def test_live_and_cached_batches_are_equal(configured):
    pictures = []
    for keep in ("true", "false"):
        data = opened_data(configured(f"data.keep={keep}"))
        pictures.append(data.fetch(next(iter(data.train_dataloader()))).inputs)
    torch.testing.assert_close(*pictures)


@pytest.fixture
def titled(configured, music, tmp_path):
    """Open the music with a title per track, all in one training batch."""

    def opened(*overrides):
        files = sorted(music.rglob("*.wav"))
        lines = [f"{file},{file.parent.name},title{number}" for number, file in enumerate(files)]
        (tmp_path / "songs.csv").write_text("\n".join(["path,genres,title", *lines]) + "\n")
        own = [f"data.path={tmp_path / 'songs.csv'}", "view.seconds=4", "batch_size=30", "model.metadata=[title]"]
        return opened_data(configured(*own, *overrides, data="csv"))

    return opened


def own_share(data, batch):
    """What each track's own title weighs in its bag, (batch,)."""
    own = data.metadata.bags(batch.rows).tokens[:, :1]
    return (batch.metadata.weights * (batch.metadata.tokens == own)).sum(1)


def test_evaluation_has_the_metadata_of_every_track_and_training_of_about_half(titled):
    data = titled()
    (evaluated,) = (data.fetch(index) for index in data.batches("train"))
    assert own_share(data, evaluated).tolist() == [1] * 21
    trained = [data.fetch(index) for epoch in range(10) for index in at(data, epoch)]
    assert torch.cat([own_share(data, batch) for batch in trained]).mean() == pytest.approx(0.5, abs=0.1)


def test_a_mixture_of_two_tracks_has_no_metadata(titled):
    data = titled("model.metadata_dropout=0", "augment.mix=0.5", "task=multilabel")
    (batch,) = (data.fetch(index) for index in at(data, 0))
    is_mixture = batch.targets.sum(1) > 1
    assert 0 < is_mixture.sum() < 21
    assert torch.equal(own_share(data, batch), 1 - is_mixture.float())


def test_mixup_mixes_metadata_in_the_shares_of_the_targets(titled):
    data = titled("model.metadata_dropout=0", "augment.mixup=1")
    (batch,) = (data.fetch(index) for index in at(data, 0))
    other_genre = batch.targets.amax(1) < 1
    assert other_genre.sum() > 5
    shares = (batch.targets * data.targets[batch.rows]).sum(1)
    torch.testing.assert_close(own_share(data, batch)[other_genre], shares[other_genre])
    torch.testing.assert_close(batch.metadata.weights.sum(1), torch.ones(21))


def test_without_columns_a_batch_has_no_metadata(data):
    assert data.fetch(next(iter(data.train_dataloader()))).metadata is None


def test_tracks_that_a_share_leaves_out_are_in_no_subset_and_listed(configured, data, tmp_path):
    half = opened_data(configured("batch_size=4", "split.train_share=0.5"))
    left_out = set(data.track_names("train")) - set(half.track_names("train"))
    assert len(left_out) == 9 and not left_out & half.subsets.keys()  # 3 of 7 per genre
    assert half.track_names("val") == data.track_names("val") and half.track_names("test") == data.track_names("test")
    write_skipped(tmp_path, half.catalogue)
    rows = csv_rows(tmp_path / "skipped.csv")
    assert [row["reason"] for row in rows] == ["left out by split.train_share=0.5"] * 9
