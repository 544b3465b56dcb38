"""What libsndfile does not read is decoded by FFmpeg, where it is installed."""

import shutil
import subprocess

import numpy as np
import pytest
import soundfile

from genre.data import audio, ffmpeg
from genre.errors import BadAudio, SkipKind

RATE = 22_050
installed = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="FFmpeg is not installed")


def convert(source, target):
    """Convert a file with FFmpeg, by the suffix of the result."""
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", source, target], check=True)
    return target


@pytest.fixture
def song(tmp_path):
    """3 s of a rising tone in stereo at 44.1 kHz."""
    time = np.arange(3 * 44_100) / 44_100
    rising = 0.5 * np.sin(2 * np.pi * (200 * time + 100 * time**2))  # 200 Hz plus 200 Hz per second
    soundfile.write(tmp_path / "song.wav", np.stack([rising, rising], 1), 44_100)
    return tmp_path / "song.wav"


@installed
@pytest.mark.parametrize("suffix", [".m4a", ".aac", ".wma", ".ac3", ".mka", ".wv"])
def test_formats_that_libsndfile_does_not_read_are_decoded(song, suffix):
    samples = audio.read_audio(convert(song, song.with_suffix(suffix)), RATE)
    assert len(samples) == pytest.approx(3 * RATE, abs=0.12 * RATE)
    spectrum = np.abs(np.fft.rfft(samples[RATE : 2 * RATE]))
    assert spectrum.argmax() == pytest.approx(500, abs=110)


@installed
def test_lossless_music_equals_that_of_libsndfile(song):
    alac = convert(song, song.with_suffix(".wv"))
    np.testing.assert_array_equal(audio.read_audio(alac, RATE), audio.read_audio(song, RATE))


@installed
def test_a_slice_is_the_requested_part(song):
    part = audio.read_audio(convert(song, song.with_suffix(".wv")), RATE, start=1.5, duration=1.25)
    assert len(part) == pytest.approx(1.25 * RATE, abs=2)
    assert np.abs(np.fft.rfft(part[: RATE // 5])).argmax() * 5 == pytest.approx(520, abs=30)


@installed
@pytest.mark.parametrize("suffix", [".m4a", ".wma", ".mka"])
def test_a_slice_begins_at_its_sample_and_a_whole_file_at_its_first(song, suffix):
    path = convert(song, song.with_suffix(suffix))
    whole = audio.read_audio(path, 44_100)
    part = audio.read_audio(path, 44_100, start=1.5, duration=1.25)
    np.testing.assert_array_equal(part, whole[66_150:][:55_125])
    if suffix == ".m4a":
        original = audio.read_audio(song, 44_100).astype(float)
        assert np.abs(whole - original)[2_000:100_000].max() < 0.1 * np.abs(original).max()


@installed
def test_the_name_does_not_matter(song):
    m4a = convert(song, song.with_suffix(".m4a"))
    shutil.copy(m4a, song.with_name("wrong.mp3"))
    np.testing.assert_array_equal(audio.read_audio(song.with_name("wrong.mp3"), RATE), audio.read_audio(m4a, RATE))


@installed
def test_bad_files_have_a_reason(song):
    m4a = convert(song, song.with_suffix(".m4a"))
    m4a.write_bytes(m4a.read_bytes()[:5_000])
    song.with_name("text.wma").write_text("no music")
    song.with_name("empty.m4a").write_bytes(b"")
    for name in ("song.m4a", "text.wma", "empty.m4a"):
        with pytest.raises(BadAudio, match=r"unreadable|truncated"):
            audio.read_audio(song.with_name(name), RATE)


@installed
def test_a_list_of_addresses_under_the_name_of_a_song_is_not_followed(tmp_path):
    lines = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://127.0.0.1:1/a.ts\n#EXT-X-ENDLIST\n"
    (tmp_path / "list.m4a").write_text(lines)
    with pytest.raises(BadAudio, match="unreadable"):
        audio.read_audio(tmp_path / "list.m4a", RATE)


def test_without_ffmpeg_the_reason_says_to_install_it(tmp_path, monkeypatch):
    (tmp_path / "song.m4a").write_bytes(b"    ftypM4A ")
    monkeypatch.setattr(ffmpeg, "ffmpeg_program", lambda: None)
    with pytest.raises(BadAudio, match=r"\.m4a needs FFmpeg, which is not installed; install it") as info:
        audio.read_audio(tmp_path / "song.m4a", RATE)
    assert info.value.reason.kind is SkipKind.OTHER_FORMAT


def test_a_long_recording_is_decoded_anew_and_gives_the_same_clips(song):
    decode = audio.decode_slice(audio.Slice(song, RATE))
    whole, streamed = (audio.read_recording(decode, "song", kept) for kept in (1e9, 1_000))
    assert streamed.samples is None and streamed.length == whole.length == 3 * RATE
    begins = [0, 0, 700, 30_000, 30_001, 3 * RATE - 500]
    for one, other in zip(whole.clips(begins, 1_000), streamed.clips(begins, 1_000), strict=True):
        np.testing.assert_array_equal(one, other)
