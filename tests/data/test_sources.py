"""The first store: decoded music, or the columns of a log-mel archive."""

import numpy as np
import pytest
import soundfile
import torch

from genre.data.catalogue import read_folder, read_logmel
from genre.data.sources import first_store
from genre.errors import UserError

RATE = 22_050


def test_the_store_holds_the_samples_of_the_files(tmp_path, music):
    catalogue = read_folder(music)
    store = first_store(catalogue, RATE, tmp_path)
    expected, _ = soundfile.read(catalogue.tracks[3].path, dtype="int16")
    np.testing.assert_array_equal(store.data[store.offsets[3] : store.offsets[4]].numpy(), expected)


def test_a_changed_file_is_decoded_again(tmp_path, music):
    root = tmp_path / "music"
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        soundfile.write(root / name / "x.wav", np.random.default_rng(0).standard_normal(2 * RATE) * 0.1, RATE)
    first = first_store(read_folder(root), RATE, tmp_path / "cache")
    soundfile.write(root / "a" / "x.wav", np.random.default_rng(1).standard_normal(3 * RATE) * 0.1, RATE)
    again = first_store(read_folder(root), RATE, tmp_path / "cache")
    assert (first.lengths(torch.tensor([0])), again.lengths(torch.tensor([0]))) == (2 * RATE, 3 * RATE)


def test_an_archive_becomes_rows_of_columns(tmp_path):
    mel = np.random.default_rng(0).integers(0, 256, (2, 4, 6)).astype(np.uint8)
    np.savez(tmp_path / "mel.npz", mel_u8=mel, track=np.array(["b", "a"]), genre=np.array(["rock", "pop"]))
    store = first_store(read_logmel(tmp_path / "mel.npz"), RATE, tmp_path / "cache")
    assert (store.stage, store.names) == ("logmel", ["a", "b"])
    np.testing.assert_array_equal(store.take(torch.tensor([1]))[0].numpy(), mel[0].T)


def test_an_archive_of_other_arrays_is_a_user_error(tmp_path):
    np.savez(tmp_path / "mel.npz", mel_u8=np.zeros((2, 4)), track=np.array(["b", "a"]), genre=np.array(["c", "d"]))
    with pytest.raises(UserError, match="mel_u8 of float64"):
        first_store(read_logmel(tmp_path / "mel.npz"), RATE, tmp_path / "cache")
