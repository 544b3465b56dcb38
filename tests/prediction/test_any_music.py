"""Music of every format, rate, number of channels and length is predicted; what is no music is reported."""

import shutil
import signal
import subprocess
import sys
import time
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from numpy.random import default_rng

import genre
from helpers import csv_rows, peak_memory

ROOT = Path(__file__).parents[2]
installed = shutil.which("ffmpeg") is not None
WRITTEN = {
    "wav": {},
    "flac": {},
    "ogg": {},
    "mp3": {},
    "au": {},
    "aiff": {},
    "opus": {"format": "OGG", "subtype": "OPUS"},
}
CONVERTED = ["m4a", "aac", "wma", "wv"] if installed else []
RATES = {"mp3": (8_000, 22_050, 44_100, 48_000), "opus": (8_000, 16_000, 48_000)}
ANY_RATE = (8_000, 11_025, 22_050, 44_100, 48_000, 96_000)
CHANNELS = {"mp3": 2, "m4a": 2, "wma": 2, "opus": 2}  # at most
SECONDS = (0.2, 0.7, 1.0, 3.0, 10.0, 30.0, 75.0, 180.0)


def convert(source, target, *options):
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", source, *options, target], check=True)


def mixed_files(folder, excerpts, count):
    """Write ``count`` files of all formats, rates, channels and lengths from real music."""
    draw, excerpts = default_rng(0), cycle(excerpts)
    for number, kind in zip(range(count), cycle([*WRITTEN, *CONVERTED]), strict=False):
        seconds, rate = SECONDS[number % 7 if number % 20 else 7], int(draw.choice(RATES.get(kind, ANY_RATE)))
        if kind in ("m4a", "wma"):
            rate = min(rate, 48_000)
        music, own_rate = soundfile.read(next(excerpts), dtype="float32")
        music = soxr.resample(np.resize(music, round(seconds * own_rate)), own_rate, rate)
        channels = min(1 + number % 6, CHANNELS.get(kind, 6))
        music = np.stack([music * (0.6 + 0.1 * channel / channels) for channel in range(channels)], 1)
        path = folder / f"{number:02d} {kind} {rate} Hz, {channels} channels.{kind}"
        if kind in WRITTEN:
            with soundfile.SoundFile(path, "w", rate, channels, **WRITTEN[kind]) as file:
                for begin in range(0, len(music), rate):  # libsndfile's encoders crash on long blocks
                    file.write(music[begin : begin + rate])
        else:
            soundfile.write(folder / "scratch.wav", music, rate)
            convert(folder / "scratch.wav", path)
            (folder / "scratch.wav").unlink()


def broken_files(folder, excerpt):
    """Write 15 files that are no music."""
    music, rate = soundfile.read(excerpt, frames=5 * 22_050, dtype="float32")
    (folder / "empty.wav").write_bytes(b"")
    (folder / "empty.m4a").write_bytes(b"")
    (folder / "text.mp3").write_text("no music")
    (folder / "text.ogg").write_text("no music" * 1_000)
    (folder / "random.mp3").write_bytes(default_rng(0).bytes(100_000))
    (folder / "zeros.flac").write_bytes(bytes(100_000))
    soundfile.write(folder / "no samples.wav", music[:0], rate)
    soundfile.write(folder / "too short.wav", music[:1_000], rate)
    soundfile.write(folder / "silent.flac", 0 * music, rate)
    soundfile.write(folder / "nan.wav", np.where(music > 0.01, np.nan, music), rate, subtype="FLOAT")
    soundfile.write(folder / "infinite.wav", np.where(music > 0.01, np.inf, music), rate, subtype="FLOAT")
    for suffix in ("wav", "flac", "aiff"):
        whole = folder / f"truncated.{suffix}"
        soundfile.write(whole, music, rate)
        whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    soundfile.write(folder / "header.wav", music, rate)
    (folder / "header.wav").write_bytes((folder / "header.wav").read_bytes()[:44])
    (folder / "directory.wav").mkdir()


@pytest.fixture(scope="module")
def library(shared, tmp_path_factory):
    """60 mixed files and 15 broken ones."""
    folder, excerpts = tmp_path_factory.mktemp("library"), sorted((shared / "gtzan_mini").rglob("*.wav"))
    (folder / "good").mkdir()
    (folder / "bad").mkdir()
    mixed_files(folder / "good", excerpts[::3], 60)
    broken_files(folder / "bad", excerpts[0])
    return folder


def command(run, library, folder):
    overrides = f"run={run.folder}", f"input={library}", f"hydra.run.dir={folder}"
    return [sys.executable, str(ROOT / "predict.py"), *overrides]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_good_file_is_answered_as_if_alone_and_every_bad_one_reported_also_after_a_kill(run, library, tmp_path):
    folder = tmp_path / "predicted"
    table = folder / "predictions.csv"
    with subprocess.Popen(command(run, library, folder), cwd=tmp_path) as process:
        while process.poll() is None and (not table.exists() or len(table.read_text().splitlines()) < 20):
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    done = subprocess.run(command(run, library, folder), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "files were predicted before" in done.stdout + done.stderr
    rows = csv_rows(table)
    assert [Path(row["path"]) for row in rows] == sorted((library / "good").iterdir())
    model = genre.load(run.folder)
    for row in rows:
        alone = model.predict(row["path"])
        written = [float(row[genre]) for genre in model.genres]
        assert written == pytest.approx(alone.probabilities, abs=2e-6), row["path"]
    bad = sorted(path.name for path in (library / "bad").iterdir() if path.is_file())
    skipped = csv_rows(folder / "skipped.csv")
    assert sorted(Path(row["path"]).name for row in skipped) == bad and len(bad) == 15
    assert all(row["reason"] for row in skipped)
    for name in bad:
        assert f"{name}: " in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not installed, reason="FFmpeg is not installed")
@pytest.mark.parametrize(
    ("track", "within"),
    [
        ("blues/blues.00005", 0.05),
        ("metal/metal.00005", 0.05),
        ("rock/rock.00005", 0.05),
        ("disco/disco.00005", 0.1),  # its crops do not reach 80 dB below their maximum: docs/predict.md
    ],
)
def test_one_track_in_several_formats_has_the_same_genre(shared, tmp_path, track, within):
    model, excerpt = genre.load(), shared / "gtzan_mini" / f"{track}.wav"
    stereo = ("-ar", "44100", "-ac", "2")
    expected = model.predict(excerpt)
    mp3, ogg = ("-b:a", "128k", *stereo), ("-q:a", "6")  # FFmpeg's default for ogg is a third of that bit rate
    for name, options in {"a.flac": (), "a.ogg": ogg, "a.mp3": mp3, "stereo.wav": stereo}.items():
        convert(excerpt, tmp_path / name, *options)
        answer = model.predict(tmp_path / name)
        assert answer.most_probable(1)[0][0] == expected.most_probable(1)[0][0]
        assert answer.probabilities == pytest.approx(expected.probabilities, abs=within), name


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_ten_hour_file_is_predicted_in_bounded_memory(run, tmp_path):
    """Its 16-bit samples at the network's rate would take 1.6 GB."""
    minute = (0.3 * np.sin(np.arange(60 * 8_000) * 0.2)).astype(np.float32)
    with soundfile.SoundFile(tmp_path / "long.flac", "w", 8_000, 1) as file:
        for _ in range(600):
            file.write(minute)
    code = "assert genre.load(sys.argv[1]).predict(sys.argv[2]).seconds == 36_000"
    assert peak_memory("import genre", code, run.folder, tmp_path / "long.flac") < 1.5e9
