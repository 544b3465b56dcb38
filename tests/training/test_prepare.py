"""What training waits for is prepared by any number of jobs, some of them killed, as one process would."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import genre
from genre.data.store_builder import Build
from genre.errors import UserError

ROOT = Path(__file__).parents[2]
TRACKS = 897  # eight shards


def test_a_training_after_its_preparation_builds_nothing(configured, tmp_path, monkeypatch):
    own = f"data.cache={tmp_path / 'cache'}"
    stores = genre.prepare(configured(own, config_name="prepare"))
    assert [folder.name.partition("-")[0] for folder in stores] == ["waveform", "picture"]
    assert all((folder / "index.json").exists() for folder in stores)
    monkeypatch.setattr(Build, "run", lambda *_: pytest.fail("built again"))
    genre.train(configured(own))


def test_features_of_a_frozen_backbone_are_prepared_too(configured, tmp_path):
    overrides = ["model=vgg16", "model.weights=random", "model.cached_views=2", "spectrogram.size=32"]
    stores = genre.prepare(configured(*overrides, network="vgg16", config_name="prepare"))
    assert {store.stage for store in stores.values()} >= {"waveform", "features"}


def test_a_job_number_is_a_whole_number(configured):
    with pytest.raises(UserError, match="shard=-1"):
        genre.prepare(configured("shard=-1", config_name="prepare"))


def job(music, tmp_path, cache, shard):
    """Start one of the jobs; it decodes slices of a few songs and computes a small picture of each."""
    table = tmp_path / "songs.csv"
    if not table.exists():
        songs = sorted(music.rglob("*.wav"))
        rows = (f"{n},{songs[n % 30]},{songs[n % 30].parent.name},{n // 30 * 0.1:.1f},1" for n in range(TRACKS))
        table.write_text("\n".join(["track,path,genres,start,duration", *rows]) + "\n")
    command = [
        sys.executable, ROOT / "prepare.py", "data=csv", f"data.path={table}", f"data.cache={cache}", "view.seconds=1",
        f"shard={shard}", f"hydra.run.dir={tmp_path / f'job{shard}'}",
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    log = (tmp_path / "jobs.log").open("ab")
    return subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)


def content(cache):
    return {path.relative_to(cache).as_posix(): path.read_bytes() for path in cache.glob("*-*/*") if path.is_file()}


@pytest.mark.slow
def test_three_jobs_of_which_two_are_killed_make_the_8_shards_of_one_process_byte_for_byte(music, tmp_path):
    assert job(music, tmp_path, tmp_path / "alone", 0).wait(300) == 0
    cache = tmp_path / "together"
    jobs = [job(music, tmp_path, cache, shard) for shard in range(3)]
    for stage, killed in (("waveform", jobs[0]), ("picture", jobs[1])):
        while not list(cache.glob(f"{stage}-*.partial/journal*")):
            assert killed.poll() is None, (tmp_path / "jobs.log").read_text()
            time.sleep(0.002)
        killed.send_signal(signal.SIGKILL)
    assert jobs[2].wait(300) == 0, (tmp_path / "jobs.log").read_text()
    assert content(cache) == content(tmp_path / "alone")
    assert sum(name.startswith("picture-") and "data.bin" in name for name in content(cache)) == 8
