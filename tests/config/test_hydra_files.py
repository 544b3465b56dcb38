"""Masking what Hydra has written looks at the folder of this job alone."""

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from genre.config.hydra_files import hydra_files
from genre.training import claim


def test_the_folder_of_a_multirun_is_not_created_for_a_single_run(tmp_path, monkeypatch):
    assert OmegaConf.has_resolver(claim.new_folder.__name__)
    jobs = f"${{new_folder:{tmp_path / 'jobs'}}}"
    cfg = OmegaConf.create({"mode": RunMode.RUN, "output_subdir": None, "sweep": {"dir": jobs}})
    monkeypatch.setattr(HydraConfig, "get", lambda: cfg)
    assert list(hydra_files()) == [] and list(tmp_path.iterdir()) == []
