"""Run after run in one process, as a sweep's worker has it, memory stays where it is."""

import gc
from pathlib import Path

import pytest

import genre


def anonymous_memory():
    """Memory of this process that is not a file's, in MB."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")) / 1000


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux")
def test_forty_short_runs_do_not_grow(configured, tmp_path):
    grown = []
    for number in range(40):
        genre.train(configured(f"folder={tmp_path / str(number)}"))
        gc.collect()
        grown.append(anonymous_memory())
    assert grown[-1] - grown[9] < 30, grown
