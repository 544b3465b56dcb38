"""explore.py writes tables, figures and pictures that equal the network's input."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from matplotlib.image import imread

import genre
from genre.config.build import build_pipeline
from genre.config.settings import train_settings
from genre.data.catalogue import Track, read_folder
from genre.data.sources import first_store
from genre.errors import UserError
from genre.exploration.pictures import picture_names
from helpers import csv_rows

ROOT = Path(__file__).parents[2]
RATE = 22_050


@pytest.fixture
def explored(tmp_path, cache):
    """A function that explores with overrides."""

    def explore(*overrides):
        own = [f"data.cache={cache}", f"folder={tmp_path / 'explored'}", "name=test"]
        return genre.explore(genre.compose(*own, *overrides, config_name="explore"))

    return explore


def grey(path):
    """A PNG as matplotlib reads it: (height, width) in [0, 1]."""
    values = imread(path)
    assert values.ndim == 2
    return values


def inputs(music, cache, *overrides):
    """What a model is given at evaluation: (tracks, crops, size, size), and the tracks' names."""
    own = ["data=folder", f"data.root={music}", "folder=x", "name=x"]
    settings = train_settings(genre.compose(*own, *overrides))
    store = first_store(read_folder(music), RATE, cache)
    rows = torch.arange(len(store.names))
    return build_pipeline(settings).pictures(store, rows)[:, :, 0].numpy(), store.names


def test_a_folder_of_music_gives_tables_and_figures(explored, music):
    result = explored("data=folder", f"data.root={music}", "view.seconds=4", "also=[rms]")
    made = {path.relative_to(result.folder).as_posix() for path in result.folder.rglob("*") if path.is_file()}
    assert {name for name in made if not name.startswith("spectrograms/")} == {
        "features.csv", "findings.csv", "report.txt", "skipped.csv",
        *(f"figures/{name}.png" for name in ("spectral_centroid", "tempo", "rms", "mel_spectrogram", "examples")),
    }  # fmt: skip
    rows = csv_rows(result.folder / "features.csv")
    assert list(rows[0]) == ["track", "genres", "spectral_centroid_mean", "tempo", "rms_mean", "rms_var"]
    assert [row["track"] for row in rows] == [track.name for track in read_folder(music).tracks]
    centroid = {row["track"]: float(row["spectral_centroid_mean"]) for row in rows}
    assert centroid["blues/blues.00000.wav"] < centroid["rock/rock.00000.wav"]  # the fixture's pitches


@pytest.mark.parametrize("size", [128, 64])
def test_pictures_equal_the_networks_input(explored, music, cache, size):
    options = ("view.seconds=4", f"spectrogram.size={size}")
    result = explored("data=folder", f"data.root={music}", *options)
    expected, names = inputs(music, cache, *options)
    pictures = sorted((result.folder / "spectrograms").rglob("*.png"))
    assert [path.relative_to(result.folder / "spectrograms").as_posix() for path in pictures] == [
        name.replace(".wav", ".png") for name in names
    ]
    for path, crops in zip(pictures, expected, strict=True):
        np.testing.assert_allclose(grey(path), crops[0], atol=1 / 255)


def test_a_view_with_several_crops_gives_one_picture_per_crop(explored, music, cache):
    options = ("view=segments", "view.seconds=1", "view.crops=3")
    result = explored("data=folder", f"data.root={music}", *options)
    expected, names = inputs(music, cache, *options)
    for number in (1, 2, 3):
        path = result.folder / "spectrograms" / names[4].replace(".wav", f"-{number}.png")
        np.testing.assert_allclose(grey(path), expected[4, number - 1], atol=1 / 255)


def test_low_bands_are_at_the_top_of_a_picture(explored, music):
    result = explored("data=folder", f"data.root={music}", "view.seconds=4")
    levels = grey(result.folder / "spectrograms" / "blues" / "blues.00000.png").mean(axis=1)
    assert levels.argmax() < 20  # its chord is at 200 Hz


