"""The files in which Hydra keeps the configuration of a command, which may hold passwords and tokens."""

from collections.abc import Iterator
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from genre.files import write_text
from genre.redaction import redacted


def redact_hydra_files() -> None:
    """Mask the secrets in what Hydra has written for this job, its command line included."""
    for path in hydra_files():
        values = OmegaConf.to_container(OmegaConf.load(path))
        if (masked := redacted(values)) != values:
            write_text(path, OmegaConf.to_yaml(OmegaConf.create(masked)))


def hydra_files() -> Iterator[Path]:
    """The files that Hydra has written for this job, and for all jobs of its multirun."""
    cfg = HydraConfig.get()
    if cfg.output_subdir is not None:
        yield from sorted((Path(cfg.runtime.output_dir) / cfg.output_subdir).glob("*.yaml"))
    if cfg.mode != RunMode.MULTIRUN:
        return  # sweep.dir, whose value creates a folder, is not read
    path = Path(cfg.sweep.dir) / "multirun.yaml"
    if path.is_file():
        yield path
