"""What networks of transformers are given is what their own feature extractors would give them."""

import numpy as np
import pytest
import torch
from torch import nn

from genre.transforms.extractors import EXTRACTORS

transformers = pytest.importorskip("transformers")


def music(rate: int, seconds: float, quiet: float = 1.0) -> torch.Tensor:
    """Two clips with a chord and noise, (2, samples)."""
    time = torch.arange(round(rate * seconds)) / rate
    noise = torch.randn(2, len(time), generator=torch.Generator().manual_seed(0))
    return quiet * (0.3 * torch.sin(2 * torch.pi * torch.tensor([[220.0], [880.0]]) * time) + 0.05 * noise + 0.01)


def of_peer(extractor, clips: torch.Tensor, key: str) -> torch.Tensor:
    given = extractor([clip.numpy() for clip in clips], sampling_rate=extractor.sampling_rate, return_tensors="pt")
    return given[key].float()


def ours(extractor) -> nn.Module:
    values = extractor.to_dict()
    return EXTRACTORS[values["feature_extractor_type"]](values)


@pytest.mark.parametrize("seconds", [10.0, 3.0, 0.5])
@pytest.mark.parametrize("values", [{}, {"mean": 0.1, "std": 2.0, "num_mel_bins": 64, "max_length": 300}])
def test_the_input_of_ast_equals_its_extractors(seconds, values):
    extractor, clips = transformers.ASTFeatureExtractor(**values), music(16_000, seconds)
    given = ours(extractor)(clips)["input_values"]
    torch.testing.assert_close(given, of_peer(extractor, clips, "input_values"), atol=1e-4, rtol=0)


@pytest.mark.parametrize("seconds", [10.0, 4.2])
@pytest.mark.parametrize("truncation", ["rand_trunc", "fusion"])
@pytest.mark.parametrize("padding", ["repeatpad", "repeat", "pad"])
def test_the_input_of_clap_equals_its_extractors(seconds, truncation, padding):
    extractor = transformers.ClapFeatureExtractor(truncation=truncation, padding=padding)
    clips = music(48_000, seconds)
    given = ours(extractor)(clips)["input_features"]
    torch.testing.assert_close(given, of_peer(extractor, clips, "input_features"), atol=1e-4, rtol=0)


@pytest.mark.parametrize("normalized", [True, False])
def test_the_input_of_hubert_and_wav2vec2_equals_their_extractors(normalized):
    extractor, clips = transformers.Wav2Vec2FeatureExtractor(do_normalize=normalized), music(16_000, 3.0, quiet=0.01)
    given = ours(extractor)(clips)["input_values"]
    torch.testing.assert_close(given, of_peer(extractor, clips, "input_values"), atol=1e-4, rtol=0)


@pytest.mark.parametrize("extractor", [transformers.ASTFeatureExtractor(), transformers.ClapFeatureExtractor()])
def test_the_convolution_of_exported_files_gives_the_same_input(extractor, monkeypatch):
    clips, module = music(extractor.sampling_rate, 5.0), ours(extractor)
    (live, *_) = module(clips).values()
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    (exported, *_) = module(clips).values()
    assert float((live - exported).abs().max()) < 1e-3 and float((live - exported).abs().mean()) < 1e-5


def test_the_longest_clip_that_a_network_hears_whole_is_known():
    assert ours(transformers.ASTFeatureExtractor()).seconds == pytest.approx(10.255)
    assert ours(transformers.ClapFeatureExtractor()).seconds == 10
    assert np.isinf(ours(transformers.Wav2Vec2FeatureExtractor()).seconds)
