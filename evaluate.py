"""Measure a run's best checkpoint: python evaluate.py run=outputs/train/cnn-multiclass/2026-11-22_09-00-00"""

import hydra
from omegaconf import DictConfig

import genre


@hydra.main(version_base="1.3", config_path="conf", config_name="evaluate")
def main(cfg: DictConfig) -> None:
    """Evaluate, and print where the results lie."""
    result = genre.evaluate(cfg)
    print(result.folder)


if __name__ == "__main__":
    genre.command(main)
