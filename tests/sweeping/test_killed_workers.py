"""Several workers, some of them killed or interrupted: every point is completed exactly once."""

import getpass
import glob
import json
import multiprocessing
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import optuna
import pytest
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from genre.sweeping import record
from genre.sweeping.grid import Grid
from genre.sweeping.queue import Queue, QueueRules

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
SWEEP = "outputs/sweep/small"
KILLED_AT = (3, 8, 14)  # numbers of complete points at which a worker is killed
SMALL = [
    "+grid.axes.model.filters=[[2,4,4],[4,4,8]]", "model.dense_units=8", "trainer.max_epochs=1", "grid.lease=4",
    "trainer.precision=32-true", "split=fault_filtered", "grid.seeds=[]", "trainer.accelerator=cpu",
    "trainer.enable_progress_bar=false",
]  # fmt: skip


def arguments(shared: Path, tmp_path: Path, *overrides: str) -> list[str]:
    """A sweep of 24 points over the whole archive, one epoch each."""
    music = ["data=logmel", f"data.path={shared / 'gtzan_logmel_dev.npz'}", f"data.cache={tmp_path / 'cache'}"]
    return [sys.executable, str(ROOT / "sweep.py"), "grid=small", *music, *SMALL, *overrides]


ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def start_worker(command: list[str], tmp_path: Path) -> subprocess.Popen[bytes]:
    log = (tmp_path / "workers.log").open("ab")
    return subprocess.Popen(command, cwd=tmp_path, env=ONE_THREAD, stdout=log, stderr=log)


def postgresql_programs(name: str) -> Path | None:
    """Return the folder of PostgreSQL's programs."""
    candidates = [shutil.which(name), *sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))]
    return next((Path(path).parent for path in candidates if path), None)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """The URL of a database on a server that runs during these tests."""
    pytest.importorskip("psycopg2", reason="psycopg2 is not installed")
    if (programs := postgresql_programs("initdb")) is None:
        pytest.skip("PostgreSQL is not installed")
    folder = Path(tempfile.mkdtemp(prefix="genre-postgresql-"))
    owner = {"user": "postgres", "group": "postgres"} if os.getuid() == 0 else {}  # it refuses to run as root
    if owner:
        shutil.chown(folder, "postgres", "postgres")
    with socket.socket() as unused:
        unused.bind(("localhost", 0))
        port = unused.getsockname()[1]
    data, quiet = str(folder / "data"), {"check": True, "cwd": folder, "stdout": subprocess.DEVNULL, **owner}
    subprocess.run([programs / "initdb", "-D", data, "-A", "trust", "--no-sync"], **quiet)
    options = f"-p {port} -k {folder} -c listen_addresses=localhost -c fsync=off"
    subprocess.run([programs / "pg_ctl", "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start"], **quiet)
    user = "postgres" if owner else getpass.getuser()
    yield f"postgresql://{user}@localhost:{port}/postgres"
    subprocess.run([programs / "pg_ctl", "-D", data, "-m", "immediate", "stop"], **quiet)
    shutil.rmtree(folder)


@lru_cache(maxsize=1)
def open_storage(folder: Path, address: str | None) -> BaseStorage:
    """Open it once per test: a server's connections are limited, and each open storage keeps some."""
    return record.open_record(folder, address).storage


def entries(folder: Path, address: str | None) -> list[optuna.trial.FrozenTrial]:
    """Trials of the study; empty if there is no study yet."""
    try:
        study = optuna.load_study(study_name="small", storage=open_storage(folder, address))
    except KeyError:
        return []
    return study.get_trials(deepcopy=False)


def count_complete(folder: Path, address: str | None) -> int:
    return sum(trial.state == TrialState.COMPLETE for trial in entries(folder, address))


def assert_every_point_once(folder: Path, address: str | None) -> None:
    trials = entries(folder, address)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 24
    assert len({str(sorted(trial.params.items())) for trial in trials}) == 24
    rows = (folder / "trials.csv").read_text().splitlines()
    assert len(rows) == 25 and all(",complete," in row for row in rows[1:])


@pytest.mark.parametrize("storage", ["journal", "postgresql"])
def test_workers_killed_after_3_8_and_14_points_lose_nothing(shared, tmp_path, storage, request):
    address = request.getfixturevalue("postgresql") if storage == "postgresql" else None
    command = arguments(shared, tmp_path, *([f"grid.storage={address}"] if address else []))
    workers = [start_worker(command, tmp_path) for _ in range(2)]
    deadline = time.monotonic() + 900
    for number, limit in enumerate(KILLED_AT):
        while count_complete(tmp_path / SWEEP, address) < limit:
            assert time.monotonic() < deadline, (tmp_path / "workers.log").read_text()[-3000:]
            time.sleep(0.2)
        victim = workers[number % 2]
        victim.kill()
        victim.wait()
        workers[number % 2] = start_worker(command, tmp_path)
    for worker in workers:
        assert worker.wait(max(deadline - time.monotonic(), 1)) == 0, (tmp_path / "workers.log").read_text()[-3000:]
    assert_every_point_once(tmp_path / SWEEP, address)


POINTS = list(Grid({"seed": list(range(20)), "batch_size": list(range(1, 9))}).points())
KILLS = 30


