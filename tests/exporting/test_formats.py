"""Every kind of network answers from a file as in the program, for other lengths and batches than were traced."""

import io

import pytest
import torch

from genre.exporting.export import export_metadata
from genre.exporting.formats import FORMATS, to_onnx, to_torch
from genre.exporting.graph import WaveformGraph
from genre.prediction.exported import ExportedModel

SHAPES = [(1, 9_000), (3, 44_100), (1, 50_001), (2, 120_000)]


def noise(tracks, samples):
    """Quiet tracks: (tracks, samples)."""
    return 0.1 * torch.randn(tracks, samples, generator=torch.Generator().manual_seed(samples))


def assert_same_distances(one, other):
    """Both have the same distances, or neither has any."""
    if one.distances is None:
        assert other.distances is None
    else:
        torch.testing.assert_close(one.distances, other.distances, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_onnx_runtime_equals_pytorch_for_every_network(untrained, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(to_onnx(WaveformGraph(untrained).eval(), export_metadata(untrained)))
    exported = ExportedModel(path)
    for shape in SHAPES:
        torch.testing.assert_close(exported(noise(*shape)), untrained(noise(*shape)), atol=1e-5, rtol=0)
        assert_same_distances(exported.outputs(noise(*shape)), untrained.outputs(noise(*shape)))
    track = noise(1, 120_000)[0]
    torch.testing.assert_close(exported.over_time(track), untrained.over_time(track), atol=1e-5, rtol=0)
    assert_same_distances(exported.window_outputs(track[None, :9_000]), untrained.window_outputs(track[None, :9_000]))


@pytest.mark.slow
def test_a_loaded_program_equals_the_model_for_every_network(untrained):
    content = to_torch(WaveformGraph(untrained).eval(), export_metadata(untrained))
    program = torch.export.load(io.BytesIO(content)).module()
    for shape in SHAPES:
        expected = tuple(each for each in untrained.outputs(noise(*shape)) if each is not None)
        outputs = program(noise(*shape))
        torch.testing.assert_close(outputs, expected if len(expected) > 1 else expected[0], atol=1e-5, rtol=1e-4)


def test_each_format_has_a_suffix_of_its_own():
    assert {name: suffix for name, (suffix, _) in FORMATS.items()} == {"onnx": ".onnx", "torch": ".pt2"}
