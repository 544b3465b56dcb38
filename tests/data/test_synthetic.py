"""Synthetic songs are reproducible, written as a data set, and not separable by their average spectrum."""

import shutil
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from genre.data.synthetic import STYLE_NAMES, synthesize, write_songs
from helpers import csv_rows

pytestmark = pytest.mark.usefixtures("compiled_librosa")


def catalogue(folder: Path) -> list[dict[str, str]]:
    return csv_rows(folder / "catalogue.csv")


@pytest.fixture(scope="module")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_songs(
        tmp_path_factory.mktemp("music") / "new" / "set", tracks=2, two_genre_tracks=50, seconds=1.0, seed=3
    )


def test_the_styles_have_gtzans_names_in_order():
    assert STYLE_NAMES == ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")


@pytest.mark.parametrize("genre", STYLE_NAMES)
def test_a_song_is_audible_float32_of_the_requested_length(genre):
    song = synthesize((genre,), index=0, seed=0, seconds=2.5, sample_rate=16_000)
    assert song.dtype == np.float32
    assert song.shape == (40_000,)
    assert 0.2 < np.abs(song).max() <= 1


@pytest.mark.parametrize("genres", [("jazz",), ("pop", "rock")])
def test_a_song_depends_on_its_arguments_only(genres):
    first = synthesize(genres, index=7, seed=1, seconds=2)
    synthesize(("metal",), index=0, seed=1, seconds=2)
    np.testing.assert_array_equal(synthesize(genres, index=7, seed=1, seconds=2), first)


def test_another_index_seed_or_genre_gives_another_song():
    songs = [
        synthesize(genres, index=index, seed=seed, seconds=1)
        for genres, index, seed in [(("rock",), 0, 0), (("rock",), 1, 0), (("rock",), 0, 1), (("pop",), 0, 0)]
    ]
    assert len({song.tobytes() for song in songs}) == 4


def test_the_order_of_two_genres_has_no_effect():
    one, other = (synthesize(pair, index=0, seed=0, seconds=1) for pair in [("pop", "jazz"), ("jazz", "pop")])
    np.testing.assert_array_equal(one, other)


def test_the_catalogue_lists_every_file_with_its_genres(small_set):
    rows = catalogue(small_set)
    assert rows[0] == {"track": "blues.00000", "path": "blues/blues.00000.wav", "genres": "blues"}
    assert rows[20] == {"track": "blues-rock.00000", "path": "two/blues-rock.00000.wav", "genres": "blues;rock"}
    assert len({row["track"] for row in rows}) == 70
    files = {path.relative_to(small_set).as_posix() for path in small_set.rglob("*.wav")}
    assert {row["path"] for row in rows} == files


def test_files_are_16_bit_mono_and_contain_the_song_of_their_name(small_set):
    info = soundfile.info(small_set / "disco" / "disco.00001.wav")
    assert (info.samplerate, info.channels, info.subtype, info.frames) == (22_050, 1, "PCM_16", 22_050)
    samples, _ = soundfile.read(small_set / "disco" / "disco.00001.wav", dtype="float32")
    np.testing.assert_allclose(samples, synthesize(("disco",), index=1, seed=3, seconds=1.0), atol=1e-4)


def test_genres_occur_equally_often_in_the_pairs(small_set):
    counts = Counter(genre for row in catalogue(small_set)[20:] for genre in row["genres"].split(";"))
    assert counts == dict.fromkeys(STYLE_NAMES, 10)


def test_every_pair_occurs_once_before_any_occurs_twice(small_set):
    pairs = [row["genres"] for row in catalogue(small_set)[20:]]
    assert len(set(pairs[:45])) == 45
    assert set(pairs[45:]) <= set(pairs[:45])


def test_an_existing_set_is_not_written_again(small_set):
    before = {path: path.stat().st_mtime_ns for path in small_set.rglob("*")}
    assert write_songs(small_set, tracks=2, two_genre_tracks=50, seconds=1.0, seed=3) == small_set
    assert {path: path.stat().st_mtime_ns for path in small_set.rglob("*")} == before


