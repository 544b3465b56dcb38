"""Data sets in the formats of the Hugging Face Hub become a catalogue, with our own decoders."""

import json
import sys

import pytest

import genre
from genre.data.audio import read_audio
from genre.data.hub import read_hf
from genre.errors import UserError
from helpers import write_song

datasets = pytest.importorskip("datasets")
RATE = 24_000


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    """Twelve encoded songs: name -> bytes."""
    folder = tmp_path_factory.mktemp("songs")
    return {
        f"{n}{suffix}": write_song(folder / f"{n}{suffix}", seed=n).read_bytes()
        for n, suffix in enumerate([".wav", ".mp3", ".flac"] * 4)
    }


def stored(audio, genres, genre_feature=None, **columns):
    """A data set whose audio is stored as the Hub stores it: a name and encoded bytes, or None."""
    encoded = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    feature = genre_feature or datasets.Value("string")
    features = {"audio": encoded, "genre": feature} | dict.fromkeys(columns, datasets.Value("string"))
    table = {"audio": audio, "genre": genres, **columns}
    return datasets.Dataset.from_dict(table, datasets.Features(features)).cast_column("audio", datasets.Audio())


def data_set(songs, genre_feature=None, genres=None, **columns):
    rows = [{"path": name, "bytes": content} for name, content in songs.items()]
    return stored(rows, genres or ["jazz", "rock"] * 6, genre_feature, **columns)


def splits(whole):
    return datasets.DatasetDict(
        train=whole.select(range(6)), validation=whole.select(range(6, 9)), test=whole.select(range(9, 12))
    )


def save_to_disk(parts, folder):
    parts.save_to_disk(str(folder))


def save_parquet(parts, folder):
    folder.mkdir()
    for name, part in parts.items():
        part.to_parquet(str(folder / f"{name}-00000-of-00001.parquet"))


@pytest.mark.parametrize("save", [save_to_disk, save_parquet])
def test_tracks_have_their_audio_genre_artist_and_split(songs, tmp_path, save):
    artists = [f"artist {n}" for n in range(12)]
    save(splits(data_set(songs, artist=artists)), tmp_path / "data")
    tracks = {track.name: track for track in read_hf(str(tmp_path / "data"), tmp_path, artist="artist").tracks}
    assert len(tracks) == 12
    track = tracks["validation/000001"]
    assert (track.genres, track.artist, track.split) == (("rock",), "artist 7", "validation")
    assert track.path.read_bytes() == songs["7.mp3"] and track.path.suffix == ".mp3"
    assert len(read_audio(track.path, RATE)) >= RATE


def test_labels_and_lists_of_labels_are_named(songs, tmp_path):
    label = datasets.ClassLabel(names=["jazz", "rock"])
    numbers = [[0], [0, 1], []] * 4
    data_set(songs, datasets.Sequence(label), numbers).save_to_disk(str(tmp_path / "lists"))
    catalogue = read_hf(str(tmp_path / "lists"), tmp_path)
    assert {track.genres for track in catalogue.tracks} == {("jazz",), ("jazz", "rock")}
    assert [item.reason for item in catalogue.skipped] == ["no genre"] * 4
    data_set(songs, label, [0, 1] * 6).save_to_disk(str(tmp_path / "labels"))
    assert read_hf(str(tmp_path / "labels"), tmp_path).genres == ["jazz", "rock"]


def test_a_row_without_audio_is_skipped(songs, tmp_path):
    audio = [None, *({"path": None, "bytes": content} for content in songs.values())]
    stored(audio, ["rock"] * 13).save_to_disk(str(tmp_path / "data"))
    catalogue = read_hf(str(tmp_path / "data"), tmp_path)
    assert [item.reason for item in catalogue.skipped] == ["no path"] and len(catalogue.tracks) == 12
    assert len(read_audio(catalogue.tracks[1].path, RATE)) >= RATE  # an MP3 without a name


def test_the_audio_is_written_once_and_again_when_the_data_set_changes(songs, tmp_path, monkeypatch):
    folder = tmp_path / "data"
    data_set(songs).save_to_disk(str(folder))
    first = read_hf(str(folder), tmp_path)
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert read_hf(str(folder), tmp_path) == first
    (folder / "state.json").write_text((folder / "state.json").read_text() + " ")
    with pytest.raises(UserError, match=r'datasets is not installed, .* pip install "genre\[datasets\]"'):
        read_hf(str(folder), tmp_path)


def test_a_wrong_column_is_a_user_error_that_names_the_columns(songs, tmp_path):
    data_set(songs).save_to_disk(str(tmp_path / "data"))
    with pytest.raises(UserError, match="has no column label; it has audio, genre"):
        read_hf(str(tmp_path / "data"), tmp_path, genre="label")
    assert not [path for path in (tmp_path / "hub").iterdir() if path.is_dir()]


def test_nothing_is_fetched_unless_asked(tmp_path):
    with pytest.raises(UserError, match=r"there is no folder data.name=owner/music; data.download=true fetches"):
        read_hf("owner/music", tmp_path)


def test_a_folder_without_a_data_set_is_a_user_error(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "notes.bin").write_bytes(b"")
    with pytest.raises(UserError, match=r"cannot open the data set data.name=.*data \("):
        read_hf(str(tmp_path / "data"), tmp_path)


def test_a_run_learns_from_a_data_set_with_its_own_split(songs, configured, tmp_path):
    save_parquet(splits(data_set(songs)), tmp_path / "data")
    overrides = [f"data.name={tmp_path / 'data'}", "view.seconds=1", "split=column"]
    result = genre.train(configured(*overrides, data="hf"))
    assert json.loads((result.folder / "metrics.json").read_text())["tracks"] == {"train": 6, "val": 3, "test": 3}
