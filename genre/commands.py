"""The commands: ``python train.py`` in a checkout and ``genre-train`` in an installation call the same function.

Lightning starts the other processes of ``trainer=ddp`` by repeating the command line, and joblib imports the script
again, so a command must not depend on the name of the file that calls it: ``hydra.job.name`` is set in ``conf/*.yaml``.
"""

import functools
import logging
from collections.abc import Callable

import hydra
from omegaconf import DictConfig

import genre
from genre.cli import command
from genre.config.hydra_files import redact_hydra_files
from genre.paths import CONF
from genre.redaction import RedactedRecord
from genre.sweeping.launching import job_of_a_launcher
from genre.training import claim  # noqa: F401  # registers new_folder, which Hydra's folders need


def hydra_command(config_name: str) -> Callable[[Callable[[DictConfig], float | None]], Callable[[], None]]:
    """Turn a function of a configuration into a command that composes ``conf/CONFIG_NAME.yaml`` and its overrides."""

    def decorate(function: Callable[[DictConfig], float | None]) -> Callable[[], None]:
        @functools.wraps(function)
        def without_secrets(cfg: DictConfig) -> float | None:
            redact_hydra_files()
            logging.setLogRecordFactory(RedactedRecord)  # again: joblib runs this in processes of their own
            return function(cfg)

        main = hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(without_secrets)
        return functools.wraps(function)(functools.partial(command, main, config_name))

    return decorate


@hydra_command("config")
def train_command(cfg: DictConfig) -> float:
    """Train one model, print its run folder, and return the validation metric for Hydra's sweepers."""
    result = genre.train(cfg)
    print(result.folder)
    return float(result.objective)


@hydra_command("prepare")
def prepare_command(cfg: DictConfig) -> None:
    """Compute everything that a training waits for and print the folders of its stores."""
    for folder in genre.prepare(cfg):
        print(folder)


@hydra_command("evaluate")
def evaluate_command(cfg: DictConfig) -> None:
    """Measure the best checkpoint of a run and print the folder of the results."""
    print(genre.evaluate(cfg).folder)


@hydra_command("predict")
def predict_command(cfg: DictConfig) -> None:
    """Predict the genres of music and print the folder of the results."""
    print(genre.predict(cfg).folder)


@hydra_command("explore")
def explore_command(cfg: DictConfig) -> None:
    """Analyse a collection before training on it and print the folder of the results."""
    print(genre.explore(cfg).folder)


@hydra_command("sweep")
def sweep_command(cfg: DictConfig) -> float:
    """Train points of a grid until none is left, print the sweep's folder, and return its best validation metric."""
    with job_of_a_launcher():
        result = genre.sweep(cfg)
    print(result.folder)
    return float(result.objective)


@hydra_command("curve")
def curve_command(cfg: DictConfig) -> None:
    """Measure whether more music would help and print the folder of the results."""
    print(genre.curve(cfg).folder)


@hydra_command("demo")
def demo_command(cfg: DictConfig) -> None:
    """Serve the page on which one hears a song and sees what models say about it, until it is stopped."""
    from genre.demo.serve import serve  # imports PyTorch, for which --help does not wait

    serve(cfg)


@hydra_command("export")
def export_command(cfg: DictConfig) -> None:
    """Write a trained model to one file and print its path."""
    from genre.exporting.export import export  # imports PyTorch; `genre.export` is the module that runs this

    print(export(cfg).path)


def cut_command() -> None:
    """Cut segments of music and write a catalogue of them."""
    from genre.data import cut  # imports numpy and soundfile, which no other command's --help needs

    command(cut.main, None)


def cache_command() -> None:
    """List what lies in the cache, and remove what was not used lately."""
    from genre import cache  # imports PyTorch, which no other command's --help needs

    command(cache.manage_cache, None)
