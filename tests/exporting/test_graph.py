"""The graph that is exported has the outputs of the model that it is made from."""

import pytest
import torch

from genre.exporting.graph import ConvolvedLogMel, WaveformGraph
from genre.transforms.spectrogram import LogMel


def noise(tracks, samples):
    """Quiet tracks with a trend, so that their parts differ: (tracks, samples)."""
    values = torch.randn(tracks, samples, generator=torch.Generator().manual_seed(samples))
    return 0.1 * values * torch.linspace(0.1, 1, samples)


def test_the_graph_equals_the_model_for_every_network_and_length(untrained):
    graph = WaveformGraph(untrained).eval()
    for samples in (9_000, 44_100, 90_001):
        waveform = noise(2, samples)
        with torch.inference_mode():
            outputs = graph(waveform)
        probabilities, distances = untrained.outputs(waveform)
        expected = probabilities if distances is None else (probabilities, distances)
        torch.testing.assert_close(outputs, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("n_fft", [2048, 400])
def test_the_convolution_equals_the_fourier_transform(n_fft):
    log_mel = LogMel(22_050, n_fft, 160, 40, 8000)
    waveform = noise(2, 20_000)
    torch.testing.assert_close(ConvolvedLogMel(log_mel)(waveform), log_mel(waveform), atol=1e-3, rtol=0)


def test_silence_is_the_floor():
    assert (ConvolvedLogMel(LogMel(22_050, 2048, 512, 64, 8000))(torch.zeros(1, 22_050)) == -80).all()
