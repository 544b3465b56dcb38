"""Complete runs from WAVs to results, as a user's first command: decoding, pictures or features, epochs, evaluation."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.log_mel import log_mel_bound
from benchmarks.machine import LIGHTNING, arithmetic_bound, operations, training_operations
from benchmarks.music import TRAINED, music_folder
from benchmarks.start import IMPORT_LIGHTNING, import_bound, importing
from benchmarks.timing import Bound, Measurement, Timing, in_turn, process
from genre.config.build import build_network, read_catalogue
from genre.config.compose import compose
from genre.config.settings import TrainSettings, train_settings
from genre.models.frozen import FrozenBackbone
from genre.training.setup import resolve_precision

ROUNDS = 2
WEIGHTS = Path("../shared/weights/vgg16_features_imagenet_rgb_fp16.safetensors")
RUNS = {
    "document/base": (),
    "vgg16_pooled": (f"model.weights={WEIGHTS if WEIGHTS.exists() else 'random'}",),
}  # experiment -> overrides


def overrides(experiment: str) -> list[str]:
    """The command of a run that trains all its epochs."""
    music = ["data=gtzan", f"data.root={music_folder()}", "stopping.patience=null"]
    return [f"experiment={experiment}", *music, *RUNS[experiment]]


def run(experiment: str) -> Timing:
    """Time a run whose cache is empty."""
    with TemporaryDirectory() as folder:
        own = (f"data.cache={folder}/cache", f"hydra.run.dir={folder}/run", "trainer.enable_progress_bar=false")
        return process("train.py", *overrides(experiment), *own)


def network_operations(settings: TrainSettings, tracks: int) -> float:
    """Operations of all epochs: of a frozen network, its features once, and the head's epochs."""
    network, size, epochs = build_network(settings, 10), settings.spectrogram.build().size, settings.trainer.max_epochs
    assert epochs
    trained, picture = TRAINED * tracks * epochs, torch.rand(1, 1, size, size)
    if not isinstance(network, FrozenBackbone):
        return trained * training_operations(network, 1, size, size)
    pictures = tracks * (settings.view.arguments.get("crops", 1) + TRAINED * network.cached_views)
    features = pictures * operations(lambda: network.embed(picture))
    return features + trained * training_operations(network.head, network.width)


def run_bound(settings: TrainSettings, tracks: int) -> tuple[Bound, str]:
    """Imports, log-mels once and the networks' arithmetic; and the precision."""
    precision = LIGHTNING[resolve_precision(settings, torch.device("cpu"))]
    transform = log_mel_bound(torch.get_num_threads()) * tracks
    arithmetic = arithmetic_bound(network_operations(settings, tracks), precision)
    return import_bound(importing(IMPORT_LIGHTNING), "PyTorch and Lightning") + transform + arithmetic, precision


def measure() -> Iterator[Measurement]:
    """Seconds of a run."""
    for experiment in RUNS:
        (ours,) = in_turn([partial(run, experiment)], ROUNDS)
        with TemporaryDirectory() as folder:
            settings = train_settings(compose(*overrides(experiment), f"data.cache={folder}", f"folder={folder}"))
            tracks = len(read_catalogue(settings.data).tracks)
            bound, precision = run_bound(settings, tracks)
        work = f"`experiment={experiment}` from {tracks} WAVs to results, {settings.trainer.max_epochs} epochs"
        yield Measurement(work, ours, bound=bound, precision=precision)
