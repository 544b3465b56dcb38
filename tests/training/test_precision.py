"""``trainer.precision=auto`` measures once per machine, PyTorch and kind of network, and keeps the answer."""

import json

import pytest
import torch

import genre
from genre.training import precision
from genre.training.precision import faster_precision

CPU = torch.device("cpu")


@pytest.fixture
def measured(monkeypatch):
    """The gains that the next measurements will find, and the networks that were measured."""
    gains, networks = [], []

    def speedup(network, pictures):
        networks.append(network)
        return gains.pop(0)

    monkeypatch.setattr(precision, "speedup", speedup)
    return gains, networks


def choose(cache, kind="CNN"):
    return faster_precision(kind, lambda: torch.nn.Flatten(), lambda count: torch.rand(count, 1, 8, 8), CPU, cache)


@pytest.mark.parametrize(("gain", "chosen"), [(0.7, "32-true"), (1.29, "32-true"), (1.3, "bf16-mixed")])
def test_bfloat16_is_chosen_where_it_is_clearly_faster(tmp_path, measured, gain, chosen):
    measured[0].append(gain)
    assert choose(tmp_path) == chosen


def test_what_was_measured_is_kept(tmp_path, measured):
    measured[0].extend([2.0, 0.5])
    assert [choose(tmp_path) for _ in range(3)] == ["bf16-mixed"] * 3
    (path,) = (tmp_path / "precision").glob("*.json")
    kept = json.loads(path.read_text())
    assert kept["precision"] == "bf16-mixed" and kept["speedup"] == 2.0
    assert kept["torch"] == torch.__version__ and kept["threads"] == 1 and kept["network"] == "CNN"


@pytest.mark.parametrize("other", ["kind", "threads", "torch", "processor"])
def test_another_network_machine_or_version_is_measured_anew(tmp_path, measured, other, monkeypatch):
    measured[0].extend([2.0, 0.5])
    assert choose(tmp_path) == "bf16-mixed"
    if other == "threads":
        torch.set_num_threads(2)
    elif other == "torch":
        monkeypatch.setattr(torch, "__version__", "9.9")
    elif other == "processor":
        monkeypatch.setattr(precision, "processor", lambda: "another")
    assert choose(tmp_path, "CRNN" if other == "kind" else "CNN") == "32-true"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"precision": 8}'])
def test_a_damaged_answer_is_measured_anew(tmp_path, measured, content):
    measured[0].extend([2.0, 0.5])
    choose(tmp_path)
    (path,) = (tmp_path / "precision").glob("*.json")
    path.write_text(content)
    assert choose(tmp_path) == "32-true"


def test_a_cache_that_cannot_be_written_is_told_and_measured(tmp_path, measured, caplog):
    measured[0].append(2.0)
    (tmp_path / "precision").touch()
    assert choose(tmp_path) == "bf16-mixed" and "cannot be kept" in caplog.text


def test_the_gain_of_a_step_in_bfloat16_is_measured_on_the_network_itself():
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.Flatten(), torch.nn.Linear(4 * 36, 2))
    assert precision.speedup(network, torch.rand(2, 1, 8, 8)) > 0
    assert network[0].weight.grad is not None


def test_runs_of_one_command_have_one_precision_and_a_resumed_run_keeps_its_own(configured, measured, tmp_path):
    measured[0].extend([2.0, 0.5, 0.5])
    auto = ("trainer.precision=auto", f"data.cache={tmp_path / 'cache'}")
    runs = [genre.train(configured(*auto, f"folder={tmp_path / name}")) for name in "ab"]
    assert [run.metrics["precision"] for run in runs] == ["bf16-mixed"] * 2
    assert (runs[0].folder / "history.csv").read_text() == (runs[1].folder / "history.csv").read_text()
    assert type(measured[1][0]).__name__ == "CNN"
    for path in (tmp_path / "cache" / "precision").iterdir():
        path.unlink()
    resumed = genre.train(genre.compose(f"resume={runs[0].folder}", "trainer.max_epochs=2"))
    assert resumed.metrics["precision"] == "bf16-mixed" and len(measured[0]) == 2
