"""Long training shows its speed, the time left, memory and the use of a GPU."""

import re
from types import SimpleNamespace

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import genre
from genre.training import trainer, watching
from genre.training.watching import GpuInUse, TrainingBar, gpu_use, show_seconds

CUDA = torch.device("cuda", 0)


def test_speed_and_memory_are_in_tensorboard_once_per_epoch(configured):
    folder = genre.train(configured("trainer.max_epochs=2")).folder
    events = EventAccumulator(str(folder)).Reload()
    assert all(value.value > 0 for value in events.Scalars("speed/tracks_per_second"))
    assert [0.05 < value.value < 100 for value in events.Scalars("memory/process_gb")] == [True, True]
    assert "memory/gpu_gb" not in events.Tags()["scalars"] or torch.cuda.is_available()


def test_the_bar_shows_tracks_per_second_memory_and_the_time_left(configured, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.setattr(trainer, "plain_console", lambda: SimpleNamespace(is_terminal=True))
    genre.train(configured("trainer.enable_progress_bar=true", "trainer.max_epochs=3", "batch_size=4"))
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().out)
    assert re.search(r"[\d,.]+ tracks/s", shown) and re.search(r"[\d.]+ GB", shown)
    assert re.search(r"at most: [\d.]+ s left", shown)


def test_the_use_of_a_gpu_is_shown_as_far_as_it_is_known(monkeypatch):
    def unknown(device):
        raise ModuleNotFoundError("pynvml")

    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 3_200_000_000)
    monkeypatch.setattr(torch.cuda, "utilization", lambda device: 87)
    assert gpu_use(CUDA) == {"memory/gpu_gb": 3.2, "speed/gpu_percent": 87.0}
    assert GpuInUse(CUDA).render(None).plain == "GPU 3.2 GB 87 %"
    monkeypatch.setattr(torch.cuda, "utilization", unknown)
    assert GpuInUse(CUDA).render(None).plain == "GPU 3.2 GB"
    assert GpuInUse(torch.device("cpu")).render(None).plain == ""


@pytest.mark.parametrize(("done", "max_epochs", "left"), [(0, 10, None), (2, 10, "40 s left"), (2, -1, None)])
def test_the_time_left_is_that_of_all_epochs(monkeypatch, done, max_epochs, left):
    bar = TrainingBar(32)
    monkeypatch.setattr(watching.RichProgressBar, "get_metrics", lambda *_: {})
    bar.first_epoch, bar.begin = 5, 100.0
    monkeypatch.setattr(watching.time, "monotonic", lambda: 100.0 + 5 * done)
    of = SimpleNamespace(current_epoch=5 + done, max_epochs=max_epochs if max_epochs < 0 else 5 + max_epochs)
    assert bar.get_metrics(of, None).get("at most") == left


@pytest.mark.parametrize(("seconds", "shown"), [(50.2, "50 s"), (700, "12 min"), (12_600, "3.5 h")])
def test_a_time_is_shown_in_its_unit(seconds, shown):
    assert show_seconds(seconds) == shown
