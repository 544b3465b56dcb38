"""Whole selects the middle of a track, Segments several crops."""

import pytest
import torch

from genre.transforms.views import Segments, Whole

RATE = 100


def spans(view, *lengths: int, tolerance: int = 0) -> list[list[tuple[int, int]]]:
    begin, length = view.spans(torch.tensor(lengths), round(view.seconds * RATE), tolerance)
    return [list(zip(*pair, strict=True)) for pair in zip(begin.tolist(), length.tolist(), strict=True)]


def test_longer_tracks_are_cropped_to_the_middle_and_shorter_ones_padded():
    assert spans(Whole(30), 6000, 3000, 1000) == [[(1500, 3000)], [(0, 3000)], [(0, 3000)]]


def test_a_track_within_the_tolerance_is_taken_whole():
    assert spans(Whole(30), 3060, 2960, 3200, tolerance=100) == [[(0, 3060)], [(0, 2960)], [(100, 3000)]]


def test_segments_reach_from_the_beginning_to_the_end():
    assert spans(Segments(5, crops=3), 3000) == [[(0, 500), (1250, 500), (2500, 500)]]


def test_one_segment_is_the_middle_and_a_short_track_is_padded():
    assert spans(Segments(5, crops=1), 3000, 200) == [[(1250, 500)], [(0, 500)]]


def test_training_crops_are_anywhere_in_the_track():
    lengths = torch.full((2000,), 3000)
    begin, length = Segments(5).train_spans(lengths, 500, 0, torch.Generator().manual_seed(0))
    assert begin.shape == length.shape == (2000, 1)
    assert 0 <= begin.min() < 20 and 2480 < begin.max() <= 2500
    assert begin.float().mean() == pytest.approx(1250, abs=60)


@pytest.mark.parametrize(("view", "key"), [((Whole, {"seconds": 0}), "seconds"), ((Segments, {"crops": 0}), "crops")])
def test_wrong_values_are_refused_by_name(view, key):
    kind, values = view
    with pytest.raises(ValueError, match=key):
        kind(**values)