@pytest.fixture
def messy(music, tmp_path):
    """A catalogue with artists and titles, a duplicate and an unreadable file."""
    root = tmp_path / "messy, (mine) & more=é"
    root.mkdir()
    lines = ["path,genres,artist,title"]
    for name in ("blues", "jazz"):
        for index in range(3):
            (root / f"{name}{index}.wav").write_bytes((music / name / f"{name}.{index:05d}.wav").read_bytes())
            lines.append(f"{name}{index}.wav,{name},The Ones,Song {index}")
    samples, _ = soundfile.read(root / "blues0.wav", dtype="int16")
    soundfile.write(root / "copy.flac", samples, RATE)
    (root / "text.mp3").write_text("no music")
    lines += ["copy.flac,jazz,The Twos,Song 0", "text.mp3,jazz,,"]
    (root / "catalogue.csv").write_text("\n".join(lines), encoding="utf-8")
    return root / "catalogue.csv"


def test_findings_have_artist_and_title_and_the_unreadable_file_is_skipped(explored, messy):
    result = explored("data=csv", f"data.path={messy}", "view.seconds=4")
    rows = csv_rows(result.folder / "findings.csv")
    kinds = {(row["kind"], Path(row["track"]).name) for row in rows}
    assert kinds == {
        ("unreadable", "text.mp3"), ("exact duplicate", "blues0.wav"), ("artist in several genres", "The Ones"),
        ("genre with few tracks", "blues"), ("genre with few tracks", "jazz"),
    }  # fmt: skip
    (pair,) = (row for row in rows if row["kind"] == "exact duplicate")
    assert (pair["other"], pair["correlation"], pair["shift"]) == ("copy.flac", "1.0000", "0.00")
    assert (pair["artist"], pair["other_artist"], pair["title"]) == ("The Ones", "The Twos", "Song 0")
    assert pair["detail"] == "their genres differ: blues and jazz"
    report = (result.folder / "report.txt").read_text(encoding="utf-8")
    assert "duplicates: 1 pairs, 1 recordings, 1 redundant tracks" in report
    assert (
        "blues0.wav = copy.flac: correlation 1.000, shift +0.00 s; The Ones: Song 0 and The Twos: Song 0; their"
        in report
    )
    (skipped,) = csv_rows(result.folder / "skipped.csv")
    assert skipped["path"].endswith("text.mp3") and skipped["reason"].startswith("unreadable")
    assert not list((result.folder / "spectrograms").rglob("text*"))


def test_each_picture_is_logged_and_an_unwritable_one_is_skipped(explored, music, tmp_path, caplog):
    caplog.set_level("INFO", "genre.exploration.pictures")
    (tmp_path / "list.csv").write_text(
        f"track,path,genres\n{'x' * 260},{music}/blues/blues.00000.wav,blues\nb,{music}/jazz/jazz.00000.wav,jazz\n"
    )
    result = explored("data=csv", f"data.path={tmp_path / 'list.csv'}", "view.seconds=4")
    (skipped,) = csv_rows(result.folder / "skipped.csv")
    assert "cannot be written" in skipped["reason"]
    (picture,) = (result.folder / "spectrograms").rglob("*.png")
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING"]
    assert caplog.messages[0] == f"wrote {picture}" and skipped["path"] in caplog.messages[1]


def test_names_of_pictures_are_unique_and_within_the_genres_folder():
    names = {
        "rock/live/song.mp3": "rock/live/song.png",
        "rock/song.wav": "rock/song.wav.png",
        "rock/song.mp3": "rock/song.mp3.png",
        "blues.00000": "rock/blues.00000.png",
        "../../etc/song.flac": "rock/etc/song.png",
        "/abs/song.ogg": "rock/abs/song.png",
    }
    paths = picture_names([Track(name, ("rock",)) for name in names])
    assert {name: path.as_posix() for name, path in paths.items()} == names


@pytest.fixture
def archive(tmp_path):
    """Three genres of four random log-mels; the last repeats the first, 5 s (65 columns) later."""
    generator = np.random.default_rng(0)
    mel = generator.integers(0, 256, (12, 128, 387), dtype=np.uint8)
    mel[11, :, 65:] = mel[0, :, :-65]
    names = [f"{kind}.{index}" for kind in ("blues", "jazz", "rock") for index in range(4)]
    kinds = [name.split(".")[0] for name in names]
    np.savez(tmp_path / "mels.npz", mel_u8=mel, track=np.array(names), genre=np.array(kinds))
    return tmp_path / "mels.npz"


