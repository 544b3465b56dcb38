"""Look at a collection before training on it: python explore.py data.root=~/music/gtzan"""

import hydra
from omegaconf import DictConfig

import genre


@hydra.main(version_base="1.3", config_path="conf", config_name="explore")
def main(cfg: DictConfig) -> None:
    """Explore, and print where the results lie."""
    result = genre.explore(cfg)
    print(result.folder)


if __name__ == "__main__":
    genre.command(main)
