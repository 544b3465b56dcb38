"""--help shows every key of the chosen options with its comment, without loading PyTorch."""

import subprocess
import sys
from pathlib import Path

import pytest

from genre.config.help import help_text

ROOT = Path(__file__).parents[2]


def test_keys_are_shown_with_their_comments():
    text = help_text("config", [])
    assert "batch_size: 32             # tracks (the paper)" in text
    assert "  lr: 1e-3                   # learning rate (the paper)" in text
    assert "defaults" not in text and "@package" not in text


def test_the_keys_are_those_of_the_chosen_option():
    assert "cached_views" in help_text("config", ["model=vgg16"])
    assert "cached_views" not in help_text("config", [])


def test_every_group_is_listed_with_its_options():
    text = help_text("config", [])
    assert "  model: cnn, crnn, ensemble, musicnn, resnet, vgg16" in text
    assert "  experiment: best, cnn, document/base, document/grid" in text


@pytest.mark.parametrize(
    ("config_name", "present", "absent"),
    [
        ("predict", "input: null", "batch_size"),
        ("evaluate", "subset: null", "optimizer"),
        ("sweep", "lease: 60", "run:"),
        ("curve", "folds: 5", "grid:"),
        ("prepare", "shard: 0", "run:"),
    ],
)
def test_a_command_lists_only_what_it_reads(config_name, present, absent):
    text = help_text(config_name, [])
    assert present in text and absent not in text


def test_help_does_not_load_pytorch():
    code = (
        "import sys; sys.argv = ['train.py', '--help']; import train; train.train_command(); "
        "print('torch' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert shown.strip().endswith("False") and "batch_size" in shown
