"""The command `prepare.py`: everything that a training computes before its first epoch, by any number of jobs."""

from pathlib import Path

from omegaconf import DictConfig

from genre.config.build import check_buildable, read_training_catalogue, root_device
from genre.config.settings import PrepareSettings, prepare_settings
from genre.data.store import Store
from genre.training.setup import open_data, resolve_precision


def prepare(cfg: DictConfig | PrepareSettings) -> dict[Path, Store]:
    """Build the stores of a training that do not exist yet, a shard at a time beside other jobs, and open them.

    Returns:
        The store of the first stage and those that training and evaluation read, by their folders.

    Raises:
        UserError: if the configuration or the data cannot be used.
    """
    settings = prepare_settings(cfg).base
    check_buildable(settings)
    device = root_device(settings.trainer)
    catalogue = read_training_catalogue(settings)
    settings = settings.replace(trainer__precision=resolve_precision(settings, device))
    data, _ = open_data(settings, catalogue, device)
    return {data.cache / store.key.name: store for store in (data.first, data.train_store, data.eval_store)}
