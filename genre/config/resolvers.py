"""Resolvers of the configuration: ``${choice:model}`` and ``${run_name:${run},${runs}}``."""

from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf


def choice(group: str, *, _root_: DictConfig) -> Any:
    """The option chosen of a group: ``${choice:model}`` -> 'cnn'.

    As ``${hydra:runtime.choices.model}``, but also where a multirun's folder is made, before Hydra has a configuration.
    """
    hydra = _root_.get("hydra") or HydraConfig.get()
    return hydra.runtime.choices[group]


def run_name(run: str | None, runs: str | None = None) -> str:
    """The name of a run, for the folder of its evaluation or predictions: outputs/train/NAME/time -> NAME.

    Many runs are 'runs', the model that comes with the program is 'pretrained'.
    """
    if run:
        return Path(run).absolute().parent.name.replace("=", "-") or "run"
    return "runs" if runs else "pretrained"


OmegaConf.register_new_resolver("choice", choice, replace=True)
OmegaConf.register_new_resolver("run_name", run_name, replace=True)
