"""Functions that several test files import."""

import csv
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import nn

from genre.config.build import build_data, build_network, read_catalogue
from genre.config.settings import train_settings
from genre.data.datamodule import MusicData


def csv_rows(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    """The rows of a CSV file by the names of its columns."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def csv_rows_by_key(path: Path, key: str = "track") -> dict[str, dict[str, str]]:
    """The rows of a CSV file by the values of one of its columns."""
    return {row[key]: row for row in csv_rows(path)}


def opened_data(cfg: DictConfig, network: nn.Module | None = None) -> MusicData:
    """Open the data module of a run on the CPU; the features of a frozen network, by default the run's, are cached."""
    settings = train_settings(cfg)
    catalogue = read_catalogue(settings.data)
    data = build_data(settings, catalogue, settings.split, torch.device("cpu"))
    data.assign_subsets()
    data.backbone = network or build_network(settings, len(data.genres))
    data.setup()
    return data
