"""Train one model: python train.py data=synthetic"""

import hydra
from omegaconf import DictConfig

import genre


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> float:
    """Train, print where the results lie, and hand the validation metric to a sweeper."""
    result = genre.train(cfg)
    print(result.folder)
    return float(result.objective)


if __name__ == "__main__":
    genre.command(main)
