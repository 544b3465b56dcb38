"""What is installed beside the program does not slow its start."""

import subprocess
import sys

import pytest


def test_torchmetrics_does_not_import_transformers():
    pytest.importorskip("transformers")
    script = "import genre, sys, torchmetrics; print('transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
