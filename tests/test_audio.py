"""Any file becomes mono samples at one rate, or a reason why it cannot."""

import librosa
import numpy as np
import pytest
import soundfile

from genre.audio import read, to_int16
from genre.errors import BadAudio

RATE = 22_050


@pytest.fixture
def noise() -> np.ndarray:
    return 0.2 * np.random.default_rng(0).standard_normal((3 * 44_100, 2))


def test_16_bit_music_keeps_its_very_values(tmp_path):
    values = np.random.default_rng(0).integers(-20_000, 20_000, 2 * RATE).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", values, RATE)
    np.testing.assert_array_equal(to_int16(read(tmp_path / "a.wav", RATE)), values)


def test_another_rate_and_channels_are_librosas(tmp_path, noise):
    soundfile.write(tmp_path / "a.flac", noise, 44_100)
    expected, _ = librosa.load(tmp_path / "a.flac", sr=RATE)
    np.testing.assert_allclose(read(tmp_path / "a.flac", RATE), expected, atol=1e-5)


@pytest.mark.parametrize("rate", [8_000, 48_000, 192_000])
@pytest.mark.parametrize("channels", [1, 8])
@pytest.mark.parametrize("subtype", ["PCM_24", "FLOAT"])
def test_eight_channels_24_bits_floats_and_any_rate_simply_work(tmp_path, rate, channels, subtype):
    time = np.arange(2 * rate) / rate
    tone = np.sin(2 * np.pi * 440 * time)[:, None].repeat(channels, 1) * 0.5
    soundfile.write(tmp_path / "a.wav", tone, rate, subtype=subtype)
    samples = read(tmp_path / "a.wav", RATE)
    assert len(samples) == 2 * RATE
    spectrum = np.abs(np.fft.rfft(samples))
    assert spectrum.argmax() / 2 == pytest.approx(440, abs=1)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".au", ".opus"])
def test_a_slice_is_that_part_of_the_file(tmp_path, suffix):
    time = np.arange(6 * 48_000) / 48_000
    rising = 0.5 * np.sin(2 * np.pi * (200 * time + 100 * time**2))  # 200 Hz plus 200 Hz a second
    options = {"format": "OGG", "subtype": "OPUS"} if suffix == ".opus" else {}
    soundfile.write(tmp_path / f"a{suffix}", rising, 48_000, **options)
    part = read(tmp_path / f"a{suffix}", RATE, start=3.0, duration=2.0)
    assert len(part) == 2 * RATE
    spectrum = np.abs(np.fft.rfft(part[: RATE // 5]))
    assert spectrum.argmax() * 5 == pytest.approx(200 + 200 * 3.1, abs=30)


def test_very_quiet_music_keeps_its_detail():
    tone = np.sin(np.arange(RATE)).astype(np.float32)
    np.testing.assert_allclose(to_int16(tone * 1e-3) / 32767, to_int16(tone) / 32768, atol=1e-4)


def bad_files(folder):
    loud = np.random.default_rng(0).standard_normal(2 * RATE) * 0.1
    soundfile.write(folder / "short.wav", loud[: RATE // 2], RATE)
    soundfile.write(folder / "silent.wav", loud * 1e-5, RATE)
    soundfile.write(folder / "whole.wav", loud, RATE)
    whole = (folder / "whole.wav").read_bytes()
    (folder / "cut.wav").write_bytes(whole[: len(whole) - 30_000])
    (folder / "text.mp3").write_text("no music")
    (folder / "empty.wav").write_bytes(b"")
    (folder / "zeros.wav").write_bytes(bytes(100_000))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("short.wav", r"shorter than 1 s \(0.50 s\)"),
        ("silent.wav", "silent"),
        ("cut.wav", "truncated"),
        ("text.mp3", "unreadable"),
        ("empty.wav", "unreadable"),
        ("zeros.wav", "unreadable"),
        ("absent.wav", "unreadable"),
    ],
)
def test_a_bad_file_has_a_reason(tmp_path, name, reason):
    bad_files(tmp_path)
    with pytest.raises(BadAudio, match=reason):
        read(tmp_path / name, RATE)


def test_a_start_beyond_the_end_is_a_reason(tmp_path):
    bad_files(tmp_path)
    with pytest.raises(BadAudio, match=r"starts at 60 s, beyond its end \(2.00 s\)"):
        read(tmp_path / "whole.wav", RATE, start=60)


def test_no_real_excerpt_is_taken_for_a_bad_one(shared):
    lengths = [len(read(path, RATE)) for path in sorted((shared / "gtzan_mini").rglob("*.wav"))]
    assert len(lengths) == 100
    assert min(lengths) > 29 * RATE