def test_an_archive_is_explored_without_music(explored, archive, capsys):
    result = explored("data=logmel", f"data.path={archive}")
    made = {path.name for path in result.folder.rglob("*") if path.is_file()}
    assert not {"features.csv", "tempo.png"} & made
    assert {"mel_spectrogram.png", "examples.png", "blues.0.png", "rock.3.png"} <= made
    (pair,) = (row for row in csv_rows(result.folder / "findings.csv") if row["kind"] == "near duplicate")
    assert (pair["track"], pair["other"]) == ("blues.0", "rock.3")
    assert float(pair["shift"]) == pytest.approx(65 / 12.9, abs=0.01)
    assert "need the audio files" in " ".join(capsys.readouterr().out.split())


TABLE = """filename,length,spectral_centroid_mean,tempo,rms_mean,label
blues.00000.au,661794,1784.2,123.0,0.1,blues
blues.00001.au,661794,1530.2,68.0,0.2,blues
jazz.00000.au,661794,1200.5,99.4,0.1,jazz
jazz.00001.au,661794,,99.4,0.1,jazz
"""


def test_figures_are_drawn_from_a_table_without_music(explored, tmp_path):
    (tmp_path / "table, old.csv").write_text(TABLE)
    result = explored("data.root=nowhere", f"features={tmp_path / 'table, old.csv'}", "also=[rms]")
    assert {path.name for path in (result.folder / "figures").iterdir()} == {
        "spectral_centroid.png", "tempo.png", "rms.png"
    }  # fmt: skip
    assert result.features["blues.00001.au"] == {"spectral_centroid_mean": 1530.2, "tempo": 68.0, "rms_mean": 0.2}
    (skipped,) = csv_rows(result.folder / "skipped.csv")
    assert skipped == {"path": "table, old.csv:5", "reason": "spectral_centroid_mean '' is not a number"}
    assert "blues       2                    1657         95.5" in (result.folder / "report.txt").read_text()


def test_features_csv_of_an_exploration_is_accepted_as_a_table(explored, music):
    result = explored("data=folder", f"data.root={music}", "view.seconds=4")
    again = explored(f"features={result.folder / 'features.csv'}")
    assert again.features.keys() == result.features.keys()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["features=nowhere.csv"], "features=nowhere.csv does not exist"),
        (["features={table}", "also=[mfcc7]"], "has no column 'mfcc7_mean'"),
        (["data=folder", "data.root={music}", "also=[loudness]"], "also=loudness is not in librosa.feature"),
        (["data=folder", "data.root={music}", "show=unknown"], "show=unknown is not a usable track"),
        (["data=folder", "data.root={music}", "duplicates.correlation=1.5"], r"duplicates\.correlation=1\.5"),
        (["data=folder", "data.root={music}", "duplicates.overlap=40"], r"duplicates\.overlap=40"),
        (["data=logmel", "data.path=x", "spectrogram=document"], "remove spectrogram=document"),
    ],
)
def test_a_user_error_is_raised_before_music_is_decoded(explored, music, tmp_path, overrides, words, monkeypatch):
    monkeypatch.setattr("genre.exploration.explore.first_store", None)
    (tmp_path / "table.csv").write_text(TABLE)
    with pytest.raises(UserError, match=words):
        explored(*(text.format(table=tmp_path / "table.csv", music=music) for text in overrides))


@pytest.mark.slow
def test_the_script_prints_the_folder_last(music, cache, tmp_path):
    arguments = ["data=folder", f"data.root={music}", f"data.cache={cache}", "view.seconds=4", "pictures=false"]
    done = subprocess.run(
        [sys.executable, ROOT / "explore.py", *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    folder = Path(done.stdout.splitlines()[-1])
    assert folder.is_relative_to(tmp_path / "outputs" / "explore" / "folder")
    assert (folder / "findings.csv").is_file() and not (folder / "spectrograms").exists()


def test_the_papers_figures_are_drawn_from_the_table_of_all_1000_tracks(explored, shared):
    result = explored(f"features={shared / 'gtzan_features_30_sec.csv'}")
    assert len(result.features) == 1000
    assert {path.name for path in (result.folder / "figures").iterdir()} == {"spectral_centroid.png", "tempo.png"}
