"""cut.py writes the right samples and their catalogue, and skips bad rows."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile

from genre.data.catalogue import read_csv
from genre.data.cut import HELP, USAGE, cut, imbalance_warning, main, parse_arguments, song_table, songs_per_genre
from genre.errors import UserError
from helpers import csv_rows

pytestmark = pytest.mark.usefixtures("compiled_librosa")

RATE = 22_050
LENGTH = 30 * RATE
FRAME = 576  # samples of an MP3 at 22,050 Hz


def music(seconds: float, rate: int = RATE, channels: int = 1, seed: int = 0) -> np.ndarray:
    """A rising tone with noise, different per seed: (samples, channels) in [-1, 1]."""
    time = np.arange(round(seconds * rate)) / rate
    tone = 0.3 * np.sin(2 * np.pi * (300 + 100 * seed + 20 * time) * time)
    return tone[:, None] + 0.02 * np.random.default_rng(seed).standard_normal((len(time), channels))


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a table into the folder of the music."""
    (tmp_path / "music").mkdir()

    def write(*rows: str, header: str = "file,genres,start,duration") -> Path:
        path = tmp_path / "music" / "songs.csv"
        path.write_text("\n".join([header, *rows]), encoding="utf-8")
        return path

    return write


@pytest.fixture
def song(tmp_path: Path, table: Callable[..., Path]) -> Callable[..., Path]:
    """A function that writes music beside the table, in the format of its extension."""

    def write(name: str, seconds: float = 3.0, rate: int = RATE, channels: int = 1, seed: int = 0) -> Path:
        path = tmp_path / "music" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, music(seconds, rate, channels, seed), rate)
        return path

    return write


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def samples(path: Path) -> np.ndarray:
    return soundfile.read(path)[0]


def skipped(out: Path) -> dict[str, str]:
    return {row["path"]: row["reason"] for row in csv_rows(out / "skipped.csv")}


def wavs(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir() if path.suffix != ".csv")


# The samples


@pytest.mark.parametrize("name", ["song.wav", "song.flac"])
def test_a_segment_equals_the_slice_that_soundfile_reads(table, song, out, name):
    source = song(name, 33.0)
    cut(table(f"{name},jazz,2.5,"), out)
    expected, _ = soundfile.read(source, start=round(2.5 * RATE), frames=LENGTH)
    np.testing.assert_allclose(samples(out / "song-2.5.wav"), expected, atol=1 / 32768)


def test_a_segment_of_an_mp3_equals_the_slice_that_librosa_decodes(table, song, out):
    source = song("song.mp3", 33.0, rate=44_100, channels=2)
    cut(table("song.mp3,jazz,1,"), out)
    expected, _ = librosa.load(source, sr=RATE, mono=True, offset=1.0, duration=30.0)
    np.testing.assert_allclose(samples(out / "song-1.wav"), expected, atol=1e-3)


def test_a_segment_of_an_mp3_equals_the_slice_of_the_decoded_file(table, song, out):
    source = song("song.mp3", 33.0)
    cut(table("song.mp3,jazz,2.5,"), out)
    difference = np.abs(samples(out / "song-2.5.wav") - samples(source)[round(2.5 * RATE) :][:LENGTH])
    assert difference[3 * FRAME :].max() <= 1 / 32768
    assert difference.max() < 0.1  # after seeking, the first frames lack the earlier ones that they refer to


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000])
def test_a_segment_is_mono_16_bit_and_exactly_30_s_from_any_rate(table, song, out, rate):
    song("song.wav", 30.5, rate=rate, channels=2)
    cut(table("song.wav,jazz,,"), out)
    info = soundfile.info(out / "song-0.wav")
    assert (info.frames, info.samplerate, info.channels, info.subtype) == (LENGTH, RATE, 1, "PCM_16")


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100])
@pytest.mark.parametrize(
    "duration", [1.00003, 1.00069, 1.00093]
)  # each is off by samples after resampling from some rate
def test_a_given_duration_is_exact_to_the_sample(table, song, out, rate, duration):
    song("song.wav", rate=rate)
    cut(table(f"song.wav,jazz,0.3333,{duration}"), out)
    assert len(samples(out / "song-0.3333.wav")) == round(duration * RATE)


# The catalogue


