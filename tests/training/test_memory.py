"""Run after run in one process, as a sweep's worker has it, memory stays where it is."""

import gc

import pytest

import genre
from helpers import memory


@pytest.mark.slow
def test_forty_short_runs_do_not_grow(configured, tmp_path):
    grown = []
    for number in range(40):
        genre.train(configured(f"folder={tmp_path / str(number)}"))
        gc.collect()
        grown.append(memory("RssAnon") / 1e6)
    assert grown[-1] - grown[9] < 30, grown
