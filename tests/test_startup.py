"""What is installed beside the program does not slow its start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def test_torchmetrics_does_not_import_transformers():
    pytest.importorskip("transformers")
    script = "import genre, sys, torchmetrics; print('transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


FAULTS = """
import resource
{first}
import torch
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.ones(64 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.skipif(
    not LARGE_PAGES.exists() or "[madvise]" not in LARGE_PAGES.read_text(),
    reason="the system gives no large pages on demand",
)
def test_a_large_tensor_lies_in_large_pages():
    unset = {name: value for name, value in os.environ.items() if name != "THP_MEM_ALLOC_ENABLE"}
    scripts = (FAULTS.format(first=first) for first in ("", "import genre"))
    small, large = (
        int(
            subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=unset).stdout
        )
        for script in scripts
    )
    assert small > 60_000 and large < small / 10  # 256 MB are 65,536 pages of 4 KB