def test_the_catalogue_has_genres_and_further_columns(table, song, out):
    song("one.wav", seed=1)
    song("two.wav", seed=2)
    header = "file,genres,start,duration,artist,title"
    rows = ('one.wav,"rock; pop",1,2,Queen,"A ""title"", with é"', "two.wav,jazz,,2,,Take Five")
    cut(table(*rows, header=header), out)
    one, two = read_csv(out / "catalogue.csv").tracks
    assert (one.name, one.genres, one.artist) == ("one-1", ("rock", "pop"), "Queen")
    assert one.extra["title"] == 'A "title", with é'
    assert (two.name, two.genres, two.path) == ("two-0", ("jazz",), out / "two-0.wav")


def test_start_and_duration_in_the_source_become_file_start_and_file_duration(table, song, out):
    song("song.wav")
    track = cut(table("song.wav,jazz,1,2"), out).tracks[0]
    assert (track.start, track.duration) == (0.0, None)
    assert (track.extra["file"], track.extra["file_start"], track.extra["file_duration"]) == ("song.wav", "1", "2")


def test_columns_that_the_catalogue_uses_itself_are_renamed(table, song, out):
    song("song.wav")
    track = cut(table("song.wav,jazz,2,07,x", header="file,genres,duration,track,path"), out).tracks[0]
    assert (track.name, track.path) == ("song-0", out / "song-0.wav")
    assert (track.extra["file_track"], track.extra["file_path"]) == ("07", "x")


def test_a_carriage_return_in_a_title_becomes_a_space(table, song, out):
    song("song.wav")
    track = cut(table('song.wav,jazz,2,"Take\rFive"', header="file,genres,duration,title"), out).tracks[0]
    assert track.extra["title"] == "Take Five"


def test_files_are_relative_to_root_if_given(table, tmp_path, out):
    (tmp_path / "elsewhere").mkdir()
    soundfile.write(tmp_path / "elsewhere" / "song.wav", music(3.0), RATE)
    assert len(cut(table("song.wav,jazz,,2"), out, tmp_path / "elsewhere").tracks) == 1


# The names


def test_segments_of_equally_named_songs_have_different_names(table, song, out):
    for seed, name in enumerate(("a/song.wav", "b/song.wav", "song.wav", "SONG.wav", "song.flac")):
        song(name, seed=seed)
    files = ("a/song.wav", "b/song.wav", "song.wav", "SONG.wav", "song.flac")
    rows = [f"{name},jazz,{start},{duration}" for name in files for start in (0, 1) for duration in (1.5, 2)]
    tracks = cut(table(*rows), out).tracks
    assert len({track.name.casefold() for track in tracks}) == len(wavs(out)) == len(rows)
    for track in tracks:
        begin, frames = (round(float(track.extra[f"file_{key}"]) * RATE) for key in ("start", "duration"))
        expected, _ = soundfile.read(out.parent / "music" / track.extra["file"], start=begin, frames=frames)
        np.testing.assert_allclose(samples(track.path), expected, atol=1 / 32768)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("AC-DC (Live) & more=é [x] 100% ${y}.wav", "AC-DC (Live) & more=é [x] 100% ${y}-0"),
        ("日本　語.wav", "日本　語-0"),
        ("~intro.wav", "_intro-0"),
        ("back\\slash.wav", "back_slash-0"),
        ("a/../song.wav", "song-0"),
    ],
)
def test_special_characters_are_kept_except_separators(table, song, out, file, name):
    song(file)
    track = cut(table(f"{file},jazz,,2"), out).tracks[0]
    assert track.name == name
    assert len(samples(read_csv(out / "catalogue.csv").tracks[0].path)) == 2 * RATE


def test_a_name_of_maximal_length_is_shortened(table, song, out):
    song("é" * 125 + ".wav")
    assert len(cut(table("é" * 125 + ".wav,jazz,,2"), out).tracks) == 1


# Skipped rows


@pytest.fixture
def bad_files(song, tmp_path) -> Path:
    folder = tmp_path / "music"
    soundfile.write(folder / "silent.wav", np.zeros(3 * RATE), RATE)
    (folder / "noise.mp3").write_bytes(b"not music at all" * 100)
    (folder / "empty.wav").touch()
    (folder / "folder").mkdir()
    return song("good.wav")


