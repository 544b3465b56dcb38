"""Benchmarks: their rows, the file of results, the table of docs/performance.md, and what is measured beside time."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import __main__, machine, table, timing
from benchmarks.results import COLUMNS, Row, read_results, replace_rows
from benchmarks.timing import Bound, Measurement, Timing
from genre.errors import UserError

ORDER = ("first", "second")


def row(benchmark: str, **values: str) -> Row:
    """A made-up row."""
    return dict.fromkeys(COLUMNS, "") | {"benchmark": benchmark, "work": "an epoch", "threads": "2"} | values


SLOW = row("second", work="a|b", baseline="Keras", seconds="4.288", fastest="4.288", slowest="4.288", repeats="1") | {
    "baseline_seconds": "8.576", "baseline_fastest": "8.4", "baseline_slowest": "1623", "ratio": "2.00",
    "bound_seconds": "0.001072", "bound": "650 GFLOP at 2,000 GFLOP/s (bfloat16)", "share_of_bound": "0.25",
    "peak_mb": "812", "precision": "bfloat16",
}  # fmt: skip
QUICK = row("first", seconds="0.02", fastest="0.01", slowest="0.03", repeats="3")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A made-up results.csv."""
    path = tmp_path / "results.csv"
    for made_up in (SLOW, QUICK):
        replace_rows(path, made_up["benchmark"], [made_up], ORDER)
    return path


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A page with an old table."""
    path = tmp_path / "page.md"
    path.write_text(f"# Title\n{table.BEGIN}\nold\n{table.END}\nText\n")
    return path


def test_the_rows_of_other_benchmarks_stay_in_the_order_of_all(results):
    replace_rows(results, "second", [row("second", work="new"), row("second", work="newer")], ORDER)
    assert [(r["benchmark"], r["work"]) for r in read_results(results)] == [
        ("first", "an epoch"), ("second", "new"), ("second", "newer")
    ]  # fmt: skip


def test_results_with_other_columns_are_not_read(results):
    results.write_text("benchmark,baseline,baseline_seconds,seconds,ratio\nprepare,Keras,2,1,2\n")
    assert read_results(results) == []


def test_the_table_has_medians_with_their_spread_and_empty_cells_where_nothing_was_measured(results, page):
    table.main(results, page)
    title, begin, _, _, first, second, end, text = page.read_text().splitlines()
    assert (title, begin, end, text) == ("# Title", table.BEGIN, table.END, "Text")
    assert first == "| `first` | an epoch |  |  | 0.0200 (0.0100 to 0.0300) |  |  |  |  | 2 |"
    assert second == (
        "| `second` | a\\|b | Keras | 8.58 (8.40 to 1,623) | 4.29 | 2.0 "
        "| 0.00107: 650 GFLOP at 2,000 GFLOP/s (bfloat16) | 25 % | 812 | bfloat16, 2 |"
    )


def test_a_second_table_replaces_the_first(results, page):
    table.main(results, page)
    once = page.read_text()
    table.main(results, page)
    assert page.read_text() == once


@pytest.mark.parametrize("text", ["", table.BEGIN, f"{table.END}\n{table.BEGIN}", 2 * f"{table.BEGIN}\n{table.END}\n"])
def test_a_page_without_one_pair_of_markers_is_refused_and_stays(results, page, text):
    page.write_text(text)
    with pytest.raises(UserError, match="benchmarks: begin"):
        table.main(results, page)
    assert page.read_text() == text


def test_a_table_without_results_is_refused(tmp_path, page):
    with pytest.raises(UserError, match="has no results; run python -m benchmarks first"):
        table.main(tmp_path / "none.csv", page)


def test_the_page_of_the_project_has_a_place_for_the_table():
    page = Path(__file__).parents[1] / "docs/performance.md"
    assert "new table" in table.replaced(page.read_text(), "new table")


def test_a_row_has_median_spread_ratio_and_share_of_the_bound():
    ours = Timing((3.0, 1.0, 2.0), peak_mb=99.6)
    measurement = Measurement(
        "work", ours, "Keras", Timing((8.0,)), Bound(0.5, "decoder") + Bound(0.125, "x") * 2, "float32", 1
    )
    made = measurement.row("cnn_epoch")
    expected = {
        "benchmark": "cnn_epoch", "baseline_seconds": "8", "seconds": "2", "fastest": "1", "slowest": "3",
        "repeats": "3", "ratio": "4.00", "bound_seconds": "0.75", "bound": "decoder + 2 × x", "share_of_bound": "0.38",
        "peak_mb": "100", "precision": "float32", "threads": "1",
    }  # fmt: skip
    assert tuple(made) == COLUMNS
    assert {name: made[name] for name in expected} == expected


def test_a_bound_above_the_seconds_reached_is_told():
    assert "measured beside other load" in Measurement("work", Timing((2.0,)), bound=Bound(3.0, "decoder")).summary()
    assert "measured beside other load" not in Measurement("work", Timing((2.0,)), bound=Bound(1.0, "x")).summary()


def test_without_baseline_and_bound_there_is_no_ratio_and_no_share():
    made = Measurement("work", Timing((2.0,))).row("start")
    assert not any(made[name] for name in ("baseline_seconds", "ratio", "bound_seconds", "share_of_bound", "peak_mb"))


def test_functions_are_timed_in_turn_after_a_warm_up():
    calls: list[str] = []
    one, other = timing.alternate([lambda: calls.append("one"), lambda: calls.append("other")], rounds=2)
    assert calls == 3 * ["one", "other"]
    assert len(one.seconds) == len(other.seconds) == 2


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux only")
def test_the_peak_memory_of_a_call_leaves_out_what_was_used_before():
    idle = timing.timed(lambda: None).peak_mb
    np.ones(50_000_000)  # 400 MB
    assert timing.timed(lambda: None).peak_mb < idle + 100
    assert timing.timed(lambda: np.ones(50_000_000)).peak_mb > idle + 300


def test_a_process_is_timed_and_its_failure_shows_the_end_of_its_output():
    assert timing.process("-c", "import time; time.sleep(0.2)").median >= 0.2
    with pytest.raises(RuntimeError, match="no such thing"):
        timing.process("-c", "raise SystemExit('no such thing')")


def test_operations_of_a_layer_are_counted():
    layer = nn.Linear(20, 5)
    assert machine.operations(lambda: layer(torch.rand(1, 20))) == 2 * 20 * 5
    assert machine.training_operations(layer, 20) == 2 * (2 * 20 * 5)  # inputs need no gradient


def test_an_arithmetic_bound_is_the_operations_at_the_measured_peak(monkeypatch):
    monkeypatch.setattr(machine, "peak", lambda precision, count: {("bfloat16", 2): 2e12}[precision, count])
    bound = machine.arithmetic_bound(6.5e11, "bfloat16", 2)
    assert (bound.seconds, bound.what) == (0.325, "650 GFLOP at 2,000 GFLOP/s (bfloat16)")
    assert machine.arithmetic_bound(2.656e13, "bfloat16", 2).what.startswith("26,560 GFLOP")
    assert machine.arithmetic_bound(3.194e8, "bfloat16", 2).what.startswith("0.319 GFLOP")


def test_an_unknown_benchmark_is_refused_by_name():
    with pytest.raises(SystemExit, match="there is no benchmark speed; choose from start"):
        __main__.main(["prepare", "speed"])


def test_one_that_fails_does_not_stop_the_others(monkeypatch):
    """Each is a process; here one that only tells its name, or fails."""
    script = "import sys; print(sys.argv[1]); sys.exit(sys.argv[1] == 'predict')"
    run = __main__.subprocess.run
    names: list[str] = []

    def fake(command: list[str]) -> object:
        names.append(command[-1])
        return run([sys.executable, "-c", script, command[-1]])

    monkeypatch.setattr(__main__.subprocess, "run", fake)
    with pytest.raises(SystemExit, match="failed, with the reason above: predict"):
        __main__.main(["large_catalogue", "predict", "prepare"])
    assert names == ["prepare", "predict", "large_catalogue"]


@pytest.mark.parametrize("name", __main__.BENCHMARKS)
def test_every_benchmark_has_a_module(name):
    assert (Path(__main__.__file__).parent / f"{name}.py").is_file()
