"""Try every combination of a grid once: python sweep.py grid=small data=synthetic"""

import hydra
from omegaconf import DictConfig

import genre


@hydra.main(version_base="1.3", config_path="conf", config_name="sweep")
def main(cfg: DictConfig) -> float:
    """Work until no point is left, and print where the results lie."""
    result = genre.sweep(cfg)
    print(result.folder)
    return float(result.objective)


if __name__ == "__main__":
    genre.command(main)
