"""Name the genres of music: python predict.py run=outputs/train/cnn-multiclass/2026-11-22_09-00-00 input=~/music"""

import hydra
from omegaconf import DictConfig

import genre


@hydra.main(version_base="1.3", config_path="conf", config_name="predict")
def main(cfg: DictConfig) -> None:
    """Predict, and print where the results lie."""
    result = genre.predict(cfg)
    print(result.folder)


if __name__ == "__main__":
    genre.command(main)
