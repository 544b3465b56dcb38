"""A run folder belongs to one run, and to one process at a time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import genre
from genre.config.records import read_record, write_record
from genre.config.settings import train_record
from genre.errors import UserError
from genre.training.claim import claimed, is_first_process, new_folder, owner
from genre.training.run_folder import first_difference, unfinished_run

ROOT = Path(__file__).parents[2]


def test_runs_that_begin_in_one_second_have_folders_of_their_own(tmp_path):
    wanted = str(tmp_path / "name" / "2026-11-22_09-00-00")
    assert [new_folder(wanted) for _ in range(3)] == [wanted, f"{wanted}_2", f"{wanted}_3"]


def test_a_folder_that_is_being_trained_is_refused_by_process(configured, tmp_path):
    with claimed(tmp_path / "run"):
        assert owner(tmp_path / "run").startswith(f"process {os.getpid()} on ")
        with pytest.raises(UserError, match=rf"run is being trained by process {os.getpid()} on .*; wait"):
            genre.train(configured())
    assert not (tmp_path / "run").exists()


def test_a_folder_is_free_again_when_its_process_has_been_killed(tmp_path):
    code = "import os, sys; from pathlib import Path; from genre.training.claim import claimed\n"
    code += "with claimed(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, tmp_path / "run"], env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert (tmp_path / "run" / ".owner").exists() and owner(tmp_path / "run") is None
    with claimed(tmp_path / "run"):
        assert f"process {os.getpid()} on " in (tmp_path / "run" / ".owner").read_text()


def test_only_the_first_of_several_processes_claims_the_folder(tmp_path, monkeypatch):
    with claimed(tmp_path):
        for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"):
            with monkeypatch.context() as patched:
                patched.setenv(name, "1")
                assert not is_first_process()
                with claimed(tmp_path):
                    assert new_folder(str(tmp_path)) == str(tmp_path)


@pytest.fixture
def begun(configured, tmp_path):
    """Write the record of a run, as a killed process leaves it behind."""

    def write(name, *overrides):
        record = train_record(configured(*overrides, f"folder={tmp_path / name}"))
        write_record(tmp_path / name, record | {"trainer": record["trainer"] | {"precision": "32-true"}})
        return tmp_path / name

    return write


def test_the_unfinished_run_of_a_command_is_the_newest_one_without_results(configured, begun, tmp_path):
    record = train_record(configured("trainer.precision=auto", "resume=auto", "folder=''"))
    assert unfinished_run(tmp_path, record) is None
    begun("1"), begun("2"), begun("3", "seed=1")
    (begun("4") / "metrics.json").write_text("{}")
    (begun("5") / "curve.json").write_text("{}")
    assert unfinished_run(tmp_path, record) == tmp_path / "2"
    with claimed(tmp_path / "2"):
        assert unfinished_run(tmp_path, record) == tmp_path / "1"


def test_the_command_differs_in_what_would_change_the_run(configured):
    record = train_record(configured())
    assert first_difference(record, train_record(configured("debug=true", "folder=elsewhere"))) is None
    assert first_difference(record, train_record(configured("trainer.max_epochs=9"))) == "trainer.max_epochs"


def test_resume_auto_begins_a_run_or_continues_it(configured, tmp_path, monkeypatch):
    whole = genre.train(configured("trainer.max_epochs=2", "resume=auto", f"folder={tmp_path / 'whole'}"))
    with monkeypatch.context() as patched:
        patched.setattr("genre.training.train.evaluate_and_report", broken)
        with pytest.raises(ZeroDivisionError):
            genre.train(configured("trainer.max_epochs=2", "resume=auto"))
    resumed = genre.train(configured("trainer.max_epochs=2", "resume=auto"))
    assert (resumed.folder / "history.csv").read_text() == (whole.folder / "history.csv").read_text()
    assert read_record(resumed.folder)["resume"] is None
    with pytest.raises(UserError, match=r"run holds a run with another seed; choose another hydra\.run\.dir"):
        genre.train(configured("trainer.max_epochs=2", "resume=auto", "seed=1"))


def broken(*arguments):
    raise ZeroDivisionError
