"""The example of docs/backbones.md works."""

import re
import sys
from pathlib import Path

import pytest

import genre
from genre.config.settings import train_settings
from genre.sweeping.heads import family_of

PAGE = Path(__file__).parents[1] / "docs" / "backbones.md"
(EXAMPLE,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def mybackbone(tmp_path, monkeypatch):
    """The example as a module in a folder outside the package."""
    (tmp_path / "mybackbone.py").write_text(EXAMPLE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("mybackbone", None)


def test_the_example_has_at_most_20_lines():
    assert len([line for line in EXAMPLE.splitlines() if line.strip()]) <= 20


@pytest.mark.usefixtures("mybackbone")
def test_the_example_trains_a_head_on_kept_features(configured):
    waveforms = ["spectrogram=waveform", "view=segments", "view.seconds=2", "augment=none"]
    cfg = configured("model._target_=mybackbone.Peaks", *waveforms, network="own")
    assert family_of(train_settings(cfg)) is not None
    run = genre.train(cfg)
    assert run.metrics["test/accuracy"] >= 0
    assert genre.load(run.folder, trust=["mybackbone"]).sample_rate == 16_000
