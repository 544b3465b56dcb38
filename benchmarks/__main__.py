"""Run all benchmarks, or those named: python -m benchmarks prepare cnn_epoch"""

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import cnn_epoch, large_catalogue, prepare, sweep_cnn, sweep_heads, vgg16
from benchmarks.timing import Measurement
from genre.files import write_csv

BENCHMARKS = {
    "prepare": prepare.measure,
    "cnn_epoch": cnn_epoch.measure,
    "vgg16": vgg16.measure,
    "large_catalogue": large_catalogue.measure,
    "sweep_cnn": sweep_cnn.measure,
    "sweep_heads": sweep_heads.measure,
}
RESULTS = Path("outputs/benchmarks/results.csv")
HEADER = ("benchmark", "baseline", "baseline_seconds", "seconds", "ratio")


def main(names: list[str]) -> None:
    """Measure, print a table and write outputs/benchmarks/results.csv."""
    if unknown := [name for name in names if name not in BENCHMARKS]:
        sys.exit(f"error: no benchmark {unknown[0]}; there are {', '.join(BENCHMARKS)}")
    measured: list[Measurement] = []
    for name in names or BENCHMARKS:
        for measurement in BENCHMARKS[name]():
            measured.append(measurement)
            print(f"{name}: {measurement.ratio:.1f} times as fast as {measurement.baseline}", flush=True)
    rows = [
        (m.benchmark, m.baseline, f"{m.baseline_seconds:.4g}", f"{m.seconds:.4g}", f"{m.ratio:.2f}") for m in measured
    ]
    write_csv(RESULTS, HEADER, rows)
    table = Table(*HEADER)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    print(RESULTS)


if __name__ == "__main__":
    main(sys.argv[1:])
