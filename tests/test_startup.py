"""What is installed beside the program does not slow its start."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile


def test_torchmetrics_does_not_import_transformers():
    pytest.importorskip("transformers")
    script = "import genre, sys, torchmetrics; print('transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


PREDICTED = """
import sys
import genre
genre.predict(genre.compose("input={input}", "folder={folder}", "accelerator=cpu", config_name="predict"))
print({{"lightning", "torchmetrics", "torchvision", "torch._dynamo", "librosa", "matplotlib"}} & set(sys.modules))
"""


def test_predictions_import_neither_lightning_and_what_it_imports_nor_matplotlib(tmp_path):
    noise = np.random.default_rng(0).standard_normal(5 * 22_050)
    soundfile.write(tmp_path / "noise.wav", 0.1 * noise, 22_050)
    script = PREDICTED.format(input=tmp_path / "noise.wav", folder=tmp_path / "out")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


ADVICE = """
{first}
import re
import torch
tensor = torch.ones(64 << 20)
address = tensor.data_ptr()
for line in open("/proc/self/smaps"):
    if span := re.match("([0-9a-f]+)-([0-9a-f]+) ", line):
        inside = int(span[1], 16) <= address < int(span[2], 16)
    elif inside and line.startswith("VmFlags:"):
        print("hg" in line.split())
"""
LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.skipif(
    not LARGE_PAGES.exists() or "[madvise]" not in LARGE_PAGES.read_text(),
    reason="the system gives no large pages on demand",
)
def test_large_pages_are_asked_for_a_large_tensor():
    unset = {name: value for name, value in os.environ.items() if name != "THP_MEM_ALLOC_ENABLE"}
    scripts = [ADVICE.format(first=first) for first in ("", "import genre")]
    runs = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=unset)
        for script in scripts
    ]
    # Whether the system has any left is not ours to say, so "hg" of proc(5) is asked for: advised to be large.
    assert [run.stdout.strip() for run in runs] == ["False", "True"]
