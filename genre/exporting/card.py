"""The model card beside an exported file: what goes in and comes out, data, recipe, figures, licence."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from genre.config.records import as_yaml
from genre.models.audio import AudioBackbone
from genre.models.checkpoint import Checkpoint
from genre.models.image import ImageBackbone
from genre.models.musicnn import MusiCNN
from genre.models.pretrained import portable, pretrained_classifier
from genre.models.vgg16 import VGG16
from genre.prediction.exported import ExportMetadata

LINK = re.compile(r"\[([^]]+)\]\([^)]+\)")
LICENCES: dict[type[nn.Module], str] = {  # of weights inside the file that the run did not train
    MusiCNN: "musicnn's weights: ISC (Pons and Serra 2019)",
    AudioBackbone: "a published network (model.name of the recipe), whose publisher states its licence",
    ImageBackbone: "a published network (model.name of the recipe), whose publisher states its licence",
    VGG16: "VGG16's weights: CC BY 4.0 (Visual Geometry Group, University of Oxford), or BSD 3-Clause (torchvision)",
}


def model_card(path: Path, metadata: ExportMetadata, network: nn.Module, saved: Checkpoint) -> str:
    """The card of an exported file, in Markdown."""
    parts = [f"# {path.name}", use_table(metadata, network)]
    if saved.path == pretrained_classifier():
        own_card = saved.path.with_suffix(".md").read_text(encoding="utf-8").strip()
        parts += [LINK.sub(r"\1", own_card.replace("# ", "## ", 1))]
    else:
        parts += [*figures(saved.folder), "## Licence", licence(network), "## Recipe", recipe(saved.record)]
    return "\n\n".join(parts) + "\n"


def use_table(metadata: ExportMetadata, network: nn.Module) -> str:
    """What goes in and what comes out, as a table."""
    windows = "one window" if len(metadata.positions) == 1 else f"{len(metadata.positions)} evenly spaced windows"
    rows = {
        "input": f"`waveform`, float32 (batch, samples), mono, in [-1, 1], {metadata.sample_rate} Hz, any length",
        "output": "`probabilities`, float32 (batch, genres), of " + ", ".join(metadata.genres),
        **distances_row(metadata),
        "reads": f"{windows} of {metadata.window_seconds:g} s of each track",
        "predicts": decision(metadata),
        "uncertain": uncertainty(metadata),
        "network": f"{type(network).__name__}, {sum(p.numel() for p in network.parameters()):,} parameters",
        "written by": f"{metadata.program}, format {metadata.format_version}",
    }
    if metadata.columns:
        rows["leaves out"] = f"the run's metadata ({', '.join(metadata.columns)}); the file knows the music alone"
    if metadata.synthetic:
        rows["not for"] = "real music: the model learnt from synthetic music"
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows.items())])


def decision(metadata: ExportMetadata) -> str:
    """How genres follow from probabilities, in words."""
    if metadata.thresholds is None:
        return "the most probable genre"
    limits = zip(metadata.genres, metadata.thresholds, strict=True)
    return "each genre above its threshold: " + ", ".join(f"{genre} {value:.3g}" for genre, value in limits)


def distances_row(metadata: ExportMetadata) -> dict[str, str]:
    """A row about the second output, if there is one."""
    if metadata.uncertain_beyond is None:
        return {}
    return {"second output": "`distances`, float32 (batch,), from the training tracks"}


def uncertainty(metadata: ExportMetadata) -> str:
    """When a prediction is uncertain, in words."""
    if metadata.uncertain_below is None:
        return "unknown"
    beyond = metadata.uncertain_beyond
    far = "" if beyond is None else f", or the distance above {beyond:.3g}"
    return f"if the highest probability is below {metadata.uncertain_below:.3g}{far}"


def licence(network: nn.Module) -> str:
    """What is known of the licences of the weights."""
    foreign = [text for kind, text in LICENCES.items() if any(isinstance(part, kind) for part in network.modules())]
    own = "The weights were trained by the maker of this file, who decides on their licence and answers for the music."
    return " ".join([own, *(f"The file contains {text}." for text in foreign)])


def recipe(record: Mapping[str, Any]) -> str:
    """The run's configuration, without paths of the machine that trained."""
    return f"```yaml\n{as_yaml(portable(record)).strip()}\n```"


def figures(folder: Path | None) -> Iterator[str]:
    """A section with the figures of a run on its test tracks; nothing where there are none."""
    path = folder / "metrics.json" if folder else None
    if path is None or not path.is_file():
        return
    metrics = json.loads(path.read_text(encoding="utf-8"))
    rows = [metric_row(name, metrics) for name in metrics if name.startswith("test/") and not name.endswith("_ci95")]
    if rows:
        counts = ", ".join(f"{subset} {count}" for subset, count in metrics["tracks"].items())
        yield "## Figures"
        yield f"Tracks: {counts}; split {metrics['split']}, `split.seed={metrics['split_seed']}`."
        yield "\n".join(["| test tracks | | 95 % interval |", "|---|---:|---:|", *rows])


def metric_row(name: str, metrics: Mapping[str, Any]) -> str:
    """A row of the table of figures."""
    value, interval = metrics[name], metrics.get(f"{name}_ci95")
    between = f"{interval[0]:.3f} to {interval[1]:.3f}" if interval and None not in interval else ""
    return f"| {name.removeprefix('test/')} | {'' if value is None else f'{value:.3f}'} | {between} |"
