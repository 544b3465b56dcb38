"""The first store: decoded music, or the columns of a log-mel archive."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from genre.data import audio
from genre.data.catalogue import read_csv, read_folder, read_logmel
from genre.data.sources import first_store
from genre.errors import UserError
from genre.files import write_csv

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


def decoded(monkeypatch):
    """The names of the files that are decoded from now on."""
    names, real = [], audio.read_audio
    monkeypatch.setattr(audio, "read_audio", lambda path, *slice_: names.append(path.name) or real(path, *slice_))
    return names


def write_noise(path, seed=0, seconds=2):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(seed).standard_normal(seconds * RATE) * 0.1, RATE)


def samples(store, name):
    (row,) = store.rows([name])
    return store.data[store.offsets[row] : store.offsets[row + 1]].numpy()


def test_one_added_file_is_decoded_alone_and_an_empty_cache_gives_the_same(tmp_path, monkeypatch):
    for number in range(4):
        write_noise(tmp_path / "music" / "rock" / f"{number}.wav", number)
    (tmp_path / "music" / "rock" / "bad.wav").write_text("no music")
    first_store(read_folder(tmp_path / "music"), RATE, tmp_path / "cache")
    write_noise(tmp_path / "music" / "jazz" / "new.wav", 9)
    names = decoded(monkeypatch)
    store = first_store(read_folder(tmp_path / "music"), RATE, tmp_path / "cache")
    assert names == ["new.wav"]
    fresh = first_store(read_folder(tmp_path / "music"), RATE, tmp_path / "other")
    assert (store.names, store.skipped) == (fresh.names, fresh.skipped)
    assert torch.equal(store.offsets, fresh.offsets) and torch.equal(store.data, fresh.data)


def test_other_content_of_the_same_size_and_time_is_decoded_again(tmp_path):
    path = tmp_path / "music" / "rock" / "a.wav"
    write_noise(path, 0)
    status = path.stat()
    first_store(read_folder(tmp_path / "music"), RATE, tmp_path / "cache")
    write_noise(path, 1)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    store = first_store(read_folder(tmp_path / "music"), RATE, tmp_path / "cache")
    np.testing.assert_array_equal(samples(store, "rock/a.wav"), soundfile.read(path, dtype="int16")[0])


@pytest.mark.parametrize("from_the_start", [True, False])
def test_a_file_that_could_not_be_read_for_a_while_is_read_later(tmp_path, monkeypatch, from_the_start):
    """A network disk may fail when a file is looked at first, or only while it is decoded."""
    for name in ("a", "b"):
        write_noise(tmp_path / "music" / "rock" / f"{name}.wav")
    catalogue, real = read_folder(tmp_path / "music"), Path.open

    def fail(path, *arguments, **options):
        if path.name == "a.wav" and (from_the_start or options.get("buffering") != 0):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return real(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", fail)
        for _ in range(2):
            failing = first_store(catalogue, RATE, tmp_path / "cache")
            assert failing.skipped["rock/a.wav"].text == "unreadable: Stale file handle"
    names = decoded(monkeypatch)
    store = first_store(catalogue, RATE, tmp_path / "cache")
    assert store.names == ["rock/a.wav", "rock/b.wav"] and set(names) == {"a.wav"}
    assert store.identity != failing.identity
    assert first_store(catalogue, RATE, tmp_path / "cache").identity == store.identity


def test_when_no_file_could_be_read_the_next_start_tries_again(tmp_path, monkeypatch):
    write_noise(tmp_path / "music" / "rock" / "a.wav")
    catalogue = read_folder(tmp_path / "music")
    with monkeypatch.context() as patch, pytest.raises(UserError, match="none of 1 tracks can be used: 1 not readable"):
        patch.setattr(audio, "special_file", lambda path: path.unlink())
        first_store(catalogue, RATE, tmp_path / "cache")
    write_noise(tmp_path / "music" / "rock" / "a.wav")
    assert first_store(catalogue, RATE, tmp_path / "cache").names == ["rock/a.wav"]


def test_slices_beyond_the_end_are_counted_at_every_start(tmp_path, caplog):
    write_noise(tmp_path / "a.wav", seconds=5)
    rows = ["path,genres,start,duration", "a.wav,rock,0,5", "a.wav,rock,2,3", "a.wav,rock,3,30", "a.wav,rock,3.5,3"]
    (tmp_path / "tracks.csv").write_text("\n".join(rows))
    for _ in range(2):
        caplog.clear()
        store = first_store(read_csv(tmp_path / "tracks.csv"), RATE, tmp_path / "cache")
        assert "2 of 4 tracks end before their start + duration: a.wav@3 has 2.00 of 30.00 s" in caplog.text
    assert len(store.names) == 4


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


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95, 0.999])
def test_a_truncated_archive_is_a_user_error(tmp_path, share):
    mel = np.random.default_rng(0).integers(0, 256, (2, 4, 60)).astype(np.uint8)
    np.savez_compressed(tmp_path / "mel.npz", mel_u8=mel, track=np.array(["b", "a"]), genre=np.array(["c", "d"]))
    os.truncate(tmp_path / "mel.npz", int(share * (tmp_path / "mel.npz").stat().st_size))
    with pytest.raises(UserError, match=r"mel.npz is not a log-mel archive \(.*\); it needs mel_u8, track and genre"):
        first_store(read_logmel(tmp_path / "mel.npz"), RATE, tmp_path / "cache")


def test_an_archive_with_damaged_columns_or_none_is_a_user_error(tmp_path):
    names = {"track": np.array(["b", "a"]), "genre": np.array(["c", "d"])}
    np.savez(tmp_path / "without.npz", **names)
    np.savez(tmp_path / "damaged.npz", mel_u8=np.zeros((2, 4, 6), np.uint8), **names)
    content = bytearray((tmp_path / "damaged.npz").read_bytes())
    content[180] ^= 255
    (tmp_path / "damaged.npz").write_bytes(content)
    for name in ("without", "damaged"):
        with pytest.raises(UserError, match=f"{name}.npz is not a log-mel archive"):
            first_store(read_logmel(tmp_path / f"{name}.npz"), RATE, tmp_path / "cache")


@pytest.mark.timeout(20)
def test_a_fifo_in_a_folder_or_a_table_is_skipped_with_its_kind(tmp_path):
    write_noise(tmp_path / "music" / "rock" / "a.wav")
    os.mkfifo(tmp_path / "music" / "rock" / "fifo.wav")
    (skipped,) = read_folder(tmp_path / "music").skipped
    assert skipped.reason == "not a file but a FIFO"
    (tmp_path / "tracks.csv").write_text("path,genres\nmusic/rock/a.wav,rock\nmusic/rock/fifo.wav,rock")
    store = first_store(read_csv(tmp_path / "tracks.csv"), RATE, tmp_path / "cache")
    assert store.skipped["music/rock/fifo.wav"].text == "not a file but a FIFO"


def test_a_catalogue_with_escaped_cells_is_read_back(tmp_path):
    write_csv(tmp_path / "tracks.csv", ("path", "genres", "-x"), [("=a.wav", "@rock", "+b")])
    (track,) = read_csv(tmp_path / "tracks.csv").tracks
    assert (track.name, track.genres, track.extra) == ("=a.wav", ("@rock",), {"-x": "+b"})


@pytest.mark.timeout(20)
def test_a_fifo_instead_of_an_archive_or_a_table_is_a_user_error(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UserError, match=r"fifo is a FIFO; set data.path to a log-mel archive"):
        read_logmel(tmp_path / "fifo")
    with pytest.raises(UserError, match="fifo is a FIFO; it should be a CSV file"):
        read_csv(tmp_path / "fifo")
