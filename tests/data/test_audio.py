"""Any file is decoded to mono at one sample rate, or refused with a reason."""

import errno
import os
import random
import re
import shutil
import socket
import time
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile

from genre.data.audio import Level, read_audio
from genre.errors import BadAudio, SkipKind
from helpers import memory, peak_memory, reset_peak_memory

pytestmark = pytest.mark.usefixtures("compiled_librosa")

RATE = 22_050


@pytest.fixture
def noise() -> np.ndarray:
    return 0.2 * np.random.default_rng(0).standard_normal((3 * 44_100, 2))


def test_16_bit_samples_are_returned_unchanged(tmp_path):
    values = np.random.default_rng(0).integers(-20_000, 20_000, 2 * RATE).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", values, RATE)
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav", RATE), values)


def test_other_sample_rates_and_channels_equal_librosa(tmp_path, noise):
    soundfile.write(tmp_path / "a.flac", noise, 44_100)
    expected, _ = librosa.load(tmp_path / "a.flac", sr=RATE)
    np.testing.assert_allclose(read_audio(tmp_path / "a.flac", RATE) / 32768, expected, atol=2e-5)


@pytest.mark.parametrize("rate", [8_000, 48_000, 192_000])
@pytest.mark.parametrize("channels", [1, 8])
@pytest.mark.parametrize("subtype", ["PCM_24", "FLOAT"])
def test_eight_channels_24_bits_floats_and_any_rate_are_decoded(tmp_path, rate, channels, subtype):
    time = np.arange(2 * rate) / rate
    tone = np.sin(2 * np.pi * 440 * time)[:, None].repeat(channels, 1) * 0.5
    soundfile.write(tmp_path / "a.wav", tone, rate, subtype=subtype)
    samples = read_audio(tmp_path / "a.wav", RATE)
    assert len(samples) == 2 * RATE
    spectrum = np.abs(np.fft.rfft(samples))
    assert spectrum.argmax() / 2 == pytest.approx(440, abs=1)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".au", ".opus"])
