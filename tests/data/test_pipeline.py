"""What is kept and what is computed live are the same pictures."""

from dataclasses import replace

import pytest
import torch

from genre import config
from genre.data.catalogue import read_folder
from genre.data.sources import first_store
from genre.tasks import Multiclass, Multilabel

ROWS = torch.tensor([0, 7, 29])
TARGETS = torch.eye(3)


@pytest.fixture
def first(music, cache):
    return first_store(read_folder(music), 22_050, cache)


def pipeline(configured, *overrides):
    return config.pipeline_of(config.plain(configured(*overrides)))


@pytest.mark.parametrize("view", ["whole", "segments"])
@pytest.mark.parametrize("spectrogram", ["document", "archive"])
def test_kept_pictures_are_the_live_ones(configured, first, tmp_path, view, spectrogram):
    line = pipeline(configured, f"view={view}", "view.seconds=2", f"spectrogram={spectrogram}")
    kept = line.picture_store(first, tmp_path)
    assert torch.equal(line.pictures(kept, ROWS), line.pictures(first, ROWS))


@pytest.mark.parametrize(("spectrogram", "tolerance"), [("document", 5e-4), ("archive", 1e-6)])
def test_kept_log_mels_give_the_live_pictures(configured, first, tmp_path, spectrogram, tolerance):
    line = pipeline(configured, f"spectrogram={spectrogram}", "augment=strong")
    kept = line.log_mel_store(first, tmp_path)
    torch.testing.assert_close(line.pictures(kept, ROWS), line.pictures(first, ROWS), atol=tolerance, rtol=0)


def test_segments_give_one_picture_a_crop(configured, first):
    line = pipeline(configured, "view=segments", "view.seconds=1", "view.crops=5")
    assert line.pictures(first, ROWS).shape == (3, 5, 1, 128, 128)
    pictures, _ = line.examples(first, ROWS, TARGETS, Multiclass(), draw=0)
    assert pictures.shape == (3, 1, 1, 128, 128)


def test_each_crop_has_its_own_decibel_reference(configured, first):
    line = pipeline(configured, "view=segments", "view.seconds=1", "view.crops=3")
    peaks = line.log_mels(first, ROWS).amax((-2, -1))
    assert torch.equal(peaks, torch.ones(3, 3))


def test_a_crop_of_a_kept_log_mel_is_measured_against_its_own_maximum(configured, first, tmp_path):
    whole = pipeline(configured, "spectrogram=archive").log_mel_store(first, tmp_path)
    whole = replace(whole, data=whole.data // 2)  # the quieter half of the range
    line = pipeline(configured, "spectrogram=archive", "view=segments", "view.seconds=1", "view.crops=2")
    assert (line.log_mels(whole, ROWS).amax((-2, -1)) == 1).all()


@pytest.mark.parametrize("augment", ["none", "document", "strong"])
def test_training_examples_depend_on_their_draw_alone(configured, first, augment):
    line = pipeline(configured, f"augment={augment}")
    one, again, other = (line.examples(first, ROWS, TARGETS, Multiclass(), draw)[0] for draw in (1, 1, 2))
    assert torch.equal(one, again)
    assert torch.equal(one, other) == (augment == "none")
    assert one.min() >= 0 and one.max() <= 1


def test_a_mixture_has_the_sounds_and_genres_of_both(configured, first):
    line = pipeline(configured, "augment=none", "augment.mix=1", "augment.mix_ratio=0.5")
    pictures, targets = line.examples(first, ROWS[:2], TARGETS[:2], Multilabel(), draw=0)
    alone = line.pictures(first, ROWS[:2])[:, 0, 0]
    assert targets.tolist() == [[1, 1, 0], [1, 1, 0]]
    for band in alone.mean(-1).argmax(-1):  # each tone's band is loud in both mixtures
        assert (pictures[:, 0, 0, band].mean(-1) > 0.9).all()
