"""The log-mel equals librosa's, batched and on the device; the archive's spectrogram equals the archive."""

from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import torch

from genre.data import audio
from genre.transforms.spectrogram import (
    ArchiveSpectrogram,
    DocumentSpectrogram,
    LogMel,
    decibels,
    from_cached,
    to_cached,
    to_power,
)
from genre.transforms.views import Segments, Whole

pytestmark = pytest.mark.usefixtures("compiled_librosa")

DOCUMENT = {"sample_rate": 22_050, "n_fft": 2048, "hop_length": 512, "n_mels": 128, "f_max": 8000.0}
ARCHIVE = DOCUMENT | {"f_max": 11_025.0}


def librosa_log_mel(waveform: np.ndarray) -> np.ndarray:
    power = librosa.feature.melspectrogram(y=waveform, sr=22_050, n_mels=128, fmax=8000)
    return librosa.power_to_db(power, ref=np.max)


def real(path: Path) -> torch.Tensor:
    return torch.from_numpy(audio.read_audio(path, 22_050) / np.float32(32768))


@pytest.fixture
def loud_and_quiet() -> torch.Tensor:
    noise = torch.randn(2, 3 * 22_050, generator=torch.Generator().manual_seed(0))
    return noise * torch.tensor([[0.3], [0.001]])


def test_equals_librosa_clip_by_clip_in_a_batch_of_mixed_loudness(loud_and_quiet):
    for ours, clip in zip(LogMel(**DOCUMENT)(loud_and_quiet), loud_and_quiet, strict=True):
        np.testing.assert_allclose(ours.numpy(), librosa_log_mel(clip.numpy()), atol=0.01)


@pytest.mark.parametrize("f_max", [900.0, 8000.0, 11_025.0])
def test_the_edges_of_the_mel_bands_equal_librosas(f_max):
    edges = LogMel(**DOCUMENT | {"f_max": f_max, "n_mels": 40}).band_edges()
    np.testing.assert_allclose(edges, librosa.mel_frequencies(42, fmax=f_max), rtol=1e-9)


def test_equals_librosa_on_20_real_tracks_in_one_batch_with_a_silent_one_among_them(shared):
    paths = sorted((shared / "gtzan_mini").rglob("*.wav"))[::5]
    gains = torch.logspace(0, -3, len(paths))
    clips = torch.stack([real(path)[: 10 * 22_050] * gain for path, gain in zip(paths, gains, strict=True)])
    clips[7] = 0
    ours = LogMel(**DOCUMENT)(clips)
    assert (ours[7] == -80).all()
    for index in set(range(20)) - {7}:
        np.testing.assert_allclose(ours[index].numpy(), librosa_log_mel(clips[index].numpy()), atol=0.01)


def test_chosen_frames_equal_librosas_relative_to_the_loudest_of_them(loud_and_quiet):
    numbers = torch.tensor([[0, 3, 64, 128, 129], [2, 2, 70, 90, 129]])
    chosen = LogMel(**DOCUMENT)(loud_and_quiet, numbers)
    for ours, clip, columns in zip(chosen, loud_and_quiet, numbers, strict=True):
        power = librosa.feature.melspectrogram(y=clip.numpy(), sr=22_050, n_mels=128, fmax=8000)[:, columns]
        np.testing.assert_allclose(ours.numpy(), librosa.power_to_db(power, ref=np.max), atol=0.01)


def test_silence_is_at_the_floor():
    assert (LogMel(**DOCUMENT)(torch.zeros(1, 22_050)) == -80).all()


def test_a_band_above_nyquist_is_refused_by_name():
    with pytest.raises(ValueError, match="f_max=12000 Hz is above half the sample rate"):
        LogMel(**DOCUMENT | {"f_max": 12_000.0})


def test_autocast_does_not_change_the_log_mel(loud_and_quiet):
    log_mel = LogMel(**DOCUMENT)
    with torch.autocast("cpu", torch.bfloat16):
        inside = log_mel(loud_and_quiet.bfloat16().float())
    torch.testing.assert_close(inside, log_mel(loud_and_quiet.bfloat16().float()))