def test_a_slice_is_the_requested_part_of_the_file(tmp_path, suffix):
    time = np.arange(6 * 48_000) / 48_000
    rising = 0.5 * np.sin(2 * np.pi * (200 * time + 100 * time**2))  # 200 Hz plus 200 Hz per second
    options = {"format": "OGG", "subtype": "OPUS"} if suffix == ".opus" else {}
    soundfile.write(tmp_path / f"a{suffix}", rising, 48_000, **options)
    part = read_audio(tmp_path / f"a{suffix}", RATE, start=3.0, duration=2.0)
    assert len(part) == 2 * RATE
    spectrum = np.abs(np.fft.rfft(part[: RATE // 5]))
    assert spectrum.argmax() * 5 == pytest.approx(200 + 200 * 3.1, abs=30)


def test_very_quiet_and_very_loud_music_is_scaled_to_16_bits(tmp_path):
    tone = np.sin(np.arange(2 * RATE))
    for name, gain in (("loud.wav", 1.0), ("quiet.wav", 1e-3), ("louder.wav", 30.0)):
        soundfile.write(tmp_path / name, tone * gain, RATE, subtype="FLOAT")
    loud, quiet, louder = (read_audio(tmp_path / name, RATE) for name in ("loud.wav", "quiet.wav", "louder.wav"))
    np.testing.assert_allclose(quiet, loud, atol=2)
    np.testing.assert_allclose(louder, loud, atol=2)


@pytest.fixture
def bad(tmp_path):
    """A folder with a file of every bad kind."""
    loud = np.random.default_rng(0).standard_normal(2 * RATE) * 0.1
    soundfile.write(tmp_path / "short.wav", loud[: RATE // 2], RATE)
    soundfile.write(tmp_path / "silent.wav", loud * 1e-5, RATE)
    soundfile.write(tmp_path / "nan.wav", np.where(np.arange(2 * RATE) == 9, np.nan, loud), RATE, subtype="FLOAT")
    for suffix in ("wav", "au", "aiff", "flac", "mp3"):
        whole = tmp_path / f"whole.{suffix}"
        soundfile.write(whole, loud, RATE)
        (tmp_path / f"cut.{suffix}").write_bytes(whole.read_bytes()[: -whole.stat().st_size // 4])
        (tmp_path / f"headed.{suffix}").write_bytes(whole.read_bytes()[:20])
    header = bytearray((tmp_path / "whole.wav").read_bytes())
    for name, rate in (("fast.wav", 3_000_000), ("faster.wav", 4 * 10**9)):
        (tmp_path / name).write_bytes(header[:24] + rate.to_bytes(4, "little") + header[28:])
    (tmp_path / "channels.wav").write_bytes(header[:22] + bytes(2) + header[24:])
    (tmp_path / "text.mp3").write_text("no music")
    (tmp_path / "random.mp3").write_bytes(np.random.default_rng(0).bytes(100_000))
    (tmp_path / "random.wav").write_bytes(np.random.default_rng(0).bytes(100_000))
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "zeros.wav").write_bytes(bytes(100_000))
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("short.wav", r"shorter than 1 s \(0.50 s\)"),
        ("silent.wav", r"silent \(peak under 0.0001\)"),
        ("nan.wav", "has samples that are not numbers"),
        ("cut.wav", "truncated"),
        ("cut.au", "truncated"),
        ("cut.aiff", "truncated"),
        ("cut.flac", "truncated|unreadable"),
        ("cut.mp3", "truncated"),
        *(
            (f"headed.{suffix}", "unreadable|truncated|shorter|beyond")
            for suffix in ("wav", "au", "aiff", "flac", "mp3")
        ),
        ("fast.wav", "has a sample rate of 3000000 Hz"),
        ("faster.wav", "unreadable"),
        ("channels.wav", "unreadable"),
        ("text.mp3", "unreadable"),
        ("random.mp3", "unreadable"),
        ("random.wav", "unreadable"),
        ("empty.wav", "unreadable"),
        ("zeros.wav", "unreadable"),
        ("folder.wav", "unreadable: Is a directory"),
        ("loop.wav", "unreadable: Too many levels of symbolic links"),
        ("absent.wav", "unreadable: No such file or directory"),
    ],
)
def test_a_bad_file_has_a_reason(bad, name, reason):
    with pytest.raises(BadAudio, match=reason):
        read_audio(bad / name, RATE)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("short.wav", SkipKind.TOO_SHORT),
        ("silent.wav", SkipKind.SILENT),
        ("nan.wav", SkipKind.NOT_A_NUMBER),
        ("cut.wav", SkipKind.TRUNCATED),
        ("cut.mp3", SkipKind.TRUNCATED),
        ("fast.wav", SkipKind.SAMPLE_RATE),
        ("text.mp3", SkipKind.UNREADABLE),
        ("absent.wav", SkipKind.NOT_READ),
    ],
)
def test_a_bad_file_has_a_kind(bad, name, kind):
    with pytest.raises(BadAudio) as info:
        read_audio(bad / name, RATE)
    assert info.value.reason.kind is kind
    assert info.value.reason.text == str(info.value)


def test_a_file_without_read_permission_has_a_reason(bad, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("pathlib.Path.open", refuse)  # root may read every file
    with pytest.raises(BadAudio, match="unreadable: Permission denied"):
        read_audio(bad / "whole.wav", RATE)


@pytest.mark.parametrize("name", ["cut.wav", "random.mp3"])
def test_a_disk_that_fails_while_a_file_is_read_says_nothing_about_its_content(bad, monkeypatch, name):
    """libsndfile takes the error for the end of the file."""
    real = Path.open

    def fail_unbuffered(path, *arguments, **options):
        if options.get("buffering") == 0:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return real(path, *arguments, **options)

    monkeypatch.setattr("pathlib.Path.open", fail_unbuffered)
    with pytest.raises(BadAudio, match="unreadable: Stale file handle") as info:
        read_audio(bad / name, RATE)
    assert info.value.reason.kind is SkipKind.NOT_READ


@pytest.mark.timeout(20)
def test_a_fifo_a_socket_and_a_device_are_refused_by_their_kind(tmp_path):
    os.mkfifo(tmp_path / "fifo.wav")
    (tmp_path / "link.wav").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.wav"))
    for name, kind in (("fifo.wav", "FIFO"), ("link.wav", "device"), ("socket.wav", "socket")):
        with pytest.raises(BadAudio, match=f"not a file but a {kind}") as info:
            read_audio(tmp_path / name, RATE)
        assert info.value.reason.kind is SkipKind.NOT_A_FILE


@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_of_channels_in_opposite_phase_the_louder_is_taken_and_told(tmp_path, rate, caplog):
    left = 0.3 * np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate)
    residue = 1e-3 * np.random.default_rng(0).standard_normal(len(left))
    soundfile.write(tmp_path / "stereo.wav", np.stack([-0.9 * left + residue, left], 1), rate, subtype="FLOAT")
    soundfile.write(tmp_path / "mono.wav", left, rate, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(tmp_path / "stereo.wav", RATE), read_audio(tmp_path / "mono.wav", RATE))
    assert "stereo.wav: its channels cancel each other when averaged; channel 2 is taken" in caplog.text


@pytest.mark.parametrize("correlation", [-0.8, 0.0, 1.0])
def test_channels_that_do_not_cancel_are_averaged(tmp_path, caplog, correlation):
    one, other = 0.1 * np.random.default_rng(0).standard_normal((2, 2 * RATE))
    channels = np.stack([one, correlation * one + np.sqrt(1 - correlation**2) * other], 1)
    soundfile.write(tmp_path / "a.wav", channels, RATE, subtype="FLOAT")
    expected = np.rint(channels.astype(np.float32).mean(1) * 32768)
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav", RATE), expected)
    assert not caplog.records


def test_of_eight_channels_one_that_plays_alone_is_averaged(tmp_path, caplog):
    channels = np.zeros((2 * RATE, 8))
    channels[:, 5] = np.sin(np.arange(2 * RATE))
    soundfile.write(tmp_path / "a.wav", channels, RATE)
    read_audio(tmp_path / "a.wav", RATE)
    assert not caplog.records


@pytest.mark.parametrize("lengths", [[200_000], [30, 3, 100_000, 1], [70], [5]])
@pytest.mark.parametrize("values", [lambda n: np.linspace(-0.7, 1.5, n), np.zeros, lambda n: np.arange(n) % 7 - 3.0])
def test_the_largest_values_of_all_blocks_are_found(lengths, values):
    music = np.random.default_rng(0).permutation(values(sum(lengths)).astype(np.float32))
    level = Level()
    for block in np.split(music, np.cumsum(lengths)[:-1]):
        level.add(block)
    expected = np.sort(np.concatenate([np.zeros(65), np.abs(music)]))[-65:]
    np.testing.assert_array_equal(np.sort(level.largest), expected.astype(np.float32))


@pytest.mark.parametrize(("level", "spike"), [(0.5, 16.0), (2.0, 60.0), (0.03, 1.0), (0.005, 0.09)])
def test_a_spike_does_not_make_the_music_quieter(tmp_path, level, spike):
    music = level * np.sin(np.arange(2 * RATE))
    soundfile.write(tmp_path / "music.wav", music, RATE, subtype="FLOAT")
    music[1_000:1_003] = spike, -spike, spike
    soundfile.write(tmp_path / "spike.wav", music, RATE, subtype="FLOAT")
    expected, samples = read_audio(tmp_path / "music.wav", RATE), read_audio(tmp_path / "spike.wav", RATE)
    assert set(np.abs(samples[1_000:1_003].astype(int))) <= {32_767, 32_768}
    expected[1_000:1_003] = samples[1_000:1_003]
    np.testing.assert_allclose(samples, expected, atol=2)


def test_a_loud_beat_is_no_spike(tmp_path):
    """5 ms of a drum in quiet music: the samples of the file are returned unchanged."""
    values = np.random.default_rng(0).integers(-300, 300, 2 * RATE).astype(np.int16)
    values[1_000:1_110] *= 100
    soundfile.write(tmp_path / "a.wav", values, RATE)
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav", RATE), values)


def test_a_click_in_silence_is_silence(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.where(np.arange(2 * RATE) == 9, 0.5, 0.0), RATE)
    with pytest.raises(BadAudio, match=r"silent \(peak under 0.0001 but for a few samples\)"):
        read_audio(tmp_path / "a.wav", RATE)


def test_a_slice_that_is_too_short_tells_where_it_began(bad):
    with pytest.raises(BadAudio, match=r"shorter than 1 s \(0.50 s from 1.5 s on\)"):
        read_audio(bad / "whole.wav", RATE, start=1.5, duration=30)


def test_the_extension_does_not_matter(bad):
    expected = read_audio(bad / "whole.wav", RATE)
    for name in ("wrong.mp3", "wrong.flac", "wrong"):
        shutil.copy(bad / "whole.wav", bad / name)
        np.testing.assert_array_equal(read_audio(bad / name, RATE), expected)


def test_an_mp3_with_an_estimated_length_is_not_truncated(bad):
    """Without the first frame, which gives the length of a file of variable bit rate."""
    frames = (bad / "whole.mp3").read_bytes()
    overestimated = 0
    for start in [match.start() for match in re.finditer(re.escape(frames[:2]), frames)][1:6]:
        (bad / "bare.mp3").write_bytes(frames[start:])
        with soundfile.SoundFile(bad / "bare.mp3") as file:
            overestimated += file.frames > len(file.read())
        if soundfile.info(bad / "bare.mp3").frames >= RATE:
            assert len(read_audio(bad / "bare.mp3", RATE)) >= RATE
    assert overestimated


@pytest.mark.slow
def test_a_three_hour_file_is_read_in_bounded_memory(tmp_path):
    """Its 16-bit samples take 476 MB; as floats in stereo at 44.1 kHz they would take 3.8 GB."""
    second = (0.3 * np.sin(np.arange(8_000))).astype(np.float32)
    with soundfile.SoundFile(tmp_path / "long.flac", "w", 8_000, 1) as file:
        for _ in range(3 * 3600 // 60):
            file.write(np.tile(second, 60))
    code = f"assert len(read_audio(Path(sys.argv[1]), {RATE})) == 3 * 3600 * {RATE}"
    imports = "from pathlib import Path; from genre.data.audio import read_audio"
    assert peak_memory(imports, code, tmp_path / "long.flac") < 1.2e9


def mutated(draw, whole):
    """A file with some bytes of its header changed, cut or doubled."""
    content = bytearray(whole)
    for _ in range(draw.randint(1, 8)):
        place = int(draw.random() ** 3 * min(len(content), 400))
        content[place] = draw.choice([0, 1, 127, 128, 255, draw.randrange(256)])
    if draw.random() < 0.2:
        place = draw.randrange(60)
        content[place:place] = content[: draw.randrange(100)]
    return bytes(content[: draw.randrange(len(content))] if draw.random() < 0.2 else content)


def test_no_file_crashes_hangs_or_fills_memory(tmp_path):
    """1,000 mutated headers of ten kinds of file, and 1,000 random byte strings."""
    draw, noise = random.Random(0), np.random.default_rng(0).standard_normal((16_000, 2)) * 0.1
    kinds = {"wav": "PCM_16", "flac": None, "ogg": "VORBIS", "opus": "OPUS", "mp3": None, "au": None, "aiff": None,
             "caf": None, "w64": None, "rf64": None}  # fmt: skip
    wholes = {}
    for kind, subtype in kinds.items():
        container = {"opus": "OGG"}.get(kind, kind.upper())
        soundfile.write(tmp_path / f"a.{kind}", noise, 16_000, format=container, subtype=subtype)
        wholes[kind] = (tmp_path / f"a.{kind}").read_bytes()
    before, slowest, refused = reset_peak_memory(), 0.0, 0
    for number in range(2_000):
        kind = list(kinds)[number % len(kinds)]
        content = mutated(draw, wholes[kind]) if number < 1_000 else draw.randbytes(draw.randrange(5_000))
        path = tmp_path / f"b.{kind}"
        path.write_bytes(content)
        begin = time.monotonic()
        try:
            assert read_audio(path, RATE).dtype == np.int16
        except BadAudio:
            refused += 1
        slowest = max(slowest, time.monotonic() - begin)
    assert slowest < 2
    assert memory("VmHWM") - before < 1e9
    assert refused >= 1_000


def test_a_start_beyond_the_end_is_a_reason(bad):
    with pytest.raises(BadAudio, match=r"starts at 60 s, beyond its end \(2.00 s\)"):
        read_audio(bad / "whole.wav", RATE, start=60)


def test_no_real_excerpt_is_refused(shared):
    lengths = [len(read_audio(path, RATE)) for path in sorted((shared / "gtzan_mini").rglob("*.wav"))]
    assert len(lengths) == 100
    assert min(lengths) > 29 * RATE
