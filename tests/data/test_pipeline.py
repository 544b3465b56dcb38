"""Cached and live pictures are the same."""

from dataclasses import replace

import pytest
import torch

from genre.config.build import build_pipeline
from genre.config.settings import train_settings
from genre.data.catalogue import read_folder
from genre.data.sources import first_store
from genre.tasks import Multiclass, Multilabel

ROWS = torch.tensor([0, 7, 29])
TARGETS = torch.eye(3)


@pytest.fixture
def first(music, cache):
    return first_store(read_folder(music), 22_050, cache)


def pipeline_of(configured, *overrides):
    return build_pipeline(train_settings(configured(*overrides)))


@pytest.mark.parametrize("view", ["whole", "segments"])
@pytest.mark.parametrize("spectrogram", ["document", "archive"])
def test_cached_pictures_equal_live_ones(configured, first, tmp_path, view, spectrogram):
    pipeline = pipeline_of(configured, f"view={view}", "view.seconds=2", f"spectrogram={spectrogram}")
    cached = pipeline.picture_store(first, tmp_path)
    assert torch.equal(pipeline.pictures(cached, ROWS), pipeline.pictures(first, ROWS))


@pytest.mark.parametrize(("spectrogram", "tolerance"), [("document", 5e-4), ("archive", 1e-6)])
def test_cached_log_mels_give_the_live_pictures(configured, first, tmp_path, spectrogram, tolerance):
    pipeline = pipeline_of(configured, f"spectrogram={spectrogram}", "augment=strong")
    cached = pipeline.log_mel_store(first, tmp_path)
    torch.testing.assert_close(pipeline.pictures(cached, ROWS), pipeline.pictures(first, ROWS), atol=tolerance, rtol=0)


def test_segments_give_one_picture_per_crop(configured, first):
    pipeline = pipeline_of(configured, "view=segments", "view.seconds=1", "view.crops=5")
    assert pipeline.pictures(first, ROWS).shape == (3, 5, 1, 128, 128)
    pictures, _ = pipeline.examples(first, ROWS, TARGETS, Multiclass(), draw=0)
    assert pictures.shape == (3, 1, 1, 128, 128)


def test_each_crop_has_its_own_decibel_reference(configured, first):
    pipeline = pipeline_of(configured, "view=segments", "view.seconds=1", "view.crops=3")
    peaks = pipeline.log_mels(first, ROWS).amax((-2, -1))
    assert torch.equal(peaks, torch.ones(3, 3))


def test_a_crop_of_a_cached_log_mel_is_relative_to_its_own_maximum(configured, first, tmp_path):
    whole = pipeline_of(configured, "spectrogram=archive").log_mel_store(first, tmp_path)
    whole = replace(whole, data=whole.data // 2)  # the quieter half of the range
    pipeline = pipeline_of(configured, "spectrogram=archive", "view=segments", "view.seconds=1", "view.crops=2")
    assert (pipeline.log_mels(whole, ROWS).amax((-2, -1)) == 1).all()


@pytest.mark.parametrize("augment", ["none", "document", "strong"])
def test_training_examples_depend_only_on_their_seed(configured, first, augment):
    pipeline = pipeline_of(configured, f"augment={augment}")
    one, again, other = (pipeline.examples(first, ROWS, TARGETS, Multiclass(), draw)[0] for draw in (1, 1, 2))
    assert torch.equal(one, again)
    assert torch.equal(one, other) == (augment == "none")
    assert one.min() >= 0 and one.max() <= 1


def test_a_mixture_has_the_sounds_and_genres_of_both(configured, first):
    pipeline = pipeline_of(configured, "augment=none", "augment.mix=1", "augment.mix_ratio=0.5")
    pictures, targets = pipeline.examples(first, ROWS[:2], TARGETS[:2], Multilabel(), draw=0)
    alone = pipeline.pictures(first, ROWS[:2])[:, 0, 0]
    assert targets.tolist() == [[1, 1, 0], [1, 1, 0]]
    for band in alone.mean(-1).argmax(-1):  # each tone's band is loud in both mixtures
        assert (pictures[:, 0, 0, band].mean(-1) > 0.9).all()