def test_a_set_without_pairs_has_no_folder_for_pairs(tmp_path):
    write_songs(tmp_path / "set", tracks=1, two_genre_tracks=0, seconds=0.5, seed=0)
    assert {path.name for path in (tmp_path / "set").iterdir()} == {*STYLE_NAMES, "catalogue.csv"}


def test_concurrent_processes_write_the_same_set_and_leave_no_temporary_files(tmp_path):
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        made = [pool.submit(write_songs, tmp_path / "set", 1, 0, 2.0, 0) for _ in range(2)]
    assert [future.result() for future in made] == [tmp_path / "set"] * 2
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    assert len(catalogue(tmp_path / "set")) == 10


def test_a_process_uses_the_set_that_another_finished_first(tmp_path, monkeypatch):
    def finished_first(path: Path, target: Path) -> None:
        shutil.copytree(path, target)
        raise FileExistsError(target)

    monkeypatch.setattr(Path, "rename", finished_first)
    assert len(catalogue(write_songs(tmp_path / "set", tracks=1, two_genre_tracks=0, seconds=0.5, seed=0))) == 10
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_failed_write_leaves_no_files(tmp_path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(soundfile, "write", full)
    with pytest.raises(OSError, match="no space left"):
        write_songs(tmp_path / "set", tracks=1, two_genre_tracks=0, seconds=0.5, seed=0)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="neither empty nor a set of songs"):
        write_songs(tmp_path, tracks=1, two_genre_tracks=0, seconds=0.5, seed=0)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("genres", [(), ("polka",), ("rock", "rock"), ("blues", "jazz", "rock")])
def test_other_than_one_or_two_known_genres_is_refused(genres):
    with pytest.raises(ValueError, match="genres="):
        synthesize(genres, index=0, seed=0)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"seconds": 0.0}, "seconds=0"), ({"index": -1}, "index=-1"), ({"sample_rate": 10}, "sample_rate=10")],
)
def test_a_song_with_a_value_out_of_range_is_refused_by_name(wrong, named):
    with pytest.raises(ValueError, match=named):
        synthesize(**{"genres": ("rock",), "index": 0, "seed": 0} | wrong)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"tracks": 0}, "tracks=0"), ({"two_genre_tracks": -1}, "two_genre_tracks=-1"), ({"seconds": -1.0}, "seconds=-1")],
)
def test_a_set_with_a_value_out_of_range_is_refused_before_writing(tmp_path, wrong, named):
    with pytest.raises(ValueError, match=named):
        write_songs(tmp_path / "set", **{"tracks": 1, "two_genre_tracks": 0, "seconds": 0.5, "seed": 0} | wrong)
    assert list(tmp_path.iterdir()) == []


def mean_spectrum(path: Path) -> np.ndarray:
    power = librosa.feature.melspectrogram(y=soundfile.read(path, dtype="float32")[0], sr=22_050, n_mels=128, fmax=8000)
    return librosa.power_to_db(power, ref=np.max).mean(axis=1)


def linear_accuracy(spectra: np.ndarray, genres: list[str], split: int) -> float:
    train, test, genre, truth = train_test_split(spectra, genres, test_size=0.3, stratify=genres, random_state=split)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(train, genre)
    return float(model.score(test, truth))


@pytest.mark.slow
def test_average_spectra_do_not_separate_the_genres(tmp_path_factory):
    folder = write_songs(tmp_path_factory.mktemp("music") / "set", tracks=40, two_genre_tracks=0, seconds=30.0, seed=0)
    rows = catalogue(folder)
    spectra = np.stack([mean_spectrum(folder / row["path"]) for row in rows])
    accuracy = np.mean([linear_accuracy(spectra, [row["genres"] for row in rows], split) for split in range(5)])
    assert 0.2 <= accuracy <= 0.70  # an accuracy at chance (0.1) would mean broken spectra