@pytest.mark.parametrize(
    ("row", "path", "reason"),
    [
        ("gone.wav,jazz,,2", "gone.wav", "no such file"),
        (f"{'x' * 300}.wav,jazz,,2", "x" * 300 + ".wav", "no such file"),
        ("folder,jazz,,2", "folder", "no such file"),
        (",jazz,,2", "songs.csv:2", "no file"),
        ("noise.mp3,jazz,,2", "noise.mp3", "unreadable"),
        ("empty.wav,jazz,,2", "empty.wav", "unreadable"),
        ("silent.wav,jazz,,2", "silent.wav", "silent"),
        ("good.wav,jazz,5,2", "good.wav", "starts at 5 s, beyond its end (3.00 s)"),
        ("good.wav,jazz,1,", "good.wav", "shorter than asked (from 1 s on 2.00 s of 30 s)"),
        ("good.wav,jazz,2.5,2", "good.wav", "shorter than 1 s (0.50 s from 2.5 s on)"),
        ("good.wav,jazz,,0", "good.wav", "shorter than 1 s (0.00 s)"),
        ("good.wav,,,2", "good.wav", "no genre"),
        ("good.wav, ; ,,2", "good.wav", "no genre"),
        ("good.wav,jazz,1:30,2", "good.wav", "start '1:30' is not a number of seconds"),
        ("good.wav,jazz,-1,2", "good.wav", "start '-1' is not a time in the track"),
        ("good.wav,jazz,nan,2", "good.wav", "start 'nan' is not a time in the track"),
        ("good.wav,jazz,,1e306", "good.wav", "duration '1e306' is not a time in the track"),
    ],
)
def test_a_bad_row_is_skipped_with_its_reason(table, bad_files, out, caplog, row, path, reason):
    catalogue = cut(table(row, "good.wav,jazz,0.5,2"), out)
    assert wavs(out) == ["good-0.5.wav"]
    assert skipped(out)[path].startswith(reason)
    assert [(item.path, item.reason) for item in catalogue.skipped] == list(skipped(out).items())
    assert [record.getMessage() for record in caplog.records] == [f"skipped {path}: {skipped(out)[path]}"]


def test_a_repeated_row_is_skipped(table, song, out):
    song("song.wav")
    cut(table("song.wav,jazz,1,2", "song.wav,rock,1.0,2"), out)
    assert wavs(out) == ["song-1.wav"]
    assert skipped(out) == {"song.wav": "the same segment as in an earlier row"}


def test_a_table_without_usable_rows_is_a_user_error_with_counts(table, bad_files, out):
    with pytest.raises(UserError, match=r"none of the 3 rows of .*songs.csv can be cut: 2 no such file, 1 silent; see"):
        cut(table("a.wav,jazz,,2", "b.wav,jazz,,2", "silent.wav,jazz,,2"), out)
    assert list(skipped(out)) == ["a.wav", "b.wav", "silent.wav"]
    assert wavs(out) == []


def test_an_unusable_table_or_folder_is_a_user_error(table, song, out, tmp_path):
    song("song.wav")
    rows = table("song.wav,jazz,,2")
    with pytest.raises(UserError, match=r"gone.csv"):
        cut(tmp_path / "gone.csv", out)
    with pytest.raises(UserError, match=r"cannot read .* \(Is a directory\)"):
        cut(tmp_path, out)
    with pytest.raises(UserError, match=r"root=.*nowhere is not a folder"):
        cut(rows, out, tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"cannot write to out=.*song.wav"):
        cut(rows, tmp_path / "music" / "song.wav")
    with pytest.raises(UserError, match="has no column 'file'"):
        cut(table("song.wav,jazz", header="path,genres"), out)


def test_overwriting_the_table_is_a_user_error(table, song, tmp_path):
    song("song.wav")
    before = table("song.wav,jazz,,2").rename(tmp_path / "music" / "catalogue.csv")
    with pytest.raises(UserError, match="would overwrite the table"):
        cut(before, tmp_path / "music")
    assert before.read_text(encoding="utf-8").startswith("file,")


# Repeated runs


def test_a_second_run_cuts_missing_segments_only(table, song, out):
    song("one.wav", seed=1)
    song("two.wav", seed=2)
    rows = table("one.wav,jazz,,2", "two.wav,rock,,2")
    first = cut(rows, out)
    before = {name: (out / name).stat().st_mtime_ns for name in wavs(out)}
    (out / "two-0.wav").unlink()
    assert cut(rows, out) == first
    assert (out / "one-0.wav").stat().st_mtime_ns == before["one-0.wav"]
    assert (out / "two-0.wav").stat().st_mtime_ns > before["two-0.wav"]


