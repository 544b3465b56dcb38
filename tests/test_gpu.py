"""What holds on a GPU: the CPU's values, nothing but row numbers copied inside an epoch, the same accuracy."""

import json

import numpy as np
import pytest
import torch
from lightning import Callback

import genre
from genre.sweeping.grid import apply_point
from genre.sweeping.heads import train_family
from genre.sweeping.trial import TrialData, train_point
from genre.training import trainer
from genre.transforms.spectrogram import ArchiveSpectrogram, DocumentSpectrogram

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]
DOCUMENT = {"sample_rate": 22_050, "n_fft": 2048, "hop_length": 512, "n_mels": 128}


@pytest.mark.parametrize("half", [None, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", [DocumentSpectrogram, ArchiveSpectrogram])
def test_the_front_end_is_the_cpus_whatever_the_precision(kind, half):
    loudness = torch.tensor([[0.3], [0.001], [0.0]])
    waveform = torch.randn(3, 30 * 22_050, generator=torch.Generator().manual_seed(0)) * loudness
    front = kind(**DOCUMENT, f_max=8000.0 if kind is DocumentSpectrogram else 11_025.0)
    lengths = torch.full((3,), waveform.shape[1])
    expected = front(waveform, lengths, 30.0)
    with torch.autocast("cuda", half or torch.float32, enabled=half is not None):
        log_mel = front.to("cuda")(waveform.cuda(), lengths, 30.0)
    assert log_mel.dtype == torch.float32
    np.testing.assert_allclose(80 * log_mel.cpu().numpy(), 80 * expected.numpy(), atol=0.01)


class Profiled(Callback):
    """Records what is copied to the GPU in the second epoch."""

    def __init__(self, path):
        self.path = path

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            self.profile = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA])
            self.profile.start()

    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            self.profile.stop()
            self.profile.export_chrome_trace(str(self.path))


def test_no_music_is_copied_to_the_gpu_inside_an_epoch(configured, monkeypatch, tmp_path):
    usual, trace = trainer.build_callbacks, tmp_path / "trace.json"
    monkeypatch.setattr(trainer, "build_callbacks", lambda *given: [*usual(*given), Profiled(trace)])
    genre.train(configured("trainer.accelerator=gpu", "trainer.max_epochs=2", "batch_size=8"))
    events = json.loads(trace.read_text())["traceEvents"]
    copied = [
        event["args"]["bytes"] for event in events if event.get("cat") == "gpu_memcpy" and "HtoD" in event["name"]
    ]
    assert copied and max(copied) < 4096 < 128 * 128 * 4  # a batch's row numbers and targets, never a picture


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
@pytest.mark.parametrize("augment", ["none", "strong"])
def test_training_ends_where_it_does_on_a_cpu(configured, tmp_path, precision, augment):
    ended = [
        genre.train(
            configured(
                f"trainer.accelerator={kind}", f"folder={tmp_path / kind}", "trainer.max_epochs=15", "batch_size=8",
                f"augment={augment}", "optimizer.lr=0.003",
                f"trainer.precision={precision if kind == 'gpu' else '32-true'}",
            )
        ).metrics["train/accuracy"]
        for kind in ("cpu", "gpu")
    ]  # fmt: skip
    assert ended[1] == pytest.approx(ended[0], abs=0.1)


def test_a_checkpoint_of_the_gpu_predicts_the_same_on_the_cpu(configured, music, tmp_path):
    run = genre.train(configured("trainer.accelerator=gpu"))
    model = genre.load(run.folder)
    waveform = torch.randn(1, 4 * 22_050, generator=torch.Generator().manual_seed(0)) * 0.1
    expected = model(waveform)
    np.testing.assert_allclose(model.to("cuda")(waveform.cuda()).cpu(), expected, atol=1e-4)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_heads_that_train_in_one_pass_end_as_each_does_alone(configured, precision):
    frozen = ("model=vgg16", "model.weights=random", "augment=none", "batch_size=8", "trainer.max_epochs=4")
    cfg = configured(*frozen, "trainer.accelerator=gpu", f"trainer.precision={precision}", network="vgg16")
    points = [{"optimizer.lr": 3e-4}, {"model.dense_units": 8}, {"model.dropout": 0.0, "optimizer.lr": 1e-4}]
    together = train_family([apply_point(cfg, point) for point in points], TrialData())
    for point, one in zip(points, together, strict=True):
        alone = train_point(apply_point(cfg, point), TrialData())
        assert one.epochs == alone.epochs
        assert one.metrics["train/loss"] == pytest.approx(alone.metrics["train/loss"], rel=0.02)
