"""Published networks that hear waveforms, opened by name: what a head needs to know of each, however it is stored."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from genre.errors import UserError
from genre.paths import expanded


class AudioNetwork(nn.Module):
    """A published network that hears waveforms.

    Attributes:
        sample_rate: of what it hears, in Hz.
        seconds: the longest clip that it hears whole.
        widths: of the features of each layer, the input of the first layer included; one for a network that gives its
            result only.
        architecture: plain values from which the network can be built without its published files.
    """

    sample_rate: int
    seconds: float = math.inf
    widths: Sequence[int]
    architecture: dict[str, Any]

    @abstractmethod
    def forward(self, waveform: Tensor) -> list[Tensor]:
        """(batch, samples) in [-1, 1] -> per layer the mean over time, (batch, width); the last is the result."""

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """The layers that can be unfrozen, from the first to the last."""
        return next((list(part) for name, part in self.named_modules() if is_stack(name, part)), [])


def is_stack(name: str, module: nn.Module) -> bool:
    """Return whether a module is the list of a network's blocks, by its name."""
    return isinstance(module, nn.ModuleList) and name.rpartition(".")[2] in ("layers", "layer", "blocks")


def hub_failure(key: str, name: str, error: Exception, remedy: str) -> UserError:
    """The error message for what can be had neither from the disk nor from the Hugging Face hub.

    Args:
        remedy: what to set to what is fetched elsewhere, into FOLDER.
    """
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return UserError(
        f"{key}={name} cannot be opened ({reason[:200]}); without an internet connection, fetch it elsewhere "
        f"(hf download {name} --local-dir FOLDER) and {remedy}"
    )


def local_folder(key: str, name: str) -> Path | None:
    """The folder that a name is the path of; None if it is a name on a hub.

    Raises:
        UserError: if it is written as a path, and there is no such folder.
    """
    path = expanded(name)
    if path.is_dir():
        return path
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise UserError(f"{key}={name} is no folder; give one with config.json and model.safetensors, or a hub's name")
    return None