def train_all(folder: Path) -> None:
    """Work on a queue of points whose training is a short sleep."""
    queue = Queue(record.open_record(folder, None), "small", {}, {"counts": {}}, QueueRules(lease=1))
    queue.add(POINTS)
    while (claimed := queue.claim()) or queue.running():
        with queue.heartbeat(claimed):
            time.sleep(random.uniform(0.02, 0.08))
        for entry in claimed:
            queue.complete(entry, entry.point["seed"] / entry.point["batch_size"], {"seconds": 0.05})


def final_study(folder: Path) -> list[tuple[str, TrialState, float | None]]:
    return sorted((str(trial.user_attrs["point"]), trial.state, trial.value) for trial in entries(folder, None))


def cut_last_line(journal: Path, draw: random.Random) -> None:
    """Lose a part of the last line, as a power cut does: what is before it is on the disk."""
    *_, last = journal.read_bytes().splitlines(keepends=True)
    os.truncate(journal, journal.stat().st_size - draw.randint(1, len(last)))


def times_completed(journal: Path) -> Counter[int]:
    """How often each trial is recorded as complete."""
    operations = [json.loads(line) for line in journal.read_text().splitlines()]
    return Counter(each["trial_id"] for each in operations if each["op_code"] == 6 and each["state"] == 1)


def test_thirty_kills_and_power_cuts_at_random_moments_end_in_the_study_of_an_unbroken_sweep(tmp_path, monkeypatch):
    monkeypatch.setattr("genre.sweeping.queue.MAX_LOST_WORKERS", KILLS)  # chance may kill the same point five times
    train_all(tmp_path / "unbroken")
    draw, fork, folder = random.Random(0), multiprocessing.get_context("fork"), tmp_path / "killed"
    workers = []
    for number in range(KILLS):
        while len(workers) < 2:
            workers.append(fork.Process(target=train_all, args=(folder,)))
            workers[-1].start()
        time.sleep(draw.uniform(0.1, 0.6))
        power_cut = number % 3 == 0 and (folder / "journal.log").exists()
        for victim in list(workers) if power_cut else [draw.choice(workers)]:
            victim.kill()
            victim.join()
            workers.remove(victim)
        if power_cut and (folder / "journal.log").stat().st_size:
            cut_last_line(folder / "journal.log", draw)
    for worker in workers:
        worker.join()
    train_all(folder)
    assert final_study(folder) == final_study(tmp_path / "unbroken")
    assert times_completed(folder / "journal.log") == dict.fromkeys(range(len(POINTS)), 1)


TINY = [
    "data=synthetic", "data.tracks=4", "data.seconds=3", "view.seconds=3", "augment=none", "trainer.max_epochs=100000",
    "stopping.patience=null", "trainer.precision=32-true", "trainer.accelerator=cpu",
]  # fmt: skip
JOBLIB = ["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "worker=range(2)"]


@pytest.mark.parametrize(
    ("launcher", "workers", "sent", "code"),
    [([], 1, signal.SIGTERM, 143), (JOBLIB, 2, signal.SIGTERM, 143), (JOBLIB, 2, signal.SIGINT, 130)],
)
def test_a_signal_to_the_command_ends_all_workers_which_release_their_points(tmp_path, launcher, workers, sent, code):
    if launcher:
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    command = [sys.executable, str(ROOT / "sweep.py"), "grid=small", *TINY, f"data.cache={tmp_path / 'cache'}"]
    process = start_worker([*command, *launcher], tmp_path)
    deadline = time.monotonic() + 900
    while sum(trial.state == TrialState.RUNNING for trial in entries(tmp_path / SWEEP, None)) < workers:
        assert time.monotonic() < deadline and process.poll() is None, (tmp_path / "workers.log").read_text()[-3000:]
        time.sleep(0.2)
    process.send_signal(sent)
    assert process.wait(60) == code
    assert [trial.state for trial in entries(tmp_path / SWEEP, None)] == [TrialState.WAITING] * 24
    assert (tmp_path / "workers.log").read_text().count("interrupted; run the same command again") == workers


def slurm_works() -> bool:
    """Return whether a SLURM cluster accepts jobs."""
    return bool(shutil.which("sbatch")) and b" up " in subprocess.run(["sinfo", "-h"], capture_output=True).stdout


@pytest.mark.parametrize(
    ("launcher", "options", "plugin"),
    [
        ("joblib", ["hydra.launcher.n_jobs=2"], "hydra_joblib_launcher"),
        ("submitit_local", ["hydra.launcher.timeout_min=10", "hydra.launcher.cpus_per_task=1"],
         "hydra_submitit_launcher"),
        pytest.param(
            "submitit_slurm", ["hydra.launcher.timeout_min=10", "hydra.launcher.cpus_per_task=1"],
            "hydra_submitit_launcher", marks=pytest.mark.skipif(not slurm_works(), reason="there is no SLURM cluster"),
        ),
    ],
)  # fmt: skip
def test_hydras_launchers_run_several_workers(shared, tmp_path, launcher, options, plugin):
    pytest.importorskip(f"hydra_plugins.{plugin}")
    command = [*arguments(shared, tmp_path, f"hydra/launcher={launcher}", "worker=range(2)", *options), "--multirun"]
    done = subprocess.run(command, cwd=tmp_path, env=ONE_THREAD, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    assert_every_point_once(tmp_path / SWEEP, None)
    workers = {trial.user_attrs["worker"] for trial in entries(tmp_path / SWEEP, None)}
    assert len(workers) == 2
    assert not any("=" in path.name for path in (tmp_path / SWEEP).rglob("*"))
