"""genre: learns the genre, or the several genres, of music from mel spectrograms.

From Python: ``genre.train(genre.compose("data=synthetic", "folder=outputs/mine"))`` and ``genre.load(RUN)``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from genre import startup

if TYPE_CHECKING:
    from genre.cli import command
    from genre.config.compose import compose
    from genre.curves.curve import curve
    from genre.errors import UserError
    from genre.evaluation.evaluate import evaluate
    from genre.exploration.explore import explore
    from genre.prediction.loading import load
    from genre.prediction.predict import predict
    from genre.prediction.prediction import Prediction
    from genre.sweeping.worker import sweep
    from genre.training.prepare import prepare
    from genre.training.train import train

__version__ = "0.1.0"

# Imported when first used: `--help` and errors in the configuration should not wait for PyTorch.
_HOMES = {
    "command": "cli",
    "compose": "config.compose",
    "curve": "curves.curve",
    "evaluate": "evaluation.evaluate",
    "explore": "exploration.explore",
    "load": "prediction.loading",
    "predict": "prediction.predict",
    "Prediction": "prediction.prediction",
    "prepare": "training.prepare",
    "sweep": "sweeping.worker",
    "train": "training.train",
    "UserError": "errors",
}
__all__ = [
    "Prediction",
    "UserError",
    "command",
    "compose",
    "curve",
    "evaluate",
    "explore",
    "load",
    "predict",
    "prepare",
    "sweep",
    "train",
]

startup.install()


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'genre' has no attribute '{name}'")
    return getattr(import_module(f"genre.{_HOMES[name]}"), name)