def test_reordered_or_removed_rows_reuse_existing_segments(table, song, out):
    for seed, name in enumerate(("a/song.wav", "b/song.wav")):
        song(name, seed=seed)
    first = cut(table("a/song.wav,jazz,,2", "b/song.wav,rock,,2"), out)
    before = {name: (out / name).stat().st_mtime_ns for name in wavs(out)}
    assert cut(table("b/song.wav,rock,,2", "a/song.wav,jazz,,2"), out) == first
    assert cut(table("b/song.wav,rock,,2"), out).tracks == first.tracks[1:]
    assert {name: (out / name).stat().st_mtime_ns for name in wavs(out)} == before


def test_an_unrelated_file_in_out_is_neither_overwritten_nor_used(table, song, out):
    source = song("song.wav", seed=1)
    out.mkdir()
    (out / "song-0.wav").write_bytes(b"mine")
    track = cut(table("song.wav,jazz,,2"), out).tracks[0]
    assert (out / "song-0.wav").read_bytes() == b"mine"
    np.testing.assert_allclose(samples(track.path), samples(source)[: 2 * RATE], atol=1 / 32768)


def test_a_failed_write_leaves_no_file(table, song, out, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    song("song.wav")
    monkeypatch.setattr("genre.data.cut.os.replace", full)
    with pytest.raises(UserError, match=r"cannot write to out=.* \(No space left on device\)"):
        cut(table("song.wav,jazz,,2"), out)
    assert list(out.iterdir()) == []


# Songs per genre


def test_each_song_counts_once_per_genre(table, song, out):
    song("one.wav", seed=1)
    song("two.wav", seed=2)
    catalogue = cut(table("one.wav,rock;pop,,1.5", "one.wav,rock;pop,1,1.5", "two.wav,rock,,2"), out)
    assert songs_per_genre(catalogue) == {"rock": 2, "pop": 1}


def test_the_table_of_songs_is_aligned():
    assert song_table({"progressive": 12, "pop": 3}) == "genre        songs\nprogressive     12\npop              3"


def test_unequal_numbers_of_songs_give_a_warning():
    expected = "the numbers of songs per genre differ: 12 of rock, 3 of pop"
    assert imbalance_warning({"rock": 12, "jazz": 5, "pop": 3}) == expected
    assert imbalance_warning({"rock": 5, "pop": 5}) == ""


# The command line


def test_values_of_arguments_are_literal():
    assert parse_arguments(["table=a=b, 'c' ${d}.csv", "out=~/x y"]) == {
        "table": Path("a=b, 'c' ${d}.csv"),
        "out": Path.home() / "x y",
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "table=… and out=… are missing"),
        (["table=a.csv"], "out=… is missing"),
        (["table=a.csv", "out="], "the argument 'out=' has no value"),
        (["table=a.csv", "output=b"], "the argument 'output=b' is not known"),
        (["a.csv"], "the argument 'a.csv' is not known"),
        (["table=a.csv", "table=b.csv"], "the argument 'table=b.csv' is repeated"),
    ],
)
def test_a_wrong_argument_is_a_user_error_with_the_usage(arguments, message):
    with pytest.raises(UserError) as caught:
        parse_arguments(arguments)
    assert str(caught.value) == f"{message}; {USAGE}"


def test_help_shows_a_worked_example(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["cut", "--help"])
    main()
    assert capsys.readouterr().out == HELP
    assert "Example: songs.csv" in HELP


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "cut.py", *arguments]
    return subprocess.run(command, capture_output=True, encoding="utf-8", cwd=Path(__file__).parents[2])


@pytest.mark.slow
def test_the_command_prints_songs_per_genre_and_skipped_rows(table, song, out):
    song("a, b=c.mp3")
    song("other.wav", seed=1)
    rows = table('"a, b=c.mp3",rock;pop,,2', "other.wav,rock,,2", "gone.wav,jazz,,")
    done = run(f"table={rows}", f"out={out}")
    assert done.returncode == 0
    assert "genre  songs\nrock       2\npop        1\n" in done.stdout
    assert done.stdout.endswith(f"2 segments, 1 rows skipped: {out / 'catalogue.csv'}\n")
    first, second = done.stderr.splitlines()
    assert first.startswith("skipped gone.wav: no such file")
    assert second == "warning: the numbers of songs per genre differ: 2 of rock, 1 of pop"


def test_a_user_error_is_one_line_and_exit_code_1(out):
    done = run("table=no such, table.csv", f"out={out}")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: there is no catalogue at no such, table.csv\n"