def test_the_picture_is_within_0_and_1_and_silence_is_zero(loud_and_quiet):
    spectrogram = DocumentSpectrogram(**DOCUMENT)
    clips = torch.cat([loud_and_quiet, torch.zeros(1, 3 * 22_050)])
    log_mel = spectrogram(clips, torch.full((3,), 3 * 22_050), 3.0)
    pictures = spectrogram.picture(log_mel)
    assert pictures.shape == (3, 1, 128, 128)
    assert log_mel.amax((1, 2)).tolist() == [1, 1, 0]
    assert (pictures[2] == 0).all()


def test_the_picture_keeps_its_bands_and_averages_over_time():
    log_mel = torch.arange(128.0)[None, :, None].expand(1, 128, 1292) / 127
    picture = DocumentSpectrogram(**DOCUMENT).picture(log_mel)
    torch.testing.assert_close(picture[0, 0], log_mel[0, :, :128])


def archived(shared: Path) -> tuple[dict[str, np.ndarray], list[Path]]:
    with np.load(shared / "gtzan_logmel_dev.npz") as arrays:
        mels = dict(zip(arrays["track"].tolist(), arrays["mel_u8"], strict=True))
    return mels, [path for path in sorted((shared / "gtzan_mini").rglob("*.wav")) if path.stem in mels]


def test_the_archives_spectrogram_reproduces_the_archive(shared):
    mels, paths = archived(shared)
    spectrogram = ArchiveSpectrogram(**ARCHIVE)
    equal = 0
    for path in paths:
        clip = real(path)[None]
        ours = (spectrogram(clip, torch.tensor([clip.shape[1]]), 30.0)[0] * 255).round().numpy()
        equal += bool((np.abs(ours - mels[path.stem].astype(float)) <= 1).all())
    assert len(paths) == 96
    assert equal >= 94


def test_the_columns_of_a_padded_clip_span_its_own_length(shared):
    _, paths = archived(shared)
    short, long = (real(path) for path in (paths[0], max(paths, key=lambda path: path.stat().st_size)))
    lengths = torch.tensor([len(short), len(long)])
    batch = torch.nn.utils.rnn.pad_sequence([short, long], batch_first=True)
    spectrogram = ArchiveSpectrogram(**ARCHIVE)
    together = spectrogram(batch, lengths, 30.0)
    for clip, ours in zip((short, long), together, strict=True):
        torch.testing.assert_close(
            spectrogram(clip[None], torch.tensor([len(clip)]), 30.0)[0], ours, atol=1 / 255, rtol=0
        )


def test_the_archives_silence_is_all_zeros():
    silence = torch.zeros(1, 30 * 22_050)
    assert (ArchiveSpectrogram(**ARCHIVE)(silence, torch.tensor([30 * 22_050]), 30.0) == 0).all()


@pytest.mark.parametrize(
    ("samples", "begins", "length"),
    [
        (661_500, [0, 221_924, 442_141], 218_851),  # 387 columns: 1292 frames of 512 samples / 387.5 are 1707.1 each
        (664_180, [0, 222_955, 444_194], 219_870),  # over its own 1298 frames
        (60 * 22_050, [0, 552_105, 1_104_209], 219_133),  # 774 columns of 1709.3 samples
        (5 * 22_050, [0, 0, 0], 219_133),
    ],
)
def test_crops_begin_at_columns_and_have_128_of_them(samples, begins, length):
    spans = Segments(9.92, crops=3).spans
    begin, lengths = ArchiveSpectrogram(**ARCHIVE).crops_at_columns(spans, torch.tensor([samples]), 9.92)
    np.testing.assert_allclose(begin[0], begins, atol=1)
    assert lengths.tolist() == [[length] * 3]


def test_a_whole_track_is_taken_as_it_is_within_a_second():
    lengths = torch.tensor([29, 30, 31, 180]) * 22_050
    begin, length = ArchiveSpectrogram(**ARCHIVE).crops_at_columns(Whole(30).spans, lengths, 30.0)
    assert begin[:3].tolist() == [[0]] * 3 and length[:3].tolist() == lengths[:3, None].tolist()
    assert (torch.cat([begin[3], length[3]]) / 22_050).tolist() == pytest.approx([75, 30], abs=0.05)


