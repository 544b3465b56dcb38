"""An interrupted command says how to go on, ends with the exit code of its signal, and goes on by itself."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from helpers import csv_rows

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.fixture
def started(music, cache, tmp_path):
    """Start train.py on the small music; it writes what it prints into a log. What still runs at the end is killed."""
    processes = []

    def start(*overrides, log="log"):
        command = [
            sys.executable, ROOT / "train.py", "data=folder", f"data.root={music}", f"data.cache={cache}",
            "view.seconds=4", "model.filters=[4,4,8]", "model.dense_units=8", "trainer.max_epochs=100000",
            "trainer.accelerator=cpu", "trainer.precision=32-true", "stopping.patience=null", *overrides,
        ]  # fmt: skip
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        with (tmp_path / log).open("wb") as file:
            streams = {"stdout": file, "stderr": file, "start_new_session": True}
            processes.append(subprocess.Popen(command, cwd=tmp_path, env=environment, **streams))
        return processes[-1]

    yield start
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def wait_for_epoch(log, epoch):
    while f"epoch {epoch}:" not in log.read_text():
        time.sleep(0.05)


def runs(tmp_path):
    return sorted(path.parent for path in tmp_path.glob("outputs/train/*/*/hparams.yaml"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("overrides", [(), ("trainer=ddp", "trainer.devices=2")], ids=["alone", "two processes"])
def test_an_interrupted_run_goes_on_by_the_same_command(started, tmp_path, number, overrides):
    process = started("resume=auto", *overrides)
    wait_for_epoch(tmp_path / "log", 2)
    process.send_signal(number)
    assert process.wait(60) == 128 + number
    (folder,) = runs(tmp_path)
    assert f"interrupted; continue with: python train.py resume={folder}" in (tmp_path / "log").read_text()
    epochs = len(csv_rows(folder / "history.csv"))
    process = started("resume=auto", *overrides, log="again")
    wait_for_epoch(tmp_path / "again", epochs + 1)
    process.send_signal(number)
    assert process.wait(60) == 128 + number
    assert runs(tmp_path) == [folder]
    first = int(re.search(r"epoch (\d+):", (tmp_path / "again").read_text())[1])
    assert first in (epochs - 1, epochs)  # whose checkpoint was not written yet, or that had only begun
    assert [row["epoch"] for row in csv_rows(folder / "history.csv")][: epochs + 1] == list(map(str, range(epochs + 1)))


def test_two_commands_of_one_second_have_two_folders_and_one_run_has_one_process(started, tmp_path):
    processes = [started(log=name) for name in "ab"]
    for name in "ab":
        wait_for_epoch(tmp_path / name, 0)
    assert len(runs(tmp_path)) == 2
    for folder in runs(tmp_path):
        second = subprocess.run(
            [sys.executable, ROOT / "train.py", f"resume={folder}"], cwd=tmp_path, capture_output=True, text=True
        )
        assert second.returncode == 1
        assert re.search(rf"is being trained by process ({processes[0].pid}|{processes[1].pid}) on", second.stderr)
    for process in processes:
        process.kill()
        process.wait()


def test_the_runs_of_a_multirun_share_a_new_folder(started, tmp_path):
    launcher = "hydra/launcher=joblib", "hydra.launcher.n_jobs=1"
    for process in [started("-m", "seed=0,1", "trainer.max_epochs=1", *launcher, log=name) for name in "ab"]:
        assert process.wait(120) == 0
    folders = sorted(path for path in tmp_path.glob("outputs/train/*/*") if path.is_dir())
    assert [sorted(path.name for path in folder.iterdir()) for folder in folders] == [["0", "1", "multirun.yaml"]] * 2
