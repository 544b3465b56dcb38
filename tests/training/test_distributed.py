"""Several processes train one model as one process would."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import genre
from genre.errors import UserError

ROOT = Path(__file__).parents[2]


def table(path):
    return np.genfromtxt(path, delimiter=",", names=True)


@pytest.mark.slow
def test_two_processes_give_the_history_and_the_metrics_of_one(music, cache, tmp_path):
    """21 tracks in batches of 8 leave 5 for the last, which the two divide into 3 and 2."""
    odd = tmp_path / "it's (Live), 1975 & more=é [x]"  # Lightning repeats the command line to the second process
    odd.symlink_to(music)

    def trained(name, *overrides):
        command = [
            sys.executable, ROOT / "train.py", "data=folder", f"data.root={odd}", f"data.cache={cache}",
            f"hydra.run.dir={tmp_path / name}", "view.seconds=4", "augment=none", "model.dropout=0", "batch_size=8",
            "model.filters=[4,4,8]", "trainer.max_epochs=3", "trainer.accelerator=cpu", "trainer.precision=32-true",
            *overrides,
        ]  # fmt: skip
        run = subprocess.run(command, cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True)
        assert run.returncode == 0, run.stderr.decode()
        assert run.stdout.decode().splitlines()[-1] == str(tmp_path / name)

    trained("one")
    trained("two", "trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu")
    for name in table(tmp_path / "one" / "history.csv").dtype.names:
        one, two = (table(tmp_path / run / "history.csv")[name] for run in ("one", "two"))
        np.testing.assert_allclose(two, one, rtol=1e-4, err_msg=name)
    one, two = (
        np.genfromtxt(tmp_path / run / "predictions.csv", delimiter=",", skip_header=1) for run in ("one", "two")
    )
    np.testing.assert_allclose(two[:, 3:], one[:, 3:], atol=1e-4)


def test_each_process_names_its_precision(configured):
    with pytest.raises(UserError, match="name a precision for a run on several"):
        genre.train(configured("trainer=ddp", "trainer.precision=auto"))