def test_crops_of_samples_are_nearly_those_of_the_archive(shared):
    """Within the frame, 23 ms, that a column may differ by."""
    mels, paths = archived(shared)
    spectrogram = ArchiveSpectrogram(**ARCHIVE, black_share=0.002, black_below=10_000)
    differences = []
    for path in paths[::6]:
        clip = real(path)
        spans = spectrogram.crops_at_columns(Segments(9.92, crops=3).spans, torch.tensor([len(clip)]), 9.92)
        for (begin, length), column in zip(torch.cat(spans).T.tolist(), (0, 130, 259), strict=True):
            ours = spectrogram(clip[None, begin : begin + length], torch.tensor([length]), 9.92)
            level = torch.from_numpy(mels[path.stem][None, :, column : column + 128] / np.float32(255))
            differences.append((ours - spectrogram.rescaled(decibels(to_power(level)))).abs().mean().item())
    assert np.mean(differences) < 0.015


def crops_of(path: Path) -> torch.Tensor:
    """Three crops of 9.92 s of a file, (3, samples)."""
    samples = real(path)
    return samples.unfold(0, 218_736, (len(samples) - 218_736) // 2)[:3]


@pytest.mark.parametrize(("name", "limit"), [("a.wav", 3e-4), pytest.param("a.mp3", 9e-3, marks=pytest.mark.slow)])
def test_a_shared_black_level_is_that_of_the_same_music_in_other_files(shared, tmp_path, name, limit):
    """At 44.1 kHz, or as MP3 (libsndfile); where the minimum is black, they differ by 0.014 or more."""
    steady, archive = ArchiveSpectrogram(**ARCHIVE, black_share=0.01, black_below=10_000), ArchiveSpectrogram(**ARCHIVE)
    differences: dict[ArchiveSpectrogram, list[float]] = {steady: [], archive: []}
    for path in archived(shared)[1][::12]:
        music = librosa.resample(librosa.load(path, sr=None)[0], orig_sr=22_050, target_sr=44_100, res_type="soxr_hq")
        soundfile.write(tmp_path / name, 0.9 * music / abs(music).max(), 44_100)
        lengths = torch.full((3,), 218_736)
        for spectrogram, found in differences.items():
            there, here = (spectrogram(crops_of(file), lengths, 9.92) for file in (path, tmp_path / name))
            found.append(float((there - here)[:, : steady.counted_bands].abs().mean()))
    assert np.mean(differences[steady]) < limit < np.mean(differences[archive])


def test_black_is_the_level_below_which_the_share_of_the_counted_bands_lies():
    level = -80 * torch.rand(2, 128, 50, generator=torch.Generator().manual_seed(0))
    level[:, 0, 0] = 0
    spectrogram = ArchiveSpectrogram(**ARCHIVE, black_share=0.25, black_below=10_000)
    black = np.quantile(level[:, : spectrogram.counted_bands].flatten(1).numpy(), 0.25, axis=1, method="lower")
    expected = ((level + torch.from_numpy(-black)[:, None, None]) / torch.from_numpy(-black)[:, None, None]).clamp(0, 1)
    torch.testing.assert_close(spectrogram.rescaled(level), expected, atol=1 / 255, rtol=0)
    assert spectrogram.log_mel.band_edges()[spectrogram.counted_bands + 1] <= 10_000


def test_an_archives_levels_do_not_change_when_rescaled():
    levels = torch.arange(256.0).view(1, 16, 16) / 255
    again = ArchiveSpectrogram(**ARCHIVE).rescaled(80 * (levels - 1))
    torch.testing.assert_close(again, levels)


@pytest.mark.parametrize(("dtype", "step"), [(torch.uint8, 1 / 255), (torch.float16, 5e-4)])
def test_a_cached_log_mel_is_restored(dtype, step):
    log_mel = torch.rand(2, 5, 7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(from_cached(to_cached(log_mel, dtype)), log_mel, atol=step / 2 + 1e-6, rtol=0)


def test_the_floor_has_no_power():
    assert to_power(torch.tensor([[[0.0, 0.5, 1.0]]])).flatten().tolist() == pytest.approx([0, 1e-4, 1])
