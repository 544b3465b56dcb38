"""What published networks cost per track on one thread, with random weights: python -m benchmarks.backbones

The networks have their full size. The time is the processor's, so that other programs disturb it little. Tracks are of
30 s, heard as three clips of 10 s, without decoding.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from genre.extras import import_extra
from genre.models.audio import AudioBackbone
from genre.models.image import ImageBackbone
from genre.models.musicnn import MusiCNN
from genre.models.vgg16 import VGG16

SECONDS, CLIPS, ROUNDS, GENRES = 10.0, 3, 3, 10


def audio(config: str, extractor: str, **values: Any) -> AudioBackbone:
    """A network of transformers with the default, published size of its configuration."""
    transformers = import_extra("transformers", "hub", "networks by name")
    about = getattr(transformers, extractor)(**values).to_dict()
    plain = {key: value for key, value in about.items() if isinstance(value, str | int | float | bool | None)}
    own: dict[str, Any] = getattr(transformers, config)().to_dict()
    architecture = {"kind": "transformers", "config": own, "extractor": plain}
    return AudioBackbone(GENRES, config, int(about["sampling_rate"]), SECONDS, architecture=architecture)


def image(name: str, size: int) -> ImageBackbone:
    """A network of timm."""
    return ImageBackbone(GENRES, size, name, architecture={"kind": "timm"})


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "musicnn": partial(MusiCNN, GENRES, 128, SECONDS, stride=2),
    "VGG16, pooled, 128 pixels": partial(VGG16, GENRES, 128, "random", features="pooled"),
    "ResNet-50 of timm, 128 pixels": partial(image, "resnet50", 128),
    "CLAP, HTS-AT": partial(audio, "ClapAudioConfig", "ClapFeatureExtractor", truncation="rand_trunc"),
    "wav2vec 2.0 base": partial(audio, "Wav2Vec2Config", "Wav2Vec2FeatureExtractor"),
    "HuBERT base": partial(audio, "HubertConfig", "Wav2Vec2FeatureExtractor"),
    "data2vec-audio base": partial(audio, "Data2VecAudioConfig", "Wav2Vec2FeatureExtractor"),
    "AST base": partial(audio, "ASTConfig", "ASTFeatureExtractor"),
}


def clips_of(network: nn.Module) -> torch.Tensor:
    """Noise as a network's input of one track."""
    if isinstance(network, AudioBackbone):
        return 0.1 * torch.randn(CLIPS, 1, round(SECONDS * network.backbone.sample_rate))
    return torch.rand(CLIPS, 1, 128, 128).contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def seconds_per_track(network: nn.Module) -> float:
    """The processor's seconds for the features of a track, the median of some rounds."""
    clips, times = clips_of(network), []
    for _ in range(1 + ROUNDS):
        begin = time.process_time()
        network.eval()(clips)
        times.append(time.process_time() - begin)
    return statistics.median(times[1:])


def megabytes(network: nn.Module) -> float:
    """The size of a run's best checkpoint."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "network.ckpt")
        torch.save(network.state_dict(), path)
        return path.stat().st_size / 1e6


def main() -> None:
    """Measure all networks, and print a table."""
    torch.set_num_threads(1)
    table = Table("network", "features", "parameters (million)", "checkpoint (MB)", "seconds per track")
    for name, build in NETWORKS.items():
        network: Any = build()
        parameters = sum(value.numel() for value in network.parameters()) / 1e6
        cost = f"{seconds_per_track(network):.2f}"
        table.add_row(name, str(network.width), f"{parameters:.1f}", f"{megabytes(network):.0f}", cost)
        print(f"{name}: {cost} s", flush=True)
    Console().print(table)


if __name__ == "__main__":
    main()
