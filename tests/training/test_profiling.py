"""profile=true writes a trace that Perfetto opens and prints the largest shares; without it nothing is added."""

import json
from types import SimpleNamespace

import genre
from genre.config.settings import train_settings
from genre.training.profiling import ProfileSteps, largest_shares
from genre.training.trainer import build_callbacks

SMALL = ("batch_size=2", "trainer.enable_progress_bar=false")


def test_a_profiled_run_writes_a_trace_of_a_few_steps_and_prints_ten_shares(configured, capsys):
    folder = genre.train(configured("profile=true", *SMALL)).folder
    trace = json.loads((folder / "profile.json").read_text())
    steps = {event["name"] for event in trace["traceEvents"] if event["name"].startswith("ProfilerStep#")}
    assert steps == {f"ProfilerStep#{number}" for number in range(3, 8)}
    assert all({"ph", "ts", "pid", "tid"} <= event.keys() for event in trace["traceEvents"] if event["ph"] == "X")
    printed = capsys.readouterr().out.splitlines()
    heading = next(number for number, line in enumerate(printed) if line.startswith("operation"))
    rows = printed[heading : heading + 11]
    assert len({len(row) for row in rows}) == 1 and all(row.endswith("%") for row in rows[1:])


def test_a_run_of_too_few_steps_says_so(configured, caplog):
    folder = genre.train(configured("profile=true", "batch_size=32")).folder
    assert not (folder / "profile.json").exists()
    assert "profile=true needs 4 training steps or more" in caplog.text


def test_without_profile_there_is_no_profiler(configured, tmp_path):
    for wanted in (True, False):
        settings = train_settings(configured(f"profile={str(wanted).lower()}"))
        callbacks = build_callbacks(settings, tmp_path, "val/loss", False, False)
        assert any(isinstance(callback, ProfileSteps) for callback in callbacks) is wanted


def event(key, cpu, gpu=0.0):
    return SimpleNamespace(key=key, count=2, self_cpu_time_total=cpu, self_device_time_total=gpu)


def test_shares_are_those_of_the_device_that_computed():
    events = [event("aten::convolution", 1_000.0), event("aten::relu", 3_000.0)]
    assert largest_shares(events).splitlines() == [
        "operation          calls  CPU ms  share",
        "aten::relu             2     3.0  75.0%",
        "aten::convolution      2     1.0  25.0%",
    ]
    assert largest_shares([event("launch", 9.0), event("gemm", 0.0, 5.0)]).splitlines()[1].split() == [
        "gemm", "2", "0.0", "100.0%",
    ]  # fmt: skip
