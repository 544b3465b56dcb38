"""Runs, sweeps and what is made from them have names, whoever asks and when."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import genre
from genre.config.resolvers import run_name

ROOT = Path(__file__).parents[2]


def test_a_run_is_called_after_its_folder():
    assert run_name("outputs/train/cnn-multiclass/2026-11-22_09-00-00") == "cnn-multiclass"


@pytest.mark.parametrize(
    ("overrides", "config_name", "name"),
    [
        (["data=synthetic"], "config", "cnn-multiclass"),
        (["model=resnet", "task=multilabel"], "config", "resnet-multilabel"),
        (["experiment=document/base"], "config", "document-base"),
        (["name=mine"], "config", "mine"),
        (["grid=small"], "sweep", "small"),
        (["model=resnet"], "curve", "resnet-multiclass"),
        (["data=synthetic"], "prepare", "synthetic"),
    ],
)
def test_a_configuration_composed_from_python_has_the_name_that_the_command_would_give(overrides, config_name, name):
    cfg = genre.compose(*overrides, config_name=config_name)
    assert cfg.name == name and "hydra" not in cfg


@pytest.mark.parametrize(
    ("command", "folder"),
    [
        (["train.py", "seed=0,1"], "train/cnn-multiclass/*"),
        (["sweep.py", "grid=small", "worker=0,1"], "sweep/small"),
        (["curve.py", "seed=0,1"], "curve/cnn-multiclass/*"),
        (["prepare.py", "shard=0,1"], "prepare/folder"),
    ],
)
@pytest.mark.slow
def test_a_multirun_finds_its_folder(tmp_path, command, folder):
    """Up to its first job, which has no music."""
    script, *overrides = command
    done = subprocess.run(
        [sys.executable, ROOT / script, "-m", "data=folder", "data.root=nowhere", *overrides],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1 and "data.root=nowhere" in done.stderr
    assert len(list(tmp_path.glob(f"outputs/{folder}/multirun.yaml"))) == 1
