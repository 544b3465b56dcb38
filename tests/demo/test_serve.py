"""The command: its configuration, its models, its address, and that it stops without a trace."""

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

import genre
from genre.config.settings import demo_settings
from genre.demo.serve import address, listen, load_candidates, serve
from genre.errors import UserError

ROOT = Path(__file__).parents[2]


def settings(*overrides):
    return demo_settings(genre.compose(*overrides, config_name="demo"))


def test_the_page_is_for_this_machine_unless_told_otherwise():
    assert (settings().host, settings().port) == ("127.0.0.1", 7860)
    assert settings("host=0.0.0.0", "port=80").host == "0.0.0.0"


@pytest.mark.parametrize("override", ["port=70000", "port=-1", "max_seconds=0", "max_megabytes=-1"])
def test_an_impossible_value_is_named(override):
    with pytest.raises(UserError, match=override.split("=")[0]):
        settings(override)


def test_without_the_extra_the_command_that_installs_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "starlette", None)
    with pytest.raises(UserError, match=r'the page needs starlette; pip install "genre\[demo\]"'):
        serve(settings())


def test_a_port_that_is_taken_is_one_sentence():
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert address(taken) == f"http://127.0.0.1:{port}"
        with pytest.raises(UserError, match=rf"cannot listen at host=127.0.0.1 port={port} \(Address already in use\)"):
            listen("127.0.0.1", port)


def test_a_host_of_another_machine_is_one_sentence():
    with pytest.raises(UserError, match=r"host=192.0.2.1 port=0 \(.*\); choose another port, or the default host"):
        listen("192.0.2.1", 0)


def test_without_a_run_the_classifier_that_comes_along_answers():
    (only,) = load_candidates(settings("accelerator=cpu"))
    assert only.name == "the model that comes along" and len(only.model.genres) == 10


@pytest.mark.slow
def test_an_exported_file_answers_like_a_run(onnx_file):
    (only,) = load_candidates(settings(f"run={onnx_file}", "accelerator=cpu"))
    assert only.name.endswith("/mine.onnx") and only.layer is None and only.model.genres == ("blues", "jazz", "rock")


def test_a_program_for_pytorch_which_may_hold_code_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"mine.pt2 may hold code.*; export the run with format=onnx"):
        load_candidates(settings(f"run={tmp_path}/mine.pt2", "accelerator=cpu"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory, candidate):
    """Three copies of a checkpoint."""
    folder = tmp_path_factory.mktemp("runs")
    source = ROOT / "genre" / "pretrained" / "gtzan.safetensors"
    for name in "abc":
        (folder / name).mkdir()
        (folder / name / "network.safetensors").write_bytes(source.read_bytes())
    return folder


def test_two_runs_are_compared(runs):
    pattern = f"runs={runs}/[ab]/*.safetensors"
    names = [one.name for one in load_candidates(settings(pattern, "accelerator=cpu"))]
    assert names == ["a/network.safetensors", "b/network.safetensors"]
    one = f"run={runs}/c/network.safetensors"
    beside = [one.name for one in load_candidates(settings(one, f"runs={runs}/a/*", "accelerator=cpu"))]
    assert beside == ["c/network.safetensors", "a/network.safetensors"]


def test_more_than_two_runs_are_one_sentence(runs):
    with pytest.raises(UserError, match=r"run and runs name 3 runs, from .*/a/.* to .*/c/.*; the page compares 2"):
        load_candidates(settings(f"runs={runs}/*/*", "accelerator=cpu"))


def test_a_pattern_without_runs_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"there is no run at runs=.*/nothing\*"):
        load_candidates(settings(f"runs={tmp_path}/nothing*"))


def test_help_shows_the_keys_and_a_worked_example():
    done = subprocess.run(
        [sys.executable, "-m", "genre.demo", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "python -m genre.demo" in done.stdout and "max_seconds: 1200" in done.stdout


@pytest.mark.slow
def test_the_command_serves_until_it_is_interrupted_and_writes_nothing(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "genre.demo", "port=0", "accelerator=cpu"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        url = server.stdout.readline().split()[0]
        with urllib.request.urlopen(url, timeout=20) as answer:
            assert b"<title>genre</title>" in answer.read()
        server.send_signal(signal.SIGINT)
        _, errors = server.communicate(timeout=30)
    assert server.returncode == 130 and "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []
