"""Learning curves over the small music, and runs as their folders would give them, without training."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from omegaconf import DictConfig

import genre
from genre.evaluation.finished_runs import Run, section_of


@pytest.fixture
def folds_of() -> Callable[..., list[Run]]:
    """Make the two folds of a share from track -> (true, predicted); a track's artist is what precedes its number."""

    def runs(share: float, tested: Mapping[str, tuple[str, str]], training: int) -> list[Run]:
        folds = []
        for fold in range(2):
            settings = {
                "split.kind": "artist", "split.seed": 0, "split.hold_out": None, "split.folds": 2, "split.fold": fold,
                "split.train_share": share, "task._target_": "genre.tasks.Multiclass",
            }  # fmt: skip
            own = {track: genres for number, (track, genres) in enumerate(tested.items()) if number % 2 == fold}
            metrics = {"test/accuracy": 0.0, "tracks": {"train": training + 2 * fold}}
            groups = {track: track.split(".")[0] for track in own}
            folder = Path(f"share-{share:g}/fold-{fold}")
            folds.append(Run((folder,), "cnn", 0, settings, metrics, section_of(settings, own), own, groups))
        return folds

    return runs


@pytest.fixture
def configured_curve(tmp_path: Path, music: Path, cache: Path) -> Callable[..., DictConfig]:
    """Compose a learning curve over the small music: three shares, two folds, one epoch."""

    def compose(*overrides: str) -> DictConfig:
        own = ["data=folder", f"data.root={music}", f"data.cache={cache}", f"folder={tmp_path / 'curve'}", "name=test"]
        quick = ["trainer.max_epochs=1", "trainer.precision=32-true", "view.seconds=4", "logger=[]"]
        small = ["model.filters=[4,4,8]", "model.dense_units=8"] if "model=vgg16" not in overrides else []
        shares = ["curve.shares=[0.25,0.5,1]", "curve.folds=2"]
        return genre.compose(*own, *quick, *small, *shares, *overrides, config_name="curve")

    return compose
